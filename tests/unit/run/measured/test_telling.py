"""The finding about a limit that was missed, and the machine that numbers come from."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from harness import Limit, Verdict
from harness.core.evidence import Finding
from harness.measure.closed_loop import Sampled
from harness.measure.deciding import Floor, Ruling
from harness.report.story import story_text
from harness.run.measured.tasks import MeasureJob
from harness.run.measured.telling import finding_of, machine, processor

JOB = MeasureJob("load", 300, 30, 5, 20.0)


def told(limit: Limit, measured: float, disk: float | None = None, own: float | None = None) -> Finding:
    ruling = Ruling(limit, Verdict.FAIL, measured, disk, own, 300)
    floor = Floor((1_000_000,), 2.0) if disk else Floor()
    return finding_of(ruling, JOB, Sampled(), floor, "m:A", 2.0, confirmed=True)


def test_what_the_disk_took_is_told() -> None:
    """With the store's own time beside it."""
    finding = told(Limit("apply_p99_ms", at_most=10), 25.0, 3.0, 22.0)

    assert finding.summary.endswith("promises at most 10 ms; the bare disk takes 3 ms for the same syncs")
    assert finding.story is not None
    assert finding.story.reached == "The bare disk takes 3 ms for the same syncs."
    assert finding.story.found.endswith("without the disk and without waiting for a processor 22 ms.")
    assert "Over a limit: apply_p99_ms is 25 ms" in story_text(finding) and "more than promised" in story_text(finding)


def test_a_throughput_is_told_by_rates() -> None:
    """The disk gives operations, it does not take them."""
    finding = told(Limit("throughput_per_s", at_least=500), 120.0, 900.0, 140.0)

    assert "the bare disk gives 900 operations/s with the 2 syncs of each" in finding.summary


def test_what_no_disk_has_a_part_in() -> None:
    """Memory, descriptors."""
    finding = told(Limit("descriptors", at_most=1), 3)

    assert finding.summary == "descriptors is 3, and the adapter promises at most 1"
    assert finding.story is not None and finding.story.reached == "What the disk takes has no part in this."


def test_the_machine_is_described_and_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processor by what it calls itself, or what Python knows where that is not told."""
    assert machine()["cpus"] >= 1 and platform.node() not in machine().values()

    def refuse(self: Path, **keywords: str) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert processor() == (platform.processor() or platform.machine())
