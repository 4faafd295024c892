"""A small model of a disk that keeps only what was fsynced, independent of the harness.

`Disk` watches one directory: calls pass through, while the model keeps track of what is durable.
After each call it lists the contents that a power cut could leave: any subset of the
directory entries not yet fsynced, and for a file not yet fsynced nothing, garbage or all.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_os_open, _os_write, _os_replace = os.open, os.write, os.replace
_os_unlink, _os_close = os.unlink, os.close

Content = tuple[tuple[str, bytes], ...]  # names and bytes, sorted


@dataclass(frozen=True)
class CrashState:
    """A content that a crash may leave, while `acknowledged` operations had returned, of `begun`."""

    content: Content
    acknowledged: int
    begun: int


@dataclass
class Disk:
    """The model of one flat directory."""

    directory: Path
    durable: dict[str, int] = field(default_factory=dict)
    visible: dict[str, int] = field(default_factory=dict)
    # (name that goes, name that comes, file)
    pending: list[tuple[str, str, int]] = field(default_factory=list)
    data: dict[int, bytes] = field(default_factory=dict)
    synced: dict[int, bytes] = field(default_factory=dict)
    descriptors: dict[int, int] = field(default_factory=dict)
    directories: set[int] = field(default_factory=set)
    states: dict[CrashState, None] = field(default_factory=dict)
    acknowledged: int = 0
    begun: int = 0

    def __post_init__(self) -> None:
        for entry in sorted(self.directory.iterdir()):
            number = len(self.data)
            self.data[number] = self.synced[number] = entry.read_bytes()
            self.durable[entry.name] = self.visible[entry.name] = number

    def run(self, operation: Callable[[], object]) -> None:
        """One operation of a client, from call to return."""
        self.begun += 1
        operation()
        self.acknowledged += 1
        self.look()

    def look(self) -> None:
        """List what a crash at this moment could leave."""
        for content in self._contents():
            self.states[CrashState(content, self.acknowledged, self.begun)] = None

    def _contents(self) -> Iterator[Content]:
        for kept in itertools.product((False, True), repeat=len(self.pending)):
            names = dict(self.durable)
            for gone, come, number in itertools.compress(self.pending, kept):
                if gone:
                    names.pop(gone, None)
                if come:
                    names[come] = number
            files = sorted(names.items())
            choices = [[(name, data) for data in self._versions(number)] for name, number in files]
            yield from itertools.product(*choices)

    def _versions(self, number: int) -> list[bytes]:
        data, synced = self.data[number], self.synced[number]
        if data == synced:
            return [data]
        size = len(data)
        return list(dict.fromkeys((synced, data, data[: size // 2], b"\0" * size, b"Z" * size)))

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Pass the calls through the model. fsync is only modelled: the test needs no medium."""
        for name in ("open", "write", "fsync", "replace", "unlink", "close"):
            patch.setattr(os, name, getattr(self, name))

    # --- the calls that change something -------------------------------------------------------

    def open(self, path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        known = os.path.lexists(path)
        descriptor = _os_open(path, flags, mode, **more)
        if str(path) == str(self.directory):
            self.directories.add(descriptor)
        elif os.path.dirname(path) == str(self.directory):
            self._opened(os.path.basename(path), descriptor, known)
        return descriptor

    def _opened(self, name: str, descriptor: int, known: bool) -> None:
        if not known:
            number = len(self.data)
            self.data[number] = self.synced[number] = b""
            self.visible[name] = number
            self.pending.append(("", name, number))
            self.look()
        self.descriptors[descriptor] = self.visible[name]

    def write(self, descriptor: int, data: Any) -> int:
        written = _os_write(descriptor, data)
        if descriptor in self.descriptors:
            self.data[self.descriptors[descriptor]] += bytes(data[:written])
            self.look()
        return written

    def fsync(self, descriptor: int) -> None:
        if descriptor in self.directories:
            self.durable = dict(self.visible)
            self.pending.clear()
        else:
            number = self.descriptors[descriptor]
            self.synced[number] = self.data[number]
        self.look()

    def replace(self, source: str, target: str) -> None:
        _os_replace(source, target)
        gone, come = os.path.basename(source), os.path.basename(target)
        self.visible[come] = self.visible.pop(gone)
        self.pending.append((gone, come, self.visible[come]))
        self.look()

    def unlink(self, path: str) -> None:
        _os_unlink(path)
        name = os.path.basename(path)
        self.pending.append((name, "", self.visible.pop(name)))
        self.look()

    def close(self, descriptor: int) -> None:
        _os_close(descriptor)
        self.descriptors.pop(descriptor, None)
        self.directories.discard(descriptor)


def put(content: Content, directory: Path) -> Path:
    """Make `directory` hold exactly `content`."""
    directory.mkdir()
    for name, data in content:
        (directory / name).write_bytes(data)
    return directory
