"""Ctrl-C and kill -9 at ten moments of a run: nothing is left behind, and `--resume` gives the same certificate.

The runs form one chain: each is interrupted further on than the one before, and the next resumes it.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stores.chains import RECORDINGS, Chain, Moment
from tests.stores.conduct import spec

DEADLINE_S = 120.0
LOOK_S = 0.01
MOMENTS = (
    ("directory", 1, signal.SIGKILL),
    ("traces", 1, signal.SIGINT),
    ("traces", 2, signal.SIGKILL),
    ("traces", RECORDINGS, signal.SIGINT),
    ("lines", 1, signal.SIGKILL),
    ("lines", 1, signal.SIGINT),
    ("lines", 1, signal.SIGKILL),
    ("lines", 1, signal.SIGINT),
    ("traces", RECORDINGS + 1, signal.SIGKILL),
    ("traces", RECORDINGS + 1, signal.SIGINT),
)


def until(reached: Callable[[], bool], child: subprocess.Popen[bytes] | None = None) -> None:
    """Look again and again, while `child` runs, until it is so."""
    deadline = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < deadline, "it never came to that"
        if child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(LOOK_S)
            assert child.returncode is None, "it ended too early"


def interrupted(chain: Chain, what: str, count: int, number: signal.Signals) -> None:
    """Resume, interrupt the parent alone at the moment, and see that all its descendants end."""
    child = chain.start("--resume", hold=Moment(what, count, chain.lines()))
    until(chain.held.exists, child)
    directory = chain.directory()
    child.send_signal(number)
    _, errors = child.communicate(timeout=DEADLINE_S)
    until(lambda: not chain.processes())
    assert directory is not None
    assert not any(path.exists() for path in chain.directories), "this start has swept what the last one left"
    chain.directories.add(directory)
    if number is signal.SIGINT:
        hint = "harness: interrupted; go on with --resume\n"
        assert (child.returncode, errors.decode()) == (130, hint)
        assert not directory.exists()
    else:
        assert (child.returncode, errors.decode()) == (-signal.SIGKILL, "")


def completed(chain: Chain, *arguments: str) -> str:
    child = chain.start(*arguments)
    _, errors = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode, errors.decode()) == (1, "")
    return chain.digest()


@pytest.mark.timeout(240)
def test_interruptions_at_ten_moments_leave_nothing_behind_and_change_nothing(tmp_path: Path) -> None:
    """Neither a process nor, after the next start, a directory; no work is done twice, and the digest is the same."""
    one, other = Chain(tmp_path / "interrupted"), Chain(tmp_path / "undisturbed")
    for chain in (one, other):
        chain.folder.mkdir()

    for what, count, number in MOMENTS:
        interrupted(one, what, count, number)

    assert completed(one, "--resume") == completed(other)
    assert len(one.directories) == len(MOMENTS) and not any(path.exists() for path in one.directories)
    assert not list(one.claimed())
    [journal] = one.reports.glob(".resume/*.journal")
    keys = [line.split(b'"')[1] for line in journal.read_bytes().splitlines()[1:]]
    assert len(keys) == len(set(keys)) == other.lines() - 1


@pytest.mark.timeout(240)
@pytest.mark.parametrize("store", ["Sound", "LeavesWriters"])
def test_a_run_that_is_killed_while_it_kills_writers_leaves_nothing_behind(store: str, tmp_path: Path) -> None:
    """No writer, running or stopped, nothing that a store had started, no mount; after the next start no directory."""
    adapter = spec(store, "killed.py" if store == "LeavesWriters" else "honest.py")
    chain = Chain(tmp_path, adapter, ("kills", "kills-at-random", "nemesis"))
    mounts = Path("/proc/self/mounts").read_text()

    for what in ("directory", "lines", "lines"):
        child = chain.start("--resume", hold=Moment(what, 1, chain.lines()))
        until(chain.held.exists, child)
        directory = chain.directory()
        child.kill()
        child.communicate(timeout=DEADLINE_S)
        assert child.returncode == -signal.SIGKILL
        assert directory is not None
        assert not any(path.exists() for path in chain.directories), "this start has swept what the last one left"
        chain.directories.add(directory)
    last = chain.start("--resume")
    _, errors = last.communicate(timeout=DEADLINE_S)

    assert (last.returncode, errors.decode()) == (0, "")
    assert not chain.processes()
    assert not any(path.exists() for path in chain.directories)
    assert not list(chain.claimed())
    assert Path("/proc/self/mounts").read_text() == mounts
