"""Crash states: the legal contents of the disk after a crash at every point of a trace.

`Enumerator` walks over a trace once for each phase - every prefix; maximum loss at every crash
point; then all order ideals of the pending DiskOps, or the lists of `harness.crash.bounded` where
they are too many - and yields each state once: states are told apart by what recovery can see (names,
contents, the order of modification times) and by what the oracle would admit (which operations
were begun, acknowledged and synced).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from harness.core.operations import Sync
from harness.core.persistence import PAGE_BYTES, Overwrite, PersistenceModel, Survival
from harness.core.trace import (
    AddEntry,
    Effect,
    FailedSync,
    Image,
    InodeKind,
    IoEvent,
    MarkerKind,
    Node,
    RemoveEntry,
    RenameEntry,
    SetSize,
    SyncAll,
    SyncDirectory,
    SyncFile,
    SyncRange,
    Trace,
    WriteData,
)
from harness.crash.bounded import Wish, everything, nothing, wishes
from harness.crash.choices import variant_of, variants
from harness.crash.contents import with_fills
from harness.crash.disk import Disk
from harness.crash.losses import Losses, losses
from harness.crash.namespace import ABSENT, NameMap
from harness.crash.pending import FileState, Variant
from harness.crash.trees import Settled, Tree, Trees, content_at, size_at


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What clients knew at a crash point: operations acknowledged (or failed, or shown by a read), begun, synced."""

    acknowledged: int = 0
    begun: int = 0
    synced: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much to try at one crash point, and in all; of the states in all, `recovery_states` inside recoveries."""

    states_per_point: int = 20_000
    bounded_per_point: int = 300
    states: int = 1_000_000
    recovery_states: int = 1_000_000


class Phase(Enum):
    PREFIX = "every prefix"
    MAXIMUM_LOSS = "maximum loss"
    IDEALS = "order ideals"


@dataclass(slots=True)
class Counts:
    """What an enumeration did; `exhausted` holds with respect to the lists of the model."""

    generated: int = 0
    distinct: int = 0
    crash_points: int = 0
    exhausted: bool = True
    pending_most: int = 0


class CrashState:
    """One legal content of the disk after a crash.

    Valid until the enumerator goes on: contents are built on demand from the disk underneath.
    """

    __slots__ = ("_disk", "_names", "event", "files", "key", "knowledge", "wish")

    def __init__(
        self,
        disk: Disk,
        names: Tree,
        files: dict[int, Variant],
        event: int,
        knowledge: Knowledge,
        key: int,
        wish: Wish,
    ) -> None:
        self._disk = disk
        self._names = names
        self.files = files
        self.event = event
        self.knowledge = knowledge
        self.key = key
        self.wish = wish

    def image(self) -> Image:
        """The content of the directory, for materialization."""
        nodes: dict[int, Node] = {}
        for inode, entries in self._names.directories.items():
            mode = self._disk.others[inode].mode
            nodes[inode] = Node(InodeKind.DIRECTORY, mode=mode, entries=entries)
        for inode in self._names.others:
            nodes[inode] = self._disk.others[inode]
        for inode in self._names.files:
            nodes[inode] = self._file(self._disk.files[inode])
        return Image(nodes)

    def file_names(self) -> dict[str, int] | None:
        """Each file's path with its inode; `None` if one file can be reached in more than one way."""
        if self._names.links or self._names.others:
            return None
        return {paths[0]: inode for inode, paths in self._names.files.items()}

    def key_without(self, paths: frozenset[str]) -> int | None:
        """The key with only the sizes, not the contents, of the files in `paths`; `None` if they are not all there."""
        names = self.file_names()
        if names is None or not paths <= names.keys():
            return None
        key = self.key
        for path in paths:
            inode = names[path]
            variant, file = self.files.get(inode), self._disk.files[inode]
            content, size = (
                (file.key, len(file.base)) if variant is None else (variant.key, variant.window.size)
            )
            key += size_at(size, path) - content_at(content, path)
        return key

    def losses(self) -> Losses:
        """What this state lost of what was pending."""
        return losses(self._disk, self.wish)

    def _file(self, file: FileState) -> Node:
        variant = self.files.get(file.inode)
        if variant is None:
            mtime = file.mtime_ns if file.mtime_ns is not None else file.base_mtime_ns
            return Node(InodeKind.FILE, mode=file.mode, mtime_ns=mtime, content=bytes(file.base))
        content = file.content_of(variant.window)
        return Node(InodeKind.FILE, mode=file.mode, mtime_ns=variant.mtime_ns, content=content)


class Enumerator:
    """Yields the distinct crash states of `trace` under `model`, counting as it goes.

    `start` is what the client knew before the first event. Crashes before `first_event` are left out,
    and with `within` those in other operations.
    States in `seen` are not yielded again;
    it may be shared, for a crash during recovery leads to states that the first crash led to as well.
    """

    def __init__(
        self,
        trace: Trace,
        model: PersistenceModel,
        *,
        seed: int = 0,
        limits: Limits | None = None,
        start: Knowledge | None = None,
        seen: set[tuple[int, int, int, int]] | None = None,
        first_event: int = -1,
        within: frozenset[int] | None = None,
    ) -> None:
        self.trace = trace
        self.first_event = first_event
        self.within = within
        self.model = model
        self.seed = seed
        self.limits = limits or Limits()
        self.counts = Counts()
        self.seen: set[tuple[int, int, int, int]] = set() if seen is None else seen
        self._start = start or Knowledge()
        self._variants: dict[tuple[int, int, int, int], list[Variant] | None] = {}
        self._trees = Trees()
        self._least: tuple[int, Knowledge] | None = None

    def __iter__(self) -> Iterator[CrashState]:
        for phase in self._phases():
            for state in self._phase(phase):
                yield state
                if self.counts.distinct >= self.limits.states:
                    self.counts.exhausted = False
                    return

    def _phases(self) -> tuple[Phase, ...]:
        match self.model.survival:
            case Survival.ALL_COMPLETED:
                return (Phase.PREFIX,)
            case Survival.ONLY_SYNCED:
                return (Phase.MAXIMUM_LOSS,)
            case Survival.ANY_LEGAL_SUBSET:
                return (Phase.PREFIX, Phase.MAXIMUM_LOSS, Phase.IDEALS)

    # --- walking over the trace ----------------------------------------------------------

    def _phase(self, phase: Phase) -> Iterator[CrashState]:
        disk = Disk(self.trace.base, self.model, self.seed)
        self._variants.clear()
        self._least = None
        self.counts.crash_points = 0
        knowledge = self._start
        yield from self._states(phase, _Point(disk, -1, knowledge, -1))
        for index, event in enumerate(self.trace.events):
            for point in self._points(disk, index, event, knowledge, phase):
                knowledge = point.knowledge
                if self.within is None or event.operation in self.within:
                    self.counts.crash_points += 1
                    yield from self._states(phase, point)
                else:
                    self.counts.exhausted = False

    def _points(
        self, disk: Disk, index: int, event: IoEvent, knowledge: Knowledge, phase: Phase
    ) -> Iterator[_Point]:
        """The crash points that `event` adds: after each of its effects, and where the client learned something.

        A sync only forbids states, and the beginning of an operation only admits more: neither
        adds a state to judge, except that after a sync the maximum loss is another one.
        """
        if event.marker is not None:
            learned = learn(knowledge, event, self.trace)
            interesting = event.marker.kind in (MarkerKind.ACKNOWLEDGE, MarkerKind.FAIL, MarkerKind.OBSERVE)
            if interesting or learned != knowledge:
                yield _Point(disk, index, learned, event.operation, skip=not interesting)
            return
        for effect in self._steps(event):
            disk.apply(effect, index, event.time_ns, event.operation)
            if self.model.survival is Survival.ALL_COMPLETED:
                disk.apply(SyncAll(), index, event.time_ns, event.operation)
            kind = type(effect)
            if kind in _CHANGES or (kind in _SYNCS and phase is Phase.MAXIMUM_LOSS):
                yield _Point(disk, index, knowledge, event.operation)

    def _steps(self, event: IoEvent) -> Iterator[Effect]:
        """The effects of a call; where the process dies, a write is cut at page boundaries of the file."""
        for effect in event.effects:
            if isinstance(effect, WriteData) and self.model.survival is Survival.ALL_COMPLETED:
                yield from pieces(effect)
            else:
                yield effect

    # --- the states of one point ---------------------------------------------------------

    def _states(self, phase: Phase, point: _Point) -> Iterator[CrashState]:
        if point.skip or point.event < self.first_event:
            return
        disk = point.disk
        pending = len(disk.entry_ops) + sum(len(disk.files[inode].items) for inode in disk.pending)
        self.counts.pending_most = max(self.counts.pending_most, pending)
        match phase:
            case Phase.PREFIX:
                yield from self._of_wish(point, everything(disk))
            case Phase.MAXIMUM_LOSS:
                yield from self._maximum_loss(point)
            case Phase.IDEALS:
                yield from self._ideals(point, pending)

    def _maximum_loss(self, point: _Point) -> Iterator[CrashState]:
        """The state of maximum loss, unless it is that of the point before and was yielded there."""
        if self._least == (point.disk.durable_version, point.knowledge):
            self.counts.generated += 1
            return
        wish = nothing(point.disk)
        unforced = not any(any(choice.kept) or choice.sizes for _, choice in wish.files)
        # Next to what was made durable in part, a further change may make a difference.
        plain = unforced and self.model.overwrite is Overwrite.OLD_OR_NEW
        self._least = (point.disk.durable_version, point.knowledge) if plain else None
        yield from self._of_wish(point, wish)

    def _ideals(self, point: _Point, pending: int) -> Iterator[CrashState]:
        if not pending and self.limits.states_per_point:
            self.counts.generated += 1  # one state, every phase yields it
            return
        plan = self._plan(point)
        if plan is not None:
            for mask, tree, lists in plan:
                yield from self._product(point, mask, tree, lists)
            return
        self.counts.exhausted = False
        limit, seed = self.limits.bounded_per_point, self.seed + point.event
        for wish in wishes(point.disk, limit=limit, seed=seed):
            yield from self._of_wish(point, wish)

    def _plan(self, point: _Point) -> list[_Combination] | None:
        """All name maps with the variants of the files they show; `None` if there are too many states."""
        maps = self._trees.of_maps(point.disk)
        if maps is None:
            return None
        plan, total = [], 0
        for names, tree in maps:
            lists = self._lists(point, names, tree)
            if lists is None:
                return None
            total += math.prod(map(len, lists.values()))
            if total > self.limits.states_per_point:
                return None
            plan.append((names.mask, tree, lists))
        return plan

    def _lists(self, point: _Point, names: NameMap, tree: Tree) -> dict[int, list[Variant]] | None:
        before = dict(names.data_before)
        for_all = before.get(ABSENT, -1)
        lists: dict[int, list[Variant]] = {}
        for inode in tree.files:
            file = point.disk.files[inode]
            if file.items:
                choices = self._variants_of(
                    point, file, max(for_all, before.get(inode, -1)), names.sizes_before
                )
                if choices is None:
                    return None
                lists[inode] = choices
        return lists

    def _variants_of(
        self, point: _Point, file: FileState, before: int, sizes_before: int
    ) -> list[Variant] | None:
        first, last = file.items[0].event, file.items[-1].event
        before = -1 if before <= first else before
        sizes_before = min(sizes_before, last + 1)
        key = (file.inode, file.version, before, sizes_before)
        if key not in self._variants:
            if len(self._variants) > 256:
                self._variants.clear()
            self._variants[key] = variants(file, point.disk.garbage, point.operation, before, sizes_before)
        return self._variants[key]

    def _product(
        self, point: _Point, mask: int, tree: Tree, lists: dict[int, list[Variant]]
    ) -> Iterator[CrashState]:
        settled = Settled(point.disk, tree, lists.keys())
        known, seen, counts = point.knowledge, self.seen, self.counts
        knowledge = (known.acknowledged, known.begun, known.synced)
        inodes = list(lists)
        for picked in itertools.product(*lists.values()):
            files = dict(zip(inodes, picked, strict=True))
            counts.generated += 1
            key = settled.key_with(files)
            identity = (key, *knowledge)
            if identity not in seen:
                seen.add(identity)
                counts.distinct += 1
                wish = Wish(mask, tuple([(inode, variant.choice) for inode, variant in files.items()]))
                yield CrashState(point.disk, tree, files, point.event, known, key, wish)

    def _of_wish(self, point: _Point, wish: Wish) -> Iterator[CrashState]:
        disk = point.disk
        tree = self._trees.of_mask(disk, wish.mask)
        lists = {}
        for inode, choice in wish.files:
            if inode in tree.files:
                file, operation = disk.files[inode], point.operation
                filled = with_fills(file, disk.garbage, operation, choice)
                lists[inode] = [variant_of(file, window, picked) for window, picked in filled]
        return self._product(point, wish.mask, tree, lists)


#: Effects after which there is a crash point; and those after which the maximum loss is another one.
_CHANGES = frozenset((WriteData, SetSize, AddEntry, RemoveEntry, RenameEntry, FailedSync))
_SYNCS = frozenset((SyncFile, SyncRange, SyncDirectory, SyncAll))

#: A combination of names with the variants of the files that they show.
_Combination = tuple[int, Tree, dict[int, list[Variant]]]


@dataclass(slots=True)
class _Point:
    """A moment in a trace: after an effect of `event`, with what the client knew."""

    disk: Disk
    event: int
    knowledge: Knowledge
    operation: int
    skip: bool = False


def learn(knowledge: Knowledge, event: IoEvent, trace: Trace) -> Knowledge:
    """What the client knows after a marker."""
    marker = event.marker
    assert marker is not None
    match marker.kind:
        case MarkerKind.BEGIN:
            begun = max(knowledge.begun, marker.operation + 1)
            return Knowledge(knowledge.acknowledged, begun, knowledge.synced)
        case MarkerKind.ACKNOWLEDGE:
            settled = max(knowledge.acknowledged, marker.operation + 1)
            synced = settled if isinstance(trace.operations[marker.operation], Sync) else knowledge.synced
            return Knowledge(settled, knowledge.begun, synced)
        case MarkerKind.OBSERVE:  # whoever was answered by a read has been told as well
            owed = max(knowledge.acknowledged, marker.operation + 1)
            return Knowledge(owed, knowledge.begun, knowledge.synced)
        case MarkerKind.FAIL:
            return Knowledge(marker.operation + 1, knowledge.begun, knowledge.synced)
    return knowledge


def pieces(effect: WriteData) -> Iterator[WriteData]:
    """A write in progress when the process dies is cut at a page boundary of the file, not of the buffer."""
    start = 0
    while start < len(effect.data):
        end = (effect.offset + start) // PAGE_BYTES * PAGE_BYTES + PAGE_BYTES - effect.offset
        yield WriteData(effect.inode, effect.offset + start, effect.data[start:end])
        start = end
