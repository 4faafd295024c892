"""Stores that don't notice, or take wrongly, that a call failed."""

from __future__ import annotations

from store_under_test.defective.catalogue import Row

_CALLS = ("io_error",)
_LOST = ("swallowed_error", "lost_acknowledged")
_SHORT = ("cannot_open", "torn_operation", *_LOST)

ROWS: tuple[Row, ...] = (
    Row(
        id="D16",
        module="d16_any_error_means_empty",
        defect="any exception while loading means an empty store, which is then saved",
        faults=("EIO-r", "BF"),
        claims=("io_error", "corruption"),
        kinds=(*_LOST, "silent_corruption"),
    ),
    Row("D21", "d21_fsync_error_swallowed", "fsync error swallowed", ("EIO-f", "PL"), _CALLS, _SHORT),
    Row("D24", "d24_error_on_close_ignored", "error on close ignored", ("NS",), _CALLS, _SHORT),
    Row("D25", "d25_short_write_of_document", "return value of os.write ignored", ("SW",), _CALLS, _SHORT),
    Row("L25", "l25_short_write_of_record", "short write ignored", ("SW",), _CALLS, _SHORT),
    Row(
        id="L27",
        module="l27_fsync_tried_again",
        defect="fsync error ignored, a later one succeeds",
        faults=("FG", "PL"),
        claims=_CALLS,
        kinds=_LOST,
    ),
    Row(
        id="L28",
        module="l28_append_tried_again",
        defect="an append that took effect although the call failed is tried again",
        faults=("EIO after effect",),
        claims=_CALLS,
        kinds=("phantom", "torn_operation"),
    ),
    Row(
        id="L35",
        module="l35_error_of_other_descriptor",
        defect="fsync by another descriptor, its error unseen",
        faults=("EIO-f", "PL"),
        claims=_CALLS,
        kinds=_LOST,
    ),
)
