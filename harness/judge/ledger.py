"""What a store must hold after a very long run, kept in little memory.

A ledger steps through the operations that were acknowledged, and at a pause says whether what the store shows is what
they lead to. An operation that raised, or was cut off by a kill, may have happened or not: both states are kept as
candidates until the next look at the store settles which.

A log grows with the run, so its state is not kept but its length and a digest of all its records in order (BLAKE2b of
the digest before and the record, 128 bits). Two different logs of one digest are taken for equal; that happens by
chance less than once in 2**60 looks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.core.models import LOG, equals
from harness.core.operations import Append, AppendMany, Compact, Read, Sync

_DIGEST_BYTES = 16


class LogDigest:
    """The log model with a digest in the place of the records."""

    name = "LOG"

    def initial(self) -> tuple[int, bytes]:
        return 0, bytes(_DIGEST_BYTES)

    def step(self, state: tuple[int, bytes], operation: object) -> tuple[tuple[int, bytes], Any]:
        match operation:
            case Append(record):
                return _appended(state, (record,)), state[0]
            case AppendMany(records):
                return _appended(state, records), state[0]
            case Read() | Sync() | Compact():
                return state, None
        raise TypeError(f"{self.name} has no operation {type(operation).__name__}")

    def equal(self, recovered: Any, state: tuple[int, bytes]) -> bool:
        if not isinstance(recovered, list | tuple) or len(recovered) != state[0]:
            return False
        if not all(isinstance(record, str) for record in recovered):
            return False
        return _appended(self.initial(), recovered) == state


def _appended(state: tuple[int, bytes], records: Iterable[str]) -> tuple[int, bytes]:
    length, digest = state
    for record in records:
        digest = hashlib.blake2b(digest + record.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()
        length += 1
    return length, digest


def accounting(model: Any) -> Any:
    """The model to keep a ledger with: `model`, or one that needs less memory."""
    return LogDigest() if model is LOG else model


class Ledger:
    """The states that a store may be in."""

    def __init__(self, model: Any, states: Iterable[Any] = ()) -> None:
        """`states` are those to go on from; the initial one where there is none."""
        self._model = accounting(model)
        self._states: list[Any] = list(states) or [self._model.initial()]

    @property
    def candidates(self) -> int:
        return len(self._states)

    def happened(self, operation: Any) -> None:
        """It was acknowledged."""
        self._states = [self._model.step(state, operation)[0] for state in self._states]

    def in_doubt(self, operation: Any) -> None:
        """It may have happened or not. States are kept in the order of fewest operations first."""
        after = [self._model.step(state, operation)[0] for state in self._states]
        self._states += after

    def settle(self, snapshot: Any) -> int | None:
        """Keep the first state that `snapshot` shows, and return its number; `None` where it shows none of them.

        Bit k of the number tells whether the k-th operation in doubt has happened.
        """
        for number, state in enumerate(self._states):
            if equals(self._model, snapshot, state):
                self._states = [state]
                return number
        return None


@dataclass(frozen=True, slots=True)
class Standing:
    """The store shows the state after `operations` of those that began, and `ledger` goes on from there."""

    operations: int
    ledger: Ledger


def standing(model: Any, operations: Iterable[Any], owed: int, snapshot: Any) -> Standing | None:
    """The longest prefix of `operations`, at least `owed` of them, whose state `snapshot` shows; `None` if there is
    none.

    Holds one state at a time, and compares from `owed` on: where everything is owed, once.
    """
    used = accounting(model)
    state, found, count = used.initial(), None, 0
    for operation in operations:
        if count >= owed and equals(used, snapshot, state):
            found = (count, state)
        state, count = used.step(state, operation)[0], count + 1
    if equals(used, snapshot, state):
        found = (count, state)
    if found is None:
        return None
    return Standing(found[0], Ledger(model, (found[1],)))
