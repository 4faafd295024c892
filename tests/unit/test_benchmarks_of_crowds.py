"""Many threads, processes and tasks on one store: all calls take effect, and who was overtaken is counted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import counting, stress, stressed_processes, stressed_tasks, stressed_threads
from benchmarks.stressed import Stressed, overtaken
from store_under_test.event_store.aio import AsyncEventStore
from store_under_test.metrics_store import MetricsStore
from store_under_test.structured_log import EventType, StructuredLogger


def check(found: Stressed, members: int, calls: int) -> None:
    """Every call came back, in the order told, while all were there."""
    assert len(found.calls) == members * calls and found.alive == found.count == members
    assert list(found.calls) == sorted(found.calls, key=lambda call: call[1])
    assert all(started <= ended for started, ended in found.calls) and found.seconds >= 0
    for held in (found.begun, found.ended):
        assert held.resident_bytes > 0 and held.descriptors > 0


def test_every_call_of_every_thread_takes_effect(tmp_path: Path) -> None:
    check(stressed_threads.on_metrics_store(tmp_path, 40, 2), 40, 2)
    check(stressed_threads.on_breaker(40, 2), 40, 2)


@pytest.mark.parametrize("run", [stressed_processes.on_metrics_store, stressed_processes.on_log])
def test_every_call_of_every_process_takes_effect(run: Callable[..., Stressed], tmp_path: Path) -> None:
    """Each is a process of its own; this one is none of them."""
    found = run(tmp_path, 3, 4)
    check(found, 3, 4)
    assert found.members == "processes"


def test_every_call_of_every_task_takes_effect(tmp_path: Path) -> None:
    """None ends before all have begun."""
    for found in stress.tasks(tmp_path, 20, 3):
        check(found, 20, 3)
        firsts = sorted(started for started, _ in found.calls)[:20]
        assert max(firsts) <= min(ended for _, ended in found.calls), found.name


# --- what is lost ends the run --------------------------------------------------------------------


def test_a_lost_call_of_a_thread_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = MetricsStore.update
    lost = iter([False, True])  # the first call starts the threads

    def forgetful(store: MetricsStore, function: Callable[..., None]) -> object:
        return None if next(lost, False) else real(store, function)

    monkeypatch.setattr(MetricsStore, "update", forgetful)
    with pytest.raises(RuntimeError, match="5 of 6 calls took effect"):
        stressed_threads.on_metrics_store(tmp_path, 3, 2)


def test_a_lost_update_of_a_process_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is taken back before the count is looked at."""
    real = counting.counted
    monkeypatch.setattr(stressed_processes, "counted", lambda store: {**real(store), "all": real(store)["all"] - 1})
    with pytest.raises(RuntimeError, match="3 of 4 calls took effect"):
        stressed_processes.on_metrics_store(tmp_path, 2, 2)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda lines: [lines[0][:-9] + b"x" * 9, *lines[1:]], "1 lines hold no record"),
        (lambda lines: lines[:-1], "3 of 4 calls took effect"),
        (lambda lines: None, "1 of 2 processes are in order"),
    ],
)
def test_a_record_that_is_not_whole_or_not_in_its_place_ends_the_run(
    spoil: Callable[[list[bytes]], list[bytes] | None], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that was overwritten, one that is missing at the end, and two that changed places."""
    real = stressed_processes.read_log

    def spoilt(path: Path) -> Any:
        lines = spoil(path.read_bytes().splitlines())
        if lines is None:
            path.unlink()
            log = StructuredLogger(path)
            for member, number in ((0, 1), (0, 0), (1, 0), (1, 1)):
                log.log_event(EventType.RECORD, member=member, number=number)
        else:
            path.write_bytes(b"".join(line + b"\n" for line in lines))
        return real(path)

    monkeypatch.setattr(stressed_processes, "read_log", spoilt)
    with pytest.raises(RuntimeError, match=complaint):
        stressed_processes.on_log(tmp_path, 2, 2)


def test_a_lost_append_of_a_task_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, left = AsyncEventStore.append, iter([False, True])

    async def forgetful(store: AsyncEventStore, event: Any) -> object:
        return None if next(left, False) else await real(store, event)

    monkeypatch.setattr(AsyncEventStore, "append", forgetful)
    with pytest.raises(RuntimeError, match="5 of 6 calls took effect"):
        stressed_tasks.on_event_store(tmp_path, 3, 2)


def test_what_a_thread_raises_is_raised() -> None:
    def fails() -> None:
        raise ValueError("no")

    crowd = stressed_threads.Crowd(fails, 2, 1)
    crowd.start()
    with pytest.raises(ValueError, match="no"):
        crowd.end("fails")


def test_a_process_that_ends_too_early_ends_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No other one is left behind."""
    members = stressed_processes.Members("no such store", tmp_path, 2, 1)
    started: list[subprocess.Popen[str]] = members.members
    with pytest.raises(RuntimeError, match=r"ended before its time \(exit status 1\)"), members:
        members.ready()
    assert len(started) == 2 and all(member.returncode is not None for member in started)
    assert "KeyError" in capfd.readouterr().err


# --- what is told ----------------------------------------------------------------------------------


def test_who_came_later_and_was_served_before() -> None:
    """In the order of the ends: 0 in a line; the first of three as the last was overtaken by two."""
    assert overtaken([(0, 1), (1, 2), (2, 3)]) == 0
    assert overtaken([(1, 4), (2, 5), (0, 6)]) == 2
    assert overtaken([(2, 4), (0, 5), (1, 6)]) == 1


def test_the_command_prints_a_row_for_each_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only of the crowds that were asked for, and with how busy the machine was."""
    assert stress.main(["--threads", "5", "--tasks", "7", "--calls", "2", "--directory", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    rows, notes = printed.split("A wait is")
    assert rows.count("5 threads") == 2 and rows.count("7 tasks") == 3 and "processes" not in rows
    assert "Load of the machine" in notes
    with pytest.raises(SystemExit, match="2"):
        stress.main(["--processes", "0"])
    with pytest.raises(SystemExit, match="2"):
        stress.main(["--calls", "0"])


def test_without_a_wish_all_crowds_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, int]] = []

    def noted(name: str) -> Callable[..., Any]:
        def crowd(directory: Path, count: int, calls: int) -> list[Stressed]:
            asked.append((name, count, calls))
            return []

        return crowd

    monkeypatch.setattr(stress, "CROWDS", {name: noted(name) for name in stress.CROWDS})
    assert stress.main([]) == 0
    assert asked == [(name, *usual) for name, usual in stress.USUAL.items()]
