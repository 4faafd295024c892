"""Mutants: what is changed and what is left alone, and a sample of them under the harness."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from tests.zoo.detection import CRASHES
from tests.zoo.hunting import (
    CANNOT_RUN,
    NOT_CERTIFIED,
    Hunt,
    Reading,
    counted,
    hunt,
    known_survivors,
    refuted,
    survivors,
    unexplained,
)
from tests.zoo.mutants import Family, Key, Mutant, Operator, by_key, mutants, mutants_of, write

JOBS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
#: A whole certification is one test: on a busy machine it may take minutes.
pytestmark = pytest.mark.timeout(900)
SYNC = Key("files.py", "_fill", "os.fsync(descriptor)", Operator.DELETE)
CAUGHT = (
    SYNC,
    Key("files.py", "write_atomically", "os.replace(temporary, path)", Operator.DELETE),
    Key("files.py", "write_atomically", "sync_directory(os.path.dirname(path))", Operator.DELETE),
    Key("files.py", "write_atomically", "sync_directory(os.path.dirname(path))", Operator.MOVE),
)
EQUIVALENT = (
    Key("files.py", "_fill", "os.fsync(descriptor)", Operator.DUPLICATE),
    Key("files.py", "sync_directory", "os.fsync(descriptor)", Operator.DUPLICATE),
)

ENTRY = """
[[survivor]]
file = "files.py"
function = "_fill"
statement = "os.fsync(descriptor)"
operator = "delete"
reading = "equivalent"
because = "an example"
"""


def changes(body: str) -> list[tuple[Family, Operator, str]]:
    """The mutants of a function with this body, each with its new body."""
    source = "def f(a, b):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    found = []
    for mutant in mutants_of("m.py", source):
        function = ast.parse(mutant.source).body[0]
        assert isinstance(function, ast.FunctionDef)
        found.append((mutant.family, mutant.key.operator, "; ".join(map(ast.unparse, function.body))))
    return found


# --- generation ----------------------------------------------------------------------------


def test_a_sync_is_deleted_moved_and_doubled() -> None:
    """Each operator makes one mutant of a call that stands alone."""
    assert changes("os.fsync(a)\nb.close()") == [
        (Family.SYNC, Operator.DELETE, "b.close()"),
        (Family.SYNC, Operator.MOVE, "b.close(); os.fsync(a)"),
        (Family.SYNC, Operator.DUPLICATE, "os.fsync(a); os.fsync(a); b.close()"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        "a = b.replace('x', 'y')",
        "dataclasses.replace(a, b=1)",
        "a.remove_prefix(b)",
        "if a != b:\n    raise ValueError",
        "print(a)",
        "return b",
    ],
)
def test_what_keeps_no_data_safe_is_left_alone(body: str) -> None:
    """Replacing text, changing a value and ordinary comparisons are no targets."""
    assert changes(body) == []


def test_the_last_statement_moves_to_the_front() -> None:
    """Where no statement follows, or a `return` does, a move swaps with the statement before."""
    last = changes("b.write(a)\nos.replace(a, b)")
    returning = changes("b.write(a)\nos.replace(a, b)\nreturn b")

    assert (Family.RENAME, Operator.MOVE, "os.replace(a, b); b.write(a)") in last
    assert (Family.RENAME, Operator.MOVE, "os.replace(a, b); b.write(a); return b") in returning


def test_a_lock_around_a_block_is_taken_away() -> None:
    """Deleting a `with` leaves what it held together."""
    assert (Family.LOCK, Operator.DELETE, "b.x()") in changes("with a.lock.held(1):\n    b.x()")
    assert (Family.LOCK, Operator.DELETE, "pass") in changes("fcntl.flock(a, b)")


def test_checks_of_checksums_and_of_answers_are_taken_away() -> None:
    """A comparison that mentions a digest, and a test of what a call returned, are targets."""
    assert (Family.CHECKSUM, Operator.DELETE, "b.x()") in changes("if digest(a) != b.digest: raise E\nb.x()")
    assert (Family.CHECK, Operator.DELETE, "n = os.write(a, b)") in changes(
        "n = os.write(a, b)\nif n != len(b): raise E"
    )


def test_equal_statements_of_a_function_are_numbered() -> None:
    """The second of two equal statements has a key of its own."""
    body = "    os.fsync(a)\n    b()\n    os.fsync(a)\n"
    keys = [mutant.key for mutant in mutants_of("m.py", f"def f(a, b):\n{body}")]

    assert [key.occurrence for key in keys if key.operator is Operator.DELETE] == [1, 2]
    assert len(set(keys)) == len(keys) == 6


def test_the_reference_store_has_mutants_of_every_family() -> None:
    """All keys differ, and each mutant is a program that differs from the sound one."""
    found = by_key(mutants())

    assert {mutant.family for mutant in found.values()} == set(Family)
    assert all(ast.dump(ast.parse(mutant.source)) for mutant in found.values())
    assert len({mutant.package for mutant in found.values()}) == len(found)


def test_a_mutant_is_a_package_of_its_own(tmp_path: Path) -> None:
    """The copy refers to itself only, so that it never runs code of the sound store."""
    mutant = by_key(mutants())[SYNC]
    adapter, _, name = write(mutant, tmp_path).partition(":")

    assert name == "MetricsStoreAdapter" and Path(adapter).is_file()
    texts = [path.read_text(encoding="utf-8") for path in Path(adapter).parent.glob("*.py")]
    assert not any("store_under_test.metrics_store" in text for text in texts)


# --- the table of survivors ----------------------------------------------------------------


def test_an_entry_for_a_mutant_that_does_not_exist_is_noticed() -> None:
    """A table is stale as soon as the source has moved on; this one is not."""
    generated = by_key(mutants())
    old = survivors(ENTRY.replace("_fill", "_filled"))

    assert old.keys() - generated.keys() == {Key("files.py", "_filled", SYNC.statement, SYNC.operator)}
    assert known_survivors().keys() - generated.keys() == set()


@pytest.mark.parametrize("text", [ENTRY * 2, ENTRY.replace("an example", ""), ENTRY.replace("equiv", "")])
def test_an_unclear_table_is_refused(text: str) -> None:
    """An entry is there once, and says which reading it has and why."""
    with pytest.raises(ValueError):
        survivors(text)


def test_survivors_and_the_table_are_held_against_each_other() -> None:
    """A survivor needs an entry; an entry for a mutant that is caught is wrong."""
    table, mutant = survivors(ENTRY), by_key(mutants())[SYNC]
    caught, survives = Hunt(mutant, "lost_acknowledged", "quick"), Hunt(mutant, "", "")

    assert (unexplained([survives], {}), refuted([survives], {})) == ([SYNC], [])
    assert (unexplained([survives], table), refuted([caught], table)) == ([], [SYNC])


def test_counts_add_up_and_the_unexplained_is_a_blind_spot() -> None:
    """Nothing is left out of the sum, and nothing is excused without being read."""
    mutant = by_key(mutants())[SYNC]
    hunts = [Hunt(mutant, "cannot_open", "quick"), Hunt(mutant, "", "")]

    explained, plain = counted(hunts, survivors(ENTRY)), counted(hunts, {})
    assert (explained["caught"], explained["equivalent"], explained["blind_spots"]) == (1, 1, 0)
    assert (plain["caught"], plain["equivalent"], plain["blind_spots"]) == (1, 0, 1)
    assert Reading.NOT_APPLICABLE not in {entry.reading for entry in survivors(ENTRY).values()}


# --- a sample under the harness ------------------------------------------------------------


def found(key: Key) -> Mutant:
    return by_key(mutants())[key]


@pytest.mark.parametrize("key", CAUGHT, ids=str)
def test_a_mutant_that_loses_data_is_caught(key: Key, tmp_path: Path) -> None:
    """Without a sync, or with one before what it should make durable, a promise is broken."""
    result = hunt(found(key), tmp_path, jobs=JOBS, profiles=("quick",), scenarios=CRASHES)
    assert result.caught and result.kind not in (CANNOT_RUN, NOT_CERTIFIED)


@pytest.mark.whole
@pytest.mark.parametrize("key", EQUIVALENT, ids=str)
def test_a_mutant_that_only_does_more_raises_no_alarm(key: Key, tmp_path: Path) -> None:
    """A second sync changes nothing, and the table says so."""
    assert not hunt(found(key), tmp_path, jobs=JOBS, profiles=("quick",)).caught
    assert known_survivors()[key].reading is Reading.EQUIVALENT
