"""`harness endure`: options that can't be, runs that can't go on, and what a certificate makes of a run."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import UsageError, Verdict
from harness.core.evidence import Certificate, certificate_from_json
from harness.measure.arrivals import Schedule
from harness.measure.windows import Held, Reading, Window
from harness.report.html import render_html
from harness.run import enduring
from harness.run.endured import Result, certificate
from harness.run.enduring import FOLDER, EndureOptions, endure
from harness.run.enduring_child import Endured, EndureJob
from harness.run.enduring_files import LeftOut, Progress, boot_id
from harness.run.pool import Interrupted
from tests.unit.measure.virtual import MS, SECOND
from tests.unit.run import enduring_stores as stores

SPEC = "tests.unit.run.enduring_stores:SoundLog"
LIMITED = "tests.unit.run.enduring_stores:LimitedLog"


def options(reports: Path, **changed: Any) -> EndureOptions:
    return EndureOptions(**{"duration_s": 60.0, "schedule": Schedule(20.0), "reports": reports, **changed})


def window(number: int, **changed: Any) -> Window:
    made = Window(number * SECOND, (number + 1) * SECOND, done=1000 * (number + 1), operations=1000, lasted_ns=SECOND)
    for name in ("response", "service", "wait", "lateness", "bare"):
        for _ in range(1000):
            getattr(made, name).record(MS)
    made.reading = Reading(30 << 20, 2, 4096)
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def result(**changed: Any) -> Result:
    made = {
        "outcome": Endured(2000, 2 * SECOND, looks=2),
        "windows": [window(0), window(1)],
        "held": [Held(0, 1000 * number, 30 << 20) for number in range(1, 31)],
        "kills_s": [],
        "confirmed": True,
        "root": Path("/r"),
        **changed,
    }
    return Result(**made)


def issued(tmp_path: Path, adapter: Any = stores.SoundLog, *, closed_loop: bool = False, **changed: Any) -> Certificate:
    return certificate(adapter, SPEC, options(tmp_path, closed_loop=closed_loop), result(**changed))


# --- the certificate -------------------------------------------------------------------------


def test_a_run_without_a_difference_passes(tmp_path: Path) -> None:
    """One claim, one row of evidence, a sentence, and a series; it survives JSON, and has a page."""
    made = issued(tmp_path)
    back = certificate_from_json(json.loads(json.dumps(made.to_json())), "it")

    assert made.verdict is Verdict.PASS
    assert [claim.claim for claim in made.claims] == ["endurance"]
    assert made.claims[0].promised == "1m of operations at 20 per second"
    assert made.statement.startswith("2,000 operations in 2s. The store was opened and compared with its model twice")
    assert (back.digest(), back.series) == (made.digest(), made.series)
    assert "Over time" in render_html(back)


@pytest.mark.parametrize("kind", ["lost_acknowledged", "torn_operation", "cannot_open"])
def test_a_wrong_state_is_a_finding(tmp_path: Path, kind: str) -> None:
    """With where the store was left, and whether a fresh interpreter saw the same."""
    for confirmed in (True, False):
        made = issued(
            tmp_path, outcome=Endured(9, SECOND, 1, wrong="the store shows []", kind=kind), confirmed=confirmed
        )
        (finding,) = made.findings
        assert made.verdict is Verdict.FAIL
        assert (finding.kind, finding.confirmed) == (kind, confirmed)
        assert finding.summary == "the store shows []; the store is left in /r/store"


def test_a_hang_breaks_the_claim(tmp_path: Path) -> None:
    """A call that does not return is a finding."""
    made = issued(tmp_path, outcome=Interrupted(0, "apply", "hang", "10 s", ""))

    assert made.verdict is Verdict.FAIL
    assert [finding.kind for finding in made.findings] == ["hang"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"outcome": Interrupted(0, "apply", "died", "signal 9", "")}, "ended in apply (signal 9)"),
        ({"outcome": Endured(9, SECOND, 1, stopped="10 operations failed")}, "ended early: 10 operations failed"),
        (
            {"windows": [window(0, failed=2)], "outcome": Endured(9, SECOND, 1, first_error="Append raised OSError")},
            "2 operations failed without any fault, the first time as Append raised OSError",
        ),
    ],
)
def test_what_proves_nothing_is_undecided(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    """A process that died, a run that ended early, operations that failed: UNKNOWN, with the reason."""
    made = issued(tmp_path, **changed)

    assert made.verdict is Verdict.UNKNOWN
    assert made.findings == ()
    assert told in made.claims[0].reasons[0]


def test_limits_become_a_claim_of_their_own(tmp_path: Path) -> None:
    """Those that the run says something about; the others are named as not exercised."""
    made = issued(tmp_path, stores.LimitedLog)

    assert [(claim.claim, claim.promised, claim.verdict) for claim in made.claims][1:] == [
        ("limits", "3 limits", Verdict.PASS)
    ]
    assert [limit["metric"] for limit in made.series["limits"]] == [
        *("descriptors", "apply_p50_ms", "growth_bytes_per_operation")
    ]
    assert [text.split(":")[0] for text in made.not_exercised] == ["limit throughput_per_s", "limit open_ms"]


def test_a_missed_limit_is_a_finding(tmp_path: Path) -> None:
    """One sentence with what was measured and what was promised."""
    many = [window(number, reading=Reading(1 << 20, 300, 0)) for number in range(2)]
    made = issued(tmp_path, stores.LimitedLog, windows=many)

    (finding,) = made.findings
    assert (finding.id, finding.kind, finding.claim) == ("over-limit-descriptors", "over_limit", "limits")
    assert finding.operations == ("1m of operations at 20 per second",)
    assert finding.summary == "descriptors is 300: at most 100 promised"
    assert finding.replay == f"harness endure {SPEC} --duration 1m --rate 20 --arrivals poisson --clients 1 --seed 0"


def test_a_closed_loop_says_so(tmp_path: Path) -> None:
    """Its page speaks of service times, and its limits are those of throughput."""
    made = issued(tmp_path, stores.LimitedLog, closed_loop=True)
    page = render_html(made)

    assert made.claims[0].promised == "1m of operations one after another"
    assert "throughput_per_s" in [limit["metric"] for limit in made.series["limits"]]
    assert "Service time, one operation after another" in page


def test_notes_tell_what_a_reader_has_to_know(tmp_path: Path) -> None:
    """Kills, overload, what was left out, a generator that was too slow, and clients that take turns."""
    made = certificate(
        stores.LimitedLog,
        SPEC,
        options(tmp_path, schedule=Schedule(20.0, clients=3)),
        result(windows=[window(0, unstarted=5, unsupported=7, generator_cpu_ns=SECOND)], kills_s=[0.5]),
    )
    notes = " | ".join(made.notes)

    for told in ("stood still", "5 operations due", "7 operations left out", "a kill is lost", "100% of", "turn"):
        assert told in notes
    assert made.series["killed_at_s"] == [0.5]
    assert "killed once" in made.statement


# --- running ---------------------------------------------------------------------------------

Doing = Callable[..., Endured | Interrupted]


@pytest.fixture
def doing(monkeypatch: pytest.MonkeyPatch) -> list[EndureJob]:
    """Runs whose jobs are not done, but answered: each finds nothing."""
    jobs: list[EndureJob] = []

    def answered(place: Any, spec: str, options: EndureOptions, job: EndureJob, span: Any) -> Endured:
        jobs.append(job)
        return Endured(9, 0, looks=1, wrong="" if spec != LIMITED else "bad", kind="torn_operation")

    monkeypatch.setattr(enduring, "_done", answered)
    return jobs


def root_of(reports: Path) -> Path:
    (root,) = (reports / FOLDER).iterdir()
    return root


def test_a_run_that_found_nothing_leaves_no_directory(tmp_path: Path, doing: list[EndureJob]) -> None:
    """Its result is the certificate."""
    assert endure(SPEC, options(tmp_path)).verdict is Verdict.PASS
    assert list((tmp_path / FOLDER).iterdir()) == []
    assert [job.only_look for job in doing] == [False]


def test_a_wrong_state_is_looked_at_again_and_left(tmp_path: Path, doing: list[EndureJob]) -> None:
    """In a fresh interpreter; the store stays for a look, until the next run."""
    assert endure(LIMITED, options(tmp_path)).verdict is Verdict.FAIL
    assert [job.only_look for job in doing] == [False, True]
    (root_of(tmp_path) / "store" / "old").touch()
    endure(LIMITED, options(tmp_path))
    assert not (root_of(tmp_path) / "store" / "old").exists()


@pytest.mark.parametrize(
    ("again", "confirmed"),
    [
        (Endured(9, 0, looks=1), False),
        (Endured(9, 0, looks=0, wrong="bad", kind="torn_operation"), True),
        (Interrupted(0, "open", "hang", "10 s", ""), True),
        (Interrupted(0, "open", "died", "signal 9", ""), False),
    ],
)
def test_a_hang_that_does_not_happen_again_is_not_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: Endured | Interrupted, confirmed: bool
) -> None:
    """It is reported all the same, as flaky."""
    answers = iter([Interrupted(0, "apply", "hang", "10 s", ""), again])
    monkeypatch.setattr(enduring, "_done", lambda *asked: next(answers))
    made = endure(SPEC, options(tmp_path))

    assert made.verdict is Verdict.FAIL
    assert [finding.confirmed for finding in made.findings] == [confirmed]


def test_an_adapter_that_cannot_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails before the first operation is no finding about endurance."""
    cannot = Endured(0, 0, looks=0, wrong="after 0 operations open raised OSError: no", kind="cannot_open")
    monkeypatch.setattr(enduring, "_done", lambda *asked: cannot)
    with pytest.raises(UsageError, match="the adapter can't run: after 0 operations open raised OSError"):
        endure(SPEC, options(tmp_path))


@pytest.mark.parametrize(
    ("name", "told"),
    [("LoadlessLog", "gives no operation that it takes"), ("RaisingLog", r"gives no load \(.*\): ZeroDivisionError")],
)
def test_an_adapter_without_a_load_is_told(tmp_path: Path, name: str, told: str) -> None:
    """Before anything is started."""
    with pytest.raises(UsageError, match=told):
        endure(f"tests.unit.run.enduring_stores:{name}", options(tmp_path))


def test_a_run_goes_on_only_with_the_same_options(tmp_path: Path, doing: list[EndureJob]) -> None:
    """Another rate is another run, and so is another length."""
    endure(LIMITED, options(tmp_path))
    (root_of(tmp_path) / "progress").touch()
    for other in (options(tmp_path, schedule=Schedule(30.0)), options(tmp_path, duration_s=61.0)):
        with pytest.raises(UsageError, match="other options or another version"):
            endure(LIMITED, replace(other, resume=True))

    (root_of(tmp_path) / "store" / "kept").touch()
    endure(LIMITED, options(tmp_path, resume=True))
    assert (root_of(tmp_path) / "store" / "kept").exists()


def test_after_a_start_of_the_machine_nothing_goes_on(
    tmp_path: Path, doing: list[EndureJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts may be older than the store: that would look like lost data, or hide it."""
    endure(LIMITED, options(tmp_path))
    monkeypatch.setattr(enduring, "boot_id", lambda: "another")
    with pytest.raises(UsageError, match="the machine was started again"):
        endure(LIMITED, options(tmp_path, resume=True))


def test_a_run_with_nothing_to_go_on_with_starts(tmp_path: Path, doing: list[EndureJob]) -> None:
    """As `certify --resume` does."""
    assert endure(SPEC, options(tmp_path, resume=True)).verdict is Verdict.PASS


def test_one_run_at_a_time_uses_a_directory(tmp_path: Path, doing: list[EndureJob]) -> None:
    """The second is told, and the first is not disturbed."""
    endure(LIMITED, options(tmp_path))
    descriptor = os.open(root_of(tmp_path), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="in use by another run"):
            endure(LIMITED, options(tmp_path))
    finally:
        os.close(descriptor)


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path, doing: list[EndureJob]) -> None:
    """One sentence."""
    (tmp_path / FOLDER).touch()
    with pytest.raises(UsageError, match="can't be written"):
        endure(SPEC, options(tmp_path))


@pytest.mark.parametrize(
    ("duration_s", "rate", "window_s"), [(10, 100, 1.0), (60, 20, 2.5), (259_200, 100, 60.0), (3_600, 0.1, 150.0)]
)
def test_windows_are_long_enough_for_a_median(tmp_path: Path, duration_s: float, rate: float, window_s: float) -> None:
    """A hundredth of the run, between a second and a minute, and fifty operations where that leaves enough windows."""
    assert options(tmp_path, duration_s=duration_s, schedule=Schedule(rate)).window_s == window_s


def test_a_store_under_load_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Everything real, for a second: worker, clock, files, certificate."""
    made = endure(SPEC, options(tmp_path, duration_s=1.0, schedule=Schedule(50.0, "uniform")))

    assert made.verdict is Verdict.PASS
    assert made.evidence[0].bounds["operations"] + made.series["unstarted"] == 50
    assert list((tmp_path / FOLDER).iterdir()) == []


# --- files -----------------------------------------------------------------------------------


def test_progress_is_there_for_who_opens_it_next(tmp_path: Path) -> None:
    """Whatever was set last, without any call that syncs or closes."""
    one = Progress(tmp_path / "progress")
    one.begin(7)
    with Progress(tmp_path / "progress") as two:
        assert (two.begun, two.in_flight, two.elapsed_ns, two.closed) == (8, True, 0, False)
        one.end(7, 99)
        one.at(100, closed=True)
        assert (two.begun, two.in_flight, two.elapsed_ns, two.closed) == (8, False, 100, True)
    one.close()


def test_a_number_that_was_cut_off_is_ignored(tmp_path: Path) -> None:
    """As a kill in the middle of a write leaves it."""
    left_out = LeftOut(tmp_path / "left-out")
    left_out.add(3, 5)
    with open(tmp_path / "left-out", "ab") as file:
        file.write(b"\x01\x02")

    assert list(left_out.all()) == [3, 5]
    assert list(LeftOut(tmp_path / "none").all()) == []


def test_the_boot_has_an_id_where_the_system_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And none where it does not."""
    path = tmp_path / "boot_id"
    monkeypatch.setattr("harness.run.enduring_files._BOOT_ID", path)
    assert boot_id() == ""
    path.write_text("abc\n")
    assert boot_id() == "abc"
