"""How the event log opens and what it sustains: that is measured, told in whole tables, and adds up."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from benchmarks import opening, sustained
from benchmarks.opened import Opened, opened
from benchmarks.sustained_load import batches
from harness.measure.openloop import Sample
from harness.measure.windows import Held, Window
from store_under_test.event_store import EventStore

MS = 1_000_000


def test_a_log_is_built_as_long_as_was_asked_for(tmp_path: Path) -> None:
    """Also where that is no multiple of a batch; snapshot and index are there."""
    opening.build(tmp_path, 1_001)

    with EventStore.open(tmp_path) as store:
        assert [event.payload for event in store.read()] == list(range(1_001))
        assert store.version_of("aggregate-0000") == 2
    assert {path.suffix for path in tmp_path.iterdir()} >= {".idx", ".snap"}


def test_openings_are_measured_in_fresh_processes(tmp_path: Path) -> None:
    """Each tells how many events it found, and a peak that is no less than what the process had before."""
    built = opening.measured(tmp_path, 300, repetitions=1)

    for one in (*built.cold, *built.warm):
        assert (one.events, one.found) == (300, 1)
        assert one.open_s > 0 and one.peak_bytes >= one.before_bytes > 0


def test_a_log_that_opens_with_fewer_events_is_no_measurement(tmp_path: Path) -> None:
    """A time for something else would be worse than none."""
    opening.build(tmp_path, 5)

    with pytest.raises(RuntimeError, match="of 6 events the log opens with 5"):
        opening._opened_afresh(tmp_path, 6)


def test_growth_is_told_against_the_smallest_log() -> None:
    """Ten times the time for ten times the events is a slope of 1, the same memory one of 0."""
    logs = [
        opening.Built(events, 1.0, 2**20, (one,), (one,))
        for events in (10, 100)
        for one in (Opened(events, events / 1e3, 2**20, 3 * 2**20, 0.001, 1),)
    ]

    found = opening.table(logs)

    assert [row[5] for row in found.rows] == [1.0, 10.0] and [row[8] for row in found.rows] == [1.0, 1.0]
    assert "time 1.00" in found.notes[1] and "alone 0.00" in found.notes[1]
    assert len({column.title for column in found.columns}) == len(found.columns)


def test_the_command_opens_logs_of_three_lengths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PARTS", (10, 1))
    monkeypatch.setattr(opening, "_opened_afresh", lambda directory, events: opened(str(directory)))

    assert opening.main(["--events", "20", "--directory", str(tmp_path)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:5]] == ["2", "20"]
    assert list(tmp_path.iterdir()) == []


def test_batches_are_due_when_their_last_event_is_and_fixed_by_the_seed() -> None:
    """Ten thousand events per second in batches of ten are a thousand batches."""
    first, again = (list(itertools.islice(batches(7, 10_000.0, 10), 1_000)) for _ in range(2))

    assert first == again
    assert [due.at_ns for due in first] == sorted(due.at_ns for due in first)
    assert {len(due.events) for due in first} == {10}
    assert first[-1].at_ns == pytest.approx(1_000 * MS, rel=0.01)


@pytest.mark.parametrize("callers", [1, 3])
def test_what_was_due_was_appended_or_is_told(callers: int, tmp_path: Path) -> None:
    """Whole batches, as many as were counted, each once; what was due is counted as begun or as never begun."""
    load = sustained.Load(rate=2_000.0, seconds=0.2, callers=callers, batch=4, seed=3)

    found = sustained.run(tmp_path, load)

    with EventStore.open(tmp_path) as store:
        kept = sorted(str(event.id) for event in store.read())
    due = list(itertools.takewhile(lambda batch: batch.at_ns < 0.2e9, batches(3, 2_000.0, 4)))
    assert len(kept) == len(set(kept)) == 4 * found.window.operations
    assert set(kept) <= {str(event.id) for batch in due for event in batch.events}
    assert found.window.operations + found.window.unstarted == len(due) > 0
    assert found.window.response.count == len(due) and found.window.service.count == found.window.operations
    assert found.window.seconds >= 0.2 and len(found.held) == sustained.SAMPLES + 1


def test_a_caller_that_fails_ends_the_run_with_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and nothing is printed as if it had been sustained."""

    def refuse(_store: EventStore, _events: object) -> None:
        raise OSError("refused")

    monkeypatch.setattr(EventStore, "append_batch", refuse)

    with pytest.raises(OSError, match="refused"):
        sustained.run(tmp_path, sustained.Load(rate=1_000.0, seconds=60.0, callers=2, batch=10))


@pytest.mark.parametrize(
    ("late_ms", "batches_seen", "told"),
    [(0.5, 1_000, "The generator was in time."), (5, 1_000, "late by 5"), (0.5, 999, "tell too little")],
)
def test_a_generator_that_was_late_is_told(late_ms: float, batches_seen: int, told: str) -> None:
    """Late by more than a tenth of the smallest limit, or nobody knows: no latency can be judged."""
    window = Window(0, lasted_ns=1_000 * MS)
    for _ in range(batches_seen):
        window.note(Sample(0, 0, int(late_ms * MS), int((late_ms + 1) * MS)), open_loop=True)

    assert told in sustained.fitness(window)


def test_growth_and_the_slowest_part_are_told_for_events() -> None:
    """Ten bytes for a batch of ten events are one for an event; a part of half the rate is the slowest."""
    found = sustained.Sustained(sustained.Load(rate=100.0, seconds=40.0, callers=1, batch=10))
    for second in range(41):
        done = 10 * min(second, 36) + 5 * max(second - 36, 0)
        found.held.append(Held(0, done, 10 * done))
        found.at_ns.append(second * 1_000 * MS)

    reached, _ = sustained.tables(found)

    figures = {row[0]: row[2] for row in reached.rows}
    assert figures["memory gained for an event, bytes"] == pytest.approx(1.0)
    assert figures["events per second, slowest 10th part"] == pytest.approx(50.0)
    assert "between 1.0 and 1.0 bytes (95 %)" in reached.notes[1]


def test_the_command_prints_rate_latencies_and_growth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load = ["--rate", "1000", "--seconds", "0.1", "--callers", "2", "--batch", "5"]

    assert sustained.main([*load, "--directory", str(tmp_path)]) == 0

    out = capsys.readouterr().out
    for row in ("events per second, whole run", "memory gained", "wait (due", "service (", "response (", "lateness ("):
        assert row in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "arguments", "told"),
    [
        (opening.main, ["--events", "99"], "leaves the smallest log empty"),
        (opening.main, ["--directory", "/nowhere/at/all"], "is no directory"),
        (sustained.main, ["--callers", "0"], "--callers 0 makes no load"),
        (sustained.main, ["--batch", "1001"], "at most 1,000"),
        (sustained.main, ["--directory", "/nowhere/at/all"], "is no directory"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(
    command: object, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(command)
    with pytest.raises(SystemExit) as ended:
        command(arguments)

    assert ended.value.code == 2 and told in capsys.readouterr().err
