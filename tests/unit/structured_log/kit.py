"""What the tests of the log share: the parts under test as one value, strict JSON, and system calls that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from store_under_test.structured_log import LogContents, LogContext, StructuredLogger, read_log


async def others_run() -> None:
    """The other tasks have their turn."""
    await asyncio.sleep(0)


@dataclass(frozen=True)
class Kit:
    """A logger, contexts, and the reader of what it writes."""

    logger: type[StructuredLogger] = StructuredLogger
    context: Callable[..., Any] = LogContext
    read: Callable[[Path], LogContents] = read_log


def no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def strict_lines(path: Path) -> list[dict[str, Any]]:
    """Every line as JSON by the letter of RFC 8259: ASCII, no NaN, no lone surrogates, no name twice."""
    found = []
    for line in path.read_bytes().decode("ascii").split("\n")[:-1]:
        try:
            record = json.loads(line, parse_constant=no_constant, object_pairs_hook=without_doubles)
            json.dumps(record, ensure_ascii=False).encode("utf-8")  # fails for a lone surrogate
        except ValueError as error:
            raise AssertionError(f"{line!r} is no JSON: {error}") from error
        found.append(record)
    return found


def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({name for name, _ in pairs}) == len(pairs), "a name stands twice in one object"
    return dict(pairs)


def numbers(contents: LogContents) -> list[int]:
    """The field `n` of each record."""
    return [record["fields"]["n"] for record in contents.records]


@contextmanager
def writes(instead: Callable[[Callable[..., int], int, Any], int]) -> Iterator[None]:
    """`instead(original, descriptor, data)` stands for `os.write`."""
    original = os.write
    with patch.object(os, "write", lambda descriptor, data: instead(original, descriptor, data)):
        yield
