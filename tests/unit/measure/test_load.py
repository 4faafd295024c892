"""The load of a measurement."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from harness import (
    DOCUMENT,
    KEY_VALUE,
    LOG,
    Append,
    AppendMany,
    Delete,
    Get,
    Load,
    Put,
    PutMany,
    Read,
    Save,
    UsageError,
)
from harness.measure.load import load_of, read_load, write_load


def adapter(model: Any, **attributes: Any) -> Any:
    return type("Adapter", (), {"model": model, **attributes})


def test_the_examples_of_the_model_are_the_load() -> None:
    """As far as the store takes them, and the same for the same seed."""
    plain = load_of(adapter(KEY_VALUE), 0, 100)

    assert len(plain) == 100 and {type(operation) for operation in plain} == {Put, Delete}
    assert plain == load_of(adapter(KEY_VALUE), 0, 100) != load_of(adapter(KEY_VALUE), 1, 100)


def test_reads_come_between_where_the_store_answers_them() -> None:
    """Of what was written last, or of the end of a log."""
    pairs = load_of(adapter(KEY_VALUE, operations=(Put, Delete, PutMany, Get)), 0, 100)
    documents = load_of(adapter(DOCUMENT, operations=(Save, Load)), 0, 50)
    records = load_of(adapter(LOG, operations=(Append, AppendMany, Read)), 0, 100)

    assert pairs[4] == Get(pairs[3].key) and sum(isinstance(item, Get) for item in pairs) == 20
    assert documents[4] == Load() and len(documents) == 50
    written, reads = 0, [item for item in records if isinstance(item, Read)]
    for item in records[: records.index(reads[-1])]:
        written += len(item.records) if isinstance(item, AppendMany) else int(isinstance(item, Append))
    assert reads[0] == Read(0) and reads[-1] == Read(written - 8)


def test_an_adapter_brings_its_own() -> None:
    """All of it, whatever its model."""

    class Own:
        model = LOG

        def measured_operations(self, source: random.Random, count: int) -> list[Any]:
            return [Append(str(source.random())) for _ in range(count + 5)]

    found = load_of(Own, 3, 10)
    assert len(found) == 10 and found == load_of(Own, 3, 10)


@pytest.mark.parametrize("made", [1 / 2, [lambda: None]])
def test_what_is_no_load_is_refused(made: Any) -> None:
    """A number, or something that cannot be sent to a process."""
    mine = adapter(LOG, measured_operations=lambda self, source, count: made)
    with pytest.raises(UsageError, match="gives no load to measure"):
        load_of(mine, 0, 1)


def test_a_load_goes_through_a_file(tmp_path: Path) -> None:
    """One operation at a time."""
    path = str(tmp_path / "load")
    write_load([Put("a", "b"), Delete("a")], path)
    stream = read_load(path)

    assert next(stream) == Put("a", "b") and list(stream) == [Delete("a")]
