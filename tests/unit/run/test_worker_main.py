"""The board tells which call is running, the channel that it was taken away, and foreign processes end."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

import pytest

from harness.run import worker_main
from harness.run.containment import fresh_interpreter
from harness.run.worker_main import BOARD_BYTES, Board, Channel, ChannelLost


@pytest.fixture
def board() -> Iterator[Board]:
    descriptor = os.memfd_create("")
    os.ftruncate(descriptor, BOARD_BYTES)
    made = Board(descriptor)
    os.close(descriptor)
    yield made
    made.close()


class Phase(IntEnum):
    OPEN = 3


# --- the board ------------------------------------------------------------------------------


def test_a_running_call_is_seen(board: Board) -> None:
    """Between enter and leave the board is in a call, and says in which."""
    board.enter(12, "open")
    state = board.read()
    assert (state.in_call, state.unit, state.phase) == (True, 12, "open")


def test_a_call_that_has_ended_is_not_seen_as_running(board: Board) -> None:
    """Afterwards it is in none, but still tells the last."""
    assert not board.read().in_call
    board.enter(12, "open")
    board.leave()
    state = board.read()
    assert (state.in_call, state.unit, state.phase) == (False, 12, "open")


def test_every_call_has_a_count_of_its_own(board: Board) -> None:
    """Two calls that look the same are two; also where a call was not left, or left twice."""
    counts = []
    for leaves in (1, 1, 0, 2, 1):
        board.enter(1, "open")
        assert board.read().in_call
        counts.append(board.read().count)
        for _ in range(leaves):
            board.leave()
            assert not board.read().in_call
    assert counts == sorted(set(counts))


def test_phases_may_be_numbers(board: Board) -> None:
    """A member of an IntEnum is told by its number."""
    board.enter(1, Phase.OPEN)
    assert board.read().phase == "3"
    board.enter(1, 4)
    assert board.read().phase == "4"


def test_any_name_of_a_phase_will_do(board: Board) -> None:
    """Long names are cut, and when there is no room for more names the last ones share a place."""
    board.enter(1, "x" * 100)
    assert board.read().phase == "x" * 64
    for number in range(100):
        board.enter(number, f"phase {number}")
    board.enter(0, "phase 0")
    assert board.read().phase == "phase 0"
    board.enter(0, "one more")
    assert board.read().phase == "one more"


def test_scribbles_do_not_disturb_the_reader(board: Board) -> None:
    """A store that writes over the board does not break its reader."""
    board._memory[:] = b"\xff" * BOARD_BYTES
    assert board.read().unit == -1
    board._memory[:] = b"\x7f" * BOARD_BYTES
    assert board.read().in_call


def test_a_successor_counts_on(board: Board) -> None:
    """A process that takes the board over does not repeat counts, though its memory is older."""
    board.enter(1, "open")
    seen = board.read().count
    board._hooked, board._count = True, 0
    board.adopt()
    board.enter(1, "open")
    assert board.read().count > seen
    assert board.read().process == os.getpid()


CHILD = """
import os
from harness.run.worker_main import *
descriptor = os.memfd_create("")
os.ftruncate(descriptor, BOARD_BYTES)
board = Board(descriptor)
board.adopt()
board.adopt()
board.enter(1, "open")
child = os.fork()
board.{call}
if not child:
    os._exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), board.read().unit)
"""


@pytest.mark.parametrize("call", ["leave()", "enter(2, 'apply')"])
def test_a_child_that_comes_back_from_a_call_ends(call: str) -> None:
    """It ends without a word, and the board is not disturbed by it."""
    ended = subprocess.run(fresh_interpreter(CHILD.replace("{call}", call)), capture_output=True, check=True)
    assert ended.stdout.decode().split()[0] == "0"


# --- the channel ----------------------------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs.detach())
    yield ours, channel
    ours.close()
    try:
        os.close(channel._descriptor)
    except OSError:
        assert channel._descriptor >= 0  # the test has closed it


Ends = tuple[socket.socket, Channel]


def test_a_closed_channel_is_noticed(ends: Ends) -> None:
    """Sending through a descriptor that a store has closed is no ordinary error."""
    os.close(ends[1]._descriptor)
    with pytest.raises(ChannelLost):
        ends[1].send(b"x")
    with pytest.raises(ChannelLost):
        ends[1].receive()


def test_a_channel_that_is_another_file_is_noticed(ends: Ends) -> None:
    """Nothing is written into a file of the store that has got the number of our descriptor."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, ends[1]._descriptor)
    os.close(null)
    with pytest.raises(ChannelLost):
        ends[1].send(b"x")


def test_messages_arrive_whole(ends: Ends) -> None:
    """Each message comes as it was sent, the empty one included; the end is told by `None`."""
    ours, channel = ends
    other = Channel(ours.fileno())
    for message in (b"first", b"", b"x" * 1000):
        other.send(message)
        assert channel.receive() == message
        channel.send(message)
        assert other.receive() == message
    ours.shutdown(socket.SHUT_WR)
    assert channel.receive() is None


def test_a_parent_that_ends_within_a_message(ends: Ends) -> None:
    """Half a message is none."""
    ours, channel = ends
    ours.sendall(b"\5\0\0\0\0\0\0\0ab")
    ours.shutdown(socket.SHUT_WR)
    assert channel.receive() is None


# --- its place ------------------------------------------------------------------------------


def test_descriptors_move_out_of_reach() -> None:
    """The copy is high, not inherited, and the original closed."""
    reader, writer = os.pipe()
    high = worker_main.out_of_reach(reader)
    assert high > 200
    assert not os.get_inheritable(high)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)
    os.close(high)
    os.close(writer)


@pytest.mark.parametrize("soft", [resource.RLIM_INFINITY, 1 << 20])
def test_a_high_limit_makes_no_huge_table(monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    """A kernel table as long as the highest descriptor is copied at every fork, so there is a bound."""
    asked: list[int] = []

    def duplicate(descriptor: int, command: int, minimum: int) -> int:
        asked.append(minimum)
        return os.dup(descriptor)

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, soft))
    monkeypatch.setattr(fcntl, "fcntl", duplicate)
    os.close(worker_main.out_of_reach(os.open(os.devnull, os.O_RDONLY)))
    assert 200 < asked[0] < 5000


def test_a_worker_imports_no_more_than_it_needs() -> None:
    """What costs time at every start of a worker stays out of it."""
    code = "import sys, harness.run.worker_main; print(*sys.modules)"
    bare = "import sys, harness; print(*sys.modules)"
    loaded, before = (modules(fresh_interpreter(program)) for program in (code, bare))
    assert "harness.run.worker_main" in loaded
    assert not (loaded - before) & {"psutil", "subprocess", "selectors", "socket", "tempfile", "traceback"}


def modules(command: list[str]) -> set[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    ended = subprocess.run(command, env=environment, capture_output=True, check=True)
    return set(ended.stdout.decode().split())


@pytest.mark.parametrize("status", [0, 3])
def test_a_worker_whose_job_exited_ends_like_it(status: int) -> None:
    """Exit statuses are passed on."""
    code = f"from harness.run.worker_main import _end_like; _end_like({status} << 8)"
    assert subprocess.run(fresh_interpreter(code), check=False).returncode == status


@pytest.mark.parametrize("number", [9, 15, 6])
def test_a_worker_whose_job_was_killed_ends_like_it(number: int) -> None:
    """Signals are passed on, also those that somebody handles."""
    code = f"""
import signal, resource
from harness.run.worker_main import _end_like
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.signal(15, signal.SIG_IGN)
_end_like({number})
"""
    assert subprocess.run(fresh_interpreter(code), check=False).returncode == -number


def test_a_worker_without_a_parent_ends() -> None:
    """A parent that is gone before the setup came is no reason to stay."""
    ours, theirs = socket.socketpair()
    descriptors = [theirs.fileno(), memory(BOARD_BYTES), memory(0)]
    arguments = ", ".join(map(str, [*descriptors, os.getpid()]))
    code = f"from harness.run.worker_main import main; main({arguments})"
    process = subprocess.Popen(fresh_interpreter(code), pass_fds=descriptors, start_new_session=True)
    theirs.close()
    ours.close()
    for descriptor in descriptors[1:]:
        os.close(descriptor)
    assert process.wait() == 0


def memory(size: int) -> int:
    descriptor = os.memfd_create("")
    os.ftruncate(descriptor, size)
    return descriptor


def test_a_fork_that_fails_is_a_fault(ends: Ends, monkeypatch: pytest.MonkeyPatch, board: Board) -> None:
    """Where no process can be made, the parent is told so."""

    def refuse() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", refuse)
    task = worker_main._Task(do_nothing, None, frozenset())
    worker_main._run_in_child(ends[1], board, task, b"")
    assert b"no more processes" in ends[0].recv(1 << 16)


def do_nothing(context: object, job: object, board: Board) -> None:
    """A task."""


def test_the_stack_signal_is_one_that_stores_do_not_use() -> None:
    """On Linux it is a real-time signal."""
    assert worker_main.STACK_SIGNAL > 31 or sys.platform != "linux"




def test_bytecode_is_kept_for_a_run_where_none_may_be_written_beside_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only while our own modules are imported: a store finds the interpreter as it was asked for."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    with worker_main._compiled_once(str(tmp_path)):
        assert not sys.dont_write_bytecode and sys.pycache_prefix == str(tmp_path / "compiled")
    assert sys.dont_write_bytecode and sys.pycache_prefix is None


def test_bytecode_goes_where_it_always_does_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = sys.pycache_prefix
    with worker_main._compiled_once(str(tmp_path)):
        assert sys.pycache_prefix == before
