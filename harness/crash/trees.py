"""What recovery can see of a crash state: a tree of names, and a key for all that it shows.

Keys are sums of numbers (`harness.crash.pending.summand`), one for each fact: this file has this
content, was changed before that one, and so on. Facts return in most states of a trace, so their
numbers are remembered.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from harness.core.trace import ROOT, InodeKind
from harness.crash.disk import Disk
from harness.crash.namespace import ABSENT, NameMap, name_map, name_maps
from harness.crash.pending import Variant, summand

#: States with more files than this are told apart without the order of their modification times.
RANKED_FILES = 8
#: Facts whose numbers are remembered.
_REMEMBERED = 1 << 14
#: Entries that remembered trees may have, taken together.
_ROOM_ENTRIES = 1 << 16

_DIRECTORY, _SYMLINK, _LINKS, _TIMES, _SIZE = "directory", "symlink", "links", "times", "size"
_ATTRIBUTES = "attributes"


@lru_cache(_REMEMBERED)
def content_at(content: int, path: str) -> int:
    """The file at `path` holds the content with that key."""
    return summand(f"{content} {path}")


@lru_cache(_REMEMBERED)
def size_at(size: int, path: str) -> int:
    """The file at `path` has that size, whatever it holds."""
    return summand(f"{_SIZE} {size} {path}")


@lru_cache(_REMEMBERED)
def _attributes_at(mode: int, mtime_ns: int | None, path: str) -> int:
    return summand(f"{_ATTRIBUTES} {mode} {mtime_ns} {path}")


@lru_cache(_REMEMBERED)
def _changed_in_order(paths: tuple[str, ...]) -> int:
    return summand(f"{_TIMES} {list(paths)}")


@dataclass(slots=True)
class Tree:
    """The tree that a name map shows: directories with their entries, and paths of files."""

    directories: dict[int, dict[str, int]]
    files: dict[int, list[str]]
    others: dict[int, list[str]]
    key: int = 0
    links: bool = False


class Trees:
    """The trees of a disk: the same until an entry changes.

    One for all phases of an enumeration, because the same entries change in the same order in each.
    """

    def __init__(self) -> None:
        self._trees: dict[tuple[int, int], Tree] = {}
        self._entries = 0
        self._maps: list[tuple[NameMap, Tree]] | None = None
        self._maps_version = -1
        self._children: dict[int, dict[str, int]] = {}
        self._children_of: tuple[Disk | None, int] = (None, -1)

    def of_mask(self, disk: Disk, mask: int) -> Tree:
        """The tree after the entry operations of `mask`."""
        tree = self._trees.get((disk.entries_version, mask))
        if tree is None:
            names = name_map(disk.entry_ops, mask, disk.durable, disk.model)
            tree = self._remember(disk, mask, self._tree(disk, names))
        return tree

    def of_maps(self, disk: Disk) -> list[tuple[NameMap, Tree]] | None:
        """All name maps that a crash can leave, with their trees; `None` if they are too many."""
        if self._maps_version != disk.entries_version:
            self._maps_version = disk.entries_version
            maps = name_maps(disk.entry_ops, disk.durable, disk.model)
            self._maps = None if maps is None else [(names, self._of_map(disk, names)) for names in maps]
        return self._maps

    def _of_map(self, disk: Disk, names: NameMap) -> Tree:
        """Not remembered: there may be many, and this phase comes once."""
        return self._trees.get((disk.entries_version, names.mask)) or self._tree(disk, names)

    def _remember(self, disk: Disk, mask: int, tree: Tree) -> Tree:
        if self._entries > _ROOM_ENTRIES:
            self._trees.clear()
            self._entries = 0
        self._trees[disk.entries_version, mask] = tree
        self._entries += 1 + sum(map(len, tree.directories.values()))
        return tree

    def _tree(self, disk: Disk, names: NameMap) -> Tree:
        children = self._durable_children(disk)
        overlay: dict[int, dict[str, int]] = {}
        for (directory, name), inode in names.slots:
            overlay.setdefault(directory, {})[name] = inode
        found = Tree({}, {}, {})
        pending, placed = [(ROOT, "")], {ROOT}
        while pending:
            number, prefix = pending.pop()
            entries = children.get(number, {})
            if number in overlay:
                entries = {**entries, **overlay[number]}
                entries = {name: inode for name, inode in entries.items() if inode != ABSENT}
            found.directories[number] = entries
            for name, inode in entries.items():
                path = prefix + name
                if inode in placed:  # a directory can't be on a disk under two names: the first one holds
                    found.directories[number] = {n: i for n, i in found.directories[number].items() if n != name}
                elif inode in disk.files:
                    paths = found.files.setdefault(inode, [])
                    paths.append(path)
                    found.links = found.links or len(paths) > 1
                elif disk.others[inode].kind is InodeKind.DIRECTORY:
                    found.key += summand(f"{_DIRECTORY} {path}")
                    placed.add(inode)
                    pending.append((inode, path + "/"))
                else:
                    found.others.setdefault(inode, []).append(path)
                    found.key += summand(f"{_SYMLINK} {path} {disk.others[inode].target!r}")
        return found

    def _durable_children(self, disk: Disk) -> dict[int, dict[str, int]]:
        if self._children_of != (disk, disk.entries_version):
            self._children_of = (disk, disk.entries_version)
            self._children = {}
            for (directory, name), inode in disk.durable.items():
                self._children.setdefault(directory, {})[name] = inode
        return self._children


class Settled:
    """What all states with the same names have in common: the files that have nothing pending."""

    __slots__ = ("_key", "_ranked", "_times", "tree")

    def __init__(self, disk: Disk, tree: Tree, pending: Collection[int]) -> None:
        self.tree = tree
        self._ranked = 1 < len(tree.files) <= RANKED_FILES
        self._times: list[tuple[int, str]] = []
        key = tree.key
        for inode, paths in tree.files.items():
            file = disk.files[inode]
            if inode not in pending:
                mtime_ns = file.base_mtime_ns if file.mtime_ns is None else file.mtime_ns
                self._times.append((mtime_ns, paths[0]))
                for path in paths:
                    key += content_at(file.key, path)
            key += _attributes_at(file.mode, file.mtime_ns, paths[0])
            if len(paths) > 1:
                key += summand(f"{_LINKS} {sorted(paths)}")
        self._key = key

    def key_with(self, files: dict[int, Variant]) -> int:
        """What identifies the whole content, with these variants of the pending files."""
        key, paths_of = self._key, self.tree.files
        for inode, variant in files.items():
            for path in paths_of[inode]:
                key += content_at(variant.key, path)
        if self._ranked:
            times = self._times.copy()
            for inode, variant in files.items():
                times.append((variant.mtime_ns, paths_of[inode][0]))
            times.sort()
            key += _changed_in_order(tuple([path for _, path in times]))
        return key
