"""The recorder as its users see it: marks, threads, forks, bases, misuse."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from harness.core.errors import HarnessFault, UsageError
from harness.core.trace import (
    AddEntry,
    Blindness,
    Image,
    InodeKind,
    Marker,
    MarkerKind,
    NewInode,
    Node,
    WriteData,
)
from harness.record import Recorder, install, replay, same_image, scan
from harness.record import recorder as recorder_module
from tests.unit.record.recording import recorded


def test_a_trace_has_everything_that_it_was_given(root):
    recorder = Recorder(root)
    recorder.start()
    (root / "f").write_text("x")
    recorder.stop()
    recorder.stop()
    trace = recorder.finish(["one", "two"], unsupported=3, errors={1: "ValueError"})
    assert trace.operations == ("one", "two")
    assert (trace.unsupported, trace.errors, trace.directory) == (3, {1: "ValueError"}, str(root))
    assert trace.unseen == () and trace.outside == () and trace.threads == 1
    assert same_image(replay(trace), scan(root)) is None


def test_the_files_that_were_there_are_the_base(root):
    (root / "f").write_text("x")
    with recorded(root) as recording:
        (root / "f").unlink()
    assert recording.trace.base.nodes[1].content == b"x"


def test_calls_belong_to_the_operation_in_progress(root):
    with recorded(root) as recording:
        mark = recording.recorder.mark
        mark(MarkerKind.OPEN_BEGIN)
        os.mkdir(root / "a")
        mark(MarkerKind.OPEN_END)
        mark(MarkerKind.BEGIN, 0)
        os.mkdir(root / "b")
        mark(MarkerKind.ACKNOWLEDGE, 0)
        os.mkdir(root / "c")
        mark(MarkerKind.BEGIN, 1)
        os.mkdir(root / "d")
        mark(MarkerKind.FAIL, 1)
        mark(MarkerKind.CLOSE_BEGIN)
        mark(MarkerKind.CLOSE_END)
    assert [event.operation for event in recording.events] == [-1, 0, -1, 1]
    markers = [event.marker for event in recording.trace.events if event.marker]
    assert markers[0] == Marker(MarkerKind.OPEN_BEGIN, -1)
    assert markers[2] == Marker(MarkerKind.BEGIN, 0)
    assert recording.trace.events[2].detail == "open returned"
    times = [event.time_ns for event in recording.trace.events]
    assert times == sorted(times)


def test_concurrent_operations_are_told_apart_by_thread(root):
    begun, done = threading.Barrier(2), threading.Barrier(2)

    def client(operation: int) -> None:
        recording.recorder.mark(MarkerKind.BEGIN, operation)
        begun.wait()
        os.mkdir(root / str(operation))
        done.wait()
        recording.recorder.mark(MarkerKind.ACKNOWLEDGE, operation)

    with recorded(root) as recording:
        threads = [threading.Thread(target=client, args=(operation,)) for operation in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {(event.operation, event.detail[0]) for event in recording.events} == {(0, "0"), (1, "1")}
    assert recording.trace.threads == 2


def test_a_background_thread_works_for_the_operation_begun_last(root):
    with recorded(root) as recording:
        recording.recorder.mark(MarkerKind.BEGIN, 4)
        thread = threading.Thread(target=lambda: os.mkdir(root / "d"))
        thread.start()
        thread.join()
        recording.recorder.mark(MarkerKind.ACKNOWLEDGE, 4)
    assert [(event.operation, event.thread) for event in recording.events] == [(4, 1)]


def test_recording_goes_on_from_a_given_base(root):
    (root / "d").mkdir()
    (root / "d" / "f").write_bytes(b"x")
    base = Image(
        {
            0: Node(InodeKind.DIRECTORY, mode=0o755, entries={"d": 40}),
            40: Node(InodeKind.DIRECTORY, mode=0o755, entries={"f": 7}),
            7: Node(InodeKind.FILE, content=b"x"),
        }
    )
    recorder = Recorder(root, base)
    recorder.start()
    (root / "d" / "f").write_bytes(b"y")
    (root / "g").write_bytes(b"")
    trace = recorder.finish(())
    effects = [effect for event in trace.events for effect in event.effects]
    assert WriteData(7, 0, b"y") in effects
    assert AddEntry(0, "g", 41) in effects
    assert trace.base is base
    assert trace.unseen == ()


def test_a_base_of_other_files_is_refused(root):
    (root / "f").write_bytes(b"x")
    recorder = Recorder(root, Image({0: Node(InodeKind.DIRECTORY)}))
    with pytest.raises(HarnessFault, match="f is only in one of them"):
        recorder.start()
    with recorded(root):
        pass


def test_misuse_is_explained(root):
    with pytest.raises(UsageError, match="create it first"):
        Recorder(root / "missing").start()
    with pytest.raises(UsageError, match="call start"):
        Recorder(root).mark(MarkerKind.OPEN_BEGIN)
    with pytest.raises(UsageError, match="call start"):
        Recorder(root).finish(())
    with recorded(root), pytest.raises(UsageError, match="stop it first"):
        Recorder(root).start()


def test_nothing_is_recorded_before_start_or_after_stop(root):
    recorder = Recorder(root)
    (root / "a").write_text("x")
    recorder.start()
    recorder.stop()
    (root / "b").write_text("x")
    trace = recorder.finish(())
    assert trace.events == ()
    assert [unseen.what for unseen in trace.unseen] == [Blindness.REPLAY_DIFFERS]
    assert "b is only in the second" in trace.unseen[0].detail


def test_a_forked_child_records_nothing(root):
    with recorded(root, complete=False) as recording:
        child = os.fork()
        if child == 0:
            try:
                os.mkdir(root / "d")
                open(root / "f", "w").close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.mkdir(root / "e")
    assert [event.detail for event in recording.events] == ["e, mode 0755"]
    assert {unseen.what for unseen in recording.trace.unseen} == {
        Blindness.CHILD_PROCESS,
        Blindness.REPLAY_DIFFERS,
    }


def test_a_directory_given_through_a_symlink_is_recorded(root, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(root)
    with recorded(link) as recording:
        (link / "f").write_text("x")
        (root / "g").write_text("x")
    assert [effect for effect in recording.effects if isinstance(effect, NewInode)] == [
        NewInode(1, InodeKind.FILE, 0o644),
        NewInode(2, InodeKind.FILE, 0o644),
    ]
    assert recording.trace.directory == str(link)


def test_a_directory_that_disappears_is_a_reason(root, tmp_path):
    with recorded(root, complete=False) as recording:
        os.rename(root, tmp_path / "moved")
    assert "cannot be read" in recording.trace.unseen[0].detail


def test_installing_twice_changes_nothing():
    before = os.open, open, os.fsync
    install()
    assert (os.open, open, os.fsync) == before


def test_many_small_events_stay_small(root):
    import tracemalloc

    count = 5_000
    with recorded(root) as recording:
        tracemalloc.start()
        with open(root / "f", "ab", buffering=0) as stream:
            for _ in range(count):
                stream.write(b"x" * 100)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert used / count < 1000  # bytes; 100,000 events must stay well below 200 MB
    assert len(recording.events) == count + 1


def test_the_root_may_be_relative(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    with recorded(Path("store")) as recording:
        Path("store/f").write_text("x")
    assert recording.trace.directory == str(root)
    assert len(recording.events) == 2


@pytest.mark.parametrize("has_written", [False, True])
def test_a_thread_that_goes_on_is_given_the_time_to_show_it(root, has_written, monkeypatch):
    written, goes_on = threading.Event(), threading.Event()

    def write() -> None:
        if has_written:
            (root / "f").write_text("x")
        written.set()
        goes_on.wait()
        (root / "f").write_text("more")

    thread = threading.Thread(target=write)

    def wait_for_thread(seconds: float) -> None:
        goes_on.set()
        thread.join()

    monkeypatch.setattr(recorder_module.time, "sleep", wait_for_thread)
    with recorded(root, complete=False) as recording:
        thread.start()
        written.wait()
    assert [unseen.what for unseen in recording.trace.unseen] == [Blindness.REPLAY_DIFFERS]


def test_a_thread_that_has_ended_is_not_waited_for(root, monkeypatch):
    def refuse(seconds: float) -> None:
        raise AssertionError("nobody is left")

    monkeypatch.setattr(recorder_module.time, "sleep", refuse)
    with recorded(root) as recording:
        thread = threading.Thread(target=(root / "f").write_text, args=("x",))
        thread.start()
        thread.join()
    assert recording.trace.threads > 0
