"""Clients that work on one store at the same time: what each of them does, and the history that they leave.

Every client notes when it calls and when it is answered by CLOCK_MONOTONIC, which all processes share, and says so
through its own pipe: there is no lock between clients, and what a killed one said is not lost.
"""

from __future__ import annotations

import dataclasses
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.errors import Unsupported
from harness.core.history import Called, Disturbance, History, Outcome, history_of
from harness.core.operations import Get, Load, Read, describe, for_store
from harness.core.trace import CallSite
from harness.core.workload import By, Workload
from harness.inject import kills
from harness.run.live.bench import Bench, Client, NoBoard
from harness.run.live.forks import MOMENT, Completion, Part, Voice, Word
from harness.run.recovering import Step, text_of_error

now_ns = time.monotonic_ns
_LONGEST_TEXT = 1000
_READS = (Get, Load, Read)
#: Calls that put something where others see it; what only creates or removes a lock, or a temporary file, does not.
_PUBLISHING = frozenset(
    (
        *("write", "writev", "pwrite", "pwritev", "sendfile", "copy_file_range", "splice"),
        *("truncate", "ftruncate", "rename", "replace"),
    )
)


@dataclass(frozen=True, slots=True)
class Lane:
    """What one client does: operations with their numbers in the workload."""

    client: int
    numbered: tuple[tuple[int, Any], ...]


def lanes_of(workload: Workload) -> list[Lane]:
    """The clients of a workload in order, client 0 first; it may have nothing to do."""
    found: dict[int, list[tuple[int, Any]]] = {0: []}
    for number, step in enumerate(workload.operations):
        assert isinstance(step, By)
        found.setdefault(step.client, []).append((number, step.operation))
    return [Lane(client, tuple(found[client])) for client in sorted(found)]


def changes(lane: Lane) -> Lane:
    """The same client without what it only reads."""
    return Lane(lane.client, tuple(item for item in lane.numbered if not isinstance(item[1], _READS)))


class LaneClient(Client):
    """One client of several, in a process of its own or a thread; it says when it was answered, and what."""

    def __init__(self, bench: Bench, voice: Voice, after: Callable[[], None] = lambda: None) -> None:
        """`after` is called whenever an operation has ended."""
        super().__init__(dataclasses.replace(bench, board=NoBoard()))
        self.voice = voice
        self.after = after
        self.number = 0
        self.completion: Completion | None = None

    def perform(self, lane: Lane, begin: Callable[[], None] = lambda: None) -> None:
        """Open, all operations, close; `begin` is called once it is open."""
        self.open()
        begin()
        self.go_through(lane)
        self.close()

    def go_through(self, lane: Lane) -> None:
        for self.number, operation in lane.numbered:
            self.step(operation)

    def last(self, number: int, operation: Any, wait: Callable[[], None] = lambda: None) -> None:
        """One operation more; where it fails, once more under the next number, after `wait` and a new opening."""
        self.completion = None
        self.go_through(Lane(0, ((number, operation),)))
        if self.completion is None or self.completion.outcome is Outcome.INFO:
            self.close()
            wait()
            self.go_through(Lane(0, ((number + 1, operation),)))

    def _apply(self, operation: Any) -> None:
        invoked_ns = now_ns()
        self.voice.say(Word.INVOKED, self.number, MOMENT.pack(invoked_ns))
        completion = completed(self.bench, self._adapter, self._store, operation)
        self.completion = completion
        self.voice.say(Word.COMPLETED, self.number, pickled(completion))
        self.after()

    def _failed(self, what: str, error: BaseException) -> None:
        super()._failed(what, error)
        self.voice.say(Word.TROUBLE, payload=self.elsewhere[-1][:_LONGEST_TEXT].encode(errors="replace"))


def completed(bench: Bench, adapter: Any, store: Any, operation: Any) -> Completion:
    """Carry an operation out. Whatever it raises leaves open whether it happened, but for `Unsupported`."""
    try:
        answer = bench.call(Step.OPERATION, adapter.apply, store, for_store(operation))
    except Unsupported as error:
        return Completion(now_ns(), Outcome.FAIL, error=text_of_error(error)[:_LONGEST_TEXT])
    except BaseException as error:
        return Completion(now_ns(), Outcome.INFO, error=text_of_error(error)[:_LONGEST_TEXT])
    return Completion(now_ns(), Outcome.OK, answer)


def pickled(completion: Completion) -> bytes:
    """For the pipe; of an answer that can't be sent nothing is known."""
    try:
        return pickle.dumps(completion)
    except Exception:
        unknown = "it returned something that can't be pickled"
        return pickle.dumps(Completion(completion.at_ns, Outcome.INFO, error=unknown))


# --- the history --------------------------------------------------------------------------------


def called(lane: Lane, parts: dict[int, Part]) -> Iterator[Called]:
    """The operations of a client that it began."""
    for number, operation in lane.numbered:
        if number not in parts:
            continue
        part = parts[number]
        end = part.completion
        if end is None:
            yield Called(number, lane.client, operation, part.invoked_ns, error="it was never answered")
        elif end.outcome is Outcome.INFO:
            yield Called(number, lane.client, operation, part.invoked_ns, error=end.error)
        else:
            yield Called(number, lane.client, operation, part.invoked_ns, end.at_ns, end.outcome, end.answer, end.error)


def history(
    told: Sequence[tuple[Lane, dict[int, Part]]], disturbances: Iterable[Disturbance] = (), **rest: Any
) -> History:
    """What all clients were told."""
    every = [item for lane, parts in told for item in called(lane, parts)]
    return history_of(every, disturbances=tuple(disturbances), **rest)


def overlaps(made: History) -> bool:
    """Whether operations of several clients, 0 aside, were carried out to their end."""
    return len({item.client for item in made if item.client > 0 and item.outcome is Outcome.OK}) > 1


def lines(made: History) -> tuple[str, ...]:
    """A line for each operation in the order of their beginnings, with what the client was told."""
    return tuple(f"{_operation(item)}  # {_fate(item)}" for item in made)


def timed_lines(made: History) -> tuple[str, ...]:
    """The same with times since the first beginning, in seconds. They are never the same twice."""
    start = made.operations[0].invoked_ns if made.operations else 0
    return tuple(f"{_operation(item)} {_times(item, start)} {_fate(item)}" for item in made)


def _operation(item: Called) -> str:
    return f"client {item.client}: {describe(item.operation)}"


def _times(item: Called, start_ns: int) -> str:
    began = f"{(item.invoked_ns - start_ns) / 1e9:.3f}"
    return f"{began}-? s" if item.completed_ns is None else f"{began}-{(item.completed_ns - start_ns) / 1e9:.3f} s"


def _fate(item: Called) -> str:
    if item.outcome is Outcome.INFO:
        return item.error if item.error.startswith("it ") else f"raised {item.error}"
    if item.outcome is Outcome.FAIL:
        return f"refused: {item.error}"
    return "acknowledged" if item.answer is None else f"acknowledged with {describe(item.answer)}"


# --- where it happened --------------------------------------------------------------------------


def last_publishing(course: Sequence[Any], since: int = 0, to: int | None = None) -> CallSite | None:
    """The line of the last call in a part of a course that wrote something, or moved it to where others see it."""
    found = None
    for item in course[since:to]:
        if isinstance(item, kills.Called) and item.name in _PUBLISHING and item.site is not None:
            found = item.site
    return found
