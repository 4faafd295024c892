"""Adapters: what is none is refused in a sentence that says what to write, what is one is taken."""

from __future__ import annotations

import random
from typing import Any

import pytest

from harness import (
    DOCUMENT,
    KEY_VALUE,
    LOG,
    Append,
    AppendMany,
    Compact,
    Contract,
    Delete,
    Get,
    Load,
    Put,
    PutMany,
    Save,
    Sync,
    UsageError,
)
from harness.core.adapter import METHODS, supported_operations, validate_adapter

SHAPES = {
    "open": "def open(self, directory)",
    "apply": "def apply(self, store, operation)",
    "snapshot": "def snapshot(self, store)",
    "close": "def close(self, store)",
}


class Sound:
    """An adapter with nothing but what it needs."""

    name = "sound"
    model: Any = KEY_VALUE
    contract = Contract()

    def open(self, directory: Any) -> Any:
        return directory

    def apply(self, store: Any, operation: Any) -> Any:
        return operation

    def snapshot(self, store: Any) -> Any:
        return store

    def close(self, store: Any) -> None:
        return None


class OwnModel:
    """A model of the user's own."""

    def initial(self) -> int:
        return 0

    def step(self, state: int, operation: Any) -> tuple[int, Any]:
        return state + 1, None

    def equal(self, recovered: Any, state: int) -> bool:
        return bool(recovered == state)

    def example_operations(self, source: random.Random, count: int) -> list[Any]:
        return [Append("x")] * count


def variant(**attributes: Any) -> type[Any]:
    """`Sound`, with other attributes."""
    return type("Variant", (Sound,), attributes)


def refused(candidate: Any) -> str:
    """The sentence with which `candidate` is refused."""
    with pytest.raises(UsageError) as error:
        validate_adapter(candidate, "my.module:Store")
    message = str(error.value)
    assert message.startswith("my.module:Store")
    assert message.endswith(".") and "\n" not in message
    return message


def no_arguments() -> None:
    """As a method it takes nothing, not even the adapter."""


def too_many(self: Any, a: Any, b: Any, c: Any) -> None:
    """One argument more than any method of an adapter is given."""


def keyword_only(self: Any, *, store: Any) -> None:
    """A call by position fails."""


# --- what is no adapter ------------------------------------------------------------------------


@pytest.mark.parametrize("candidate", [Sound(), None, "my.module:Store", lambda: Sound()])
def test_only_a_class_is_an_adapter(candidate: Any) -> None:
    """An instance would be shared by all openings, a function has no contract."""
    assert "not a class" in refused(candidate)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("absent", [None, "text", 5])
def test_a_missing_method_is_named_with_its_shape(method: str, absent: Any) -> None:
    """The message has the line to write."""
    message = refused(variant(**{method: absent}))
    assert f"lacks the method {method}" in message
    assert SHAPES[method] in message


@pytest.mark.parametrize("method", METHODS)
def test_a_coroutine_function_is_named_and_what_to_do_about_it(method: str) -> None:
    """It would return at once, and do nothing: a store that loses everything."""

    async def waits(*given: Any) -> None:
        return None

    message = refused(variant(**{method: waits}))
    assert f"Store.{method} is a coroutine function" in message
    assert SHAPES[method] in message and "asyncio.Runner" in message


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [no_arguments, too_many, keyword_only])
def test_a_method_of_another_shape_is_named(method: str, shape: Any) -> None:
    """A method that could not be called would look like a failing store."""
    message = refused(variant(**{method: shape}))
    assert f"Store.{method} takes other arguments" in message
    assert SHAPES[method] in message


@pytest.mark.parametrize("method", METHODS)
def test_a_static_method_that_expects_the_adapter_is_named(method: str) -> None:
    """Nobody would hand it `self`."""
    assert f"Store.{method}" in refused(variant(**{method: staticmethod(too_many)}))


def test_a_class_without_any_method_is_told_where_to_begin() -> None:
    """One thing at a time: the first missing method."""
    assert "lacks the method open" in refused(type("Empty", (), {}))


@pytest.mark.parametrize("name", [None, 5, b"store", "", " "])
def test_a_name_is_text(name: Any) -> None:
    """The certificate is issued to it."""
    assert 'name = "mystore"' in refused(variant(name=name))


@pytest.mark.parametrize("contract", [None, {}, Contract, "acknowledged"])
def test_a_contract_is_a_contract(contract: Any) -> None:
    """The class itself, without brackets, is the usual slip."""
    assert "contract = Contract(...)" in refused(variant(contract=contract))


def test_a_model_is_needed() -> None:
    """The message lists the built-in ones."""
    assert "KEY_VALUE, DOCUMENT or LOG" in refused(variant(model=None))


@pytest.mark.parametrize("missing", ["initial", "step", "equal", "example_operations"])
def test_a_model_lacks_one_function(missing: str) -> None:
    """What is missing is named; so is the whole form."""
    message = refused(variant(model=type("Half", (OwnModel,), {missing: None})()))
    assert f"model lacks {missing}:" in message
    assert "step(state, operation)" in message


@pytest.mark.parametrize("operations", [(Save,), (Put, Append), Put, "Put", 5, ("Put",), (Put("k", "v"),)])
def test_operations_of_another_model_are_refused(operations: Any) -> None:
    """The message lists those of the model."""
    message = refused(variant(operations=operations))
    assert "Put, Delete, PutMany, Get, Sync, Compact" in message


@pytest.mark.parametrize("operations", [5, "Append", ("Append",), (Append("x"),), Append, ()])
def test_operations_of_an_own_model_are_classes(operations: Any) -> None:
    """Workloads look for instances of them."""
    assert "not a tuple of classes" in refused(variant(model=OwnModel(), operations=operations))


# --- what is one -------------------------------------------------------------------------------


def flexible(*arguments: Any, **named: Any) -> None:
    """Takes whatever it is given."""


def with_default(self: Any, store: Any, operation: Any = None, more: int = 0) -> None:
    """Optional arguments do no harm."""


@pytest.mark.parametrize(
    "candidate",
    [
        Sound,
        variant(model=OwnModel()),
        variant(model=OwnModel(), operations=[Append]),
        variant(model=LOG, operations=(Append, AppendMany, Compact)),
        variant(open=flexible, apply=flexible, snapshot=flexible, close=flexible),
        variant(apply=with_default),
        variant(open=staticmethod(lambda directory: directory)),
        variant(close=classmethod(lambda cls, store: None)),
        variant(open=type("Opener", (), {"__call__": lambda self, adapter, directory: directory})()),
        variant(close=dict.get),
    ],
)
def test_every_usable_form_is_accepted(candidate: Any) -> None:
    """Nothing to inherit, and no rule beyond being callable in the right way."""
    validate_adapter(candidate, "my.module:Store")


def test_a_method_without_a_signature_is_accepted() -> None:
    """There is nothing to look at before the call; calling it will tell."""
    validate_adapter(variant(close=type), "my.module:Store")


# --- supported operations ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "declared", "expected"),
    [
        (KEY_VALUE, None, (Put, Delete)),
        (DOCUMENT, None, (Save,)),
        (LOG, None, (Append,)),
        (KEY_VALUE, (Sync, PutMany), (Put, Delete, Sync, PutMany)),
        (KEY_VALUE, [Get, Put, Get], (Put, Delete, Get)),
        (DOCUMENT, (Load, Compact), (Save, Load, Compact)),
        (LOG, (), (Append,)),
        (OwnModel(), None, None),
        (OwnModel(), [Append], (Append,)),
    ],
)
def test_mandatory_operations_need_not_be_declared(model: Any, declared: Any, expected: Any) -> None:
    """Those of the model come first, the declared ones after them, none twice."""
    extra = {} if declared is None else {"operations": declared}
    assert supported_operations(variant(model=model, **extra)) == expected
