"""Stores that hide, hang, fork, exit or watch: none passes that loses data, none fails that is sound."""

from __future__ import annotations

import os

import pytest

from harness.core.errors import UsageError
from harness.core.verdict import Verdict
from harness.report.console import certificate_text
from harness.report.html import render_html
from harness.report.junit import render_junit
from tests.stores.conduct import certified, reasons, small_runs, spec, verdicts
from tests.stores.hostile import WATCHED

KILL = "process-crash"
POWER = "power-loss"
SHORT_LIMIT_S = 0.4


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    small_runs(monkeypatch)


def only_these_name_a_test_tool(monkeypatch: pytest.MonkeyPatch, *variables: str) -> None:
    """What a store could know a test by is the same on every machine, whatever was exported there."""
    for name in [name for name in os.environ if any(word in name for word in WATCHED)]:
        monkeypatch.delenv(name)
    for name in variables:
        monkeypatch.setenv(name, "x")


# --- what is hidden ---------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["WatchesEnvironment", "WatchesPath", "WatchesArguments"])
def test_a_store_that_behaves_when_it_is_tested_is_still_found_out(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of test tools, the path and the arguments do not tell a store who runs it."""
    only_these_name_a_test_tool(
        monkeypatch, "PYTEST_CURRENT_TEST", "HARNESS_RUNS", "__TOX_ENVIRONMENT_VARIABLE_ORIGINAL_CI"
    )

    certificate = certified(spec(store), KILL)

    assert certificate.verdict is Verdict.FAIL
    assert [finding.kind for finding in certificate.findings] == ["cannot_open"]


def test_a_cache_in_a_module_hides_no_loss() -> None:
    """What a process remembers is not on the disk: fresh interpreters disagree, and nothing passes."""
    certificate = certified(spec("ModuleCache"), KILL)

    assert certificate.verdict is not Verdict.PASS


# --- what the recorder does not see -----------------------------------------------------------


@pytest.mark.parametrize(
    ("store", "reason", "remedy"),
    [
        ("Database", "sqlite3 has the database pairs.db open", "Python's own file functions"),
        ("Mapped", "mapped for writing", "through a mapping"),
        ("Subprocess", "subprocess", "Python's own file functions"),
        ("Forks", "fork", "Python's own file functions"),
    ],
)
def test_what_the_recorder_cannot_see_is_unknown(store: str, reason: str, remedy: str) -> None:
    """Neither PASS nor FAIL; the certificate says what was hidden, what is recorded, and who does without."""
    certificate = certified(spec(store), KILL)

    assert certificate.verdict is Verdict.UNKNOWN and not certificate.findings
    assert reason in reasons(certificate) and remedy in reasons(certificate)
    assert "real kills do without" in reasons(certificate)
    assert not {"strace", "FUSE"} & set(reasons(certificate).split())


def test_extended_attributes_are_kept_by_kills_and_damage_and_unknown_to_crash_states() -> None:
    """Who gives a directory to another process, or to a judge, gives it with the attributes."""
    certificate = certified(spec("Attributed", "attributed.py"), KILL, "kills", "nemesis")

    assert [row.verdict for row in certificate.evidence] == [Verdict.UNKNOWN, Verdict.PASS, Verdict.PASS]
    assert "os.setxattr was called" in reasons(certificate) and not certificate.findings


def test_a_sync_by_ctypes_is_no_missing_sync() -> None:
    """A loss of power stays undecided, a kill is judged as ever."""
    certificate = certified(spec("SyncByCtypes"), KILL, POWER)

    assert verdicts(certificate) == {"process_crash": Verdict.PASS, "power_loss": Verdict.UNKNOWN}
    assert "the C function fsync was looked up" in reasons(certificate)
    assert not certificate.findings


def test_a_sync_bound_at_import_is_seen() -> None:
    """`from os import fsync` in a store is recorded like any other fsync."""
    assert certified(spec("ImportedSync"), POWER).verdict is Verdict.PASS


# --- what does not come back ------------------------------------------------------------------


def test_a_recovery_that_hangs_is_a_finding() -> None:
    """The search ends, although every recovery from such a state would hang."""
    certificate = certified(spec("HangsInOpen"), KILL, time_limit_s=SHORT_LIMIT_S)

    [finding] = certificate.findings
    assert certificate.verdict is Verdict.FAIL
    assert (finding.kind, finding.confirmed) == ("hang", True)
    assert "opening the store did not return" in finding.summary


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("ExitsInOpen", "opening the store ended its process"),
        ("SystemExitInOpen", "opening the store raised SystemExit: locked"),
        ("TakesMemory", "opening the store raised MemoryError"),
    ],
)
def test_a_recovery_that_ends_its_process_is_a_finding(store: str, told: str) -> None:
    """Also one that asks for all memory."""
    certificate = certified(spec(store), KILL)

    [finding] = certificate.findings
    assert certificate.verdict is Verdict.FAIL
    assert (finding.kind, finding.confirmed) == ("cannot_open", True)
    assert told in finding.summary


def test_a_store_that_can_not_be_opened_twice_fails() -> None:
    """A reopening that fails without any fault ends the workload, and the crash states show the damage."""
    certificate = certified(spec("CannotReopen"), KILL)

    assert certificate.verdict is Verdict.FAIL
    assert "cannot_open" in {finding.kind for finding in certificate.findings}


# --- bad guests -------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["Talks", "ChangesProcess", "BackgroundWriter", "AbsolutePaths", "CounterStore"])
def test_a_sound_store_passes_however_it_behaves(store: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Noise, process-wide settings, threads, absolute paths and a model of its own are no defects."""
    certificate = certified(spec(store), KILL)

    assert certificate.verdict is Verdict.PASS and not certificate.findings
    assert capfd.readouterr() == ("", "")


def test_a_thread_that_writes_after_the_acknowledgement_is_too_late() -> None:
    """What a thread has yet to write when the client is told is lost in a crash."""
    certificate = certified(spec("LateWriter"), KILL)

    assert certificate.verdict is Verdict.FAIL
    assert {finding.kind for finding in certificate.findings} == {"lost_acknowledged"}
    assert not any(row.deterministic for row in certificate.evidence)


def test_a_thread_that_goes_on_after_close_fails_nobody() -> None:
    """What it writes can't be told from what others would write: nothing is decided."""
    certificate = certified(spec("Ticker"), KILL)

    assert certificate.verdict is Verdict.UNKNOWN and not certificate.findings


def test_markup_stays_text() -> None:
    """Names and values of a store are shown, never obeyed, in any report."""
    certificate = certified(spec("MarkedStore"), KILL)
    page, junit = render_html(certificate), render_junit([certificate])

    assert certificate.verdict is Verdict.FAIL
    assert "<script>alert(1)" not in page and "<script>alert(1)" not in junit
    assert "<script>alert(1)</script>[bold]" in certificate_text(certificate)


# --- what cannot run --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("NeverAcknowledges", "every operation failed without any fault (Put("),
        ("TakesNothing", "there was no operation that it takes"),
        ("ExitsInApply", "raised SystemExit: 0"),
        ("DiesInApply", "an operation ended its process without any fault (SIGSEGV"),
        ("CannotOpenEmpty", "can't open a new store (line "),
        ("CannotBeRead", "can't read a new store (line "),
        ("ReadsLazily", "can't read a new store: TypeError: snapshot returned a generator, which can't be copied"),
        ("CannotBeClosed", "can't close the store (line "),
        ("NeedsArguments", "can't be constructed without arguments"),
        ("RaisesInConstructor", "ConnectionError: no server."),
        ("StepRaises", "model can't follow its own operations (line "),
        ("EqualRaises", "ArithmeticError: cannot compare."),
        ("ExamplesRaise", "model gives no workload (line "),
        ("LocalOperations", "model gives no workload: "),
    ],
)
def test_an_adapter_that_cannot_run_is_told_so(store: str, told: str) -> None:
    """One sentence, that names the line of the user's code where there is one, and none of ours."""
    with pytest.raises(UsageError) as raised:
        certified(spec(store), KILL)

    sentence = str(raised.value)
    assert told in sentence
    assert "\n" not in sentence and "harness/run" not in sentence


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("ChangesStates", "step of the model changes the state that it is given (in Bump("),
        ("WrongType", "snapshot returned a list for a new store: KEY_VALUE needs a dict[str, str]."),
        ("Encoded", "snapshot returned values of type bytes for a new store after Put("),
        ("Deep", "snapshot returned <a list nested 5000 levels deep, too deep to copy> for a new store"),
    ],
)
def test_an_adapter_that_nothing_can_be_judged_by_is_told_so(store: str, told: str) -> None:
    """Whatever scenario is asked for: what comes later is judged by its model and its snapshots."""
    for scenario in (KILL, "damage"):
        with pytest.raises(UsageError) as raised:
            certified(spec(store, "unfit.py"), scenario)
        assert told in str(raised.value)


@pytest.mark.parametrize(
    ("store", "scenario", "told"),
    [
        ("PricklyWhenTorn", KILL, "which nobody wrote"),
        ("PricklyWhenTorn", "kills", "which nobody wrote"),
        ("DeepWhenTorn", KILL, "the snapshot is a NestedTooDeep, not a dict"),
        ("PricklyWhenDamaged", "damage", "without exception or signal"),
        ("DeepWhenDamaged", "damage", "nested 5001 levels deep, too deep to copy"),
    ],
)
def test_what_cannot_be_compared_is_a_finding_once_there_was_a_fault(store: str, scenario: str, told: str) -> None:
    """And no failure of the harness."""
    certificate = certified(spec(store, "unfit.py"), scenario)

    assert certificate.verdict is Verdict.FAIL
    assert all(finding.confirmed for finding in certificate.findings)
    assert any(told in finding.summary for finding in certificate.findings)


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("NeverReturns", "an operation did not return without any fault"),
        ("HangsInFirstOpen", "opening the store did not return without any fault"),
    ],
)
def test_an_adapter_that_hangs_without_any_fault_is_told_so(store: str, told: str) -> None:
    """A hang before any fault is no finding."""
    with pytest.raises(UsageError, match=told):
        certified(spec(store), KILL, time_limit_s=SHORT_LIMIT_S)
