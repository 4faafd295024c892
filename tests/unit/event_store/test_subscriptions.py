"""Every event once, in order, and none before it is durable."""

from __future__ import annotations

import asyncio
import itertools
import threading
from pathlib import Path

import pytest

from store_under_test.event_store import files
from store_under_test.event_store.aio import AsyncEventStore
from store_under_test.event_store.errors import (
    CursorExpiredError,
    StoreClosedError,
    SyncFailedError,
    UnknownSchemaError,
)
from store_under_test.event_store.event import NewEvent
from store_under_test.event_store.retention import Policy
from store_under_test.event_store.upcast import Upcasters
from tests.unit.event_store.views_helpers import drawn, filled, opened, warnings

PATIENCE_S = 60.0  # nobody waits so long unless something hangs


def test_first_what_is_there_then_what_comes(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        filled(store, drawn(30))
        with store.subscribe(11) as subscription:
            assert [one.sequence for one in subscription.ready()] == list(range(11, 31))
            assert subscription.poll() is None
            store.append(NewEvent("t", "a"))
            new = subscription.poll()
            assert new is not None and (new.sequence, new.type) == (31, "t")
            assert subscription.poll() is None


@pytest.mark.parametrize("recent", [0, 15, 2000])
def test_no_gap_and_no_duplicate_while_the_log_grows(tmp_path: Path, recent: int) -> None:
    """Subscribers that start anywhere, beside a writer that rotates, whatever is kept for followers."""
    with opened(tmp_path, maintenance="inline") as store:
        store.views.hub._max_recent = recent
        filled(store, drawn(40))
        seen: dict[int, list[int]] = {start: [] for start in (1, 25, 41, 60)}

        def follow(start: int) -> None:
            with store.subscribe(start) as subscription:
                while len(seen[start]) < 301 - start:
                    event = subscription.poll(PATIENCE_S)
                    assert event is not None
                    seen[start].append(event.sequence)

        followers = [threading.Thread(target=follow, args=(start,)) for start in seen]
        for follower in followers:
            follower.start()
        filled(store, drawn(260, seed=1))
        for follower in followers:
            follower.join()
        assert seen == {start: list(range(start, 301)) for start in seen}
        assert store.views.hub.subscribers == 0


def test_what_is_not_durable_is_not_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not during the fsync, not after it failed, and not by a query either; after it succeeded at once."""
    with opened(tmp_path) as store:
        store.append(NewEvent("t", "a"))
        subscription = store.subscribe()
        assert len(list(subscription.ready())) == 1
        during: list[object] = []
        real, fails = files.sync_data, [False]

        def watched(descriptor: int, path: str) -> None:
            during.append((subscription.poll(), len(store.query(type="t").events), store.version_of("a")))
            if fails[0]:
                raise SyncFailedError(path, OSError(5, "Input/output error"))
            real(descriptor, path)

        monkeypatch.setattr(files, "sync_data", watched)
        store.append(NewEvent("t", "a"))
        assert during == [(None, 1, 1)]
        assert [one.sequence for one in subscription.ready()] == [2]
        fails[0] = True
        with pytest.raises(SyncFailedError):
            store.append(NewEvent("t", "a"))
        assert during[1:] == [(None, 2, 2)]
        assert subscription.poll() is None
        assert store.query().events[-1].sequence == 2
        assert store.health().status == "failed"
        fails[0] = False
        subscription.close()


def test_a_subscriber_that_stands_still_costs_no_memory(tmp_path: Path) -> None:
    """What is kept for followers is bounded, and nothing is kept when nobody follows."""
    with opened(tmp_path) as store:
        hub = store.views.hub
        hub._max_recent = 50
        with store.subscribe() as subscription:
            filled(store, drawn(300))
            assert hub._recent_events <= 50 + 20
            assert hub.lag == 300
            assert len(list(itertools.islice(subscription.ready(), 120))) == 120
            assert [one.sequence for one in subscription.ready()] == list(range(121, 301))
        store.append(NewEvent("t", "a"))
        assert (len(hub._recent), hub.lag) == (0, 0)


def test_retention_that_overtakes_a_subscriber_is_said(tmp_path: Path) -> None:
    """Passing over a gap in silence would be a loss. Whoever subscribes from the oldest that is left gets the rest."""
    with opened(tmp_path, policy=Policy(max_segments=2)) as store:
        filled(store, drawn(300))
        with store.subscribe() as subscription:
            assert store.retain() > 0
            with pytest.raises(CursorExpiredError):
                subscription.poll()
        left = store.log.retained_from
        assert [one.sequence for one in store.subscribe(left).ready()] == list(range(left, 301))


def test_an_event_of_an_unknown_schema_stops_a_subscriber_where_it_stands(tmp_path: Path) -> None:
    upcasters = Upcasters()
    upcasters.declare("t", 2)
    with opened(tmp_path, upcasters=upcasters) as store:
        store.append_batch([NewEvent("u", "a"), NewEvent("t", "a", schema_version=2)])
    with opened(tmp_path) as store:
        subscription = store.subscribe()
        assert subscription.poll() is not None
        for _ in range(2):
            with pytest.raises(UnknownSchemaError):
                subscription.poll()
        assert subscription.position == 2


def test_closing_ends_those_who_wait(tmp_path: Path) -> None:
    """The store's closing wakes an iteration; a closed subscription hands out nothing."""
    store = opened(tmp_path)
    store.append(NewEvent("t", "a"))
    subscription, first, seen = store.subscribe(), threading.Event(), []

    def follow() -> None:
        for event in subscription:
            seen.append(event.sequence)
            first.set()

    follower = threading.Thread(target=follow)
    follower.start()
    assert first.wait(PATIENCE_S)
    store.close()
    follower.join(PATIENCE_S)
    assert (follower.is_alive(), seen) == (False, [1])
    subscription.close()
    subscription.close()
    with pytest.raises(StoreClosedError):
        subscription.poll()


def test_a_subscriber_that_cannot_be_woken_does_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither to the log nor to others; it is said once."""

    def broken() -> None:
        raise RuntimeError("the loop is closed")

    with opened(tmp_path) as store, store.subscribe() as one, store.subscribe() as other:
        woken: list[int] = []
        one.wake_with(broken)
        other.wake_with(lambda: woken.append(1))
        for _ in range(3):
            store.append(NewEvent("t", "a"))
        assert (store.state.kind, len(woken), len(warnings(caplog))) == ("ok", 3, 1)


# --- asyncio ---------------------------------------------------------------------------------------


def test_tasks_follow_too(tmp_path: Path) -> None:
    """Several at once, beside tasks that append, until the store is closed."""

    async def follow(store: AsyncEventStore, start: int, seen: list[int], enough: asyncio.Event) -> None:
        async for event in store.subscribe(start):
            seen.append(event.sequence)
            if event.sequence == 60:
                enough.set()

    async def run() -> list[list[int]]:
        store = AsyncEventStore(opened(tmp_path))
        await store.append(NewEvent("t", "a"))
        seen: list[list[int]] = [[], []]
        enough = [asyncio.Event(), asyncio.Event()]
        followers = [asyncio.create_task(follow(store, start, seen[n], enough[n])) for n, start in enumerate((1, 20))]
        await asyncio.gather(*(store.append(NewEvent("t", "a")) for _ in range(59)))
        await asyncio.wait_for(asyncio.gather(*(one.wait() for one in enough)), PATIENCE_S)
        assert len((await store.query(type="t", last=7)).events) == 7
        assert len(await store.read_stream("a", 58)) == 3
        assert await store.causation_chain("nobody") == []
        await store.close()
        await asyncio.wait_for(asyncio.gather(*followers), PATIENCE_S)
        return seen

    assert asyncio.run(run()) == [list(range(1, 61)), list(range(20, 61))]


def test_tasks_are_counted_and_refused_like_threads(tmp_path: Path) -> None:
    async def run() -> None:
        store = AsyncEventStore(opened(tmp_path, maintenance="inline"))
        with pytest.raises(UnknownSchemaError):
            await store.append(NewEvent("t", "a", schema_version=3))
        for event in drawn(120):
            await store.append(event)
        metrics = store.store.metrics
        assert (metrics.failures["refused"], metrics.append_seconds.count) == (1, 120)
        assert list(tmp_path.glob("*.idx"))  # tended by the task that found it due
        await store.close()

    asyncio.run(run())
