"""Names, operations and images in a form for files, so that a certificate alone is enough to replay a finding."""

from __future__ import annotations

import base64
import dataclasses
import random
import zlib
from collections.abc import Iterable
from enum import Enum
from typing import Any

import harness
from harness.core.adapter import supported_operations
from harness.core.errors import UsageError
from harness.core.operations import safe_repr
from harness.core.trace import Image, InodeKind, Node


def file_name(store: str) -> str:
    """A name for the files about a store: plain ASCII."""
    plain = (char if char.isascii() and (char.isalnum() or char in "-_") else "-" for char in store)
    return "".join(plain)[:80] or "store"


def encode_value(value: Any) -> Any:
    """A value of an operation: JSON types, with tuples and dataclasses told apart."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: encode_value(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"@": type(value).__name__, **fields}
    if isinstance(value, Enum):
        return {"@": type(value).__name__, "name": value.name}
    if isinstance(value, tuple):
        return {"@": "tuple", "items": [encode_value(item) for item in value]}
    if isinstance(value, dict):
        return {
            "@": "dict",
            "items": [[encode_value(key), encode_value(item)] for key, item in value.items()],
        }
    if isinstance(value, list):
        return [encode_value(item) for item in value]
    if isinstance(value, bytes):
        return {"@": "bytes", "data": base64.b64encode(value).decode()}
    if value is None or isinstance(value, str | int | float):
        return value
    return {"@": type(value).__name__, "shown": safe_repr(value)}  # for a reader; it can't be replayed


def decode_value(value: Any, types: dict[str, type]) -> Any:
    """The inverse of `encode_value`; dataclasses are looked up in `types` by name."""
    if isinstance(value, list):
        return [decode_value(item, types) for item in value]
    if not isinstance(value, dict):
        return value
    match value.get("@"):
        case "tuple":
            return tuple(decode_value(item, types) for item in value["items"])
        case "dict":
            return {decode_value(key, types): decode_value(item, types) for key, item in value["items"]}
        case "bytes":
            return base64.b64decode(value["data"])
        case name if name in types and issubclass(types[name], Enum):
            return getattr(types[name], value["name"])
        case name if name in types:
            return types[name](
                **{key: decode_value(item, types) for key, item in value.items() if key != "@"}
            )
    raise UsageError(
        f"the counterexample has an operation {value.get('@')!r} that this adapter does not know."
    )


def operation_types(adapter: Any) -> dict[str, type]:
    """The operations an adapter may meet: the harness's own, those that it lists, and those that its own model gives as
    examples."""
    types = {name: value for name, value in vars(harness).items() if isinstance(value, type)}
    types.update((kind.__name__, kind) for kind in supported_operations(adapter) or ())
    pending: list[Any] = list(adapter.model.example_operations(random.Random(0), 40))
    while pending:
        value = pending.pop()
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            types[type(value).__name__] = type(value)
            pending.extend(getattr(value, f.name) for f in dataclasses.fields(value))
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list | tuple):
            pending.extend(value)
    return types


def encode_operations(operations: Iterable[Any]) -> list[Any]:
    return [encode_value(operation) for operation in operations]


def encode_image(image: Image) -> dict[str, Any]:
    """An image; contents compressed, times relative to nothing, so the same state gives the same text."""
    nodes = {}
    ranks = {time: rank for rank, time in enumerate(sorted({node.mtime_ns for node in image.nodes.values()}))}
    for number, node in sorted(image.nodes.items()):
        nodes[str(number)] = {
            "kind": node.kind.value,
            "mode": node.mode,
            "mtime_rank": ranks[node.mtime_ns],
            "content": base64.b64encode(zlib.compress(node.content)).decode(),
            "target": node.target,
            "entries": node.entries,
        }
    return nodes


def decode_image(nodes: dict[str, Any]) -> Image:
    """The inverse of `encode_image`, with modification times one second apart, in the past."""
    return Image({int(number): _node(item) for number, item in nodes.items()})


def _node(item: dict[str, Any]) -> Node:
    return Node(
        InodeKind(item["kind"]),
        mode=item["mode"],
        mtime_ns=(1_600_000_000 + item["mtime_rank"]) * 1_000_000_000,
        content=zlib.decompress(base64.b64decode(item["content"])),
        target=item["target"],
        entries=dict(item["entries"]),
    )
