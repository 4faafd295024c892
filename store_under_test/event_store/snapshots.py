"""Snapshots: what has to be known at opening, so that not all events have to be read for it.

A snapshot holds the state after event `sequence`: the version of each aggregate, and of each segment the extreme time
stamps and how many events there are of each type. A full one holds all of it; an incremental one what has changed
since the one that it names as its base. Each is a file, `snapshot-<sequence>-full.snap` or `-incr.snap`, with a
checksum over everything; a chain from an incremental one to its full one counts only if every link verifies.

The state is a fold over durable events only, and each file is bound to the log: it names the segment that held its
last event, by nonce, and where that event's frame ended, and counts only if the log still reaches there. So it can
neither be ahead of the log nor belong to another. Files are derived: with none that counts, the log is read from its
start, after one warning if there was a damaged one.

    magic (8 bytes) | crc32c of the rest u32 | msgpack
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, field, replace

import msgpack
from crc32c import crc32c

from store_under_test.event_store.derived import read_whole, sync_directory, write_atomically
from store_under_test.event_store.event import Event
from store_under_test.event_store.files import remove_quietly

logger = logging.getLogger("store_under_test.event_store")

MAGIC = b"EVSNAP01"
FULL_EVERY = 8  # snapshots; the others are incremental
KEEP_FULL = 2  # full ones, with what builds on them: one to fall back on
_NAME = re.compile(r"snapshot-(\d{20})-(full|incr)\.snap")


class DamagedSnapshotError(Exception):
    """A snapshot does not verify. Handled here; never leaves the store."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where in the log a state stands: behind `sequence`, which ends at `end_offset` of the segment with `nonce`."""

    sequence: int
    segment: int  # first sequence number of that segment, which holds the event
    nonce: bytes
    end_offset: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A sealed segment: its extreme time stamps in seconds UTC (inf, -inf without events), and events by type."""

    first_sequence: int
    last_sequence: int
    low: float
    high: float
    types: dict[str, int]


@dataclass(frozen=True, slots=True)
class Part:
    """The content of one snapshot: everything, or what has changed since the one before."""

    full: bool
    versions: dict[str, int]
    forgotten: tuple[str, ...]
    sealed: tuple[Summary, ...]
    types: dict[str, int]
    low: float
    high: float


@dataclass(slots=True)
class StoreState:
    """The fold over the events up to `sequence` that retention has left.

    `types`, `low` and `high` are of the active segment. `touched` aggregates have changed since the last snapshot.
    """

    sequence: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    sealed: dict[int, Summary] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    low: float = math.inf
    high: float = -math.inf
    touched: set[str] = field(default_factory=set)

    def apply(self, events: Iterable[Event]) -> None:
        """Take events of the active segment in, in order; those already seen change nothing."""
        versions, types, touched = self.versions, self.types, self.touched
        for event in events:
            if event.sequence <= self.sequence:
                continue
            self.sequence = event.sequence
            versions[event.aggregate] = event.version
            touched.add(event.aggregate)
            types[event.type] = types.get(event.type, 0) + 1
            if event.timestamp < self.low:
                self.low = event.timestamp
            if event.timestamp > self.high:
                self.high = event.timestamp

    def seal(self, first_sequence: int) -> None:
        """The active segment, which began at `first_sequence`, is complete; the next one begins."""
        if self.sequence >= first_sequence:
            self.sealed[first_sequence] = Summary(first_sequence, self.sequence, self.low, self.high, self.types)
        self.types, self.low, self.high = {}, math.inf, -math.inf

    def drop_before(self, sequence: int, survives: Callable[[str], bool]) -> None:
        """Retention has removed the segments before `sequence`; an aggregate without events left is forgotten."""
        self.sealed = {first: one for first, one in self.sealed.items() if first >= sequence}
        for name in [name for name in self.versions if not survives(name)]:
            del self.versions[name]
            self.touched.add(name)

    def counts(self) -> dict[str, int]:
        """How many events there are of each type."""
        counts: Counter[str] = Counter(self.types)
        for one in self.sealed.values():
            counts.update(one.types)
        return dict(counts)

    def take(self, full: bool) -> Part:
        """What a snapshot needs, copied, so that the fold may go on; what was touched counts as written."""
        versions = self.versions
        names = list(versions) if full else [name for name in self.touched if name in versions]
        gone = () if full else tuple(sorted(name for name in self.touched if name not in versions))
        part = Part(
            full,
            {name: versions[name] for name in names},
            gone,
            tuple(self.sealed.values()),
            dict(self.types),
            self.low,
            self.high,
        )
        self.touched = set()
        return part

    def give_back(self, part: Part) -> None:
        """`part` was not written after all."""
        self.touched.update(part.versions, part.forgotten)

    def same_as(self, other: StoreState) -> bool:
        """Whether both are the same fold; what was touched since when does not matter."""
        return replace(self, touched=set()) == replace(other, touched=set())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A file as read. `base` is the sequence number and checksum of the one that it builds on; `None`: it is full."""

    position: Position
    base: tuple[int, int] | None
    part: Part
    checksum: int


def encode(position: Position, part: Part, base: tuple[int, int] | None) -> bytes:
    """The bytes of a snapshot; `base` is the one that an incremental `part` builds on."""
    sealed = [astuple(one) for one in part.sealed]
    fields = [astuple(position), base, part.versions, part.forgotten, sealed, part.types, part.low, part.high]
    body = msgpack.packb(fields, unicode_errors="surrogatepass")
    return b"".join((MAGIC, crc32c(body).to_bytes(4, "little"), body))


def decode(data: bytes) -> Snapshot:
    """The inverse of `encode`. Raises `DamagedSnapshotError`."""
    checksum, body = int.from_bytes(data[8:12], "little"), data[12:]
    if data[:8] != MAGIC or not body or crc32c(body) != checksum:  # the checksum of nothing is 0, as is what is missing
        raise DamagedSnapshotError("it does not verify")
    position, base, versions, forgotten, sealed, *rest = msgpack.unpackb(body, unicode_errors="surrogatepass")
    part = Part(base is None, versions, tuple(forgotten), tuple(Summary(*one) for one in sealed), *rest)
    return Snapshot(Position(*position), None if base is None else (base[0], base[1]), part, checksum)


class Snapshots:
    """The snapshot files of one directory. One thread at a time."""

    def __init__(self, directory: str, *, rebuilt: Callable[[], None] = lambda: None) -> None:
        """`rebuilt` is called once if a damaged file was passed over."""
        self._directory = directory
        self._rebuilt = rebuilt
        self._last: tuple[int, int] | None = None  # sequence and checksum of the newest file
        self._since_full = 0

    def load(self, holds: Callable[[Position], bool], retained_from: int = 1) -> tuple[StoreState, Position | None]:
        """The newest state that verifies and whose position the log `holds`; an empty one if there is none.

        Damaged files are removed: what they said is in the log. So are those of a part that retention has removed.
        """
        problems: list[str] = []
        for name in reversed(self._names()):
            chain = self._chain(name, problems)
            if chain is None:
                continue
            if chain[-1].position.segment < retained_from:
                self._remove(name)
                continue
            if not holds(chain[-1].position):
                problems.append(f"{name} is not of this log")
                self._remove(name)
                continue
            self._last = chain[-1].position.sequence, chain[-1].checksum
            self._since_full = len(chain) - 1
            self._report(problems)
            return _folded(chain), chain[-1].position
        self._report(problems)
        return StoreState(), None

    def wants(self, state: StoreState) -> bool | None:
        """Whether the next snapshot is to be a full one; `None` if there is nothing new."""
        if self._last is None:
            return True if state.sequence else None
        if self._last[0] == state.sequence:
            return None
        return self._since_full + 1 >= FULL_EVERY or len(state.touched) * 2 > len(state.versions)

    def write(self, position: Position, part: Part) -> None:
        """Keep `part`, which stands at `position`, durably; older files that nobody needs then are removed.

        Raises `OSError` or `SyncFailedError`; nothing is lost then but the time that the snapshot would save.
        """
        data = encode(position, part, None if part.full else self._last)
        write_atomically(self._path(position.sequence, part.full), data)
        sync_directory(self._directory)
        self._last = position.sequence, int.from_bytes(data[8:12], "little")
        self._since_full = 0 if part.full else self._since_full + 1
        if part.full:
            remove_quietly(self._path(position.sequence, False))
            self._remove_old()

    def start_over(self) -> None:
        """The next snapshot is a full one, whatever there is."""
        self._last = None

    # --- files ------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        """Oldest first. The number in a name has twenty digits, so this is the order of the alphabet."""
        return sorted(name for name in os.listdir(self._directory) if _NAME.fullmatch(name))

    def _path(self, sequence: int, full: bool) -> str:
        return os.path.join(self._directory, f"snapshot-{sequence:020}-{'full' if full else 'incr'}.snap")

    def _chain(self, name: str, problems: list[str]) -> list[Snapshot] | None:
        """From a full snapshot to the one in `name`; `None` if a link is missing or damaged."""
        chain: list[Snapshot] = []
        wanted: tuple[int, int] | None = None
        while True:
            snapshot = self._read(name, wanted, problems)
            if snapshot is None:
                return None
            chain.append(snapshot)
            if snapshot.base is None:
                return chain[::-1]
            wanted = snapshot.base
            name = self._name_of(wanted[0])

    def _name_of(self, sequence: int) -> str:
        full = self._path(sequence, True)
        return os.path.basename(full if os.path.exists(full) else self._path(sequence, False))

    def _read(self, name: str, wanted: tuple[int, int] | None, problems: list[str]) -> Snapshot | None:
        try:
            snapshot = decode(read_whole(os.path.join(self._directory, name)))
        except FileNotFoundError:
            problems.append(f"{name} is missing")
            return None
        except DamagedSnapshotError as error:
            problems.append(f"{name}: {error}")
            self._remove(name)
            return None
        number = int(name.split("-")[1])
        if snapshot.position.sequence != number or wanted not in (None, (number, snapshot.checksum)):
            problems.append(f"{name} is not what its name, or the next one, says")
            self._remove(name)
            return None
        return snapshot

    def _remove(self, name: str) -> None:
        remove_quietly(os.path.join(self._directory, name))

    def _remove_old(self) -> None:
        """Keep the newest full ones and what builds on them."""
        names = self._names()
        full = [name for name in names if name.endswith("-full.snap")]
        for name in names:
            if len(full) > KEEP_FULL and name < full[-KEEP_FULL]:
                self._remove(name)

    def _report(self, problems: list[str]) -> None:
        """One warning, however many files there were."""
        if problems:
            self._rebuilt()
            logger.warning("%s: %s: made again from the log", self._directory, "; ".join(dict.fromkeys(problems)))


def _folded(chain: list[Snapshot]) -> StoreState:
    state = StoreState()
    for snapshot in chain:
        for name in snapshot.part.forgotten:
            state.versions.pop(name, None)
        state.versions.update(snapshot.part.versions)
    newest = chain[-1]
    state.sequence = newest.position.sequence
    state.sealed = {one.first_sequence: one for one in newest.part.sealed}
    state.types, state.low, state.high = dict(newest.part.types), newest.part.low, newest.part.high
    return state
