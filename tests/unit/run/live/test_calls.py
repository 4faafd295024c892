"""Calls that fail: what must be caught, with its kind and its place, and what is sound."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import Append, Put, Save
from harness.core.workload import Reopen, Workload
from harness.inject.calls import CallFault, CallLasting, CallWay
from harness.judge.classify import Violation
from harness.record import kernel
from harness.run.descriptors import descriptors
from harness.run.live.bench import Bench
from harness.run.live.calls import CallsEngine, Injector
from harness.run.live.values import Trial
from tests.unit.run.live import failing_stores as stores

SAVES = (Save({"n": 1}), Save({"n": 2}))
PUTS = (Put("a", "1"), Reopen(), Put("b", "2"))
APPENDS = (Append("one"), Append("two"), Append("three"), Append("four"))

Make = Callable[[Any], Bench]


def engine(make_bench: Make, adapter: Any, steps: tuple[Any, ...]) -> CallsEngine:
    made = CallsEngine(make_bench(adapter), Workload("short", steps), "io_error", "fails_cleanly")
    assert made.rehearse() == ""
    return made


def trials(made: CallsEngine) -> list[tuple[CallFault, Trial]]:
    return [(fault, made.attempt(fault)) for fault in made.faults()]


def broken(made: CallsEngine) -> dict[tuple[str, str], CallFault]:
    """Kind and source line of each violation, with the first fault that showed it."""
    found: dict[tuple[str, str], CallFault] = {}
    for fault, trial in trials(made):
        if trial.violation is not None:
            assert trial.site is not None
            line = Path(trial.site.file).read_text().splitlines()[trial.site.line - 1].strip()
            found.setdefault((trial.violation.kind, line), fault)
    return found


def test_what_the_harness_asks_itself_is_no_call_of_the_store(make_bench: Make) -> None:
    """Whether an open makes a file is asked past the gates, or a look that nobody took would be struck."""

    class Looks(stores.ShortWrites):
        def open(self, directory: Path) -> Any:
            store = super().open(directory)
            (directory / "document").exists()
            return store

    struck = engine(make_bench, Looks, SAVES)
    assert {call.name for call in struck.calls if call.group == "status"} == {"stat"}
    assert any(call.creates for call in struck.calls)
    plain = Injector(str(struck.bench.directory), CallFault("lstat", 1, "EIO"))
    with kernel.engage(plain):
        os.close(os.open(struck.bench.directory / "new", os.O_CREAT | os.O_WRONLY))
    assert not plain.fired


# --- defects ------------------------------------------------------------------------------------


def test_a_short_write_that_nobody_looks_at(make_bench: Make) -> None:
    found = broken(engine(make_bench, stores.ShortWrites, SAVES))
    assert set(found) == {("cannot_open", "os.write(descriptor, data)")}
    assert found["cannot_open", "os.write(descriptor, data)"].way in (CallWay.SHORT, CallWay.SHORT_THEN_FULL)


def test_an_error_of_reading_that_is_taken_for_nothing_there(make_bench: Make) -> None:
    found = broken(engine(make_bench, stores.AnyErrorIsEmpty, SAVES))
    assert {kind for kind, _ in found} == {"swallowed_error"}
    assert {line for _, line in found} == {'return json.loads((store / "document").read_bytes())'}


def test_a_write_that_took_effect_and_is_repeated(make_bench: Make) -> None:
    found = broken(engine(make_bench, stores.TwiceWritten, APPENDS))
    assert ("phantom", "os.write(store, line)") in found
    assert found["phantom", "os.write(store, line)"].way is CallWay.DONE


def test_an_error_of_the_last_flush_that_nobody_hears_of(make_bench: Make) -> None:
    found = broken(engine(make_bench, stores.SilentlyBuffered, APPENDS[:3]))
    assert {kind for kind, _ in found} == {"swallowed_error"}


@pytest.mark.parametrize("steps", [PUTS, (Put("a", "1"), Put("a", "2"), Put("b", "2"))])
def test_what_failed_is_shown_and_then_taken_back(make_bench: Make, steps: tuple[Any, ...]) -> None:
    """Also where a later operation would have mended it."""
    made = engine(make_bench, stores.EagerTable, steps)
    found = broken(made)
    assert {kind for kind, _ in found} == {"phantom"}
    assert ("phantom", "rest = rest[os.write(descriptor, rest) :]") in found
    trial = made.attempt(found["phantom", "rest = rest[os.write(descriptor, rest) :]"])
    assert trial.violation is not None and "raised, the store showed that it had happened" in trial.violation.sentence


def test_what_was_shown_not_to_have_happened_turns_up_with_the_next_operation(make_bench: Make) -> None:
    found = broken(engine(make_bench, stores.FlushedLater, APPENDS[:3]))
    assert {kind for kind, _ in found} == {"phantom"}


# --- sound behaviour ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "steps"),
    [
        (stores.Documents, SAVES),
        (stores.RetriedOnce, SAVES),
        (stores.Table, PUTS),
        (stores.CarefulEagerTable, PUTS),
        (stores.Refusing, APPENDS[:3]),
        (stores.Log, APPENDS[:3]),
        (stores.Buffered, APPENDS),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_errors_that_surface_are_no_finding(make_bench: Make, adapter: Any, steps: tuple[Any, ...]) -> None:
    made = engine(make_bench, adapter, steps)
    assert broken(made) == {}


# --- what is tried ----------------------------------------------------------------------------------


def test_every_fault_fires_and_every_call_site_is_struck(make_bench: Make) -> None:
    made = engine(make_bench, stores.Documents, SAVES)
    tried = trials(made)
    assert all(trial.fired for _, trial in tried)
    source, first = inspect.getsourcelines(stores.Documents)
    words = ("read_bytes", "os.open", "os.write(", "os.fsync", "os.close", "os.replace")
    expected = {first + place for place, line in enumerate(source) if any(word in line for word in words)}
    assert {struck.site.line for _, trial in tried for struck in trial.struck if struck.site} == expected
    assert made.operations == len(SAVES) + 3


def test_a_fault_beyond_the_last_call_never_fires(make_bench: Make) -> None:
    made = engine(make_bench, stores.Documents, SAVES)
    trial = made.attempt(CallFault("fsync", 1000, "EIO"))
    assert (trial.fired, trial.violation) == (0, None)


def test_the_same_fault_gives_the_same_trial(make_bench: Make) -> None:
    made = engine(make_bench, stores.ShortWrites, SAVES)
    fault = next(fault for fault in made.faults() if fault.way is CallWay.SHORT)
    first, second = made.attempt(fault), made.attempt(fault)
    assert first.violation == second.violation is not None
    assert first.site == second.site


def test_a_lasting_fault_goes_on_until_it_is_lifted(make_bench: Make) -> None:
    made = engine(make_bench, stores.Documents, SAVES)
    fired = {
        lasting: made.attempt(CallFault("fsync", 1, "EIO", lasting=lasting)).fired for lasting in CallLasting
    }
    assert fired[CallLasting.ONCE] == 1 < fired[CallLasting.A_WHILE] < fired[CallLasting.FROM_THEN_ON]


def test_a_store_that_fails_by_itself_is_not_tried(make_bench: Make) -> None:
    class Failing(stores.Documents):
        def save(self, store: Path, data: bytes) -> None:
            raise ValueError("no")

    made = CallsEngine(make_bench(Failing), Workload("short", SAVES), "io_error", "fails_cleanly")
    assert "no" in made.rehearse()


def test_a_store_that_forgets_by_itself_is_not_tried(make_bench: Make) -> None:
    class Forgetful(stores.Documents):
        def save(self, store: Path, data: bytes) -> None:
            return None

    made = CallsEngine(make_bench(Forgetful), Workload("short", SAVES), "io_error", "fails_cleanly")
    assert "without any fault" in made.rehearse()


def test_a_trial_that_ended_its_worker_names_the_call(make_bench: Make) -> None:
    made = engine(make_bench, stores.Documents, SAVES)
    fault = next(fault for fault in made.faults() if fault.name == "replace")
    trial = made.ended(fault, Violation("hang", "an operation did not return"))
    assert trial.fired == 1
    assert trial.site is not None and trial.site.function == "Documents.save"
    assert made.ended(CallFault("fsync", 999, "EIO"), Violation("hang", "")).site is None


def test_a_lasting_short_write_is_blamed_on_the_call_that_is_not_looked_at(make_bench: Make) -> None:
    class HeadFirst(stores.Log):
        def write(self, store: Any, line: bytes) -> None:
            super().write(store, line[:2])
            os.writev(store, [line[2:]])

    made = engine(make_bench, HeadFirst, APPENDS)
    found = made.attempt(CallFault("write", 1, "", CallWay.SHORT, CallLasting.FROM_THEN_ON))
    assert found.violation is not None and found.site is not None
    assert found.site.function.endswith("HeadFirst.write")


def test_a_lock_that_a_failed_opening_keeps_locks_the_next_one_out(make_bench: Make) -> None:
    made = engine(make_bench, stores.LockedOut, SAVES)
    reads = [fault for fault in made.faults() if fault.name == "file_open" and fault.lasting is CallLasting.ONCE]
    found = [trial for trial in map(made.attempt, reads) if trial.violation is not None]
    assert found and {trial.violation.kind for trial in found if trial.violation} == {"cannot_open"}
    assert all("in the same process open raised" in trial.violation.sentence for trial in found if trial.violation)
    assert {trial.site.function for trial in found if trial.site} == {"Documents.load"}


def test_a_failed_opening_that_gives_its_lock_back_is_no_finding(make_bench: Make) -> None:
    made = engine(make_bench, stores.LetIn, SAVES)
    opened = [fault for fault in made.faults() if fault.name in ("open", "file_open", "flock")]
    assert opened and all(made.attempt(fault).violation is None for fault in opened)


def test_descriptors_that_a_failed_close_left_open_are_closed(make_bench: Make) -> None:
    class Leaky(stores.Log):
        """Locks nothing, but a lock would stay with the descriptor."""

        def close(self, store: Any) -> None:
            raise OSError("not today")

    bench = make_bench(Leaky)
    made = CallsEngine(bench, Workload("short", APPENDS[:2]), "io_error", "fails_cleanly")
    assert "not today" in made.rehearse()
    assert descriptors(bench.directory) == set()
