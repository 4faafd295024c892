"""Kills and schedules on a certificate: evidence, findings that are confirmed and replayed, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.core.evidence import Certificate, Evidence
from harness.core.scenario import Scenario
from harness.core.verdict import Verdict
from harness.explore.workloads import Extent, workloads
from harness.run.certify import certify_adapter
from harness.run.live import campaign as live
from harness.run.live.campaign import LiveFaults, Series
from harness.run.live.values import Tried
from harness.run.options import Options
from harness.run.replaying import replay
from tests.stores.conduct import LIMIT_S, certified, small_runs, spec
from tests.stores.honest import Sound
from tests.stores.tiny import TINY


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    small_runs(monkeypatch)


def row(certificate: Certificate, scenario: str) -> Evidence:
    return next(row for row in certificate.evidence if row.scenario == scenario)


def test_a_broken_promise_is_told_once_and_can_be_replayed(tmp_path: Path) -> None:
    """Whichever of the scenarios found it; the fault in the counterexample is one that can be repeated."""
    scenarios = ("kills", "kills-at-random", "nemesis")
    certificate = certified(spec("PidLock", "killed.py"), *scenarios, reports=tmp_path / "reports")

    [finding] = certificate.findings
    assert (finding.kind, finding.claim, finding.confirmed) == ("cannot_open", "process_crash", True)
    assert finding.call_site is not None and finding.call_site.function == "PidLock.open"
    assert [claim.verdict for claim in certificate.claims] == [Verdict.FAIL]
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(certificate.to_json()))
    again = replay(file, finding.id, tmp_path / "rebuilt", Options(profile=TINY.name, jobs=1))
    assert again.again, again.seen
    assert [path.name for path in (tmp_path / "rebuilt").iterdir()] == ["lock"]


def test_a_sound_store_is_killed_in_every_way_and_certified(tmp_path: Path) -> None:
    """Only what a clock decides is not repeatable."""
    certificate = certified(spec("Sound", "honest.py"), "kills", "kills-at-random", "nemesis")

    assert certificate.verdict is Verdict.PASS
    rows = {evidence.scenario: evidence for evidence in certificate.evidence}
    assert rows.keys() == {"kills", "kills-at-random", "nemesis"}
    assert all(evidence.faults_fired > 10 for evidence in rows.values())
    assert [name for name, evidence in rows.items() if not evidence.deterministic] == ["kills-at-random"]
    assert rows["kills"].exhausted


def test_what_promises_nothing_about_kills_is_not_killed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from harness import *\nfrom tests.stores.honest import *\n"
        "class Store(Sound):\n    contract = Contract(process_crash=None, power_loss=None, corruption=None)\n"
    )
    certificate = certified(f"{tmp_path / 'mine.py'}:Store", "kills", "nemesis", "nemesis-errors")

    assert [evidence.scenario for evidence in certificate.evidence] == ["nemesis-errors"]
    assert row(certificate, "nemesis-errors").verdict is Verdict.PASS


def test_a_store_that_blocks_after_a_kill_hangs(tmp_path: Path) -> None:
    """It is a finding with the call that left the lock behind, not the end of the run."""
    (tmp_path / "mine.py").write_text(
        "import threading\nfrom tests.stores.killed import *\n"
        "class Store(PidLock):\n"
        "    def open(self, directory):\n"
        "        if (directory / 'lock').exists():\n            threading.Event().wait()\n"
        "        return super().open(directory)\n"
    )
    certificate = certify_adapter(
        f"{tmp_path / 'mine.py'}:Store",
        Options(profile=TINY.name, scenarios=("kills",), jobs=1, time_limit_s=1.0),
    )

    assert {(finding.kind, finding.call_site and finding.call_site.function) for finding in certificate.findings} == {
        ("hang", "PidLock.open")
    }


def test_nothing_is_killed_where_there_is_no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CAN_FORK", False)
    engines = ("kills", "damage")
    scenarios = tuple(Scenario(engine, "process_crash", "", (), "short", engine=engine) for engine in engines)
    faults = LiveFaults(_Campaign(), scenarios, Sound.contract, _Progress())  # type: ignore[arg-type]

    assert [scenario.engine for scenario, _, _ in faults._tried()] == ["damage"]
    assert faults.not_exercised == ["kills: this system has no fork(2)"]


def test_schedules_that_never_fired_leave_the_claim_unknown() -> None:
    """With the reason of the first."""
    scenario = Scenario("nemesis", "process_crash", "", (), "short", engine="nemesis")
    reason = "the schedule 'kill@99' never fired: the workload made 9 calls"
    tried = Tried("here", planned=1, trials=1, idle=1, operations=2, idle_because=reason)

    series = Series(scenario, "process_crash", "acknowledged", [], [tried])
    assert series.concluded() == (Verdict.UNKNOWN, [f"no fault fired: {reason}"])


class _Campaign:
    options = Options(profile="quick", jobs=1, time_limit_s=LIMIT_S)


class _Progress:
    pass


def test_workloads_are_chosen_before_any_is_killed() -> None:
    made = workloads(Sound, seed=0, extent=Extent(4, (), large=False))
    assert live.chosen_workloads(made, TINY.live)
