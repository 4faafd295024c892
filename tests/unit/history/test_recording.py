"""Threads and tasks whose calls are written down: an update that is lost between two of them is found."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import KEY_VALUE, Get, Outcome, Put, Unsupported, Verdict, check_history
from harness.history.files import HistoryWriter, read_history
from harness.history.recording import Recorder
from store_under_test.event_store.aio import AsyncEventStore
from store_under_test.event_store.event import NewEvent


@dataclass(frozen=True)
class Increment:
    """Adds one, and answers the sum."""


class CounterModel:
    def initial(self) -> int:
        return 0

    def step(self, state: int, operation: Increment) -> tuple[int, int]:
        return state + 1, state + 1

    def equal(self, recovered: Any, state: int) -> bool:
        return bool(recovered == state)

    def example_operations(self, random: Any, count: int) -> list[Increment]:
        return [Increment()] * count


class Counter:
    """Reads, gives way to other tasks, and writes."""

    def __init__(self) -> None:
        self.value = 0

    async def increment(self) -> int:
        value = self.value
        await asyncio.sleep(0)
        self.value = value + 1
        return self.value


class LockedCounter(Counter):
    def __init__(self) -> None:
        super().__init__()
        self._lock = asyncio.Lock()

    async def increment(self) -> int:
        async with self._lock:
            return await super().increment()


def ticks() -> Callable[[], int]:
    """A clock that goes on at every reading."""
    return itertools.count(1).__next__


async def counted(counter: Counter, tasks: int = 2) -> Any:
    recorder = Recorder(clock_ns=ticks())
    clients = [recorder.client() for _ in range(tasks)]
    await asyncio.gather(*(client.acall(Increment(), counter.increment) for client in clients))
    return check_history(recorder.ended_with(counter.value), CounterModel())


def test_an_update_that_is_lost_between_two_tasks_is_found() -> None:
    checked = asyncio.run(counted(Counter()))
    assert checked.verdict is Verdict.FAIL and checked.kind == "lost_update"


def test_tasks_that_take_a_lock_lose_nothing() -> None:
    assert asyncio.run(counted(LockedCounter(), tasks=5)).verdict is Verdict.PASS


def test_tasks_that_leave_the_work_to_threads_are_written_down_too() -> None:
    """The call lasts until the task has its answer."""

    async def work() -> Any:
        recorder, store = Recorder(), dict[str, str]()
        first, second = recorder.client(), recorder.client()
        await asyncio.gather(
            first.acall(Put("k", "1"), asyncio.to_thread, store.__setitem__, "k", "1"),
            second.acall(Put("j", "2"), asyncio.to_thread, store.__setitem__, "j", "2"),
        )
        await first.acall(Get("k"), asyncio.to_thread, store.get, "k")
        return recorder.ended_with(dict(store))

    history = asyncio.run(work())
    assert history.clients == (1, 2) and history.operations[-1].answer == "1"
    assert check_history(history, KEY_VALUE).verdict is Verdict.PASS


@dataclass(frozen=True)
class Add:
    """An event of an aggregate; the answer is its version."""

    aggregate: str


class VersionsModel:
    def initial(self) -> dict[str, int]:
        return {}

    def step(self, state: dict[str, int], operation: Add) -> tuple[dict[str, int], int]:
        version = state.get(operation.aggregate, 0) + 1
        return {**state, operation.aggregate: version}, version

    def equal(self, recovered: Any, state: dict[str, int]) -> bool:
        return bool(recovered == state)

    def example_operations(self, random: Any, count: int) -> list[Add]:
        return [Add("a")] * count


def test_the_tasks_of_the_event_store_come_one_after_another(tmp_path: Path) -> None:
    async def work() -> Any:
        recorder = Recorder()
        async with await AsyncEventStore.open(tmp_path) as store:

            async def add(aggregate: str) -> int:
                return (await store.append(NewEvent("added", aggregate))).version

            async def client(aggregate: str) -> None:
                own = recorder.client()
                for _ in range(3):
                    await own.acall(Add(aggregate), add, aggregate)

            await asyncio.gather(client("a"), client("a"), client("b"))
            return recorder.ended_with({name: len(await store.read_stream(name)) for name in ("a", "b")})

    assert check_history(asyncio.run(work()), VersionsModel()).verdict is Verdict.PASS


def test_a_cancelled_call_may_have_happened_and_the_client_is_another_one_then() -> None:
    async def work() -> Any:
        recorder = Recorder(clock_ns=ticks())
        client, begun = recorder.client(), asyncio.Event()

        async def put() -> None:
            begun.set()
            await asyncio.Event().wait()

        async def get() -> str:
            return "1"

        task = asyncio.ensure_future(client.acall(Put("k", "1"), put))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.acall(Get("k"), get)
        return recorder.history()

    history = asyncio.run(work())
    put, get = history.operations
    assert (put.outcome, put.completed_ns, put.error) == (Outcome.INFO, None, "CancelledError: ")
    assert put.client != get.client
    assert check_history(history, KEY_VALUE).verdict is Verdict.PASS


def test_threads_are_written_down_by_the_same_recorder() -> None:
    recorder, store = Recorder(), dict[str, str]()

    def work(number: int) -> None:
        client = recorder.client()
        client.call(Put(f"k{number}", "v"), store.__setitem__, f"k{number}", "v")
        assert client.call(Get(f"k{number}"), store.get, f"k{number}") == "v"

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorder.history()) == 6
    assert check_history(recorder.ended_with(store), KEY_VALUE).verdict is Verdict.PASS


def test_what_a_store_cannot_take_had_no_effect() -> None:
    recorder = Recorder(clock_ns=ticks())
    client = recorder.client()

    def refuse() -> None:
        raise Unsupported("too long")

    with pytest.raises(Unsupported):
        client.call(Put("k", "1"), refuse)
    [called] = recorder.history()
    assert (called.outcome, called.completed_ns, client.number) == (Outcome.FAIL, 2, 1)


def test_what_is_written_down_is_in_the_file_as_well(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with HistoryWriter(path, "KEY_VALUE") as writer:
        recorder = Recorder(writer, clock_ns=ticks())
        with recorder.disturbing("kill -9"), recorder.client().calling(Put("k", "1")):
            pass
        with recorder.client().calling(Get("k")) as answered:
            answered.answer = "1"
        history = recorder.ended_with({"k": "1"})
    assert read_history(path).history == history
    assert history.disturbances[0].what == "kill -9" and history.operations[1].answer == "1"
