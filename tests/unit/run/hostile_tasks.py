"""Tasks for workers: what the worst stores do. Imported by workers, so it imports no test tool."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.run.worker_main import Board, Setup

PREPARED_BY: list[int] = []
DAEMON = "import signal; signal.pause()"


def prepare(setup: Setup) -> Setup:
    PREPARED_BY[:] = [os.getpid()]
    if setup.extra.get("prepare") == "raise":
        raise ValueError("prepare cannot")
    if setup.extra.get("prepare") == "fork":
        os.fork()
    if setup.extra.get("prepare") == "helper":
        setup.extra["helper"] = subprocess.Popen([sys.executable, "-c", DAEMON]).pid
    return setup


def one_call(setup: Setup, job: tuple[str, ...], board: Board) -> Any:
    """The call named first in the job, with the others as arguments."""
    name, *arguments = job
    board.enter(7, name)
    try:
        return CALLS[name](*arguments)
    finally:
        board.leave()


def many_units(setup: Setup, job: tuple[int, int], board: Board) -> list[int]:
    """Units from 0 to the first number; the process dies in the second."""
    for unit in range(job[0]):
        board.enter(unit, "open")
        if unit == job[1]:
            os._exit(9)
        board.leave()
        board.enter(unit, "apply")
        board.leave()
    return list(range(job[0]))


def no_call(setup: Setup, job: tuple[str, ...], board: Board) -> Any:
    """The same calls, not announced to the board."""
    return CALLS[job[0]](*job[1:])


def after_call(setup: Setup, job: tuple[str, ...], board: Board) -> Any:
    """A harmless call, then one that is not announced."""
    board.enter(3, "open")
    board.leave()
    return CALLS[job[0]](*job[1:])


def dies_answering(setup: Setup, job: str, board: Board) -> int:
    """Dies when half of its answer may be on the way; or tells who forked it."""
    if job == "die":
        board.enter(2, "open")
        board.answering()
        os._exit(7)
    return os.getppid()


def forgetful(setup: Setup, job: Any, board: Board) -> Any:
    """Forgets to say that its call has ended."""
    board.enter(1, "open")
    return job


def tell(setup: Setup, job: str, board: Board) -> Any:
    """What the process looks like from the inside."""
    match job:
        case "environment":
            return dict(os.environ)
        case "setup":
            return setup
        case "arguments":
            return sys.argv
        case "path":
            return sys.path
        case "streams":
            return [os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in range(3)]
        case "warnings":
            return _warn_twice()
        case "jobs":
            setup.extra["jobs"] = setup.extra.get("jobs", 0) + 1
            return setup.extra["jobs"]
        case "children":
            return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        case "process":
            return os.getpid()
        case "prepared here":
            return PREPARED_BY == [os.getpid()]
        case "directory":
            return os.getcwd()
        case "helper":
            os.kill(setup.extra["helper"], 0)
            return "alive"
        case _:
            return _use_directory(Path(setup.directory), job)


def _use_directory(directory: Path, name: str) -> list[str]:
    (directory / name).write_text("x")
    return sorted(os.listdir(directory))


def _warn_twice() -> int:
    with warnings.catch_warnings(record=True) as caught:
        for _ in range(2):
            warnings.warn("damaged", stacklevel=1)
    return len(caught)


# --- calls ----------------------------------------------------------------------------------


def spin() -> None:
    while True:
        pass


def wait() -> None:
    threading.Event().wait()


def announce_and_wait(pipe: str) -> None:
    Path(pipe).write_text(str(os.getpid()))
    wait()


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def forked_by() -> int:
    return os.getppid()


def exit_at_once(status: str) -> None:
    os._exit(int(status))


def system_exit() -> None:
    raise SystemExit(4)


def kill_myself(number: str) -> None:
    os.kill(os.getpid(), int(number))


def fork_and_return() -> int:
    """Both processes return."""
    return os.fork()


def fork_behind_our_back() -> int:
    """Both processes return, and no hook of `os.fork` has run."""
    return int(ctypes.CDLL(None).fork())


def zombies() -> None:
    """Children that have ended, and that nobody waits for."""
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)


def daemon(file: str, then: str) -> str:
    """Two forks and a session of its own: it stays, and holds all our descriptors."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(file).write_text(str(os.getpid()))
            signal.pause()
        os._exit(0)
    return _wait_for(file, then)


def executed_daemon(file: str, then: str) -> str:
    """A program in a session of its own."""
    process = subprocess.Popen([sys.executable, "-c", DAEMON], start_new_session=True)
    Path(file).write_text(str(process.pid))
    return _wait_for(file, then)


def _wait_for(file: str, then: str) -> str:
    while not os.path.exists(file) or not Path(file).read_text():
        time.sleep(0.001)
    if then == "die":
        os._exit(5)
    if then == "hang":
        wait()
    return Path(file).read_text()


def hog() -> str:
    hoard = []
    try:
        while True:
            hoard.append(bytearray(16 << 20))
    except MemoryError:
        return f"MemoryError after {len(hoard) * 16} MiB"


def shout() -> int:
    """A gigabyte to each of the standard streams."""
    block = b"x" * (1 << 20)
    for _ in range(1024):
        os.write(1, block)
        os.write(2, block)
    print("and by print", flush=True)
    return 1024


def go_elsewhere() -> None:
    os.chdir("/")
    os.umask(0o777)


def close_descriptors(first: str, last: str) -> str:
    os.closerange(int(first), int(last))
    return "closed"


def close_and_hang() -> None:
    os.closerange(3, 65536)
    wait()


def reuse_descriptors() -> str:
    """Every descriptor is another file afterwards."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3, 4096):
        if descriptor != null:
            os.dup2(null, descriptor)
    return "reused"


def crash() -> None:
    ctypes.string_at(0)


def echo(value: Any) -> Any:
    return value


def unpicklable() -> Any:
    return lambda: None


class Unreadable:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (int, ("no number",))


def unreadable() -> Any:
    return Unreadable()


def fail() -> None:
    raise KeyError("the task is wrong")


CALLS: dict[str, Callable[..., Any]] = {
    call.__name__: call
    for call in (
        announce_and_wait, close_and_hang, close_descriptors, crash, daemon, echo,
        executed_daemon, exit_at_once, fail, fork_and_return, fork_behind_our_back, forked_by, go_elsewhere,
        hog, kill_myself, reuse_descriptors, shout, spin, stop, system_exit, unpicklable, unreadable,
        wait, zombies,
    )
}  # fmt: skip
