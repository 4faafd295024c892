"""Operations for measuring, seeded: ordinary sizes, all kinds that an adapter takes, the same mixture at all times.

The examples of the models look for defects: few keys, nasty values, records of many pages. What is measured here is
what stores do all day: values of 50 to 1,000 characters (`SIZES`), some hundred keys, one read for two writes where
reads are supported. An adapter with a load of its own has `measured_operations(random, count)`; a model of a user's own
has its examples.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

from harness.core.adapter import supported_operations
from harness.core.errors import UsageError
from harness.core.examples import text
from harness.core.models import DOCUMENT, KEY_VALUE, LOG
from harness.core.operations import Append, AppendMany, Delete, Get, Load, Put, PutMany, Read, Save

KEYS = 200
#: Characters of a value: each as often as the others.
SIZES = (50, 100, 200, 400, 1_000)
_POOL_CHARACTERS = 8_192
_READ_BACK = 20

Make = Callable[["_Source"], Any]


class _Source:
    """Unique texts, cut out of one random text: making them costs next to nothing."""

    def __init__(self, source: random.Random) -> None:
        self.random = source
        self.records = 0
        self._pool = text(source, _POOL_CHARACTERS)
        self._numbers = itertools.count()

    def text(self) -> str:
        size = self.random.choice(SIZES)
        start = self.random.randrange(_POOL_CHARACTERS - size)
        return f"{next(self._numbers)}-{self._pool[start : start + size]}"

    def key(self) -> str:
        return f"key-{self.random.randrange(KEYS)}"


def measured_operations(adapter: Any, seed: str, count: int) -> list[Any]:
    """`count` operations that the adapter class takes. The same seed gives the same ones.

    Raises `UsageError` where there are not so many.
    """
    source = random.Random(seed)
    if callable(getattr(adapter, "measured_operations", None)):
        found = list(adapter().measured_operations(source, count))
    elif (makers := _makers(adapter)) is not None:
        found = list(itertools.islice(_made(makers, _Source(source)), count))
    else:
        found = _examples(adapter, seed, count)
    if len(found) < count:
        raise UsageError(
            f"there is not enough to measure: of {count} operations that were asked for the adapter takes {len(found)}."
        )
    return found[:count]


def _made(makers: tuple[Make, ...], source: _Source) -> Iterator[Any]:
    """Round after round of all of them, each time in another order."""
    while True:
        for maker in source.random.sample(makers, len(makers)):
            yield maker(source)


def _makers(adapter: Any) -> tuple[Make, ...] | None:
    """What a round consists of; `None` where the model is the user's own."""
    rounds = {KEY_VALUE: _KEY_VALUE, DOCUMENT: _DOCUMENT, LOG: _LOG}
    for model, wanted in rounds.items():
        if adapter.model is model:
            kinds = supported_operations(adapter) or ()
            return tuple(maker for kind, maker in wanted if kind in kinds)
    return None


def _append(source: _Source) -> Append:
    source.records += 1
    return Append(source.text())


def _append_many(source: _Source) -> AppendMany:
    source.records += 4
    return AppendMany(tuple(source.text() for _ in range(4)))


def _document(source: _Source) -> Save:
    return Save({"name": source.text(), "items": [source.text() for _ in range(4)]})


def _put(source: _Source) -> Put:
    return Put(source.key(), source.text())


def _put_many(source: _Source) -> PutMany:
    return PutMany(tuple((source.key(), source.text()) for _ in range(4)))


_KEY_VALUE: tuple[tuple[type, Make], ...] = (
    (Put, _put),
    (Put, _put),
    (Put, _put),
    (PutMany, _put_many),
    (Delete, lambda source: Delete(source.key())),
    (Get, lambda source: Get(source.key())),
    (Get, lambda source: Get(source.key())),
)
_DOCUMENT: tuple[tuple[type, Make], ...] = (
    (Save, _document),
    (Save, _document),
    (Load, lambda source: Load()),
)
_LOG: tuple[tuple[type, Make], ...] = (
    (Append, _append),
    (Append, _append),
    (Append, _append),
    (AppendMany, _append_many),
    (Read, lambda source: Read(max(0, source.records - _READ_BACK))),
    (Read, lambda source: Read(max(0, source.records - _READ_BACK))),
)


def _examples(adapter: Any, seed: str, count: int) -> list[Any]:
    """Those of the model; some of them may be of kinds that the adapter does not take."""
    supported = supported_operations(adapter)
    found: list[Any] = []
    for factor in (1, 2, 4):
        examples = adapter.model.example_operations(random.Random(seed), factor * count)
        found = [operation for operation in examples if supported is None or isinstance(operation, supported)]
        if len(found) >= count:
            break
    return found
