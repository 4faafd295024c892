"""The engine that damages files: which violations it sees, which behaviour it leaves alone, and what it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import KEY_VALUE, LOG, Append, Contract, Delete, Load, Put, PutMany, Read
from harness.core.models import DOCUMENT
from harness.core.trace import CallSite
from harness.core.workload import Reopen, Workload
from harness.crash.materialize import Materializer
from harness.inject.damage import Damage, DamageKind
from harness.judge.classify import Violation
from harness.run.descriptors import descriptors
from harness.run.live.bench import Bench
from harness.run.live.damage import DamageEngine, following_operations, oracle_for, probes
from harness.run.live.values import Trial
from tests.stores import damaged
from tests.stores.hostile import Counter
from tests.stores.local import Diary

PAIRS = Workload("pairs", (Put("a", "1"), Put("b", "2"), Reopen(), Put("a", "3")))
RECORDS = Workload("records", (Append("one"), Append("two"), Append("three")))


def engine(
    adapter: Any, directory: Path, claim: str = "corruption", workload: Workload = PAIRS, refused: str = ""
) -> DamageEngine:
    folder = directory / "data"
    folder.mkdir(parents=True)
    promise = adapter.contract.corruption or "detected"
    made = DamageEngine(Bench(adapter, folder, Materializer(folder), Diary(), 0), workload, claim, promise)
    assert refused in made.rehearse()
    return made


def trials(made: DamageEngine) -> dict[Damage, Trial]:
    return {fault: made.attempt(fault) for fault in made.faults()}


def kinds(found: dict[Damage, Trial]) -> set[str]:
    return {trial.violation.kind for trial in found.values() if trial.violation}


@pytest.mark.parametrize(
    ("adapter", "kind"),
    [
        (damaged.Trusting, "silent_corruption"),
        (damaged.Surprising, "undeclared_error"),
        (damaged.Promising, "cannot_open"),
        (damaged.Guessing, "phantom"),
        (damaged.Contradicting, "silent_corruption"),
        (damaged.Forgetful, "not_writable"),
        (damaged.NothingVerifies, "silent_corruption"),
    ],
)
def test_a_broken_promise_is_seen(adapter: Any, kind: str, tmp_path: Path) -> None:
    """Of each kind that damage can bring about, at the line that read the damaged bytes."""
    found = trials(engine(adapter, tmp_path))
    assert kinds(found) == {kind}
    broken = next(trial for trial in found.values() if trial.violation)
    assert broken.fired == 1
    assert broken.site is not None and broken.site.file.endswith("damaged.py")
    assert broken.struck[0].site == broken.site


WRONG_PLACES = {DamageKind.MISDIRECTED, DamageKind.EXCHANGED}


def test_a_block_in_the_place_of_another_is_seen(tmp_path: Path) -> None:
    """By nothing else in a store whose checksums don't know their places; one whose checksums do is left alone."""
    found = trials(engine(damaged.PlacelessInSectors, tmp_path / "placeless", workload=RECORDS))
    harmless = trials(engine(damaged.PlacedInSectors, tmp_path / "placed", workload=RECORDS))

    assert {fault.kind for fault, trial in found.items() if trial.violation} == WRONG_PLACES
    assert kinds(found) == {"silent_corruption"}
    assert kinds(harmless) == set() and {fault.kind for fault in harmless} >= WRONG_PLACES


@pytest.mark.parametrize(("adapter", "expected"), [(damaged.Placeless, {"silent_corruption"}), (damaged.Placed, set())])
def test_blocks_are_pages_where_there_are_several(adapter: Any, expected: set[str], tmp_path: Path) -> None:
    made = engine(adapter, tmp_path, workload=RECORDS)
    found = {fault: made.attempt(fault) for fault in made.faults() if fault.kind in WRONG_PLACES}

    assert kinds(found) == expected and all(trial.fired for trial in found.values())
    assert {fault.where % 4096 or fault.length % 4096 for fault in found} == {0}


@pytest.mark.parametrize(
    "adapter",
    [
        *(damaged.Checking, damaged.Resetting, damaged.Mirrored, damaged.Anew),
        *(damaged.Locking, damaged.LockingEarly),
    ],
)
def test_what_a_store_may_do_is_left_alone(adapter: Any, tmp_path: Path) -> None:
    """An exception of a declared type; an earlier state with a signal; what was promised to be repaired is."""
    found = trials(engine(adapter, tmp_path))
    assert len(found) > 50 and kinds(found) == set()
    assert all(trial.fired for trial in found.values())
    assert any(trial.struck for trial in found.values())


def test_a_client_that_was_told_of_damage_lets_go_of_the_store(tmp_path: Path) -> None:
    """It closes, or is a new process that has none of the old one's descriptors."""
    for adapter in (damaged.Locking, damaged.LockingEarly):
        made = engine(adapter, tmp_path / adapter.__name__)
        before = descriptors(made.bench.directory)
        trials(made)
        assert descriptors(made.bench.directory) == before == set()


def test_a_cut_where_an_operation_ended_is_not_held_against_a_store_that_buffers(tmp_path: Path) -> None:
    """Its file never showed that length, and yet nobody can know: such a cut proves nothing."""
    found = trials(engine(damaged.Buffering, tmp_path, workload=RECORDS))
    assert kinds(found) == set()
    idle = [fault for fault, trial in found.items() if not trial.fired]
    assert idle and {fault.kind for fault in idle} == {DamageKind.CUT}


def test_an_empty_file_that_the_last_operation_would_have_begun_proves_nothing(tmp_path: Path) -> None:
    """The directory is as after the operation before. An empty first file is another matter: nothing was there then."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    found = trials(engine(damaged.Filing, tmp_path / "a", workload=RECORDS))
    assert kinds(found) == set()
    assert not found[Damage("0002", DamageKind.CUT, 0)].fired
    found = trials(engine(damaged.Filing, tmp_path / "b", workload=Workload("one", RECORDS.steps[:1])))
    assert {fault for fault, trial in found.items() if trial.violation} == {Damage("0000", DamageKind.CUT, 0)}


def test_setting_back_is_another_claim(tmp_path: Path) -> None:
    """Files that are gone, or as they were: seen under "rollback" only, and nothing else is tried there."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    back = trials(engine(damaged.Checking, tmp_path / "a", "rollback"))
    assert {fault.kind for fault in back} >= {DamageKind.REMOVED, DamageKind.OLDER_VERSION}
    assert kinds(back) == {"silent_corruption"}
    other = engine(damaged.Checking, tmp_path / "b")
    assert not set(back) & set(other.faults())


def test_a_store_that_reads_wrong_without_damage_is_not_tried(tmp_path: Path) -> None:
    """Nor one whose operations fail."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    engine(damaged.Amnesiac, tmp_path / "a", refused="even without any damage")
    engine(damaged.Refusing, tmp_path / "b", refused="OSError: no")


def test_a_file_with_a_new_name_in_each_run_is_found_again(tmp_path: Path) -> None:
    """A damage that was meant for a longer file, or one with more versions, does not fire."""
    made = engine(damaged.Anew, tmp_path)
    assert made.attempt(Damage("pairs-7f00", DamageKind.FLIP, 6, 1)).fired == 1
    assert made.attempt(Damage("pairs-7f00", DamageKind.FLIP, 6000, 1)).fired == 0
    assert made.ended(Damage("pairs-7f00", DamageKind.CUT, 6000), Violation("hang", "too long")).fired == 0
    made.versions.clear()
    assert made.attempt(Damage("pairs", DamageKind.REMOVED)).fired == 0


def test_a_trial_tells_its_story(tmp_path: Path) -> None:
    """The operations, the damage, what each opening showed, and the files before and after."""
    made = engine(damaged.Trusting, tmp_path)
    found = trials(made)
    fault = next(fault for fault, trial in found.items() if trial.violation and fault.kind is DamageKind.FLIP)
    exhibit = found[fault].exhibit
    assert exhibit is not None and made.operations == 3
    assert exhibit.lines[0] == "Put('a', '1')  # acknowledged"
    assert exhibit.lines[-2:] == ("close()", f"<damage: {fault.describe()}>")
    assert "opening 1: read" in exhibit.found and "without a word" in exhibit.found
    assert exhibit.before is not None and exhibit.after is not None and exhibit.before != exhibit.after


def test_a_trial_that_ended_its_worker_is_told_without_running_it(tmp_path: Path) -> None:
    made = engine(damaged.Trusting, tmp_path)
    fault = next(iter(made.faults()))
    trial = made.ended(fault, Violation("hang", "it took too long"))
    assert trial.violation is not None and trial.violation.kind == "hang"
    assert trial.exhibit is not None and trial.exhibit.after is not None


def test_an_exception_of_the_store_is_shown_with_its_call(tmp_path: Path) -> None:
    found = trials(engine(damaged.Surprising, tmp_path))
    exhibit = next(trial.exhibit for trial in found.values() if trial.violation)
    assert exhibit is not None and "opening 1: reading the store raised LookupError: damaged" in exhibit.found


# --- helpers ------------------------------------------------------------------------------------


def test_a_store_is_read_in_every_way_that_it_declares() -> None:
    """Keys of batches, too; the same key once."""
    operations = [Put("a", "1"), PutMany((("b", "2"), ("a", "3"))), Delete("c")]
    assert [probe.key for probe in probes(damaged.Trusting, operations)] == ["a", "b"]
    assert list(probes(damaged.Buffering, [Append("x")])) == [Read(0)]
    declared = type("Store", (), {"model": DOCUMENT, "contract": Contract(), "operations": (Load,)})
    assert list(probes(declared, [])) == [Load()]


def test_new_operations_suit_the_model() -> None:
    """A model of the user's own gets its last operation once more."""
    assert following_operations(KEY_VALUE, []) == (Put("k1", "after the damage"),)
    assert following_operations(LOG, []) == (Append("after the damage"),)
    assert following_operations(DOCUMENT, [])[0].document == {"after": "the damage"}
    assert following_operations(object(), [1, 2]) == (2,)
    assert following_operations(object(), []) == ()


def test_a_model_of_the_users_own_may_raise() -> None:
    """Then what was read is not what it expects."""
    oracle = oracle_for(type("Store", (), {"model": Counter()}), ())
    assert oracle.matches(object()) == ()


def test_where_damage_was_read_is_the_last_read_of_it(tmp_path: Path) -> None:
    """The line that read the bytes, not one that read others, nor one that only looked at the file."""
    made = engine(damaged.Contradicting, tmp_path)
    middle = len(made.versions["pairs"].now) // 2
    for fault, trial in trials(made).items():
        if trial.violation and fault.kind is DamageKind.FLIP and fault.where > middle:
            assert isinstance(trial.site, CallSite) and trial.site.function == "Contradicting.apply"
