"""A gate below the recorder: it is asked about every call of the store, and the recorder believes what it says."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core.trace import WriteData
from harness.record import install, kernel, originals, uninstall
from harness.record.kernel import Call, engage
from tests.unit.record.recording import recorded


@pytest.fixture(autouse=True)
def reading() -> Iterator[None]:
    """Patches with those that read, for these tests only."""
    uninstall()
    install(reading=True)
    yield
    uninstall()
    install()


class Spy:
    """Lets everything through and remembers it, or does what it is told to."""

    def __init__(self, act: Callable[[Call, Callable[..., Any]], Any] | None = None) -> None:
        self.calls: list[Call] = []
        self.paths: list[str] = []
        self.act = act

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        self.calls.append(call)
        self.paths.append(call.path())
        return make() if self.act is None else self.act(call, make)

    def seen(self, root: Path) -> list[tuple[str, str]]:
        named = zip(self.calls, self.paths, strict=True)
        return [(call.name, os.path.relpath(path, root)) for call, path in named if path.startswith(str(root))]


def failing(name: str, number: int, *, after: bool = False) -> Spy:
    def act(call: Call, make: Callable[..., Any]) -> Any:
        if call.name != name:
            return make()
        if after:
            make()
        raise OSError(number, os.strerror(number))

    return Spy(act)


def test_a_gate_sees_what_a_file_object_does(root: Path) -> None:
    spy = Spy()
    with engage(spy), open(root / "f", "w+b") as file:
        file.write(b"abc")
        file.seek(0)
        assert file.read() == b"abc"
    names = [name for name, _ in spy.seen(root)]
    assert names[:2] == ["file_open", "file_write"]
    assert {"file_readall", "file_readinto"} & set(names)


def test_a_gate_sees_descriptors_paths_and_what_only_looks(root: Path) -> None:
    spy = Spy()
    with engage(spy):
        descriptor = os.open(root / "a", os.O_RDWR | os.O_CREAT)
        os.pwrite(descriptor, b"12345", 3)
        assert os.pread(descriptor, 5, 3) == b"12345"
        os.fsync(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.fstat(descriptor)
        os.replace(root / "a", root / "b")
        os.listdir(root)
        (root / "b").stat()
    seen = {call.name: call for call in spy.calls}
    assert {"open", "pwrite", "pread", "fsync", "flock", "fstat", "replace", "listdir", "stat"} <= seen.keys()
    assert (seen["pwrite"].position, seen["pwrite"].size_bytes) == (3, 5)
    assert seen["replace"].paths == (str(root / "a"), str(root / "b"))
    assert seen["open"].flags & os.O_CREAT
    os.close(descriptor)


def test_a_call_can_fail_before_it_has_an_effect_or_after(root: Path) -> None:
    with engage(failing("rename", errno.EIO)):
        (root / "a").write_bytes(b"x")
        with pytest.raises(OSError, match="Input/output"):
            os.rename(root / "a", root / "b")
    assert sorted(os.listdir(root)) == ["a"]
    with engage(failing("rename", errno.EIO, after=True)), pytest.raises(OSError, match="Input/output"):
        os.rename(root / "a", root / "b")
    assert sorted(os.listdir(root)) == ["b"]


@pytest.mark.parametrize("way", ["os.write", "os.writev", "os.pwrite", "file"])
def test_a_short_write_writes_less_and_the_recorder_sees_that(root: Path, way: str) -> None:
    def shorten(call: Call, make: Callable[..., Any]) -> Any:
        return make(2) if call.group == kernel.WRITE else make()

    path = root / "f"
    with recorded(root) as recording, engage(Spy(shorten)):
        if way == "file":
            with open(path, "wb", buffering=0) as file:
                count = file.write(b"abcdef")
        else:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
            data: Any = {"os.write": (b"abcdef",), "os.writev": ([b"ab", b"cdef"],), "os.pwrite": (b"abcdef", 0)}[way]
            count = getattr(os, way[3:])(descriptor, *data)
            os.close(descriptor)
    assert count == 2
    assert path.read_bytes() == b"ab"
    assert [effect.data for effect in recording.effects if isinstance(effect, WriteData)] == [b"ab"]


def test_a_short_read_reads_less(root: Path) -> None:
    (root / "f").write_bytes(b"abcdef")
    descriptor = os.open(root / "f", os.O_RDONLY)
    with engage(Spy(lambda call, make: make(2) if call.group == kernel.READ else make())):
        assert os.read(descriptor, 100) == b"ab"
    os.close(descriptor)


def test_afterwards_everything_is_as_it_was(root: Path) -> None:
    with engage(failing("open", errno.EMFILE)), pytest.raises(OSError, match="Too many"):
        os.open(root / "f", os.O_RDONLY | os.O_CREAT)
    assert not kernel.engaged()
    os.close(os.open(root / "f", os.O_RDONLY | os.O_CREAT))


def test_without_reading_the_functions_that_look_are_python_s_own() -> None:
    uninstall()
    install()
    assert os.read is originals.read and os.stat is originals.stat


def test_several_gates_are_asked_in_turn(root: Path) -> None:
    """The first one engaged first; what it shortens is shorter for the next, and the call is made once."""
    asked: list[tuple[str, int]] = []

    def halves(call: Call, make: Callable[..., Any]) -> Any:
        asked.append(("first", call.size_bytes))
        return make(call.size_bytes // 2) if call.name == "write" else make()

    def looks(call: Call, make: Callable[..., Any]) -> Any:
        asked.append(("second", call.size_bytes))
        return make()

    descriptor = os.open(root / "file", os.O_CREAT | os.O_WRONLY)
    with engage(halves), engage(looks):
        assert os.write(descriptor, b"12345678") == 4
    os.close(descriptor)

    assert asked == [("first", 8), ("second", 4)]
    assert (root / "file").read_bytes() == b"1234"
    assert not kernel.engaged()


def test_a_gate_may_shorten_what_another_has_shortened(root: Path) -> None:
    """The last word has the one that is nearest to the operating system."""
    descriptor = os.open(root / "file", os.O_CREAT | os.O_WRONLY)
    with engage(lambda call, make: make(6)), engage(lambda call, make: make(2)):
        assert os.write(descriptor, b"12345678") == 2
    os.close(descriptor)


def test_a_gate_engaged_by_another_sees_the_call_that_did_it(root: Path) -> None:
    """A schedule begins a fault at a call, and this call is the first that it strikes."""
    inner = failing("fsync", errno.EIO)

    with contextlib.ExitStack() as engaged:

        def begins(call: Call, make: Callable[..., Any]) -> Any:
            if call.name == "fsync":
                engaged.enter_context(engage(inner))
            return make()

        descriptor = os.open(root / "file", os.O_CREAT | os.O_WRONLY)
        with engage(begins), pytest.raises(OSError, match="Input/output"):
            os.fsync(descriptor)
        assert kernel.engaged()
    os.close(descriptor)
    assert not kernel.engaged()


def test_the_operation_of_a_lock_is_told(root: Path) -> None:
    """A fault while a lock is held needs to know what a call on it does."""
    spy = Spy()
    descriptor = os.open(root / "lock", os.O_CREAT | os.O_RDWR)
    with engage(spy):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        fcntl.lockf(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)

    assert [call.flags for call in spy.calls] == [fcntl.LOCK_EX, fcntl.LOCK_UN]
