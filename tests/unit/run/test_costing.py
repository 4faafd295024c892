"""Costs: the same in every run, one sync or 5 % of calls more are seen, and what depends on chance is left out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness import Append, Put, Unsupported
from harness.core.comparison import Weight
from harness.core.costs import BLOCKS, PYTHON_CALLS, READ, SYSTEM_CALLS, WRITTEN, Costs
from harness.core.evidence import certificate_from_json
from harness.core.workload import Reopen, Workload
from harness.judge.comparing import compare
from harness.run.campaign import Campaign
from harness.run.costing import costs_of, digest, measure_costs
from harness.run.counting import Context, CostJob, Counted, count
from harness.run.options import Options
from tests.golden.sample import passing
from tests.stores.conduct import spec

SOUND = spec("Sound", "honest.py")
WORKLOAD = Workload("w", (Put("a", "b"), Reopen(), Put("c", "d")))

STORES = """
import os, random, tempfile, threading
from harness import LOG, KEY_VALUE, Unsupported
from tests.stores.honest import *

class Twice(Sound):
    def sync(self, descriptor):
        os.fsync(descriptor)
        os.fsync(descriptor)

class Busy(Sound):
    def apply(self, store, operation):
        for _ in range(4):
            self.changed({}, operation)
        super().apply(store, operation)

class Threaded(Sound):
    def apply(self, store, operation):
        worker = threading.Thread(target=super().apply, args=(store, operation))
        worker.start()
        worker.join()

class Dicing(Sound):
    def write(self, path, pairs):
        for _ in range(random.Random().randrange(40)):
            self.read(path)
        super().write(path, pairs)

class RandomNames(Sound):
    def write(self, path, pairs):
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        with open(descriptor, "w", encoding="utf-8") as stream:
            json.dump(pairs, stream)
            stream.flush()
            self.sync(descriptor)
        os.replace(name, path)
        sync_directory(path.parent)

class Once(Sound):
    def open(self, directory):
        if any(directory.iterdir()):
            raise OSError("not again")
        return super().open(directory)

class Leaving(Sound):
    def apply(self, store, operation):
        os._exit(3)

class Hoarding(Sound):
    kept = []
    def apply(self, store, operation):
        self.kept.extend(object() for _ in range(60))
        super().apply(store, operation)
"""


def costs(store: str, folder: Path, jobs: int = 1) -> Costs:
    (folder / "stores.py").write_text(STORES)
    with Campaign(SOUND if store == "Sound" else f"{folder / 'stores.py'}:{store}", Options(jobs=jobs)) as campaign:
        found = measure_costs(campaign)
    assert found is not None
    return found


def amounts(found: Costs) -> dict[tuple[str, str], int]:
    return {(item.operation, item.unit): item.amount for item in found.amounts}


def regressions(old: Costs, new: Costs) -> list[str]:
    before, now = (dataclasses.replace(passing(), costs=item) for item in (old, new))
    return [change.subject for change in compare(before, now).of(Weight.REGRESSION)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Costs:
    return costs("Sound", tmp_path_factory.mktemp("sound"))


def test_the_same_store_costs_the_same_again(sound: Costs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three runs each in two campaigns, also under another seed of hashes: every count but for blocks is equal."""
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    again = costs("Sound", tmp_path)

    first, second = ({key: n for key, n in amounts(found).items() if key[1] != BLOCKS} for found in (sound, again))
    assert first == second and sound.operations == again.operations and sound.workload == again.workload
    assert regressions(sound, again) == regressions(again, sound) == []


def test_what_a_store_does_is_counted(sound: Costs) -> None:
    """One file written, synced and renamed, and the directory synced, for each operation that changes something."""
    counted, puts = amounts(sound), sound.operations["Put"]
    assert counted["Put", "sync calls"] == 2 * puts and counted["Put", "name calls"] == puts
    assert counted["Put", WRITTEN] > puts and counted["Put", READ] > 0
    assert counted["Put", PYTHON_CALLS] > 3 * puts and counted["open", PYTHON_CALLS] >= sound.operations["open"] > 1
    assert sound.operations["snapshot"] == 1 and sound.left_out == ()


def test_one_sync_more_is_caught(sound: Costs, tmp_path: Path) -> None:
    """And seen from the other side it is none."""
    twice = costs("Twice", tmp_path)
    assert {f"sync calls of {name}" for name in ("Put", "Delete")} <= set(regressions(sound, twice))
    assert not any("sync" in name for name in regressions(twice, sound))


def test_a_few_more_calls_of_python_functions_are_caught(sound: Costs, tmp_path: Path) -> None:
    """Four of some seventy for each operation."""
    assert regressions(sound, costs("Busy", tmp_path)) == [f"{PYTHON_CALLS} of {name}" for name in ("Put", "Delete")]


def test_memory_that_is_kept_is_caught(sound: Costs, tmp_path: Path) -> None:
    assert f"{BLOCKS} of everything" in regressions(sound, costs("Hoarding", tmp_path))


def test_a_store_with_threads_has_no_costs(tmp_path: Path) -> None:
    """Everything is left out, with the reason: three equal runs would be luck."""
    found = costs("Threaded", tmp_path)
    assert found.amounts == () and [item.unit for item in found.left_out] == [SYSTEM_CALLS, PYTHON_CALLS, BLOCKS]
    assert all("starts threads" in item.reason for item in found.left_out)


def test_what_chance_decides_is_left_out(tmp_path: Path) -> None:
    """The units that differ go, the others stay."""
    found = costs("Dicing", tmp_path)
    assert {PYTHON_CALLS, READ, "open calls"} <= {item.unit for item in found.left_out}
    assert "was not the same in 3 runs" in found.left_out[0].reason
    assert ("Put", "sync calls") in amounts(found)


def test_random_names_of_temporary_files_cost_the_same(tmp_path: Path) -> None:
    """Which names they are makes no difference to how many calls there are."""
    first, second = costs("RandomNames", tmp_path), costs("RandomNames", tmp_path)
    assert regressions(first, second) == [] and ("Put", "sync calls") in amounts(first)


@pytest.mark.parametrize("store", ["Once", "Leaving"])
def test_a_workload_that_has_no_end_has_no_costs(store: str, tmp_path: Path) -> None:
    """A store that does not open again, or takes its process with it: other scenarios say so, and this is no fault."""
    (tmp_path / "stores.py").write_text(STORES)
    with Campaign(f"{tmp_path / 'stores.py'}:{store}", Options(jobs=1)) as campaign:
        assert measure_costs(campaign) is None


# --- without processes --------------------------------------------------------------------------


def test_calls_that_nobody_sees_are_left_out() -> None:
    """A recorder that misses calls counts none; calls of Python functions are counted all the same."""
    gated = [Counted({"Put": 1}, {("Put", "sync calls"): 1})] * 3
    plain = [Counted({"Put": 1}, {("Put", PYTHON_CALLS): 9})] * 3
    found = costs_of(WORKLOAD, gated, plain, unseen="mapped memory")

    assert amounts(found) == {("Put", PYTHON_CALLS): 9}
    assert [(item.unit, item.reason) for item in found.left_out] == [(SYSTEM_CALLS, "mapped memory")]


def test_blocks_may_differ_by_what_the_interpreter_keeps() -> None:
    """The least of them counts; more than the slack is left out."""
    near, far = ([Counted({}, {("everything", BLOCKS): n}) for n in runs] for runs in ((410, 400, 480), (1, 400, 2)))
    assert amounts(costs_of(WORKLOAD, near, near)) == {("everything", BLOCKS): 400}
    assert costs_of(WORKLOAD, far, far).amounts == ()


def test_workloads_are_told_apart() -> None:
    assert digest(WORKLOAD) != digest(Workload("w", WORKLOAD.steps[:2])) and len(digest(WORKLOAD)) == 16


class Memory:
    """A store that takes no empty value, and fails at another."""

    def open(self, directory: Path) -> list[str]:
        return []

    def apply(self, store: list[str], operation: Append) -> None:
        if not operation.record:
            raise Unsupported
        if operation.record == "no":
            raise ValueError
        store.append(operation.record)

    def snapshot(self, store: list[str]) -> list[str]:
        return list(store)

    def close(self, store: list[str]) -> None:
        store.clear()


class NoBoard:
    def enter(self, unit: int, phase: str) -> None: ...

    def leave(self) -> None: ...


@pytest.mark.parametrize("gated", [False, True])
def test_what_is_refused_costs_and_what_is_not_taken_is_no_operation(gated: bool, tmp_path: Path) -> None:
    """In this process, where all functions of the harness itself are left out."""
    workload = Workload("w", (Append("a"), Append(""), Append("no"), Reopen(), Append("b")))
    counted = count(Context(Memory, tmp_path), CostJob(workload, gated), NoBoard())  # type: ignore[arg-type]

    assert counted.operations == {"open": 2, "Append": 3, "close": 2, "snapshot": 1}
    assert counted.others == ()
    if gated:
        assert counted.amounts == {}
    else:
        assert counted.amounts["Append", PYTHON_CALLS] == 4 and counted.amounts["open", PYTHON_CALLS] == 2


def test_an_adapter_that_is_not_there_or_a_store_that_cannot_be_read(tmp_path: Path) -> None:
    """Both end a count without an exception."""
    class Unreadable(Memory):
        def snapshot(self, store: list[str]) -> list[str]:
            raise SystemExit("no")

    for adapter in (None, Unreadable):
        counted = count(Context(adapter, tmp_path), CostJob(WORKLOAD, False), NoBoard())  # type: ignore[arg-type]
        assert not counted.ended


def test_costs_survive_json_and_are_no_part_of_the_digest(sound: Costs) -> None:
    certificate = dataclasses.replace(passing(), costs=sound)
    assert certificate_from_json(certificate.to_json(), "it").costs == sound
    assert certificate.digest() == passing().digest()
