"""A broken promise about the faults of a program, and what a stage remembers to tell which."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.core.program import Program
from harness.core.trace import CallSite, Image
from harness.judge.classify import Violation
from harness.run.live.values import Struck


class Broken(AssertionError):
    """A promise was broken. The message has the program that shows it, in the words of the adapter."""

    def __init__(self, adapter: Any, blame: Blame, violation: Violation, program: Program, lines: tuple[str, ...]):
        source = f"from harness.testing import *\n\n{program.source(adapter.__name__)}"
        shown = "\n".join(f"    {line}".rstrip() for line in source.splitlines())
        super().__init__(
            f"{blame.claim} is broken ({violation.kind}): {violation.sentence}"
            f"{f' ({blame.site})' if blame.site else ''}\n\n{shown}"
        )
        self.blame = blame
        self.violation = violation
        self.program = program
        self.lines = lines
        self.before: Image | None = None
        self.after: Image | None = None
        self.left: Image | None = None


class Hanging(BaseException):
    """A promise was broken by a call that did not return: no reason to try it again and again, so no `Exception`."""

    def __init__(self, broken: Broken) -> None:
        super().__init__(str(broken))
        self.broken = broken


@dataclass(frozen=True, slots=True)
class Blame:
    """The promise that the last fault is about, the call that it struck, and the persistence model.

    `cause` says what had happened, where that is not what the promise is named after.
    """

    claim: str
    site: CallSite | None = None
    models: tuple[str, ...] = ()
    cause: str = ""


@dataclass(slots=True)
class Segment:
    """What happened since the disk was last known whole.

    `struck`: a call failed since then; `suspect`: since the store was last opened with nothing in its way.
    `unsynced`: a sync failed, or lied. `turned`: a clock was turned; `uneasy`: and the store has not been opened by a
    right clock since.
    """

    operations: list[Any] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    synced: int = 0
    struck: bool = False
    swallowed: Struck | None = None
    suspect: bool = False
    recovered: bool = False
    unsynced: bool = False
    turned: bool = False
    uneasy: bool = False
