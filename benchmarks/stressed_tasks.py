"""Hundreds of asyncio tasks on the asynchronous faces: EventStore, MetricsStore, circuit breaker.

A loop hands out no result before it has let every task run that was ready, so no call ends before all have begun.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.counting import TIMEOUT_S, counted, counting
from benchmarks.stressed import Call, Stressed, by_end, held_by, require
from store_under_test.circuit_breaker import CircuitBreaker
from store_under_test.event_store import EventStore, NewEvent
from store_under_test.event_store.aio import AsyncEventStore
from store_under_test.metrics_store import MetricsStore
from store_under_test.metrics_store.aio import AsyncMetricsStore

#: `call(member, number)`: both count from 0.
Making = Callable[[int, int], Awaitable[object]]


def on_event_store(directory: Path, tasks: int, calls: int) -> Stressed:
    """Each call appends an event to the aggregate of its task: all are there once, in the order of their task."""

    async def run() -> Stressed:
        async with await AsyncEventStore.open(directory / "events") as store:
            return await _crowd("EventStore", tasks, calls, lambda member, number: store.append(_event(member, number)))

    found = asyncio.run(run())
    with EventStore.open(directory / "events") as store:
        events = list(store.read())
    require(len(events), tasks * calls)
    require(len({event.sequence for event in events}), tasks * calls, "sequences are there")
    by_task: dict[str, list[object]] = {}
    for event in events:
        by_task.setdefault(event.aggregate, []).append(event.payload)
    require(sum(payloads == list(range(calls)) for payloads in by_task.values()), tasks, "tasks are in order")
    return found


def on_metrics_store(directory: Path, tasks: int, calls: int) -> Stressed:
    """As the threads do; the calls wait in the threads of the loop's own executor."""

    async def run() -> Stressed:
        async with AsyncMetricsStore(MetricsStore(directory / "tasks.json", timeout=TIMEOUT_S)) as store:
            return await _crowd("MetricsStore", tasks, calls, lambda member, number: store.update(counting("one")))

    found = asyncio.run(run())
    with MetricsStore(directory / "tasks.json") as store:
        require(counted(store)["one"], tasks * calls)
    return found


def on_breaker(tasks: int, calls: int) -> Stressed:
    """All calls are good, and all are counted; each gives way to the other tasks."""
    breaker = CircuitBreaker()
    found = asyncio.run(
        _crowd("CircuitBreaker", tasks, calls, lambda member, number: breaker.acall(asyncio.sleep, 0))
    )
    require(breaker.metrics().successes, tasks * calls)
    require(breaker.metrics().calls, tasks * calls)
    return found


def _event(member: int, number: int) -> NewEvent:
    return NewEvent("counted", f"task-{member}", number)


async def _crowd(name: str, tasks: int, calls: int, call: Making) -> Stressed:
    """What one of them raises is raised here."""
    done: list[Call] = []

    async def work(member: int) -> None:
        for number in range(calls):
            started = time.monotonic()
            await call(member, number)
            done.append((started, time.monotonic()))

    async with asyncio.TaskGroup() as group:
        members = [group.create_task(work(member)) for member in range(tasks)]
        await asyncio.sleep(0)  # all have begun when this comes back
        alive = sum(not member.done() for member in members)
        begun, began = held_by(), time.monotonic()
    seconds = time.monotonic() - began
    return Stressed(name, "tasks", tasks, alive, seconds, by_end(done), begun, held_by())
