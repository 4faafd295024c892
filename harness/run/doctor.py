"""`harness doctor`: what this machine allows, and what is lost without it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import harness
from harness.run import namespaces
from harness.run.containment import CAN_FORK
from harness.run.directories import memory_directory
from harness.run.environment import tool
from harness.run.live.hunting import without_hypothesis


@dataclass(frozen=True, slots=True)
class Check:
    """One mechanism: whether it is there, and what follows."""

    name: str
    available: bool
    detail: str
    without: str


def checks() -> list[Check]:
    """Everything that a run depends on."""
    refusal = namespaces.probe()
    memory = memory_directory()
    return [
        Check("harness", True, str(Path(harness.__file__).parent), ""),
        Check("Python", sys.version_info >= (3, 11), sys.version.split()[0], "3.11 or newer is needed"),
        Check("Linux", sys.platform == "linux", sys.platform, "macOS runs what needs no namespaces"),
        Check(
            "private mounts (user and mount namespaces)",
            refusal is None,
            refusal or "allowed",
            "recovery runs under another path than the recording, which stores that keep absolute paths may notice",
        ),
        Check("memory file system", memory.in_memory, memory.reason, "runs are slower"),
        Check(
            "fork",
            CAN_FORK,
            "available" if CAN_FORK else "missing",
            "recordings share a process, recoveries are not crashed in turn, and no writer is killed",
        ),
        Check(
            "Hypothesis",
            not without_hypothesis(),
            without_hypothesis() or "installed",
            "the scenarios machine-* are left out",
        ),
        _program("strace", _NO_RECORDER),
        _program("fusermount3", _NO_RECORDER),
    ]


#: Programs that a further recorder may need some day.
_NO_RECORDER = "nothing is lost: this version has no recorder that uses it"


def _program(name: str, without: str) -> Check:
    path = tool(name)
    return Check(name, path is not None, path or "not installed", without)
