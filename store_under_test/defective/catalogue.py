"""What the zoo holds, and what the harness is expected to say about each store.

The rows live in parts, modules named `catalogue_<part>`, each with a tuple `ROWS`. A part
is found by its name, so that adding one touches no other file.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

PACKAGE = "store_under_test.defective"


@dataclass(frozen=True, slots=True)
class Row:
    """One store of the zoo.

    `module` is the name of its module in this package, `faults` the codes of the faults that
    reveal the defect. `claims` are those of the contract that are expected to be broken, `kinds`
    the kinds of finding that are acceptable; both are empty where the store is sound.
    """

    id: str
    module: str
    defect: str
    faults: tuple[str, ...]
    claims: tuple[str, ...]
    kinds: tuple[str, ...]


def rows() -> tuple[Row, ...]:
    """All rows of all parts, in the order of the parts' names."""
    package = importlib.import_module(PACKAGE)
    parts = sorted(
        found.name for found in pkgutil.iter_modules(package.__path__) if found.name.startswith("catalogue_")
    )
    return tuple(row for part in parts for row in _rows_of(part))


def load_adapter(row: Row) -> type[Any]:
    """The adapter class of a row's store."""
    adapter: type[Any] = importlib.import_module(f"{PACKAGE}.{row.module}").Adapter
    return adapter


def _rows_of(part: str) -> tuple[Row, ...]:
    module = importlib.import_module(f"{PACKAGE}.{part}")
    found: tuple[Row, ...] = module.ROWS
    return found
