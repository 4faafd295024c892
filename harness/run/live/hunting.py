"""The engine "machine": Hypothesis hunts for a program of operations and faults that breaks one promise.

A hunt is one run of Hypothesis with a seed of its own. All faults about which the contract promises something take
part in each; what breaks another promise than the one that is hunted is left to the hunt for that one. Nothing is
kept from run to run - the same seed gives the same finding - and the journal of the run keeps what was found.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.errors import UsageError
from harness.core.program import FAULT_TYPES, Program, promised_faults, promises_of, source
from harness.core.trace import empty_image
from harness.core.workload import Workload
from harness.judge.classify import Violation
from harness.run.live.bench import Bench, Client
from harness.run.live.breaking import Broken, Hanging
from harness.run.live.machine import StoreStage
from harness.run.live.values import Exhibit, Trial
from harness.run.recovering import text_of_error

#: Examples that Hypothesis may spend on making a program shorter, and programs tried after that, with less in each.
SHRINKS = 25
REDUCTIONS = 40
#: What Hypothesis raises where it could not draw enough; a machine that is overloaded may be the reason.
_GIVEN_UP = ("FailedHealthCheck", "Unsatisfiable")
_REHEARSED = 8


def without_hypothesis() -> str:
    """Why there can be no hunts here, or nothing: Hypothesis is no requirement of the command line."""
    found = importlib.util.find_spec("hypothesis")
    return "" if found else "Hypothesis is not installed: pip install 'durability-harness[pytest]'"


@dataclass(frozen=True, slots=True)
class Hunt:
    """One run of Hypothesis: its seed, how many examples at most, and how many steps in each."""

    number: int
    examples: int
    steps: int


class MachineEngine:
    """Hunts for programs, or plays one again."""

    fault_types = (Hunt, Program, *FAULT_TYPES)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        self.bench = bench
        self.claim = claim
        self.promises = {**promises_of(bench.contract), claim: promise}
        self.operations = 0

    def rehearse(self) -> str:
        """A few operations without any fault; why nothing can be tried, or nothing."""
        self.bench.materializer.place(empty_image())
        client = Client(self.bench)
        examples = self.bench.adapter.model.example_operations(random.Random(self.bench.seed), _REHEARSED)
        client.run(Workload("rehearsal", tuple(examples)))
        self.operations = len(client.operations)
        return (client.elsewhere or [""])[0]

    def faults(self) -> Iterator[Hunt]:
        extra = self.bench.extra
        number = extra.get("hunt", 0)
        seed = random.Random(f"hunt {self.bench.seed} {number} {self.claim}").getrandbits(32)
        yield Hunt(seed, extra.get("examples", 10), extra.get("steps", 12))

    def attempt(self, fault: Any) -> Trial:
        if isinstance(fault, Hunt):
            return self._hunt(fault)
        stage = self._stage()
        try:
            stage.play(fault)
        except Broken as broken:
            return self._trial(stage, broken)
        except Hanging as hanging:
            return self._trial(stage, hanging.broken)
        return _held(stage)

    def ended(self, fault: Any, violation: Violation) -> Trial:
        return Trial(1, violation)

    def _stage(self) -> StoreStage:
        bench = self.bench
        return StoreStage(
            bench.adapter, bench.directory, bench.materializer, seed=bench.seed, promises=self.promises
        )

    def _hunt(self, hunt: Hunt) -> Trial:
        stage = Hunter(self._stage(), self.claim)
        home = self.bench.directory.parent / "hypothesis"  # it goes away with the run
        names = promised_faults(self.promises)
        try:
            from harness.explore.machine import machine_class, run_machine

            machine = machine_class(self.bench.adapter, names, lambda: stage)
            run_machine(machine, number=hunt.number, examples=hunt.examples, steps=hunt.steps, home=home)
        except Hanging as hanging:
            return self._trial(stage.stage, hanging.broken)
        except Enough:
            pass
        except UsageError as error:
            return Trial(0, unknown=str(error))
        except Exception as error:  # what was found, or Hypothesis could not make it happen again
            if stage.best is None and type(error).__name__ not in _GIVEN_UP:
                raise
            if stage.best is None:
                stage.stage.unknown.append(f"Hypothesis gave up: {text_of_error(error)[:200]}")
        return _held(stage.stage) if stage.best is None else self._trial(stage.stage, self._reduced(stage.best))

    def _reduced(self, broken: Broken) -> Broken:
        """The same violation with fewer steps: halves are left out, then quarters, at last single steps."""
        left = REDUCTIONS
        size = max(1, len(broken.program.steps) // 2)
        while size:
            end = len(broken.program.steps)
            while end > 0 and left > 0:
                left -= 1
                steps = broken.program.steps
                shorter = self._again(broken, (*steps[: max(0, end - size)], *steps[end:]))
                broken = shorter or broken
                end -= size
            size //= 2
        return broken

    def _again(self, broken: Broken, steps: tuple[Any, ...]) -> Broken | None:
        try:
            self._stage().play(Program(steps, broken.program.looking))
        except Broken as found:
            return found if _key(found) == _key(broken) and found.blame.claim == self.claim else None
        except Hanging:
            return None
        return None

    def _trial(self, stage: StoreStage, broken: Broken) -> Trial:
        return Trial(
            max(1, stage.fired),
            broken.violation,
            broken.blame.site,
            _exhibit(self.bench.adapter, broken),
            tuple(stage.struck),
            models=broken.blame.models,
            instead=broken.program,
        )


class Enough(BaseException):
    """A program has been made shorter for long enough. No `Exception`, so that Hypothesis gives up its search as well.

    Otherwise it would go on for as long as it finds anything shorter, which takes minutes even if nothing is carried
    out any more.
    """


class Hunter:
    """A stage that looks for violations of one promise, and ends the hunt after one was made shorter for a while."""

    def __init__(self, stage: StoreStage, claim: str) -> None:
        self.stage = stage
        self.claim = claim
        self.best: Broken | None = None
        self.examples = 0
        self._last = 0
        self._lost = False

    def begin(self, *, looking: bool = False) -> None:
        self.examples += 1
        if self.best is not None and self.examples > self._last:
            raise Enough
        self._lost = False
        self.stage.begin(looking=looking)

    def act(self, step: Any) -> None:
        self._do(lambda: self.stage.act(step))

    def finish(self) -> None:
        self._do(self.stage.finish)

    def end(self) -> None:
        self.stage.end()

    def _do(self, action: Callable[[], None]) -> None:
        if self._lost:
            return
        try:
            action()
        except Broken as broken:
            if not self._wanted(broken):
                self._lost = self.stage.over = True
                return
            self._keep(broken)
            raise

    def _wanted(self, broken: Broken) -> bool:
        """Only this promise; and once one violation is known, only that one is made shorter."""
        if broken.blame.claim != self.claim:
            return False
        return self.best is None or _key(broken) == _key(self.best)

    def _keep(self, broken: Broken) -> None:
        if self.best is None:
            self._last = self.examples + SHRINKS
        if self.best is None or _size(broken) <= _size(self.best):
            self.best = broken


def _key(broken: Broken) -> tuple[str, str]:
    return (broken.violation.kind, str(broken.blame.site))


def _size(broken: Broken) -> tuple[int, int]:
    return (len(broken.program.steps), len(source(broken.program.steps)))


def _held(stage: StoreStage) -> Trial:
    unknown = stage.unknown[0] if stage.unknown and not stage.fired else ""
    return Trial(stage.fired, struck=tuple(stage.struck), unknown=unknown)


def _exhibit(adapter: Any, broken: Broken) -> Exhibit:
    done = "; ".join(broken.lines[-6:]) or "nothing"
    return Exhibit(
        lines=(
            "from harness.testing import *",
            f"from {adapter.__module__} import {adapter.__name__}",
            *broken.program.source(adapter.__name__).splitlines(),
        ),
        told=f"What became of the last steps: {done}.",
        called=f"The fault struck {broken.blame.site}." if broken.blame.site else "No call of the store was struck.",
        reached=f"A program of {len(broken.program.steps)} steps with faults among them",
        found=f"{broken.violation.sentence[:1].upper()}{broken.violation.sentence[1:]}.",
        expected="It should have kept what the contract promises about the last fault.",
        before=broken.before,
        after=broken.after,
        recovered=broken.left,
    )
