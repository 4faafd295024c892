"""Full disks: in a process that has a small file system of its own, where the machine allows that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from harness import DOCUMENT, Save
from harness.core.workload import Workload
from harness.inject.disks import FullDisk, Room
from harness.judge.classify import Violation
from harness.run import namespaces
from harness.run.campaign import Campaign
from harness.run.live.bench import Bench
from harness.run.live.disks import DisksEngine
from harness.run.live.values import TrialsJob, Tried
from harness.run.options import Options

STORES = "tests/unit/run/live/failing_stores.py"
SAVES = tuple(Save({"n": number, "text": "x" * 3000 * number}) for number in (1, 2, 3))

allowed = namespaces.probe() is None


def tried(adapter: str, **changes: Any) -> Tried:
    job = TrialsJob("disk", "full-disk", "io_error", "fails_cleanly", Workload("disk", SAVES), 0, 400, 60.0)
    with Campaign(f"{STORES}:{adapter}", Options(profile="quick", jobs=1)) as campaign:
        [result] = campaign.try_faults([dataclasses.replace(job, **changes)])
    return result


def test_a_short_write_on_a_full_disk_that_nobody_looks_at() -> None:
    result = tried("ShortWrites")
    if not allowed:
        assert "no small file system" in result.refused
        return
    assert {found.trial.violation.kind for found in result.found if found.trial.violation} == {"cannot_open"}
    sites = {str(found.trial.site) for found in result.found}
    assert len(sites) == 1 and "ShortWrites.write" in sites.pop()


def test_a_full_disk_that_is_raised_is_no_finding() -> None:
    result = tried("Documents")
    assert result.found == []
    assert (result.refused == "") is allowed
    if not allowed:
        return
    assert result.fired > 10
    struck = {(key[3], key[4]) for key in result.struck}
    assert ("write", "no space") in struck and ("open", "no inodes") in struck


def test_one_fault_alone_can_be_tried_again() -> None:
    result = tried("ShortWrites", only=FullDisk(0, 2))
    assert (result.trials, len(result.found)) == ((1, 1) if allowed else (0, 0))


def test_without_a_small_file_system_nothing_is_filled(make_bench: Callable[[Any], Bench]) -> None:
    class Adapter:
        """Never opened."""

        model = DOCUMENT

    made = DisksEngine(make_bench(Adapter), Workload("disk", SAVES), "io_error", "fails_cleanly")
    assert "no small file system" in made.rehearse()


def test_a_trial_that_ended_its_worker(make_bench: Callable[[Any], Bench]) -> None:
    class Adapter:
        """Never opened."""

        model = DOCUMENT

    made = DisksEngine(make_bench(Adapter), Workload("disk", SAVES), "io_error", "fails_cleanly")
    trial = made.ended(FullDisk(1, 0, Room.INODES), Violation("hang", "it did not return"))
    assert trial.fired == 1 and trial.exhibit is not None and "0 free inodes" in trial.exhibit.reached
