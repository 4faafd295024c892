"""Operations and images as JSON and back."""

from __future__ import annotations

import dataclasses
import json
import random
from dataclasses import dataclass
from typing import Any

import pytest

from harness import Append, Delete, Put, PutMany, Save, Sync, UsageError
from harness.core.trace import Image, InodeKind, Node
from harness.run.encoding import (
    decode_image,
    decode_value,
    encode_image,
    encode_operations,
    encode_value,
    file_name,
    operation_types,
)
from tests.stores.honest import Sound
from tests.stores.hostile import CounterStore, Mark


@dataclass(frozen=True)
class Inner:
    data: bytes


@dataclass(frozen=True)
class Outer:
    parts: tuple[Inner, ...]
    table: dict[Any, Any]
    items: list[Any]


@dataclass(frozen=True)
class Look:
    """No example has it."""


class Nested:
    class model:
        @staticmethod
        def example_operations(source: random.Random, count: int) -> list[Any]:
            return [Outer((Inner(b"\0"),), {"key": [Inner(b"")]}, [Inner(b"x")])]


class Looking(Nested):
    operations = (Outer, Look)


def test_what_cannot_be_read_back_is_refused() -> None:
    """An operation that the adapter does not know."""
    with pytest.raises(UsageError, match="has an operation 'Nonsense' that this adapter does not know"):
        decode_value({"@": "Nonsense"}, {})


@pytest.mark.parametrize(
    "operation",
    [
        Put("key", "value \N{SNOWMAN}"),
        PutMany((("a", "1"), ("b", ""))),
        Delete(""),
        Save({"@": "dict", "a": [1, 2.5, None, True, {"b": []}]}),
        Append("x\n\0"),
        Sync(),
    ],
)
def test_operations_come_back_as_they_were(operation: Any) -> None:
    """Through JSON text, tuples and documents included."""
    types = operation_types(Sound)
    [text] = json.loads(json.dumps(encode_operations([operation])))

    assert decode_value(text, types) == operation


def test_operations_of_the_users_own_come_back() -> None:
    """With what they hold, found by the examples of the model."""
    operation = Outer((Inner(b"\xff"),), {1: "one", ("a", 2): [Inner(b"y")]}, ["z", Inner(b"")])
    types = operation_types(Nested)

    assert {"Outer", "Inner", "Put"} <= types.keys()
    assert "Look" not in types and operation_types(Looking)["Look"] is Look
    assert decode_value(json.loads(json.dumps(encode_value(operation))), types) == operation


def test_what_has_no_json_form_is_shown() -> None:
    """A certificate can be written, and the finding can't be replayed."""
    encoded = json.loads(json.dumps(encode_value(Mark(1, frozenset({"t"})))))

    assert encoded["tags"] == {"@": "frozenset", "shown": "frozenset({'t'})"}
    with pytest.raises(UsageError):
        decode_value(encoded, {**operation_types(CounterStore), "Mark": Mark})


def test_an_image_comes_back_with_the_order_of_its_times() -> None:
    """Contents, modes, links and names; the times themselves are not kept, so equal states are equal text."""
    nodes = {
        0: Node(InodeKind.DIRECTORY, 0o755, 5, entries={"a": 1, "b": 1, "l": 2, "d": 3}),
        1: Node(InodeKind.FILE, 0o600, 70, b"\0" * 5000),
        2: Node(InodeKind.SYMLINK, 0o777, 5, target="a"),
        3: Node(InodeKind.DIRECTORY, 0o700, 60),
    }
    encoded = json.loads(json.dumps(encode_image(Image(nodes))))
    later = {number: dataclasses.replace(node, mtime_ns=node.mtime_ns * 10) for number, node in nodes.items()}

    back = decode_image(encoded).nodes

    assert encoded == json.loads(json.dumps(encode_image(Image(later))))
    assert {number: (n.kind, n.mode, n.content, n.target, n.entries) for number, n in back.items()} == {
        number: (n.kind, n.mode, n.content, n.target, n.entries) for number, n in nodes.items()
    }
    assert back[0].mtime_ns == back[2].mtime_ns < back[3].mtime_ns < back[1].mtime_ns


@pytest.mark.parametrize(
    ("store", "name"), [("tiny-db_2", "tiny-db_2"), ("../\N{SNOWMAN} x", "-----x"), ("", "store"), ("y" * 99, "y" * 80)]
)
def test_file_names_are_plain(store: str, name: str) -> None:
    """ASCII letters, digits, hyphen and underscore; never empty, never long."""
    assert file_name(store) == name
