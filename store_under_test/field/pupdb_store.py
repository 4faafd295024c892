"""PupDB 0.1.4.

`set(key, value)`: "Stores the `value` mapped to `key` in the database file." `remove(key)`: "Removes the `key` from the
database file." So a change is in the file when the call returns. Nothing is said about the power.
"""

from pathlib import Path

from pupdb.core import PupDB

from harness import KEY_VALUE, Contract, Delete, Put


class Adapter:
    name = "pupdb"
    model = KEY_VALUE
    contract = Contract(power_loss=None, io_error=None, corruption=None)

    def open(self, directory: Path) -> PupDB:
        return PupDB(str(directory / "db.json"))

    def apply(self, store: PupDB, operation: object) -> None:
        match operation:
            case Put(key, value) if not store.set(key, value):
                raise OSError("set returned False")
            case Delete(key) if key in store.keys() and not store.remove(key):
                raise OSError("remove returned False")

    def snapshot(self, store: PupDB) -> dict[str, str]:
        return dict(store.items())

    def close(self, store: PupDB) -> None:
        """There is nothing to close."""
