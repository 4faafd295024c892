"""The logs of the zoo: append-only files, segments, compaction and what is derived from them."""

from __future__ import annotations

from store_under_test.defective.catalogue import Row

_BOTH = ("process_crash", "power_loss")
_POWER = ("power_loss",)

ROWS = (
    Row("L01", "l01_no_fsync", "acknowledged without fsync", ("PL",), _POWER, ("lost_acknowledged",)),
    Row(
        "L03",
        "l03_close_taken_for_durable",
        "close taken for durable",
        ("PL",),
        _POWER,
        ("lost_acknowledged",),
    ),
    Row(
        "L04",
        "l04_no_checksum",
        "length prefix, no checksum",
        ("GB", "TORN"),
        _POWER,
        ("phantom", "torn_operation"),
    ),
    Row(
        "L05",
        "l05_zero_header_verifies",
        "an all-zero header verifies",
        ("NUL",),
        _POWER,
        ("phantom", "torn_operation"),
    ),
    Row(
        "L07",
        "l07_checksum_without_position",
        "checksum leaves out position and sequence",
        ("GB",),
        _POWER,
        ("phantom", "torn_operation"),
    ),
    Row(
        "L08",
        "l08_append_to_torn_line",
        "next append glued to a torn line",
        ("KW", "TORN"),
        _BOTH,
        ("not_writable",),
    ),
    Row(
        "L14",
        "l14_commit_marker_before_data",
        "commit marker can be durable before its data",
        ("RO",),
        _POWER,
        ("phantom", "torn_operation"),
    ),
    Row(
        "L15",
        "l15_segment_entry_not_synced",
        "new segment's directory entry not fsynced",
        ("DE",),
        _POWER,
        ("lost_acknowledged",),
    ),
    Row(
        "L17",
        "l17_segment_deleted_before_manifest",
        "old segment deleted before the manifest is durable",
        ("RO", "K"),
        _BOTH,
        ("lost_acknowledged",),
    ),
    Row(
        "L19",
        "l19_tombstones_dropped_early",
        "compaction drops tombstones still needed",
        ("K", "RO"),
        _BOTH,
        ("phantom", "lost_acknowledged"),
    ),
    Row(
        "L21",
        "l21_snapshot_ahead_of_log",
        "snapshot ahead of the durable log",
        ("PL",),
        _POWER,
        ("not_writable",),
    ),
    Row(
        "L22",
        "l22_offset_ahead_of_log",
        "consumer offset durable ahead of the log",
        ("PL",),
        _POWER,
        ("not_writable",),
    ),
    Row(
        "L24",
        "l24_key_before_record",
        "de-duplication key durable before its record",
        ("K", "RO"),
        _BOTH,
        ("not_writable",),
    ),
    Row(
        "L32",
        "l32_delivered_before_durable",
        "followers see records before they are durable",
        ("PL",),
        _POWER,
        ("lost_acknowledged",),
    ),
    Row(
        "L36",
        "l36_grown_before_written",
        "file grown first, data written later and not synced",
        ("PL", "NUL"),
        _POWER,
        ("lost_acknowledged",),
    ),
    Row(
        "L37",
        "l37_commit_answers_for_more",
        "commit for several answers for what was written during its sync",
        ("PL", "CC"),
        _POWER,
        ("lost_acknowledged",),
    ),
)
