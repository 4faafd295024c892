"""The call site is the innermost line of the store."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path

import pytest

from harness.record import callsite
from tests.unit.record.recording import recorded

HERE = __file__


def line_of(marker: str) -> int:
    lines = Path(HERE).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith("# " + marker))


def write_directly(root: Path) -> None:
    descriptor = os.open(root / "f", os.O_CREAT | os.O_WRONLY)  # opened
    os.write(
        descriptor,
        b"x",
    )  # the call begins three lines above
    os.close(descriptor)


def test_the_line_of_a_direct_call(root):
    with recorded(root) as recording:
        write_directly(root)
    opened, wrote = (event.site for event in recording.events)
    assert (opened.file, opened.line, opened.function) == (HERE, line_of("opened"), "write_directly")
    assert wrote.line == line_of("opened") + 1


class Store:
    def save(self, root: Path) -> None:
        with open(root / "f", "w") as stream:
            stream.write("x")
            stream.flush()  # flushed


def test_a_write_belongs_to_the_line_that_flushes(root):
    with recorded(root) as recording:
        Store().save(root)
    assert recording.events[1].site.line == line_of("flushed")
    assert recording.events[1].site.function == "Store.save"


def test_calls_of_the_standard_library_belong_to_its_caller(root):
    (root / "source").write_text("x")
    with recorded(root) as recording:
        shutil.copyfile(root / "source", root / "f")  # copied
        os.makedirs(root / "a" / "b")
        Path(root / "g").write_text("x")
        with tempfile.NamedTemporaryFile(dir=root) as stream:
            stream.write(b"x")
    assert {event.site.function for event in recording.events} == {
        "test_calls_of_the_standard_library_belong_to_its_caller"
    }
    assert recording.events[0].site.line == line_of("copied")


def test_generated_code_belongs_to_its_caller(root):
    with recorded(root) as recording:
        exec("open(path, 'w').close()", {"path": root / "f"})  # generated
    assert [event.site.line for event in recording.events] == [line_of("generated")]


def test_a_thread_of_the_store_is_the_store(root):
    with recorded(root) as recording:
        thread = threading.Thread(target=write_directly, args=(root,))
        thread.start()
        thread.join()
    assert {event.site.function for event in recording.events} == {"write_directly"}


def test_without_any_frame_of_a_store_there_is_no_site(root):
    with recorded(root) as recording:
        thread = threading.Thread(target=os.mkdir, args=(root / "d",))
        thread.start()
        thread.join()
    assert [event.site for event in recording.events] == [None]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("<string>", False),
        ("<frozen importlib._bootstrap>", False),
        (os.__file__, False),
        (shutil.__file__, False),
        (callsite.__file__, False),
        (sysconfig.get_path("purelib") + "/tinydb/storages.py", True),
        (os.path.dirname(os.__file__) + "/site-packages/tinydb/storages.py", True),
        (os.path.dirname(os.__file__) + "/dist-packages/store.py", True),
        ("/srv/project/store.py", True),
        ("relative/store.py", True),
        (HERE, True),
    ],
)
def test_what_counts_as_the_store(path, expected):
    assert callsite.is_store_file(path) is expected


def test_instructions_without_a_line_have_the_first_line_of_their_function():
    code = Store.save.__code__
    sites = callsite.CallSites()
    assert sites.resolve(code, 10**6).line == code.co_firstlineno
    assert sites.resolve(None, 0) is None


def test_the_caller_is_outside_the_recorder():
    assert callsite.caller().f_code.co_filename == HERE
    assert callsite.store_frame(sys._getframe()).f_code.co_filename == HERE
    assert callsite.store_frame(None) is None
