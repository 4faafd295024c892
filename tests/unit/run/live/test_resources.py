"""Shortages: stores that say so are left alone, stores that don't are found."""

from __future__ import annotations

import errno
import os
import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from harness import Delete, Put
from harness.core.workload import Reopen, Workload
from harness.inject.resources import Needs, Resource, ResourceFault, resource_faults
from harness.judge.classify import Violation
from harness.record import kernel
from harness.run.live.resources import ResourceEngine, deep, moved
from harness.run.live.shortages import Refusing, open_descriptors, short_of, starting_threads
from tests.stores import wasteful
from tests.unit.run.live.engine_benches import PAIRS, bench, functions, kinds, rehearsed, tried


def engine(adapter: Any, tmp_path: Path, workload: Workload = PAIRS) -> ResourceEngine:
    made: ResourceEngine = rehearsed(ResourceEngine, adapter, tmp_path, workload, claim="io_error")
    return made


def test_a_store_that_says_nothing_of_what_it_could_not_do_is_found(tmp_path: Path) -> None:
    tested = engine(wasteful.Hushed, tmp_path)
    for fault in (
        ResourceFault(Resource.DIRECTORY, 0, 2),
        ResourceFault(Resource.FILE_SYSTEM, 0, 1, lasting=True),
        ResourceFault(Resource.GONE, 0, 2, lasting=True),
    ):
        [trial] = tried(tested, [fault])
        assert kinds([trial]) == {"swallowed_error"} and trial.fired
        assert functions([trial]) == {"Sound.write"}
        assert trial.exhibit is not None and f"<{fault.describe()}>" in trial.exhibit.lines


def test_a_store_that_raises_is_left_alone(tmp_path: Path) -> None:
    """Whatever is short, and all of it can be."""
    tested = engine(wasteful.Careful, tmp_path, Workload("pairs", (Put("a", "1"), Reopen(), Put("b", "2"))))
    trials = tried(tested)

    assert kinds(trials) == set()
    struck = {row.fault for trial in trials for row in trial.struck}
    assert {"descriptors", "directory", "file system", "gone", "path"} <= struck


def test_no_such_file_may_be_taken_at_its_word(tmp_path: Path) -> None:
    """While the directory is gone, a deletion finds nothing to delete; and nobody opens a directory that is gone."""
    workload = Workload("pairs", (Put("a", "1"), Reopen(), Delete("a"), Reopen(), Put("b", "2"), Delete("b")))
    for store in (wasteful.OneFileEach, wasteful.InMemory):
        tested = engine(store, tmp_path, workload)
        places = range(len(workload.steps) + 1)
        faults = [ResourceFault(Resource.GONE, 0, index, lasting) for index in places for lasting in (False, True)]
        trials = tried(tested, faults)
        assert kinds(trials) == set() and any(trial.fired for trial in trials), store.name


def test_threads_that_could_not_be_started(tmp_path: Path) -> None:
    tested = engine(wasteful.Forgetful, tmp_path)
    faults = [fault for fault in tested.faults() if fault.resource is Resource.THREADS]
    trials = tried(tested, faults)

    assert kinds(trials) == {"swallowed_error"} and functions(trials) == {"Forgetful.write"}
    assert not [fault for fault in tested.faults() if fault.resource is Resource.MEMORY]


def test_no_memory_is_an_error_and_not_the_end_of_us(tmp_path: Path) -> None:
    [trial] = tried(engine(wasteful.Greedy, tmp_path), [ResourceFault(Resource.MEMORY, 0, 2)])

    assert trial.fired and kinds([trial]) == set()


def test_memory_that_the_process_has_freed_is_no_reserve(tmp_path: Path) -> None:
    """What ran in this process before makes no difference."""
    pieces = [bytes(1 << 16) for _ in range(2 * wasteful.PADDING_BYTES >> 16)]
    end = bytes(1 << 16)  # what lies below the top of a heap is not returned to the system
    del pieces
    [trial] = tried(engine(wasteful.Greedy, tmp_path), [ResourceFault(Resource.MEMORY, 0, 2)])

    assert end and trial.fired and kinds([trial]) == set()


def test_a_process_that_dies_for_want_of_memory_has_lost_nothing(tmp_path: Path) -> None:
    class Dies(wasteful.Greedy):
        def write(self, path: Path, pairs: dict[str, str]) -> None:
            try:
                super().write(path, pairs)
            except MemoryError:
                os._exit(1)

    class Loses(Dies):
        def open(self, directory: Path) -> Path:
            path = super().open(directory)
            if not path.with_name("alive").exists():
                path.unlink(missing_ok=True)
            path.with_name("alive").touch()
            return path

        def close(self, store: Path) -> None:
            return None

        def write(self, path: Path, pairs: dict[str, str]) -> None:
            path.with_name("alive").unlink(missing_ok=True)
            super().write(path, pairs)
            path.with_name("alive").touch()

    fault = ResourceFault(Resource.MEMORY, 0, 2)
    assert kinds(tried(engine(Dies, tmp_path), [fault])) == set()
    [trial] = tried(engine(Loses, tmp_path), [fault])
    assert kinds([trial]) == {"lost_acknowledged"} and trial.exhibit is not None


def test_a_store_that_is_wrong_with_enough_of_everything_is_not_tried(tmp_path: Path) -> None:
    class Wrong(wasteful.Careful):
        def snapshot(self, store: Path) -> Any:
            return {"something": "else"}

    assert "without any fault" in ResourceEngine(bench(Wrong, tmp_path), PAIRS, "io_error", "").rehearse()


def test_what_ended_a_worker_is_told(tmp_path: Path) -> None:
    trial = engine(wasteful.Careful, tmp_path).ended(ResourceFault(Resource.GONE, 0, 1, True), Violation("hang", "."))
    assert trial.exhibit is not None and trial.exhibit.lines[-1] == "<the directory is gone, from step 1 on>"


# --- shortages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [0, 2])
def test_descriptors_really_run_out(tmp_path: Path, more: int) -> None:
    gate, opened, before = Refusing(str(tmp_path)), [], resource.getrlimit(resource.RLIMIT_NOFILE)
    with kernel.engage(gate), short_of(ResourceFault(Resource.DESCRIPTORS, more), gate):
        for _ in range(more):
            opened.append(os.open(tmp_path, os.O_RDONLY))
        with pytest.raises(OSError) as raised:
            open(tmp_path / "file", "w")
    for descriptor in opened:
        os.close(descriptor)
    assert raised.value.errno == errno.EMFILE
    assert [hit.error for hit in gate.hits] == [errno.EMFILE]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


@pytest.mark.parametrize(
    ("short", "error", "refused", "allowed"),
    [
        (Resource.DIRECTORY, errno.EACCES, ("create", "rename"), ("read", "write", "write on", "look", "ask")),
        (Resource.FILE_SYSTEM, errno.EROFS, ("create", "rename", "write", "write on"), ("read", "look", "ask")),
        (Resource.GONE, errno.ENOENT, ("create", "rename", "read", "write", "look"), ("write on",)),
    ],
)
def test_refusals(short: Resource, error: int, refused: Any, allowed: Any, tmp_path: Path) -> None:
    file, outside = tmp_path / "in" / "file", tmp_path / "outside"
    file.parent.mkdir()
    file.write_text("text")
    actions: dict[str, Any] = {
        "create": lambda: (tmp_path / "in" / "new").write_text(""),
        "rename": lambda: file.rename(tmp_path / "in" / "other"),
        "read": file.read_text,
        "write": lambda: open(file, "r+").close(),
        "write on": lambda: os.write(descriptor, b"more"),
        "look": lambda: os.stat(file),
        "ask": lambda: os.access(file, os.R_OK),
    }
    gate = Refusing(str(tmp_path / "in"))
    descriptor = os.open(file, os.O_WRONLY)
    with kernel.engage(gate), short_of(ResourceFault(short), gate):
        outside.write_text("is nobody's business")
        for name in refused:
            with pytest.raises(OSError) as raised:
                actions[name]()
            assert raised.value.errno == error, name
        for name in allowed:
            actions[name]()
        assert os.access(file, os.R_OK) is (short is not Resource.GONE)
    actions["create"]()
    os.close(descriptor)


def test_a_shortage_of_threads_ends(tmp_path: Path) -> None:
    gate = Refusing(str(tmp_path))
    with short_of(ResourceFault(Resource.THREADS, 1), gate):
        threading.Thread(target=int).start()
        with pytest.raises(RuntimeError):
            threading.Thread(target=int).start()
    counted: list[int] = []
    with starting_threads(counted.append):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
    assert counted == [0] and len(gate.hits) == 1


def test_a_deep_directory_has_just_so_many_bytes(tmp_path: Path) -> None:
    for size in range(3500, 3520):
        with deep(tmp_path, size) as path:
            assert len(os.fsencode(path)) == size and path.is_dir()
            (path / "f").touch()
            assert (moved(path, tmp_path) / "f").exists()
        assert os.listdir(tmp_path) == []


def test_listing_descriptors_leaves_none_open() -> None:
    assert open_descriptors() == open_descriptors()


def test_faults_fit_the_needs() -> None:
    few = list(resource_faults(Needs(2, 0, 0)))
    many = list(resource_faults(Needs(9, 3, 2)))
    assert Resource.DESCRIPTORS not in {fault.resource for fault in few}
    assert {fault.resource for fault in many} == set(Resource) - {Resource.MEMORY}
    assert len(set(many)) == len(many) and len({fault.describe() for fault in many}) == len(many)
