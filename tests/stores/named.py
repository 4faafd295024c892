"""Stores with one file for each key, which differ by how they name it."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

from harness import KEY_VALUE, Delete, Put, Unsupported
from tests.stores.honest import CRASHES, sync_directory

PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")


class Encoded:
    """Sound, also where a file system takes upper and lower case for the same: every other byte is written in hex."""

    name = "encoded-names"
    model = KEY_VALUE
    contract = CRASHES

    def open(self, directory: Path) -> Path:
        for path in directory.glob("*.new"):
            path.unlink()
        return directory

    def apply(self, store: Path, operation: Any) -> None:
        path = store / self.named(operation.key)
        match operation:
            case Put(key, value):
                beside = path.with_name("being-written.new")
                with open(beside, "w", encoding="utf-8") as stream:
                    json.dump([key, value], stream)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(beside, path)
            case Delete():
                path.unlink(missing_ok=True)
        sync_directory(store)

    def snapshot(self, store: Path) -> Any:
        return dict(json.loads(path.read_text(encoding="utf-8")) for path in sorted(store.glob("*.pair")))

    def close(self, store: Path) -> None:
        return None

    def named(self, key: str) -> str:
        name = "".join(chr(byte) if byte in PLAIN else f"%{byte:02x}" for byte in key.encode())
        if len(name) > 200:
            raise Unsupported("the key is too long for a file name")
        return f"{name}.pair"


class Underscored(Encoded):
    """What can't stand in a name becomes an underscore: "a/b" and "a_b" have one file."""

    name = "underscored-names"

    def named(self, key: str) -> str:
        return super().named(key.replace("/", "_"))


class Folded(Encoded):
    """As a file system that takes upper and lower case for the same would have it."""

    name = "folded-names"

    def named(self, key: str) -> str:
        return super().named(key.casefold())


class Normalized(Encoded):
    """As a file system that composes characters would have it."""

    name = "normalized-names"

    def named(self, key: str) -> str:
        return super().named(unicodedata.normalize("NFC", key))


class Stripped(Encoded):
    """As a file system that drops dots and spaces at the end of a name would have it."""

    name = "stripped-names"

    def named(self, key: str) -> str:
        return super().named(key.rstrip(". "))


class Choosy(Underscored):
    """Refuses the keys that it would take for others."""

    name = "choosy-names"

    def named(self, key: str) -> str:
        if "/" in key:
            raise Unsupported("a key must not contain a slash")
        return super().named(key)


class Failing(Underscored):
    """As `Choosy`, with an error of its own."""

    name = "failing-names"

    def named(self, key: str) -> str:
        if "/" in key:
            raise ValueError("a key must not contain a slash")
        return super().named(key)
