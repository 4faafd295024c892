"""Whatever a program does with files, replaying what was recorded gives what it left behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.record import Recorder, replay, same_image, scan

NAMES = st.sampled_from(["a", "b", "c", "d/a", "d/b", "e/a", "../out", "s"])
DIRECTORIES = st.sampled_from(["d", "e", "d/g", "../o"])
DATA = st.binary(max_size=40)
OFFSETS = st.integers(0, 60)
FLAGS = st.sampled_from(
    [
        os.O_RDWR,
        os.O_RDWR | os.O_CREAT,
        os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL,
        os.O_WRONLY | os.O_CREAT | os.O_APPEND,
        os.O_RDWR | os.O_CREAT | os.O_DSYNC,
    ]
)
MODES = st.sampled_from(["wb", "ab", "xb", "r+b", "w+b", "a+b"])

STEPS = st.one_of(
    st.tuples(st.just("open"), NAMES, FLAGS),
    st.tuples(st.just("stream"), NAMES, MODES, st.sampled_from([0, 4, 16, -1])),
    st.tuples(st.just("write"), OFFSETS, DATA),
    st.tuples(st.just("pwrite"), OFFSETS, DATA, OFFSETS),
    st.tuples(st.just("seek"), OFFSETS, OFFSETS),
    st.tuples(st.just("ftruncate"), OFFSETS, OFFSETS),
    st.tuples(st.just("flush"), OFFSETS),
    st.tuples(st.just("dup"), OFFSETS),
    st.tuples(st.just("close"), OFFSETS),
    st.tuples(st.just("truncate"), NAMES, OFFSETS),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("rename"), DIRECTORIES, DIRECTORIES),
    st.tuples(st.just("link"), NAMES, NAMES),
    st.tuples(st.just("symlink"), NAMES, NAMES),
    st.tuples(st.just("unlink"), NAMES),
    st.tuples(st.just("mkdir"), DIRECTORIES),
    st.tuples(st.just("rmdir"), DIRECTORIES),
    st.tuples(st.just("chmod"), NAMES, st.sampled_from([0o600, 0o640, 0o755])),
)


class Program:
    """Runs steps on a directory; a step that the system refuses is part of the program."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.descriptors: list[int] = []
        self.streams: list[object] = []

    def run(self, steps) -> None:
        for name, *arguments in steps:
            try:
                getattr(self, name)(*arguments)
            except (OSError, ValueError):
                continue

    def finish(self) -> None:
        for stream in self.streams:
            stream.close()
        for descriptor in self.descriptors:
            os.close(descriptor)

    def any_of(self, handles, number: int):
        if not handles:
            raise ValueError
        return handles[number % len(handles)]

    def open(self, name, flags) -> None:
        self.descriptors.append(os.open(self.root / name, flags, 0o644))

    def stream(self, name, mode, buffering) -> None:
        self.streams.append(open(self.root / name, mode, buffering))

    def write(self, which, data) -> None:
        if which % 2 and self.streams:
            self.any_of(self.streams, which).write(data)
        else:
            os.write(self.any_of(self.descriptors, which), data)

    def pwrite(self, which, data, offset) -> None:
        os.pwrite(self.any_of(self.descriptors, which), data, offset)

    def seek(self, which, offset) -> None:
        if which % 2 and self.streams:
            self.any_of(self.streams, which).seek(offset)
        else:
            os.lseek(self.any_of(self.descriptors, which), offset, os.SEEK_SET)

    def ftruncate(self, which, size) -> None:
        if which % 2 and self.streams:
            self.any_of(self.streams, which).truncate(size)
        else:
            os.ftruncate(self.any_of(self.descriptors, which), size)

    def flush(self, which) -> None:
        self.any_of(self.streams, which).flush()

    def dup(self, which) -> None:
        self.descriptors.append(os.dup(self.any_of(self.descriptors, which)))

    def close(self, which) -> None:
        if which % 2 and self.streams:
            self.any_of(self.streams, which).close()
        else:
            descriptor = self.any_of(self.descriptors, which)
            self.descriptors.remove(descriptor)
            os.close(descriptor)

    def truncate(self, name, size) -> None:
        os.truncate(self.root / name, size)

    def rename(self, source, target) -> None:
        os.rename(self.root / source, self.root / target)

    def link(self, source, target) -> None:
        os.link(self.root / source, self.root / target)

    def symlink(self, target, name) -> None:
        os.symlink(target, self.root / name)

    def unlink(self, name) -> None:
        os.unlink(self.root / name)

    def mkdir(self, name) -> None:
        os.mkdir(self.root / name)

    def rmdir(self, name) -> None:
        os.rmdir(self.root / name)

    def chmod(self, name, mode) -> None:
        os.chmod(self.root / name, mode)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=st.lists(STEPS, max_size=5), steps=st.lists(STEPS, max_size=25))
def test_replay_equals_what_is_left_behind(before, steps):
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory, "store")
        root.mkdir()
        program = Program(root)
        program.run(before)
        program.finish()
        program = Program(root)
        recorder = Recorder(root)
        recorder.start()
        try:
            program.run(steps)
            program.finish()
        finally:
            recorder.stop()
        trace = recorder.finish(())
        assert same_image(replay(trace), scan(root)) is None
        assert trace.unseen == ()
