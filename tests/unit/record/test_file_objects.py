"""What file objects, and the standard library's modules on top of them, are recorded as."""

from __future__ import annotations

import codecs
import dbm.dumb
import gc
import gzip
import io
import json
import logging
import os
import pickle
import shutil
import sys
import tempfile
import threading
import warnings
import zipfile
from pathlib import Path

import pytest

from harness.core.trace import AddEntry, NewInode, RemoveEntry, RenameEntry, SetSize, SyncFile, WriteData
from harness.record import originals, replay
from tests.unit.record.recording import effects_of, recorded


def sizes(effects) -> list[int]:
    return [len(effect.data) for effect in effects if isinstance(effect, WriteData)]


def test_a_buffered_file_writes_when_its_buffer_is_full(root):
    def write():
        with open(root / "f", "wb", buffering=100) as stream:
            for _ in range(5):
                stream.write(bytes(60))

    assert sizes(effects_of(root, write)) == [60, 60, 60, 60, 60]


def test_small_writes_are_one_call_with_the_default_buffer(root):
    def write():
        with open(root / "f", "w") as stream:
            stream.write("abc")
            stream.write("def")

    with recorded(root) as recording:
        write()
    assert recording.calls == ["open", "write"]
    assert recording.effects[-1] == WriteData(1, 0, b"abcdef")


def test_flush_is_a_write_and_a_second_flush_is_none(root):
    def write():
        with open(root / "f", "wb") as stream:
            stream.write(b"a")
            stream.flush()
            stream.flush()
            stream.write(b"b")

    assert sizes(effects_of(root, write)) == [1, 1]


def test_writes_larger_than_the_buffer_go_through_at_once(root):
    def write():
        with open(root / "f", "wb") as stream:
            stream.write(bytes(100_000))

    assert sizes(effects_of(root, write)) == [100_000]


def test_append_mode(root):
    (root / "f").write_bytes(b"0123")

    def write():
        with open(root / "f", "ab") as stream:
            stream.write(b"ab")
            stream.seek(0)
            stream.write(b"cd")

    assert effects_of(root, write) == [WriteData(1, 4, b"ab"), WriteData(1, 6, b"cd")]


def test_update_mode_seeks_and_truncates(root):
    (root / "f").write_bytes(b"0123456789")

    def write():
        with open(root / "f", "r+b") as stream:
            stream.seek(4)
            stream.write(b"ab")
            stream.truncate()
            stream.truncate(2)

    assert effects_of(root, write) == [WriteData(1, 4, b"ab"), SetSize(1, 6), SetSize(1, 2)]


def test_write_mode_truncates_what_is_there(root):
    (root / "f").write_bytes(b"0123")
    assert effects_of(root, lambda: (root / "f").write_text("x")) == [SetSize(1, 0), WriteData(1, 0, b"x")]


def test_exclusive_mode_that_fails_has_no_effect(root):
    (root / "f").write_bytes(b"")

    def write():
        with pytest.raises(FileExistsError):
            open(root / "f", "x")

    assert effects_of(root, write) == []


def test_line_buffering_writes_each_line(root):
    def write():
        with open(root / "f", "w", buffering=1) as stream:
            stream.write("ab\n")
            stream.write("c")
            stream.write("d\n")

    assert sizes(effects_of(root, write)) == [3, 3]


def test_unbuffered_files_write_at_once(root):
    def write():
        with open(root / "f", "wb", buffering=0) as stream:
            assert stream.write(b"abc") == 3

    assert sizes(effects_of(root, write)) == [3]


def test_a_file_dropped_without_close_flushes_as_ever(root):
    def write():
        stream = open(root / "f", "w")
        stream.write("abc")
        del stream
        gc.collect()

    with recorded(root) as recording, pytest.warns(ResourceWarning, match="unclosed file"):
        write()
    assert recording.effects[-1] == WriteData(1, 0, b"abc")
    assert recording.events[-1].site.function == "test_a_file_dropped_without_close_flushes_as_ever.<locals>.write"


def test_a_dropped_unbuffered_file_warns_where_it_was_dropped(root):
    with recorded(root), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream = open(root / "f", "wb", buffering=0)
        del stream
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]
    assert "unclosed file <_io.FileIO" in str(caught[0].message)


def test_a_warning_that_is_an_error_is_reported_as_unraisable(root, monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    with recorded(root), warnings.catch_warnings():
        warnings.simplefilter("error")
        stream = open(root / "f", "wb", buffering=0)
        del stream
    assert [report.exc_type for report in reported] == [ResourceWarning]


def test_fdopen_of_a_recorded_descriptor(root):
    def write():
        descriptor = os.open(root / "f", os.O_CREAT | os.O_WRONLY | os.O_DSYNC)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(b"abc")

    with recorded(root) as recording:
        write()
    assert recording.calls == ["os.open", "write"]
    assert len(recording.events[1].effects) == 2


@pytest.mark.parametrize("opener", [lambda path, flags: os.open(path, flags), originals.open])
def test_openers(root, opener):
    (root / "f").write_bytes(b"")

    def write():
        with open(root / "f", "w", opener=opener) as stream:
            stream.write("abc")

    assert WriteData(1, 0, b"abc") in effects_of(root, write)


def test_closefd_false_leaves_the_descriptor_usable(root):
    def write():
        descriptor = os.open(root / "f", os.O_CREAT | os.O_WRONLY)
        with open(descriptor, "wb", closefd=False) as stream:
            stream.write(b"a")
        os.write(descriptor, b"b")
        os.close(descriptor)

    assert sizes(effects_of(root, write)) == [1, 1]


def test_raw_files_made_directly(root):
    def write():
        with io.FileIO(root / "f", "w+") as stream:
            stream.write(b"abc")
            stream.truncate(1)
        stream.__init__(root / "f", "r+")
        stream.__init__(root / "f", "r+")
        stream.close()
        stream.close()
        with io.FileIO(str(root / "f"), "a") as stream:
            stream.write(b"d")

    assert [effect for effect in effects_of(root, write) if not isinstance(effect, NewInode | AddEntry)] == [
        WriteData(1, 0, b"abc"),
        SetSize(1, 1),
        WriteData(1, 1, b"d"),
    ]


def test_subclasses_of_raw_files(root):
    class Counting(io.FileIO, io.RawIOBase):
        written = 0

        def write(self, data):
            self.written += len(data)
            return super().write(data)

    def write():
        with io.BufferedWriter(Counting(root / "f", "w")) as stream:
            stream.write(b"abc")
            stream.flush()
            assert stream.raw.written == 3

    assert sizes(effects_of(root, write)) == [3]


def test_codecs_files(root):
    def write():
        with codecs.open(root / "f", "w", "utf-16-le") as stream, warnings.catch_warnings():
            stream.write("ab")

    assert sizes(effects_of(root, write)) == [4]


def test_pathlib(root):
    def change():
        path = root / "f"
        path.write_text("abc")
        path.rename(root / "g")
        (root / "g").replace(root / "h")
        (root / "h").unlink()
        (root / "d").mkdir()
        (root / "d").rmdir()
        path.touch()

    with recorded(root) as recording:
        change()
    kinds = [type(effect) for effect in recording.effects]
    assert kinds[:6] == [NewInode, AddEntry, WriteData, RenameEntry, RenameEntry, RemoveEntry]


def test_temporary_files_are_one_creation(root):
    def write():
        descriptor, name = tempfile.mkstemp(dir=root)
        os.close(descriptor)
        with tempfile.NamedTemporaryFile(dir=root) as stream:
            stream.write(b"abc")
        os.unlink(name)

    with recorded(root) as recording:
        write()
    assert recording.calls == ["os.open", "os.open", "write", "os.unlink", "os.unlink"]


def test_nameless_temporary_files(root):
    def write():
        with tempfile.TemporaryFile(dir=root) as stream:
            stream.write(b"abc")
            stream.flush()
            os.fsync(stream.fileno())
        with tempfile.SpooledTemporaryFile(max_size=2, dir=root) as spooled:
            spooled.write(b"a")
            spooled.write(b"bcd")

    effects = effects_of(root, write)
    assert WriteData(1, 0, b"abc") in effects
    assert SyncFile(1, True) in effects
    assert sizes(effects) == [3, 4]


def test_shutil(root):
    (root / "source").write_bytes(b"x" * 5000)

    def change():
        shutil.copy2(root / "source", root / "copy")
        shutil.copytree(root, root.parent / "elsewhere")
        (root / "d" / "e").mkdir(parents=True)
        shutil.move(root / "copy", root / "d" / "e" / "moved")
        shutil.copyfile(root / "source", root / "d" / "again")
        shutil.rmtree(root / "d")

    with recorded(root) as recording:
        change()
    assert [path.name for path in root.iterdir()] == ["source"]
    assert sizes(recording.effects) == [5000, 5000]


def test_compressed_and_serialized_files(root):
    def write():
        with gzip.open(root / "g", "wt") as stream:
            stream.write("text" * 1000)
        with zipfile.ZipFile(root / "z", "w") as archive:
            archive.writestr("name", b"data" * 1000)
        with zipfile.ZipFile(root / "z", "a") as archive:
            archive.writestr("other", b"more")
        with open(root / "p", "wb") as stream:
            pickle.dump({"key": "value"}, stream)
        with open(root / "j", "w") as stream:
            json.dump({"key": "value"}, stream)

    with recorded(root) as recording:
        write()
    assert set(recording.trace.base.paths()) == set()
    assert {path.name for path in root.iterdir()} == {"g", "z", "p", "j"}


def test_dumb_dbm(root):
    with recorded(root):
        with dbm.dumb.open(str(root / "d"), "c") as database:
            database["key"] = "value"
            database["other"] = "v" * 1000
            del database["key"]
        with dbm.dumb.open(str(root / "d"), "w") as database:
            database["again"] = "x"


def test_logging_handlers(root):
    def write():
        handler = logging.FileHandler(root / "log")
        logger = logging.Logger("test")
        logger.addHandler(handler)
        logger.warning("one")
        logger.warning("two")
        handler.close()

    assert sizes(effects_of(root, write)) == [4, 4]


def test_files_opened_before_the_recording_and_used_as_descriptors(root):
    stream = open(root / "f", "wb", buffering=0)
    with recorded(root, complete=False) as recording:
        os.write(stream.fileno(), b"seen")
        stream.write(b"not seen")
    stream.close()
    assert WriteData(1, 0, b"seen") in recording.effects
    assert [unseen.what.value for unseen in recording.trace.unseen] == ["replay differs"]


def test_threads_share_a_descriptor(root):
    descriptors = []
    with recorded(root) as recording:
        descriptors.append(os.open(root / "f", os.O_CREAT | os.O_WRONLY | os.O_APPEND))

        def append(letter):
            for _ in range(50):
                os.write(descriptors[0], letter * 3)

        threads = [threading.Thread(target=append, args=(letter,)) for letter in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.close(descriptors[0])
    offsets = [effect.offset for effect in recording.effects if isinstance(effect, WriteData)]
    assert offsets == list(range(0, 450, 3))
    assert recording.trace.threads == 4
    assert {event.thread for event in recording.events} == {0, 1, 2, 3}
    image = replay(recording.trace)
    assert image.nodes[image.paths()["f"]].content == (root / "f").read_bytes()


def test_a_thread_that_runs_nothing_but_a_patched_function(root):
    import _thread

    descriptor = os.open(root / "f", os.O_CREAT | os.O_WRONLY)
    reader, writer = os.pipe()
    with recorded(root) as recording:
        _thread.start_new_thread(os.write, (descriptor, b"abc"))
        _thread.start_new_thread(os.write, (writer, b"."))
        os.read(reader, 1)
        while (root / "f").stat().st_size < 3:
            pass
    for each in (descriptor, reader, writer):
        os.close(each)
    assert [event.site for event in recording.events] == [None]
