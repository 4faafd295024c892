"""What a first failure leads to: error paths that fail, locks that are taken, children, and files elsewhere."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import Save
from harness.core.workload import Workload
from harness.inject.calls import CallFault, CallLasting, CallWay, Seen, forks, kinds, words
from harness.inject.pairs import CallPair, Reached
from harness.judge.classify import Violation
from harness.record import kernel
from harness.run.encoding import decode_value, encode_value
from harness.run.live.aftermath import forked
from harness.run.live.bench import Bench
from harness.run.live.calls import CallsEngine, Injector
from harness.run.live.values import Trial
from tests.unit.run.live import failing_stores as stores

SAVES = (Save({"n": 1}), Save({"n": 2}))
Make = Callable[[Any], Bench]
Tried = list[tuple[CallFault | CallPair, Trial]]


def engine(make_bench: Make, adapter: Any) -> CallsEngine:
    made = CallsEngine(make_bench(adapter), Workload("short", SAVES), "io_error", "fails_cleanly")
    assert made.rehearse() == ""
    return made


def trials(made: CallsEngine, *names: str) -> Tried:
    """Some single failures of the calls of these names, or of all calls, and then everything that they led to."""
    chosen = {
        (fault.name, fault.error, fault.way, fault.lasting): fault
        for fault in made.faults()
        if fault.lasting in (CallLasting.ONCE, CallLasting.HELD) and (not names or fault.name in names)
    }
    singles: Tried = [(fault, made.attempt(fault)) for fault in chosen.values()]
    return singles + [(fault, made.attempt(fault)) for fault in made.afterwards()]


def broken(tried: Tried) -> dict[tuple[str, str], CallFault | CallPair]:
    """Kind and source line of each violation, with the first fault that showed it."""
    found: dict[tuple[str, str], CallFault | CallPair] = {}
    for fault, trial in tried:
        if trial.violation is not None:
            assert trial.site is not None
            line = Path(trial.site.file).read_text().splitlines()[trial.site.line - 1].strip()
            found.setdefault((trial.violation.kind, line), fault)
    return found


# --- defects ------------------------------------------------------------------------------------


def test_a_cleaning_up_that_fails_and_keeps_everybody_out(make_bench: Make) -> None:
    """No single failure does harm; the finding names the removal, which is the second."""
    found = broken(trials(engine(make_bench, stores.WedgedByCleaning), "fsync", "replace"))
    assert set(found) == {("cannot_open", 'os.unlink(store / "new")')}
    [pair] = found.values()
    assert isinstance(pair, CallPair)
    assert pair.then.name == "unlink"
    assert "and after it the 1st unlink gives" in pair.describe()


def test_a_way_back_that_fails_and_loses_the_document(make_bench: Make) -> None:
    found = broken(trials(engine(make_bench, stores.LostInBetween), "replace"))
    assert {line for _, line in found} == {'os.link(store / "old", store / "document")'}
    assert {kind for kind, _ in found} <= {"lost_acknowledged", "swallowed_error"}


def test_a_change_that_is_left_out_while_the_lock_is_taken(make_bench: Make) -> None:
    tried = trials(engine(make_bench, stores.LockedOrLost), "flock")
    assert {kind for kind, _ in broken(tried)} == {"swallowed_error"}
    assert {fault.word for fault in broken(tried).values()} == {"lock taken"}


@pytest.mark.skipif(sys.platform != "linux", reason="forks of Linux")
def test_a_child_that_removes_what_is_not_its_own(make_bench: Make) -> None:
    tried = trials(engine(make_bench, stores.Meddling), "flock")
    assert {fault.word for fault in broken(tried).values()} == {"fork"}
    assert {kind for kind, _ in broken(tried)} <= {"lost_acknowledged", "swallowed_error"}


def test_a_file_elsewhere_that_cannot_be_read(make_bench: Make) -> None:
    found = broken(trials(engine(make_bench, stores.Misconfigured), "file_open", "file_readall"))
    assert {line for _, line in found} == {'return Path("/proc/self/comm").read_text().strip().replace("/", "_")'}


def test_harm_that_the_first_failure_does_alone_is_not_the_second_ones(make_bench: Make) -> None:
    made = engine(make_bench, stores.ShortWrites)
    first = CallFault("write", 1, "", CallWay.SHORT)
    trial = made.attempt(CallPair(first, CallFault("close", 2, "EIO", CallWay.DONE), ""))
    alone = made.attempt(first)
    assert trial.violation == alone.violation is not None
    assert (trial.site, trial.instead) == (alone.site, first)


# --- sound behaviour ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "names"),
    [
        (stores.CleanedLater, ("fsync", "replace")),
        (stores.FoundInBetween, ("replace",)),
        (stores.Locked, ("flock",)),
        (stores.LockedInTime, ("flock", "write")),
        (stores.Forgetting, ("flock",)),
        (stores.Configured, ("file_open", "file_readall")),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_error_paths_that_bear_failures_are_no_finding(make_bench: Make, adapter: Any, names: tuple[str, ...]) -> None:
    assert broken(trials(engine(make_bench, adapter), *names)) == {}


def test_a_lock_that_stays_taken_strikes_once_however_often_it_is_looked_at(make_bench: Make) -> None:
    """How often depends on the clock, and what a certificate counts may not."""
    held = [
        (fault, trial)
        for fault, trial in trials(engine(make_bench, stores.Locked), "flock")
        if isinstance(fault, CallFault) and fault.lasting is CallLasting.HELD
    ]
    assert held and {trial.fired for _, trial in held} == {1}


# --- what is tried --------------------------------------------------------------------------------


def test_every_place_that_a_failure_leads_to_is_struck_by_every_fault_that_applies(make_bench: Make) -> None:
    made = engine(make_bench, stores.Forgetting)
    struck = {
        (item.site.line, item.fault)
        for _, trial in trials(made, "flock")
        for item in trial.struck
        if item.site is not None
    }
    beyond = {
        (int(call.site.rpartition(":")[2].split()[0]), word) for call in made.reached.calls for word in words(call)
    }
    assert beyond and beyond <= struck
    functions = {function for _, _, function, _, _ in made.applicable()}
    assert sys.platform != "linux" or "Forgetting.in_child" in functions


def test_a_second_call_that_is_not_met_proves_nothing(make_bench: Make) -> None:
    made = engine(make_bench, stores.Documents)
    trial = made.attempt(CallPair(CallFault("fsync", 1, "EIO"), CallFault("link", 1, "EIO"), ""))
    assert (trial.fired, trial.violation) == (0, None)
    assert "not met" in trial.idle


def test_a_pair_that_ended_its_worker_names_the_second_call(make_bench: Make) -> None:
    made = engine(make_bench, stores.Documents)
    pair = CallPair(CallFault("fsync", 1, "EIO"), CallFault("close", 1, "EIO"), "store.py:7 in save")
    trial = made.ended(pair, Violation("hang", "an operation did not return"))
    assert str(trial.site) == "store.py:7 in save"
    assert [struck.call for struck in trial.struck] == ["close"]


def test_a_pair_survives_a_certificate() -> None:
    pair = CallPair(CallFault("write", 2, "ENOSPC", CallWay.SHORT_THEN_FULL), CallFault("close", 1, "EIO"), "x:1 in f")
    types = {kind.__name__: kind for kind in CallsEngine.fault_types}
    assert decode_value(encode_value(pair), types) == pair


def test_places_are_struck_by_each_way_that_leads_there() -> None:
    """All by a first way before any by a second; two failures at one place are one way."""
    reached = Reached()
    reached.rehearsed([Seen("open", "open", False, -1, "here")])
    first, second = CallFault("write", 1, "EIO"), CallFault("fsync", 1, "EIO")
    known, new = Seen("open", "open", False, -1, "here"), Seen("unlink", "name", False, -1, "there")
    reached.after(first, "write", [(known, 1), (new, 3)])
    reached.after(second, "write", [(new, 9)])
    reached.after(second, "fsync", [(new, 1)])
    pairs = list(reached.pairs())
    ways = [(pair.first, pair.then.number, pair.site) for pair in pairs]
    assert list(dict.fromkeys(ways)) == [(first, 3, "there"), (second, 1, "there")]
    assert tuple(pair.word for pair in pairs) == 2 * words(new)
    assert reached.calls == [new]


def test_a_lock_is_only_taken_for_those_that_do_not_wait() -> None:
    waiting, trying = Seen("flock", "lock", False, -1, ""), Seen("flock", "lock", False, -1, "", tries=True)
    assert not [kind for kind in kinds(waiting) if kind[1] is CallWay.TAKEN]
    assert {kind[2] for kind in kinds(trying) if kind[1] is CallWay.TAKEN} == {CallLasting.ONCE, CallLasting.HELD}


def test_forks_are_few_and_only_where_a_lock_is_held() -> None:
    calls = [Seen("write", "write", False, 1, "", locked=number % 2 == 0) for number in range(100)]
    assert list(forks(calls[1:2])) == []
    assert [fault.number % 2 for fault in forks(calls)] == [1, 1, 1]
    assert len(set(forks(calls))) == 3
    assert next(forks(calls)).describe().startswith("the ")


@pytest.mark.skipif(sys.platform != "linux", reason="forks of Linux")
def test_a_child_tells_once_and_ends() -> None:
    assert forked(lambda: os.getppid()) == os.getpid()
    assert forked(lambda: os._exit(1)) is None


def test_what_python_reads_on_its_own_account_is_not_struck(tmp_path: Path) -> None:
    """Temporary names and the like: the line before is one of the standard library."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("x")
    gate = Injector(str(tmp_path / "store"))
    with kernel.engage(gate):
        (elsewhere / "file").read_text()
        os.listdir(elsewhere)
        (elsewhere / "file").write_text("y")
        with tempfile.TemporaryDirectory(dir=elsewhere):
            pass
    assert {call.name for call in gate.seen} == {"file_open", "file_readall", "listdir"} or {
        call.group for call in gate.seen
    } == {"open", "read", "list"}
