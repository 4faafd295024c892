"""TinyDB 4.9.0 with its default storage.

`JSONStorage`: "Store the data in a JSON file." Each write ends, says its source, with "Ensure the file has been
written": flush and fsync. So what was inserted is on the disk when the call returns.
"""

from pathlib import Path

from tinydb import Query, TinyDB

from harness import KEY_VALUE, Contract, Delete, Put


class Adapter:
    name = "tinydb"
    model = KEY_VALUE
    contract = Contract(io_error=None, corruption=None)

    def open(self, directory: Path) -> TinyDB:
        return TinyDB(directory / "db.json")

    def apply(self, store: TinyDB, operation: object) -> None:
        match operation:
            case Put(key, value):
                store.upsert({"key": key, "value": value}, Query().key == key)
            case Delete(key):
                store.remove(Query().key == key)

    def snapshot(self, store: TinyDB) -> dict[str, str]:
        return {row["key"]: row["value"] for row in store.all()}

    def close(self, store: TinyDB) -> None:
        store.close()
