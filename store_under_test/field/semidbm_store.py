"""semidbm 0.5.1, with `sync`.

"These values are persisted to disk, and you can later retrieve these key/value pairs." `sync`: "This will flush any of
the existing buffers and fsync the data to disk. You should call this method to guarantee that the data is written to
disk."
"""

from pathlib import Path
from typing import Any

import semidbm

from harness import KEY_VALUE, Compact, Contract, Delete, Put, Sync


class Adapter:
    name = "semidbm"
    model = KEY_VALUE
    contract = Contract(process_crash="synced", power_loss="synced", io_error=None, corruption=None)
    operations = (Put, Delete, Sync, Compact)

    def open(self, directory: Path) -> Any:
        return semidbm.open(str(directory / "db"), "c")

    def apply(self, store: Any, operation: object) -> None:
        match operation:
            case Put(key, value):
                store[key] = value
            case Delete(key) if key.encode() in store:
                del store[key]
            case Sync():
                store.sync()
            case Compact():
                store.compact()

    def snapshot(self, store: Any) -> dict[str, str]:
        return {key.decode(): store[key].decode() for key in store.keys()}

    def close(self, store: Any) -> None:
        store.close()
