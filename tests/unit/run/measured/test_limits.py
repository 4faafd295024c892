"""Limits on a certificate. All time is virtual: the measuring process is this one, with a clock that stands still."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness import UsageError, Verdict
from harness.cli import main
from harness.core.errors import HarnessFault
from harness.core.evidence import Certificate, certificate_from_json
from harness.measure import histogram
from harness.measure.closed_loop import Measured
from harness.report.console import certificate_text
from harness.report.html import render_html
from harness.run.campaign import Silent
from harness.run.measured import limits
from harness.run.measured.limits import Limits
from harness.run.measured.tasks import MeasureJob, Measurement
from harness.run.options import PROFILES, Options
from harness.run.pool import Done, Interrupted
from harness.run.scenarios import SCENARIOS
from tests.stores import limited
from tests.stores.conduct import certified, small_runs, spec, verdicts
from tests.stores.local import Local
from tests.stores.tiny import TINY
from tests.unit.measure.clocks import Diary


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    small_runs(monkeypatch)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Hold an adapter against its limits, here; `later` takes its place in a second measurement."""

    def run(adapter: Any, *, later: Any = None, survey: bool = False, reports: Path | None = None) -> Limits:
        folder = tmp_path / "campaign"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        options = Options(profile=TINY.name, jobs=1, survey=survey, reports=reports)
        made = Limits(Local(adapter, folder, options), adapter, "m:A", SCENARIOS, Silent())  # type: ignore[arg-type]
        lives = iter([(adapter, folder / "first"), (later or adapter, folder / "second")])
        made.measure = lambda job: here(*next(lives), job)
        made.run()
        return made

    return run


def here(adapter: Any, folder: Path, job: MeasureJob) -> Measured:
    return Measurement(adapter, folder, job, limited.METER, Diary()).run()


def test_limits_that_are_met(run: Any) -> None:
    """A claim with its evidence, measured once."""
    made = run(limited.Steady)

    [claim], [row] = made.claims(), made.evidence()
    assert (claim.claim, claim.promised, claim.scenarios) == ("limits", "2 limits", ("limits",))
    assert claim.verdict is Verdict.PASS and not claim.reasons
    assert row.verdict is Verdict.PASS and not row.deterministic and not row.reasons and row.workloads == 1
    assert row.bounds["operations"] == 400 and row.bounds["repetitions"] == 1 and row.bounds["syncs_per_operation"] == 0
    assert made.findings() == ()


def test_a_limit_that_is_missed(run: Any) -> None:
    """20 ms in 2 % of the operations: measured again with more of them, and then it is a finding."""
    made = run(limited.NowAndThen)

    [claim], [finding] = made.claims(), made.findings()
    assert claim.verdict is Verdict.FAIL and claim.reasons == ("apply_p99_ms: the store takes more than its limit",)
    assert (finding.kind, finding.claim, finding.id, finding.confirmed) == (
        *("over_limit", "limits", "limits-apply_p99_ms", True),
    )
    assert finding.summary == "apply_p99_ms is 21 ms, and the adapter promises at most 10 ms"
    assert finding.call_site is None and finding.replay == "harness certify m:A --scenario limits"
    [row] = made.evidence()
    assert row.bounds["operations"] == 1_600 and row.bounds["repetitions"] == 2
    assert row.reasons[0].startswith("apply_p99_ms: measured 21 ms")


def test_a_miss_that_is_not_seen_again(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim stays open, and the finding is told as flaky."""
    enough = dataclasses.replace(TINY, measures=dataclasses.replace(TINY.measures, operations=2_000))
    monkeypatch.setitem(PROFILES, TINY.name, enough)
    made = run(limited.NowAndThen, later=limited.Steady)

    [claim], [finding] = made.claims(), made.findings()
    assert claim.verdict is Verdict.UNKNOWN and not finding.confirmed
    assert claim.reasons == ("apply_p99_ms: missed once, and not again in a fresh process",)


def test_an_adapter_without_limits_is_left_alone(run: Any) -> None:
    """No claim, no evidence, nothing on the certificate; and a survey looks for none."""
    without = type("Without", (limited.Kept,), {"limits": ()})
    for made in (run(without), run(limited.Steady, survey=True)):
        assert (made.claims(), made.evidence(), made.findings(), made.measurements()) == ((), (), (), {})


def test_without_the_extra_nothing_is_known(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """UNKNOWN with what to install, and nothing is measured."""
    monkeypatch.setattr(histogram, "missing", lambda: "it takes the extra `measure`")
    made = run(limited.Steady)

    assert made.claims()[0].verdict is Verdict.UNKNOWN and made.measurements() == {}
    assert made.evidence()[0].reasons[0] == "apply_p99_ms: it takes the extra `measure`"


def test_a_load_that_is_none_is_the_users(run: Any) -> None:
    """Exit status 2, before anything is measured."""

    class Mine(limited.Steady):
        def measured_operations(self, source: Any, count: int) -> list[Any]:
            raise ZeroDivisionError

    with pytest.raises(UsageError, match="gives no load to measure"):
        run(Mine)


@pytest.mark.parametrize(
    ("outcome", "trouble"),
    [
        (Done(Measured(held=7)), ""),
        (Interrupted(0, "apply", "hang", "no return within 9 s", ""), "apply did not return (no return within 9 s)"),
        (Interrupted(0, "open", "died", "SIGKILL", ""), "open ended its process (SIGKILL)"),
        (HarnessFault("A worker died.\nstack"), "the measuring process failed: A worker died."),
    ],
)
def test_what_becomes_of_the_process(
    run: Any, monkeypatch: pytest.MonkeyPatch, outcome: Any, trouble: str, tmp_path: Path
) -> None:
    """A hang or a death is trouble, in words."""

    def once(setup: Any, job: Any, time_limit_s: float) -> Any:
        assert Path(setup.directory).parent.is_dir() and setup.adapter == "m:A"
        if isinstance(outcome, HarnessFault):
            raise outcome
        return outcome

    made = run(type("Without", (limited.Kept,), {"limits": ()}), reports=tmp_path)
    monkeypatch.setattr(limits, "run_once", once)

    assert made._in_fresh_process(MeasureJob("", 1, 1, 1, 1.0)).trouble == trouble
    assert [path.name for path in tmp_path.iterdir()] == ["campaign"]


def test_a_file_system_in_memory_is_the_last_resort(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reports' place first, unless it is in memory and another is not."""
    made = run(type("Without", (limited.Kept,), {"limits": ()}), reports=tmp_path)
    assert made._place() == tmp_path
    monkeypatch.setattr(limits, "file_system_of", lambda path: "tmpfs" if path == tmp_path.resolve() else "ext4")
    assert made._place() != tmp_path
    monkeypatch.setattr(limits, "file_system_of", lambda path: "tmpfs")
    assert made._place() == tmp_path


# --- the whole way ------------------------------------------------------------------------------


def measured_here(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """In this process, on the clock of the stores."""

    def measure(self: Limits, job: MeasureJob) -> Measured:
        self.file_system = "ext4"
        return here(self.adapter, folder / f"measured-{len(list(folder.iterdir()))}", job)

    monkeypatch.setattr(Limits, "_in_fresh_process", measure)


def here_certified(monkeypatch: pytest.MonkeyPatch, folder: Path, store: str, *scenarios: str) -> Certificate:
    measured_here(monkeypatch, folder)
    monkeypatch.setattr("harness.run.certify.load_adapter", lambda spec: getattr(limited, store))
    return certified(spec(store, "limited.py"), *scenarios)


def test_a_certificate_with_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reports show it, and it is the same from its JSON, with the same digest twice."""
    certificate = here_certified(monkeypatch, tmp_path, "NowAndThen", "limits")

    assert verdicts(certificate) == {"limits": Verdict.FAIL}
    again = certificate_from_json(json.loads(json.dumps(certificate.to_json())), "it")
    assert again.digest() == certificate.digest() and again.measurements == certificate.measurements
    text = certificate_text(certificate)
    assert "✗ missed     apply_p99_ms      21 ms, at most 10 ms" in text
    assert "Over a limit: apply_p99_ms is 21 ms" in text and "2 limits measured" in text
    assert 'id="measurements"' in render_html(certificate)
    rows = {row["metric"]: row["verdict"] for row in certificate.measurements["limits"]}
    assert rows == {"apply_p99_ms": "fail", "throughput_per_s": "pass"}
    other = here_certified(monkeypatch, tmp_path, "NowAndThen", "limits")
    assert other.digest() == certificate.digest()


def test_a_real_process_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fresh one, on a real directory; limits that no machine is too slow for are met, whatever it took."""
    arguments = ["certify", spec("Kept", "limited.py"), "--scenario", "limits", "--profile", TINY.name]
    status = main([*arguments, "--jobs", "1", "--reports", str(tmp_path)])

    certificate = json.loads((tmp_path / "kept.json").read_text())
    assert status == 0, capsys.readouterr()
    assert [(row["metric"], row["verdict"]) for row in certificate["measurements"]["limits"]] == [
        *(("descriptors", "pass"), ("allocated_bytes_per_operation", "pass"), ("replay_s", "pass")),
    ]
    assert certificate["measurements"]["replay"]["operations"] >= 400
    assert sorted(path.name for path in tmp_path.iterdir()) == [".resume", "junit.xml", "kept.html", "kept.json"]
