"""pickleDB 1.6, saved after each change.

`PickleDB.save`: "Atomically save database to disk. Writes to `<location>.tmp` and then os.replace() over the original
file." So a save happens whole or not at all; that it is durable at once is not said.
"""

from pathlib import Path

from pickledb import PickleDB

from harness import KEY_VALUE, Contract, Delete, Put


class Adapter:
    name = "pickledb"
    model = KEY_VALUE
    contract = Contract(power_loss="prefix", io_error=None, corruption=None)

    def open(self, directory: Path) -> PickleDB:
        return PickleDB(str(directory / "db.json")).load()

    def apply(self, store: PickleDB, operation: object) -> None:
        match operation:
            case Put(key, value):
                store.set(key, value)
            case Delete(key):
                store.remove(key)
        store.save()

    def snapshot(self, store: PickleDB) -> dict[str, str]:
        return {key: store.get(key) for key in store.all()}

    def close(self, store: PickleDB) -> None:
        """There is nothing to close."""
