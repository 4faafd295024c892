"""An asyncio front: the same store, its calls in threads, so that waiting blocks no event loop."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from store_under_test.metrics_store.state import DashboardState
from store_under_test.metrics_store.store import MetricsStore, StoreStats, Update


class AsyncMetricsStore:
    """Awaitable calls on a `MetricsStore`, which it takes over and closes.

    A cancelled call goes on in its thread: it has happened, or may still.
    """

    def __init__(self, store: MetricsStore) -> None:
        self._store = store

    async def load(self, *, timeout: float | None = None) -> DashboardState:
        """See `MetricsStore.load`."""
        return await asyncio.to_thread(self._store.load, timeout=timeout)

    async def save(self, state: DashboardState, *, timeout: float | None = None) -> DashboardState:
        """See `MetricsStore.save`."""
        return await asyncio.to_thread(self._store.save, state, timeout=timeout)

    async def update(self, function: Update, *, timeout: float | None = None) -> DashboardState:
        """See `MetricsStore.update`. `function` runs in a thread and is not a coroutine."""
        return await asyncio.to_thread(self._store.update, function, timeout=timeout)

    async def get_stats(self, *, timeout: float | None = None) -> StoreStats:
        """See `MetricsStore.get_stats`."""
        return await asyncio.to_thread(self._store.get_stats, timeout=timeout)

    async def close(self) -> None:
        """See `MetricsStore.close`."""
        self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
