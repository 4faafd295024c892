"""What happened in a program so far, what the store should show after it, and whose promise is broken if it doesn't.

The promise is the one about the fault that came last (`Blame`). While the clock of a store is off, it may refuse
whatever it is asked for: only what it shows is judged.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from harness.core.operations import safe_repr
from harness.core.program import Program, source
from harness.core.trace import Image
from harness.judge.classify import Violation, classify
from harness.judge.oracle import Oracle, Window
from harness.record.scan import scan
from harness.run.live.breaking import Blame, Broken, Segment
from harness.run.live.damage import oracle_for
from harness.run.live.holder import Outcome


class JudgedProgram:
    """The steps of one program with what became of them; methods raise `Broken`."""

    def __init__(self, adapter: Any, directory: Path) -> None:
        self.adapter = adapter
        self.directory = directory
        self.unknown: list[str] = []
        self._reset(looking=False)

    def _reset(self, *, looking: bool) -> None:
        self.steps: list[Any] = []
        self.lines: list[str] = []
        self.looking = looking
        self.over = False
        self.is_open = False
        self.full = False
        self.clock_off = False
        self.blame: Blame | None = None
        self.history: tuple[Any, ...] = ()
        self.dubious: frozenset[int] = frozenset()
        self.segment = Segment()
        self.images: list[Image] = []
        self.before: Image | None = None
        self.after: Image | None = None

    def _oracle(self) -> Oracle:
        failed = {len(self.history) + index for index in self.segment.failed}
        return oracle_for(self.adapter, (*self.history, *self.segment.operations), self.dubious | failed)

    def _judge(self, state: Any, admissible: Window, *, recovering: bool = False) -> None:
        """Raises `Broken` unless `state` is what some admissible number of operations leads to."""
        oracle = self._oracle()
        if any(admissible.lowest <= count <= admissible.highest for count in oracle.matches(state)):
            return
        violation = classify(oracle, state, admissible)
        if self.blame is None:
            self._inconclusive(f"without any fault, {violation.sentence}")
            return
        kind = violation.kind
        if not recovering and self.segment.recovered and not (self.segment.struck or self.segment.turned):
            kind = "not_writable"
        elif kind == "lost_acknowledged" and self.segment.swallowed is not None and self.blame.claim == "io_error":
            kind = "swallowed_error"
            self.blame = dataclasses.replace(self.blame, site=self.segment.swallowed.site)
        raise self._broken(kind, f"{violation.sentence}; it reads {short(state)}")

    def _cannot_open(self, during: str, error: str) -> None:
        if self.blame is None:
            self._inconclusive(f"without any fault, {during} raised {error}")
            return
        if self.clock_off or self.segment.uneasy:
            return
        raise self._broken("cannot_open", f"{during} raised {error} after {self._cause()}")

    def _inconclusive(self, reason: str) -> None:
        self.over = True
        if reason not in self.unknown:
            self.unknown.append(reason)

    def _cause(self) -> str:
        assert self.blame is not None
        words = {
            "power_loss": "the power had failed",
            "process_crash": "the process had been killed",
            "io_error": "a call had failed",
            "corruption": "a file had been damaged and restored",
        }
        return self.blame.cause or words[self.blame.claim]

    def _broken(self, kind: str, sentence: str) -> Broken:
        blame = self.blame or Blame("process_crash")
        program = Program(tuple(self.steps), self.looking)
        broken = Broken(self.adapter, blame, Violation(kind, sentence), program, tuple(self.lines))
        broken.before, broken.after, broken.left = self.before, self.after, scan(self.directory)
        return broken

    def _note(self, operation: Any, outcome: Outcome) -> None:
        self._note_text(source(operation)[:160], outcome)

    def _note_text(self, call: str, outcome: Outcome) -> None:
        became = f"raised {outcome.error}" if outcome.error else "acknowledged"
        faults = "".join(f"; {item.fault} in {item.call} ({item.site})" for item in outcome.struck[:3])
        self.lines.append(f"{call}  # {became}{faults}")


def short(value: Any, limit: int = 160) -> str:
    text = safe_repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
