"""Example operations for the built-in models, seeded: ordinary values and nasty ones.

The first few are small, so that bounded-exhaustive workloads stay small; nasty ones follow: empty,
long enough to span pages (beyond 4, 8, 32 and 64 KiB), Unicode, growing and shrinking. Values
are unique where that is possible: what is read then tells who wrote it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness.core.operations import Append, AppendMany, Delete, Put, PutMany, Save

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_NASTY = (
    "",
    "\u00e4\u00f6\u00fc \u20ac \U0001f600",
    "line\nbreak\r\n",
    '"quoted" \\ {json: [1]}',
    " \t ",
    "\u2028\u202e",
    "NUL\0inside",
)
#: Different keys that may get the same name where keys become names of files, columns or numbers: by case, by what
#: stands for a character that can't be there, by what is cut off at the end, by the normal forms of Unicode.
LOOKALIKE_KEYS = (
    ("key", "Key", "KEY"),
    ("a/b", "a_b", "a\\b", "a%2Fb", "a b"),
    ("end", "end.", "end "),
    ("\u00e9", "e\u0301"),
    ("stra\u00dfe", "strasse"),
    ("", " ", "."),
    ("1", "01", "1.0"),
)
_SIZES = (1, 3, 17, 60, 120, 300, 511, 512, 513, 900, 2000)
LONG_SIZES = (4097, 8300, 33_000, 66_000)


def text(source: random.Random, size: int) -> str:
    """Printable text of `size` characters."""
    return "".join(source.choices(_ALPHABET, k=size))


def values(source: random.Random) -> Iterator[str]:
    """Unique values: short, then of mixed sizes, nasty ones between them."""
    for number, word in enumerate(("alpha", "beta-beta", "gamma", "delta delta delta", "eps")):
        yield f"{word}-{number}-{text(source, 6)}"
    number = 0
    while True:
        number += 1
        if number % 5 == 0:
            nasty = _NASTY[(number // 5 - 1) % len(_NASTY)]
            yield nasty if number <= 5 * len(_NASTY) else f"{nasty}{number}"
        elif number % 13 == 0:
            yield text(source, LONG_SIZES[(number // 13 - 1) % len(LONG_SIZES)])
        else:
            yield f"v{number}-" + text(source, source.choice(_SIZES))


def key_value_operations(source: random.Random, count: int) -> list[Any]:
    """Puts and deletes over few keys, with batches between them."""
    keys = ["k1", "k2", "key-three"]
    nasty = ["", "/", "..", "a/b\0c", "\u00e9\u00e8", "k" * 300]
    stream = values(source)
    operations: list[Any] = []
    for number in range(count):
        key = keys[number % len(keys)] if number < 8 or source.random() < 0.7 else source.choice(nasty)
        if number % 6 == 3:
            operations.append(Delete(keys[0] if number == 3 else key))
        elif number % 8 == 4:
            operations.append(
                PutMany(((keys[0], next(stream)), (keys[1], next(stream)), (key, next(stream))))
            )
        else:
            operations.append(Put(key, next(stream)))
    return operations


def document_operations(source: random.Random, count: int) -> list[Any]:
    """Whole documents that grow and shrink."""
    stream = values(source)
    operations: list[Any] = []
    for number in range(count):
        document: dict[str, Any] = {"version": number, "name": next(stream)}
        if number % 2:
            document["items"] = [next(stream) for _ in range(1 + number % 3)]
        if number % 4 == 3:
            document["nested"] = {"flag": number % 8 == 3, "none": None, "ratio": number / 4, "": []}
        operations.append(Save(document))
    return operations


def log_operations(source: random.Random, count: int) -> list[Any]:
    """Records, and batches between them."""
    stream = values(source)
    operations: list[Any] = []
    for number in range(count):
        if number % 4 == 2:
            operations.append(AppendMany(tuple(next(stream) for _ in range(2 + number % 3))))
        else:
            operations.append(Append(next(stream)))
    return operations
