"""Open a store after a crash, and see what a client would see.

Open, read, close; open again: does it read the same? Then go on where the state stands - the
interrupted operation is issued again if it did not survive - close, open, and read what was written.
Every open gets a fresh adapter.
"""

from __future__ import annotations

# That of `signal` makes an enumeration of each handler, which takes longer.
import _signal  # type: ignore[import-not-found]
import copy
import itertools
import locale
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, Self

from harness.core.adapter import supported_operations
from harness.core.errors import Unsupported
from harness.core.models import BUILT_IN_MODELS, equals
from harness.core.operations import Compact, Sync, describe, for_store
from harness.core.plain import NestedTooDeep, plain_bytes
from harness.core.trace import Trace
from harness.judge.oracle import Oracle
from harness.judge.recovery import Recovery
from harness.record.callsite import HARNESS, in_standard_library

#: Operations to go on with after a recovery, in turn: what a second one mends (a new snapshot, a new
#: segment), the first may still show.
FOLLOWING_OPERATIONS = (2, 2, 1, 1)


class Board(Protocol):
    """Where a worker says what it is doing, for a supervisor that watches the clock."""

    def enter(self, unit: int, phase: str) -> None: ...

    def leave(self) -> None: ...

    def adopt(self) -> None:
        """This process, a child of the one before or its parent again, makes the calls from now on."""


class Step(StrEnum):
    """The calls into a store during a recovery, as they are named on the board and in findings."""

    OPEN = "opening the store"
    SNAPSHOT = "reading the store"
    CLOSE = "closing the store"
    SECOND_OPEN = "opening the store a second time"
    SECOND_SNAPSHOT = "reading the store a second time"
    APPLY = "the next operation after the recovery"
    SECOND_CLOSE = "closing the store after new operations"
    THIRD_OPEN = "opening the store after new operations"
    THIRD_SNAPSHOT = "reading the store after new operations"
    THIRD_CLOSE = "closing the store for the last time"
    RECORD = "recovering while being recorded"
    OPERATION = "an operation"


_READING = (Step.OPEN, Step.SNAPSHOT, Step.CLOSE, Step.SECOND_OPEN, Step.SECOND_SNAPSHOT, Step.RECORD)


def kind_of_failure(step: str) -> str:
    """The kind of a finding when the call `step` raised, or ended its process."""
    return "cannot_open" if step in _READING else "not_writable"


class StoreFailed(Exception):
    """A call into the store raised; `step` says which, `error` what."""

    def __init__(self, step: Step, error: BaseException) -> None:
        super().__init__(step)
        self.step = step
        self.error = error

    def sentence(self) -> str:
        return f"{self.step} raised {text_of_error(self.error)[:300]}"


def text_of_error(error: BaseException) -> str:
    """Type and message of a store's exception, in one line. The message may be anything, or fail itself."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def place_of_error(error: BaseException) -> str:
    """The innermost line of the user's code that an exception came through, in parentheses; or nothing."""
    trace = error.__traceback__
    place = ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith(("<", HARNESS)) and not in_standard_library(name):
            place = f" (line {trace.tb_lineno} of {name})"
        trace = trace.tb_next
    return place


@dataclass(frozen=True, slots=True)
class TolerantModel:
    """A model of the user's own. What its `equal` can't even compare, a damaged store perhaps, equals nothing."""

    model: Any

    def initial(self) -> Any:
        return self.model.initial()

    def step(self, state: Any, operation: Any) -> tuple[Any, Any]:
        if isinstance(operation, Sync | Compact):
            return state, None  # no visible change, whatever the model
        stepped: tuple[Any, Any] = self.model.step(state, operation)
        return stepped

    def equal(self, recovered: Any, state: Any) -> bool:
        return equals(self.model, recovered, state)

    def example_operations(self, random: Any, count: int) -> list[Any]:
        return list(self.model.example_operations(random, count))


def is_built_in(model: Any) -> bool:
    return any(model is built_in for built_in in BUILT_IN_MODELS)


def oracle_of(adapter: Any, trace: Trace) -> Oracle:
    """The oracle for what a client did in `trace`."""
    built_in = any(adapter.model is model for model in BUILT_IN_MODELS)
    model = adapter.model if built_in else TolerantModel(adapter.model)
    return Oracle(model, trace.operations, trace.errors)


@dataclass(slots=True)
class Recoverer:
    """Recovers stores of one adapter in one directory; `changed` tells whether the directory was written to."""

    adapter: Any
    directory: Path
    board: Board
    changed: Callable[[], bool]
    unit: int = 0

    def recover(self, oracle: Oracle, spare: tuple[Any, ...] = ()) -> Recovery:
        """One recovery of what is in the directory now. `spare` are operations to issue after the last one."""
        try:
            recovered, wrote = self._first()
        except StoreFailed as failure:
            return Recovery("cannot_open", failure.sentence(), wrote=True, raised=True)
        matches = oracle.matches(recovered)
        try:
            return self._second(oracle, spare, Recovery("", "", recovered, matches, wrote))
        except StoreFailed as failure:
            kind = kind_of_failure(failure.step)
            return Recovery(kind, failure.sentence(), recovered, matches, wrote, raised=True)

    def read(self) -> Any:
        """Open, read and close once. Raises `StoreFailed`."""
        return self._first()[0]

    def proceed(self, operation: Any, begin: Callable[[], None]) -> None:
        """Open, run one operation and close; `begin` is called right before it. Raises `StoreFailed`."""
        adapter = self._call(Step.SECOND_OPEN, self.adapter)
        store = self._call(Step.SECOND_OPEN, adapter.open, self.directory)
        begin()
        self._call(Step.APPLY, adapter.apply, store, for_store(operation))

    def _first(self) -> tuple[Any, bool]:
        adapter = self._call(Step.OPEN, self.adapter)
        store = self._call(Step.OPEN, adapter.open, self.directory)
        recovered = self._call(Step.SNAPSHOT, read_state, adapter, store)
        self._call(Step.CLOSE, adapter.close, store)
        return recovered, self.changed()

    def _second(self, oracle: Oracle, spare: tuple[Any, ...], first: Recovery) -> Recovery:
        adapter = self._call(Step.SECOND_OPEN, self.adapter)
        store = self._call(Step.SECOND_OPEN, adapter.open, self.directory)
        again = self._call(Step.SECOND_SNAPSHOT, read_state, adapter, store)
        if not _same(oracle, first, again):
            detail = f"the second opening reads {describe(again)}, the first read {describe(first.recovered)}"
            return Recovery("not_idempotent", detail, first.recovered, first.matches, first.wrote)
        expected: list[Any] = []
        following: tuple[Any, ...] = ()
        if first.matches:
            following = self._go_on(oracle, adapter, store, max(first.matches), spare)
            expected = self._expected(oracle, first.matches, following)
        self._call(Step.SECOND_CLOSE, adapter.close, store)
        if following:
            return self._third(oracle, expected, following, first)
        return first

    def _go_on(
        self, oracle: Oracle, adapter: Any, store: Any, count: int, spare: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """The operations that come next; those that raised in the recorded run are left out.

        Every other time another client comes first, with operations of its own: issuing the interrupted
        operation again may write the same bytes over what it left, and so hide it.
        """
        rest = (  # as few as are wanted: looking at all of them each time would add up in a long trace
            oracle.operations[index]
            for index in range(count, len(oracle.operations))
            if index not in oracle.failed
        )
        wanted = FOLLOWING_OPERATIONS[count % len(FOLLOWING_OPERATIONS)]
        done: list[Any] = []
        again = not spare or (count + len(oracle.operations)) % 2 == 0
        for operation in itertools.islice(itertools.chain(rest if again else (), spare), wanted):
            try:
                self._call(Step.APPLY, adapter.apply, store, for_store(operation))
            except StoreFailed as failure:
                if not isinstance(failure.error, Unsupported):
                    raise
            else:
                done.append(operation)
        if done and not self._owes_everything() and Sync in (supported_operations(self.adapter) or ()):
            self._call(Step.APPLY, adapter.apply, store, Sync())
            done.append(Sync())
        return tuple(done)

    def _owes_everything(self) -> bool:
        """Whether what is acknowledged is owed at once, and not only after a `Sync` or as some prefix."""
        contract = self.adapter.contract
        return "acknowledged" in (contract.process_crash, contract.power_loss)

    def _expected(self, oracle: Oracle, matches: tuple[int, ...], following: tuple[Any, ...]) -> list[Any]:
        """The states that may be read after `following` and a clean close, which is no sync."""
        least = len(following) if self._owes_everything() or Sync() in following else 0
        lengths = range(least, len(following) + 1)
        return [state for count in matches for n in lengths for state in oracle.following(count, following[:n])]

    def _third(
        self, oracle: Oracle, expected: list[Any], following: tuple[Any, ...], first: Recovery
    ) -> Recovery:
        adapter = self._call(Step.THIRD_OPEN, self.adapter)
        store = self._call(Step.THIRD_OPEN, adapter.open, self.directory)
        last = self._call(Step.THIRD_SNAPSHOT, read_state, adapter, store)
        self._call(Step.THIRD_CLOSE, adapter.close, store)
        if any(equals(oracle.model, last, state) for state in expected):
            return first
        names = ", ".join(describe(operation) for operation in following)
        detail = f"after the recovery {names} returned, and reading again gives {describe(last)}"
        return Recovery("not_writable", detail, first.recovered, first.matches, first.wrote)

    def _call(self, step: Step, function: Callable[..., Any], *arguments: Any) -> Any:
        self.board.enter(self.unit, step)
        try:
            return function(*arguments)
        except BaseException as error:  # whatever a store raises is its outcome, SystemExit included
            raise StoreFailed(step, error) from None
        finally:
            self.board.leave()


def read_state(adapter: Any, store: Any) -> Any:
    """A copy of the snapshot, because a store may hand out what it goes on changing."""
    return copy_of(adapter.snapshot(store))


def copy_of(snapshot: Any) -> Any:
    """A deep copy. Raises `TypeError` where there can be none."""
    plain = plain_bytes(snapshot)
    if plain is not None:
        return pickle.loads(plain)
    try:
        return copy.deepcopy(snapshot)
    except RecursionError:
        return NestedTooDeep(snapshot)
    except TypeError as error:
        kind = type(snapshot).__name__
        sentence = f"snapshot returned a {kind}, which can't be copied ({error}): return the state itself"
        raise TypeError(sentence) from None


def _same(oracle: Oracle, first: Recovery, again: Any) -> bool:
    """Equal, or equal to the same states of the model: a model may ignore time stamps. What can't be compared is no
    state of the model either, and is told as that."""
    if first.matches:
        return oracle.matches(again) == first.matches
    try:
        return bool(again == first.recovered)
    except Exception:
        return True


_SIGNALS = tuple(sorted(map(int, signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a store may change in its process and the next one would notice: working directory, umask, environment,
    time zone, locale, signal handlers, interval timers, the recursion limit."""

    directory: str
    mask: int
    environment: dict[Any, Any]
    locale_name: str
    handlers: tuple[Any, ...]
    recursion_limit: int

    @classmethod
    def now(cls) -> Self:
        mask = os.umask(0o077)
        os.umask(mask)
        return cls(
            _working_directory() or "/",
            mask,
            dict(_environment()),
            locale.setlocale(locale.LC_ALL),
            tuple(map(_signal.getsignal, _SIGNALS)),
            sys.getrecursionlimit(),
        )

    def restore(self) -> None:
        if _working_directory() != self.directory:
            os.chdir(self.directory)
        os.umask(self.mask)
        if _environment() != self.environment:
            self._restore_environment()
        if locale.setlocale(locale.LC_ALL) != self.locale_name:
            locale.setlocale(locale.LC_ALL, self.locale_name)
        if sys.getrecursionlimit() != self.recursion_limit:
            sys.setrecursionlimit(self.recursion_limit)
        if threading.current_thread() is threading.main_thread():
            self._restore_signals()

    def _restore_environment(self) -> None:
        os.environb.clear()
        os.environb.update(self.environment)
        time.tzset()

    def _restore_signals(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        now = tuple(map(_signal.getsignal, _SIGNALS))
        if now != self.handlers:
            for number, handler, other in zip(_SIGNALS, self.handlers, now, strict=True):
                if handler is not None and other is not handler:  # None: not set by Python
                    signal.signal(number, handler)


def _environment() -> dict[Any, Any]:
    """The environment as the bytes that it is made of: decoding all of it each time would take longer than the rest."""
    data: dict[Any, Any] = getattr(os.environ, "_data", None) or dict(os.environb)
    return data


def _working_directory() -> str:
    """Empty if it was removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""
