"""Many threads on one store: all calls take effect, and who was overtaken is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import stress


def test_every_call_of_every_thread_takes_effect(tmp_path: Path) -> None:
    for found in (stress.on_metrics_store(tmp_path, 40, 2), stress.on_breaker(40, 2)):
        assert len(found.calls) == 80 and found.alive == found.threads == 40
        assert list(found.calls) == sorted(found.calls, key=lambda pair: pair[1])
        assert found.resident_bytes > 0 and found.descriptors > 0


def test_a_lost_call_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = stress.MetricsStore.update
    lost = iter([False, True])  # the first call starts the threads

    def forgetful(store: stress.MetricsStore, function: stress.Callable[..., None]) -> object:
        return None if next(lost, False) else real(store, function)

    monkeypatch.setattr(stress.MetricsStore, "update", forgetful)
    with pytest.raises(RuntimeError, match="5 of 6 calls took effect"):
        stress.on_metrics_store(tmp_path, 3, 2)


def test_what_a_thread_raises_is_raised() -> None:
    def fails() -> None:
        raise ValueError("no")

    crowd = stress.Crowd(fails, 2, 1)
    crowd.start()
    with pytest.raises(ValueError, match="no"):
        crowd.end("fails")


def test_who_came_later_and_was_served_before() -> None:
    """In the order of the ends: 0 in a line; the first of three as the last was overtaken by two."""
    assert stress.overtaken([(0, 1), (1, 2), (2, 3)]) == 0
    assert stress.overtaken([(1, 4), (2, 5), (0, 6)]) == 2
    assert stress.overtaken([(2, 4), (0, 5), (1, 6)]) == 1


def test_the_command_prints_a_row_for_each_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stress.main(["--threads", "5", "--directory", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "MetricsStore" in printed and "CircuitBreaker" in printed
    with pytest.raises(SystemExit, match="2"):
        stress.main(["--threads", "0"])
