"""What the process of one version does with requests, in this process."""

from __future__ import annotations

import gc
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import KEY_VALUE, LOG, Append, Contract, Delete, Put, Unsupported, UsageError
from harness.measure.loads import measured_operations
from harness.run.pace import worker
from harness.run.pace.worker import MOST_OPERATIONS, Worker, loaded_files

NOTHING = Contract(process_crash=None, power_loss=None, io_error=None, corruption=None)


class Dictionary:
    """Refuses some keys and fails for others."""

    name = "dictionary"
    model = KEY_VALUE
    contract = NOTHING

    def open(self, directory: Path) -> dict[str, str]:
        return {}

    def apply(self, store: dict[str, str], operation: Any) -> None:
        if operation.key.endswith("1"):
            raise Unsupported("an odd key")
        if operation.key.endswith("2"):
            raise OSError("no such place")
        match operation:
            case Put(key, value):
                store[key] = value
            case Delete(key):
                store.pop(key, None)

    def snapshot(self, store: dict[str, str]) -> dict[str, str]:
        return dict(store)

    def close(self, store: dict[str, str]) -> None:
        pass


class Journal(Dictionary):
    """A log without batches."""

    model = LOG

    def apply(self, store: Any, operation: Any) -> None:
        pass


class Own(Journal):
    """Brings operations of its own."""

    def measured_operations(self, source: random.Random, count: int) -> list[Any]:
        return [Append(str(source.random())) for _ in range(count)]


class Rare(Dictionary):
    """Deletes once."""

    def measured_operations(self, source: random.Random, count: int) -> list[Any]:
        return [Delete("k"), *(Put("k", str(number)) for number in range(count))]


class Broken(Dictionary):
    def apply(self, store: Any, operation: Any) -> None:
        raise RuntimeError("out of order")


class NeverOpens(Dictionary):
    def open(self, directory: Path) -> dict[str, str]:
        raise RuntimeError("locked")


class NeverCloses(Dictionary):
    def close(self, store: Any) -> None:
        raise RuntimeError("still busy")


@pytest.fixture(autouse=True)
def thaw() -> Iterator[None]:
    """What a worker freezes is frozen for the whole process."""
    yield
    gc.unfreeze()


def begun(kind: Any, directory: Path, *, operations: int = 40, samples: int = 2) -> Worker:
    made = Worker(kind)
    request = {"do": "begin", "seed": "s", "directory": str(directory / "store")}
    made.answer({**request, "operations": operations, "samples": samples})
    return made


def test_a_sample_counts_what_was_taken_refused_and_failed(tmp_path: Path) -> None:
    """By kind of operation, with the time of all of them; the same seed gives the same counts."""
    answers = [begun(Dictionary, tmp_path / name).answer({"do": "sample"}) for name in _made(tmp_path, "ab")]
    done = answers[0]["done"]

    assert answers[0]["done"] == answers[1]["done"]
    assert sum(map(sum, done.values())) == 40
    assert set(done) == {"Put", "Delete"} == set(answers[0]["spent_ns"])
    assert all(time > 0 for time in answers[0]["spent_ns"].values())
    everything = Worker(Dictionary)
    everything.answer({"do": "begin", "seed": "s", "directory": str(tmp_path / "c"), "operations": 400, "samples": 1})
    assert all(sum(counts) for counts in zip(*everything.answer({"do": "sample"})["done"].values(), strict=True))


def _made(folder: Path, names: str) -> str:
    for name in names:
        (folder / name).mkdir()
    return names


def test_samples_go_on_where_the_last_one_ended(tmp_path: Path) -> None:
    """Two samples are other operations than the first one twice."""
    made = begun(Own, tmp_path)
    first, second = made.answer({"do": "sample"}), made.answer({"do": "sample"})

    assert first["done"] == second["done"] == {"Append": [40, 0, 0]}
    assert made._samples == []
    operations = measured_operations(Own, "s", 80)
    assert operations[:40] != operations[40:]


def test_a_sample_is_as_large_as_it_takes(tmp_path: Path) -> None:
    """A fast store does as many as are allowed at most; one that takes its time does one for each kind."""
    made = Worker(Journal)
    request = {"do": "calibrate", "seed": "s", "sample_ns": 10**12}
    assert made.answer({**request, "directory": str(tmp_path / "a")}) == {
        "operations": MOST_OPERATIONS,
        "kinds": ["Append"],
        "every": ["Append"],
    }

    few = made.answer({**request, "directory": str(tmp_path / "b"), "sample_ns": 1})
    assert few == {"operations": 1, "kinds": ["Append"], "every": ["Append"]}


def test_kinds_that_not_every_sample_has_are_told_apart(tmp_path: Path) -> None:
    """Common kinds are in each sample, however slow the store is; rare ones are known, and not metrics."""
    request = {"do": "calibrate", "seed": "s", "sample_ns": 1}
    common = Worker(Dictionary).answer({**request, "directory": str(tmp_path / "a")})
    rare = Worker(Rare).answer({**request, "directory": str(tmp_path / "b")})

    assert common == {"operations": 12, "kinds": ["Delete", "Put"], "every": ["Delete", "Put"]}
    assert rare == {"operations": 12, "kinds": ["Delete", "Put"], "every": ["Put"]}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Broken, r"^the adapter can't run: every operation raised RuntimeError: out of order \(line \d+ of .*\)"),
        (NeverOpens, r"opening the store raised RuntimeError: locked"),
        (NeverCloses, r"closing the store raised RuntimeError: still busy"),
    ],
)
def test_a_store_that_does_not_work_is_told_in_one_sentence(kind: Any, message: str, tmp_path: Path) -> None:
    """Nothing is measured of a store that does nothing."""
    with pytest.raises(UsageError, match=message):
        Worker(kind).answer({"do": "calibrate", "seed": "s", "directory": str(tmp_path / "a"), "sample_ns": 1})


def test_files_are_those_of_neither_the_harness_nor_the_standard_library() -> None:
    """With a digest each; this test is one of them, and what can't be read has none."""
    files = dict(loaded_files(before=()))

    assert str(Path(__file__).resolve()) in files
    assert worker.__file__ not in files and random.__file__ not in files
    assert worker._digest("/nonexistent/file.py") == ""


def test_files_that_were_there_before_belong_to_no_version() -> None:
    """What site-packages imports at the start of the interpreter is the same for both, or a matter of the machine."""
    assert loaded_files(before=tuple(sys.modules)) == []


def test_a_request_that_nobody_knows_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="dance"):
        Worker(Dictionary).answer({"do": "dance"})


def test_misuse_is_an_answer(tmp_path: Path) -> None:
    """Requests are answered one by one until there are none; an adapter that can't be imported says so each time."""
    requests, answers = iter([b'{"do": "files"}\n', b'{"do": "files"}\n', b""]), []
    worker._serve(f"{tmp_path}/none.py:Adapter", lambda: next(requests), answers.append)

    assert len(answers) == 2
    assert all(b"there is no file" in answer for answer in answers)


def test_requests_are_answered_by_the_adapter_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it runs is asked for like everything else; here other tests may have imported it before."""
    monkeypatch.setattr(worker, "_AT_START", frozenset())
    requests, answers = iter([b'{"do": "files"}\n', b""]), []
    worker._serve("store_under_test.metrics_store.adapter:MetricsStoreAdapter", lambda: next(requests), answers.append)

    answer = json.loads(answers[0])
    assert answer["store"] == "metrics-store"
    assert [path for path, _ in answer["files"] if path.endswith("store_under_test/metrics_store/store.py")]


def test_a_version_stands_before_everything_and_the_adapter_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment keeps its own path; no folder is there twice."""
    monkeypatch.setattr(sys, "path", ["/own", "/adapter"])
    worker._set_path(None, ["/adapter", "/above"])
    assert sys.path == ["/own", "/adapter", "/above"]
    worker._set_path(["/version", "/ours"], ["/adapter"])
    assert sys.path == ["/version", "/ours", "/adapter"]
