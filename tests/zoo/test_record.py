"""The stamped record: of this version, in agreement with the catalogue, and what is published from it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import harness
from harness.run.zoo import zoo_record
from store_under_test.defective.catalogue import rows
from tests.zoo import publishing, run_zoo
from tests.zoo.detection import is_sound
from tests.zoo.hunting import known_survivors
from tests.zoo.mutants import mutants
from tests.zoo.planted import checks
from tests.zoo.publishing import (
    DOCUMENT,
    README,
    document_of_rows,
    read_results,
    readme_block,
    rows_record,
    source_digest,
    with_block,
)
from tests.zoo.quiet import subjects
from tests.zoo.searching import cases
from tests.zoo.series import block, read_series

TEXT = "before\n<!-- zoo:begin -->\nold\n<!-- zoo:end -->\nafter\n"


def test_the_record_is_of_this_version_and_agrees_with_the_catalogue() -> None:
    """Every certificate carries these numbers: they are from a run over all rows of today."""
    record = zoo_record()

    assert record["version"] == harness.__version__
    assert record["planted"] == sum(not is_sound(row) for row in rows())
    assert record["sound"] == sum(is_sound(row) for row in rows())
    assert 0 <= record["caught"] <= record["planted"]
    assert 0 <= record["false_alarms"] <= record["sound"]
    assert re.fullmatch(r"[0-9a-f]{64}", record["source_digest"])


def test_record_and_page_are_made_of_the_results_of_all_rows() -> None:
    """Also after some rows were run again by themselves."""
    results, record = read_results(), zoo_record()

    assert results.keys() == {row.id for row in rows()}
    assert {**record, **rows_record(results)} == record
    assert DOCUMENT.read_text(encoding="utf-8").startswith(document_of_rows(results, record))


def test_the_page_tells_the_series_that_are_kept() -> None:
    """Each series has all of its defects and stores, and no other."""
    found = read_series()
    planted = {*(case.id for case in cases()), *(check.id for check in checks())}

    assert found.detection.keys() == found.replays.keys() == planted
    assert found.quiet.keys() == {subject.name for subject in subjects()}
    page = DOCUMENT.read_text(encoding="utf-8")
    assert with_block(page, "series", block(found)) == page


def test_rows_that_were_run_again_are_named() -> None:
    results = read_results()
    changed = {**results, "D01": dataclasses.replace(results["D01"], source_digest="another", right=False)}

    assert rows_record(changed)["caught"] == rows_record(results)["caught"] - 1
    assert "D01" in rows_record(changed)["run_again"]
    assert "by themselves, after the code had changed: " in document_of_rows(changed, rows_record(changed))


def test_a_row_alone_is_not_run_where_the_others_have_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(publishing, "RESULTS_FILE", tmp_path / "results.json")

    assert run_zoo.main(["--row", "D01"]) == 2
    assert "run without --row first" in capsys.readouterr().err


def test_the_mutants_of_the_record_are_those_of_today_and_all_accounted_for() -> None:
    """Caught, or explained in the table of survivors. A record without them claims nothing about mutants."""
    counts = zoo_record().get("mutants")
    if counts is None:
        assert "mutants" not in README.read_text(encoding="utf-8").lower()
        return
    survived = counts["equivalent"] + counts["not_applicable"] + counts["blind_spots"]

    assert counts["generated"] == len(mutants()) == counts["caught"] + survived
    assert survived == len(known_survivors())
    assert sum(counts["by_kind"].values()) == counts["caught"]


def test_the_document_lists_every_row() -> None:
    """A row that was added after the run is missing there."""
    listed = set(re.findall(r"^\| ([A-Z]\d+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {row.id for row in rows()}


def test_the_readme_tells_the_numbers_of_the_record() -> None:
    """The block was written from this record, not by hand."""
    text = README.read_text(encoding="utf-8")
    assert with_block(text, "zoo", readme_block(zoo_record())) == text


def test_a_block_is_replaced_and_nothing_else() -> None:
    """What stands around the two comments stays."""
    assert with_block(TEXT, "zoo", "new") == TEXT.replace("old", "new")


def test_the_digest_changes_with_a_module_and_not_with_the_record(tmp_path: Path) -> None:
    """A record is stamped with the code that made it; the record itself is no part of that."""
    (tmp_path / "harness").mkdir()
    module, record = tmp_path / "harness" / "a.py", tmp_path / "harness" / "zoo_run.json"
    module.write_text("x = 1\n")
    first = source_digest(tmp_path)
    record.write_text("{}")
    unchanged = source_digest(tmp_path)
    module.write_text("x = 2\n")

    assert first == unchanged != source_digest(tmp_path)
