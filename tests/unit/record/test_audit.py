"""The audit hook, called as the interpreter calls it; coverage does not see that, and `test_unseen` does it."""

from __future__ import annotations

import os

import pytest

from harness.core.trace import Blindness
from harness.record import audit
from tests.unit.record.recording import recorded


@pytest.fixture(autouse=True)
def fresh_witness():
    audit.WITNESS.clear()
    yield
    audit.WITNESS.clear()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fsync", [Blindness.HIDDEN_SYNC]),
        (b"sync_file_range", [Blindness.HIDDEN_SYNC]),
        ("pwrite", [Blindness.FOREIGN_IO]),
        ("strlen", []),
        (7, []),
    ],
)
def test_symbols(name, expected):
    audit.hook("ctypes.dlsym", (object(), name))
    assert [what for what, _ in audit.WITNESS.lookups] == expected


def test_symbols_looked_up_by_the_standard_library_do_not_count():
    library = os.path.dirname(os.__file__)
    for path in (os.__file__, library + "/ctypes/__init__.py"):
        exec(compile("hook('ctypes.dlsym', (None, 'fsync'))", path, "exec"), {"hook": audit.hook})
    assert len(audit.WITNESS.lookups) == 1
    assert "in test_symbols_looked_up" in next(iter(audit.WITNESS.lookups))[1]


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        (":memory:", []),
        ("", []),
        (b"/a/b", ["/a/b"]),
        ("file:/a/b%20c?mode=ro", ["/a/b c"]),
        ("file:///a/b", ["/a/b"]),
        ("file::memory:?cache=shared&mode=memory", []),
    ],
)
def test_databases(database, expected):
    audit.hook("sqlite3.connect", (database,))
    assert list(audit.WITNESS.databases) == expected
    assert audit.databases_inside("/a") == expected
    assert audit.databases_outside("/x") == expected


def test_mappings_count_if_they_can_be_written(root):
    (root / "f").write_bytes(b"x")
    (root.parent / "other").write_bytes(b"x")
    with recorded(root, complete=False) as recording:
        for path, flags, access in (
            (root / "f", os.O_RDWR, 1),
            (root / "f", os.O_RDONLY, 0),
            (root.parent / "other", os.O_RDWR, 0),
        ):
            descriptor = os.open(path, flags)
            audit.hook("mmap.__new__", (descriptor, 1, access, 0))
            os.close(descriptor)
        audit.hook("mmap.__new__", (-1, 1, 0, 0))
        assert list(audit.WITNESS.incidents) == []
        descriptor = os.open(root / "f", os.O_RDWR)
        audit.hook("mmap.__new__", (descriptor, 1, 2, 0))
        os.close(descriptor)
    assert [unseen.what for unseen in recording.trace.unseen] == [Blindness.WRITABLE_MAPPING]
    assert "through a mapping is not recorded" in recording.trace.unseen[0].remedy


def test_an_event_that_cannot_be_judged_is_itself_a_reason():
    audit.hook("sqlite3.connect", (object(),))
    assert list(audit.WITNESS.incidents) == [(Blindness.FOREIGN_IO, "sqlite3.connect could not be judged")]


def test_other_events_and_inactive_times_are_ignored(monkeypatch):
    audit.hook("open", ("x", "r", 0))
    audit.hook("mmap.__new__", (0, 1, 0, 0))
    monkeypatch.setattr(audit.WITNESS, "active", False)
    audit.hook("sqlite3.connect", ("/a",))
    assert not audit.WITNESS.databases and not audit.WITNESS.incidents


def test_the_hook_comes_with_the_modules_that_need_it(monkeypatch):
    added = []
    monkeypatch.setattr(audit.sys, "addaudithook", added.append)
    watch = audit.ImportWatch()
    assert watch.find_spec("json") is None
    assert added == []
    assert watch.find_spec("_ctypes") is None
    watch.find_spec("mmap")
    assert added == [audit.hook]


def test_a_place_that_is_not_known_is_said_to_be_unknown():
    assert audit.site_text(None) == "an unknown place"
