"""One chain of runs of the command line: each resumes the one before, and may be held at a moment to be interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from harness.cli import main
from harness.run import campaign
from harness.run.options import PROFILES
from harness.run.pool import Outcome, Pool
from tests.stores.conduct import spec
from tests.stores.tiny import TINY

ROOT = Path(__file__).parents[2]
VARIABLE = "ONE_CHAIN_OF_RUNS"
HOLD = "HOLD_THE_RUN"
LOOK_S = 0.01
RECORDINGS = TINY.extent.short


@dataclass(frozen=True, slots=True)
class Moment:
    """What a run has got to: its directory, so many traces in it, or so many lines of the journal more than `lines`.

    Traces beyond the recordings are those of changes that are tried to explain a finding.
    """

    what: str
    count: int
    lines: int = 0


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

    @property
    def held(self) -> Path:
        """There as soon as a run stands still at its moment."""
        return self.folder / "held"

    def start(self, *arguments: str, hold: Moment | None = None) -> subprocess.Popen[bytes]:
        """Start a run, which stands still at the moment `hold` until a signal ends it."""
        self.held.unlink(missing_ok=True)
        temporary = self.folder / "temporary"
        temporary.mkdir(exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary), VARIABLE: self.mark}
        if hold is not None:
            known = sorted(map(str, self.directories))
            environment[HOLD] = json.dumps([str(self.folder), known, hold.what, hold.count, hold.lines])
        command = [sys.executable, "-m", "tests.stores.chains", "certify", self.adapter]
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

    def reached(self, moment: Moment) -> bool:
        directory = self.directory()
        if directory is None:
            return False
        traces = len(list(directory.glob("*.trace")))
        if moment.what == "lines":
            return self.lines() >= moment.lines + moment.count or traces > RECORDINGS
        return moment.what == "directory" or traces >= moment.count

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


class Holding(Pool):
    """Stands still at the moment: what is then done to the run happens there, however fast or busy the machine is."""

    def _collect(self) -> list[tuple[int, Any, Outcome]]:
        folder, known, *moment = json.loads(os.environ[HOLD])
        chain = Chain(Path(folder), directories=set(map(Path, known)))
        if chain.reached(Moment(*moment)):
            chain.held.touch()
            tests = os.getppid()
            while os.getppid() == tests:  # not pause(2): a signal that comes right before it would not end it
                select.select([], [], [], LOOK_S)
            raise KeyboardInterrupt
        return super()._collect()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    PROFILES[TINY.name] = TINY
    if HOLD in os.environ:
        campaign.Pool = Holding  # type: ignore[misc]
    sys.exit(main())
