"""Sound stores: whatever is done to them, the harness must stay quiet."""

from __future__ import annotations

from store_under_test.defective.catalogue import Row


def sound(id: str, module: str, behaviour: str, *faults: str) -> Row:
    """A row without a defect; `faults` are those that make its behaviour show."""
    return Row(id=id, module=module, defect=f"none: {behaviour}", faults=faults, claims=(), kinds=())


ROWS: tuple[Row, ...] = (
    sound("N1", "n1_atomic_replace", "an unacknowledged operation is lost", "K", "PL"),
    sound("N2", "n2_linked_versions", "an unacknowledged operation is there", "K", "PL"),
    sound("N3", "n3_torn_line_is_cut", "a torn tail is cut when opening", "KW", "TORN", "GB"),
    sound("N4", "n4_zero_tail_is_cut", "a tail of zeros is cut when opening", "NUL", "TORN"),
    sound("N5", "n5_temporary_file_left_behind", "a temporary file is left behind", "K"),
    sound("N6", "n6_backup_with_signal", "after damage the backup is used with a signal", "K", "K2"),
    sound("N7", "n7_damage_is_an_exception", "damage reported as an exception", "BF", "TR"),
    sound("N8", "n8_read_only_after_failed_fsync", "read-only until reopened once an fsync failed", "EIO-f", "FG"),
    sound("N9", "n9_documented_interval", "documented interval durability", "K", "PL"),
    sound("N11", "n11_dsync_instead_of_fsync", "O_DSYNC instead of fsync", "PL", "TORN"),
    sound("N12", "n12_preallocated_slots", "directory fsynced once, then two slots in turn", "TORN", "DE"),
    sound("N13", "n13_disk_full_is_raised", "disk full raised, the file as it was", "NS", "SW"),
    sound("N14", "n14_more_than_acknowledged", "more than was acknowledged survives", "K", "PL"),
    sound("S1", "s1_segmented_log_with_sync", "durable up to the last sync, in segments", "PL", "RO", "DE"),
    sound("S2", "s2_write_ahead_log", "write-ahead log with compaction and batches", "K", "RO", "K2"),
)
