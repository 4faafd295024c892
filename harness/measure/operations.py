"""An endless stream of operations for a store, from a seed: any of them can be made again from its number alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from harness.core.adapter import supported_operations
from harness.core.errors import UsageError
from harness.measure.lanes import marked

#: Operations are made in blocks of this many, each from the seed and its number.
BLOCK = 64


class Stream:
    """The operations that `adapter`, an object, gives (`measured_operations(random, count)`), else its model's
    examples. Those of a `caller` have keys or records of their own, see `harness.measure.lanes`.
    """

    def __init__(self, adapter: Any, seed: int, caller: int | None = None) -> None:
        self._adapter = adapter
        self._seed = f"{seed}" if caller is None else f"{seed} caller {caller}"
        self._caller = caller
        self._supported = supported_operations(adapter)
        self._number = -1
        self._block: Sequence[Any] = ()

    def holds(self, index: int) -> bool:
        """Whether the operation of this number is made already."""
        return index // BLOCK == self._number

    def at(self, index: int) -> Any:
        """The operation of this number, from 0. Raises `UsageError` where the adapter gives none."""
        if not self.holds(index):
            self._block = self._made(index // BLOCK)
            self._number = index // BLOCK
        operation = self._block[index % BLOCK]
        return operation if self._caller is None else marked(operation, self._caller)

    def before(self, end: int, left_out: Sequence[int] = ()) -> Iterator[Any]:
        """Those before `end` in order, without those whose numbers are in `left_out` (ascending)."""
        skipped = iter(left_out)
        skip = next(skipped, -1)
        for index in range(end):
            while 0 <= skip < index:
                skip = next(skipped, -1)
            if index != skip:
                yield self.at(index)

    def _made(self, number: int) -> Sequence[Any]:
        source = random.Random(f"endurance {self._seed} {number}")
        own = getattr(self._adapter, "measured_operations", None)
        made = own or self._adapter.model.example_operations
        found: list[Any] = []
        for count in (BLOCK, 2 * BLOCK, 8 * BLOCK):
            found = [operation for operation in made(source, count) if self._takes(operation)]
            if len(found) >= BLOCK:
                return found[:BLOCK]
        if not found:
            raise UsageError("the adapter gives no operation that it takes: there is nothing to run.")
        return [found[index % len(found)] for index in range(BLOCK)]

    def _takes(self, operation: Any) -> bool:
        return self._supported is None or isinstance(operation, self._supported)
