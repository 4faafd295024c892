"""Stores that several threads or processes use at the same time."""

from __future__ import annotations

from store_under_test.defective.catalogue import Row
from store_under_test.defective.catalogue_sound import sound

_WRITERS = ("writers",)

ROWS: tuple[Row, ...] = (
    Row(
        id="D09",
        module="d09_shared_temporary_name",
        defect="two writers share one temporary name",
        faults=("CC",),
        claims=_WRITERS,
        kinds=("cannot_open", "torn_operation", "phantom", "lost_update", "not_linearizable"),
    ),
    Row(
        id="D43",
        module="d43_read_before_lock",
        defect="read-modify-write reads before it locks",
        faults=("CC",),
        claims=_WRITERS,
        kinds=("lost_update",),
    ),
    Row(
        id="D44",
        module="d44_unlocked_shared_table",
        defect="read-modify-write on a shared handle without a lock",
        faults=("CC",),
        claims=_WRITERS,
        kinds=("lost_update",),
    ),
    Row(
        id="D45",
        module="d45_locks_in_two_orders",
        defect="two locks taken in two orders",
        faults=("CC",),
        claims=_WRITERS,
        kinds=("deadlock",),
    ),
    Row(
        id="L29",
        module="l29_seek_and_write",
        defect="seek and write instead of O_APPEND",
        faults=("CC",),
        claims=_WRITERS,
        kinds=("lost_update", "torn_operation"),
    ),
    sound("N10", "n10_ordered_by_commit", "records ordered by commit, not by call", "CC", "K", "PL"),
    sound("N15", "n15_readers_without_lock", "writers under a lock, readers without", "CC", "K", "PL"),
    sound("N16", "n16_last_writer_wins", "temporary names of each writer's own, no lock", "CC", "K", "PL"),
    sound("N17", "n17_shared_handle_with_lock", "changes under a lock, readers without", "CC", "K", "PL"),
    sound("N18", "n18_commit_for_several", "one sync for all that wrote before it", "CC", "K", "PL"),
)
