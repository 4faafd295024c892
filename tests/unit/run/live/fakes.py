"""An engine whose faults are numbers, and a campaign that runs jobs in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness import KEY_VALUE, Contract, Put
from harness.core.operations import describe
from harness.core.trace import CallSite, empty_image
from harness.core.workload import Workload
from harness.crash.materialize import Materializer
from harness.judge.classify import Violation
from harness.run.live.bench import Bench
from harness.run.live.engines import EngineKind
from harness.run.live.explorer import TrialExplorer
from harness.run.live.values import Exhibit, Struck, Trial, TrialsJob, Tried
from harness.run.options import Options
from tests.stores.local import Diary

SITE = CallSite("store.py", 3, "Store.write")
#: Registered as an engine under this name by tests.
NAME = "fake"


@dataclasses.dataclass(frozen=True, slots=True)
class Nudge:
    """A fault."""

    number: int


class Quiet:
    """An adapter that is never opened."""

    name = "quiet"
    model: Any = KEY_VALUE
    contract = Contract()


@dataclasses.dataclass(slots=True)
class FakeEngine:
    """`broken(workload, fault)` says what a trial breaks; the rest in `refused`, `count`, `idle`, `more`, `said`."""

    bench: Bench
    workload: Workload
    claim: str
    promise: str
    broken: Callable[[Workload, Nudge], str] = lambda workload, fault: ""
    refused: str = ""
    count: int = 10
    idle: tuple[int, ...] = ()
    unknown: str = ""
    cycles: int = 0
    more: int = 0
    said: tuple[str, ...] = ()

    def rehearse(self) -> str:
        return self.refused

    @property
    def operations(self) -> int:
        return len(self.workload.operations)

    def faults(self) -> list[Nudge]:
        return [Nudge(number) for number in range(self.count)]

    def afterwards(self) -> list[Nudge]:
        return [Nudge(self.count + number) for number in range(self.more)]

    def notes(self) -> list[str]:
        return list(self.said)

    @property
    def lock_orders(self) -> int:
        return len(self.said)

    def attempt(self, fault: Nudge) -> Trial:
        if fault.number in self.idle:
            return Trial(0, unknown=self.unknown)
        kind = self.broken(self.workload, fault)
        struck = (Struck(SITE, "write", "nudge"), Struck(None, "sync", "nudge"))
        if not kind:
            return Trial(1, struck=struck, unknown=self.unknown, cycles=self.cycles)
        return Trial(1, Violation(kind, "it broke"), SITE, exhibit(self.workload), struck, self.promise)

    def ended(self, fault: Nudge, violation: Violation) -> Trial:
        return Trial(1, violation, None, None)


def exhibit(workload: Workload) -> Exhibit:
    lines = tuple(describe(step) for step in workload.steps)
    return Exhibit(lines, "told", "called", "It was nudged.", "found", "expected", before=empty_image())


def kind_of_engine(**changes: Any) -> EngineKind:
    """An engine for `ENGINES`, its behaviour as given."""
    behaviour = ("deterministic", "ordered", "cost", "least", "needs_io_error", "promises")
    names = (*behaviour, "follows", "following_least", "watches")
    attributes = {name: changes.pop(name) for name in names if name in changes}
    return EngineKind(lambda *given: FakeEngine(*given, **changes), (Nudge,), "nudges", **attributes)


def puts(count: int) -> Workload:
    return Workload("puts", tuple(Put(f"k{number}", str(number)) for number in range(count)))


def job(workload: Workload, **changes: Any) -> TrialsJob:
    return dataclasses.replace(TrialsJob("job", NAME, "io_error", "kept", workload, 0, 100, 60.0), **changes)


def explored(directory: Path, given: TrialsJob) -> Tried:
    return TrialExplorer(Quiet, directory, Materializer(directory), Diary(), given).run()


@dataclasses.dataclass(slots=True)
class Here:
    """A campaign without workers. `outcome` is what trying again gives, if not what it really gives."""

    directory: Path
    options: Options = dataclasses.field(default_factory=Options)
    outcome: Any = None
    jobs: list[TrialsJob] = dataclasses.field(default_factory=list)
    out_of_time: bool = False

    def try_faults(self, jobs: Iterable[TrialsJob], *, resumable: bool = False) -> list[Tried]:
        given = list(jobs)
        self.jobs += given
        return [explored(self.directory, item) for item in given]

    def try_again(self, again: TrialsJob) -> Any:
        return self.outcome or explored(self.directory, again)
