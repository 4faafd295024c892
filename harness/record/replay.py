"""What a trace leaves behind when nothing is lost, and whether two directories are the same.

Pure functions over values of `harness.core`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from harness.core.trace import (
    AddEntry,
    Effect,
    FailedSync,
    Image,
    InodeKind,
    NewInode,
    Node,
    RemoveEntry,
    RenameEntry,
    SetMode,
    SetSize,
    SetTimes,
    Trace,
    WriteData,
)


class _Disk:
    """Inodes that can be changed. Contents are byte arrays, so that many appends stay cheap."""

    def __init__(self, base: Image) -> None:
        self.nodes = {
            number: dataclasses.replace(node, entries=dict(node.entries))
            for number, node in base.nodes.items()
        }
        self.contents: dict[int, bytearray] = {}
        self.times: dict[int, int] = {}

    def content(self, inode: int) -> bytearray:
        if inode not in self.contents:
            self.contents[inode] = bytearray(self.nodes[inode].content)
        return self.contents[inode]

    def image(self) -> Image:
        return Image({number: self._finished(number, node) for number, node in self.nodes.items()})

    def _finished(self, number: int, node: Node) -> Node:
        content = self.contents.get(number)
        return dataclasses.replace(
            node,
            content=node.content if content is None else bytes(content),
            mtime_ns=self.times.get(number, node.mtime_ns),
        )


def replay(trace: Trace) -> Image:
    """The directory after all events of `trace` on its base.

    Inodes without a name stay in the image. Modification times are those of the events, in
    nanoseconds, except where the store set one. Raises `KeyError` for an effect on an inode that
    the trace never created.
    """
    disk = _Disk(trace.base)
    for event in trace.events:
        for effect in event.effects:
            _apply(disk, effect, event.time_ns)
    return disk.image()


def content_after(effects: Iterable[Effect]) -> bytes:
    """The content of a file that begins empty, after those of `effects` that change content."""
    content = bytearray()
    for effect in effects:
        if isinstance(effect, WriteData):
            _write(content, effect.offset, effect.data)
        elif isinstance(effect, SetSize):
            _resize(content, effect.size)
    return bytes(content)


def _apply(disk: _Disk, effect: Effect, time_ns: int) -> None:
    match effect:
        case WriteData(inode, offset, data):
            _write(disk.content(inode), offset, data)
            disk.times[inode] = time_ns
        case SetSize(inode, size):
            _resize(disk.content(inode), size)
            disk.times[inode] = time_ns
        case FailedSync(inode, reverted):
            if reverted is not None:
                disk.content(inode)[:] = reverted
        case NewInode(inode, kind, mode, target):
            disk.nodes[inode] = Node(kind, mode=mode, mtime_ns=time_ns, target=target)
        case SetMode(inode, mode):
            disk.nodes[inode] = dataclasses.replace(disk.nodes[inode], mode=mode)
        case SetTimes(inode, mtime_ns):
            disk.times[inode] = mtime_ns
        case _:
            _apply_entry(disk, effect, time_ns)


def _apply_entry(disk: _Disk, effect: Effect, time_ns: int) -> None:
    match effect:
        case AddEntry(directory, name, inode):
            disk.nodes[directory].entries[name] = inode
            disk.times[directory] = time_ns
        case RemoveEntry(directory, name):
            del disk.nodes[directory].entries[name]
            disk.times[directory] = time_ns
        case RenameEntry(source_directory, source_name, directory, name, inode):
            del disk.nodes[source_directory].entries[source_name]
            disk.nodes[directory].entries[name] = inode
            disk.times[source_directory] = disk.times[directory] = time_ns
        case _:  # syncs change nothing when nothing is lost
            return


def _write(content: bytearray, offset: int, data: bytes) -> None:
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def same_image(left: Image, right: Image) -> str | None:
    """The first difference between two directories in words, or `None`.

    Compares names, kinds, contents, targets of symlinks, permission bits and which names are
    hard links of one file; not times, and not inode numbers.
    """
    ours, theirs = left.paths(), right.paths()
    for path in sorted(ours.keys() | theirs.keys()):
        if path not in theirs:
            return f"{path} is only in the first"
        if path not in ours:
            return f"{path} is only in the second"
        difference = _node_difference(path, left.nodes[ours[path]], right.nodes[theirs[path]])
        if difference is not None:
            return difference
    return _link_difference(ours, theirs)


def _node_difference(path: str, left: Node, right: Node) -> str | None:
    if left.kind is not right.kind:
        return f"{path} is a {left.kind.value} in the first and a {right.kind.value} in the second"
    if left.content != right.content:
        return f"{path} differs: {_content_difference(left.content, right.content)}"
    if left.target != right.target:
        return f"{path} points to {left.target!r} in the first and to {right.target!r} in the second"
    if left.kind is not InodeKind.SYMLINK and left.mode != right.mode:
        return f"{path} has mode {left.mode:04o} in the first and {right.mode:04o} in the second"
    return None


def _content_difference(left: bytes, right: bytes) -> str:
    if len(left) != len(right):
        return f"{len(left)} bytes in the first, {len(right)} bytes in the second"
    at = next(index for index, (one, other) in enumerate(zip(left, right, strict=True)) if one != other)
    return f"byte {at} of {len(left)} is {left[at]:#04x} in the first and {right[at]:#04x} in the second"


def _link_difference(ours: dict[str, int], theirs: dict[str, int]) -> str | None:
    first_ours: dict[int, str] = {}
    first_theirs: dict[int, str] = {}
    for path in sorted(ours):
        one = first_ours.setdefault(ours[path], path)
        other = first_theirs.setdefault(theirs[path], path)
        if one != other:
            where, twin = ("first", one) if one != path else ("second", other)
            return f"{path} is a hard link of {twin} only in the {where}"
    return None
