"""Recording a workload: what goes into the trace, and what is the user's to mend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Delete, Put, Save, Unsupported, UsageError
from harness.core.trace import MarkerKind
from harness.core.workload import Reopen, Workload
from harness.record import uninstall
from harness.run.recording import RecordJob, empty, record, record_workload
from tests.stores import hostile, unfit
from tests.stores.honest import Sound
from tests.stores.local import Diary

STEPS = (Put("a", "1"), Reopen(), Delete("a"))


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    """The recorder patches this process; the tests of others don't expect that."""
    yield
    uninstall()


def recorded(adapter: Any, folder: Path, *steps: Any) -> Any:
    directory = folder / "data"
    directory.mkdir(exist_ok=True)
    job = RecordJob(Workload("short-0", steps or STEPS), str(folder / "0.trace"))
    return record(adapter, directory, Diary(), job)


def traced(adapter: Any, folder: Path, *steps: Any) -> Any:
    return record_workload(adapter, folder, Diary(), Workload("short-0", steps or STEPS))


def test_an_adapter_that_cannot_open_is_told_so(tmp_path: Path) -> None:
    """In one sentence, with the line in its own code."""
    misuse = recorded(hostile.CannotOpenEmpty, tmp_path).misuse

    assert misuse.startswith("the adapter can't open a new store (line ")
    assert misuse.endswith("hostile.py): FileNotFoundError: no store in this directory.")


def test_a_trace_has_every_moment_of_the_client(tmp_path: Path) -> None:
    """Opening, each operation with its end, reopening, closing; and the calls between them."""
    trace, cut = traced(Sound, tmp_path)

    kinds = [event.marker.kind for event in trace.events if event.marker is not None]
    assert kinds == [
        *(MarkerKind.OPEN_BEGIN, MarkerKind.OPEN_END, MarkerKind.BEGIN, MarkerKind.ACKNOWLEDGE),
        *(MarkerKind.CLOSE_BEGIN, MarkerKind.CLOSE_END, MarkerKind.OPEN_BEGIN, MarkerKind.OPEN_END),
        *(MarkerKind.BEGIN, MarkerKind.ACKNOWLEDGE, MarkerKind.CLOSE_BEGIN, MarkerKind.CLOSE_END),
    ]
    assert trace.operations == (Put("a", "1"), Delete("a"))
    assert not trace.unseen and cut == ""


def test_a_recording_is_told_in_numbers(tmp_path: Path) -> None:
    """And the trace lies in its file."""
    result = recorded(Sound, tmp_path)

    assert (result.misuse, result.operations, result.raised, result.unsupported) == ("", 2, 0, 0)
    assert result.events > 10 and Path(result.trace_file).stat().st_size


def test_operations_that_a_store_cannot_take_leave_the_workload(tmp_path: Path) -> None:
    """The workload is run again without them, so that a refusal leaves no trace."""

    class Picky(Sound):
        def apply(self, store: Path, operation: Any) -> None:
            if isinstance(operation, Delete):
                store.with_name("litter").touch()
                raise Unsupported("no deletion")
            super().apply(store, operation)

    trace, _ = traced(Picky, tmp_path)

    assert trace.operations == (Put("a", "1"),) and trace.unsupported == 1
    assert not (tmp_path / "litter").exists()


def test_an_operation_is_judged_as_it_was_asked_for(tmp_path: Path) -> None:
    """A store that changes the document it is given loses what it takes out, and is not judged by the rest."""

    class Private(Sound):
        def apply(self, store: Path, operation: Any) -> None:
            operation.document.pop("secret")

    trace, _ = traced(Private, tmp_path, Save({"secret": 1, "open": 2}))

    assert trace.operations == (Save({"secret": 1, "open": 2}),)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_an_operation_that_raises_may_have_happened(error: BaseException, tmp_path: Path) -> None:
    """It stays in the trace as failed, and the next one follows; sys.exit is an exception like any other."""

    class Failing(Sound):
        def apply(self, store: Path, operation: Any) -> None:
            if isinstance(operation, Put):
                raise error
            super().apply(store, operation)

    trace, _ = traced(Failing, tmp_path)

    assert list(trace.errors) == [0] and type(error).__name__ in trace.errors[0]
    assert [e.marker.kind for e in trace.events if e.marker].count(MarkerKind.FAIL) == 1


def test_a_reopening_that_fails_ends_the_workload(tmp_path: Path) -> None:
    """The crash states up to there will tell whether the data is to blame."""
    result = recorded(hostile.CannotReopen, tmp_path)

    assert (result.misuse, result.operations) == ("", 1)
    assert result.cut.startswith("the adapter can't open the store again (line ")


@pytest.mark.parametrize(
    ("adapter", "told"),
    [
        (hostile.CannotBeClosed, "can't close the store"),
        (hostile.CannotBeRead, "can't read a new store"),
        (hostile.ReadsLazily, "can't read a new store: TypeError"),
        (unfit.WrongType, "snapshot returned a list for a new store"),
        (unfit.Deep, "nested 5000 levels deep"),
        (hostile.RaisesInConstructor, "can't open a new store"),
        (hostile.StepRaises, "can't follow its own operations"),
        (hostile.EqualRaises, "can't be compared"),
    ],
)
def test_what_is_the_users_to_mend(adapter: Any, told: str, tmp_path: Path) -> None:
    """Each in one sentence, and no trace is kept."""
    steps = (hostile.Bump(1),) if isinstance(adapter.model, hostile.Counter) else ()
    misuse = recorded(adapter, tmp_path, *steps).misuse

    assert told in misuse and "\n" not in misuse
    assert "harness/run" not in misuse


def test_what_the_recorder_missed_is_told(tmp_path: Path) -> None:
    """And what is recorded at all."""
    [(_, detail, remedy), *_] = recorded(hostile.Mapped, tmp_path).unseen

    assert "mapped for writing" in detail and "through a mapping is not recorded" in remedy


def test_threads_and_files_outside_are_told(tmp_path: Path) -> None:
    """Both limit what can be said about a store."""

    class Outside(hostile.BackgroundWriter):
        def apply(self, store: Path, operation: Any) -> None:
            (tmp_path / "log").write_text("x")
            super().apply(store, operation)

    result = recorded(Outside, tmp_path)

    assert result.threads > 1
    assert any(path.endswith("log") for path in result.outside)


def test_a_directory_is_emptied_whatever_is_in_it(tmp_path: Path) -> None:
    """Files, folders and links; what links point to stays."""
    directory, target = tmp_path / "data", tmp_path / "target"
    (directory / "deep" / "deeper").mkdir(parents=True)
    (directory / "file").write_text("x")
    target.mkdir()
    (target / "kept").write_text("x")
    (directory / "link").symlink_to(target)

    empty(directory)

    assert not list(directory.iterdir()) and (target / "kept").exists()


def test_a_missing_directory_is_misuse(tmp_path: Path) -> None:
    """There is nothing to record in."""
    with pytest.raises((UsageError, FileNotFoundError)):
        traced(Sound, tmp_path / "missing")
