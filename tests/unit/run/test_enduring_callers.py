"""Endurance runs with several callers: nothing sound is told, what is lost is, and a kill leaves one operation of each
caller in doubt.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Unsupported, UsageError
from harness.measure.arrivals import Schedule
from harness.measure.windows import Window
from harness.run.enduring import MOST_CALLERS, EndureOptions, endure
from harness.run.enduring_callers import OneAtATime, SharedEndurance
from harness.run.enduring_child import MOST_FAILURES, Endured, EndureJob
from harness.run.enduring_files import LeftOut, Place, Progress
from harness.run.journal import Journal
from tests.unit.measure.virtual import MS, SECOND, VirtualClock
from tests.unit.run import enduring_stores as stores
from tests.unit.run.test_enduring_child import Calls, windows

SPEC = "tests.unit.run.enduring_stores"


class SharedClock(VirtualClock):
    """Virtual time for several threads: it never goes back."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def sleep_until_ns(self, moment_ns: int) -> None:
        with self._lock:
            super().sleep_until_ns(moment_ns)

    def work(self, lasting_ns: int, cpu_ns: int = 0) -> None:
        with self._lock:
            super().work(lasting_ns, cpu_ns)


@pytest.fixture(autouse=True)
def fresh_stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for kind in vars(stores).values():
        if isinstance(kind, type) and issubclass(kind, stores.SharedLog):
            monkeypatch.setattr(kind, "applied", 0)
    monkeypatch.setattr(stores.ReplacingLog, "met", set())
    yield


def job(root: Path, callers: int = 3, **changed: Any) -> EndureJob:
    made = {"schedule": Schedule(20.0, "uniform"), "until_ns": 6 * SECOND, "window_ns": 2 * SECOND, **changed}
    return EndureJob(root=str(root), fingerprint="f", callers=callers, **made)


def part(adapter: Any, asked: EndureJob, service_ns: int = MS) -> Endured:
    """One part of a run, whose operations take `service_ns`, of all callers together."""
    time, place = SharedClock(), Place(Path(asked.root))
    place.store.mkdir(parents=True, exist_ok=True)

    class Taking(adapter):  # type: ignore[misc]
        def do(self, store: Path, operation: Any) -> None:
            time.work(service_ns)
            super().do(store, operation)

    Taking.applied = adapter.applied
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(place.journal, "f"))
        progress = stack.enter_context(Progress(place.progress))
        counts = [stack.enter_context(Progress(place.of_caller(n).progress)) for n in range(asked.callers)]
        stack.callback(lambda: setattr(adapter, "applied", Taking.applied))
        return SharedEndurance(Taking(), asked, Calls(), place, journal, progress, time, counts=counts).run()


def killed(adapter: Any, asked: EndureJob, at: int, *, effect: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(adapter, "kill_at", at)
        patch.setattr(adapter, "effect", effect)
        with pytest.raises(stores.Killed):
            part(adapter, asked)


def counted(written: list[Window]) -> int:
    """What was due: done, or due and never begun."""
    return sum(window.operations + window.unstarted for window in written)


@pytest.mark.parametrize("adapter", [stores.SharedLog, stores.SharedMap])
@pytest.mark.parametrize("callers", [2, 5])
def test_a_sound_store_keeps_what_all_callers_were_told(adapter: Any, callers: int, tmp_path: Path) -> None:
    """Every arrival is counted once, in windows without a hole, and no difference is found."""
    ended = part(adapter, job(tmp_path, callers))
    written = windows(tmp_path)

    assert (ended.wrong, ended.stopped, ended.first_error) == ("", "", "")
    assert (ended.elapsed_ns, ended.looks) == (6 * SECOND, 2)
    assert counted(written) == 120 and ended.operations == sum(window.operations for window in written) > 0
    assert [window.from_ns for window in written[1:]] == [window.to_ns for window in written[:-1]]
    assert written[-1].to_ns == 6 * SECOND


def test_what_was_due_and_never_begun_counts_with_its_waiting(tmp_path: Path) -> None:
    """Twice as much is due as the store can do: the rest is told, and how long it had waited."""
    ended = part(stores.SharedLog, job(tmp_path), service_ns=100 * MS)
    written = windows(tmp_path)

    assert ended.wrong == "" and counted(written) == 120
    assert sum(window.unstarted for window in written) >= 50
    assert written[-1].response.max_ms >= 1_000


def test_an_append_that_two_callers_lose_is_told(tmp_path: Path) -> None:
    """Both were told that theirs succeeded, and one of them is gone."""
    ended = part(stores.ReplacingLog, job(tmp_path, callers=2))
    again = part(stores.SharedLog, job(tmp_path, callers=2, only_look=True))

    assert ended.kind in ("torn_operation", "lost_acknowledged") and ended.wrong
    assert again.kind == ended.kind


@pytest.mark.parametrize("adapter", [stores.ConfusedMap, stores.ForgettingLog, stores.SwappingLog])
def test_what_the_callers_did_not_lead_to_is_told(adapter: Any, tmp_path: Path) -> None:
    """Keys that others have written over; the last record gone; two records of one caller the other way round.

    The last two do that whenever they are opened, whoever calls them."""
    assert part(adapter, job(tmp_path, callers=1 if adapter is stores.SwappingLog else 2)).wrong


@pytest.mark.parametrize("adapter", [stores.SharedLog, stores.SharedMap])
@pytest.mark.parametrize("effect", [True, False])
def test_a_killed_run_goes_on_and_nothing_is_lost(
    adapter: Any, effect: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again and again; what each caller had in flight has happened or not, and the rest of the load follows."""
    for at in (0, 7, 30):
        killed(adapter, job(tmp_path), at, effect=effect, monkeypatch=monkeypatch)
    ended = part(adapter, job(tmp_path))

    assert (ended.wrong, ended.stopped) == ("", "")
    assert 30 < ended.operations <= 120
    left_out = [list(LeftOut(Place(tmp_path).of_caller(number).left_out).all()) for number in range(3)]
    if effect or adapter is stores.SharedLog:
        assert sum(map(len, left_out)) == (0 if effect else 3)


def test_an_acknowledged_record_that_a_kill_has_lost_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of the file, whoever has written it, is none of those that were in flight."""
    killed(stores.SharedLog, job(tmp_path), 30, effect=False, monkeypatch=monkeypatch)
    log = tmp_path / "store" / "log"
    log.write_text("".join(line + "\n" for line in log.read_text().splitlines()[:-1]))

    ended = part(stores.SharedLog, job(tmp_path))

    assert ended.kind == "lost_acknowledged" and "and a kill" in ended.wrong


@pytest.mark.parametrize("effect", [True, False])
def test_operations_that_raise_are_settled_when_all_are_at_rest(
    effect: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have happened or not, they are counted, and the run goes on."""
    monkeypatch.setattr(stores.SharedLog, "fail_at", frozenset({5, 40}))
    monkeypatch.setattr(stores.SharedLog, "effect", effect)

    ended = part(stores.SharedLog, job(tmp_path))

    assert (ended.wrong, ended.stopped) == ("", "") and ended.first_error.startswith("Append(")
    assert sum(window.failed for window in windows(tmp_path)) == 2
    left_out = [len(LeftOut(Place(tmp_path).of_caller(number).left_out).all()) for number in range(3)]
    assert sum(left_out) == (0 if effect else 2)


def test_a_run_with_too_many_failures_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores.SharedLog, "fail_at", frozenset(range(1000)))
    monkeypatch.setattr(stores.SharedLog, "effect", False)

    ended = part(stores.SharedLog, job(tmp_path))

    assert "operations failed, the first time as Append(" in ended.stopped
    assert MOST_FAILURES <= ended.operations < MOST_FAILURES + 3


def test_operations_that_a_store_cannot_take_leave_the_run(tmp_path: Path) -> None:
    """They are counted, and not owed."""

    class Choosy(stores.SharedLog):
        def do(self, store: Path, operation: Any) -> None:
            if int(operation.record[-1]) % 2:
                raise Unsupported("odd")
            super().do(store, operation)

    ended = part(Choosy, job(tmp_path))

    assert ended.wrong == "" and sum(window.unsupported for window in windows(tmp_path)) > 10


def test_a_closed_loop_keeps_all_callers_busy(tmp_path: Path) -> None:
    """Service times, and nothing that is due."""
    ended = part(stores.SharedLog, job(tmp_path, closed_loop=True, until_ns=SECOND, window_ns=SECOND // 2))
    written = windows(tmp_path)

    assert ended.wrong == "" and ended.operations == sum(window.operations for window in written) >= 900
    assert all(window.response.count == 0 and window.unstarted == 0 for window in written)


def test_the_board_shows_the_oldest_call_and_nothing_when_all_have_ended() -> None:
    """So what hangs is shown in the end, however busy the others are."""
    board = Calls()
    calls = OneAtATime(board)

    calls.enter(0)
    calls.enter(1)
    calls.leave(1)
    assert board.phases == ["apply"] and board.inside
    calls.enter(2)
    calls.leave(0)
    assert board.phases == ["apply", "apply"] and board.inside
    calls.leave(2)
    assert not board.inside


@pytest.mark.parametrize(
    ("adapter", "callers", "told"),
    [
        ("SoundLog", 2, "needs a store that threads may share, and its contract says writers='one'"),
        ("SharedDocument", 2, "can't be compared with the model DOCUMENT"),
        ("SharedLog", 0, "--callers 0 can't be"),
        ("SharedLog", MOST_CALLERS + 1, f"say 1 to {MOST_CALLERS}"),
    ],
)
def test_callers_that_cannot_be_are_refused(adapter: str, callers: int, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="callers") as refused:
        endure(
            f"{SPEC}:{adapter}",
            EndureOptions(duration_s=1.0, schedule=Schedule(20.0), reports=tmp_path, callers=callers),
        )
    assert told in str(refused.value)


def test_threads_of_a_real_process_share_a_store(tmp_path: Path) -> None:
    """From the options to the certificate, and the command that runs it again."""
    options = EndureOptions(duration_s=1.0, schedule=Schedule(200.0), reports=tmp_path, callers=4)
    made = endure(f"{SPEC}:SharedMap", options)

    assert [claim.verdict.value for claim in made.claims] == ["pass"]
    assert made.series["callers"] == 4 and "from 4 callers" in made.claims[0].promised
    assert any("4 threads shared the store" in note for note in made.notes)
    assert made.evidence[0].bounds["operations"] > 0
