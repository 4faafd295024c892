"""Tens of processes on one file: a MetricsStore that each of them opens, or a structured log.

Each is a fresh interpreter (`benchmarks.stressed_member`). All wait for a lock that this process holds until every one
has begun, so no call ends before.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.counting import TIMEOUT_S, counted
from benchmarks.stressed import Held, Stressed, by_end, held_by, require
from store_under_test.metrics_store import MetricsStore
from store_under_test.structured_log import StructuredLogger, read_log

_ROOT = Path(__file__).parent.parent


class Members:
    """So many processes that make so many calls each on `store` ("metrics" or "log"). A context manager, after which
    none of them is left."""

    def __init__(self, store: str, path: Path, processes: int, calls: int) -> None:
        self._jobs = [json.dumps([store, str(path.absolute()), number, calls]) for number in range(processes)]
        self.members: list[subprocess.Popen[str]] = []
        self._began, self._alive = 0.0, 0
        self._held = Held(0, 0)

    def __enter__(self) -> Members:
        for job in self._jobs:
            command = [sys.executable, "-m", "benchmarks.stressed_member", job]
            pipe = subprocess.PIPE
            self.members.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=_ROOT))
        return self

    def __exit__(self, *details: object) -> None:
        for member in self.members:
            member.kill()
            member.communicate()

    def ready(self) -> None:
        """Wait until all of them have opened the store."""
        for member in self.members:
            _line(member)

    def start(self) -> None:
        """Let all of them begin, while no call can end."""
        for member in self.members:
            _tell(member)
        for member in self.members:
            _line(member)  # its first call comes next
        self._alive = sum(member.poll() is None for member in self.members)
        self._held = held_by(member.pid for member in self.members)
        self._began = time.monotonic()

    def end(self, name: str) -> Stressed:
        """Wait for all of them."""
        told = [json.loads(_line(member)) for member in self.members]
        ended = held_by(member.pid for member in self.members)
        for member in self.members:
            _tell(member)
            member.wait()
        calls = by_end((started, returned) for each in told for started, returned in each)
        seconds = calls[-1][1] - self._began
        return Stressed(name, "processes", len(told), self._alive, seconds, calls, self._held, ended)


def on_metrics_store(directory: Path, processes: int, calls: int) -> Stressed:
    """Each call counts one task of its process and one of all; both counts have to come out right."""
    path = directory / "processes.json"
    with MetricsStore(path, timeout=TIMEOUT_S) as store, Members("metrics", path, processes, calls) as members:
        members.ready()
        store.update(lambda state: members.start())  # they wait for the lock meanwhile
        found = members.end("MetricsStore")
        told = counted(store)
    require(told.pop("all"), processes * calls)
    require(sum(count == calls for count in told.values()), processes, "processes are counted")
    return found


def on_log(directory: Path, processes: int, calls: int) -> Stressed:
    """Each call is a record: every one is whole, and there once, in the order of its process."""
    path = directory / "processes.jsonl"
    StructuredLogger(path).file.settled_bytes()  # it is there, and can be locked
    with Members("log", path, processes, calls) as members:
        members.ready()
        with _locked(path):
            members.start()
        found = members.end("structured log")
    contents = read_log(path)
    if contents.malformed or contents.damaged or contents.torn or contents.lost:
        raise RuntimeError(f"{contents.malformed} lines hold no record, {contents.lost} records are lost")
    _require_order([record["fields"] for record in contents.records], processes, calls)
    return found


def _require_order(records: list[dict[str, int]], processes: int, calls: int) -> None:
    require(len(records), processes * calls)
    written: defaultdict[int, list[int]] = defaultdict(list)
    for record in records:
        written[record["member"]].append(record["number"])
    require(sum(numbers == list(range(calls)) for numbers in written.values()), processes, "processes are in order")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep all others from writing (flock(2)), for the block."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _line(member: subprocess.Popen[str]) -> str:
    """What it says next. Raises `RuntimeError` if it has ended instead; why is on stderr."""
    assert member.stdout is not None
    line = member.stdout.readline()
    if not line:
        raise RuntimeError(f"process {member.pid} ended before its time (exit status {member.wait()})")
    return line


def _tell(member: subprocess.Popen[str]) -> None:
    """Let it go on."""
    assert member.stdin is not None
    member.stdin.write("\n")
    member.stdin.flush()
