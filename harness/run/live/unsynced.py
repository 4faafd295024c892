"""Failed syncs in a program: which crash states say something about them, and what a client may expect there.

The parts are those of the engine "failing-syncs" (`syncs`). Only states count that could not have come about if the
syncs had worked: all others are a matter of what is promised about a loss of power alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.persistence import PersistenceModel
from harness.core.trace import Blindness, CallSite, Image, Trace, Unseen
from harness.crash.states import CrashState, Enumerator, Limits
from harness.inject.syncs import Aftermath
from harness.judge.failing import Ledger
from harness.record import replay, same_image, scan
from harness.run.live.syncs import Accounts, SyncGate, contents_of, first_to_judge, is_new, repaired, with_fates

#: Crash states after a failed sync that there are to choose from; those looked at until one is new, so far apart.
_CHOICES = Limits(states_per_point=120, bounded_per_point=40, states=400)
_LOOKS, _STRIDE = 6, 7


@dataclass(frozen=True, slots=True)
class UnsyncedCrash:
    """A disk after a failed sync and a power cut, and what a client knew then.

    `image` is `None` where no state says anything about the failure; `blind` is why the recording can't be trusted.
    `site` is the sync that failed, `word` how, `of` how many states there were to choose from. With `whole` no file
    fell back: all of them hold what was written, and the program may go on as if the power had not failed.
    """

    image: Image | None = None
    ledger: Ledger = field(default_factory=lambda: Ledger("prefix"))
    site: CallSite | None = None
    word: str = ""
    of: int = 0
    blind: str = ""
    whole: bool = False


class FailingSyncs:
    """The syncs of one process that holds a store; none of them fails before one is armed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.gate = SyncGate(directory, None, contents_of(directory))
        self.swallowed: set[int] = set()

    def arm(self, nth: int, aftermath: str) -> None:
        """The `nth` sync from now fails."""
        self.gate.arm(nth, Aftermath[aftermath.upper()])

    @property
    def fired(self) -> int:
        """How many have failed, or lied."""
        return len(self.gate.fired)

    @contextlib.contextmanager
    def during(self, operation: int) -> Iterator[None]:
        """The operation with this number is carried out; `raised` says if it did not return."""
        before, self.gate.operation = self.fired, operation
        yield
        self.gate.operation = -1
        if any(item.fate == "failed" for item in self.gate.fired[before:]):
            self.swallowed.add(operation)

    def raised(self, operation: int) -> None:
        """It told of its failure."""
        self.swallowed.discard(operation)

    def told(self, trace: Trace) -> Trace:
        """The recording with what is known of each sync; a file that fell back was not seen to be changed by anybody,
        so only now the recording can be held against the directory."""
        told = with_fates(trace, self.gate.syncs)
        if told is trace:
            missing = Unseen(Blindness.REPLAY_DIFFERS, "a sync failed that was not recorded", "none would see it")
            return dataclasses.replace(trace, unseen=(*trace.unseen, missing))
        if any(item.reverted is not None for item in self.gate.fired):
            others = tuple(item for item in told.unseen if item.what is not Blindness.REPLAY_DIFFERS)
            if same_image(replay(told), scan(self._directory)) is None:
                return dataclasses.replace(told, unseen=others)
        return told

    def crash(self, told: Trace, model: PersistenceModel, choice: int, seed: int, promise: str) -> UnsyncedCrash:
        """The `choice`-th of the crash states after the failure, or the next one that says something about it. `told`
        is what the method of this name makes of a recording."""
        failed = [item for item in self.gate.fired if item.fate == "failed"]
        whole = not any(item.reverted is not None for item in failed)
        failure = first_to_judge(told) if failed else -1  # as long as a lie is not reported, nothing is owed
        found = None if failure < 0 else _telling(told, model, choice, seed, failure)
        if found is None:
            return UnsyncedCrash(whole=whole)
        state, count = found
        ledger = Accounts(told, self.swallowed, promise).at(state.event)
        culprit = next((item for item in failed if item.operation in self.swallowed), failed[0])
        lie = any(item.fate == "lied" for item in self.gate.fired)
        word = "late" if lie else "reverted" if culprit.reverted is not None else "clean"
        return UnsyncedCrash(state.image(), ledger, culprit.site, f"failed sync ({word})", count, whole=whole)


def _telling(
    trace: Trace, model: PersistenceModel, choice: int, seed: int, failure: int
) -> tuple[CrashState, int] | None:
    """A crash state that could not have come about if the syncs had worked, and how many there are to look at."""

    def states() -> Enumerator:
        return Enumerator(trace, model, seed=seed, limits=_CHOICES, first_event=failure)

    worked = repaired(trace)
    keys = [(state.event, state.key) for state in states()]
    for number in range(min(len(keys), _LOOKS)):
        place = (choice + number * _STRIDE) % len(keys)
        if is_new(worked, model, keys[place], seed):
            return next(itertools.islice(states(), place, None)), len(keys)
    return None
