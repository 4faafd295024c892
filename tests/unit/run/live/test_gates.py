"""Gates that count calls and strike at one: in this process, with something harmless in place of a kill."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.inject.kills import Called, Kill, Moment
from harness.inject.nemesis import parse
from harness.record import kernel
from harness.run.live import injectors
from harness.run.live.forks import Word
from harness.run.live.gates import Counter, Narrator, Stops, position_of
from harness.run.live.injectors import INJECTORS, Conductor, Killing, Stalling


class Mouth:
    """A voice that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[Word, int, Any]] = []

    def say(self, word: Word, number: int = -1, payload: bytes = b"") -> None:
        self.said.append((word, number, pickle.loads(payload) if payload else None))

    def words(self) -> list[Word]:
        return [word for word, _, _ in self.said]


class Died(BaseException):
    pass


def die() -> None:
    raise Died


@pytest.fixture
def mouth() -> Any:
    return Mouth()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def written(path: Path, *parts: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for part in parts:
            os.write(descriptor, part)
    finally:
        os.close(descriptor)


# --- counting ---------------------------------------------------------------------------------


def test_only_calls_about_the_directory_count(data: Path, tmp_path: Path) -> None:
    """A neighbour whose name begins alike is no part of it."""
    gate = Counter(data)
    with kernel.engage(gate):
        written(data / "file", b"1")
        written(tmp_path / "data2", b"1")
        os.listdir(data)
        os.rename(tmp_path / "data2", data / "moved")

    assert gate.count == 3 + 1 + 1


def test_calls_are_described_before_they_are_made(data: Path, mouth: Any) -> None:
    """What a write will cross, what an open will make, and whether a lock is held."""
    (data / "old").write_bytes(b"x" * 4090)
    with kernel.engage(Narrator(data, mouth)):
        descriptor = os.open(data / "old", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, b"y" * 5000)
        os.pwrite(descriptor, b"z" * 8, 4092)
        os.fsync(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
        os.close(os.open(data / "alone", os.O_CREAT | os.O_EXCL))
        os.unlink(data / "alone")
        os.stat(data)
        os.truncate(data / "old", 3)
        open(data / "old", "wb").close()
        open(data / "old", "wb").close()

    calls: list[Called] = [payload for _, _, payload in mouth.said]
    told = [(call.name, call.cuts, call.changes, call.lasting, call.locked) for call in calls]
    assert told[:10] == [
        ("open", (), False, False, False),
        ("flock", (), False, False, True),
        ("write", (6, 4102), True, True, True),
        ("pwrite", (4,), True, True, True),
        ("fsync", (), False, True, True),
        ("flock", (), False, False, True),
        ("close", (), False, False, False),
        ("open", (), True, True, True),
        ("close", (), False, False, True),
        ("unlink", (), True, True, True),
    ]
    assert [call.changes for call in calls if call.name == "open"][1:] == [True, True, False]
    assert all(call.site is not None and call.site.file == __file__ for call in calls)


def test_a_call_on_what_is_no_file_begins_at_nothing(data: Path) -> None:
    assert position_of(kernel.Call("write", kernel.WRITE, descriptor=-1)) == 0


# --- striking at an exact call ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kill", "content", "call"),
    [
        (Kill(Moment.BEFORE, 3), b"one", "write"),
        (Kill(Moment.INSIDE, 3, 2), b"onetw", "write"),
        (Kill(Moment.AFTER, 3), b"onetwo", "write"),
        (Kill(Moment.BEFORE, 4), b"onetwo", "close"),
    ],
)
def test_the_process_dies_at_the_call(kill: Kill, content: bytes, call: str, data: Path, mouth: Any) -> None:
    """It says so first, and what the call has written by then is there."""
    gate = Stops(data, mouth, kill, die=die)
    with pytest.raises(Died), kernel.engage(gate):
        written(data / "file", b"one", b"two")

    assert (data / "file").read_bytes() == content
    [(word, number, strike)] = mouth.said[:1]
    assert (word, number, strike.call) == (Word.STRUCK, kill.number, call)
    assert strike.site.function == "written"


def test_the_process_dies_when_an_operation_was_acknowledged(data: Path, mouth: Any) -> None:
    """Calls don't matter then, nor do other operations."""
    gate = Stops(data, mouth, Kill(Moment.ACKNOWLEDGED, 1), die=die)
    with kernel.engage(gate):
        written(data / "file", b"one")
    gate.acknowledged(0)
    assert mouth.said == []

    with pytest.raises(Died):
        gate.acknowledged(1)
    assert mouth.words() == [Word.STRUCK]


def test_the_process_stops_and_the_call_is_made_later(data: Path, mouth: Any) -> None:
    paused: list[bytes] = []
    gate = Stops(
        data, mouth, Kill(Moment.STALLED, 2), stop=lambda: paused.append((data / "file").read_bytes())
    )
    with kernel.engage(gate):
        written(data / "file", b"one")

    assert paused == [b""]
    assert (data / "file").read_bytes() == b"one"
    assert mouth.words() == [Word.STRUCK, Word.STALLED]


# --- on a schedule ------------------------------------------------------------------------------


def conducted(schedule: str, data: Path, mouth: Any, work: Callable[[], Any], before: int = 0) -> list[str]:
    """What struck, in order."""
    conductor = Conductor(data.resolve(), mouth, parse(schedule), before)
    try:
        with kernel.engage(conductor):
            try:
                work()
            finally:
                conductor.finish()
    finally:
        assert not kernel.engaged()
    return [f"{strike.fault} {strike.call}" for word, _, strike in mouth.said if word is Word.STRUCK]


def test_faults_begin_and_end_at_their_calls(data: Path, mouth: Any) -> None:
    """A short write at the second call, and only there."""
    struck = conducted("short-write@2", data, mouth, lambda: written(data / "file", b"1234", b"5678"))

    assert struck == ["short-write write"]
    assert (data / "file").read_bytes() == b"125678"


def test_several_faults_come_at_once(data: Path, mouth: Any) -> None:
    """The write is short, and the one after it fails although it is short as well."""

    def work() -> None:
        written(data / "file", b"1234")
        with pytest.raises(OSError, match="No space") as raised:
            written(data / "file", b"5678")
        assert raised.value.errno == errno.ENOSPC

    assert conducted("short-write@1-9, enospc@5-6", data, mouth, work) == [
        "short-write write",
        "short-write write",
        "enospc write",
    ]
    assert (data / "file").read_bytes() == b"12"


def test_a_fault_waits_for_a_call_that_it_can_strike(data: Path, mouth: Any) -> None:
    """An input error at a call that opens strikes the write after it."""

    def work() -> None:
        with pytest.raises(OSError, match="Input/output"):
            written(data / "file", b"1")
        written(data / "file", b"2")

    assert conducted("eio@1", data, mouth, work) == ["eio write"]


@pytest.mark.parametrize("text", ["kill@1", "kill-in-write@1"])
def test_a_scheduled_kill_comes_in_time(text: str, data: Path, mouth: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a write only where one crosses a page of its file."""
    monkeypatch.setattr(Killing, "die", staticmethod(die))
    with pytest.raises(Died):
        conducted(text, data, mouth, lambda: written(data / "file", b"1", b"2" * 4096))

    assert (data / "file").exists() == (text != "kill@1")
    if (data / "file").exists():
        assert (data / "file").stat().st_size == 4096


def test_a_scheduled_stall_comes_once(data: Path, mouth: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[int] = []
    monkeypatch.setattr(Stalling, "pause", staticmethod(lambda: paused.append(1)))

    assert conducted("stall@2", data, mouth, lambda: written(data / "file", b"1", b"2")) == ["stall write"]
    assert paused == [1]


def test_what_was_over_in_an_earlier_process_does_not_begin_again(data: Path, mouth: Any) -> None:
    """Calls are counted over all processes of a run."""
    assert conducted("eio@3, short-write@12-13", data, mouth, lambda: written(data / "f", b"12", b"34"), 10) == [
        "short-write write",
        "short-write write",
    ]


def test_room_is_needed_to_create_but_not_to_remove(data: Path, tmp_path: Path, mouth: Any) -> None:
    """A full disk still lets files go; and nothing strikes outside of the directory."""

    def work() -> None:
        written(tmp_path / "elsewhere", b"1")
        with pytest.raises(OSError, match="No space"):
            written(data / "new", b"1")
        os.unlink(data / "old")
        with pytest.raises(OSError, match="No space"):
            os.mkdir(data / "folder")

    (data / "old").touch()
    assert conducted("enospc@1-99", data, mouth, work) == ["enospc open", "enospc mkdir"]
    assert isinstance(INJECTORS["eio"]("eio", str(data), mouth), injectors.CallInjector)
