"""Workloads: really exhaustive up to the length they claim, seeded, unique, and only what is supported."""

from __future__ import annotations

import functools
import itertools
import random
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from harness import DOCUMENT, KEY_VALUE, LOG, Append, AppendMany, Compact, Delete, Put, PutMany, Save, Sync
from harness.core.contract import Contract
from harness.core.examples import LOOKALIKE_KEYS
from harness.core.workload import Reopen, Workload
from harness.explore.workloads import MAXIMUM_LENGTH, Extent, Workloads, workloads


@dataclass(frozen=True, slots=True)
class Tick:
    """An operation of a user's own model."""

    number: int


@dataclass(frozen=True, slots=True)
class Tock:
    """Another one."""

    number: int


class Clock:
    """A model of the user's own, with two operations."""

    def initial(self) -> int:
        return 0

    def step(self, state: int, operation: Any) -> tuple[int, Any]:
        return state + operation.number, None

    def equal(self, recovered: Any, state: int) -> bool:
        return bool(recovered == state)

    def example_operations(self, source: random.Random, count: int) -> list[Any]:
        return [(Tick, Tock)[index % 2](source.randrange(10**6)) for index in range(count)]


class Silent(Clock):
    """A model that gives no examples."""

    def example_operations(self, source: random.Random, count: int) -> list[Any]:
        return []


def adapter(model: Any, *operations: type) -> Any:
    """As much of an adapter as workloads look at."""
    named = {"operations": operations} if operations else {}
    return type("Store", (), {"model": model, "contract": Contract(), **named})


ADAPTERS = {
    "key-value": adapter(KEY_VALUE),
    "key-value, everything": adapter(KEY_VALUE, PutMany, Sync, Compact),
    "document": adapter(DOCUMENT),
    "document, sync": adapter(DOCUMENT, Sync),
    "log": adapter(LOG),
    "log, batches": adapter(LOG, AppendMany, Compact),
    "own": adapter(Clock()),
    "own, one operation": adapter(Clock(), Tick),
    "own, sync": adapter(Clock(), Tick, Tock, Sync),
}
EVERY = pytest.mark.parametrize("store", ADAPTERS.values(), ids=list(ADAPTERS))
BUILT_IN = pytest.mark.parametrize(
    "store", [store for name, store in ADAPTERS.items() if "own" not in name], ids=lambda store: "built-in"
)
EXTENT = Extent(short=150, long_steps=(20, 45), large=True)


@functools.cache
def made(store: Hashable, seed: int = 0, extent: Extent = EXTENT) -> Workloads:
    return workloads(store, seed=seed, extent=extent)


def every(found: Workloads) -> tuple[Workload, ...]:
    return (*found.short, *found.long, *found.large)


def shape(step: Any) -> Any:
    """What a step does and to which keys, whatever it writes."""
    match step:
        case Put(key, _) | Delete(key):
            return type(step), key
        case PutMany(items):
            return PutMany, tuple(key for key, _ in items)
        case Save(document):
            return Save, tuple(document)
        case Tick() | Tock():
            return step
    return type(step)


def shapes(workload: Workload) -> tuple[Any, ...]:
    return tuple(map(shape, workload.steps))


def is_maintenance(kind: Any) -> bool:
    return kind in (Reopen, Sync, Compact)


def is_worth_running(sequence: tuple[Any, ...]) -> bool:
    """Maintenance of nothing, or of what was just maintained, and reopening at the end show nothing new."""
    between = itertools.pairwise(sequence)
    return not (
        is_maintenance(sequence[0])
        or sequence[-1] is Reopen
        or any(is_maintenance(left) and is_maintenance(right) for left, right in between)
    )


def texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Put(_, written) | Append(written):
            yield written
        case PutMany(items):
            yield from (written for _, written in items)
        case AppendMany(records):
            yield from records
        case Save(document):
            yield from texts(list(document.values()))
        case list():
            for item in value:
                yield from texts(item)


# --- short: exhaustive ---------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("count", [1, 10, 40, 150, 300])
def test_all_sequences_up_to_the_claimed_length_are_there(store: Any, count: int) -> None:
    """Enumerated here once more from the steps that occur: nothing is missing, and nothing is there twice."""
    found = made(store, extent=Extent(short=count, long_steps=(), large=False))
    present = Counter(map(shapes, found.short))
    kinds = {kind for sequence in map(shapes, made(store).short) for kind in sequence}
    assert len(kinds) == found.shapes
    expected = [
        sequence
        for length in range(1, found.exhaustive_length + 1)
        for sequence in itertools.product(kinds, repeat=length)
        if is_worth_running(sequence)
    ]
    assert set(expected) == {one for one in present if len(one) <= found.exhaustive_length}
    assert set(present.values()) == {1}


@EVERY
@pytest.mark.parametrize("count", [10, 40, 150])
def test_what_is_left_of_the_budget_is_a_sample_of_the_next_length(store: Any, count: int) -> None:
    """The budget is neither exceeded nor left unused."""
    found = made(store, extent=Extent(short=count, long_steps=(), large=False))
    longer = [workload for workload in found.short if len(workload.steps) > found.exhaustive_length]
    assert {len(workload.steps) for workload in longer} <= {found.exhaustive_length + 1}
    assert all(is_worth_running(shapes(workload)) for workload in longer)
    assert len(found.short) == count or found.exhaustive_length == MAXIMUM_LENGTH


@EVERY
def test_single_operations_are_always_there(store: Any) -> None:
    """However small the budget: what one operation does is tried for each."""
    found = made(store, extent=Extent(short=1, long_steps=(), large=False))
    assert found.exhaustive_length == 1
    kinds = {shapes(workload)[0] for workload in made(store).short}
    assert kinds == {shape(workload.steps[0]) for workload in found.short if len(workload.steps) == 1}


def test_the_length_is_bounded() -> None:
    """A large budget is no reason to go on for ever."""
    found = made(adapter(LOG), extent=Extent(short=10_000, long_steps=(), large=False))
    assert found.exhaustive_length == MAXIMUM_LENGTH
    assert max(len(workload.steps) for workload in found.short) == MAXIMUM_LENGTH


def test_an_operation_comes_after_reopening() -> None:
    """Writing after a recovery is where torn tails do their harm."""
    assert any(
        isinstance(left, Reopen) and isinstance(right, Append)
        for workload in made(adapter(LOG)).short
        for left, right in itertools.pairwise(workload.steps)
    )


def test_a_model_without_examples_gives_no_workloads() -> None:
    """Nothing is made up; that there is nothing to run is somebody else's verdict."""
    found = made(adapter(Silent()), extent=Extent(short=10, long_steps=(5,), large=True))
    assert (found.short, found.large) == ((), ())
    assert [workload.steps for workload in found.long] == [()]


# --- every family --------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_workloads(store: Any, seed: int) -> None:
    """All of them: short, long and large."""
    once, again = (workloads(store, seed=seed, extent=EXTENT) for _ in range(2))
    assert once == again


def test_workloads_that_change_nothing_are_known() -> None:
    """By the model: deleting what is absent, reading, and what the model leaves as it is."""
    found = workloads(adapter(KEY_VALUE), seed=0, extent=Extent(60, (), large=False))
    idle = {tuple(map(type, workload.operations)) for workload in found.short if workload.name in found.idle}
    busy = [workload for workload in found.short if workload.name not in found.idle]

    assert idle and set(itertools.chain(*idle)) == {Delete}
    assert all(any(isinstance(operation, Put) for operation in workload.operations) for workload in busy)


def test_a_model_that_cannot_tell_is_taken_to_change() -> None:
    class Broken(Clock):
        def step(self, state: Any, operation: Any) -> Any:
            raise RuntimeError

    assert workloads(adapter(Broken()), seed=0, extent=Extent(9, (), large=False)).idle == frozenset()


@EVERY
def test_another_seed_writes_something_else(store: Any) -> None:
    """Other values, in short and in long ones."""
    assert made(store, 1).short != made(store, 2).short
    assert made(store, 1).long != made(store, 2).long


@EVERY
def test_the_seed_does_not_change_what_is_exhausted(store: Any) -> None:
    """A certificate's bounds hold for every seed."""
    one, other = made(store, 1), made(store, 2)
    assert (one.exhaustive_length, one.shapes) == (other.exhaustive_length, other.shapes)


@EVERY
def test_what_is_not_supported_does_not_occur(store: Any) -> None:
    """An adapter is only asked for what it said that it takes."""
    mandatory = {KEY_VALUE: (Put, Delete), DOCUMENT: (Save,), LOG: (Append,)}
    declared = getattr(store, "operations", () if store.model in mandatory else (Tick, Tock))
    supported = (*mandatory.get(store.model, ()), *declared, Reopen)
    assert {type(step) for found in every(made(store)) for step in found.steps} == set(supported)


@BUILT_IN
def test_no_value_is_written_twice_in_a_workload(store: Any) -> None:
    """What is read tells who wrote it."""
    for workload in every(made(store)):
        counts = Counter(text for step in workload.steps for text in texts(step))
        assert [text for text, count in counts.items() if count > 1] == []


@EVERY
def test_names_are_unique(store: Any) -> None:
    """A finding names its workload."""
    names = [workload.name for workload in every(made(store))]
    assert len(set(names)) == len(names)


def test_a_family_is_found_by_its_name() -> None:
    """The names that scenarios use."""
    found = made(adapter(LOG))
    assert found.family("short") is found.short
    assert found.family("long") is found.long
    assert found.family("large") is found.large
    assert found.family("many") is found.many
    with pytest.raises(KeyError):
        found.family("huge")


# --- long and large ------------------------------------------------------------------------------


@EVERY
def test_long_workloads_have_the_operations_asked_for(store: Any) -> None:
    """Maintenance comes on top, between them."""
    found = made(store, extent=Extent(short=1, long_steps=(20, 45), large=False)).long
    ordinary = [[step for step in one.steps if not is_maintenance(type(step))] for one in found]
    assert [len(steps) for steps in ordinary] == [20, 45]
    assert any(isinstance(step, Reopen) for step in found[-1].steps)


@BUILT_IN
def test_large_values_span_buffers_and_shrink(store: Any) -> None:
    """Beyond 4, 8, 32 and 64 KiB; a long value is followed by a short one, and the store is reopened."""
    (workload,) = made(store).large
    sizes = [max(map(len, texts(step))) for step in workload.operations]
    assert all(any(size > limit * 1024 for size in sizes) for limit in (4, 8, 32, 64))
    assert any(left > 65_536 and right < 100 for left, right in itertools.pairwise(sizes))
    assert any(isinstance(step, Reopen) for step in workload.steps[1:-1])


def test_large_values_overwrite_one_key() -> None:
    """In a mapping they grow and shrink in place."""
    (workload,) = made(adapter(KEY_VALUE)).large
    assert Counter(step.key for step in workload.operations)["k1"] > 2


@EVERY
def test_large_workloads_are_made_where_wanted_and_possible(store: Any) -> None:
    """Nobody but its author knows a large operation of a user's model."""
    assert made(store, extent=Extent(short=1, long_steps=(), large=False)).large == ()
    assert bool(made(store).large) == (not isinstance(store.model, Clock))


# --- very many -----------------------------------------------------------------------------------


@BUILT_IN
def test_very_many_operations_have_one_size(store: Any) -> None:
    """So that one ends where an older one ended; none writes what another wrote, and nothing is reopened."""
    workload, *_ = workloads(store, seed=3, extent=Extent(1, (), large=False, many=260)).many
    steps = [step for step in workload.steps if not is_maintenance(type(step))]

    assert len(steps) == 260 and not any(isinstance(step, Reopen | Compact) for step in workload.steps)
    assert len({len(repr(step)) for step in steps}) == 1 == len(set(map(type, steps)))
    assert len(set(itertools.chain.from_iterable(map(texts, steps)))) == 260


def test_very_many_operations_overwrite_each_other() -> None:
    """In a mapping: an older record that is read as a new one must not say the same."""
    workload, _ = workloads(adapter(KEY_VALUE), seed=0, extent=Extent(1, (), large=False, many=50)).many
    assert len({step.key for step in workload.operations}) == 3


def test_who_can_sync_does_so_between_very_many_operations() -> None:
    (workload,) = workloads(adapter(LOG, Sync), seed=0, extent=Extent(1, (), large=False, many=20)).many
    assert [number for number, step in enumerate(workload.steps) if isinstance(step, Sync)] == [8, 17]


def test_the_examples_of_a_users_model_come_again_and_again() -> None:
    """Nobody but its author knows a small operation of it; without any there is nothing to do."""
    extent = Extent(1, (), large=False, many=30)
    (workload,) = workloads(adapter(Clock()), seed=0, extent=extent).many

    assert len(workload.steps) == 30 and {type(step) for step in workload.steps} == {Tick, Tock}
    assert workloads(adapter(Silent()), seed=0, extent=extent).many == ()


def test_very_many_operations_are_made_where_wanted() -> None:
    few, many = (Extent(1, (), large=False, many=count) for count in (0, 9))
    assert workloads(adapter(LOG), seed=0, extent=few).many == ()
    assert few.lacks("many") and few.lacks("large") and not few.lacks("short") and not many.lacks("many")


def test_keys_that_are_easily_taken_for_each_other_are_set_again_and_removed() -> None:
    """By case, separators, ends and normal forms; at the end some of each are still there."""
    _, workload = workloads(adapter(KEY_VALUE), seed=0, extent=Extent(1, (), large=False, many=9)).many
    state: dict[str, str] = {}
    for operation in workload.operations:
        state = KEY_VALUE.step(state, operation)[0]
    folds: list[Callable[[str], str]] = [
        str.casefold,
        lambda key: key.replace("/", "_"),
        lambda key: key.rstrip(". "),
        lambda key: unicodedata.normalize("NFC", key),
    ]
    keys = {operation.key for operation in workload.operations}
    written = [text for step in workload.steps for text in texts(step)]

    assert all(len(set(map(fold, keys))) < len(keys) for fold in folds)
    assert len(set(written)) == len(written) and set(state) < keys
    assert all(state.get(group[1]) and group[0] not in state for group in LOOKALIKE_KEYS)
    for other in (DOCUMENT, LOG, Clock()):
        assert len(workloads(adapter(other), seed=0, extent=Extent(1, (), large=False, many=9)).many) == 1
