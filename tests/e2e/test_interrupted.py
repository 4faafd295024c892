"""Ctrl-C and kill -9 at ten moments of a run: nothing is left behind, and `--resume` gives the same certificate.

The runs form one chain: each is interrupted further on than the one before, and the next resumes it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.stores.conduct import spec
from tests.stores.tiny import TINY

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0
LOOK_S = 0.01
VARIABLE = "ONE_CHAIN_OF_RUNS"
RECORDINGS = TINY.extent.short
CHAINS = 5
COMPLETED = 1  # and broken, as the store is
#: What the run has got to when it is interrupted: its directory, so many traces in it, so many new lines in the
#: journal. Traces beyond the recordings are those of changes that are tried to explain a finding.
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


class Missed(Exception):
    """The run was over before it could be interrupted: the machine was busy with something else."""


@dataclass(slots=True)
class Chain:
    """Runs with one report directory and one registry of run directories; all their processes carry a variable."""

    folder: Path
    adapter: str = spec("NoSync", "honest.py")
    scenarios: tuple[str, ...] = ("power-loss",)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    directories: set[Path] = field(default_factory=set)

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        temporary = self.folder / "temporary"
        temporary.mkdir(exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary), VARIABLE: self.mark}
        command = [sys.executable, "-m", "tests.stores.tiny", "certify", self.adapter]
        options = ["--profile", TINY.name, "--jobs", "1"]
        options += [word for name in self.scenarios for word in ("--scenario", name)]
        return subprocess.Popen(
            [*command, *options, "--reports", str(self.reports), "--json", str(self.folder / "c.json"), *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def lines(self) -> int:
        return sum(journal.read_bytes().count(b"\n") for journal in self.reports.glob(".resume/*.journal"))

    def directory(self) -> Path | None:
        """The directory of the run that was started last, once there is one."""
        return next((path for path in self.claimed() if path not in self.directories and path.is_dir()), None)

    def reached(self, what: str, count: int, lines_before: int) -> bool:
        directory = self.directory()
        if directory is None:
            return False
        traces = len(list(directory.glob("*.trace")))
        if what == "lines":
            return self.lines() >= lines_before + count or traces > RECORDINGS
        return what == "directory" or traces >= count

    def claimed(self) -> Iterator[Path]:
        """The run directories that the registry names."""
        for claim in (self.folder / "temporary").glob("durability-harness-*/*"):
            with contextlib.suppress(OSError, ValueError):
                yield Path(json.loads(claim.read_text())["path"])

    def processes(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self.is_of_this_chain(process)]

    def is_of_this_chain(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(VARIABLE) == self.mark and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def digest(self) -> str:
        digest: str = json.loads((self.folder / "c.json").read_text())["digest"]
        return digest


def until(reached: Callable[[], bool], child: subprocess.Popen[bytes] | None = None) -> None:
    """Look again and again, while `child` runs, until it is so."""
    deadline = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < deadline, "it never came to that"
        if child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(LOOK_S)
            if child.returncode is not None:
                raise Missed


def interrupted(chain: Chain, what: str, count: int, number: signal.Signals) -> None:
    """Resume, interrupt the parent alone at the moment, and see that all its descendants end."""
    lines = chain.lines()
    child = chain.start("--resume")
    until(lambda: chain.reached(what, count, lines), child)
    directory = chain.directory()
    child.send_signal(number)
    _, errors = child.communicate(timeout=DEADLINE_S)
    if child.returncode == COMPLETED:
        raise Missed
    until(lambda: not chain.processes())
    assert directory is not None
    assert not any(path.exists() for path in chain.directories), "this start has swept what the last one left"
    chain.directories.add(directory)
    if number is signal.SIGINT:
        assert (child.returncode, errors) == (130, b"harness: interrupted; go on with --resume\n")
        assert not directory.exists()
    else:
        assert (child.returncode, errors) == (-signal.SIGKILL, b"")


def interrupted_at_all_moments(folder: Path) -> Chain:
    """A chain whose next run may complete. One that missed a moment is begun again elsewhere."""
    for number in range(CHAINS):
        chain = Chain(folder / f"interrupted-{number}")
        chain.folder.mkdir()
        with contextlib.suppress(Missed):
            for moment in MOMENTS:
                interrupted(chain, *moment)
            return chain
    pytest.fail(f"{CHAINS} chains of runs were over too early")


def completed(chain: Chain, *arguments: str) -> str:
    child = chain.start(*arguments)
    _, errors = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode, errors) == (COMPLETED, b"")
    return chain.digest()


@pytest.mark.timeout(240)
def test_interruptions_at_ten_moments_leave_nothing_behind_and_change_nothing(tmp_path: Path) -> None:
    """Neither a process nor, after the next start, a directory; no work is done twice, and the digest is the same."""
    one, other = interrupted_at_all_moments(tmp_path), Chain(tmp_path / "undisturbed")
    other.folder.mkdir()

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

    for _ in range(3):
        lines = chain.lines()
        child = chain.start("--resume")
        until(functools.partial(chain.reached, "lines", 1, lines), child)
        directory = chain.directory()
        child.kill()
        child.communicate(timeout=DEADLINE_S)
        assert child.returncode == -signal.SIGKILL
        assert directory is not None
        assert not any(path.exists() for path in chain.directories), "this start has swept what the last one left"
        chain.directories.add(directory)
    last = chain.start("--resume")
    _, errors = last.communicate(timeout=DEADLINE_S)

    assert (last.returncode, errors) == (0, b"")
    assert not chain.processes()
    assert not any(path.exists() for path in chain.directories)
    assert not list(chain.claimed())
    assert Path("/proc/self/mounts").read_text() == mounts
