"""Adapters whose snapshots or models nothing can be judged by: always, or only on what damage or a crash has left."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from harness import Contract, Save
from harness.core.models import DOCUMENT
from tests.stores.honest import InPlace, Sound
from tests.stores.hostile import Bump, Counter, CounterStore


class Prickly:
    """A value that can't even be compared."""

    def __eq__(self, other: object) -> bool:
        raise LookupError("with what?")

    def __hash__(self) -> int:
        return 7


def nested(levels: int) -> Any:
    value: Any = "core"
    for _ in range(levels):
        value = [value]
    return value


# --- always ----------------------------------------------------------------------------------


class Accounts:
    """A model of the user's own whose step changes the dict that it is given."""

    def initial(self) -> dict[str, int]:
        return {}

    def step(self, state: dict[str, int], operation: Any) -> tuple[dict[str, int], Any]:
        state["count"] = state.get("count", 0) + operation.by
        return state, None

    def equal(self, recovered: Any, state: dict[str, int]) -> bool:
        return bool(recovered == state.get("count", 0))

    def example_operations(self, random: random.Random, count: int) -> list[Any]:
        return [Bump(random.randrange(1, 9)) for _ in range(count)]


class Tally:
    """A state that is equal to nothing but itself."""

    def __init__(self) -> None:
        self.count = 0


class Objects(Accounts):
    """As `Accounts`, with an object in the place of the dict."""

    def initial(self) -> Any:
        return Tally()

    def step(self, state: Any, operation: Any) -> tuple[Any, Any]:
        state.count += operation.by
        return state, None

    def equal(self, recovered: Any, state: Any) -> bool:
        return bool(recovered == state.count)


class ChangesStates(CounterStore):
    name = "changes-states"
    model = Accounts()


class WrongType(Sound):
    """Its snapshot is a list of pairs, and so it is on a new store."""

    name = "wrong-type"

    def snapshot(self, store: Path) -> Any:
        return list(self.read(store).items())


class Encoded(Sound):
    """Its values are bytes, which a new store does not show yet."""

    name = "encoded"

    def snapshot(self, store: Path) -> Any:
        return {key: value.encode() for key, value in self.read(store).items()}


class Incomparable(Sound):
    """Its keys are text, and its values can't be compared."""

    name = "incomparable"

    def snapshot(self, store: Path) -> Any:
        return {key: Prickly() for key in self.read(store)}


class Deep(CounterStore):
    """Nested deeper than anything that can be copied."""

    name = "deep"

    class _Model(Counter):
        def equal(self, recovered: Any, state: int) -> bool:
            return True

    model = _Model()

    def snapshot(self, store: Path) -> Any:
        return nested(5_000)


# --- only on what is left of it --------------------------------------------------------------


class PricklyWhenTorn(InPlace):
    """Shows what can't be compared where a crash has emptied its file."""

    name = "prickly-when-torn"

    def read(self, path: Path) -> Any:
        return {"k1": Prickly()} if path.exists() and not path.read_text() else super().read(path)


class DeepWhenTorn(InPlace):
    """Shows what can't be copied where a crash has emptied its file."""

    name = "deep-when-torn"

    def read(self, path: Path) -> Any:
        return {"k1": nested(5_000)} if path.exists() and not path.read_text() else super().read(path)


class PricklyWhenDamaged(Sound):
    """A document in a file; where that can't be read as JSON, a value stands for it that can't be compared."""

    name = "prickly-when-damaged"
    model = DOCUMENT
    contract = Contract(power_loss=None, io_error=None)
    shows: Any = Prickly()

    def apply(self, store: Path, operation: Any) -> None:
        assert isinstance(operation, Save)
        self.write(store, operation.document)

    def read(self, path: Path) -> Any:
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return {"name": self.shows}


class DeepWhenDamaged(PricklyWhenDamaged):
    name = "deep-when-damaged"
    shows = nested(5_000)


