"""The strongest contract that was not refuted."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Contract
from harness.core.persistence import EXT4, PROCESS_CRASH, STRICT
from harness.run.campaign import Silent
from harness.run.exploring import Plan
from harness.run.options import Options
from harness.run.survey import Strongest, Survey, _row, survey
from tests.stores.conduct import LIMIT_S, small_runs, spec
from tests.stores.tiny import TINY

ALL = ("acknowledged", "synced", "prefix")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    small_runs(monkeypatch)


def surveyed(adapter: str) -> Survey:
    return survey(adapter, Options(TINY.name, jobs=1, time_limit_s=LIMIT_S, survey=True), Silent())


def test_what_was_refuted_is_not_in_the_contract() -> None:
    """A kill takes away what was acknowledged; what refuted it is told."""
    result = surveyed(spec("InPlace", "honest.py"))

    rows = {row.model: row for row in result.rows}
    assert rows["process-crash"].promise is None
    assert rows["process-crash"].refuted_by.startswith("cannot_open at ")
    contract = eval(result.contract(), {"Contract": Contract})
    assert contract.process_crash is None
    assert contract.power_loss is None or "strict" not in contract.power_loss_models


def test_what_could_not_be_seen_is_unknown() -> None:
    """And the contract does not promise it."""
    result = surveyed(spec("Database"))

    crashes = [row for row in result.rows if row.claim in ("process_crash", "power_loss")]
    assert crashes and all("sqlite3" in row.unknown for row in crashes)
    assert result.contract().startswith("Contract(process_crash=None, power_loss=None")


def test_a_contract_is_a_line_of_python() -> None:
    """With the models under which the best promise holds, and None for what was not tried."""
    rows = (
        Strongest("process-crash", "process_crash", "acknowledged", ""),
        Strongest("strict", "power_loss", "prefix", "lost_acknowledged at x"),
        Strongest("ext4", "power_loss", "acknowledged", ""),
        Strongest("btrfs", "power_loss", "acknowledged", "", "sqlite3"),
    )

    live = (Strongest("corruption", "corruption", "detected", "x"), Strongest("rollback", "rollback", None, "y"))

    line = Survey("s", (*rows, *live), ("io_error", "writers")).contract()

    assert line == (
        "Contract(process_crash='acknowledged', power_loss='acknowledged', power_loss_models=('ext4',), "
        "corruption='detected', rollback=None, io_error=None)"
    )


def test_who_keeps_a_stronger_promise_keeps_the_weaker() -> None:
    """The strongest that nothing refuted, and what refuted the next."""
    assert _row(Plan(STRICT, "power_loss", ALL), {"acknowledged": "a", "synced": "b"}, "") == Strongest(
        "strict", "power_loss", "prefix", "b"
    )
    assert _row(Plan(EXT4, "power_loss", ALL), {}, "").refuted_by == ""
    nothing = _row(Plan(PROCESS_CRASH, "process_crash", ALL), dict.fromkeys(ALL, "x"), "")
    assert (nothing.promise, nothing.refuted_by) == (None, "x")


def test_a_path_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers may have another working directory."""
    monkeypatch.chdir(Path(spec("Sound", "honest.py")).parent)

    assert surveyed("honest.py:Sound").store == "sound"


def test_damage_is_surveyed_too() -> None:
    """A store without a checksum detects nothing; what live faults refuted is no part of the contract."""
    result = surveyed(spec("InPlace", "honest.py"))

    rows = {row.claim: row for row in result.rows}
    assert rows["corruption"].promise is None and rows["corruption"].refuted_by.startswith("silent_corruption")
    assert rows["rollback"].promise is None
    assert "corruption=None" in result.contract() and "corruption" not in result.untested
