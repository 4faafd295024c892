"""From violations to findings: merged, shortened, confirmed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Put
from harness.core.errors import UsageError
from harness.core.persistence import PROCESS_CRASH
from harness.core.trace import CallSite, empty_image
from harness.core.workload import Reopen, Workload
from harness.crash.losses import Losses
from harness.crash.states import Knowledge
from harness.judge.classify import Violation
from harness.record import uninstall
from harness.run import findings
from harness.run.exploring import Found, Plan
from harness.run.findings import Case, confirmed, easiest, grouped, interrupts, reduced
from harness.run.pool import Interrupted
from tests.stores.conduct import small_runs
from tests.stores.honest import InPlace, Sound
from tests.stores.local import Local

KILL = Plan(PROCESS_CRASH, "process_crash", ("acknowledged",))
LONG = Workload("long-0", (Put("a", "1"), Reopen(), Put("b", "2"), Put("c", "3")))


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small_runs(monkeypatch)
    yield
    uninstall()


def case(kind: str = "phantom", line: int = 1, model: str = "strict", begun: int = 1, **more: Any) -> Case:
    claim = "process_crash" if model == "process-crash" else "power_loss"
    found = Found(
        *(model, claim, "acknowledged", Violation(kind, "it is so"), "short-0", 3, Knowledge(begun=begun), Losses()),
        *(CallSite("store.py", line, "write"), empty_image(), None, ()),
        **more,
    )
    return Case(found, Workload("short-0", (Put("a", "1"),)), "0.trace", KILL, 1, claim)


# --- merged -----------------------------------------------------------------------------------


def test_what_shares_kind_and_call_site_is_one_finding() -> None:
    """It lists all models in their order, and the easiest case tells the story."""
    members = [case(model="strict", begun=3, seconds=2.0), case(model="process-crash", begun=2, seconds=5.0)]

    [group] = grouped(members, ["process-crash", "strict"])

    assert group.models == ("process-crash", "strict")
    assert group.claims == ("process_crash", "power_loss") and group.scenarios == group.claims
    assert (group.best, group.seconds) == (members[1], 2.0)


def test_where_a_kill_is_enough_a_kill_tells_the_story() -> None:
    """Also where a power cut shows the same after fewer operations, and whatever the models are called."""
    members = [case(model="btrfs", begun=1), case(model="process-crash", begun=2), case(model="max-loss", begun=1)]

    [group] = grouped(members, ["process-crash", "max-loss", "btrfs"])

    assert group.best is members[1] and group.claims[0] == "process_crash"
    [alone] = grouped(members[:1], ["btrfs"])
    assert alone.best.found.claim == "power_loss"


def test_another_line_or_another_kind_is_another_finding() -> None:
    """The easiest of a claim comes first."""
    groups = grouped([case(begun=4), case(kind="hang", begun=2), case(line=2, begun=3)], ["strict"])

    assert [group.best.found.knowledge.begun for group in groups] == [2, 3, 4]


def test_what_needs_more_lines_than_another_tells_no_cause() -> None:
    """Whoever lost two lines may have needed one; of another kind, model or without lines it stands for itself."""
    first, second = CallSite("store.py", 1, "write"), CallSite("store.py", 2, "write")
    alone = case(line=2, sites=frozenset((second,)))
    both = case(line=1, sites=frozenset((first, second)))
    others = [
        case(line=1, kind="hang", sites=frozenset((first, second))),
        case(line=3, model="ext4", sites=frozenset((first, second))),
        case(line=4),
    ]

    groups = grouped([both, alone, *others], ["strict", "ext4"])

    assert {group.best.key for group in groups} == {alone.key, *(other.key for other in others)}


def test_the_easiest_of_the_same_kind_is_taken() -> None:
    """Or none, if it does not happen at all."""
    found = [case(begun=3).found, case(begun=1).found, case(line=2).found]

    assert easiest(found, case().key) is found[1]
    assert easiest(found, ("hang", "")) is None


# --- shortened --------------------------------------------------------------------------------


def test_a_long_workload_is_reduced_to_what_is_needed(tmp_path: Path) -> None:
    """One operation suffices to lose an in-place write."""
    local: Any = Local(InPlace, tmp_path)
    [long] = local.cases(LONG, KILL)

    short = reduced(local, long)

    assert len(short.workload.steps) == 1 and short.key == long.key
    assert short.workload.name == "long-0-reduced"


def test_steps_that_a_store_needs_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workload that can't be recorded, or shows nothing, is no shorter counterexample."""
    local: Any = Local(InPlace, tmp_path)
    [long] = local.cases(LONG, KILL)

    def refuse(workloads: list[Workload]) -> Any:
        raise UsageError("not without that")

    local_class = type("Refusing", (Local,), {"record": staticmethod(refuse)})
    folder = tmp_path / "refusing"
    folder.mkdir()
    assert reduced(local_class(InPlace, folder), long) is long
    sound = tmp_path / "sound"
    sound.mkdir()
    assert reduced(Local(Sound, sound), long) is long  # type: ignore[arg-type]


def test_one_try_that_cannot_be_recorded_spoils_no_other(tmp_path: Path) -> None:
    """Tries are made side by side; a store may need a step that one of them leaves out."""

    class NeedsFirst(InPlace):
        def apply(self, store: Path, operation: Any) -> None:
            if operation == Put("a", "1"):
                store.with_name("first").touch()
            super().apply(store, operation)

    class Particular(Local):
        def record(self, workloads: list[Workload]) -> Any:
            if any(Put("a", "1") not in workload.steps for workload in workloads):
                raise UsageError("not without that")
            return super().record(workloads)

    local: Any = Particular(NeedsFirst, tmp_path)
    long = next(item for item in local.cases(LONG, KILL) if item.found.violation.kind == "cannot_open")

    assert reduced(local, long).workload.steps == (Put("a", "1"),)


def test_what_comes_after_the_crash_is_cut_at_once(tmp_path: Path) -> None:
    """However long it is: that costs one try."""
    recorded: list[int] = []

    class Counting(Local):
        def record(self, workloads: list[Workload]) -> Any:
            recorded.extend(len(workload.steps) for workload in workloads)
            return super().record(workloads)

    local: Any = Counting(InPlace, tmp_path)
    [long] = local.cases(Workload("long-0", tuple(Put("a", str(number)) for number in range(30))), KILL)

    assert len(reduced(local, long).workload.steps) == 1
    assert recorded == [30, 1]


def test_a_workload_of_which_nothing_is_left_is_none(tmp_path: Path) -> None:
    """Reopening alone shows nothing."""
    local: Any = Local(InPlace, tmp_path)
    [found] = local.cases(Workload("long-0", (Put("a", "1"), Reopen())), KILL)

    assert reduced(local, found).workload.steps == (Put("a", "1"),)


def test_each_try_of_a_hang_costs_its_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So there are only a few."""
    tried: list[Any] = []

    def in_vain(campaign: Any, case: Case, programs: list[Any]) -> list[None]:
        tried.extend(programs)
        return [None for _ in programs]

    monkeypatch.setattr(findings, "_again", in_vain)
    workload = Workload("long-0", tuple(Put("a", str(number)) for number in range(60)))
    hanging = dataclasses.replace(case(kind="hang"), workload=workload)

    assert reduced(None, hanging) is hanging  # type: ignore[arg-type]
    assert len(tried) == findings.REDUCTIONS_OF_A_HANG
    reduced(None, dataclasses.replace(case(), workload=workload))  # type: ignore[arg-type]
    assert len(tried) == findings.REDUCTIONS_OF_A_HANG + findings.REDUCTIONS


# --- confirmed --------------------------------------------------------------------------------


def test_a_violation_is_confirmed_if_it_happens_again(tmp_path: Path) -> None:
    """And not, if a fresh interpreter shows nothing."""
    local: Any = Local(InPlace, tmp_path)
    [found] = local.cases(Workload("short-0", (Put("a", "1"),)), KILL)
    assert [item.again for item in confirmed(local, [found], InPlace)] == [True]

    class Mended(InPlace):
        def read(self, path: Path) -> dict[str, str]:
            return super().read(path) if path.exists() and path.stat().st_size else {}

    local.adapter = Mended
    [again] = confirmed(local, [found], Mended)
    assert (again.again, again.detail) == (False, "no violation")


@pytest.mark.parametrize(
    ("kind", "how", "again"),
    [
        ("hang", "hang", True),
        ("hang", "died", False),
        ("cannot_open", "died", True),
        ("not_writable", "died", True),
        ("phantom", "died", False),
        ("cannot_open", "hang", False),
    ],
)
def test_a_recovery_that_does_not_end_confirms_its_own_kind(kind: str, how: Any, again: bool, tmp_path: Path) -> None:
    """A hang a hang, and a dead process what fails."""
    outcome = Interrupted(1, "opening the store", how, "SIGKILL", "")
    local: Any = Local(Sound, tmp_path, judged=outcome)

    assert interrupts(kind, outcome) is again
    assert [item.again for item in confirmed(local, [case(kind=kind)], Sound)] == [again]
