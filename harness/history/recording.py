"""Writes down what concurrent clients of a test of your own do, as it happens: threads, or tasks of asyncio.

A client calls one operation after another. Whatever its call raises - a cancellation too - leaves open whether it
happened, but for `Unsupported`; the client goes on under a new number then, because the old call may still be at work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.errors import Unsupported
from harness.core.history import Called, Disturbance, History, Outcome, history_of
from harness.history.files import HistoryWriter

_LONGEST_TEXT = 1000


class Recorder:
    """What all clients were told. `writer` gets it as well, a line when a call begins and one when it has ended.

    `clock_ns` is the one monotonic clock by which all of them are timed, in nanoseconds.
    """

    def __init__(
        self, writer: HistoryWriter | None = None, *, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.clock_ns = clock_ns
        self._writer = writer
        self._called: dict[int, Called] = {}
        self._disturbances: list[Disturbance] = []
        self._numbers, self._clients = itertools.count(), itertools.count(1)

    def client(self) -> Client:
        """One more client, for one thread or one task."""
        return Client(self, next(self._clients))

    @contextlib.contextmanager
    def disturbing(self, what: str) -> Iterator[None]:
        """A fault lasts as long as the block; for the reader."""
        began_ns = self.clock_ns()
        try:
            yield
        finally:
            disturbance = Disturbance(what, began_ns, self.clock_ns())
            self._disturbances.append(disturbance)
            if self._writer is not None:
                self._writer.disturb(disturbance)

    def history(self) -> History:
        """All of it so far; what has not ended may have happened or not."""
        return history_of(list(self._called.values()), disturbances=tuple(self._disturbances))

    def ended_with(self, snapshot: Any) -> History:
        """All of it, and what was read when all clients had ended."""
        if self._writer is not None:
            self._writer.final(snapshot)
        return dataclasses.replace(self.history(), final=snapshot, has_final=True)

    def began(self, client: int, operation: Any) -> Called:
        """For `Client`."""
        called = Called(next(self._numbers), client, operation, self.clock_ns(), error="it was never answered")
        return self.keep(called)

    def keep(self, called: Called) -> Called:
        """For `Client`: what is known of an operation now."""
        self._called[called.number] = called
        if self._writer is not None:
            self._writer.write(called)
        return called

    def next_client(self) -> int:
        """For `Client`: a number that nobody has had."""
        return next(self._clients)


@dataclass(slots=True)
class Answered:
    """What a call is answered with; `None` unless it is set."""

    answer: Any = None


class Client:
    """One of several that work at the same time. Made by `Recorder.client`."""

    def __init__(self, recorder: Recorder, number: int) -> None:
        self._recorder = recorder
        self.number = number

    def call(self, operation: Any, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call `function`, which is to carry out the `operation` of the model; what it returns. Raises what it does."""
        with self.calling(operation) as answered:
            answered.answer = function(*arguments)
        return answered.answer

    async def acall(self, operation: Any, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """The same with a coroutine function; also `asyncio.to_thread` with a function and its arguments."""
        with self.calling(operation) as answered:
            answered.answer = await function(*arguments)
        return answered.answer

    @contextlib.contextmanager
    def calling(self, operation: Any) -> Iterator[Answered]:
        """The block carries out the operation, and may set the answer."""
        called, answered = self._recorder.began(self.number, operation), Answered()
        try:
            yield answered
        except BaseException as error:
            self._failed(called, error)
            raise
        self._ended(called, Outcome.OK, answered.answer)

    def _failed(self, called: Called, error: BaseException) -> None:
        text = f"{type(error).__name__}: {error}"[:_LONGEST_TEXT]
        if isinstance(error, Unsupported):
            self._ended(called, Outcome.FAIL, None, text)
            return
        self._recorder.keep(dataclasses.replace(called, error=text))
        self.number = self._recorder.next_client()

    def _ended(self, called: Called, outcome: Outcome, answer: Any, error: str = "") -> None:
        now_ns = self._recorder.clock_ns()
        known = dataclasses.replace(called, completed_ns=now_ns, outcome=outcome, answer=answer, error=error)
        self._recorder.keep(known)
