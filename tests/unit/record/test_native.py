"""Native libraries that could sync unseen."""

from __future__ import annotations

import mmap
import struct
import sys
from types import ModuleType

import pytest

from harness.core.trace import Blindness
from harness.record import native
from tests.unit.record.recording import recorded


def elf(*symbols: tuple[str, int], link: int = 1) -> bytes:
    """A library with a dynamic symbol table of (name, section); section 0 is "wanted from elsewhere"."""
    strings, entries = b"\0", bytes(24)
    for name, section in symbols:
        entries += struct.pack("<IBBHQQ", len(strings), 0x12, 0, section, 0, 0)
        strings += name.encode() + b"\0"
    header, tables = 64, 64 + len(entries) + len(strings)
    image = bytearray(b"\x7fELF\x02\x01\x01" + bytes(57))
    struct.pack_into("<Q", image, 0x28, tables)
    struct.pack_into("<HH", image, 0x3A, 64, 2)
    symbol_section = struct.pack("<IIQQQQIIQQ", 0, 11, 0, 0, header, len(entries), link, 0, 8, 24)
    string_section = struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, header + len(entries), len(strings), 0, 0, 1, 0)
    return bytes(image) + entries + strings + symbol_section + string_section


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (elf(("write", 0), ("fsync", 0), ("msync", 0)), ("fsync", "msync")),
        (elf(("sync_file_range", 0)), ("sync_file_range",)),
        (elf(("fsync", 5), ("write", 0)), ()),
        (elf(("my_fsync", 0), ("fsync_all", 0)), ()),
        (elf(("fsync", 0), link=9), ()),
        (b"\x7fELF\x02\x01" + bytes(100), ()),
        (b"\xcf\xfa\xed\xfe ... _fsync\0 ...", ("fsync",)),
        (b"\xcf\xfa\xed\xfe ... fsync ...", ()),
    ],
)
def test_the_symbols_that_a_library_wants(tmp_path, content, expected):
    (tmp_path / "lib.so").write_bytes(content)
    assert native.wanted_syncs(str(tmp_path / "lib.so")) == expected


def test_a_library_that_cannot_be_read_wants_nothing(tmp_path):
    assert native.wanted_syncs(str(tmp_path / "missing.so")) == ()


def test_an_extension_module_that_syncs_is_reported(root, tmp_path, monkeypatch):
    (tmp_path / "fast_store.so").write_bytes(elf(("fsync", 0)))
    module = ModuleType("fast_store")
    module.__file__ = str(tmp_path / "fast_store.so")
    monkeypatch.setitem(sys.modules, "fast_store", module)
    monkeypatch.syspath_prepend(tmp_path)
    with (
        open(module.__file__, "rb") as library,
        mmap.mmap(library.fileno(), 0, access=mmap.ACCESS_READ),  # as the dynamic linker does
        recorded(root, complete=False) as recording,
    ):
        pass
    (unseen,) = recording.trace.unseen
    assert unseen.what is Blindness.HIDDEN_SYNC
    assert unseen.detail == f"the native library {tmp_path.name}/fast_store.so can call fsync"


def test_a_library_that_no_path_entry_holds_is_the_systems(root, tmp_path, monkeypatch):
    (tmp_path / "system.so").write_bytes(elf(("fsync", 0)))
    module = ModuleType("system")
    module.__file__ = str(tmp_path / "system.so")
    monkeypatch.setitem(sys.modules, "system", module)
    with recorded(root):
        pass


def test_without_a_list_of_mappings_the_imported_modules_count(monkeypatch):
    def refuse(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(native.scan, "read_file", refuse)
    assert native.libraries_that_sync() == {}
