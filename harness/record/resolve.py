"""From the raw log to the events of a trace: effects, call sites, and what a reader sees.

What was written outside is kept aside, for each inode, until the inode comes in by a rename or a
link: then its whole past becomes part of that one event, so that it is synced exactly as far as
it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from harness.core.trace import (
    ROOT,
    AddEntry,
    Effect,
    FailedSync,
    Image,
    InodeKind,
    IoEvent,
    Marker,
    NewInode,
    RemoveEntry,
    RenameEntry,
    SetMode,
    SetSize,
    SetTimes,
    SyncAll,
    SyncDirectory,
    SyncFile,
    SyncRange,
    WriteData,
)
from harness.record import log
from harness.record.callsite import CallSites
from harness.record.log import HEADER, Arrival, Record
from harness.record.replay import content_after


class Names:
    """The path of each inode at the moment of an event; an unlinked file keeps its last one."""

    def __init__(self, base: Image) -> None:
        self._links: dict[int, list[tuple[int, str]]] = {}
        self._last: dict[int, tuple[int, str]] = {}
        self._paths: dict[int, str] = {}
        for number, node in base.nodes.items():
            for name, child in node.entries.items():
                self.add(number, name, child)

    def add(self, parent: int, name: str, number: int) -> None:
        self._paths.clear()
        self._links.setdefault(number, []).append((parent, name))
        self._last[number] = (parent, name)

    def remove(self, parent: int, name: str, number: int) -> None:
        self._paths.clear()
        links = self._links.get(number, [])
        if (parent, name) in links:
            links.remove((parent, name))
        if links:
            self._last[number] = links[-1]

    def path(self, number: int) -> str:
        """Relative to the directory; "." for the directory itself, "?" for a file that never had a name."""
        if number not in self._paths:
            self._paths[number] = self._joined(number)
        return self._paths[number]

    def _joined(self, number: int) -> str:
        if number == ROOT:
            return "."
        parts: list[str] = []
        while number != ROOT and len(parts) < 100:  # a limit, lest a cycle of old names hangs us
            if number not in self._last:
                return "/".join(("?", *reversed(parts)))
            number, name = self._last[number]
            parts.append(name)
        return "/".join(reversed(parts))

    def join(self, parent: int, name: str) -> str:
        return name if parent == ROOT else f"{self.path(parent)}/{name}"


class Resolver:
    """Walks through a log once; see `events`."""

    def __init__(self, base: Image) -> None:
        self._sites = CallSites()
        self._names = Names(base)
        self._kinds = {number: node.kind for number, node in base.nodes.items()}
        self._outside: dict[int, list[Effect]] = {}
        self._methods: dict[int, Any] = {
            log.WRITE: self._write,
            log.SIZE: self._size,
            log.SYNC: self._sync,
            log.SYNC_ALL: self._sync_all,
            log.FAILED_SYNC: self._failed_sync,
            log.CREATE: self._create,
            log.REMOVE: self._remove,
            log.RENAME: self._rename,
            log.LINK: self._link,
            log.ARRIVE: self._arrive,
            log.MODE: self._mode,
            log.TIMES: self._times,
        }

    def events(self, records: Iterable[Record]) -> Iterator[IoEvent]:
        """One event for each record that concerns the directory, in order."""
        for record in records:
            kind, call, code, instruction, time_ns, operation, thread = record[:HEADER]
            payload = record[HEADER:]
            if kind == log.MARK:
                marker = Marker(payload[0], operation)
                yield IoEvent(call, None, time_ns, operation, (), payload[0].value, marker, thread)
                continue
            effects, detail = self._note(*payload) if kind == log.NOTE else self._methods[kind](*payload)
            if effects or kind == log.NOTE:
                site = self._sites.resolve(code, instruction)
                yield IoEvent(call, site, time_ns, operation, tuple(effects), detail, None, thread)

    def _on(self, number: int, *effects: Effect) -> tuple[Effect, ...]:
        """`effects` on an inode of the trace; on others they wait until it comes in."""
        if number in self._kinds:
            return effects
        self._outside.setdefault(number, []).extend(effects)
        return ()

    # --- one method for each kind of record: effects and detail ----------------------------

    def _note(self, text: str, number: int | None) -> tuple[tuple[Effect, ...], str]:
        return (), text if number is None else f"{self._names.path(number)}: {text}"

    def _write(
        self, number: int, offset: int, data: bytes, durable: bool
    ) -> tuple[tuple[Effect, ...], str]:
        effects: tuple[Effect, ...] = (WriteData(number, offset, data),)
        if durable:
            effects = (*effects, SyncRange(number, offset, len(data)))
        if number not in self._kinds:
            return self._on(number, *effects), ""
        return effects, f"{self._names.path(number)}, {len(data)} bytes at {offset}"

    def _size(self, number: int, size: int) -> tuple[tuple[Effect, ...], str]:
        return self._on(number, SetSize(number, size)), f"{self._names.path(number)} to {size} bytes"

    def _sync(self, number: int, entries: bool) -> tuple[tuple[Effect, ...], str]:
        path = self._names.path(number)
        if self._kinds.get(number) is InodeKind.DIRECTORY:
            # fdatasync too: the entries are what a directory has for data
            return (SyncDirectory(number),), path
        return self._on(number, SyncFile(number, entries)), path

    def _failed_sync(self, number: int, text: str) -> tuple[tuple[Effect, ...], str]:
        return self._on(number, FailedSync(number)), f"{self._names.path(number)}: {text}"

    def _sync_all(self) -> tuple[tuple[Effect, ...], str]:
        for number, effects in self._outside.items():
            effects.append(SyncFile(number, True))
        return (SyncAll(),), ""

    def _create(
        self, number: int, kind: InodeKind, mode: int, parent: int | None, name: str, target: str
    ) -> tuple[tuple[Effect, ...], str]:
        new = NewInode(number, kind, mode, target)
        if parent is None:
            self._outside[number] = [new]
            return (), ""
        self._kinds[number] = kind
        if not name:
            return (new,), f"a file without a name in {self._names.path(parent)}, mode {mode:04o}"
        self._names.add(parent, name, number)
        path = self._names.join(parent, name)
        detail = f"{path} -> {target}" if kind is InodeKind.SYMLINK else f"{path}, mode {mode:04o}"
        return (new, AddEntry(parent, name, number)), detail

    def _remove(self, parent: int, name: str, number: int) -> tuple[tuple[Effect, ...], str]:
        path = self._names.join(parent, name)
        self._names.remove(parent, name, number)
        return (RemoveEntry(parent, name, number),), path

    def _rename(
        self, from_parent: int, from_name: str, parent: int, name: str, number: int, replaced: int | None
    ) -> tuple[tuple[Effect, ...], str]:
        detail = f"{self._names.join(from_parent, from_name)} -> {self._names.join(parent, name)}"
        if replaced is not None:
            self._names.remove(parent, name, replaced)
        self._names.remove(from_parent, from_name, number)
        self._names.add(parent, name, number)
        return (RenameEntry(from_parent, from_name, parent, name, number, replaced),), detail

    def _link(self, parent: int, name: str, number: int) -> tuple[tuple[Effect, ...], str]:
        detail = f"{self._names.path(number)} -> {self._names.join(parent, name)}"
        self._names.add(parent, name, number)
        return (AddEntry(parent, name, number),), detail

    def _arrive(
        self, parent: int, name: str, number: int, arrivals: list[Arrival]
    ) -> tuple[tuple[Effect, ...], str]:
        effects: list[Effect] = []
        for arrival in arrivals:
            if arrival.number not in self._kinds:
                effects.extend(self._past(arrival))
                self._kinds[arrival.number] = arrival.kind
            if arrival.parent is not None:
                self._names.add(arrival.parent, arrival.name, arrival.number)
                effects.append(AddEntry(arrival.parent, arrival.name, arrival.number))
        effects.append(AddEntry(parent, name, number))
        self._names.add(parent, name, number)
        return tuple(effects), f"from outside -> {self._names.join(parent, name)}"

    def _past(self, arrival: Arrival) -> list[Effect]:
        """How an inode came to hold what it did when it arrived."""
        past = self._outside.pop(arrival.number, [])
        number, kind = arrival.number, arrival.kind
        if kind is not InodeKind.FILE:
            return [NewInode(number, kind, arrival.mode, arrival.target)]
        if past and isinstance(past[0], NewInode) and content_after(past) == arrival.content:
            return past
        # Not all of its past was seen. What was there before the recording counts as durable.
        data: list[Effect] = [WriteData(number, 0, arrival.content)] if arrival.content else []
        changed = [isinstance(effect, WriteData | SetSize) for effect in past]
        synced = [isinstance(effect, SyncFile) for effect in past]
        if not any(changed) or any(synced[len(changed) - changed[::-1].index(True) :]):
            data.append(SyncFile(number, True))
        return [NewInode(number, kind, arrival.mode), *data]

    def _mode(self, number: int, mode: int) -> tuple[tuple[Effect, ...], str]:
        return self._on(number, SetMode(number, mode)), f"{self._names.path(number)}, mode {mode:04o}"

    def _times(self, number: int, mtime_ns: int) -> tuple[tuple[Effect, ...], str]:
        return self._on(number, SetTimes(number, mtime_ns)), f"{self._names.path(number)}, {mtime_ns} ns"
