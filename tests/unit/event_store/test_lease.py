"""One writer: who waits, who takes over, and what becomes of a writer that wakes up too late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from store_under_test.event_store import EventStore, LeaseLostError, LockedError, Patience, lease
from store_under_test.event_store.lease import Record, decode
from store_under_test.event_store.segment import parsed_name
from tests.unit.event_store.core_helpers import SMALL, event, opened, payloads, reread, segment_files
from tests.unit.event_store.lease_holder import LEASE_S, OPTIONS

ROOT = Path(__file__).parents[3]


class Time:
    """A monotonic clock that only sleeping moves; each sleep may do something."""

    def __init__(self, step_s: float = 0.0, each: Callable[[], None] = lambda: None) -> None:
        self.now_s = 1000.0
        self.step_s = step_s
        self.each = each

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.each()
        self.now_s += max(seconds, self.step_s)


def patience(time: Time, timeout_s: float = 10 * LEASE_S, lease_s: float | None = LEASE_S) -> Patience:
    return Patience(timeout_s, lease_s, time.clock, time.sleep)


def taken_over(directory: Path) -> EventStore:
    """The store, opened by one for whom the lease has run out."""
    return opened(directory, replace(OPTIONS, patience=patience(Time(LEASE_S / 2))))


def stopped_holder(directory: Path, place: str) -> subprocess.Popen[str]:
    """Another process, standing still inside its second append."""
    command = [sys.executable, "-m", "tests.unit.event_store.lease_holder", str(directory), place]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "it ended without stopping"
    return process


def woken(process: subprocess.Popen[str]) -> list[str]:
    """What the holder was told once it went on."""
    process.send_signal(signal.SIGCONT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output.splitlines()


@pytest.mark.parametrize(
    ("place", "told", "holder_has"),
    [
        ("before the first check", "LeaseLostError", ["one"]),
        ("between check and write", "LeaseLostError", ["one"]),
        ("between write and fsync", "LeaseLostError", ["one", "two"]),
        ("between fsync and check", "LeaseLostError", ["one", "two"]),
        ("between check and acknowledgement", "acknowledged", ["one", "two"]),
        ("in a rotation", "UnknownOutcomeError", ["one"]),
    ],
)
def test_a_writer_that_wakes_up_too_late_harms_nothing(
    tmp_path: Path, place: str, told: str, holder_has: list[str]
) -> None:
    """Wherever it stood: what it was told is true, and nothing of it comes after what the next one wrote."""
    holder = stopped_holder(tmp_path, place)
    try:
        with pytest.raises(LockedError):
            opened(tmp_path, replace(OPTIONS, patience=patience(Time(), timeout_s=1.0)))
        with taken_over(tmp_path) as store:
            assert payloads(store) == holder_has
            store.append(event("taken over"))
            assert woken(holder)[0] == told
            store.append(event("more"))
            assert payloads(store) == [*holder_has, "taken over", "more"]
    finally:
        holder.kill()
    assert reread(tmp_path) == [*holder_has, "taken over", "more"]
    with opened(tmp_path) as store:
        store.append(event("afterwards"))
    assert reread(tmp_path) == [*holder_has, "taken over", "more", "afterwards"]


def test_a_writer_that_lost_its_lease_writes_no_more(tmp_path: Path) -> None:
    """Nor does it seal, and it can be closed; its epoch is lower than that of the next one."""
    late = opened(tmp_path, OPTIONS)
    late.append(event("one"))
    with taken_over(tmp_path) as store:
        assert store.log.epoch > late.log.epoch
        for call in (lambda: late.append(event("late")), lambda: late.append(event("late")), late.compact):
            with pytest.raises(LeaseLostError):
                call()
        assert late.state.reason == "the lease was lost"
        late.close()
        with pytest.raises(LockedError):  # closing the old handle frees nothing of the new one's
            opened(tmp_path)
        store.append(event("two"))
    assert reread(tmp_path) == ["one", "two"]


def test_taking_over_a_store_without_events_starts_another_segment(tmp_path: Path) -> None:
    """The stalled writer may still write to the first one, which no longer counts."""
    late = opened(tmp_path, OPTIONS)
    with taken_over(tmp_path) as store:
        assert [info.first_sequence for info in store.log.segments()] == [1]
        assert len(segment_files(tmp_path)) == 2
        with pytest.raises(LeaseLostError):
            late.append(event("late"))
        store.append(event("one"))
    late.close()
    assert reread(tmp_path) == ["one"]
    ((first, epoch),) = [parsed_name(path.name) or (0, 0) for path in segment_files(tmp_path)]
    assert first == 1 and epoch > late.log.epoch


def test_a_taker_that_dies_early_leaves_the_fence_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next opener finds the lock free, and still must not go on in the segment of the stalled writer."""
    late = opened(tmp_path, OPTIONS)
    late.append(event("one"))
    with monkeypatch.context() as patch:
        patch.setattr("store_under_test.event_store.log.recover", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            taken_over(tmp_path)
    with opened(tmp_path) as store:
        assert [info.first_sequence for info in store.log.segments()] == [1, 2]
        store.append(event("two"))
    with pytest.raises(LeaseLostError):
        late.append(event("late"))
    late.close()
    with opened(tmp_path) as store:
        assert len(store.log.segments()) == 2  # the fence was for one opening
        assert payloads(store) == ["one", "two"]


def test_a_holder_that_renews_keeps_its_lease(tmp_path: Path) -> None:
    """However long another waits; when it stops to renew, the wait begins anew."""
    holder = opened(tmp_path, OPTIONS)
    renewals = [0]

    def renew() -> None:
        if renews:
            renewals[0] += 1
            holder.log._lease.renew()

    renews = True
    time = Time(LEASE_S / 2, renew)
    with pytest.raises(LockedError, match=f"held by process {os.getpid()}"):
        opened(tmp_path, replace(OPTIONS, patience=patience(time)))
    assert renewals[0] >= 20
    holder.append(event("mine"))
    renews = False
    with opened(tmp_path, replace(OPTIONS, patience=patience(time))) as store:
        assert payloads(store) == ["mine"]
    holder.close()


def test_a_holder_renews_by_itself(tmp_path: Path) -> None:
    """In a thread that ends with the handle."""
    store = opened(tmp_path, replace(SMALL, patience=Patience(timeout_s=0, lease_s=0.004)))
    first = decode((tmp_path / "lease").read_bytes())
    while decode((tmp_path / "lease").read_bytes()) == first:
        os.sched_yield()
    thread = store.log._lease._thread
    assert thread is not None and thread.is_alive()
    store.close()
    assert not thread.is_alive()


def test_a_renewal_that_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning."""
    with opened(tmp_path, OPTIONS) as store:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", lambda *_: os.close(-1))
            store.log._lease.renew()
        assert "could not renew" in caplog.text
        store.log._lease.renew()
        record = decode((tmp_path / "lease").read_bytes())
        assert record is not None and record.count == 2


def test_without_a_lease_time_a_living_holder_is_not_replaced(tmp_path: Path) -> None:
    """Only its death frees the lock, as it does at once."""
    with opened(tmp_path) as store:
        store.append(event("one"))
        with pytest.raises(LockedError):
            opened(tmp_path, replace(OPTIONS, patience=patience(Time(LEASE_S / 2))))


def test_a_dead_holder_blocks_nobody(tmp_path: Path) -> None:
    """Nobody waits for its lease to run out."""
    holder = stopped_holder(tmp_path, "between check and write")
    holder.kill()
    holder.communicate(timeout=60)
    with opened(tmp_path) as store:
        assert payloads(store) == ["one"]
        assert len(store.log.segments()) == 1


def test_a_lock_on_a_file_that_was_replaced_excludes_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gets it looks again."""
    path = tmp_path / "lease"
    original, times = lease._is_locked, []

    def replacing(descriptor: int) -> bool:
        times.append(descriptor)
        if len(times) == 1:
            path.unlink()
        elif len(times) == 2:
            path.rename(tmp_path / "lease.old")
            path.write_bytes(b"")
        return original(descriptor)

    monkeypatch.setattr(lease, "_is_locked", replacing)
    with opened(tmp_path) as store:
        store.append(event("one"))
        assert len(times) == 3
        with pytest.raises(LockedError):
            opened(tmp_path)


def test_two_who_want_to_take_over_get_it_one_after_the_other(tmp_path: Path) -> None:
    """The second finds another lease than the one that it saw run out."""
    late = opened(tmp_path, OPTIONS)
    others: list[EventStore] = []

    def overtake() -> None:
        if not others:
            others.append(taken_over(tmp_path))

    original = lease._take_over
    with pytest.MonkeyPatch.context() as patch:

        def late_takeover(*arguments: object) -> object:
            patch.setattr(lease, "_take_over", original)
            overtake()
            return original(*arguments)  # type: ignore[arg-type]

        patch.setattr(lease, "_take_over", late_takeover)
        with pytest.raises(LockedError):
            opened(tmp_path, replace(OPTIONS, patience=patience(Time(LEASE_S / 2), timeout_s=1.1 * LEASE_S)))
    others[0].append(event("one"))
    others[0].close()
    late.close()
    assert reread(tmp_path) == ["one"]


def test_while_one_takes_over_another_waits(tmp_path: Path) -> None:
    """The guard is held by the one that is at it."""
    late = opened(tmp_path, OPTIONS)
    guard = os.open(tmp_path / lease.TAKEOVER_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    assert lease._is_locked(guard)
    with pytest.raises(LockedError):
        taken_over(tmp_path)
    os.close(guard)
    taken_over(tmp_path).close()
    late.close()


def test_a_record_comes_back_and_nothing_else_does() -> None:
    """Garbage, zeros, and a record with a changed byte say nothing."""
    record = Record(epoch=5, lease_ms=1500, count=7, process=42, is_fenced=True)
    data = record.encoded()
    assert decode(data) == record
    assert decode(b"") is decode(bytes(len(data))) is None
    assert decode(data + b"x") is None
    for position in range(len(data)):
        assert decode(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]) is None
