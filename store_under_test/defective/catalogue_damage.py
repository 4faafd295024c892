"""Stores that don't notice, or make worse, what was done to their files at rest."""

from __future__ import annotations

from store_under_test.defective.catalogue import Row


def _row(id: str, module: str, defect: str, faults: tuple[str, ...], *kinds: str) -> Row:
    return Row(id, module, defect, faults, ("corruption",), kinds or ("silent_corruption",))


ROWS: tuple[Row, ...] = (
    _row(
        "D14",
        "d14_backup_rotated_on_load",
        "backup rotated on every load",
        ("BF",),
        "not_idempotent",
    ),
    _row("D15", "d15_silent_backup", "loader falls back to the backup silently", ("BF",)),
    _row("D17", "d17_empty_file_is_empty_store", "an empty file is taken for an empty store", ("TR",)),
    _row("D26", "d26_checksum_of_keys", "checksum of the object, not of the bytes on disk", ("BF",)),
    _row("D27", "d27_checksum_never_verified", "checksum written, never verified", ("BF",)),
    _row("D28", "d28_checksum_leaves_out_header", "checksum leaves out the header", ("BF",)),
    _row("D34", "d34_bare_values", "bare values, cut text still is one", ("TR", "BF")),
    _row(
        "L10",
        "l10_cut_at_first_bad_record",
        "recovery silently cuts at the first bad record, wherever it is",
        ("BF", "TR"),
    ),
    _row("L11", "l11_bad_records_skipped", "recovery skips bad records silently", ("BF", "TR")),
    _row("L31", "l31_only_the_tail_verified", "checksums verified only at the tail", ("BF",)),
)
