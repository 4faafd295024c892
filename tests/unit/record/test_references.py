"""References to the real functions that were made before the patch."""

from __future__ import annotations

import builtins
import gc
import io
import os
import subprocess
import sys
import tempfile
import types

import pytest

from harness.record import get_ready, install, originals, patches, rebind, uninstall
from harness.record.references import Rebinding
from tests.unit.record.programs import PROJECT, kinds, run_store

EARLY = """
import os as system
from os import fsync, open as os_open, close, replace, O_RDONLY
from builtins import open as opened
import io
"""

USES = {
    "a name in a module": "def sync(fd): fsync(fd)",
    "a class attribute": "class Store:\n    _sync = fsync\ndef sync(fd): Store()._sync(fd)",
    "an instance attribute": (
        "class Store:\n    def __init__(self): self.sync = fsync\nSTORE = Store()\ndef sync(fd): STORE.sync(fd)"
    ),
    "a slot": (
        "class Store:\n    __slots__ = ('sync',)\nSTORE = Store()\nSTORE.sync = fsync\n"
        "def sync(fd): STORE.sync(fd)"
    ),
    "a frozen value": (
        "import dataclasses\n@dataclasses.dataclass(frozen=True, slots=True)\n"
        "class Calls:\n    sync: object\nCALLS = Calls(fsync)\ndef sync(fd): CALLS.sync(fd)"
    ),
    "a closure": "def make(call):\n    def sync(fd): call(fd)\n    return sync\nsync = make(fsync)",
    "a default argument": "def sync(fd, *, x=1, call=fsync): call(fd)",
    "a positional default": "def sync(fd, call=fsync): call(fd)",
    "a dictionary": "CALLS = {'sync': fsync}\ndef sync(fd): CALLS['sync'](fd)",
    "a dictionary with ways of its own": (
        "class Own(dict):\n"
        "    def get(self, key, default=None): raise TypeError('not a class')\n"
        "    def items(self): raise TypeError('not now')\n"
        "    __setitem__ = __contains__ = get\n"
        "CALLS = Own(sync=fsync)\ndef sync(fd): CALLS['sync'](fd)"
    ),
    "a list": "CALLS = [fsync]\ndef sync(fd): CALLS[0](fd)",
    "a set": "def sync(fd): fsync(fd)\nKNOWN = {fsync}",
    "a method default": (
        "class Store:\n    def sync(self, fd, call=fsync): call(fd)\ndef sync(fd): Store().sync(fd)"
    ),
}

RUN = """
def run(root):
    with opened(root / "f.tmp", "w") as stream:
        stream.write("x")
        stream.flush()
        sync(stream.fileno())
    replace(root / "f.tmp", root / "f")
    fd = os_open(root, O_RDONLY)
    sync(fd)
    close(fd)
"""
EXPECTED = ["open", "write", "os.fsync", "os.replace", "os.fsync"]


@pytest.mark.parametrize("use", USES, ids=str)
def test_a_reference_from_before_is_rebound(tmp_path, use):
    found = run_store(tmp_path, EARLY + USES[use] + RUN, early="store")
    assert [call for call, _ in found["events"]] == EXPECTED
    assert found["unseen"] == []


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("CALLS = (fsync, 1)\ndef sync(fd): CALLS[0](fd)", "a tuple of store keeps the original fsync"),
        (
            "import functools\npart = functools.partial(fsync)\ndef sync(fd): part(fd)",
            "a partial of store keeps the original fsync",
        ),
        (
            "class Store:\n    sync = staticmethod(fsync)\ndef sync(fd): Store.sync(fd)",
            "a staticmethod of store keeps the original fsync",
        ),
        (
            "import weakref\nclass Store: pass\nSTORE = Store()\nend = iter(fsync, None)\ndef sync(fd): fsync(fd)",
            "a callable_iterator of store keeps the original fsync",
        ),
        (
            "class Meta(type):\n"
            "    def __setattr__(self, name, value): raise TypeError(name)\n"
            "class Store(metaclass=Meta):\n    sync = fsync\n"
            "def sync(fd): Store.sync(fd)",
            "a dict of store keeps the original fsync",
        ),
        (
            "class Raw(io.FileIO): pass\ndef sync(fd): fsync(fd)",
            "a type of store keeps the original FileIO",
        ),
    ],
)
def test_what_cannot_be_rebound_is_reported(tmp_path, use, words):
    found = run_store(tmp_path, EARLY + use + RUN, early="store")
    assert kinds(found) == ["UNPATCHED_REFERENCE"]
    assert found["unseen"][0][1] == words


def test_the_same_imported_afterwards_is_fine(tmp_path):
    use = "import functools\nCALLS = (functools.partial(fsync),)\ndef sync(fd): CALLS[0](fd)"
    found = run_store(tmp_path, EARLY + use + RUN)
    assert found["unseen"] == []
    assert [call for call, _ in found["events"]] == EXPECTED


def test_what_is_frozen_is_found_all_the_same():
    """Workers freeze what they have imported."""

    def old() -> None: ...
    def new() -> None: ...

    holder = {"name": old}
    gc.freeze()
    try:
        Rebinding([(old, new)]).run()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
    assert holder["name"] is new


def test_tuples_of_the_standard_library_and_installed_tools_are_no_reason(tmp_path):
    found = run_store(tmp_path, "def run(root): pass", early="tempfile,shutil,pathlib,asyncio,zipfile,rich.console")
    assert found["unseen"] == []


def test_the_standard_library_uses_the_patched_functions():
    import bz2
    import gzip
    import tokenize

    assert tempfile._os.open is os.open
    assert gzip.builtins.open is io.open is builtins.open
    assert bz2._builtin_open is builtins.open
    assert tokenize._builtin_open is builtins.open
    assert os.open is not originals.open
    assert subprocess._fork_exec.__name__ == "fork_exec"
    assert rebind() == rebind()


def test_uninstall_puts_everything_back():
    program = (
        "import os, io, builtins, subprocess, fcntl, sys\n"
        "from os import fsync\n"
        "class Store:\n    sync = os.fsync\n"
        "names = lambda: tuple(map(repr, (os.open, open, io.open, fcntl.fcntl, fsync, os.fork)))\n"
        "before = (*names(), repr(subprocess._fork_exec))\n"
        "supported, finders = sorted(map(repr, os.supports_dir_fd)), list(sys.meta_path)\n"
        "from harness.record import install, uninstall\n"
        "install()\n"
        "assert not set(before) & set(names())\n"
        "assert fsync is os.fsync is Store.sync\n"
        "uninstall()\n"
        "uninstall()\n"
        "assert (*names(), repr(subprocess._fork_exec)) == before\n"
        "assert type(io.FileIO) is type\n"
        "assert type(Store.sync).__name__ == 'builtin_function_or_method'\n"
        "assert sorted(map(repr, os.supports_dir_fd)) == supported and list(sys.meta_path) == finders\n"
        "open(os.devnull, 'w').close()\n"
        "install()\n"
        "assert type(fsync).__name__ == 'method'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=PROJECT)


def test_this_process_can_be_left_and_patched_again():
    install()  # another test may have uninstalled
    patched = os.fsync
    uninstall()
    assert os.fsync is originals.fsync
    assert rebind() == []
    install()
    assert os.fsync == patched


def test_nothing_is_searched_again_for_what_is_forked_after_get_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a module that is imported later makes the next recording look for references."""
    install()
    get_ready()
    assert not patches.has_new_modules()
    monkeypatch.setitem(sys.modules, "a_module_imported_later", types.ModuleType("a_module_imported_later"))
    assert patches.has_new_modules()
    get_ready()
    assert not patches.has_new_modules()
