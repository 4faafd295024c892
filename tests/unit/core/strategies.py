"""What the property tests of these rooms draw from: text, JSON, operations, whole values."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from harness import (
    Append,
    AppendMany,
    Compact,
    Delete,
    Get,
    Load,
    Put,
    PutMany,
    Read,
    Save,
    Sync,
    Verdict,
)

#: A loaded machine is no failure: no property here is about time.
patient = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(texts, json_values, max_size=3)

keys = st.sampled_from(["", "k1", "k2"])
pairs = st.tuples(keys, texts)
batches = st.lists(pairs, min_size=1, max_size=3).map(tuple)
maintenance = st.builds(Sync) | st.builds(Compact)

puts = st.builds(Put, keys, texts)
key_value_operations = puts | st.builds(Delete, keys) | st.builds(PutMany, batches) | maintenance
document_operations = st.builds(Save, documents) | maintenance
records = st.lists(texts, min_size=1, max_size=3).map(tuple)
log_operations = st.builds(Append, texts) | st.builds(AppendMany, records) | maintenance
reads = st.builds(Get, keys) | st.builds(Load) | st.builds(Read, st.integers(0, 5))


def instances(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Values of a dataclass, drawn field by field from its annotations."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: of(hints[field.name]) for field in dataclasses.fields(kind)})


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of one annotated type; a dictionary holds JSON."""
    simple = {str: texts, int: st.integers(), float: st.floats(allow_nan=False), bool: st.booleans()}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return st.none() | of(arguments[0])
    if origin is tuple:
        return st.lists(of(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return documents
    if hint is Verdict:
        return st.sampled_from(Verdict)
    return simple[hint] if hint in simple else instances(hint)
