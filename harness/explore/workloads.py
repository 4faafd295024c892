"""Workloads for an adapter: all short ones over a small domain, and longer seeded ones.

Short workloads are bounded-exhaustive, after Mohan et al. (OSDI 2018): most crash bugs need no
more than three operations, so all sequences up to a length are tried before any long one. A shape says what an
operation does and to which key; values are unique, so that what is read tells who wrote it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.adapter import supported_operations
from harness.core.examples import LONG_SIZES, LOOKALIKE_KEYS, text
from harness.core.models import DOCUMENT, KEY_VALUE, LOG
from harness.core.operations import Append, AppendMany, Compact, Delete, Put, PutMany, Save, Sync
from harness.core.scenario import SPARSE_FAMILY
from harness.core.workload import Reopen, Workload
from harness.explore.clients import crowds, pairs

Shape = Callable[["_Values"], Any]
MAXIMUM_LENGTH = 6
#: Examples of a user's own model that become shapes: the first three, and one of each further kind.
MAXIMUM_SHAPES = 6
#: Where there are very many operations, and the store can sync, it does so after as many.
SYNC_EVERY = 8


@dataclass(frozen=True, slots=True)
class Extent:
    """How many workloads of each kind; `long_steps` holds the length of each long one, `many` that of the one with very
    many small operations, 0 for none. `pairs` of clients and `crowds` of more work at the same time, where a contract
    lets them."""

    short: int
    long_steps: tuple[int, ...]
    large: bool
    many: int = 0
    pairs: int = 2
    crowds: int = 1

    def lacks(self, family: str) -> bool:
        """Whether it has none of a family that other extents have."""
        return not {"large": self.large, SPARSE_FAMILY: self.many}.get(family, True)


@dataclass(frozen=True, slots=True)
class Workloads:
    """Workloads by family; `exhaustive_length`: all sequences of shapes up to it are among the short ones.

    `idle` names short ones whose operations change nothing, by the model: reads, refused ones, deleting what is absent.
    """

    short: tuple[Workload, ...]
    long: tuple[Workload, ...]
    large: tuple[Workload, ...]
    exhaustive_length: int
    shapes: int
    idle: frozenset[str] = frozenset()
    pairs: tuple[Workload, ...] = ()
    crowds: tuple[Workload, ...] = ()
    many: tuple[Workload, ...] = ()

    def family(self, name: str) -> tuple[Workload, ...]:
        families = {"short": self.short, "long": self.long, "large": self.large, SPARSE_FAMILY: self.many}
        return {**families, "pairs": self.pairs, "crowds": self.crowds}[name]


class _Values:
    """Unique values in the order of their use."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"values {seed}")
        self._count = 0

    def text(self, size: int = 12) -> str:
        self._count += 1
        return f"v{self._count}-{text(self._random, size)}"

    def number(self) -> int:
        self._count += 1
        return self._count


def workloads(adapter: Any, *, seed: int, extent: Extent, shared: bool = False) -> Workloads:
    """The workloads for an adapter class. The same seed gives the same ones. With `shared` there are those of several
    clients also where the contract does not let them."""
    supported = supported_operations(adapter)
    shapes = _shapes(adapter.model, supported, seed)
    steps = (*shapes, *_maintenance(supported))
    short, length = _short(shapes, steps, seed, extent.short)
    long = tuple(
        _long(adapter.model, supported, seed, number, count) for number, count in enumerate(extent.long_steps)
    )
    large = _large(adapter.model, seed) if extent.large else ()
    idle = frozenset(workload.name for workload in short if not _changes(adapter.model, workload))
    let = shared or adapter.contract.writers != "one"
    several = (pairs(adapter, seed, extent.pairs), crowds(adapter, seed, extent.crowds)) if let else ((), ())
    many = (*_many(adapter.model, shapes, supported, seed, extent.many), *_lookalikes(adapter.model, seed))
    return Workloads(short, long, large, length, len(steps), idle, *several, many if extent.many else ())


def _changes(model: Any, workload: Workload) -> bool:
    """Whether any operation changes the state. A model that can't tell is told of elsewhere."""
    try:
        state = model.initial()
        for operation in workload.operations:
            before, (state, _) = state, model.step(state, operation)
            if before != state:
                return True
    except Exception:
        return True
    return False


# --- shapes ------------------------------------------------------------------------------


def _shapes(model: Any, supported: tuple[type, ...] | None, seed: int) -> tuple[Shape, ...]:
    if model is KEY_VALUE:
        shapes: list[Shape] = [_put_first, _put_second, _delete_first]
        return (*shapes, _put_many) if supported and PutMany in supported else tuple(shapes)
    if model is DOCUMENT:
        return (_save_small, _save_larger)
    if model is LOG:
        return (_append, _append_many) if supported and AppendMany in supported else (_append,)
    examples = _supported(list(model.example_operations(random.Random(f"shapes {seed}"), 24)), supported)
    first, later = examples[:3], examples[3:]
    for example in later:  # every kind of operation has its shape
        if len(first) < MAXIMUM_SHAPES and all(type(example) is not type(other) for other in first):
            first.append(example)
    return tuple(_constant(example) for example in first)


def _put_first(values: _Values) -> Any:
    return Put("k1", values.text())


def _put_second(values: _Values) -> Any:
    return Put("k2", values.text(40))


def _delete_first(values: _Values) -> Any:
    return Delete("k1")


def _put_many(values: _Values) -> Any:
    return PutMany((("k1", values.text()), ("k3", values.text(30))))


def _save_small(values: _Values) -> Any:
    return Save({"number": values.number(), "name": values.text()})


def _save_larger(values: _Values) -> Any:
    return Save({"name": values.text(200), "items": [values.text(150), values.text(150), values.text(150)]})


def _append(values: _Values) -> Any:
    return Append(values.text(20))


def _append_many(values: _Values) -> Any:
    return AppendMany((values.text(), values.text(25)))


def _constant(operation: Any) -> Shape:
    return lambda values: operation


def _maintenance(supported: tuple[type, ...] | None) -> tuple[Any, ...]:
    extra = tuple(kind() for kind in (Sync, Compact) if supported and kind in supported)
    return (Reopen(), *extra)


def _supported(operations: list[Any], supported: tuple[type, ...] | None) -> list[Any]:
    return [operation for operation in operations if supported is None or isinstance(operation, supported)]


# --- short -------------------------------------------------------------------------------


def _short(
    shapes: tuple[Shape, ...], steps: tuple[Any, ...], seed: int, count: int
) -> tuple[tuple[Workload, ...], int]:
    """All sequences up to the greatest length that gives at most `count`, then a seeded sample of the next."""
    found: list[tuple[Any, ...]] = []
    length = 0
    for length in range(1, MAXIMUM_LENGTH + 1):
        longer = [
            sequence for sequence in itertools.product(steps, repeat=length) if _useful(sequence, shapes)
        ]
        if length > 1 and len(found) + len(longer) > count:
            sample = random.Random(f"short {seed}").sample(
                longer, max(0, min(len(longer), count - len(found)))
            )
            found.extend(sample)
            length -= 1
            break
        found.extend(longer)
    return tuple(
        _instance(f"short-{number}", sequence, seed) for number, sequence in enumerate(found)
    ), length


def _useful(sequence: tuple[Any, ...], shapes: tuple[Shape, ...]) -> bool:
    """Begins with an operation, has no maintenance twice in a row, and does not end by reopening."""
    if sequence[0] not in shapes or isinstance(sequence[-1], Reopen):
        return False
    return not any(left not in shapes and right not in shapes for left, right in itertools.pairwise(sequence))


def _instance(name: str, sequence: tuple[Any, ...], seed: int) -> Workload:
    values = _Values(seed)
    return Workload(name, tuple(step(values) if callable(step) else step for step in sequence))


# --- long and large ----------------------------------------------------------------------


def _long(model: Any, supported: tuple[type, ...] | None, seed: int, number: int, count: int) -> Workload:
    source = random.Random(f"long {seed} {number}")
    operations = _supported(list(model.example_operations(source, 2 * count)), supported)[:count]
    return Workload(f"long-{number}", tuple(_sprinkled(operations, supported, source)))


def _sprinkled(
    operations: list[Any], supported: tuple[type, ...] | None, source: random.Random
) -> Iterator[Any]:
    """Maintenance and reopening between the operations."""
    extra = _maintenance(supported)
    for operation in operations:
        yield operation
        if source.random() < 0.2:
            yield source.choice(extra)


def _large(model: Any, seed: int) -> tuple[Workload, ...]:
    """Values beyond 4, 8, 32 and 64 KiB, that grow and shrink."""
    source = random.Random(f"large {seed}")
    sizes = (LONG_SIZES[3], 20, LONG_SIZES[1], LONG_SIZES[0], LONG_SIZES[2])
    contents = [text(source, size) for size in sizes]
    steps: list[Any]
    if model is KEY_VALUE:
        steps = [
            Put("k1" if size > 100 else "k2", content) for size, content in zip(sizes, contents, strict=True)
        ]
    elif model is DOCUMENT:
        steps = [Save({"content": content}) for content in contents]
    elif model is LOG:
        steps = [Append(content) for content in contents]
    else:
        return ()
    return (Workload("large", (steps[0], steps[1], Reopen(), *steps[2:])),)


# --- very many ---------------------------------------------------------------------------


def _many(
    model: Any, shapes: tuple[Shape, ...], supported: tuple[type, ...] | None, seed: int, count: int
) -> tuple[Workload, ...]:
    """Small operations of one size, as many as let counters turn and files be rotated again and again.

    Of one size, so that what is written over an older record ends where that ended. Nothing is reopened between them:
    what a process counts for itself would begin anew.
    """
    if not shapes:
        return ()
    source, values = random.Random(f"many {seed}"), _Values(seed)
    steps: list[Any] = []
    for number in range(count):
        small = _small(model, number, f"{number:06}-{text(source, 8)}")
        steps.append(shapes[number % len(shapes)](values) if small is None else small)
        if supported and Sync in supported and (number + 1) % SYNC_EVERY == 0:
            steps.append(Sync())
    return (Workload(SPARSE_FAMILY, tuple(steps)),)


def _lookalikes(model: Any, seed: int) -> tuple[Workload, ...]:
    """Keys that are easily taken for each other: all are set, some are set again, and some removed."""
    if model is not KEY_VALUE:
        return ()
    values = _Values(seed)
    first = [Put(key, values.text()) for group in LOOKALIKE_KEYS for key in group]
    again = [Put(group[1], values.text()) for group in LOOKALIKE_KEYS]
    gone = [Delete(group[0]) for group in LOOKALIKE_KEYS]
    return (Workload("lookalikes", (*first, Reopen(), *again, *gone)),)


def _small(model: Any, number: int, content: str) -> Any:
    """The operation with this number, or `None` where the model is the user's own."""
    if model is KEY_VALUE:
        return Put(f"k{1 + number % 3}", content)
    if model is DOCUMENT:
        return Save({"name": content})
    return Append(content) if model is LOG else None
