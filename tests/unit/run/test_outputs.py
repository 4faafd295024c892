"""Where the results of a run go."""

from __future__ import annotations

import dataclasses
import json
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from harness import UsageError
from harness.run.outputs import annotate, file_names, require_file, require_writable, write_json, write_reports
from tests.golden.sample import failing, hostile, passing, unknown


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/reports", "/dev/null/reports"])
def test_what_cannot_be_written_to_is_refused(place: str, tmp_path: Path) -> None:
    """Whoever asks: not even root can write there."""
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match=r"can't be written to .*name another directory with --reports"):
        require_writable(tmp_path / place)
    with pytest.raises(UsageError, match="name another file with --json"):
        require_file(tmp_path / place / "c.json")


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    """Only the directory is made; a file that is there stays as it is, and nobody waits for a pipe."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "old.json").write_text("old")

    require_writable(tmp_path / "new")
    for name in ("new/c.json", "old.json", "pipe"):
        require_file(tmp_path / name)

    assert not list((tmp_path / "new").iterdir()) and (tmp_path / "old.json").read_text() == "old"
    with pytest.raises(UsageError, match="Is a directory"):
        require_file(tmp_path / "new")


def test_each_store_has_a_page_and_a_certificate(tmp_path: Path) -> None:
    """And all have one JUnit file; two of one name don't overwrite each other."""
    twin = dataclasses.replace(passing(), store=failing().store)
    written = write_reports([failing(), twin], tmp_path)

    first, second = file_names([failing(), twin])
    assert second == f"{first}-2"
    assert [path.name for path in written] == [
        *(f"{first}.json", f"{first}.html", f"{second}.json", f"{second}.html", "junit.xml")
    ]
    assert len(ElementTree.parse(tmp_path / "junit.xml").getroot().findall(".//testsuite")) >= 1


def test_what_a_store_writes_can_always_be_written(tmp_path: Path) -> None:
    """Lone surrogates too, and the JSON is JSON."""
    write_reports([hostile()], tmp_path)

    [file] = tmp_path.glob("*.json")
    assert json.loads(file.read_text())["verdict"] == hostile().verdict.value


def test_json_is_an_object_or_a_list(tmp_path: Path) -> None:
    """As many adapters as there were."""
    write_json([passing()], tmp_path / "one.json")
    write_json([passing(), unknown()], tmp_path / "deep" / "two.json")

    assert json.loads((tmp_path / "one.json").read_text())["store"] == passing().store
    assert len(json.loads((tmp_path / "deep" / "two.json").read_text())) == 2


def test_what_gets_in_the_way_later_is_told_so(tmp_path: Path) -> None:
    """A directory that has appeared where a report should be."""
    (tmp_path / f"{file_names([passing()])[0]}.json").mkdir()

    with pytest.raises(UsageError, match="name another place with --reports or --json"):
        write_reports([passing()], tmp_path)


def test_annotations_are_for_github_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Findings on stdout, the summary appended; elsewhere nothing."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    annotate([failing()])
    assert capsys.readouterr().out == ""

    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    annotate([failing()])
    assert capsys.readouterr().out.startswith("::error ")

    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    annotate([failing()])
    assert (tmp_path / "summary.md").read_text().startswith("before\n## ")


def test_a_summary_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no reason to fail."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))

    annotate([passing()])

    assert "no job summary" in capsys.readouterr().err
