"""Calls that fail: the append raises, nothing acknowledged is lost, the store does what its class of failure says."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from store_under_test.event_store import EventStore, EventStoreError, ReadOnlyError, SyncFailedError, files
from store_under_test.event_store.errors import LeaseLostError, UnknownOutcomeError
from store_under_test.event_store.failures import Failure, classify
from store_under_test.event_store.segment import DATA_OFFSET
from tests.unit.event_store.core_helpers import SMALL, event, opened, payloads, reread, segment_files


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def failing(
    patch: pytest.MonkeyPatch,
    name: str,
    error: BaseException,
    *,
    when: Callable[..., bool] = lambda *_: True,
    effect: bool = False,
    target: Any = os,
) -> list[int]:
    """Let one call fail, after doing its work if `effect`; the list gets an entry when it has."""
    original, struck = getattr(target, name), []

    def call(*arguments: Any, **more: Any) -> Any:
        if struck or not when(*arguments):
            return original(*arguments, **more)
        struck.append(1)
        if effect:
            original(*arguments, **more)
        raise error

    patch.setattr(target, name, call)
    return struck


@pytest.mark.parametrize(
    ("error", "was_written", "failure"),
    [
        (OSError(errno.ENOSPC, ""), False, Failure.DEGRADED),
        (OSError(errno.EDQUOT, ""), False, Failure.DEGRADED),
        (OSError(errno.ENOSPC, ""), True, Failure.FATAL),
        (OSError(errno.EMFILE, ""), False, Failure.TRANSIENT),
        (OSError(errno.ENOMEM, ""), False, Failure.TRANSIENT),
        (MemoryError(), False, Failure.TRANSIENT),
        (MemoryError(), True, Failure.FATAL),
        (KeyboardInterrupt(), False, Failure.TRANSIENT),
        (OSError(errno.EIO, ""), False, Failure.FATAL),
        (SyncFailedError("f", OSError(errno.ENOSPC, "")), False, Failure.FATAL),
        (UnknownOutcomeError("f"), False, Failure.FATAL),
        (LeaseLostError("f"), False, Failure.FATAL),
        (ValueError(), False, Failure.FATAL),
    ],
)
def test_failures_have_classes(error: BaseException, was_written: bool, failure: Failure) -> None:
    """As the module says."""
    assert classify(error, was_written=was_written) is failure


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("effect", [False, True])
def test_a_full_disk_degrades_the_store_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int, effect: bool
) -> None:
    """It refuses, reads, tries again after a while, and says when it goes on; the failed append leaves nothing."""
    clock = Clock()
    with opened(tmp_path, replace(SMALL, clock=clock)) as store:
        store.append(event("one"))
        with monkeypatch.context() as patch:
            struck = failing(patch, "pwrite", OSError(code, os.strerror(code)), effect=effect)
            with pytest.raises(OSError, match=os.strerror(code)):
                store.append(event("a longer one that fails" * 9))
        assert struck and store.state.kind == "degraded"
        with pytest.raises(ReadOnlyError, match=os.strerror(code)):
            store.append(event("too early"))
        assert payloads(store) == ["one"]
        clock.now_s = 61.0
        assert store.append(event("two")).sequence == 2
        assert (store.state.kind, payloads(store)) == ("ok", ["one", "two"])
    assert "takes no events for now" in caplog.text and "takes events again" in caplog.text
    caplog.clear()
    assert reread(tmp_path) == ["one", "two"]
    assert caplog.text == ""  # nothing of the failed append stands behind the last one


def test_retention_ends_the_wait_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It works while the disk is full, in the room that is kept for it, and the next append tries at once."""
    with opened(tmp_path) as store:
        for number in range(3):
            store.append(event(number))
            store.compact()
        last = store.log.segments()[-1]
        while store.log._writer.size_for(300) is None:
            store.append(event("x" * 200))
        with monkeypatch.context() as patch:
            # Nothing can be written beyond what is allocated.
            size = Path(last.path).stat().st_size
            original = os.pwrite

            def no_room(descriptor: int, data: bytes, offset: int) -> int:
                if offset + len(data) > size or os.fstat(descriptor).st_size < size:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return original(descriptor, data, offset)

            patch.setattr(os, "pwrite", no_room)
            with pytest.raises(OSError, match="No space"):
                store.append(event("y" * 300))
            with pytest.raises(ReadOnlyError):
                store.append(event("refused"))
            assert len(store.log.retain_from(3)) == 2
        store.append(event("after"))
        assert store.state.kind == "ok"
    with opened(tmp_path) as store:
        assert (payloads(store)[0], payloads(store)[-1]) == (2, "after")


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failed_fsync_ends_writing_until_the_store_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effect: bool, code: int
) -> None:
    """It is never tried again, whatever the error; reading goes on; what was acknowledged is there."""
    store = opened(tmp_path)
    store.append(event("one"))
    with monkeypatch.context() as patch:
        struck = failing(patch, "_datasync", OSError(code, "sync"), effect=effect, target=files)
        with pytest.raises(SyncFailedError, match="refuses writes until it is opened again"):
            store.append(event("two"))
        assert struck
        syncs = failing(patch, "_datasync", OSError(errno.EIO, "again"), target=files)
        with pytest.raises(ReadOnlyError, match="fsync of"):
            store.append(event("three"))
        with pytest.raises(ReadOnlyError):
            store.compact()
        assert payloads(store) == ["one"] and store.state.kind == "failed"
        store.close()
        assert not syncs
    found = reread(tmp_path)
    assert found in (["one"], ["one", "two"])
    with opened(tmp_path) as store:
        store.append(event("four"))
    assert reread(tmp_path) == [*found, "four"]


def test_opening_writes_the_last_frame_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fsync only the kernel's memory may have it, as pages that count as clean."""
    store = opened(tmp_path)
    store.append(event("one"))
    store.append(event("two"))
    last = [frame.offset for frame in store.log.frames()][-1]
    store.close()
    written: list[tuple[int, bytes]] = []
    original = os.pwrite

    def watched(descriptor: int, data: bytes, offset: int) -> int:
        written.append((offset, bytes(data)))
        return original(descriptor, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", watched)
        store = opened(tmp_path)
    store.close()
    (path,) = segment_files(tmp_path)
    end = store.log.segments()[-1].end_offset
    assert (last, path.read_bytes()[last:end]) in written


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "EMFILE"),
        OSError(errno.ENFILE, "ENFILE"),
        OSError(errno.ENOMEM, "ENOMEM"),
        MemoryError("memory"),
    ],
)
def test_without_descriptors_or_memory_one_append_fails_and_the_next_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Also in the middle of a rotation, of which nothing stays."""
    with opened(tmp_path) as store:
        store.append(event("one"))
        with monkeypatch.context() as patch:
            assert failing(patch, "pwrite", error) == []
            with pytest.raises(type(error)):
                store.append(event("two"))
        with monkeypatch.context() as patch:
            failing(patch, "open", error, when=lambda path, *_: str(path).endswith(".tmp"))
            with pytest.raises(type(error)):
                store.append(event(bytes(30_000)))
            with pytest.raises(type(error)):
                failing(patch, "open", error, when=lambda path, *_: str(path).endswith(".tmp"))
                store.compact()
        assert (store.state.kind, len(os.listdir(tmp_path))) == ("ok", 2)
        assert store.append(event("three")).sequence == 2
        store.compact()
        store.append(event("four"))
    assert reread(tmp_path) == ["one", "three", "four"]


@pytest.mark.parametrize("place", ["in a view", "after the write", "before the write"])
def test_an_interrupt_leaves_no_doubt_about_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Before the write nothing has changed; after it the store must be opened again, and then counts right."""
    store = opened(tmp_path)
    store.append(event("one"))
    with monkeypatch.context() as patch:
        if place == "in a view":
            interrupt = failing(patch, "_tell", KeyboardInterrupt(), effect=True, target=store.log)
        else:
            effect = place == "after the write"
            interrupt = failing(patch, "_datasync" if effect else "write_at", KeyboardInterrupt(), target=files)
        with pytest.raises(KeyboardInterrupt):
            store.append(event("two"))
        assert interrupt
    if place == "before the write":
        assert store.append(event("again")).version == 2
        expected = ["one", "again"]
    else:
        with pytest.raises(ReadOnlyError):
            store.append(event("refused"))
        expected = ["one", "two"]
    store.close()
    with opened(tmp_path) as store:
        assert payloads(store) == expected
        third = store.append(event("three"))
        assert (third.sequence, third.version) == (3, 3)
    assert reread(tmp_path) == [*expected, "three"]


def test_an_error_of_a_write_ends_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A medium that fails to write is not written to."""
    store = opened(tmp_path)
    store.append(event("one"))
    with monkeypatch.context() as patch:
        failing(patch, "pwrite", OSError(errno.EIO, "broken"))
        with pytest.raises(OSError, match="broken"):
            store.append(event("two"))
    with pytest.raises(ReadOnlyError, match="broken"):
        store.append(event("three"))
    store.close()
    assert reread(tmp_path) == ["one"]


def test_a_write_that_comes_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte by byte, if need be; one that makes no progress is an error."""
    original = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: original(descriptor, data[:1000], offset))
    monkeypatch.setattr(os, "pread", _short(os.pread))
    with opened(tmp_path) as store:
        store.append(event("x" * 5000))
        monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: 0)
        with pytest.raises(OSError, match="no progress"):
            store.append(event("y" * 5000))
    monkeypatch.setattr(os, "pwrite", original)
    assert reread(tmp_path) == ["x" * 5000]


def _short(read: Callable[[int, int, int], bytes]) -> Callable[[int, int, int], bytes]:
    return lambda descriptor, length, offset: read(descriptor, min(length, 1000), offset)


FALLIBLE = ("open", "pwrite", "pread", "fsync", "rename", "unlink", "close", "listdir", "fstat")


@pytest.mark.parametrize("name", FALLIBLE)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EMFILE])
def test_any_call_may_fail_once_and_nothing_acknowledged_is_lost(tmp_path: Path, name: str, code: int) -> None:
    """In an opening, appends, a rotation and a closing: each call of the kind in turn, with and without effect."""
    for effect in (False, True):
        for number in range(40):
            directory = tmp_path / f"{effect}-{number}"
            directory.mkdir()
            if not _one_failure(directory, name, OSError(code, "injected"), number, effect):
                break
        else:
            raise AssertionError("there are more calls than this test tries")


def _one_failure(directory: Path, name: str, error: OSError, number: int, effect: bool) -> bool:
    """Whether the call with this number came; then the promises are checked."""
    countdown = [number]

    def is_due(*_: object) -> bool:
        countdown[0] -= 1
        return countdown[0] < 0

    acknowledged: list[str] = []
    store: EventStore | None = None
    with pytest.MonkeyPatch.context() as patch:
        # Closing a file twice would be a fault of the test's: the effect of `close` is always there.
        struck = failing(patch, name, error, when=is_due, effect=effect or name == "close")
        for record in ("one", "two", "three", "four"):
            try:
                store = store or opened(directory)
                store.append(event(record))
                acknowledged.append(record)
                store.compact()
            except (OSError, EventStoreError):
                pass
        if store is not None:
            store.close()
    found = reread(directory)
    assert [record for record in found if record in acknowledged] == acknowledged
    assert found == sorted(set(found), key=["one", "two", "three", "four"].index)
    with opened(directory) as store:
        store.append(event("after"))
    assert reread(directory) == [*found, "after"]
    return bool(struck)


def test_a_rename_that_may_have_happened_is_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To go on in the old segment could contradict what the new one's header says of its end."""
    store = opened(tmp_path)
    store.append(event("one"))
    with monkeypatch.context() as patch:
        failing(patch, "rename", OSError(errno.ENOSPC, "full"), effect=True)
        with pytest.raises(UnknownOutcomeError, match="full"):
            store.compact()
    with pytest.raises(ReadOnlyError):
        store.append(event("two"))
    store.close()
    with opened(tmp_path) as store:
        assert [info.first_sequence for info in store.log.segments()] == [1, 2]
        store.append(event("three"))
    assert reread(tmp_path) == ["one", "three"]


def test_failing_to_mark_the_end_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The mark only helps to notice damage."""
    store = opened(tmp_path)
    store.append(event("one"))
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        failing(patch, "pwrite", OSError(errno.EIO, "no mark"), when=lambda _, __, offset: offset < DATA_OFFSET)
        store.close()
    assert "no mark" in caplog.text
    assert reread(tmp_path) == ["one"]
