"""Native libraries that could sync files without being seen.

A library counts if it is mapped into this process from a directory on `sys.path` (so an installed
package brought it, the standard library did not) and asks the dynamic linker for a sync function.
The dynamic symbol table of ELF is read (System V ABI, chapter 5); a library in another format is
searched for the names.
"""

from __future__ import annotations

import functools
import os
import re
import struct
import sys

from harness.record import scan
from harness.record.callsite import HARNESS, in_standard_library

SYNC_NAMES = frozenset(("fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync"))
_TELLING_NAMES = SYNC_NAMES - {"sync"}  # too short a word to search for in unknown formats
_ELF_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little endian
_SECTION_DYNSYM = 11
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_LIBRARY = re.compile(r"\.(so|dylib)(\.[0-9.]+)?$")


def libraries_that_sync() -> dict[str, tuple[str, ...]]:
    """Each loaded third-party library that wants sync functions, by path, with their names."""
    wanted = {path: wanted_syncs(path) for path in sorted(_loaded_libraries())}
    return {path: names for path, names in wanted.items() if names}


def _loaded_libraries() -> set[str]:
    found = _mapped_files() or _imported_files()  # an imported library is mapped too
    homes = _homes(tuple(sys.path))
    return {path for path in found if _LIBRARY.search(path) and _is_third_party(path, homes)}


@functools.lru_cache(maxsize=16)
def _homes(entries: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(os.path.realpath(entry or os.curdir) + os.sep for entry in entries)


@functools.lru_cache(maxsize=4096)
def _is_third_party(path: str, homes: tuple[str, ...]) -> bool:
    full = os.path.realpath(path)
    return full.startswith(homes) and not in_standard_library(full) and not full.startswith(HARNESS)


def _imported_files() -> set[str]:
    return {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}


def _mapped_files() -> set[str]:
    try:
        maps = scan.read_file("/proc/self/maps").decode(errors="surrogateescape")
    except OSError:  # another system: the imported modules have to do
        return set()
    return {line.split(maxsplit=5)[5] for line in maps.splitlines() if "/" in line}


@functools.cache
def wanted_syncs(path: str) -> tuple[str, ...]:
    """The sync functions that the library at `path` asks the dynamic linker for, sorted."""
    try:
        data = scan.read_file(path)
    except OSError:
        return ()
    if data.startswith(_ELF_MAGIC):
        return tuple(sorted(_undefined_symbols(data) & SYNC_NAMES))
    return tuple(sorted(name for name in _TELLING_NAMES if b"_" + name.encode() + b"\0" in data))


def _undefined_symbols(data: bytes) -> set[str]:
    """The names in the dynamic symbol table that another library has to define."""
    sections = _sections(data)
    names: set[str] = set()
    for kind, offset, size, link in sections:
        if kind != _SECTION_DYNSYM or link >= len(sections):
            continue
        strings = sections[link][1]
        table = data[offset : offset + size - size % _SYMBOL.size]
        for name, _, _, section, _, _ in _SYMBOL.iter_unpack(table):
            if section == 0 and name:
                start = strings + name
                names.add(data[start : data.find(b"\0", start)].decode(errors="replace"))
    return names


def _sections(data: bytes) -> list[tuple[int, int, int, int]]:
    """Type, offset, size and link of each section."""
    (start,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    if size != _SECTION.size or start + size * count > len(data):
        return []
    headers = (_SECTION.unpack_from(data, start + index * size) for index in range(count))
    return [(header[1], header[4], header[5], header[6]) for header in headers]


