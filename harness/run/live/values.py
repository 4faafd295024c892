"""What crosses between the parent and the workers that try live faults."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from harness.core.evidence import TimelineItem
from harness.core.trace import CallSite, Image
from harness.core.workload import Workload
from harness.judge.classify import Violation


@dataclass(frozen=True, slots=True)
class Struck:
    """A call of the store that a fault struck: where, which call, and the fault in a word ("EIO", "short write")."""

    site: CallSite | None
    call: str
    fault: str


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What the story of a violation needs.

    `lines` is the program with what became of each step; `told` to `expected` are the sentences of a story.
    The images are the directory before the fault, after it, and as the store left it.
    """

    lines: tuple[str, ...]
    told: str
    called: str
    reached: str
    found: str
    expected: str
    before: Image | None = None
    after: Image | None = None
    recovered: Image | None = None
    timeline: tuple[TimelineItem, ...] = ()
    fault_at: int = 0
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one fault. `fired` counts how often it struck; a trial in which it never did proves nothing.

    `unknown` says why nothing can be concluded, where that is so. `models` are persistence models that matter.
    `instead` is another fault that shows the same, where the one that was tried can't be repeated; `idle` says why it
    never struck. `cycles` is how often something was repeated, where that is the fault.
    """

    fired: int
    violation: Violation | None = None
    site: CallSite | None = None
    exhibit: Exhibit | None = None
    struck: tuple[Struck, ...] = ()
    promise: str = ""
    models: tuple[str, ...] = ()
    unknown: str = ""
    instead: Any = None
    idle: str = ""
    cycles: int = 0


@dataclass(frozen=True, slots=True)
class TrialsJob:
    """All faults of one engine on one workload; or, with `only`, that single fault.

    At most `most` trials and about `seconds` are spent. `interrupted` holds what is known of trials that ended a
    worker: their number, the kind of the finding, and a sentence. `extra` is an engine's own business.
    """

    name: str
    engine: str
    claim: str
    promise: str
    workload: Workload
    seed: int
    most: int
    seconds: float
    only: Any = None
    stop_at_first: tuple[str, str] | None = None
    after_violation: int = 1_000_000
    interrupted: tuple[tuple[int, str, str], ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LiveFound:
    """One violation by a live fault, with all that is needed to tell it and to do it again."""

    engine: str
    claim: str
    workload: Workload
    fault: Any
    trial: Trial
    seconds: float

    @property
    def key(self) -> tuple[str, str]:
        """One defect is one finding: its kind and call site."""
        assert self.trial.violation is not None
        return (self.trial.violation.kind, str(self.trial.site))


#: A fault that applies to a call: file, line, function, call, fault in a word.
Applicable = tuple[str, int, str, str, str]
#: Where a fault struck and what came of it: file, line, function, call, fault, "held" or "broke".
StruckKey = tuple[str, int, str, str, str, str]


@dataclass(slots=True)
class Tried:
    """What came of a job. `planned` counts the faults there are, `trials` those that were tried, `idle` those
    that never struck, `idle_because` why the first of them did not. `silent` are schedules of the user's that never
    struck, with the reason. `cycles` are the fewest of a trial that has any. `applicable` are faults that apply
    to the calls that were seen, whether or not they struck. `notes` are worth saying and no violation; `lock_orders`
    counts the orders in which locks were taken; `late`: the time of the job was up before its end."""

    name: str
    planned: int = 0
    trials: int = 0
    fired: int = 0
    idle: int = 0
    operations: int = 0
    exhausted: bool = True
    found: list[LiveFound] = field(default_factory=list)
    struck: Counter[StruckKey] = field(default_factory=Counter)
    applicable: set[Applicable] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    refused: str = ""
    idle_because: str = ""
    silent: dict[Any, str] = field(default_factory=dict)
    seconds: float = 0.0
    deterministic: bool = True
    cycles: int = 0
    notes: list[str] = field(default_factory=list)
    lock_orders: int = 0
    late: bool = False

    @property
    def effort(self) -> str:
        return f"{self.trials} faults"
