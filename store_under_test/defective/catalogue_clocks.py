"""Stores that believe the wall clock."""

from __future__ import annotations

from store_under_test.defective.catalogue import Row

ROWS: tuple[Row, ...] = (
    Row(
        id="D41",
        module="d41_lock_expiry_by_wall_clock",
        defect="lock expiry measured on the wall clock",
        faults=("CLK", "CC"),
        claims=("process_crash",),
        kinds=("lost_update",),
    ),
    Row(
        id="D42",
        module="d42_order_by_wall_clock",
        defect="record order taken from wall-clock timestamps",
        faults=("CLK",),
        claims=("process_crash",),
        kinds=("torn_operation", "phantom", "lost_acknowledged"),
    ),
)
