"""The asyncio front."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from store_under_test.metrics_store import DashboardState, MetricsStore, StoreClosedError
from store_under_test.metrics_store.aio import AsyncMetricsStore
from tests.unit.metrics_store.helpers import agent, state_of


def count(state: DashboardState) -> None:
    state["agents"]["a"]["tasks_completed"] += 1


async def work(path: Path) -> None:
    async with AsyncMetricsStore(MetricsStore(path, timeout=60)) as store:
        await store.save(state_of(agents={"a": agent()}))
        await asyncio.gather(*(store.update(count) for _ in range(5)))
        assert (await store.load())["agents"]["a"]["tasks_completed"] == 5
        assert (await store.get_stats(timeout=60)).agents == 1
    with pytest.raises(StoreClosedError):
        await store.load()


def test_tasks_share_the_store(tmp_path: Path) -> None:
    """All calls are awaitable, concurrent updates are all kept, and the block closes the store."""
    asyncio.run(work(tmp_path / "m.json"))
