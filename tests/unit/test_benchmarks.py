"""Benchmarks run, and their figures get where they belong. How large these are is no subject of a test."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.catalogue import BENCHMARKS
from benchmarks.document import DOCUMENT, markers, with_figures
from benchmarks.measuring import middle, ratio, slope
from benchmarks.stores import RecordLog, RecordLogAdapter, sealed, steady_steps, unsealed
from benchmarks.table import Column, Table, as_markdown, as_text

TABLE = Table(
    "example",
    "An example",
    (Column("what"), Column("ratio", ".1f"), Column("count", ",d")),
    (("one", 1.25, 1000), ("other", math.nan, None)),
    ("A note.",),
)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_quick_run_answers_with_whole_tables(name: str, tmp_path: Path) -> None:
    """Each table has rows, with a cell that names them first, and a figure or nothing in every other."""
    file = tmp_path / "figures.json"

    assert main([name, "--quick", "--json", str(file)]) == 0

    document = json.loads(file.read_text())
    assert document["format_version"] == 1
    for table in document["benchmarks"][name]:
        assert table["rows"], table["name"]
        for label, *figures in (list(row.values()) for row in table["rows"]):
            assert isinstance(label, str)
            assert all(figure is None or isinstance(figure, str | int | float) for figure in figures)


def test_a_benchmark_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong name is wrong use: exit status 2, and the right names."""
    with pytest.raises(SystemExit) as ended:
        main(["fastest"])

    assert ended.value.code == 2
    listed = "judged, enumeration, memory, growth, recording, kills, faults, damage, appends, replay, power, "
    listed += "histories, detection"
    assert listed in capsys.readouterr().err


def test_a_table_for_a_terminal_is_aligned() -> None:
    """Names to the left, figures to the right, a dash where there is none."""
    assert as_text(TABLE).splitlines() == [
        "example: An example",
        "",
        "what   ratio  count",
        "one      1.2  1,000",
        "other      -      -",
        "  A note.",
    ]


def test_a_table_for_a_document_is_markdown() -> None:
    """One line for the titles, one for the alignment, one for each row, and the notes below."""
    assert as_markdown(TABLE).splitlines() == [
        "**An example**",
        "",
        "| what | ratio | count |",
        "| --- | ---: | ---: |",
        "| one | 1.2 | 1,000 |",
        "| other | - | - |",
        "",
        "A note.",
    ]


def test_figures_replace_those_between_their_markers() -> None:
    """A second time gives the same document, and what others wrote stays."""
    first, last = markers("example")
    text = f"Before.\n\n{first}\nold\n{last}\n\nAfter.\n"

    once = with_figures(text, {"example": (TABLE,)}, "here and now")

    assert "old" not in once
    assert as_markdown(TABLE) in once
    assert once.startswith("Before.") and once.endswith("After.\n")
    assert with_figures(once, {"example": (TABLE,)}, "here and now") == once


def test_figures_without_a_place_are_refused() -> None:
    """Otherwise they would be lost without a word."""
    with pytest.raises(ValueError, match="there is no place for example"):
        with_figures("No markers.", {"example": (TABLE,)}, "")


def test_the_document_has_a_place_for_every_benchmark() -> None:
    """`--markdown` can write all of them."""
    text = with_figures(DOCUMENT.read_text(), dict.fromkeys(BENCHMARKS, (TABLE,)), "")

    assert text.count("An example") == len(BENCHMARKS)


def test_the_slope_tells_linear_from_quadratic() -> None:
    """The exponent of the size."""
    sizes = [1000, 2000, 4000]

    assert slope(sizes, [3 * size for size in sizes]) == pytest.approx(1)
    assert slope(sizes, [size**2 for size in sizes]) == pytest.approx(2)
    assert math.isnan(slope([1000], [1.0]))


def test_what_was_too_short_for_the_clock_gives_no_ratio() -> None:
    """Neither an error nor a number that looks like one."""
    assert math.isnan(ratio(1.0, 0.0))
    assert math.isnan(middle([]))


def test_the_record_log_keeps_what_it_was_given(tmp_path: Path) -> None:
    """After a reopen it shows what its model says."""
    adapter, expected = RecordLogAdapter(), RecordLogAdapter.model.initial()
    store = adapter.open(tmp_path)
    for step in steady_steps(70):
        adapter.apply(store, step)
        expected = adapter.model.step(expected, step)[0]
    adapter.close(store)

    again = adapter.open(tmp_path)
    assert adapter.snapshot(again) == expected
    adapter.close(again)


def test_the_record_log_cuts_a_torn_record_and_an_old_one(tmp_path: Path) -> None:
    """What stands behind the last whole record is no record, even if it was one once."""
    log = RecordLog(tmp_path)
    log.write("k", "v")
    log.close()
    whole = (tmp_path / "log").read_bytes()

    for rest in (sealed(2, {"k": "torn"})[:-1], sealed(1, {"k": "old"}), bytes(20)):
        (tmp_path / "log").write_bytes(whole + rest)
        again = RecordLog(tmp_path)
        again.close()
        assert again.items == {"k": "v"}
        assert (tmp_path / "log").read_bytes() == whole
    assert unsealed(whole, len(whole)) is None
