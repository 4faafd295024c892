"""What kind of wrong a recovered state is, and the sentence that says so.

The kinds are tried in the order of the certificate's format: part of an operation or a mixture
of several is `torn_operation`; something nobody wrote, or that was deleted, is `phantom`; if
everything read is right but fewer operations are there than are owed, it is `lost_acknowledged`.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.core.models import KEY_VALUE, LOG, equals, same_json
from harness.core.operations import Delete, Put, PutMany, describe, safe_repr
from harness.core.plain import plain_bytes
from harness.judge.oracle import Oracle, Window, records_of

V = TypeVar("V")

#: Operations that a search for "this one is missing" looks at, counted from the last one begun.
SEARCHED_OPERATIONS = 40


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: its kind, one sentence, and the operations that it concerns (indices)."""

    kind: str
    sentence: str
    operations: tuple[int, ...] = ()


def classify(oracle: Oracle, recovered: Any, admissible: Window) -> Violation:
    """Why `recovered`, which is not admissible, is wrong."""
    return told_of(recovered, lambda: _classified(oracle, recovered, admissible))


def told_of(recovered: Any, tell: Callable[[], V]) -> V | Violation:
    """What `tell` says about `recovered`. A damaged store may show what can't be compared with anything: that is all
    there is to say about it then."""
    try:
        return tell()
    except Exception as error:
        if plain_bytes(recovered) is not None and not isinstance(error, RecursionError):
            raise  # plain data raises nothing by itself
        how = f"comparing it with what was written raises {type(error).__name__}"
        return Violation("phantom", f"the store reads {describe(recovered)}, which nobody wrote: {how}")


def _classified(oracle: Oracle, recovered: Any, admissible: Window) -> Violation:
    counts = [count for count in oracle.matches(recovered) if count <= admissible.highest]
    if counts:
        return _too_few(oracle, max(counts), admissible)
    if oracle.model is KEY_VALUE:
        return _key_value(oracle, recovered, admissible)
    if oracle.model is LOG:
        return _log(oracle, recovered, admissible)
    return _missing_operation(oracle, recovered, admissible) or _document(oracle, recovered, admissible)


def _too_few(oracle: Oracle, count: int, admissible: Window) -> Violation:
    lost = tuple(range(count, admissible.lowest))
    if len(lost) == 1:
        what = f"{describe(oracle.operations[count])} was promised to survive and is gone"
    else:
        what = (
            f"{len(lost)} operations that were promised to survive are gone, from {_name(oracle, count)} on"
        )
    return Violation("lost_acknowledged", what, lost)


def _name(oracle: Oracle, index: int) -> str:
    return describe(oracle.operations[index])


# --- a whole operation is missing ----------------------------------------------------------


def _missing_operation(oracle: Oracle, recovered: Any, admissible: Window) -> Violation | None:
    """If leaving out one or two operations explains the state: a hole."""
    counts = range(admissible.highest, max(admissible.lowest, 1) - 1, -1)
    explained = (
        dropped
        for begun in counts
        for dropped in _drops(begun)
        if _explained_without(oracle, recovered, begun, dropped)
    )
    for dropped in explained:
        owed = [index for index in dropped if index < admissible.lowest]
        names = " and ".join(_name(oracle, index) for index in dropped)
        if any(isinstance(oracle.operations[index], Delete) for index in owed):
            return Violation(
                "phantom", f"what {names} deleted is back, though later operations are there", dropped
            )
        if owed:
            return Violation(
                "lost_acknowledged", f"{names} is gone, though later operations are there", dropped
            )
        return Violation("torn_operation", f"{names} is missing, though later operations are there", dropped)
    return None


def _drops(begun: int) -> Iterator[tuple[int, ...]]:
    recent = range(max(0, begun - SEARCHED_OPERATIONS), begun)
    yield from ((index,) for index in reversed(recent))
    yield from itertools.combinations(recent, 2)


def _explained_without(oracle: Oracle, recovered: Any, begun: int, dropped: tuple[int, ...]) -> bool:
    state = oracle.states[dropped[0]][0]
    try:
        for index in range(dropped[0], begun):
            if index not in dropped:
                state = oracle.model.step(state, oracle.operations[index])[0]
    except Exception:  # a model of the user's own need not know what follows a hole
        return False
    return equals(oracle.model, recovered, state)


# --- key-value ---------------------------------------------------------------------------


def _key_value(oracle: Oracle, recovered: Any, admissible: Window) -> Violation:
    if not isinstance(recovered, dict):
        return Violation("torn_operation", f"the snapshot is a {type(recovered).__name__}, not a dict")
    foreign = foreign_pair(oracle.operations[: admissible.highest], recovered)
    if foreign is not None:
        return foreign
    missing = _missing_operation(oracle, recovered, admissible)
    if missing is not None:
        return missing
    return Violation("torn_operation", "the keys show a mixture of several operations")


def foreign_pair(operations: tuple[Any, ...], recovered: dict[Any, Any]) -> Violation | None:
    """A pair in `recovered` that none of the operations wrote, if there is one."""
    pairs = list(_pairs(operations))
    written = set(pairs)
    foreign = (item for item in recovered.items() if not _among(item, written))
    found = next(foreign, None)
    return None if found is None else _foreign_pair(found, pairs)


def _pairs(operations: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    for operation in operations:
        match operation:
            case Put(key, value):
                yield key, value
            case PutMany(items):
                yield from items


def _foreign_pair(pair: tuple[Any, Any], pairs: list[tuple[str, str]]) -> Violation:
    key, value = pair
    shown = f"{describe(key)} has the value {describe(value)}"
    if any(known == key and is_part(value, other) for known, other in pairs):
        return Violation("torn_operation", f"{shown}, which is part of what was written")
    sources = [known for known, other in pairs if value == other or is_part(value, other)]
    if sources and any(known == key for known, _ in pairs):
        return Violation("torn_operation", f"{shown}, which was written to another key, whole or in part")
    if any(is_part(key, known) for known in sources):
        return Violation("torn_operation", f"{shown}, and the key is part of one that was written")
    return Violation("phantom", f"{shown}, which nobody wrote")


# --- log ---------------------------------------------------------------------------------


def _log(oracle: Oracle, recovered: Any, admissible: Window) -> Violation:
    if not isinstance(recovered, list | tuple):
        return Violation("torn_operation", f"the snapshot is a {type(recovered).__name__}, not a list")
    foreign = foreign_record(oracle.operations[: admissible.highest], recovered)
    return foreign or _hole(oracle, list(recovered), admissible)


def foreign_record(operations: tuple[Any, ...], recovered: list[Any] | tuple[Any, ...]) -> Violation | None:
    """A record in `recovered` that none of the operations appended, or not so often, if there is one."""
    written = [record for operation in operations for record in records_of(operation)]
    known = set(written)
    foreign = [record for record in recovered if not _among(record, known)]
    if foreign:
        return _foreign_record(foreign[0], written)
    surplus = Counter(recovered) - Counter(written)
    if surplus:
        record = next(iter(surplus))
        return Violation("phantom", f"the record {describe(record)} is there more often than it was appended")
    return None


def _foreign_record(record: Any, written: list[str]) -> Violation:
    if any(is_part(record, other) for other in written):
        return Violation("torn_operation", f"the record {describe(record)} is part of what was appended")
    return Violation("phantom", f"the record {describe(record)} was appended by nobody")


def _hole(oracle: Oracle, recovered: list[str], admissible: Window) -> Violation:
    """Whole operations missing before others that are there; or part of a batch, or a changed order."""
    rest, dropped = recovered, []
    for index in range(admissible.highest):
        records = list(records_of(oracle.operations[index]))
        if records and rest[: len(records)] == records:
            rest = rest[len(records) :]
        elif records:
            dropped.append(index)
    if rest:
        return Violation(
            "torn_operation", "the records are part of a batch, or in another order than appended"
        )
    owed = [index for index in dropped if index < admissible.lowest]
    name = _name(oracle, dropped[0])
    if owed:
        return Violation(
            "lost_acknowledged", f"{name} is gone, though later records are there", tuple(dropped)
        )
    return Violation("torn_operation", f"{name} is missing, though later records are there", tuple(dropped))


# --- documents and models of the user's own ------------------------------------------------


def _document(oracle: Oracle, recovered: Any, admissible: Window) -> Violation:
    states = [state for states in oracle.states[: admissible.highest + 1] for state in states]
    return foreign_document(states, recovered)


def foreign_document(states: list[Any], recovered: Any) -> Violation:
    """What is wrong with a document that is none of the states."""
    known: dict[str, list[Any]] = {}
    for state in states:
        for path, leaf in leaves(state):
            known.setdefault(path, []).append(leaf)
    foreign = [
        (path, leaf)
        for path, leaf in leaves(recovered)
        if not any(same_json(leaf, other) for other in known.get(path, ()))
    ]
    if not foreign:
        return Violation("torn_operation", "the document is a mixture of several states, or part of one")
    path, leaf = foreign[0]
    whole = _json(recovered)
    parts = map(_json, states)
    if any(is_part(leaf, other) for other in known.get(path, ())) or any(whole in part for part in parts):
        return Violation(
            "torn_operation", f"{path or 'the document'} is {describe(leaf)}, part of what was written"
        )
    return Violation("phantom", f"{path or 'the document'} is {describe(leaf)}, which nobody wrote")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The scalars of a JSON value with their paths; empty containers count as scalars."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def is_part(piece: Any, whole: Any) -> bool:
    """Whether `piece` is what is left of `whole`: a piece of it, or the same beginning or end."""
    left, right = _text(piece).strip("\0"), _text(whole)
    if not left or not right or left == right:
        return left == right and _text(piece) != right
    if left in right:
        return True
    return max(_common(left, right), _common(left[::-1], right[::-1])) * 4 >= min(len(left), len(right))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    """As JSON where that is possible; a damaged store, or a model of the user's own, may show anything."""
    try:
        return json.dumps(value, sort_keys=True, default=repr)
    except (TypeError, ValueError, RecursionError):
        return safe_repr(value)


def _among(item: Any, known: set[Any]) -> bool:
    """`item in known`, for what may not even be hashable, or comparable."""
    try:
        return item in known
    except Exception:
        return False


def _common(left: str, right: str) -> int:
    count = 0
    for mine, other in zip(left, right, strict=False):
        if mine != other:
            break
        count += 1
    return count
