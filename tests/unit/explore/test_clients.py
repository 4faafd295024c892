"""Workloads of several clients: unique values, few keys, and something for everybody to do."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from harness import (
    DOCUMENT,
    KEY_VALUE,
    LOG,
    Append,
    AppendMany,
    Compact,
    Contract,
    Delete,
    Get,
    Load,
    Put,
    PutMany,
    Read,
    Save,
    Sync,
)
from harness.core.workload import By
from harness.explore.clients import LONG, SHORT, crowds, every_kind, pairs, workload_source
from harness.explore.workloads import Extent, workloads
from store_under_test.metrics_store.adapter import MetricsStoreAdapter, MetricsUpdateAdapter, ReadState


def adapter(model: Any, *operations: type, writers: str = "processes") -> Any:
    return type("A", (), {"model": model, "operations": operations, "contract": Contract(writers=writers)})


KEYS = adapter(KEY_VALUE, Put, Delete, PutMany, Get)
RECORDS = adapter(LOG, Append, AppendMany, Read)
DOCUMENTS = adapter(DOCUMENT, Save, Load)


def values(steps: tuple[Any, ...]) -> list[str]:
    """Every value that is written."""
    found: list[str] = []
    for step in steps:
        match step.operation:
            case Put(_, value) | Append(value):
                found.append(value)
            case PutMany(items):
                found.extend(value for _, value in items)
            case AppendMany(records):
                found.extend(records)
            case Save(document):
                found.append(document["text"])
    return found


@pytest.mark.parametrize("kind", [KEYS, RECORDS, DOCUMENTS])
def test_values_are_unique_and_say_who_wrote_them(kind: Any) -> None:
    for made in (*pairs(kind, 0, 6), *crowds(kind, 0, 3)):
        written = values(made.steps)
        assert len(set(written)) == len(written) > 1
        assert all(isinstance(step, By) for step in made.steps)
        for step in made.steps:
            assert all(value.startswith(f"{step.client}-") for value in values((step,)))


@pytest.mark.parametrize("kind", [KEYS, RECORDS, DOCUMENTS])
def test_a_pair_has_a_beginning_and_two_clients_that_read(kind: Any) -> None:
    """Long values meet short ones, first one way round and then the other."""
    first, second = pairs(kind, 0, 2)
    for made in (first, second):
        assert {step.client for step in made.steps} == {0, 1, 2}
        readers = {step.client for step in made.steps if isinstance(step.operation, Get | Load | Read)}
        assert readers == {1, 2}
    lengths = [max(map(len, values((made.steps[1],)))) for made in (first, second)]
    assert lengths[0] > LONG > lengths[1] > SHORT


def test_the_first_of_a_pair_reads_a_key_that_is_there_and_that_the_second_changes() -> None:
    def key(operation: Any) -> str:
        return str(operation.items[0][0] if isinstance(operation, PutMany) else operation.key)

    for made in pairs(KEYS, 0, 8):
        beginning, _, read, change, *_ = (step.operation for step in made.steps)
        assert isinstance(beginning, Put) and isinstance(read, Get)
        assert beginning.key == read.key == key(change)


def test_a_crowd_has_three_or_four_clients() -> None:
    assert [len({step.client for step in made.steps}) for made in crowds(KEYS, 0, 3)] == [4, 5, 5]


def test_the_same_seed_gives_the_same_and_another_one_others() -> None:
    assert pairs(KEYS, 0, 3) == pairs(KEYS, 0, 3) != pairs(KEYS, 1, 3)
    assert crowds(RECORDS, 0, 3) == crowds(RECORDS, 0, 3) != crowds(RECORDS, 1, 3)


def test_only_what_the_adapter_takes_is_asked_for() -> None:
    plain = adapter(LOG)
    steps = [step for made in (*pairs(plain, 0, 6), *crowds(plain, 0, 3)) for step in made.steps]
    assert {type(step.operation) for step in steps} == {Append}


@pytest.mark.parametrize("kind", [MetricsStoreAdapter, MetricsUpdateAdapter])
def test_a_model_of_the_users_own_gives_the_examples(kind: Any) -> None:
    """What reads is found by trying it on the first state."""
    made = pairs(kind, 0, 4)
    operations = [step.operation for workload in made for step in workload.steps]
    assert all(isinstance(operation, kind.operations) for operation in operations)
    assert ReadState() in operations


@dataclasses.dataclass(frozen=True)
class Flip:
    """Changes something, and takes no argument."""


@dataclasses.dataclass(frozen=True)
class Unknown:
    """The model does not know it."""


class FlipModel:
    def initial(self) -> bool:
        return False

    def step(self, state: bool, operation: Any) -> tuple[bool, Any]:
        if not isinstance(operation, Flip):
            raise TypeError("no operation")
        return not state, None

    def equal(self, recovered: Any, state: bool) -> bool:
        return bool(recovered == state)

    def example_operations(self, random: random.Random, count: int) -> list[Any]:
        return [Flip() for _ in range(min(count, 3))]


def test_few_examples_are_used_again_and_no_change_is_taken_for_a_read() -> None:
    kind = adapter(FlipModel(), Flip, Unknown)
    assert workload_source(kind, "0").reads(0) == []
    steps = crowds(kind, 0, 3)[2].steps
    assert len(steps) > 3 and {type(step.operation) for step in steps} == {Flip}


# --- every kind -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        adapter(KEY_VALUE, Put, Delete, PutMany, Get, Sync, Compact),
        adapter(LOG, Append, AppendMany, Read, Compact),
        adapter(DOCUMENT, Save, Load),
        MetricsStoreAdapter,
        MetricsUpdateAdapter,
    ],
)
def test_each_client_does_operations_of_every_kind(kind: Any) -> None:
    """What no pair has, maintenance for one, is among them; the same ones for the same seed."""
    lanes = every_kind(kind, "0", 3)
    assert len(lanes) == 3 and all(6 <= len(lane) <= 10 for lane in lanes)
    assert all({type(operation) for operation in lane} == set(kind.operations) for lane in lanes)
    assert lanes == every_kind(kind, "0", 3) != every_kind(kind, "1", 3)


def test_values_of_every_kind_are_unique_where_the_harness_makes_them() -> None:
    steps = tuple(By(n, operation) for n, lane in enumerate(every_kind(KEYS, "0", 3)) for operation in lane)
    assert len(set(values(steps))) == len(values(steps)) > 6


def test_few_examples_of_one_kind_are_enough_for_every_kind() -> None:
    assert every_kind(adapter(FlipModel(), Flip, Compact), "0", 2) == ((Flip(), Compact(), Flip()) * 2,) * 2


def test_where_one_writer_is_promised_nobody_else_works() -> None:
    extent = Extent(2, (), large=False)
    alone = workloads(adapter(KEY_VALUE, writers="one"), seed=0, extent=extent)
    shared = workloads(KEYS, seed=0, extent=extent)
    assert alone.family("pairs") == alone.family("crowds") == ()
    assert len(shared.family("pairs")) == 2 and len(shared.family("crowds")) == 1
