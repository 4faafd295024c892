"""Group commit: who waits is served, groups share an fsync, and what fails takes nothing along that it should not."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from store_under_test.event_store import EventStore, StoreClosedError, WrongVersionError, files
from store_under_test.event_store.codec import Batch
from store_under_test.event_store.commit import MAX_GROUP_EVENTS, GroupCommit, Request
from tests.unit.event_store.core_helpers import event, opened, payloads, reread

WAIT_S = 30.0  # for what happens at once unless something is wrong
BATCH = Batch([b""], [[]], ["a"], 0)


class Gate:
    """Holds the thread that syncs until the test lets it go."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Semaphore(0)
        self.opened = threading.Semaphore(0)
        self.error: Exception | None = None
        self.calls = 0
        patch.setattr(files, "_datasync", self.sync)

    def sync(self, descriptor: int) -> None:
        self.calls += 1
        self.reached.release()
        assert self.opened.acquire(timeout=WAIT_S)
        if self.error is not None:
            raise self.error


class Caller(threading.Thread):
    """A thread with one call, and what came of it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.call = call
        self.result: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.call()
        except BaseException as error:
            self.error = error

    def outcome(self) -> Any:
        self.join(WAIT_S)
        assert not self.is_alive()
        return self.error or self.result


def queued(store: EventStore, count: int) -> None:
    """Wait until this many requests are queued behind the leader."""
    queue = store.log._commit._queue
    for _ in range(1_000_000):
        if len(queue) == count:
            return
        os.sched_yield()
    raise AssertionError(f"{len(queue)} requests are queued, not {count}")


def behind(store: EventStore, gate: Gate, *calls: Callable[[], Any]) -> tuple[Caller, list[Caller]]:
    """A leader that syncs, and callers queued behind it, in order."""
    leader = Caller(lambda: store.append(event("first")))
    assert gate.reached.acquire(timeout=WAIT_S)
    callers = []
    for call in calls:
        callers.append(Caller(call))
        queued(store, len(callers))
    return leader, callers


def test_all_that_wait_share_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten appends behind a leader are one frame; each gets its own events, in the order of the queue."""
    with opened(tmp_path) as store:
        gate = Gate(monkeypatch)
        calls = [lambda number=number: store.append_batch([event(number), event(-number)]) for number in range(10)]
        leader, callers = behind(store, gate, *calls)
        gate.opened.release(3)
        assert leader.outcome().sequence == 1
        for number, caller in enumerate(callers):
            first, second = caller.outcome()
            assert (first.payload, second.payload) == (number, -number)
            assert (first.sequence, second.sequence) == (2 + 2 * number, 3 + 2 * number)
        assert gate.calls == 2
        assert [frame.count for frame in store.log.frames()] == [1, 20]
    assert gate.calls == 3  # the mark


def test_a_group_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In events; the rest is led by one of those that wait."""
    with opened(tmp_path) as store:
        gate = Gate(monkeypatch)
        batch = [event()] * 1000
        calls = [lambda: store.append_batch(batch)] * (MAX_GROUP_EVENTS // 1000 + 2)
        leader, callers = behind(store, gate, *calls)
        gate.opened.release(4)
        leader.outcome()
        assert all(len(caller.outcome()) == 1000 for caller in callers)
        assert [frame.count for frame in store.log.frames()] == [1, 8000, 2000]


def test_versions_count_what_is_queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expected version is that which the aggregate will have; the one that is late loses at once."""
    with opened(tmp_path) as store:
        gate = Gate(monkeypatch)
        leader, callers = behind(store, gate, lambda: store.append(event("second"), expected_version=1))
        with pytest.raises(WrongVersionError):
            store.append(event("late"), expected_version=1)
        gate.opened.release(3)
        assert leader.outcome().version == 1
        assert callers[0].outcome().version == 2
        assert payloads(store) == ["first", "second"]


def test_what_is_queued_behind_a_failure_fails_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are told; versions are taken back, so that the next append has the right one."""
    with opened(tmp_path) as store:
        with monkeypatch.context() as patch:
            original, reached, go = os.pwrite, threading.Event(), threading.Event()

            def failing(descriptor: int, data: bytes, offset: int) -> int:
                patch.setattr(os, "pwrite", original)
                reached.set()
                assert go.wait(WAIT_S)
                raise OSError(errno.EMFILE, "no more")

            patch.setattr(os, "pwrite", failing)
            leader = Caller(lambda: store.append(event("first", "a")))
            assert reached.wait(WAIT_S)
            callers = [Caller(lambda: store.append_batch([event("x", "a"), event("y", "b")]))]
            queued(store, 1)
            callers.append(Caller(lambda: store.append(event("z", "a"))))
            queued(store, 2)
            go.set()
            errors = [caller.outcome() for caller in (leader, *callers)]
        assert [error.errno for error in errors] == [errno.EMFILE] * 3
        assert len({id(error) for error in errors}) == 3
        assert store.log.versions == {}
        assert store.append(event("after", "a"), expected_version=0).version == 1
    assert reread(tmp_path) == ["after"]


def test_an_action_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs in its turn, while nobody writes; appends before and after it go on."""
    with opened(tmp_path) as store:
        gate = Gate(monkeypatch)
        sequences: list[int] = []

        def action() -> None:
            sequences.append(store.last_sequence)
            raise LookupError("mine")

        calls = (
            lambda: store.append(event("a")),
            lambda: store.log.exclusive(action),
            lambda: store.append(event("b")),
        )
        leader, callers = behind(store, gate, *calls)
        gate.opened.release(4)
        leader.outcome()
        assert callers[0].outcome().sequence == 2
        assert isinstance(callers[1].outcome(), LookupError) and sequences == [2]
        assert callers[2].outcome().sequence == 3


def test_closing_waits_for_those_before_and_refuses_those_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was queued before is durable."""
    store = opened(tmp_path)
    gate = Gate(monkeypatch)
    leader, callers = behind(store, gate, lambda: store.append(event("second")), store.close)
    with pytest.raises(StoreClosedError):
        store.append(event("late"))
    gate.opened.release(3)
    for caller in (leader, *callers):
        assert not isinstance(caller.outcome(), BaseException)
    gate.opened.release(1)
    assert reread(tmp_path) == ["first", "second"]


def test_many_threads_lose_and_mix_nothing(tmp_path: Path) -> None:
    """Each thread's events are all there, in its order, with the versions that it was told."""

    def work(name: str) -> list[tuple[int, int]]:
        return [(e.sequence, e.version) for e in (store.append(event(n, name)) for n in range(20))]

    with opened(tmp_path) as store:
        callers = [Caller(lambda name=name: work(name)) for name in "abcdefgh"]
        told = {name: caller.outcome() for name, caller in zip("abcdefgh", callers, strict=True)}
    with opened(tmp_path) as store:
        found: dict[str, list[tuple[int, int, int]]] = {}
        for e in store.read():
            found.setdefault(e.aggregate, []).append((e.sequence, e.version, e.payload))
    assert sorted(found) == sorted(told)
    for name, events in found.items():
        assert [(sequence, version) for sequence, version, _ in events] == told[name]
        assert [payload for _, _, payload in events] == list(range(20))


class Interrupted(BaseException):
    """Something like a KeyboardInterrupt, at a place that the test chooses."""


def waiting(commit: GroupCommit, request: Request, error: BaseException) -> Caller:
    """A caller whose wait is interrupted when `interrupt` is set."""

    class Wakeup:
        def __init__(self) -> None:
            self.interrupt = threading.Event()

        def acquire(self) -> None:
            assert self.interrupt.wait(WAIT_S)
            raise error

        def release(self) -> None:
            """The interrupt comes first."""

    request.prepare_to_wait = lambda: setattr(request, "wakeup", Wakeup())  # type: ignore[method-assign]
    return Caller(lambda: commit.run(request))


def test_nobody_hands_the_lead_to_a_caller_that_has_gone() -> None:
    """A waiter that was interrupted leaves its request behind; it is served by who leads, and all end."""
    written: list[list[Request]] = []
    reached, go = threading.Event(), threading.Event()

    def write(group: Any) -> None:
        written.append(list(group))
        if len(written) == 1:
            reached.set()
            assert go.wait(WAIT_S)

    commit = GroupCommit(lambda request: None, write, lambda requests: None)
    leader = Caller(lambda: commit.run(Request(BATCH)))
    assert reached.wait(WAIT_S)
    gone = Request(BATCH)
    caller = waiting(commit, gone, Interrupted())
    for _ in range(1_000_000):
        if gone.wakeup is not None:
            break
        os.sched_yield()
    gone.wakeup.interrupt.set()
    assert isinstance(caller.outcome(), Interrupted) and gone.abandoned
    go.set()
    assert leader.outcome() is None
    assert [len(group) for group in written] == [1, 1] and gone.is_done


def test_a_caller_that_was_handed_the_lead_and_interrupted_still_leads() -> None:
    """Otherwise those behind it would wait for ever."""
    reached, go, written = threading.Event(), threading.Event(), []

    def write(group: Any) -> None:
        written.append(len(group))
        if len(written) == 1:
            reached.set()
            assert go.wait(WAIT_S)

    commit = GroupCommit(lambda request: None, write, lambda requests: None)
    leader = Caller(lambda: commit.run(Request(BATCH)))
    assert reached.wait(WAIT_S)
    second = Request(BATCH)
    caller = waiting(commit, second, Interrupted())
    third = Request(BATCH)
    while second.wakeup is None:
        os.sched_yield()
    behind_it = Caller(lambda: commit.run(third))
    while third.wakeup is None:
        os.sched_yield()
    go.set()
    assert leader.outcome() is None and second.leads
    second.wakeup.interrupt.set()
    assert isinstance(caller.outcome(), Interrupted)
    assert behind_it.outcome() is None
    assert written == [1, 2]


def test_an_interrupt_between_two_steps_leaves_nobody_waiting() -> None:
    """Whoever was queued is told, and the next caller can lead."""
    commit = GroupCommit(lambda request: None, lambda group: None, lambda requests: None)
    original = commit._next_group

    def interrupted() -> list[Request]:
        commit._next_group = original  # type: ignore[method-assign]
        raise Interrupted

    commit._next_group = interrupted  # type: ignore[method-assign]
    request = Request(BATCH)
    with pytest.raises(Interrupted):
        commit.run(request)
    assert request.is_done
    assert commit.run(Request(BATCH)) is None
