"""Versions of a small store, written into folders, and adapters for it."""

from __future__ import annotations

from pathlib import Path

from harness.measure.stages import Stage

#: Few pairs with generous levels: enough to tell twice as slow from equally fast.
FEW = (Stage(6, 1, 0.1, 0.1), Stage(10, 2, 0.1, 0.1))

#: Its time is none but what it says itself: no machine is so busy that a test of it fails.
STORE = """
import time

spent_ns = 0
time.perf_counter_ns = lambda: spent_ns


class Store:
    def __init__(self):
        self.items = {{}}

    def put(self, key, value):
        {failing}
        self.spend({put_ns})
        self.items[key] = value

    def delete(self, key):
        {failing}
        self.spend(10_000)
        self.items.pop(key, None)

    def spend(self, nanoseconds):
        global spent_ns
        spent_ns += nanoseconds
"""

ADAPTER = """
from harness import KEY_VALUE, Contract, Put, Unsupported
{imports}


class Adapter:
    name = "dictionary"
    model = KEY_VALUE
    contract = Contract(process_crash=None, power_loss=None, io_error=None, corruption=None)

    def open(self, directory):
        {opening}
        return Store()

    def apply(self, store, operation):
        if isinstance(operation, Put):
            store.put(operation.key, operation.value)
        else:
            store.delete(operation.key)

    def snapshot(self, store):
        return dict(store.items)

    def close(self, store):
        pass
"""


def store_in(folder: Path, *, put_ns: int = 20_000, failing: str = "pass") -> Path:
    """A version of the store in a package `dictstore` below `folder`."""
    package = folder / "dictstore"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "store.py").write_text(STORE.format(put_ns=put_ns, failing=failing))
    return folder


def adapter_in(file: Path, *, imports: str = "from dictstore.store import Store", opening: str = "pass") -> str:
    """The adapter in a file; returns its name for the command line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(ADAPTER.format(imports=imports, opening=opening))
    return f"{file}:Adapter"
