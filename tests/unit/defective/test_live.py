"""The stores of the zoo for live faults: each behaves well as long as nothing goes wrong, and shows its defect."""

from __future__ import annotations

import errno
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import Contract
from harness.core.adapter import validate_adapter
from store_under_test.defective import (
    catalogue,
    catalogue_calls,
    catalogue_clocks,
    catalogue_damage,
    d16_any_error_means_empty,
    d21_fsync_error_swallowed,
    d24_error_on_close_ignored,
    d25_short_write_of_document,
    d41_lock_expiry_by_wall_clock,
    d42_order_by_wall_clock,
    l25_short_write_of_record,
    l27_fsync_tried_again,
    l28_append_tried_again,
    l35_error_of_other_descriptor,
    n8_read_only_after_failed_fsync,
    n13_disk_full_is_raised,
)
from store_under_test.defective.catalogue import Row
from tests.unit.defective.conduct import adapter_of, conduct, first_operation, marked_lines

ROWS = (*catalogue_damage.ROWS, *catalogue_calls.ROWS, *catalogue_clocks.ROWS)
EVERY_ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)


@EVERY_ROW
def test_behaves_as_its_model_says_without_faults(row: Row, tmp_path: Path) -> None:
    """Many operations with reopenings between them give the model's answers and states."""
    assert conduct(adapter_of(row), tmp_path, count=120, seed=3) > 80


@EVERY_ROW
def test_keeps_one_operation_over_two_reopenings(row: Row, tmp_path: Path) -> None:
    """An empty directory opens, and what is done first is read again after each reopening."""
    adapter = adapter_of(row)
    operation = first_operation(adapter)
    expected, _ = adapter.model.step(adapter.model.initial(), operation)
    for reopening in range(3):
        store = adapter().open(tmp_path)
        if reopening == 0:
            adapter().apply(store, operation)
        assert adapter.model.equal(adapter().snapshot(store), expected)
        adapter().close(store)


@EVERY_ROW
def test_an_unknown_operation_is_refused(row: Row, tmp_path: Path) -> None:
    """What is no operation of the store raises, and changes nothing."""
    driver = adapter_of(row)()
    store = driver.open(tmp_path)
    with pytest.raises(TypeError, match="not an operation"):
        driver.apply(store, object())
    assert driver.model.equal(driver.snapshot(store), driver.model.initial())
    driver.close(store)


@EVERY_ROW
def test_claims_what_it_would_keep_without_the_defect(row: Row) -> None:
    """Crashes, failing calls and damage; the claims that are expected to be broken among them. Lines are marked."""
    adapter = adapter_of(row)
    validate_adapter(adapter, row.module)
    contract: Contract = adapter.contract
    assert None not in (contract.process_crash, contract.power_loss, contract.io_error, contract.corruption)
    assert row.claims and row.kinds and row.faults
    assert all(getattr(contract, claim) is not None for claim in row.claims)
    assert marked_lines(row)


def test_the_parts_hold_each_row_once() -> None:
    """No id and no module is listed twice, and the catalogue has all rows of these parts."""
    assert len({row.id for row in ROWS}) == len({row.module for row in ROWS}) == len(ROWS)
    assert set(ROWS) <= set(catalogue.rows())


# --- what the defects do ------------------------------------------------------------------------


def failing(function: Callable[..., Any], error: int, times: int = 1, *, effect: bool = False) -> Callable[..., Any]:
    """`function`, raising at first so many times; with `effect`, after it was carried out."""
    left = [times]

    def called(*arguments: Any, **more: Any) -> Any:
        if left[0] == 0:
            return function(*arguments, **more)
        left[0] -= 1
        if effect:
            function(*arguments, **more)
        raise OSError(error, os.strerror(error))

    return called


def test_a_table_that_cannot_be_read_is_taken_for_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D16: one EIO, and the next change saves the emptiness."""
    table = d16_any_error_means_empty.JsonTable(tmp_path)
    table.publish({"a": "1"})
    monkeypatch.setattr(Path, "read_bytes", failing(Path.read_bytes, errno.EIO))
    broken = d16_any_error_means_empty.JsonTable(tmp_path)
    broken.publish({**broken.items, "b": "2"})
    assert d16_any_error_means_empty.JsonTable(tmp_path).items == {"b": "2"}


def test_a_save_whose_fsync_failed_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D21: the error is gone."""
    monkeypatch.setattr(os, "fsync", failing(os.fsync, errno.EIO, times=9))
    store = d21_fsync_error_swallowed.DocumentFile(tmp_path)
    store.save({"a": 1})
    assert store.load() == {"a": 1}


def test_half_a_document_is_installed_when_closing_fails(tmp_path: Path) -> None:
    """D24: a limit on the size of files makes the flush of the buffer fail, with what fits already written."""
    store = d24_error_on_close_ignored.DocumentFile(tmp_path)
    store.save({"a": 1})
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        store.save({"a": "x" * 500})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    with pytest.raises(ValueError, match="damaged"):
        store.load()


def test_a_short_write_of_a_table_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D25: opening again finds a damaged table."""
    original = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: original(descriptor, data[: len(data) // 2]))
    d25_short_write_of_document.Table(tmp_path).publish({"a": "1"})
    with pytest.raises(ValueError, match="damaged"):
        d25_short_write_of_document.Table(tmp_path)


def test_a_short_write_of_a_record_ends_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L25: what follows the gap is gone, with a warning."""
    log = l25_short_write_of_record.OffsetLog(tmp_path)
    log.append("first")
    original = os.pwrite
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", lambda file, data, position: original(file, data[:9], position))
        log.append("second")
    log.append("third")
    log.close()
    reopened = l25_short_write_of_record.OffsetLog(tmp_path)
    reopened.close()
    assert reopened.records == ["first"]


def test_a_second_fsync_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L27: acknowledged after one failure; raised, and broken until reopened, after two."""
    log = l27_fsync_tried_again.PatientLog(tmp_path)
    monkeypatch.setattr(os, "fsync", failing(os.fsync, errno.EIO))
    assert log.append("first") == 0
    monkeypatch.setattr(os, "fsync", failing(os.fsync, errno.EIO, times=2))
    with pytest.raises(OSError, match="Input/output"):
        log.append("second")
    with pytest.raises(l27_fsync_tried_again.LogBroken):
        log.append("third")
    log.close()


def test_an_append_that_took_effect_is_done_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L28: a duplicate if the write took effect, none if it did not, an error if it never works."""
    log = l28_append_tried_again.StubbornLog(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", failing(os.pwrite, errno.EIO, effect=True))
        log.append("twice")
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", failing(os.pwrite, errno.EIO))
        log.append("once")
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", failing(os.pwrite, errno.EIO, times=3))
        with pytest.raises(OSError, match="Input/output"):
            log.append("never")
    with pytest.raises(l28_append_tried_again.LogBroken):
        log.append("nor this")
    log.close()
    reopened = l28_append_tried_again.StubbornLog(tmp_path)
    reopened.close()
    assert reopened.records == ["twice", "twice", "once"]


def test_an_error_in_the_other_thread_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L35: the append returns as if nothing had been."""
    log = l35_error_of_other_descriptor.SyncedLog(tmp_path)
    monkeypatch.setattr(os, "fsync", failing(os.fsync, errno.EIO))
    assert log.append(("first",)) == 0
    log.close()


def test_an_expired_lock_is_taken_from_a_living_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D41: inside the operation of one holder another one gets the lock, once the clock was set forward."""
    table = d41_lock_expiry_by_wall_clock.SharedTable(tmp_path)
    now = time.time()
    with d41_lock_expiry_by_wall_clock.LeaseFile(tmp_path):
        monkeypatch.setattr(time, "time", lambda: now + 3600)
        table.change("a", "1")
    assert table.load() == {"a": "1"}


def test_a_lock_of_a_living_holder_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D41: otherwise it is a lock; one that was left behind, or can't be read, is not."""
    passing = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(passing)))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    table = d41_lock_expiry_by_wall_clock.SharedTable(tmp_path)
    with (
        d41_lock_expiry_by_wall_clock.LeaseFile(tmp_path) as lease,
        pytest.raises(d41_lock_expiry_by_wall_clock.LockTimeout),
    ):
        table.change("a", "1")
    (tmp_path / "lock").write_text("{")
    table.change("a", "1")
    lease.__enter__()
    d41_lock_expiry_by_wall_clock._held.clear()
    table.change("b", "2")
    assert table.load() == {"a": "1", "b": "2"}


def test_records_come_in_the_order_of_their_stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D42: a clock that is set back puts the later record first."""
    log = d42_order_by_wall_clock.StampedLog(tmp_path)
    stamps = iter((2_000, 1_000))
    monkeypatch.setattr(time, "time_ns", lambda: next(stamps))
    log.append("first")
    log.append("second")
    log.close()
    assert log.records == ["second", "first"]


@pytest.mark.parametrize("name", ["fsync", "fdatasync", "pwrite", "ftruncate"])
def test_a_careful_log_is_read_only_after_an_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """N8: reading goes on; the log that is opened again takes records, and has all that returned."""
    log = n8_read_only_after_failed_fsync.CarefulLog(tmp_path)
    log.append(("first",))
    with monkeypatch.context() as patched:
        patched.setattr(os, name, failing(getattr(os, name), errno.EIO))
        if name in ("fsync", "pwrite"):
            with pytest.raises(OSError, match="Input/output"):
                log.append(("second",))
            with pytest.raises(n8_read_only_after_failed_fsync.ReadOnly):
                log.append(("third",))
        else:
            log.append(("second",))
    assert log.records[0] == "first"
    log.close()
    reopened = n8_read_only_after_failed_fsync.CarefulLog(tmp_path)
    reopened.append(("last",))
    reopened.close()
    assert reopened.records in (["first", "second", "last"], ["first", "last"])


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """N13: the same handle goes on when there is room; after a failed fsync it does not."""
    log = n13_disk_full_is_raised.LineLog(tmp_path)
    log.append("first")
    before = (tmp_path / "log.txt").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", failing(os.pwrite, errno.ENOSPC, effect=True))
        with pytest.raises(OSError, match="No space"):
            log.append("second")
    assert (tmp_path / "log.txt").read_bytes() == before
    assert log.append("third") == 1
    monkeypatch.setattr(os, "fdatasync", failing(os.fdatasync, errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        log.append("fourth")
    with pytest.raises(n13_disk_full_is_raised.LogBroken):
        log.append("fifth")
    log.close()
