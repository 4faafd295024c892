"""The asyncio face: tasks share fsyncs as threads do, errors reach the right one, cancelling undoes nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from store_under_test.event_store import Event, NewEvent, StoreClosedError, WrongVersionError, files
from store_under_test.event_store.aio import AsyncEventStore
from tests.unit.event_store.core_helpers import SMALL, event, reread
from tests.unit.event_store.test_commit import WAIT_S, Caller, Gate, queued


async def turn() -> None:
    """Let the tasks that were made run up to their first wait."""
    await asyncio.sleep(0)


async def started(patch: pytest.MonkeyPatch, store: AsyncEventStore) -> tuple[Gate, asyncio.Task[Event]]:
    """A first append that syncs, and waits for the test to let it."""
    gate = Gate(patch)
    first = asyncio.create_task(store.append(event("first")))
    await asyncio.to_thread(gate.reached.acquire)
    return gate, first


def test_tasks_share_an_fsync_and_get_their_own_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that are queued behind the first are one frame."""

    async def main() -> None:
        async with await AsyncEventStore.open(tmp_path, SMALL) as store:
            gate, first = await started(monkeypatch, store)
            rest = [asyncio.create_task(store.append_batch([event(n), event(-n)])) for n in range(20)]
            await turn()
            queued(store.store, 20)
            gate.opened.release(3)
            assert (await first).sequence == 1
            for number, events in enumerate(await asyncio.gather(*rest)):
                assert [e.payload for e in events] == [number, -number]
            assert [frame.count for frame in store.store.log.frames()] == [1, 40]
            assert [e.sequence for e in await store.read(3, 2)] == [3, 4]
            assert (store.last_sequence, store.state.kind) == (41, "ok")

    asyncio.run(main())


def test_errors_reach_the_task_that_made_them(tmp_path: Path) -> None:
    """And a closed store refuses."""

    async def main() -> None:
        store = await AsyncEventStore.open(tmp_path, SMALL, now=lambda: 5.0)
        assert (await store.append(NewEvent("t", "a"), expected_version=0)).timestamp == 5.0
        with pytest.raises(WrongVersionError):
            await store.append(event(), expected_version=0)
        await store.compact()
        await store.close()
        with pytest.raises(StoreClosedError):
            await store.append(event())

    asyncio.run(main())


def test_a_failed_group_fails_each_of_its_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an exception of its own."""

    async def main() -> list[Any]:
        async with await AsyncEventStore.open(tmp_path, SMALL) as store:
            gate, first = await started(monkeypatch, store)
            gate.error = OSError(5, "broken")
            rest = [asyncio.create_task(store.append(event(n))) for n in range(3)]
            await turn()
            gate.opened.release(1)
            return await asyncio.gather(first, *rest, return_exceptions=True)

    errors = asyncio.run(main())
    assert ["broken" in str(error) for error in errors] == [True] * 4
    assert len({id(error) for error in errors}) == 4


def test_a_cancelled_append_happens_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are not disturbed."""

    async def main() -> None:
        async with await AsyncEventStore.open(tmp_path, SMALL) as store:
            gate, first = await started(monkeypatch, store)
            cancelled = asyncio.create_task(store.append(event("cancelled")))
            other = asyncio.create_task(store.append(event("other")))
            await turn()
            cancelled.cancel()
            gate.opened.release(4)
            assert (await other).sequence == 3
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            assert (await first).sequence == 1

    asyncio.run(main())
    assert reread(tmp_path) == ["first", "cancelled", "other"]


def test_threads_and_tasks_share_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that has led does not go on for the tasks behind it: the front's thread does."""

    async def main() -> None:
        async with await AsyncEventStore.open(tmp_path, SMALL) as front:
            gate = Gate(monkeypatch)
            leader = Caller(lambda: front.store.append(event("thread")))
            await asyncio.to_thread(gate.reached.acquire)
            tasks = [asyncio.create_task(front.append(event(n))) for n in range(3)]
            await turn()
            queued(front.store, 3)
            gate.opened.release(1)
            await asyncio.to_thread(leader.join, WAIT_S)
            assert leader.outcome().sequence == 1
            await asyncio.to_thread(gate.reached.acquire)
            follower = Caller(lambda: front.store.append(event("another thread")))
            queued(front.store, 1)
            gate.opened.release(3)
            assert [e.sequence for e in await asyncio.gather(*tasks)] == [2, 3, 4]
            await asyncio.to_thread(follower.join, WAIT_S)
            assert follower.outcome().sequence == 5

    asyncio.run(main())


def test_a_loop_that_is_gone_does_not_stop_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is left to be answered; the event is durable."""
    fronts: list[AsyncEventStore] = []
    monkeypatch.setattr(files, "_datasync", lambda descriptor: written.wait(WAIT_S))
    written = threading.Event()

    async def main() -> None:
        fronts.append(await AsyncEventStore.open(tmp_path, SMALL))
        task = asyncio.create_task(fronts[0].append(event("orphan")))
        await turn()
        task.cancel()

    asyncio.run(main())
    with caplog.at_level(logging.INFO):
        written.set()
        fronts[0]._threads.shutdown()
    assert "event loop was closed" in caplog.text
    fronts[0].store.close()
    assert reread(tmp_path) == ["orphan"]
