"""Keeping a process that runs somebody's store from doing harm, and ending all that it started.

In the child, `contain` takes away the terminal, the memory beyond a limit, core dumps, and the life
after its parent's. In the parent, `kill_tree` ends a worker with everything that it started. A daemon
that was forked twice and leads a session of its own is still found: workers and the harness are
child subreapers (prctl(2), PR_SET_CHILD_SUBREAPER), so orphans come to them instead of to init, and they
are told from other people's orphans by the session or the environment that they inherited.

What escapes: a process in a session of its own that was executed with an emptied environment, and whose
worker died by itself. On systems other than Linux also what left its session before the worker died.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import resource
import signal
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    import psutil

# Workers inherit it. systemd gives one to each service, so it tells a store nothing about us.
MARKER_VARIABLE = "INVOCATION_ID"

#: Without fork(2) jobs share the process of their worker, and recoveries can't be recorded to be crashed in turn.
CAN_FORK = hasattr(os, "fork")

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KILL_LIMIT_S = 5.0
_PAUSE_S = 0.005
_FAMILY_LETTERS = 16
#: Words of a variable that name a test tool: tox sets `TOX_ENV_NAME`, and `__TOX_ENVIRONMENT_VARIABLE_ORIGINAL_CI` too.
_FOREIGN_WORDS = frozenset({"PYTEST", "HYPOTHESIS", "TOX", "HARNESS", "DURABILITY"})

_libc = ctypes.CDLL(None, use_errno=True)
_subreaper_lock = threading.Lock()
_subreaper_users = 0


# --- starting a child -----------------------------------------------------------------------


def fresh_interpreter(code: str) -> list[str]:
    """The command line that runs `code` in a new interpreter that imports from where this one does."""
    paths = [os.path.abspath(path) for path in sys.path if isinstance(path, str)]
    flags = ["-P"] + ["-O"] * sys.flags.optimize + ["-B"] * bool(sys.flags.dont_write_bytecode)
    return [sys.executable, *flags, "-c", f"import sys; sys.path[:] = {paths!r}; {code}"]


def neutral_environment(marker: str) -> dict[str, str]:
    """Our environment without what names a test tool, with `marker`, and with a fixed order of sets.

    Coverage's variables stay, because subprocesses are measured by them.
    """
    kept = {name: value for name, value in os.environ.items() if not _names_a_test_tool(name)}
    return {"PYTHONHASHSEED": "0", **kept, MARKER_VARIABLE: marker}


def _names_a_test_tool(variable: str) -> bool:
    """Whether one of the words between its underscores does, in any case."""
    words = variable.upper().split("_")
    return words[0] != "COVERAGE" and not _FOREIGN_WORDS.isdisjoint(words)


# --- in the child ---------------------------------------------------------------------------


def contain(memory_bytes: int) -> None:
    """Contain this process. `memory_bytes` limits its address space (RLIMIT_AS), 0 does not.

    It leads a session of its own, leaves no core, reads and writes nothing on the standard streams, and has
    neutral arguments. Warnings are always issued, never taken for duplicates of earlier ones, so that
    whoever records them sees each; printed they go nowhere, like everything else.
    """
    with contextlib.suppress(PermissionError):  # it leads one already
        os.setsid()
    _limit(resource.RLIMIT_CORE, 0)
    if memory_bytes:
        _limit(resource.RLIMIT_AS, memory_bytes)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)
    warnings.simplefilter("always")
    sys.argv = [""]
    sys.orig_argv = [sys.executable]


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(OSError, ValueError):  # macOS knows RLIMIT_AS, and refuses it
        resource.setrlimit(kind, (lowered, lowered))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies (Linux; prctl(2), PR_SET_PDEATHSIG).

    "Parent" is the *thread* that started us, says the manual: start workers from a thread that stays.
    A parent that died before the call is seen by its id. Call it again after any change of credentials.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def become_subreaper() -> bool:
    """Let orphaned descendants become our children; `False` where the system cannot."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    if not hasattr(_libc, "prctl"):
        return False
    return bool(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0)


def kill_children(spared: frozenset[int] = frozenset()) -> None:
    """Kill all other children of this process, and their orphans as they become ours, and reap them."""
    for _ in range(1000):
        children = child_ids() - spared
        if not children:
            return
        for child in sorted(children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for child in sorted(children):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


def child_ids() -> frozenset[int]:
    """The children of this process, from proc(5); none where the kernel does not list them."""
    children: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children", encoding="ascii") as listed:
                children += map(int, listed.read().split())
    return frozenset(children)


def is_asleep(pid: int) -> bool:
    """Whether it waits for something other than a processor or a disk."""
    import psutil

    try:
        return psutil.Process(pid).status() == psutil.STATUS_SLEEPING
    except psutil.Error:
        return False


def reap_children() -> None:
    """Reap what has ended: a store that forks and never waits would fill the process table."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


# --- in the parent --------------------------------------------------------------------------


@contextlib.contextmanager
def subreaping() -> Iterator[None]:
    """Orphans of our workers come to us as long as anybody is in such a block."""
    global _subreaper_users
    with _subreaper_lock:
        _subreaper_users += 1
        become_subreaper()
    try:
        yield
    finally:
        with _subreaper_lock:
            _subreaper_users -= 1
            if _subreaper_users == 0:
                _prctl(_PR_SET_CHILD_SUBREAPER, 0)


def kill_tree(process: subprocess.Popen[bytes], marker: str) -> None:
    """Kill and reap a worker, all its descendants, and all orphans of its session or with its `marker`.

    The worker is stopped first, so that it starts nothing while its descendants are counted.
    """
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        killed = _kill_until_none(functools.partial(_descendants, process.pid))
        process.kill()
        process.wait(_KILL_LIMIT_S)
        _reap(killed)
    kill_orphans(process.pid, marker)


def new_marker(directory: str) -> str:
    """A marker for a worker of the run that has `directory`; the next start finds by it what a killed run left."""
    return _family(directory) + uuid.uuid4().hex[:_FAMILY_LETTERS]


def _family(directory: str) -> str:
    return hashlib.sha256(directory.encode()).hexdigest()[:_FAMILY_LETTERS]


def kill_family(directory: str) -> None:
    """Kill every process that descends from a worker of the run that had `directory`; the run itself is dead.

    What a store starts outlives its worker where nobody is left to end it: it may have left the session, and lives
    on until it ends by itself.
    """
    _reap(_kill_until_none(functools.partial(_of_family, _family(directory))))


def _of_family(family: str) -> list[psutil.Process]:
    import psutil

    return [process for process in psutil.process_iter() if (_environment_marker(process) or "").startswith(family)]


def kill_orphans(session: int, marker: str) -> None:
    """Kill and reap what a dead worker left: orphans of its session, or that came to us with its `marker`."""
    _reap(_kill_until_none(functools.partial(_left_behind, session, marker)))


def _kill_until_none(find: Callable[[], list[psutil.Process]]) -> set[int]:
    """Kill what is found, until only the dead are; all their ids."""
    found: set[int] = set()
    deadline = time.monotonic() + _KILL_LIMIT_S
    while time.monotonic() < deadline:
        processes = find()
        found.update(process.pid for process in processes)
        alive = [process for process in processes if _kill(process)]
        if not alive:
            break
        time.sleep(_PAUSE_S)  # SIGKILL takes effect when its target is next scheduled
    return found


def _kill(process: psutil.Process) -> bool:
    """Kill it; whether it was still alive."""
    import psutil

    try:
        if process.status() != psutil.STATUS_ZOMBIE:
            process.kill()
            return True
    except psutil.Error:
        pass
    return False


def _reap(killed: set[int]) -> None:
    """Take the dead that have become our children off the process table."""
    for pid in sorted(killed):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _descendants(root: int) -> list[psutil.Process]:
    import psutil  # here, because workers import this module and would pay for it

    try:
        return psutil.Process(root).children(recursive=True)
    except psutil.Error:
        return []


def _left_behind(session: int, marker: str) -> list[psutil.Process]:
    import psutil

    roots = {child.pid for child in psutil.Process().children() if _environment_marker(child) == marker}
    roots |= {pid for pid in psutil.pids() if _session_of(pid) == session}
    found = [process for root in sorted(roots) for process in _descendants(root)]
    for root in sorted(roots):
        with contextlib.suppress(psutil.Error):
            found.append(psutil.Process(root))
    return found


def _environment_marker(process: psutil.Process) -> str | None:
    import psutil

    try:
        return process.environ().get(MARKER_VARIABLE)
    except (psutil.Error, OSError):
        return None


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
