"""What the recorder can't see is said; what is harmless is not."""

from __future__ import annotations

import pytest

from tests.unit.record.programs import kinds, run_store

SAVE = """
import os
def save(root, data="x"):
    with open(root / "f", "w") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import ctypes\nlibc = ctypes.CDLL(None)\ndef run(root): libc.fsync", ["HIDDEN_SYNC"]),
        ("import ctypes\nsync = ctypes.CDLL(None).fdatasync\ndef run(root): pass", ["HIDDEN_SYNC"]),
        ("import ctypes\nsync = ctypes.CDLL(None)['msync']\ndef run(root): pass", ["HIDDEN_SYNC"]),
        (
            "import ctypes\nsync = ctypes.CFUNCTYPE(ctypes.c_int)(('syncfs', ctypes.CDLL(None)))\ndef run(root): pass",
            ["HIDDEN_SYNC"],
        ),
        ("import ctypes\nwrite = ctypes.CDLL(None).pwrite\ndef run(root): pass", ["FOREIGN_IO"]),
        (
            "import ctypes, os\n"
            "def run(root):\n"
            "    ctypes.CDLL(None).rename(os.fsencode(root / 'a'), os.fsencode(root / 'b'))",
            ["FOREIGN_IO"],
        ),
        (
            "import sqlite3\n"
            "def run(root):\n"
            "    db = sqlite3.connect(root / 'db')\n"
            "    db.execute('create table t (x)')\n"
            "    db.close()",
            ["FOREIGN_IO", "REPLAY_DIFFERS"],
        ),
        (
            "import sqlite3\n"
            "def run(root):\n"
            "    sqlite3.connect(f'file:{root}/a%20b?mode=rwc', uri=True).close()",
            ["FOREIGN_IO", "REPLAY_DIFFERS"],
        ),
        (
            "import mmap, os\n"
            "def run(root):\n"
            "    with open(root / 'f', 'w+b') as stream:\n"
            "        stream.write(b'x' * 100)\n"
            "        stream.flush()\n"
            "        with mmap.mmap(stream.fileno(), 100) as view:\n"
            "            view[0] = 1\n",
            ["WRITABLE_MAPPING", "REPLAY_DIFFERS"],
        ),
        ("import ctypes\nmark = ctypes.CDLL(None).fsetxattr\ndef run(root): pass", ["FOREIGN_IO"]),
        ("import os\ndef run(root): os.system('true')", ["CHILD_PROCESS"]),
        ("import subprocess\ndef run(root): subprocess.run(['true'])", ["CHILD_PROCESS"]),
        ("import os\ndef run(root): os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)", ["CHILD_PROCESS"]),
        ("import os\ndef run(root): os.waitpid(os.posix_spawnp('true', ['true'], {}), 0)", ["CHILD_PROCESS"]),
        (
            "import os\n"
            "def run(root):\n"
            "    child = os.fork()\n"
            "    if not child:\n"
            "        try: os.execv('/bin/true', ['true'])\n"
            "        finally: os._exit(1)\n"
            "    os.waitpid(child, 0)",
            ["CHILD_PROCESS"],
        ),
        (
            "import os\n"
            "def run(root):\n"
            "    for name in ('execv', 'execve'):\n"
            "        try: getattr(os, name)('/no/such/program', ['x'], *([{}] if name == 'execve' else []))\n"
            "        except FileNotFoundError: pass",
            ["CHILD_PROCESS", "CHILD_PROCESS"],
        ),
        (
            "import os\n"
            "def run(root):\n"
            "    child, leader = os.forkpty()\n"
            "    if not child: os._exit(0)\n"
            "    os.waitpid(child, 0)",
            ["CHILD_PROCESS"],
        ),
        (
            "import subprocess\ndef run(root): subprocess.run(['touch', str(root / 'f')])",
            ["CHILD_PROCESS", "REPLAY_DIFFERS"],
        ),
        (
            "import subprocess, os\n"
            "def run(root):\n"
            "    (root / 'a').write_text('x')\n"
            "    subprocess.run(['mv', str(root / 'a'), str(root / 'b')])\n"
            "    (root / 'b').unlink()",
            ["CHILD_PROCESS", "REPLAY_DIFFERS"],
        ),
    ],
)
def test_hostile_stores(tmp_path, source, expected):
    assert kinds(run_store(tmp_path, source)) == expected


@pytest.mark.parametrize(
    ("source", "times"),
    [
        (
            "import os\n"
            "def run(root):\n"
            "    (root / 'a').write_text('x')\n"
            "    os.setxattr(root / 'a', 'user.sum', b'1')",
            1,
        ),
        (
            "import os\n"
            "def run(root):\n"
            "    with open(root / 'a', 'w') as stream:\n"
            "        os.setxattr(stream.fileno(), 'user.sum', b'1')\n"
            "        os.removexattr(stream.fileno(), b'user.sum')",
            2,
        ),
        (
            "import os, shutil\n"
            "def run(root):\n"
            "    (root.parent / 'a').write_text('x')\n"
            "    os.setxattr(root.parent / 'a', 'user.sum', b'1')\n"
            "    shutil.copy2(root.parent / 'a', root / 'a')",
            1,
        ),
        (
            "import os\n"
            "def run(root):\n"
            "    (root.parent / 'a').write_text('x')\n"
            "    os.setxattr(root.parent / 'a', 'user.sum', b'1')",
            0,
        ),
    ],
)
def test_extended_attributes_of_its_files_are_noticed(tmp_path, source, times):
    assert kinds(run_store(tmp_path, source)) == ["EXTENDED_ATTRIBUTES"] * times


@pytest.mark.parametrize(
    "source",
    [
        "",
        "import ctypes, ctypes.util, uuid, platform\n",
        "import ctypes\nlibc = ctypes.CDLL(None)\nlength = libc.strlen\n",
        "import zlib, json, hashlib, struct, decimal, sqlite3, mmap\n",
        "import sqlite3\nsqlite3.connect(':memory:').execute('select 1')\n",
        "import sqlite3\nsqlite3.connect('file::memory:?mode=memory', uri=True)\n",
        "import sqlite3\nsqlite3.connect('')\n",
        "import psutil\npsutil.Process().memory_info()\n",
        "import multiprocessing, concurrent.futures, asyncio, logging.handlers\n",
        "import fcntl, select, socket, threading, uuid\nuuid.uuid1()\n",
        "import tinydb, sortedcontainers\n",
    ],
)
def test_harmless_stores(tmp_path, source):
    found = run_store(tmp_path, source + SAVE + "\ndef run(root): save(root)")
    assert found["unseen"] == []
    assert [call for call, _ in found["events"]] == ["open", "write", "os.fsync"]


@pytest.mark.parametrize(
    "body",
    [
        "import platform; platform.processor()",
        "import ctypes.util; ctypes.util.find_library('c')",
        "import mmap; mmap.mmap(-1, 100)[0] = 1",
        "import mmap; stream = open(root / 'f', 'rb'); mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)",
        "import mmap; stream = open(root / 'f', 'r+b'); mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)",
        "import mmap; stream = open(root / 'f', 'rb'); mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ)",
        "import mmap; stream = open(__file__, 'rb'); mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ)",
        "os.listxattr(root / 'f')",
        "import shutil; shutil.copy2(root / 'f', root / 'g'); shutil.copystat(root / 'g', root / 'f')",
        "import contextlib\n    with contextlib.suppress(OSError): os.removexattr(root / 'f', 'user.sum')",
        "import socket; one, two = socket.socketpair(); os.write(one.fileno(), b'x'); one.close(); two.close()",
    ],
)
def test_harmless_calls(tmp_path, body):
    found = run_store(tmp_path, SAVE + f"\ndef run(root):\n    save(root)\n    {body}\n")
    assert found["unseen"] == []


def test_a_database_elsewhere_is_outside(tmp_path):
    source = "import sqlite3\ndef run(root): sqlite3.connect(root.parent / 'db').close()"
    found = run_store(tmp_path, source)
    assert found["unseen"] == []
    assert found["outside"] == ["../db"]


@pytest.mark.parametrize("address", ["file://localhost{root}/db", "file:{root}/db", "{root}/db"])
def test_all_spellings_of_a_database_are_known(tmp_path, address):
    text = address.format(root=tmp_path / "root")
    found = run_store(tmp_path, f"import sqlite3\ndef run(root): sqlite3.connect({text!r}, uri=True).close()")
    assert kinds(found)[0] == "FOREIGN_IO"
    assert found["unseen"][0][1] == "sqlite3 has the database db open"


def test_reasons_name_the_place_and_say_what_is_recorded(tmp_path):
    source = "import os\ndef run(root):\n    os.system('true')\n    os.system('true')"
    found = run_store(tmp_path, source)
    details = [detail for _, detail, _ in found["unseen"]]
    assert details == ["os.system at store.py:3 in run", "os.system at store.py:4 in run"]
    assert "only Python's own file functions, in the process of the store, are recorded" in found["unseen"][0][2]


def test_a_file_that_appeared_and_went_again_is_reported(tmp_path):
    source = (
        "import ctypes, os\n"
        "def run(root):\n"
        "    libc = ctypes.CDLL(None)\n"
        "    libc.close(libc.creat(os.fsencode(root / 'f'), 0o600))\n"
        "    os.rename(root / 'f', root / 'g')\n"
        "    with open(root / 'g', 'w') as stream: stream.write('x')\n"
        "    os.unlink(root / 'g')\n"
        "    libc.close(libc.creat(os.fsencode(root / 'h'), 0o600))\n"
        "    with open(root / 'h', 'w') as stream: stream.write('x')\n"
        "    os.unlink(root / 'h')\n"
    )
    found = run_store(tmp_path, source)
    details = [detail for what, detail, _ in found["unseen"] if what == "REPLAY_DIFFERS"]
    assert details == ["f appeared without a recorded call", "h appeared without a recorded call"]


def test_the_resource_tracker_of_multiprocessing_is_harmless(tmp_path):
    source = (
        "from multiprocessing import shared_memory\n"
        "def run(root):\n"
        "    memory = shared_memory.SharedMemory(create=True, size=10)\n"
        "    memory.close()\n"
        "    memory.unlink()\n"
    )
    assert kinds(run_store(tmp_path, source)) == []
