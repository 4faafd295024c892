"""A client that goes on after errors, and what a store says aloud."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest

from harness import KEY_VALUE, Contract, Put, Unsupported
from harness.core.workload import Reopen, Workload
from harness.crash.materialize import Materializer
from harness.run.live.bench import Bench, Client, listening
from harness.run.recovering import Step
from tests.stores.local import Diary


class Moody:
    """Raises where it is told to; remembers what it was asked."""

    model: Any = KEY_VALUE
    contract = Contract()
    fails: tuple[str, ...] = ()
    asked: list[str]

    def step(self, name: str) -> None:
        type(self).asked.append(name)
        if name in self.fails and type(self).asked.count(name) == 1:
            raise Unsupported("no") if name.endswith("odd") else OSError(f"{name} failed")

    def open(self, directory: Path) -> str:
        self.step("open")
        return "handle"

    def apply(self, store: Any, operation: Any) -> None:
        self.step(f"put {operation.key}")

    def snapshot(self, store: Any) -> dict[str, str]:
        return {"state": store}

    def close(self, store: Any) -> None:
        self.step("close")


def client(tmp_path: Path, *fails: str) -> Client:
    adapter = type("Adapter", (Moody,), {"fails": fails, "asked": []})
    return Client(Bench(adapter, tmp_path, Materializer(tmp_path), Diary(), 0))


WORK = Workload("work", (Put("a", "1"), Put("b", "2"), Reopen(), Put("c", "3")))


def test_a_client_goes_on_with_the_same_handle_after_an_operation_that_failed(tmp_path: Path) -> None:
    one, moments = client(tmp_path, "put a"), []
    one.run(WORK, after=lambda: moments.append(1))
    assert one.errors == {0: "OSError: put a failed"} and one.elsewhere == []
    assert [operation.key for operation in one.operations] == ["a", "b", "c"]
    assert one.lines[:2] == ["Put('a', '1')  # raised OSError: put a failed", "Put('b', '2')  # acknowledged"]
    assert len(moments) == 5
    assert one.bench.adapter.asked.count("open") == 2


def test_a_client_opens_again_before_the_next_operation(tmp_path: Path) -> None:
    """After an opening that failed, and after a close that failed."""
    one = client(tmp_path, "open", "close")
    one.run(WORK)
    assert one.elsewhere == ["open raised OSError: open failed", "close raised OSError: close failed"]
    assert one.errors == {} and len(one.operations) == 3
    assert not one.is_open
    one.close()
    assert one.bench.adapter.asked.count("close") == 2


def test_what_a_store_does_not_take_is_no_operation(tmp_path: Path) -> None:
    one = client(tmp_path, "put odd")
    one.run(Workload("odd", (Put("odd", "1"), Put("b", "2"))))
    assert one.unsupported == 1 and [operation.key for operation in one.operations] == ["b"]


def test_a_client_reads_what_the_store_shows(tmp_path: Path) -> None:
    one = client(tmp_path)
    assert one.open() and one.snapshot() == {"state": "handle"}
    one.close()


def test_calls_are_announced_with_the_number_of_the_trial(tmp_path: Path) -> None:
    one = client(tmp_path)
    one.bench.unit = 7
    one.run(Workload("one", (Put("a", "1"),)))
    board = one.bench.board
    assert isinstance(board, Diary)
    assert {unit for unit, _ in board.calls} == {7}
    assert [phase for _, phase in board.calls] == [Step.OPEN, Step.OPEN, Step.OPERATION, Step.CLOSE]


# --- signals ------------------------------------------------------------------------------------


def quiet_logger() -> logging.Logger:
    logger = logging.getLogger("tests.quiet")
    logger.propagate = False
    return logger


def test_warnings_and_log_records_are_heard(capsys: pytest.CaptureFixture[str]) -> None:
    """Each time, also from a logger that hands nothing on; nothing is printed."""
    with listening() as signals:
        for _ in range(2):
            warnings.warn("odd", stacklevel=1)
        quiet_logger().warning("at %d", 3)
        quiet_logger().error("worse")
        quiet_logger().warning("%d is no number", "this")
    assert signals.count == 5
    assert signals.texts[0] == "UserWarning: odd" and signals.texts[2] == "WARNING: at 3"
    assert signals.texts[4] == "WARNING: %d is no number"
    assert capsys.readouterr() == ("", "")


def test_what_is_held_back_or_less_than_a_warning_is_no_signal() -> None:
    logger = quiet_logger()
    logger.setLevel(logging.DEBUG)
    with listening() as signals:
        logger.info("as usual")
        logger.setLevel(logging.CRITICAL)
        logger.error("held back")
    logger.setLevel(logging.NOTSET)
    assert signals.count == 0


def test_listening_ends() -> None:
    """Also when the store raises."""
    handle, show = logging.Logger.callHandlers, warnings.showwarning
    with pytest.raises(LookupError), listening() as signals:
        raise LookupError
    assert (logging.Logger.callHandlers, warnings.showwarning) == (handle, show)
    assert signals.count == 0


def test_of_many_signals_some_are_kept() -> None:
    with listening() as signals:
        for number in range(50):
            quiet_logger().warning("number %d", number)
    assert signals.count == 50 and len(signals.texts) == 8
