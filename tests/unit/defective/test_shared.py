"""The stores of the zoo that several clients share: each behaves well alone, and shows its defect between two."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from harness import Append, Contract, Delete, Put, Save
from harness.core.adapter import validate_adapter
from harness.core.persistence import POWER_LOSS_PRESETS
from store_under_test.defective import catalogue, l29_seek_and_write
from store_under_test.defective.catalogue import Row
from store_under_test.defective.catalogue_writers import ROWS
from tests.unit.defective.conduct import adapter_of, conduct, first_operation, marked_lines

EVERY_ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)


@EVERY_ROW
def test_behaves_as_its_model_says_without_faults(row: Row, tmp_path: Path) -> None:
    """Many operations with reopenings between them give the model's answers and states."""
    assert conduct(adapter_of(row), tmp_path, count=100, seed=4) > 70


@EVERY_ROW
def test_keeps_one_operation_over_two_reopenings(row: Row, tmp_path: Path) -> None:
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
    driver = adapter_of(row)()
    store = driver.open(tmp_path)
    with pytest.raises(TypeError, match="not an operation"):
        driver.apply(store, object())
    driver.close(store)


@EVERY_ROW
def test_promises_that_several_may_write(row: Row) -> None:
    """Crashes as well, and nothing else; a line is marked where a defect is planted, and only there."""
    adapter = adapter_of(row)
    validate_adapter(adapter, row.module)
    contract: Contract = adapter.contract
    assert None not in (contract.process_crash, contract.power_loss) and contract.writers != "one"
    assert (contract.io_error, contract.corruption) == (None, None)
    assert bool(row.claims) == bool(row.kinds) == bool(marked_lines(row))
    assert row.kinds or contract.power_loss_models == POWER_LOSS_PRESETS


def test_the_part_holds_each_row_once() -> None:
    assert len({row.id for row in ROWS}) == len({row.module for row in ROWS}) == len(ROWS)
    assert set(ROWS) <= set(catalogue.rows())


def test_a_table_that_was_read_before_the_lock_is_old(tmp_path: Path) -> None:
    """D43: what another handle wrote in between is overwritten; N15 reads it."""
    assert interrupted("D43", tmp_path) == {"a": "1"}
    assert interrupted("N15", tmp_path) == {"a": "1", "b": "2"}


def interrupted(row_id: str, folder: Path) -> dict[str, str]:
    """The table after a change by one handle, and another by a second handle just before the first has the lock."""
    [row] = [row for row in ROWS if row.id == row_id]
    (folder / row_id).mkdir()
    store, other = (adapter_of(row)().open(folder / row_id) for _ in range(2))
    take = store._lock

    def lock() -> Any:
        other.change({"b": "2"})
        return take()

    store._lock = lock
    store.change({"a": "1"})
    items: dict[str, str] = store.load()
    return items


def test_two_that_sought_the_same_end_write_over_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L29: the end is sought before the other writes."""
    first, second = (l29_seek_and_write.SharedLog(tmp_path) for _ in range(2))
    seek = os.lseek

    def slow(descriptor: int, position: int, whence: int) -> int:
        found: int = seek(descriptor, position, whence)
        monkeypatch.setattr(os, "lseek", seek)
        second.append("second")
        return found

    monkeypatch.setattr(os, "lseek", slow)
    first.append("first, which is longer")
    assert first.records() == ["first, which is longer"]
    first.close()
    second.close()


def test_a_record_that_was_cut_short_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L29 and N10: it raises, and is no record; nor is a second one of the same name."""
    write = os.write
    log = l29_seek_and_write.SharedLog(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
        with pytest.raises(OSError, match="cut short"):
            log.append("never")
    log.append("once")
    with (tmp_path / "log").open("ab") as out:
        out.write((tmp_path / "log").read_bytes())
    assert log.records() == ["once"]
    log.close()


def test_an_appender_that_is_cut_short_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """N10 does so too."""
    [row] = [row for row in ROWS if row.id == "N10"]
    driver = adapter_of(row)()
    store = driver.open(tmp_path)
    monkeypatch.setattr("os.write", lambda descriptor, data: len(data) - 1)
    with pytest.raises(OSError, match="cut short"):
        driver.apply(store, Append("x"))
    driver.close(store)


def test_threads_that_share_a_locked_table_lose_nothing(tmp_path: Path) -> None:
    """N17, with real threads."""
    [row] = [row for row in ROWS if row.id == "N17"]
    driver = adapter_of(row)()
    store = driver.open(tmp_path)
    threads = [
        threading.Thread(target=driver.apply, args=(store, Put(str(number), "v"))) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    driver.apply(store, Delete("0"))
    assert sorted(driver.snapshot(store)) == [str(number) for number in range(1, 8)]


def test_the_last_of_two_documents_is_whole(tmp_path: Path) -> None:
    """N16: two names, so that neither touches the other's."""
    [row] = [row for row in ROWS if row.id == "N16"]
    driver = adapter_of(row)()
    store = driver.open(tmp_path)
    driver.apply(store, Save({"n": "long" * 50}))
    driver.apply(store, Save({"n": 1}))
    assert driver.snapshot(store) == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["document.json"]
