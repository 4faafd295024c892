"""What an engine works with in its worker, and the client that goes through a workload.

A client behaves as a user would: it goes on after an operation that failed, with the same handle; if the store
could not be opened, or was closed with an error, it opens it again before the next operation.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.contract import Contract
from harness.core.errors import Unsupported
from harness.core.operations import describe, for_store
from harness.core.workload import Reopen, Workload
from harness.crash.materialize import Materializer
from harness.run.recovering import Board, Recoverer, Step, Surroundings, read_state, text_of_error


@dataclass(slots=True)
class Bench:
    """One worker's store directory, and who watches. `unit` is the number of the trial, `extra` an engine's own."""

    adapter: Any
    directory: Path
    materializer: Materializer
    board: Board
    seed: int
    unit: int = 0
    surroundings: Surroundings = field(default_factory=Surroundings.now)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def contract(self) -> Contract:
        contract: Contract = self.adapter.contract
        return contract

    def recoverer(self) -> Recoverer:
        """Recovers what is in the directory now."""
        return Recoverer(self.adapter, self.directory, self.board, self.materializer.changed, self.unit)

    def call(self, step: Step, function: Callable[..., Any], *arguments: Any) -> Any:
        """A call into the store. Raises what the store raises."""
        self.board.enter(self.unit, step)
        try:
            return function(*arguments)
        finally:
            self.board.leave()


class Client:
    """Goes through steps on one store, and remembers what became of each."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.operations: list[Any] = []
        self.errors: dict[int, str] = {}
        self.lines: list[str] = []
        self.unsupported = 0
        self.elsewhere: list[str] = []  # errors of open and close
        self._adapter: Any = None
        self._store: Any = None

    @property
    def is_open(self) -> bool:
        return self._adapter is not None

    @property
    def handle(self) -> tuple[Any, Any]:
        """The adapter and what it opened."""
        return self._adapter, self._store

    def run(self, workload: Workload, after: Callable[[], None] = lambda: None) -> None:
        """Open, all steps, close; `after` is called whenever an opening or an operation has completed."""
        if self.open():
            after()
        for step in workload.steps:
            self.step(step)
            after()
        self.close()

    def step(self, step: Any) -> None:
        if isinstance(step, Reopen):
            self.close()
            self.open()
        elif self.is_open or self.open():
            self._apply(step)

    def open(self) -> bool:
        """Whether it could be opened."""
        try:
            adapter = self.bench.call(Step.OPEN, self.bench.adapter)
            store = self.bench.call(Step.OPEN, adapter.open, self.bench.directory)
        except BaseException as error:
            self._failed("open", error)
            return False
        self._adapter, self._store = adapter, store
        return True

    def close(self) -> None:
        if not self.is_open:
            return
        adapter, store = self._adapter, self._store
        self._adapter = self._store = None
        try:
            self.bench.call(Step.CLOSE, adapter.close, store)
        except BaseException as error:
            self._failed("close", error)

    def snapshot(self) -> Any:
        """What the store shows now. Raises what the store raises."""
        return self.bench.call(Step.SNAPSHOT, read_state, self._adapter, self._store)

    def ask(self, read: Any) -> Any:
        """What the store answers to an operation that only reads. Raises what the store raises."""
        return self.bench.call(Step.OPERATION, self._adapter.apply, self._store, for_store(read))

    def _failed(self, what: str, error: BaseException) -> None:
        text = f"{what} raised {text_of_error(error)}"
        self.elsewhere.append(text)
        self.lines.append(f"{what}()  # raised {text_of_error(error)}")

    def _apply(self, operation: Any) -> None:
        index = len(self.operations)
        try:
            self.bench.call(Step.OPERATION, self._adapter.apply, self._store, for_store(operation))
        except Unsupported:
            self.unsupported += 1
            return
        except BaseException as error:
            self.errors[index] = text_of_error(error)
            self.lines.append(f"{describe(operation, limit=120)}  # raised {self.errors[index]}")
        else:
            self.lines.append(f"{describe(operation, limit=120)}  # acknowledged")
        self.operations.append(operation)


# --- signals ------------------------------------------------------------------------------------


class Signals:
    """Counts what a store says aloud: Python warnings, and log records of level WARNING or above."""

    def __init__(self) -> None:
        self.count = 0
        self.texts: list[str] = []

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.texts) < 8:
            self.texts.append(" ".join(text.split())[:200])


@contextlib.contextmanager
def listening() -> Iterator[Signals]:
    """Hear every signal until the block ends; nothing is printed meanwhile.

    Records are counted where a logger handles them, so one that does not propagate, or has no handler, is heard too;
    one that its level or a filter holds back is not.
    """
    signals = Signals()
    original_handle, original_show = logging.Logger.callHandlers, warnings.showwarning

    def hear_record(logger: logging.Logger, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            signals.add(f"{record.levelname}: {_message(record)}")

    def hear_warning(message: Any, *others: Any, **more: Any) -> None:
        signals.add(f"{type(message).__name__}: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = hear_warning
        logging.Logger.callHandlers = hear_record  # type: ignore[method-assign, assignment]
        try:
            yield signals
        finally:
            logging.Logger.callHandlers = original_handle  # type: ignore[method-assign]
            warnings.showwarning = original_show


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit the format: said all the same
        return str(record.msg)


class NoBoard:
    """The board of a forked child: nobody watches it but its parent, which waits for it in a call of its own."""

    def enter(self, unit: int, phase: str) -> None:
        return None

    def leave(self) -> None:
        return None

    def adopt(self) -> None:
        return None
