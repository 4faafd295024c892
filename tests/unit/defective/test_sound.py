"""The sound stores of the zoo: right without faults, and right after the damage they are built for."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import DOCUMENT, KEY_VALUE, LOG, Contract, Unsupported
from harness.core.adapter import validate_adapter
from harness.core.persistence import POWER_LOSS_PRESETS
from store_under_test.defective import (
    catalogue,
    n3_torn_line_is_cut,
    n4_zero_tail_is_cut,
    n5_temporary_file_left_behind,
    n6_backup_with_signal,
    n9_documented_interval,
    n11_dsync_instead_of_fsync,
    n12_preallocated_slots,
    n14_more_than_acknowledged,
    s1_segmented_log_with_sync,
    s2_write_ahead_log,
)
from store_under_test.defective.catalogue import Row
from store_under_test.defective.catalogue_sound import ROWS
from tests.unit.defective.conduct import adapter_of, conduct, first_operation, marked_lines

#: What these tests cut, they cut on purpose; that it is warned of has a test of its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*the rest is cut:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*is damaged, or was being written:UserWarning"),
]
EVERY_ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)


@EVERY_ROW
def test_behaves_as_its_model_says_without_faults(row: Row, tmp_path: Path) -> None:
    """Hundreds of operations with reopenings between them give the model's answers and states."""
    assert conduct(adapter_of(row), tmp_path, count=220, seed=2) > 150


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
def test_promises_survival_of_a_power_loss_under_every_preset(row: Row) -> None:
    """The crash claims are made, under all models; no line is marked."""
    adapter = adapter_of(row)
    validate_adapter(adapter, row.module)
    contract: Contract = adapter.contract
    assert contract.writers == "one"
    assert None not in (contract.process_crash, contract.power_loss)
    assert contract.power_loss_models == POWER_LOSS_PRESETS
    assert (row.claims, row.kinds, marked_lines(row)) == ((), (), [])


@pytest.mark.parametrize("row", [row for row in ROWS if adapter_of(row).contract.corruption], ids=lambda row: row.id)
def test_says_so_when_its_newest_file_was_cut(row: Row, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who promises that damage is detected raises, or gives a warning, or has the right state all the same."""
    adapter = adapter_of(row)
    operation = first_operation(adapter)
    expected, _ = adapter.model.step(adapter.model.initial(), operation)
    store = adapter().open(tmp_path)
    adapter().apply(store, operation)
    adapter().close(store)
    for path in [path for path in tmp_path.iterdir() if path.stat().st_size]:
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            assert heard_or_right(adapter, tmp_path, expected, heard, caplog), path
        path.write_bytes(whole)


def heard_or_right(
    adapter: type[Any], directory: Path, expected: Any, heard: list[Any], caplog: pytest.LogCaptureFixture
) -> bool:
    try:
        store = adapter().open(directory)
    except adapter.contract.errors:
        return True
    right = adapter.model.equal(adapter().snapshot(store), expected)
    adapter().close(store)
    return bool(right or heard or caplog.records)


def test_catalogue_lists_this_part_and_every_kind_of_model() -> None:
    """The catalogue holds every sound row once; each built-in model has a sound store."""
    assert set(ROWS) <= set(catalogue.rows())
    assert len({row.id for row in ROWS}) == len({row.module for row in ROWS}) == len(ROWS)
    assert {adapter_of(row).model for row in ROWS} == {KEY_VALUE, DOCUMENT, LOG}


def append_two(store: n3_torn_line_is_cut.LineLog | n4_zero_tail_is_cut.PreallocatedLog) -> None:
    store.append(("first",))
    store.append(("second", "with it"))
    store.close()


LOGS = pytest.mark.parametrize(
    ("open_log", "name"),
    [(n3_torn_line_is_cut.LineLog, "log.txt"), (n4_zero_tail_is_cut.PreallocatedLog, "log")],
    ids=["N3", "N4"],
)
AnyLog = n3_torn_line_is_cut.LineLog | n4_zero_tail_is_cut.PreallocatedLog


@LOGS
@pytest.mark.parametrize("lost", range(1, 16))
def test_log_drops_a_torn_batch_whole(
    open_log: Callable[[Path], AnyLog], name: str, lost: int, tmp_path: Path
) -> None:
    """Of a batch that lacks bytes at its end nothing is seen, and appending goes on after the cut."""
    append_two(open_log(tmp_path))
    data = (tmp_path / name).read_bytes().rstrip(b"\0")
    (tmp_path / name).write_bytes(data[:-lost])
    log = open_log(tmp_path)
    assert log.records == ["first"]
    assert log.append(("third",)) == 1
    log.close()
    assert open_and_close(open_log, tmp_path) == ["first", "third"]


@LOGS
@pytest.mark.parametrize("tail", [b"\0" * 600, b"\0", b"\xff" * 40, b"\n\n\n", b"0 1 2\n"])
def test_log_cuts_zeros_and_garbage(
    open_log: Callable[[Path], AnyLog], name: str, tail: bytes, tmp_path: Path
) -> None:
    """Bytes that nobody wrote at the end are no records."""
    append_two(open_log(tmp_path))
    data = (tmp_path / name).read_bytes().rstrip(b"\0")
    (tmp_path / name).write_bytes(data + tail)
    assert open_and_close(open_log, tmp_path) == ["first", "second", "with it"]


def open_and_close(open_log: Callable[[Path], AnyLog], directory: Path) -> list[str]:
    log = open_log(directory)
    log.close()
    return log.records


def test_temporary_file_left_behind_changes_nothing(tmp_path: Path) -> None:
    """A stranger's half-written temporary file is neither read nor removed."""
    store = n5_temporary_file_left_behind.DocumentFile(tmp_path)
    store.save({"a": 1})
    (tmp_path / "tmpabc").write_text("{")
    reopened = n5_temporary_file_left_behind.DocumentFile(tmp_path)
    assert reopened.load() == {"a": 1}
    assert (tmp_path / "tmpabc").exists()


@pytest.mark.parametrize("damage", [b"", b"\0" * 30, b"garbage"])
def test_backup_is_used_with_a_warning_and_stays_in_use(damage: bytes, tmp_path: Path) -> None:
    """A damaged primary gives way to the save before it, once with a warning, later without."""
    store = n6_backup_with_signal.BackedUpDocument(tmp_path)
    store.save({"a": 1})
    store.save({"a": 2})
    (tmp_path / "primary").write_bytes(damage)
    with pytest.warns(UserWarning, match="was damaged"):
        assert n6_backup_with_signal.BackedUpDocument(tmp_path).load() == {"a": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert n6_backup_with_signal.BackedUpDocument(tmp_path).load() == {"a": 1}
    assert damage in [path.read_bytes() for path in tmp_path.glob("damaged-*")]


def test_damage_without_a_sound_backup_is_an_error(tmp_path: Path) -> None:
    """Two damaged files are never taken for an empty store."""
    store = n6_backup_with_signal.BackedUpDocument(tmp_path)
    store.save({"a": 1})
    (tmp_path / "primary").write_bytes(b"x")
    with pytest.raises(n6_backup_with_signal.DamagedDocument):
        n6_backup_with_signal.BackedUpDocument(tmp_path)


def test_interval_store_keeps_a_prefix_of_its_changes(tmp_path: Path) -> None:
    """Cut anywhere, its file holds the first changes and none after a gap."""
    store = n9_documented_interval.BufferedTable(tmp_path)
    for number in range(6):
        store.write(f"key-{number}", "value")
    store.close()
    path = tmp_path / "changes.txt"
    data = path.read_bytes()
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        reopened = n9_documented_interval.BufferedTable(tmp_path)
        reopened.close()
        assert list(reopened.items) == [f"key-{number}" for number in range(len(reopened.items))]
    assert len(reopened.items) == 6


def test_synchronous_table_cuts_a_torn_record(tmp_path: Path) -> None:
    """A record that lacks its last byte was never there."""
    store = n11_dsync_instead_of_fsync.SynchronousTable(tmp_path)
    store.write("kept", "value")
    store.write("torn", "value")
    store.close()
    os.truncate(tmp_path / "changes", (tmp_path / "changes").stat().st_size - 1)
    reopened = n11_dsync_instead_of_fsync.SynchronousTable(tmp_path)
    reopened.close()
    assert reopened.items == {"kept": "value"}


def test_slots_fall_back_to_the_save_before_a_torn_one(tmp_path: Path) -> None:
    """With the newer slot torn, the older one is the document, and the next save leaves it alone."""
    store = n12_preallocated_slots.TwoSlots(tmp_path)
    store.save({"a": 1})
    store.save({"a": 2})
    store.close()
    with (tmp_path / "slot-0").open("r+b") as slot:
        slot.write(b"torn")
    reopened = n12_preallocated_slots.TwoSlots(tmp_path)
    assert reopened.load() == {"a": 1}
    reopened.close()


def test_slots_refuse_a_document_that_does_not_fit(tmp_path: Path) -> None:
    """What is too long for a slot is refused before anything is written."""
    store = n12_preallocated_slots.TwoSlots(tmp_path)
    store.save({"a": 1})
    with pytest.raises(Unsupported):
        store.save({"a": "x" * n12_preallocated_slots.SLOT_BYTES})
    assert store.load() == {"a": 1}
    store.close()


def test_record_that_was_not_counted_is_kept(tmp_path: Path) -> None:
    """The log is believed where the published length is behind, and publishes it anew."""
    store = n14_more_than_acknowledged.CountedLog(tmp_path)
    store.append("one")
    store.append("two")
    store.close()
    (tmp_path / "length").write_text("1")
    reopened = n14_more_than_acknowledged.CountedLog(tmp_path)
    reopened.close()
    assert reopened.records == ["one", "two"]
    assert (tmp_path / "length").read_text() == "2"


def test_segments_end_at_the_first_frame_that_does_not_verify(tmp_path: Path) -> None:
    """The last segment is cut; what the sealed ones hold stays."""
    store = s1_segmented_log_with_sync.SegmentedLog(tmp_path)
    store.append(("sealed",))
    store.rotate()
    store.append(("last",))
    store.close()
    os.truncate(tmp_path / "segment-000001", 20)
    reopened = s1_segmented_log_with_sync.SegmentedLog(tmp_path)
    assert reopened.records == ["sealed"]
    assert reopened.append(("new",)) == 1
    reopened.close()


def test_damage_in_a_sealed_segment_is_an_error(tmp_path: Path) -> None:
    """A gap before the last segment is never passed over."""
    store = s1_segmented_log_with_sync.SegmentedLog(tmp_path)
    store.append(("sealed",))
    store.rotate()
    store.close()
    os.truncate(tmp_path / "segment-000000", 20)
    with pytest.raises(ValueError, match="damaged"):
        s1_segmented_log_with_sync.SegmentedLog(tmp_path)


def test_batches_that_the_snapshot_holds_are_passed_over(tmp_path: Path) -> None:
    """A crash between the new snapshot and the emptying of the log changes nothing."""
    store = s2_write_ahead_log.LoggedTable(tmp_path)
    store.write([("a", "1"), ("b", "2")])
    store.write([("a", None)])
    before = (tmp_path / "log").read_bytes()
    store.compact()
    store.close()
    assert (tmp_path / "log").read_bytes() == b""
    (tmp_path / "log").write_bytes(before)
    reopened = s2_write_ahead_log.LoggedTable(tmp_path)
    reopened.write([("c", "3")])
    reopened.close()
    again = s2_write_ahead_log.LoggedTable(tmp_path)
    again.close()
    assert again.items == {"b": "2", "c": "3"}


def test_write_ahead_log_drops_a_torn_batch_whole(tmp_path: Path) -> None:
    """Of a batch that was cut short nothing is seen."""
    store = s2_write_ahead_log.LoggedTable(tmp_path)
    store.write([("a", "1")])
    store.write([("a", "2"), ("b", "2")])
    store.close()
    os.truncate(tmp_path / "log", (tmp_path / "log").stat().st_size - 1)
    reopened = s2_write_ahead_log.LoggedTable(tmp_path)
    reopened.close()
    assert json.dumps(reopened.items) == '{"a": "1"}'
