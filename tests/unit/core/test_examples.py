"""Example operations: seeded, unique, nasty enough, and text that every store must take."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import DOCUMENT, KEY_VALUE, LOG, Append, AppendMany, Delete, Put, PutMany, Save
from harness.core.examples import LONG_SIZES, text, values
from harness.core.models import BUILT_IN_MODELS, same_json
from tests.unit.core.strategies import patient

MODELS = pytest.mark.parametrize("model", BUILT_IN_MODELS, ids=lambda model: str(model.name))
ENOUGH = 80
seeds = st.integers(0, 2**32)


def examples(model: Any, seed: int = 0, count: int = ENOUGH) -> list[Any]:
    return list(model.example_operations(random.Random(seed), count))


def texts_of(value: Any) -> Iterator[str]:
    """Every text inside an operation or a JSON value, keys included."""
    match value:
        case str():
            yield value
        case Put(key, written):
            yield from (key, written)
        case Append(written) | Delete(written):
            yield written
        case PutMany(items) | AppendMany(items):
            yield from texts_of(items)
        case Save(document):
            yield from texts_of(document)
        case dict():
            yield from texts_of([*value, *value.values()])
        case list() | tuple():
            for item in value:
                yield from texts_of(item)


def written_by(operation: Any) -> Iterator[str]:
    """The texts that an operation writes, without the keys."""
    match operation:
        case Put(_, value):
            yield value
        case PutMany(items):
            yield from (value for _, value in items)
        case Append(record):
            yield record
        case AppendMany(records):
            yield from records
        case Save(document):
            yield from texts_of([item for key, item in document.items() if key != "nested"])


def first(number: int, seed: int = 0) -> list[str]:
    return list(itertools.islice(values(random.Random(seed)), number))


@MODELS
@given(seeds)
@settings(patient, max_examples=15)
def test_no_value_is_written_twice(model: Any, seed: int) -> None:
    """What is read must tell who wrote it."""
    counts = Counter(value for operation in examples(model, seed) for value in written_by(operation))
    assert [value for value, count in counts.items() if count > 1] == []


@MODELS
@given(seeds)
@settings(patient, max_examples=15)
def test_text_has_no_surrogates(model: Any, seed: int) -> None:
    """Every example can be encoded: a store that can't take it has no excuse."""
    for found in texts_of(examples(model, seed)):
        found.encode("utf-8")


@MODELS
@given(seeds, st.integers(0, 30))
@patient
def test_the_same_seed_gives_the_same_operations(model: Any, seed: int, count: int) -> None:
    """As many as asked for; fewer ones are the beginning of more."""
    assert len(examples(model, seed, count)) == count
    assert examples(model, seed, count) == examples(model, seed, count)


@MODELS
def test_another_seed_gives_other_operations(model: Any) -> None:
    """The seed is what makes them."""
    assert examples(model, 1) != examples(model, 2)


@MODELS
def test_examples_are_operations_that_the_model_knows(model: Any) -> None:
    """Every example can be stepped, and every kind of write occurs."""
    state = model.initial()
    for operation in examples(model):
        assert isinstance(operation, (*model.mandatory, *model.optional))
        state = model.step(state, operation)[0]
    kinds = {type(operation) for operation in examples(model)}
    assert kinds >= set(model.mandatory)
    assert len(state) > 0


@MODELS
def test_examples_are_nasty(model: Any) -> None:
    """Empty, with NUL, line breaks and quotes, beyond the basic plane, longer than pages."""
    written = [value for operation in examples(model, 0, 200) for value in written_by(operation)]
    assert "" in written
    assert all(any(part in value for value in written) for part in ("\0", "\n", "\r", '"', "\\", "\u2028"))
    assert any(ord(char) > 0xFFFF for value in written for char in value)
    assert {size for size in LONG_SIZES if any(len(value) == size for value in written)} == set(LONG_SIZES)


def test_sizes_span_sectors_pages_and_buffers() -> None:
    """Beyond 4, 8, 32 and 64 KiB, and on both sides of a sector."""
    assert [size > limit * 1024 for size, limit in zip(LONG_SIZES, (4, 8, 32, 64), strict=True)] == [True] * 4
    lengths = {len(value.partition("-")[2]) for value in first(400) if value.startswith("v")}
    assert {1, 511, 512, 513, 2000} <= lengths


def test_the_first_values_are_short() -> None:
    """Bounded-exhaustive workloads stay small."""
    assert all(0 < len(value) < 40 for value in first(5))


def test_a_value_is_followed_by_shorter_ones_and_longer_ones() -> None:
    """A store that does not truncate keeps the tail of a longer value."""
    lengths = [len(value) for value in first(60)]
    pairs = list(itertools.pairwise(lengths))
    assert any(left > right for left, right in pairs)
    assert any(left < right for left, right in pairs)


@pytest.mark.parametrize("size", [0, 1, 4097])
def test_text_has_the_size_asked_for(size: int) -> None:
    """Printable characters, one byte each."""
    made = text(random.Random(0), size)
    assert len(made) == len(made.encode()) == size
    assert made.isprintable()


def test_keys_are_few_and_some_are_nasty() -> None:
    """Few, so that they are overwritten and deleted; the empty key and path characters among them."""
    keys = {operation.key for operation in examples(KEY_VALUE, 0, 300) if isinstance(operation, Put)}
    assert {"", "/", "..", "a/b\0c", "k1", "k2"} <= keys
    assert len(keys) < 12
    assert any(isinstance(operation, Delete) for operation in examples(KEY_VALUE, 0, 8))


def test_documents_are_json_and_grow_and_shrink() -> None:
    """JSON gives back every document; every type of JSON occurs."""
    documents = [operation.document for operation in examples(DOCUMENT)]
    assert all(same_json(json.loads(json.dumps(document)), document) for document in documents)
    lengths = [len(document) for document in documents]
    assert sorted(lengths) != lengths
    nested = next(document["nested"] for document in documents if "nested" in document)
    assert {type(item) for item in nested.values()} == {bool, type(None), float, list}


@pytest.mark.parametrize(
    ("model", "kind", "content"),
    [
        (KEY_VALUE, PutMany, lambda batch: batch.items),
        (LOG, AppendMany, lambda batch: batch.records),
    ],
)
def test_batches_are_never_small(model: Any, kind: Any, content: Callable[[Any], Any]) -> None:
    """A batch of one could not be torn."""
    batches = [operation for operation in examples(model) if isinstance(operation, kind)]
    assert batches
    assert all(len(content(batch)) >= 2 for batch in batches)
