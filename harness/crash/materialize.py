"""Put a crash state into a real directory, writing only what differs from what is there.

States that follow each other differ little, and so does what recovery leaves behind: files are
compared by identity, size and times as they were when they were last put there. A change by a store
shows in the modification time, because those put here lie in the past, or, where it set that time
back, in the time of change, which no call can set.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path

from harness.core.trace import ROOT, Image, InodeKind, Node

#: What a file is called between losing its name and getting it back.
_ASIDE = ".~mixed~"


@dataclass(frozen=True, slots=True)
class _Placed:
    """What was put at one path, and how it looked right afterwards; `links` are all names of the file."""

    node: Node
    links: tuple[str, ...]
    signature: tuple[int, ...]


class Materializer:
    """Keeps `root` equal to the images that it is given, one after another."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self._placed: dict[str, _Placed] = {}

    def place(self, image: Image) -> None:
        """Make the directory hold exactly `image`."""
        wanted = _by_path(image)
        found = self._scan()
        for path in sorted(found, key=len, reverse=True):
            if path not in wanted:
                self._remove(path)
        names = _file_names(wanted)
        for path, (number, node) in wanted.items():
            links = names.get(number, (path,))
            known = self._placed.get(path)
            if links[0] != path:
                self._link(path, links, node, found)
            elif known is None or known.signature != found.get(path) or not _same(known, node, links):
                self._write(path, node, links, path in found)
        self._mix({_folder(path) for path in wanted.keys() - found.keys()}, names)
        self._placed = {
            path: self._settled(path, names.get(number, (path,))) for path, (number, _) in wanted.items()
        }

    def forget(self) -> None:
        """Another process has placed images here: what looks as it was left may be something else."""
        self._placed.clear()

    def changed(self) -> bool:
        """Whether anything is not as `place` left it."""
        found = self._scan()
        return found.keys() != self._placed.keys() or any(
            self._placed[path].signature != signature for path, signature in found.items()
        )

    # --- looking -------------------------------------------------------------------------

    def _scan(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        pending = [("", self.root)]
        while pending:
            prefix, directory = pending.pop()
            with os.scandir(directory) as entries:
                for entry in entries:
                    path = prefix + entry.name
                    found[path] = _signature(entry.stat(follow_symlinks=False))
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((path + "/", entry.path))
        return found

    # --- writing -------------------------------------------------------------------------

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}"

    def _remove(self, path: str) -> None:
        full = self._full(path)
        self._placed.pop(path, None)
        try:
            if stat.S_ISDIR(os.lstat(full).st_mode):
                shutil.rmtree(full)
            else:
                os.unlink(full)
        except FileNotFoundError:
            return  # went away with its directory

    def _write(self, path: str, node: Node, links: tuple[str, ...], exists: bool) -> None:
        full = self._full(path)
        if exists and not (node.kind is InodeKind.FILE and _is_single_file(full)):
            if node.kind is not InodeKind.DIRECTORY or not os.path.isdir(full) or os.path.islink(full):
                self._remove(path)
                exists = False
        match node.kind:
            case InodeKind.FILE:
                _write_file(full, node)
            case InodeKind.DIRECTORY:
                if not exists:
                    os.mkdir(full)
                os.chmod(full, node.mode | 0o700)
            case InodeKind.SYMLINK:
                os.symlink(node.target, full)
        self._remember(path, node, links)

    def _link(
        self, path: str, links: tuple[str, ...], node: Node, found: dict[str, tuple[int, ...]]
    ) -> None:
        """A further name of a file: made anew unless both names are as they were left."""
        known = self._placed.get(path)
        intact = known is not None and known.links == links and found.get(path) == known.signature
        if intact and os.path.samefile(self._full(path), self._full(links[0])):
            return
        self._remove(path)
        os.link(self._full(links[0]), self._full(path))
        self._remember(path, node, links)

    def _mix(self, folders: set[str], names: dict[int, tuple[str, ...]]) -> None:
        """Give the files in `folders` an order as if by chance, the same every time for the same names.

        File systems in memory list by age, so that a store which takes the order of readdir(3) for that of time would
        never be wrong there. A new name is a new entry.
        """
        paths = [path for paths in names.values() for path in paths if _folder(path) in folders]
        if len(paths) < 2 or any(path.endswith(_ASIDE) for path in paths):
            return
        for path in sorted(paths, key=lambda path: zlib.crc32(os.fsencode(path))):
            full, aside = self._full(path), self._full(f"{_folder(path)}/{_ASIDE}")
            os.rename(full, aside)
            os.rename(aside, full)
            placed = self._placed[path]
            self._remember(path, placed.node, placed.links)

    def _remember(self, path: str, node: Node, links: tuple[str, ...]) -> None:
        signature = _signature(os.lstat(self._full(path)))
        self._placed[path] = _Placed(node, links, signature)

    def _settled(self, path: str, links: tuple[str, ...]) -> _Placed:
        """What is at `path`; a name that came or went has changed how the file's other names look."""
        placed = self._placed[path]
        if len(links) == 1:
            return placed
        return _Placed(placed.node, links, _signature(os.lstat(self._full(path))))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _by_path(image: Image) -> dict[str, tuple[int, Node]]:
    return {path: (number, image.nodes[number]) for path, number in image.paths().items() if number != ROOT}


def _file_names(wanted: dict[str, tuple[int, Node]]) -> dict[int, tuple[str, ...]]:
    """All paths of each file, in order."""
    names: dict[int, tuple[str, ...]] = {}
    for path, (number, node) in wanted.items():
        if node.kind is InodeKind.FILE:
            names[number] = (*names.get(number, ()), path)
    return names


def _same(known: _Placed, node: Node, links: tuple[str, ...]) -> bool:
    """Entries of a directory are compared path by path, so they don't count here.

    A file that had several names is only the same with the same names: else it may still be
    shared with what is another file now.
    """
    old = known.node
    return (
        (known.links == links or len(known.links) == 1)
        and old.kind is node.kind
        and old.content == node.content
        and old.mode == node.mode
        and old.mtime_ns == node.mtime_ns
        and old.target == node.target
        and old.attributes == node.attributes
    )


def _signature(status: os.stat_result) -> tuple[int, ...]:
    if stat.S_ISDIR(status.st_mode):
        return (status.st_ino, status.st_mode)
    return (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _is_single_file(full: str) -> bool:
    status = os.lstat(full)
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _write_file(full: str, node: Node) -> None:
    try:
        descriptor = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except PermissionError:  # read-only from an earlier state
        os.unlink(full)
        descriptor = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        rest = memoryview(node.content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        _set_attributes(descriptor, dict(node.attributes))
        os.fchmod(descriptor, node.mode)
        os.utime(descriptor, ns=(node.mtime_ns, node.mtime_ns))
    finally:
        os.close(descriptor)


def _set_attributes(descriptor: int, wanted: dict[str, bytes]) -> None:
    """Give a file the extended attributes that are `wanted`, and no others that users may set."""
    for name in _attribute_names(descriptor):
        if name.startswith("user.") and name not in wanted:
            os.removexattr(descriptor, name)
    for name, value in wanted.items():
        os.setxattr(descriptor, name, value)


def _attribute_names(descriptor: int) -> list[str]:
    if not hasattr(os, "listxattr"):
        return []
    try:
        return os.listxattr(descriptor)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise
