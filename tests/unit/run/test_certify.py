"""From an adapter to a certificate."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from harness import KEY_VALUE, LOG, Contract, UsageError
from harness.core.evidence import Certificate, certificate_from_json
from harness.core.persistence import MAX_LOSS, PROCESS_CRASH, STRICT, PersistenceModel
from harness.core.scenario import Scenario
from harness.core.trace import Trace, empty_image
from harness.core.verdict import Verdict
from harness.core.workload import Workload
from harness.crash.losses import Losses
from harness.crash.states import Counts, Knowledge
from harness.explore.workloads import Workloads
from harness.inject.nemesis import parse
from harness.judge.classify import Violation
from harness.judge.recovery import Recovery
from harness.run import certify, namespaces
from harness.run.campaign import Campaign, Silent
from harness.run.exploring import Explored, Found, Plan, Tally
from harness.run.judging import Judged
from harness.run.live import campaign
from harness.run.loading import load_adapter
from harness.run.options import PROFILES, Options
from harness.run.planning import plans, survey_plans
from harness.run.pool import Interrupted
from harness.run.recording import Recorded
from harness.run.scenarios import SCENARIOS, selected
from harness.run.weighing import Family, Weighing
from tests.golden.sample import failing
from tests.stores.conduct import certified, reasons, small_runs, spec
from tests.stores.honest import Sound
from tests.stores.tiny import TINY

SOUND = spec("Sound", "honest.py")
KILL = "process-crash"


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    small_runs(monkeypatch)


def store(folder: Path, body: str = "", contract: str = "KILLS", base: str = "Sound") -> str:
    """An adapter in a file of its own."""
    (folder / "mine.py").write_text(
        "from harness import *\nfrom tests.stores.honest import *\nfrom tests.stores.hostile import *\n"
        f"class Store({base}):\n    contract = {contract}\n{body or '    pass'}\n"
    )
    return f"{folder / 'mine.py'}:Store"


# --- the certificate --------------------------------------------------------------------------


def test_a_broken_promise_is_on_the_certificate(tmp_path: Path) -> None:
    """With the finding, and the same certificate from its JSON."""
    certificate = certified(spec("InPlace", "honest.py"), KILL)

    assert certificate.verdict is Verdict.FAIL and certificate.claims[0].reasons == ("broken by process-crash",)
    assert {row.reasons for row in certificate.evidence if row.verdict is Verdict.FAIL} == {("broken in 1 way",)}
    again = certificate_from_json(json.loads(json.dumps(certificate.to_json())), "it")
    assert again.digest() == certificate.digest() and again.findings == certificate.findings


def test_a_kept_promise_is_on_the_certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what was tried within which bounds, on which machine, and where the adapter lies."""
    monkeypatch.chdir(Path(SOUND).parent)
    certificate = certified(SOUND, KILL, "power-loss")

    kill, power = certificate.evidence
    assert certificate.verdict is Verdict.PASS and certificate.adapter == "honest.py:Sound"
    assert (kill.persistence_model, power.persistence_model) == ("process-crash", "strict")
    assert kill.exhausted and kill.states_judged == kill.states_distinct > 0 and kill.deterministic
    assert kill.bounds["all_sequences_up_to_steps"] == 1 and kill.workloads == 4
    assert certificate.environment["jobs"] == 1 and certificate.contract["power_loss_models"] == ["strict"]
    assert certificate.models["strict"]["torn"] == "sector"
    monkeypatch.chdir(tmp_path)
    assert certified(SOUND, KILL).adapter == SOUND


def test_the_same_seed_gives_the_same_certificate() -> None:
    """But for the times; and however many workers there are."""
    one, two = (certified(spec("NoSync", "honest.py"), "power-loss", jobs=jobs) for jobs in (1, 2))

    assert one.digest() == two.digest()


def test_promises_that_nothing_tests_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless only some scenarios were asked for. Several writers need processes."""
    monkeypatch.setattr(campaign, "CAN_FORK", False)
    contract = "Contract(power_loss=None, process_crash='prefix', io_error=None, corruption=None, writers='threads')"

    certificate = certified(store(tmp_path, contract=contract))

    assert {claim.claim: claim.verdict for claim in certificate.claims} == {
        "process_crash": Verdict.PASS,
        "writers": Verdict.UNKNOWN,
    }
    assert 'no scenario of this version tests it; say "one" in the contract' in reasons(certificate)
    assert "process-crash-large: not part of the profile tiny" in certificate.not_exercised


def test_several_writers_are_not_judged_where_what_they_did_is_owed_later(tmp_path: Path) -> None:
    contract = "Contract(power_loss=None, process_crash='prefix', io_error=None, corruption=None, writers='threads')"

    certificate = certified(store(tmp_path, contract=contract), "writers-threads")

    assert [(claim.claim, claim.verdict) for claim in certificate.claims] == [("writers", Verdict.UNKNOWN)]
    assert "owed only later" in reasons(certificate)
    assert "the contract promises nothing about crashes" not in certificate.notes


def test_a_contract_without_crashes_still_needs_an_adapter_that_runs(tmp_path: Path) -> None:
    """Nothing was decided, and a note says why."""
    nothing = "Contract(power_loss=None, process_crash=None, io_error=None, corruption=None)"

    certificate = certified(store(tmp_path, contract=nothing), KILL)

    assert certificate.verdict is Verdict.UNKNOWN and not certificate.claims
    assert "the contract promises nothing about crashes" in certificate.notes
    with pytest.raises(UsageError, match="can't run"):
        certified(store(tmp_path, contract=nothing, base="TakesNothing"), KILL)


def test_what_is_out_of_the_ordinary_is_noted(tmp_path: Path) -> None:
    """Operations that a store can't take, files that it writes elsewhere."""
    body = f"""
    def apply(self, store, operation):
        if isinstance(operation, Delete):
            raise Unsupported("no")
        Path({str(tmp_path / "log")!r}).write_text("x")
        super().apply(store, operation)
"""
    notes = "\n".join(certified(store(tmp_path, body), KILL).notes)

    assert "operations left the workloads because the store can't take them" in notes
    assert "the store writes outside its directory (" in notes


def test_a_machine_without_namespaces_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recovery then sees another path than the recording did."""
    monkeypatch.setattr(namespaces, "refusal", lambda *arguments: "not today")

    certificate = certified(SOUND, KILL)

    assert certificate.verdict is Verdict.PASS
    assert certificate.environment["namespaces"] == "not today"
    assert any("another path" in note for note in certificate.notes)
    assert any(line.startswith("equal paths") for line in certificate.not_exercised)


def test_a_crash_during_recovery_alone_says_nothing_about_a_first_one() -> None:
    """If that breaks the promise already, nothing passes, and nothing is reported under a name not asked for."""
    certificate = certified(spec("NoSync", "honest.py"), "power-loss-recovery")

    assert certificate.verdict is Verdict.UNKNOWN and not certificate.findings
    assert "the first crash breaks the promise already" in reasons(certificate)


def test_time_is_a_backstop(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not tried is not passed."""
    monkeypatch.setitem(PROFILES, TINY.name, dataclasses.replace(TINY, seconds=0.0))

    certificate = certified(SOUND, KILL)

    assert certificate.verdict is Verdict.UNKNOWN
    assert "out of time: the 0 s of the profile tiny were up before any of these workloads" in reasons(certificate)
    assert certificate.notes[0].startswith(f"out of time: the limit of the profile tiny is 0 s. Not tried: {KILL}. ")
    assert certificate.environment["out_of_time"] is True
    assert certificate.decision is not None and certificate.decision.decision == "undecided"


# --- judged again -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judged", "told"),
    [
        (Interrupted(1, "opening the store", "hang", "no return", ""), "opening the store hang in a fresh interpreter"),
        (Judged(Recovery("cannot_open", "it broke"), empty_image()), "in a fresh interpreter it broke"),
        (Judged(Recovery("", "", {"a": "b"}, ()), empty_image()), "in a fresh interpreter read {'a': 'b'}"),
    ],
)
def test_a_state_that_passes_only_once_is_unknown(judged: Any, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm process and a fresh interpreter must agree on the samples."""
    monkeypatch.setattr(Campaign, "judge_again", lambda self, jobs: [judged] * len(jobs))

    certificate = certified(SOUND, KILL)

    assert certificate.verdict is Verdict.UNKNOWN
    assert told in reasons(certificate)


def test_workloads_come_in_waves() -> None:
    """The first of a family is split; only at the end of a wave a broken promise may be done with."""
    known = {("strict", "phantom", "s.py:1"), ("ext4", "hang", "s.py:2")}

    assert certify._worth_more("btrfs", known, set(), last=True)  # not broken
    assert certify._worth_more("strict", known, known, last=True)  # by something new
    assert certify._worth_more("strict", known, set(), last=False)
    assert not certify._worth_more("strict", known, set(), last=True)
    assert not certify._worth_more("ext4", known, known, last=False)  # each further hang costs the time limit


def test_samples_are_spread() -> None:
    """Evenly, and all of them if there are few."""
    assert certify._spread([1, 2], 3) == [1, 2]
    assert certify._spread(list(range(10)), 3) == [0, 3, 6]


# --- resumed ----------------------------------------------------------------------------------


def resumable(monkeypatch: pytest.MonkeyPatch, adapter: str, reports: Path, **options: Any) -> tuple[Certificate, int]:
    """A certificate, and how many jobs had to be explored for it."""
    explored: list[str] = []
    note = Campaign._note

    def noted(self: Campaign, job: Any, result: Explored, resume: bool) -> None:
        explored.extend([job.name] if resume else [])
        note(self, job, result, resume)

    with monkeypatch.context() as patch:
        patch.setattr(Campaign, "_note", noted)
        return certified(adapter, KILL, reports=reports, **options), len(explored)


def test_what_was_explored_is_not_explored_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With --resume; but never after the store has changed."""
    adapter = store(tmp_path)
    prepared = certify.load_adapter(adapter)  # so that nothing is imported between the runs
    first, all_jobs = resumable(monkeypatch, adapter, tmp_path / "reports")
    again, none = resumable(monkeypatch, adapter, tmp_path / "reports", resume=True)
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text() + "# changed\n")
    _, changed = resumable(monkeypatch, adapter, tmp_path / "reports", resume=True)

    assert prepared.name == first.store and again.digest() == first.digest()
    assert (all_jobs, none, changed) == (4, 0, 4)


def test_a_journal_that_cannot_be_written_is_told_so(tmp_path: Path) -> None:
    """In one sentence."""
    (tmp_path / ".resume").write_text("")

    with pytest.raises(UsageError, match="name another directory with --reports"):
        certified(SOUND, KILL, reports=tmp_path)


# --- plans ------------------------------------------------------------------------------------


def test_only_what_is_promised_is_planned() -> None:
    """And only what the scenarios try; each model once, the presets in their order, then the user's own."""
    own = PersistenceModel(name="own", summary="of the user")
    contract = Contract(power_loss="synced", power_loss_models=(own, "strict", "max-loss", STRICT))

    assert plans(contract, SCENARIOS) == (
        Plan(PROCESS_CRASH, "process_crash", ("acknowledged",)),
        Plan(MAX_LOSS, "power_loss", ("synced",)),
        Plan(STRICT, "power_loss", ("synced",)),
        Plan(own, "power_loss", ("synced",)),
    )
    assert plans(contract, selected((KILL,))) == plans(contract, SCENARIOS)[:1]
    assert plans(Contract(process_crash=None, power_loss=None), SCENARIOS) == ()


def test_a_survey_plans_everything_that_a_store_could_promise() -> None:
    """Without a sync it can't promise anything about one."""
    assert {plan.promises for plan in survey_plans(Sound)} == {("acknowledged", "prefix")}
    syncing = type("Syncing", (), {"model": KEY_VALUE, "operations": (__import__("harness").Sync,)})
    assert {plan.promises for plan in survey_plans(syncing)} == {("acknowledged", "synced", "prefix")}
    assert survey_plans(type("Own", (), {"model": object()}))[0].promises == ("acknowledged", "synced", "prefix")
    assert len(survey_plans(type("Log", (), {"model": LOG}))) == 6


# --- weighed ----------------------------------------------------------------------------------

STRICTLY = Plan(STRICT, "power_loss", ("acknowledged",))
SHORT = Scenario("power-loss", "power_loss", "tries", ("f",), "short")
RECOVERY = dataclasses.replace(SHORT, name="power-loss-recovery", during_recovery=True)


def weighed(
    scenario: Scenario, explored: list[Explored], elsewhere: tuple[Explored, ...] = (), **recorded: Any
) -> Any:
    """The evidence for one workload of which this was found; `elsewhere` was found of one in another family."""
    workload = Workload("short-0", ())
    family = Family((workload,), [Recorded("short-0", "0.trace", 9, 3, **recorded)], explored)
    families = {"short": family, "long": Family((workload,), [], list(elsewhere))}
    made = Workloads((workload,), (), (), 1, 1)
    weighing = Weighing((scenario,), (STRICTLY,), families, made, Options(), ())
    [row] = weighing.evidence()
    return row


def explored(*found: Found, crash_points: int = 5, distinct: int = 4, nested: Counts | None = None) -> Explored:
    tally = Tally(Counts(6, distinct, crash_points), nested or Counts(), nested_blind="")
    return Explored("short-0", {"strict": tally}, list(found), 4, [], 1.0, {})


def violation(*, inner: bool = False) -> Found:
    trace = Trace(empty_image(), (), (), "") if inner else None
    what = ("strict", "power_loss", "acknowledged", Violation("phantom", "it"), "short-0", 1, Knowledge(), Losses())
    return Found(*what, None, empty_image(), None, (), trace)


def test_what_was_not_tried_does_not_pass() -> None:
    """Each reason has its own sentence."""
    hidden = (("sync by native code possible", "ctypes has fsync", "use strace"),)
    left_out = dataclasses.replace(explored(), tallies={})
    for row, reason in (
        (weighed(SHORT, [explored(crash_points=0)]), "no fault fired"),
        (weighed(SHORT, []), "the 900 s of the profile standard were up before any of these workloads was explored"),
        (weighed(SHORT, [left_out]), "not tried"),
        (weighed(SHORT, [dataclasses.replace(left_out, late=True)]), "the 150 s for one workload"),
        (weighed(SHORT, [left_out], (explored(violation()),)), "left out, because the promise was broken"),
        (weighed(SHORT, [explored(violation())], unseen=hidden), "a violation was found, but ctypes has fsync"),
        (weighed(dataclasses.replace(SHORT, minimum_operations=9), [explored()]), "no workload acknowledged 9"),
        (weighed(RECOVERY, [explored(violation())]), "the first crash breaks the promise already"),
    ):
        assert row.verdict is Verdict.UNKNOWN, reason
        assert any(reason in line for line in row.reasons), (reason, row.reasons)


def test_what_was_tried_and_held_passes() -> None:
    """Also where no recovery led to a new content."""
    assert weighed(SHORT, [explored()]).verdict is Verdict.PASS
    row = weighed(RECOVERY, [explored()])
    assert row.verdict is Verdict.PASS and "no recovery led to a new content" in row.reasons[0]
    assert weighed(RECOVERY, [explored(nested=Counts(3, 2, 1))]).reasons == ()


def test_what_passed_without_being_tried_to_the_end_says_so() -> None:
    """With the limit of the profile; but not where the model had other reasons to be left alone."""
    cut = weighed(SHORT, [dataclasses.replace(explored(), late=True)])
    assert cut.verdict is Verdict.PASS
    assert cut.reasons == (
        "out of time: the 150 s for one workload (of the 900 s of the profile standard) were up before "
        "1 of 1 workloads were explored to the end under this model",
    )
    later = {"strict": Tally(Counts(6, 4, 5)), "ext4": Tally()}
    assert weighed(SHORT, [dataclasses.replace(explored(), late=True, tallies=later)]).reasons == ()
    broken = weighed(SHORT, [dataclasses.replace(explored(violation()), late=True)])
    assert broken.reasons == ("broken in 1 way",)


def test_what_broke_fails_where_it_broke() -> None:
    """A crash during recovery is evidence of its own scenario."""
    assert weighed(SHORT, [explored(violation())]).verdict is Verdict.FAIL
    assert weighed(SHORT, [explored(violation(inner=True))]).verdict is Verdict.PASS
    assert weighed(RECOVERY, [explored(violation(inner=True))]).verdict is Verdict.FAIL


def test_a_recovery_that_was_not_seen_is_unknown() -> None:
    """The reason is that of the recorder."""
    blind = explored()
    blind.tallies["strict"].nested_blind = "a file was mapped"

    assert weighed(RECOVERY, [blind]).reasons == ("a file was mapped",)


def test_a_violation_that_does_not_happen_again_breaks_nothing() -> None:
    """And leaves nothing certain: UNKNOWN, with that reason."""
    row = weighed(SHORT, [explored(violation())])
    flaky = dataclasses.replace(failing().findings[0], claim="power_loss", confirmed=False)
    weighing = Weighing((SHORT,), (STRICTLY,), {}, Workloads((), (), (), 1, 1), Options(scenarios=("power-loss",)), ())

    [claim] = weighing.claims(Contract(), (row,), (flaky,))
    assert claim.verdict is Verdict.UNKNOWN and "did not happen again" in claim.reasons[-1]
    [claim] = weighing.claims(Contract(), (row,), (flaky, dataclasses.replace(flaky, confirmed=True)))
    assert claim.verdict is Verdict.FAIL


def test_what_a_journal_has_of_other_schedules_is_not_used() -> None:
    """Nor is a schedule taken that puts to the test what nobody promised."""

    def fingerprint(*schedules: str) -> str:
        options = Options(schedules=tuple(map(parse, schedules)))
        return certify.Run(SOUND, load_adapter(SOUND), options, Silent())._fingerprint()

    assert fingerprint("kill@3") == fingerprint("kill@3")
    assert len({fingerprint(), fingerprint("kill@3"), fingerprint("kill@4"), fingerprint("kill@3", "kill@4")}) == 4
    with pytest.raises(UsageError, match=r"'eio@3' puts io_error to the test, and the contract promises nothing"):
        fingerprint("eio@3")


def test_schedules_choose_the_scenarios_that_run_them_beside_those_that_are_named() -> None:
    def names(*schedules: str, scenarios: tuple[str, ...] = ()) -> list[str]:
        return [scenario.name for scenario in selected(scenarios, tuple(map(parse, schedules)))]

    assert names("kill@3") == ["nemesis"]
    assert names("kill@3, damage@3", "eio@2") == ["nemesis-errors", "nemesis-damage"]
    assert names("eio@2", scenarios=("kills", "nemesis")) == ["kills", "nemesis-errors"]
    assert len(names()) == len(SCENARIOS)
