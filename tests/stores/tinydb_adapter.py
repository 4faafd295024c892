"""TinyDB as its users would certify it."""

from pathlib import Path

from tinydb import Query, TinyDB

from harness import KEY_VALUE, Contract, Delete, Put


class TinyDBStore:
    name = "tinydb"
    model = KEY_VALUE
    contract = Contract(process_crash="acknowledged", power_loss="acknowledged", io_error=None, corruption=None)

    def open(self, directory: Path) -> TinyDB:
        return TinyDB(directory / "db.json")

    def apply(self, store: TinyDB, operation: Put | Delete) -> None:
        match operation:
            case Put(key, value):
                store.upsert({"key": key, "value": value}, Query().key == key)
            case Delete(key):
                store.remove(Query().key == key)

    def snapshot(self, store: TinyDB) -> dict[str, str]:
        return {row["key"]: row["value"] for row in store.all()}

    def close(self, store: TinyDB) -> None:
        store.close()
