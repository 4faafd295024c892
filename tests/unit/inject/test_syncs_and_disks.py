"""Which syncs fail, and how full disks are."""

from __future__ import annotations

from harness.inject.disks import SWEEP, FullDisk, Room, full_disks
from harness.inject.syncs import Aftermath, SyncFault, sync_faults


def test_each_place_is_struck_in_each_way_before_any_is_struck_twice() -> None:
    found = list(sync_faults(["a", "b", "a"]))
    assert {fault.number for fault in found[:10]} == {1, 2}
    assert {fault.number for fault in found[10:]} == {3}
    assert {fault.aftermath for fault in found[:10]} == set(Aftermath)
    assert len(set(found)) == len(found) == 15


def test_without_syncs_there_are_no_faults() -> None:
    assert list(sync_faults([])) == []


def test_a_failed_sync_tells_what_becomes_of_the_data() -> None:
    assert SyncFault(1, Aftermath.CLEAN).describe().startswith("the 1st sync fails: its pages")
    assert "every later one" in SyncFault(2, Aftermath.REVERTED, lasting=True).describe()
    assert SyncFault(1, Aftermath.LATE).word == "failed sync (late)"


def test_the_disk_is_full_before_each_step_and_at_every_amount() -> None:
    found = list(full_disks(steps=3, pages=5, inodes=4))
    assert {fault.step for fault in found if fault.left == 0} == {0, 1, 2}
    assert {fault.left for fault in found if fault.step == 0 and fault.room is Room.PAGES} == {0, 1, 2, 3, 4}
    assert {fault.left for fault in found if fault.step == 0 and fault.room is Room.INODES} == {0, 1, 2, 3}
    assert len(set(found)) == len(found)


def test_a_long_sweep_takes_amounts_from_all_parts_of_the_range() -> None:
    amounts = [fault.left for fault in full_disks(1, 10_000, 0) if fault.left > 1]
    assert len(amounts) == SWEEP
    assert max(amounts) > 9_000


def test_a_full_disk_says_what_is_left() -> None:
    assert "1 free page before" in FullDisk(2, 1).describe()
    assert "0 free inodes before step 4" in FullDisk(4, 0, Room.INODES).describe()
    assert (FullDisk(0, 0).word, FullDisk(0, 0, Room.INODES).word) == ("no space", "no inodes")
