"""Stores that go wrong after many operations, or with some keys: they are found out, sound twins are left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.core.persistence import PRESETS
from harness.core.verdict import Verdict
from harness.explore.workloads import Extent, workloads
from harness.run.exploring import Explored, Plan
from harness.run.options import PROFILES
from tests.stores import aging, named
from tests.stores.conduct import certified, small_runs, spec
from tests.stores.local import Local

MANY = PROFILES["quick"].extent.many
KILL = Plan(PRESETS["process-crash"], "process_crash", ("acknowledged",))
POWER = Plan(PRESETS["strict"], "power_loss", ("acknowledged",))


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    small_runs(monkeypatch)


def explored(adapter: Any, folder: Path, plan: Plan, name: str = "many") -> Explored:
    local = Local(adapter, folder)
    made = workloads(adapter, seed=0, extent=Extent(1, (), large=False, many=MANY)).many
    [workload] = [item for item in made if item.name == name]
    limits = PROFILES["quick"].limits_of(sparse=True)
    [result] = local.explore([local.job(workload, plan, sparse=True, limits=limits)])
    return result


@pytest.mark.parametrize("plan", [KILL, POWER], ids=["kill", "power"])
@pytest.mark.parametrize(("adapter", "kind"), [(aging.StaleTail, "not_writable"), (aging.Narrow, "lost_acknowledged")])
def test_a_defect_of_many_operations_is_seen(adapter: Any, kind: str, plan: Plan, tmp_path: Path) -> None:
    """Records of an older round behind the end of the log; a number of one byte that wraps."""
    assert kind in {found.violation.kind for found in explored(adapter, tmp_path, plan).defects}


@pytest.mark.parametrize("plan", [KILL, POWER], ids=["kill", "power"])
@pytest.mark.parametrize("adapter", [aging.Epochs, aging.Serial])
def test_a_sound_store_is_left_alone(adapter: Any, plan: Plan, tmp_path: Path) -> None:
    """Some of the operations are crashed, and nobody says that all were."""
    result = explored(adapter, tmp_path, plan)
    tally = result.tallies[plan.model.name].first

    assert result.defects == []
    assert 50 < tally.crash_points < MANY and not tally.exhausted


def test_the_finding_is_told_with_fewer_operations() -> None:
    """Those after which the log is begun again, and one more; not all that were run."""
    certificate = certified(spec("StaleTail", "aging.py"), "process-crash-many", profile="quick")

    [finding] = certificate.findings
    assert certificate.verdict is Verdict.FAIL and finding.confirmed
    assert finding.scenario == "process-crash-many"
    assert aging.StaleTail.EVERY <= len(finding.operations) <= aging.StaleTail.EVERY + 3


@pytest.mark.parametrize("adapter", [named.Underscored, named.Folded, named.Normalized, named.Stripped])
def test_keys_that_share_a_name_are_seen(adapter: Any, tmp_path: Path) -> None:
    """The value of one is gone once another is set, or both once one is removed."""
    found = explored(adapter, tmp_path, KILL, "lookalikes").defects
    assert {item.violation.kind for item in found} & {"lost_acknowledged", "torn_operation"}


@pytest.mark.parametrize("adapter", [named.Encoded, named.Choosy, named.Failing])
def test_who_tells_keys_apart_or_refuses_them_is_left_alone(adapter: Any, tmp_path: Path) -> None:
    """On whatever file system; refused in words of ours or of its own."""
    assert explored(adapter, tmp_path, KILL, "lookalikes").defects == []
