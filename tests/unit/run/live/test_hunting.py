"""Hunts: Hypothesis as an engine of live faults, on the certificate and in replays."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from harness import Put
from harness.core.program import DamageFile, FailSync, KillWriter, PowerCut, Program, TurnClock
from harness.core.workload import Workload
from harness.crash.materialize import Materializer
from harness.judge.classify import Violation
from harness.run.encoding import decode_value, encode_value, operation_types
from harness.run.live import campaign, hunting
from harness.run.live.bench import Bench
from harness.run.live.breaking import Blame, Broken
from harness.run.live.engines import fault_types
from harness.run.live.hunting import Enough, Hunt, Hunter, MachineEngine
from harness.run.options import PROFILES, LiveExtent, Options
from harness.run.replaying import replay
from tests.stores import machined, skewed
from tests.stores.conduct import LIMIT_S, certified, spec
from tests.stores.tiny import TINY


class Nobody:
    """A board that nobody reads."""

    def enter(self, unit: int, phase: str) -> None: ...

    def leave(self) -> None: ...

    def adopt(self) -> None: ...


def engine(adapter: Any, directory: Path, claim: str, promise: str, **extra: int) -> MachineEngine:
    data = directory / "data"
    data.mkdir(exist_ok=True)
    bench = Bench(adapter, data, Materializer(data), Nobody(), 0, extra=extra)
    return MachineEngine(bench, Workload("hunt 0", ()), claim, promise)


def test_a_hunt_finds_a_short_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No step of it can be left out, and the program itself shows it again, without Hypothesis."""
    monkeypatch.setattr(hunting, "SHRINKS", 5)
    made = engine(machined.NoDirectorySync, tmp_path, "power_loss", "acknowledged", examples=10, steps=10)
    assert made.rehearse() == "" and made.operations >= 2
    trial = made.attempt(*made.faults())
    assert trial.violation is not None and trial.violation.kind == "lost_acknowledged"
    assert 2 <= len(trial.instead.steps) <= 6 and trial.fired
    assert trial.exhibit is not None and trial.exhibit.lines[2].startswith("play(NoDirectorySync, (")

    again = made.attempt(trial.instead)
    assert again.violation == trial.violation and again.site == trial.site


def test_a_hunt_turns_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program that is left needs it, and little else; it can be pasted, and shows the same."""
    monkeypatch.setattr(hunting, "SHRINKS", 5)
    made = engine(OrderOnly, tmp_path, "process_crash", "acknowledged", examples=10, steps=10)
    trial = made.attempt(*made.faults())
    assert trial.violation is not None and trial.violation.kind == "torn_operation"
    assert sum(isinstance(step, TurnClock) for step in trial.instead.steps) <= 2 and len(trial.instead.steps) <= 5
    assert trial.site is not None and trial.site.function == "Stamped.stamp"
    assert trial.exhibit is not None and any("TurnClock(" in line for line in trial.exhibit.lines)
    again = made.attempt(trial.instead)
    assert again.violation == trial.violation and again.site == trial.site


class OrderOnly(skewed.Stamped):
    """Writes each record whole, so that only a clock can do it harm."""

    def apply(self, store: Path, operation: Any) -> None:
        line = (json.dumps([self.stamp(), operation.record]) + "\n").encode()
        held = store.read_bytes() if store.exists() else b""
        store.with_name("new").write_bytes(held + line)
        store.with_name("new").replace(store)


def test_the_same_seed_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was hunted before."""
    monkeypatch.setattr(hunting, "SHRINKS", 3)
    monkeypatch.setattr(hunting, "REDUCTIONS", 8)
    found = []
    for _ in range(2):
        made = engine(machined.RefusesAfterCrash, tmp_path, "process_crash", "acknowledged", examples=10, steps=8)
        found.append(made.attempt(*made.faults()))
        engine(machined.Careful, tmp_path, "io_error", "fails_cleanly").attempt(Hunt(5, 1, 3))
    assert found[0].violation is not None and found[0].instead == found[1].instead


def test_a_sound_store_is_left_alone(tmp_path: Path) -> None:
    for claim, promise in (("power_loss", "acknowledged"), ("corruption", "detected")):
        made = engine(machined.Careful, tmp_path, claim, promise, examples=4, steps=10)
        trial = made.attempt(*made.faults())
        assert trial.violation is None and trial.fired and not trial.unknown


def test_a_hang_ends_the_hunt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(machined.Waits, tmp_path, "process_crash", "acknowledged", examples=20, steps=10)
    original = made._stage
    monkeypatch.setattr(made, "_stage", lambda: _short(original()))
    trial = made.attempt(*made.faults())
    assert trial.violation is not None and trial.violation.kind == "hang"


def _short(stage: Any) -> Any:
    stage.time_limit_s = 0.5
    return stage


def test_a_store_that_cannot_run_is_refused(tmp_path: Path) -> None:
    made = engine(machined.Undone, tmp_path, "process_crash", "acknowledged", examples=2, steps=2)
    assert "raised OSError" in made.rehearse()
    trial = made.attempt(*made.faults())
    assert not trial.fired and trial.violation is None and "without any fault" in trial.unknown


class Scripted:
    """A stage that breaks one promise at "bad" and another at "other"."""

    def __init__(self) -> None:
        self.acts = 0
        self.over = False
        self.steps: list[str] = []

    def begin(self, *, looking: bool = False) -> None:
        self.steps = []

    def act(self, step: str) -> None:
        self.acts += 1
        self.steps.append(step)
        claim = {"bad": "power_loss", "other": "io_error"}.get(step)
        if claim:
            raise Broken(machined.Careful, Blame(claim), Violation("torn_operation", ""), Program((*self.steps,)), ())

    def finish(self) -> None: ...

    def end(self) -> None: ...


def test_a_hunter_ends_the_hunt_when_it_has_tried_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other promises are not its business; after so many examples there is not another one."""
    monkeypatch.setattr(hunting, "SHRINKS", 1)
    script: Any = Scripted()
    hunter = Hunter(script, "power_loss")
    hunter.begin()
    hunter.act("other")
    hunter.act("bad")
    assert hunter.best is None
    hunter.begin()
    hunter.act("fine")
    with pytest.raises(Broken):
        hunter.act("bad")
    hunter.begin()
    with pytest.raises(Broken) as caught:
        hunter.act("bad")
    acts = script.acts
    with pytest.raises(Enough):
        hunter.begin()
    hunter.end()
    assert caught.value is hunter.best and script.acts == acts
    assert hunter.best.program.steps == ("bad",)


def test_hypothesis_draws_no_more_examples_than_may_be_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would shrink for minutes what is long, even if nothing of it is carried out."""
    monkeypatch.setattr(hunting, "SHRINKS", 4)
    begun: list[int] = []
    original = Hunter.begin

    def begin(self: Hunter, *, looking: bool = False) -> None:
        begun.append(0 if self.best is None else 1)
        original(self, looking=looking)

    monkeypatch.setattr(Hunter, "begin", begin)
    made = engine(machined.NoDirectorySync, tmp_path, "power_loss", "acknowledged", examples=10, steps=10)
    trial = made.attempt(*made.faults())
    assert trial.violation is not None and sum(begun) == 4 + 1


def test_programs_survive_a_certificate() -> None:
    steps = (Put("k", "v"), KillWriter(3), DamageFile(1), TurnClock("set", -2.5), FailSync(2, "late"), PowerCut())
    program = Program(steps, True)
    types = {**operation_types(machined.Careful), **fault_types()}
    assert decode_value(json.loads(json.dumps(encode_value(program))), types) == program


def test_a_finding_on_the_certificate_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a hunt, confirmed in a fresh interpreter, and rebuilt from the certificate alone."""
    live = LiveExtent(1, 0, large=False, faults=10, hunt_examples=20, hunt_steps=12)
    monkeypatch.setitem(PROFILES, TINY.name, dataclasses.replace(TINY, live=live))
    certificate = certified(spec("RefusesAfterCrash", "machined.py"), "machine-kill")
    finding = certificate.findings[0]
    assert (finding.claim, finding.kind, finding.confirmed) == ("process_crash", "not_writable", True)
    assert finding.operations[2].startswith("play(RefusesAfterCrash, (")
    evidence = next(item for item in certificate.evidence if item.scenario == "machine-kill")
    assert evidence.faults_fired and evidence.deterministic

    (tmp_path / "c.json").write_text(json.dumps(certificate.to_json()))
    replayed = replay(tmp_path / "c.json", finding.id, tmp_path / "state", Options(jobs=1, time_limit_s=LIMIT_S))
    assert replayed.again
    assert not list(Path.cwd().glob("tests/stores/.hypothesis/examples"))


def test_without_hypothesis_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scenarios are left out, because no machine could run them."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    made: Any = campaign.LiveFaults(_Campaign(), _scenarios(), machined.Careful.contract, None)  # type: ignore[arg-type]
    assert {scenario.engine for scenario, _, _ in made._tried()} == {"damage"}
    assert made.not_exercised and all("Hypothesis is not installed" in reason for reason in made.not_exercised)


class _Campaign:
    options = Options(jobs=1)


def _scenarios() -> Any:
    from scenarios import damage, machine

    return (damage.SCENARIOS[0], *machine.SCENARIOS)
