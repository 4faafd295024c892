"""The patched `open` behaves as the real one."""

from __future__ import annotations

import builtins
import contextlib
import inspect
import io
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from harness.record import originals
from tests.unit.record.recording import recorded

MODES = [
    letter + suffix
    for letter in "rwxa"
    for suffix in ("", "b", "t", "+", "b+", "+b", "t+", "+t")
]
WRONG_MODES = ["", "q", "rw", "bt", "rbt", "r++", "rr", "U", "rU", "b", "+", "w+a", "w\0"]


def outcome(function, path: Path, *arguments, **keywords):
    """What a use of a file shows: attributes, data, warnings, or the exception."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = used(function(path, *arguments, **keywords))
        except Exception as error:
            found = {"error": type(error), "text": str(error)}
        content = path.read_bytes() if path.exists() else None
    seen = [(warning.category, str(warning.message), Path(warning.filename).name) for warning in caught]
    return found, content, seen


def used(stream):
    names = ("name", "mode", "encoding", "errors", "newlines", "line_buffering", "write_through", "closefd")
    raw = getattr(getattr(stream, "buffer", stream), "raw", stream)
    found = {name: str(getattr(stream, name, "none")) for name in names}
    found |= {f"raw {name}": str(getattr(raw, name, "none")) for name in names}
    found |= {"type": type(stream).__name__, "buffer": type(getattr(stream, "buffer", stream)).__name__}
    found |= {"repr": repr(stream), "raw repr": repr(raw), "isatty": stream.isatty()}
    found |= {"abilities": (stream.readable(), stream.writable(), stream.seekable())}
    text = isinstance(stream, io.TextIOBase)
    found["raw type"] = isinstance(raw, io.FileIO) and isinstance(raw, io.RawIOBase)
    with stream:
        for action in (
            lambda: stream.read(2),
            lambda: stream.tell(),
            lambda: stream.write("ä\nb" if text else b"xyz"),
            lambda: stream.seek(0),
            lambda: stream.truncate(3),
            lambda: stream.readline(),
            lambda: stream.fileno() > 2,
        ):
            try:
                found[len(found)] = action()
            except Exception as error:
                found[len(found)] = (type(error), str(error))
    found["closed"] = stream.closed
    try:
        stream.write("" if text else b"")
    except ValueError as error:
        found["after"] = str(error)
    return found


def assert_same(root: Path, before: bytes | None, *arguments, **keywords):
    """The same use of the real `open`, unrecorded, and of the patched one, recorded, shows the same."""
    path = root / "file"
    results = []
    for function, recording in ((originals.open_file, False), (builtins.open, True)):
        if before is not None:
            path.write_bytes(before)
        with recorded(root) if recording else contextlib.nullcontext():
            results.append(outcome(function, path, *arguments, **keywords))
        path.unlink(missing_ok=True)
    assert results[1] == results[0]


@pytest.mark.parametrize("before", [None, b"first\r\nsecond\n"])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode(root, mode, before):
    assert_same(root, before, mode)


@pytest.mark.parametrize("mode", WRONG_MODES)
def test_wrong_modes_are_refused_alike(root, mode):
    assert_same(root, b"data", mode)


@pytest.mark.parametrize("buffering", [-5, -1, 0, 1, 2, 100, 8192])
@pytest.mark.parametrize("mode", ["r", "w", "r+", "rb", "wb", "ab", "r+b", "x", "xb"])
def test_buffering(root, mode, buffering):
    assert_same(root, None if "x" in mode else b"0123456789", mode, buffering)


@pytest.mark.parametrize(
    "keywords",
    [
        {"encoding": "utf-16"},
        {"encoding": "latin-1", "errors": "replace"},
        {"encoding": "no such encoding"},
        {"encoding": "ascii", "errors": "strict"},
        {"errors": "no such handler"},
        {"newline": ""},
        {"newline": "\r\n"},
        {"newline": "\r"},
        {"newline": "wrong"},
        {"encoding": 7},
        {"errors": b"x"},
        {"newline": 7},
        {"buffering": None},
        {"buffering": "1"},
        {"buffering": True},
        {"closefd": False},
        {"closefd": 0},
        {"opener": lambda path, flags: os.open(path, flags)},
        {"opener": lambda path, flags: "no descriptor"},
        {"opener": lambda path, flags: -1},
    ],
)
@pytest.mark.parametrize("mode", ["r", "w", "rb", "wb", "r+"])
def test_other_arguments(root, mode, keywords):
    assert_same(root, b"first\r\nsecond\n", mode, **keywords)


@pytest.mark.parametrize("file", [None, 3.5, object(), b"no/such/file", "no/such/file", "", "a\0b", -1, 10**6, 10**30])
@pytest.mark.parametrize("mode", ["r", "wb"])
def test_what_cannot_be_opened_raises_the_same(root, monkeypatch, file, mode):
    monkeypatch.chdir(root)
    errors = []
    for function in (originals.open_file, builtins.open):
        with recorded(root), pytest.raises((OSError, TypeError, ValueError, OverflowError)) as error:
            function(file, mode)
        errors.append((error.type, str(error.value)))
    assert errors[1] == errors[0]


def test_a_directory_cannot_be_written(root):
    for mode in ("w", "r", "a", "r+"):
        with recorded(root), pytest.raises(IsADirectoryError):
            open(root, mode)


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_the_name_is_what_the_real_open_makes_of_the_path(root, kind):
    path = kind(root / "f")
    (root / "f").write_bytes(b"")
    with originals.open_file(path) as stream:
        expected = stream.name, stream.buffer.raw.name
    with recorded(root), open(path) as stream:
        assert (stream.name, stream.buffer.raw.name) == expected


def test_descriptors_keep_their_number_as_name(root):
    with recorded(root):
        descriptor = os.open(root / "f", os.O_CREAT | os.O_RDWR)
        with open(descriptor, "w+") as stream:
            assert stream.name == descriptor
            assert repr(stream.buffer.raw) == f"<_io.FileIO name={descriptor} mode='rb+' closefd=True>"


def test_terminals_are_line_buffered(root):
    leader, follower = os.openpty()
    with recorded(root) as recording:
        with open(follower, "w", closefd=False) as stream:
            assert stream.line_buffering
            stream.write("abc\n")
        assert os.read(leader, 100) == b"abc\r\n"
        with open(os.ttyname(follower), "wb", buffering=0) as stream:
            stream.write(b"x")
    os.close(leader)
    os.close(follower)
    assert recording.events == []
    assert recording.trace.outside == ()


def test_dev_null_is_not_outside(root):
    with recorded(root) as recording:
        Path(os.devnull).write_text("x")
    assert recording.trace.outside == ()


@pytest.mark.parametrize("name", ["open", "write", "fsync", "rename", "utime", "mkdir", "sendfile", "link"])
def test_names_and_texts_are_kept(name):
    patched, original = getattr(os, name), getattr(originals, name)
    assert patched is not original
    assert (patched.__name__, patched.__doc__) == (original.__name__, original.__doc__)
    assert patched.__qualname__ == original.__qualname__


@pytest.mark.parametrize("name", ["open", "write", "fsync", "rename", "mkdir", "pwritev", "dup2", "truncate"])
def test_signatures_are_kept(name):
    def shape(function):
        parameters = inspect.signature(function).parameters.values()
        return [(each.name, each.kind, each.default) for each in parameters]

    assert shape(getattr(os, name)) == shape(getattr(originals, name))


def test_the_signature_of_open_is_kept():
    expected = list(inspect.signature(originals.open_file).parameters)
    assert list(inspect.signature(open).parameters) == expected
    assert open is io.open
    assert open.__name__ == "open"


def test_stored_in_a_class_a_patched_function_takes_no_self(root):
    class Store:
        sync = os.fsync
        opener = open

    with Store().opener(root / "f", "w") as stream:
        assert Store().sync(stream.fileno()) is None


def test_patched_functions_can_be_pickled():
    assert pickle.loads(pickle.dumps(os.fsync)) == os.fsync
    assert pickle.loads(pickle.dumps(open)) == open


def test_support_sets_answer_as_before():
    names = ("open", "rename", "unlink", "mkdir", "chmod", "utime", "link", "truncate")
    for supported in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        for name in names:
            assert (getattr(os, name) in supported) == (getattr(originals, name) in supported)


def test_raw_files_from_before_the_patch_are_instances():
    with originals.open_file(os.devnull, "rb", buffering=0) as stream:
        assert isinstance(stream, io.FileIO)
        assert issubclass(type(stream), io.FileIO)
    assert not isinstance(io.BytesIO(), io.FileIO)


def test_encoding_warning_names_the_caller(root):
    code = (
        "import sys, warnings\n"
        "from pathlib import Path\n"
        "from harness.record import Recorder\n"
        "recorder = Recorder(Path(sys.argv[1]))\n"
        "recorder.start()\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    open(sys.argv[1] + '/f', 'w').close()\n"
        "print([(w.category.__name__, w.filename, w.lineno) for w in caught])\n"
    )
    command = [sys.executable, "-X", "warn_default_encoding", "-c", code, str(root)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[('EncodingWarning', '<string>', 8)]"
