"""Flip every byte of every file of a small event log, cut each file to every length, zero every block.

    python benchmarks/damage_sweep.py [--every N]

Prints, for a log without redundancy and for one with parity, what came of each kind of damage: "right" (all events),
"refused" (an exception of the store), "earlier" (with a warning, the events before the damage, twice the same), or
"WRONG". With parity one damaged block of one file must be "right". Exit status 1 if anything was wrong.
Takes some minutes; fsync is switched off, for no disk is tested here.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from store_under_test.event_store import EventStore, EventStoreError, NewEvent, Options, Sizes, files

BLOCK_BYTES = 4096
OPTIONS = Options(sizes=Sizes(segment_bytes=4 * BLOCK_BYTES, step_bytes=BLOCK_BYTES))
EVENTS = ["one", "two", "three", "four", "five"]
SEALED = 2  # so many of them are in a sealed segment

Damage = tuple[str, bytes]


class _Listener(logging.Handler):
    """Counts warnings."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.levelno >= logging.WARNING


def write(directory: Path, redundancy: str | None) -> dict[str, bytes]:
    """The log, and what its files hold."""
    with EventStore.open(directory, OPTIONS, redundancy=redundancy) as store:
        for number, text in enumerate(EVENTS):
            if number == SEALED:
                store.compact()
            store.append(NewEvent("t", "a", text, id="i", timestamp=1.0))
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def damages(content: bytes, every: int) -> Iterator[Damage]:
    """What is done to a file, by kind."""
    for place in range(0, len(content), every):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        yield "flip", bytes(changed)
    for size in range(0, len(content), every):
        yield "cut", content[:size]
    for start in range(0, len(content), BLOCK_BYTES):
        zeroed = content[:start] + bytes(len(content[start : start + BLOCK_BYTES])) + content[start + BLOCK_BYTES :]
        if zeroed != content:
            yield "zero", zeroed


def read(directory: Path, redundancy: str | None, listener: _Listener) -> list[str] | None:
    """What an opening reads; `None` if the store refuses."""
    listener.count = 0
    try:
        with EventStore.open(directory, OPTIONS, redundancy=redundancy) as store:
            return [event.payload for event in store.read()]
    except EventStoreError:
        return None


def outcome(directory: Path, redundancy: str | None, listener: _Listener) -> str:
    """What came of it, in a word."""
    found = read(directory, redundancy, listener)
    if found is None:
        return "refused"
    if found == EVENTS:
        return "right"
    told = listener.count > 0 and found == EVENTS[: len(found)]
    return "earlier" if told and read(directory, redundancy, listener) == found else "WRONG"


def sweep(directory: Path, redundancy: str | None, every: int, listener: _Listener) -> Counter[tuple[str, str, str]]:
    """How often each outcome was met, by file and kind of damage."""
    whole = write(directory, redundancy)
    found: Counter[tuple[str, str, str]] = Counter()
    for name, content in whole.items():
        for kind, damaged in damages(content, every):
            for path in directory.iterdir():
                if path.name not in whole or path.read_bytes() != whole[path.name]:
                    path.unlink()
            for other, data in whole.items():
                if other == name or not (directory / other).exists():
                    (directory / other).write_bytes(damaged if other == name else data)
            found[name, kind, outcome(directory, redundancy, listener)] += 1
    return found


def is_wrong(redundancy: str | None, kind: str, what: str) -> bool:
    """Whether this must not be."""
    return what == "WRONG" or (redundancy is not None and kind != "cut" and what != "right")


def main() -> int:
    """Sweep both logs, and print a line for each file and kind of damage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="try every so many bytes only")
    every = parser.parse_args().every
    os.fsync = os.fstat  # type: ignore[assignment]
    files._datasync = os.fstat  # type: ignore[assignment]
    listener, wrong = _Listener(), 0
    files.logger.addHandler(listener)
    files.logger.propagate = False
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    for redundancy in (None, "parity"):
        with tempfile.TemporaryDirectory(dir=memory) as directory:
            for (name, kind, what), count in sorted(sweep(Path(directory), redundancy, every, listener).items()):
                print(f"{redundancy or 'none':8}{name:48}{kind:6}{what:10}{count:8}")
                wrong += count if is_wrong(redundancy, kind, what) else 0
    print(f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
