"""Workloads of several clients that work on one store at the same time.

Values are unique and keys are few, so that operations meet and what is read tells who wrote it. In a pair the first
client does one operation and reads what the second changes, who does some whole operations meanwhile; it is there from
the beginning, so that a read may find half of each. Long values meet short ones,
because one that is written over another shows only where their lengths differ. In a crowd everybody does what comes.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator
from typing import Any

from harness.core.adapter import supported_operations
from harness.core.examples import text
from harness.core.models import DOCUMENT, KEY_VALUE, LOG
from harness.core.operations import Append, AppendMany, Compact, Delete, Get, Load, Put, PutMany, Read, Save, Sync
from harness.core.workload import By, Workload

#: Lengths of values in characters: the second is several times the first, the last needs more than a page.
SHORT, LONG, LONGEST = 8, 400, 5_000
_KEYS = ("k1", "k2")
_EXAMPLES = 24
#: Where every kind of operation is wanted, the fewest operations of each client, and the most.
_KINDS_LEAST, _KINDS_MOST = 6, 10
#: Clients of a crowd, and operations of each.
_CROWDS = ((3, 4), (4, 3), (4, 5))


def pairs(adapter: Any, seed: int, count: int) -> tuple[Workload, ...]:
    """So many workloads of two clients, after a beginning by a third; the same ones for the same seed."""
    sources = (workload_source(adapter, f"pair {seed} {number}") for number in range(count))
    return tuple(Workload(f"pair-{n}", tuple(_pair(source, n))) for n, source in enumerate(sources))


def crowds(adapter: Any, seed: int, count: int) -> tuple[Workload, ...]:
    """So many workloads of three or four clients."""
    sources = (workload_source(adapter, f"crowd {seed} {number}") for number in range(count))
    return tuple(Workload(f"crowd-{n}", tuple(_crowd(source, n))) for n, source in enumerate(sources))


def every_kind(adapter: Any, seed: str, clients: int) -> tuple[tuple[Any, ...], ...]:
    """For each of so many clients operations of every kind that the adapter takes, those without effect included."""
    source = workload_source(adapter, f"kinds {seed}")
    return tuple(_repeated(source, client) for client in range(1, clients + 1))


def _repeated(source: Source, client: int) -> tuple[Any, ...]:
    """Some of each kind, and once more until there are a few: what a store does now and then has its turn."""
    found: list[Any] = []
    while len(found) < _KINDS_LEAST and (kinds := source.kinds(client)):
        found += kinds
    return tuple(found[:_KINDS_MOST])


def _pair(source: Source, number: int) -> Iterator[By]:
    long_first = number % 2 == 0
    yield By(0, source.beginning(number))
    yield By(1, source.change(1, number, LONG if long_first else SHORT))
    second = source.change(2, number + 1, SHORT if long_first else LONG)
    yield from (By(1, read) for read in source.reads_of(second))
    yield By(2, second)
    yield from (By(2, read) for read in source.reads(1))
    if number > 1:
        yield By(2, source.any(2))


def _crowd(source: Source, number: int) -> Iterator[By]:
    clients, each = _CROWDS[number % len(_CROWDS)]
    yield By(0, source.change(0, 0, SHORT))
    for turn in range(each):
        for client in range(1, clients + 1):
            yield from (By(client, operation) for operation in source.turn(client, turn))


class Source:
    """Operations for one workload of a built-in model. Each value says which client wrote it, and is there once."""

    def __init__(self, model: Any, supported: tuple[type, ...], seed: str) -> None:
        self._model = model
        self._supported = supported
        self._random = random.Random(seed)
        self._count = 0

    def change(self, client: int, number: int, size: int) -> Any:
        """A change of some kind; kinds and keys take turns by `number`."""
        return self._changes(client, size)[number % len(self._changes(client, size))]

    def beginning(self, number: int) -> Any:
        """What comes before the changes `number` and the next one: the key of that gets a value, if there are keys."""
        changes = self._changes(0, SHORT)
        key = _key(changes[(number + 1) % len(changes)])
        return next((put for put in changes if isinstance(put, Put) and put.key == key), changes[number % len(changes)])

    def reads_of(self, change: Any) -> list[Any]:
        """At most one operation that reads what `change` changes."""
        return self.reads(_KEYS.index(_key(change) or _KEYS[0]))

    def any(self, client: int) -> Any:
        """A change of any kind, with a value of any length."""
        changes = self._changes(client, self._random.choice((SHORT, LONG, LONGEST)))
        return self._random.choice(changes)

    def reads(self, number: int) -> list[Any]:
        """At most one operation that reads."""
        reads = (Get(_KEYS[number % 2]), Load(), Read(0))
        return [read for read in reads if type(read) in self._supported]

    def kinds(self, client: int) -> list[Any]:
        """Operations of each kind, each kind once before any comes twice."""
        changes = [self.change(client, number, SHORT) for number in range(len(self._changes(client, SHORT)))]
        return [*changes, *self.reads(0), *self._maintenance()]

    def _maintenance(self) -> list[Any]:
        return [kind() for kind in (Sync, Compact) if kind in self._supported]

    def turn(self, client: int, number: int) -> list[Any]:
        """What a client of a crowd does next: now and then it reads."""
        reads = self.reads(number)
        return reads if reads and self._random.random() < 0.3 else [self.any(client)]

    def _changes(self, client: int, size: int) -> tuple[Any, ...]:
        if self._model is DOCUMENT:
            return (Save({"by": client, "text": self._text(client, size)}),)
        if self._model is LOG:
            many = AppendMany((self._text(client, SHORT), self._text(client, size)))
            return self._taken(Append(self._text(client, size)), many)
        first, second = _KEYS
        many_put = PutMany(((first, self._text(client, SHORT)), (second, self._text(client, size))))
        text_of = self._text(client, size)
        return self._taken(Put(first, text_of), Put(second, text_of), many_put, Delete(first))

    def _taken(self, *changes: Any) -> tuple[Any, ...]:
        return tuple(change for change in changes if type(change) in self._supported)

    def _text(self, client: int, size: int) -> str:
        self._count += 1
        return f"{client}-{self._count}-{text(self._random, size)}"


def _key(change: Any) -> str | None:
    """The key that a change is about, or its first one."""
    match change:
        case Put(key) | Delete(key):
            return str(key)
        case PutMany(items):
            return str(items[0][0])
    return None


class ExampleSource(Source):
    """The same for a model of the user's own: what it gives as examples, in their order."""

    def __init__(self, adapter: Any, seed: str) -> None:
        super().__init__(adapter.model, supported_operations(adapter) or (), seed)
        examples = adapter.model.example_operations(random.Random(seed), _EXAMPLES)
        self._examples = iter(_in_turn([example for example in examples if self._takes(example)]))

    def change(self, client: int, number: int, size: int) -> Any:
        return self.any(client)

    def beginning(self, number: int) -> Any:
        return self.any(0)

    def any(self, client: int) -> Any:
        return next(self._examples)

    def kinds(self, client: int) -> list[Any]:
        """The first and the second example of each kind, and what the examples need not have."""
        found: dict[type, list[Any]] = {}
        for example in itertools.islice(self._examples, _EXAMPLES):
            found.setdefault(type(example), []).append(example)
        others = [each for each in (*self._plain_reads(), *self._maintenance()) if type(each) not in found]
        seconds = [same[1] for same in found.values() if len(same) > 1]
        return [*(same[0] for same in found.values()), *others, *seconds]

    def reads(self, number: int) -> list[Any]:
        """The operations without arguments that leave the first state as it is, one at a time."""
        reads = self._plain_reads()
        return [reads[number % len(reads)]] if reads else []

    def _plain_reads(self) -> list[Any]:
        plain = (kind() for kind in self._supported if dataclasses.is_dataclass(kind) and not dataclasses.fields(kind))
        return [read for read in plain if self._reads(read)]

    def _takes(self, example: Any) -> bool:
        return not self._supported or isinstance(example, self._supported)

    def _reads(self, operation: Any) -> bool:
        state = self._model.initial()
        try:
            after, answer = self._model.step(state, operation)
        except Exception:  # a model need not know the operations that every store may have, such as Sync
            return False
        return bool(after == state) and answer is not None


def _in_turn(examples: list[Any]) -> Iterator[Any]:
    while examples:
        yield from examples


def workload_source(adapter: Any, seed: str) -> Source:
    """Where the operations of one workload come from."""
    if any(adapter.model is model for model in (KEY_VALUE, DOCUMENT, LOG)):
        return Source(adapter.model, supported_operations(adapter) or (), seed)
    return ExampleSource(adapter, seed)
