"""Endurance runs in this process, on virtual time: they end, go on after a kill, and see what a store has lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.measure.arrivals import Schedule
from harness.measure.windows import Window
from harness.run.enduring_child import LEAST_FREE_BYTES, MOST_FAILURES, Context, Endurance, Endured, EndureJob, prepare
from harness.run.enduring_files import LeftOut, Place, Progress
from harness.run.journal import Journal
from harness.run.worker_main import Setup
from tests.unit.measure.virtual import MS, SECOND, VirtualClock
from tests.unit.run import enduring_stores as stores

SCHEDULE = Schedule(20.0, "uniform")


class Calls:
    """A board: which call the store is in."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.inside = False

    def enter(self, unit: int, phase: str | int) -> None:
        assert not self.inside
        self.inside = True
        self.phases.append(str(phase))

    def leave(self) -> None:
        self.inside = False

    def adopt(self) -> None:
        raise AssertionError("no child takes over")


@pytest.fixture(autouse=True)
def fresh_stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for kind in vars(stores).values():
        if isinstance(kind, type) and issubclass(kind, stores.SoundLog):
            monkeypatch.setattr(kind, "applied", 0)
    monkeypatch.setattr(stores.PrefixLog, "closed", False)
    yield


def job(root: Path, seconds: int = 6, **changed: Any) -> EndureJob:
    made = {"schedule": SCHEDULE, "until_ns": seconds * SECOND, "window_ns": 2 * SECOND, **changed}
    return EndureJob(root=str(root), fingerprint="f", **made)


def part(adapter: Any, asked: EndureJob, clock: VirtualClock | None = None, service_ns: int = MS) -> Endured:
    """One part of a run, whose operations take `service_ns`."""
    time = clock or VirtualClock()
    place = Place(Path(asked.root))
    place.store.mkdir(parents=True, exist_ok=True)

    class Taking(adapter):  # type: ignore[misc]
        def do(self, store: Path, operation: Any) -> None:
            time.work(service_ns)
            super().do(store, operation)

    Taking.applied = adapter.applied
    try:
        with Journal(place.journal, "f") as journal, Progress(place.progress) as progress:
            return Endurance(Taking(), asked, Calls(), place, journal, progress, time).run()
    finally:
        adapter.applied = Taking.applied


def killed(adapter: Any, asked: EndureJob, at: int, *, effect: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a run that ends with a kill in operation number `at`, after its effect or before."""
    with monkeypatch.context() as patch:
        patch.setattr(adapter, "kill_at", at)
        patch.setattr(adapter, "effect", effect)
        with pytest.raises(stores.Killed):
            part(adapter, asked)


def windows(root: Path) -> list[Window]:
    with Journal(root / "journal", "f") as journal:
        entries = journal.load()
    return [Window.from_json(entries[name]) for name in sorted(entries) if name.startswith("window/")]


def test_a_run_gives_the_whole_load_and_writes_down_its_windows(tmp_path: Path) -> None:
    """Twenty a second for six seconds, in three windows without a hole; the store is looked at twice."""
    ended = part(stores.SoundLog, job(tmp_path))
    written = windows(tmp_path)

    assert ended == Endured(120, 6 * SECOND, looks=2)
    assert [window.operations for window in written] == [41, 40, 39]
    assert [window.from_ns for window in written[1:]] == [window.to_ns for window in written[:-1]]
    assert written[-1].to_ns == 6 * SECOND
    assert written[0].response.max_ms == written[0].service.max_ms == 1.0
    assert all(window.reading.resident_bytes > 0 for window in written)


@pytest.mark.parametrize("effect", [True, False])
@pytest.mark.parametrize("at", [0, 1, 63, 64, 100])
def test_a_killed_run_goes_on_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, effect: bool
) -> None:
    """The operation that was cut off has happened or not, and either is right; the rest of the load follows."""
    killed(stores.SoundLog, job(tmp_path), at, effect=effect, monkeypatch=monkeypatch)
    ended = part(stores.SoundLog, job(tmp_path))

    assert (ended.wrong, ended.stopped, ended.operations) == ("", "", 120)
    assert ended.elapsed_ns == 6 * SECOND
    assert list(LeftOut(tmp_path / "left-out").all()) == ([] if effect else [at])
    assert {window.part for window in windows(tmp_path)} <= {0, 1}


def test_a_run_can_be_killed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part goes on where the one before was."""
    for at in (10, 50, 51, 90):
        killed(stores.SoundLog, job(tmp_path), at, effect=at % 20 == 10, monkeypatch=monkeypatch)
    ended = part(stores.SoundLog, job(tmp_path))

    assert (ended.wrong, ended.operations) == ("", 120)


def test_a_run_goes_on_in_the_slice_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Schedules are made in slices of 256 arrivals: none is left out and none comes twice."""
    for at in (300, 301, 513):
        killed(stores.SoundLog, job(tmp_path, seconds=30), at, effect=True, monkeypatch=monkeypatch)
    ended = part(stores.SoundLog, job(tmp_path, seconds=30))

    assert (ended.wrong, ended.operations, ended.elapsed_ns) == ("", 600, 30 * SECOND)


def test_a_run_that_has_ended_is_only_looked_at(tmp_path: Path) -> None:
    """Going on with it performs nothing."""
    part(stores.SoundLog, job(tmp_path))
    again = part(stores.SoundLog, job(tmp_path))

    assert (again.wrong, again.operations) == ("", 120)
    assert len(windows(tmp_path)) == 3


def test_a_lost_acknowledged_record_is_seen_at_the_end(tmp_path: Path) -> None:
    """And a second look at what is on the disk sees it too, without changing anything."""
    ended = part(stores.ForgettingLog, job(tmp_path))
    again = part(stores.SoundLog, job(tmp_path, only_look=True))

    assert ended.kind == again.kind == "lost_acknowledged"
    assert "the state after 119 of them" in ended.wrong
    assert not (tmp_path / "left-out").exists()


def test_a_lost_acknowledged_record_is_seen_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operation in flight had not happened, and the one before is gone."""
    killed(stores.ForgettingLog, job(tmp_path), 30, effect=False, monkeypatch=monkeypatch)
    ended = part(stores.ForgettingLog, job(tmp_path))

    assert ended.kind == "lost_acknowledged"
    assert "and a kill" in ended.wrong
    assert ended.operations == 31


def test_what_no_number_of_operations_leads_to_is_a_mixture(tmp_path: Path) -> None:
    """Records in another order."""
    assert part(stores.SwappingLog, job(tmp_path)).kind == "torn_operation"


def test_a_store_that_cannot_be_opened_again_is_told(tmp_path: Path) -> None:
    """With what it raised."""
    ended = part(stores.UnopenableLog, job(tmp_path))

    assert ended.kind == "cannot_open"
    assert "open raised ValueError: who wrote this?" in ended.wrong


@pytest.mark.parametrize("kind", [stores.PrefixLog, stores.SyncedLog])
def test_a_weaker_contract_may_lose_the_last_operations_in_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """They are no part of the run any more, and it goes on; at the end all the rest is owed."""
    killed(kind, job(tmp_path), 57, effect=False, monkeypatch=monkeypatch)
    ended = part(kind, job(tmp_path))

    assert (ended.wrong, ended.operations) == ("", 120)
    assert list(LeftOut(tmp_path / "left-out").all())[-1] == 57
    assert 56 in LeftOut(tmp_path / "left-out").all()


def test_what_was_synced_must_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed right behind a sync, one record less is too few."""
    killed(stores.SyncedLog, job(tmp_path), 60, effect=False, monkeypatch=monkeypatch)

    assert part(stores.SyncedLog, job(tmp_path)).kind == "lost_acknowledged"


@pytest.mark.parametrize("effect", [True, False])
def test_an_operation_that_raises_is_settled_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effect: bool
) -> None:
    """It has happened or not; it is counted, and the run goes on. The clock stands still meanwhile."""
    monkeypatch.setattr(stores.SoundLog, "fail_at", frozenset({5, 70}))
    monkeypatch.setattr(stores.SoundLog, "effect", effect)
    ended = part(stores.SoundLog, job(tmp_path))

    assert (ended.wrong, ended.operations, ended.looks) == ("", 120, 4)
    assert ended.first_error.startswith("Append(")
    assert sum(window.failed for window in windows(tmp_path)) == 2
    assert list(LeftOut(tmp_path / "left-out").all()) == ([] if effect else [5, 70])


def test_a_store_that_loses_data_when_an_operation_raises_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, not at the end."""
    monkeypatch.setattr(stores.ForgettingLog, "fail_at", frozenset({20}))
    monkeypatch.setattr(stores.ForgettingLog, "effect", False)
    ended = part(stores.ForgettingLog, job(tmp_path))

    assert (ended.kind, ended.operations) == ("lost_acknowledged", 21)
    assert "raised OSError: no" in ended.wrong


def test_a_run_with_too_many_failures_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first of them, and in a state from which one can go on."""
    monkeypatch.setattr(stores.SoundLog, "fail_at", frozenset(range(1000)))
    monkeypatch.setattr(stores.SoundLog, "effect", False)
    ended = part(stores.SoundLog, job(tmp_path))

    assert ended.operations == MOST_FAILURES
    assert ended.stopped.startswith(f"{MOST_FAILURES} operations failed, the first time as Append(")


def test_operations_that_a_store_cannot_take_leave_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted, and not owed, before a kill and after it."""
    killed(stores.ChoosyLog, job(tmp_path), 60, effect=False, monkeypatch=monkeypatch)
    ended = part(stores.ChoosyLog, job(tmp_path))

    assert (ended.wrong, ended.operations) == ("", 120)
    assert len(LeftOut(tmp_path / "left-out").all()) > 30


def test_overload_shows_in_response_times(tmp_path: Path) -> None:
    """A store that takes 100 ms for what comes every 50 ms: half is never started, and the waiting grows."""
    ended = part(stores.SoundLog, job(tmp_path), service_ns=100 * MS)
    written = windows(tmp_path)

    assert (ended.wrong, ended.operations) == ("", 60)
    assert sum(window.unstarted for window in written) == 60
    assert max(window.response.max_ms for window in written) >= 2900
    assert max(window.service.max_ms for window in written) == 100


def test_a_closed_loop_has_service_times_and_nothing_else(tmp_path: Path) -> None:
    """As many operations as fit, one after another."""
    ended = part(stores.SoundLog, job(tmp_path, seconds=2, closed_loop=True, window_ns=SECOND), service_ns=20 * MS)
    written = windows(tmp_path)

    assert (ended.wrong, ended.operations) == ("", 100)
    assert sum(window.response.count + window.wait.count + window.lateness.count for window in written) == 0
    assert sum(window.service.count for window in written) == 100


def test_a_file_system_that_fills_ends_the_run_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the store meets the end of it."""
    usage = shutil.disk_usage(tmp_path)._replace(free=LEAST_FREE_BYTES - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    ended = part(stores.SoundLog, job(tmp_path))

    assert ended.operations == 41
    assert "less than 256 MiB left" in ended.stopped


def test_a_worker_prepares_by_loading_the_adapter() -> None:
    """The class, by its name."""
    context = prepare(Setup("", adapter="tests.unit.run.enduring_stores:SoundLog"))

    assert context == Context(stores.SoundLog)
