"""Old events are lifted, new ones that nobody knows are refused."""

from __future__ import annotations

import pickle

import pytest

from store_under_test.event_store.errors import UnknownSchemaError
from store_under_test.event_store.event import Event
from store_under_test.event_store.upcast import MissingUpcasterError, Upcasters
from tests.unit.event_store.views_helpers import event


def renamed(old: Event) -> Event:
    return old._replace(payload={"full_name": old.payload["name"]})


def split(old: Event) -> Event:
    first, _, last = old.payload["full_name"].partition(" ")
    return old._replace(payload={"first": first, "last": last})


@pytest.fixture
def upcasters() -> Upcasters:
    upcasters = Upcasters()
    upcasters.register("person", 1, renamed)
    upcasters.register("person", 2, split)
    return upcasters


def test_an_event_of_any_older_version_becomes_a_current_one(upcasters: Upcasters) -> None:
    """One step after the other, and nothing else of the event changes."""
    oldest = event(7, type="person", payload={"name": "Ada King"})
    older = event(7, type="person", payload={"full_name": "Ada King"}, schema_version=2)
    wanted = event(7, type="person", payload={"first": "Ada", "last": "King"}, schema_version=3)

    assert upcasters.apply(oldest) == upcasters.apply(older) == upcasters.apply(wanted) == wanted
    assert upcasters.missing() == []


def test_an_event_from_the_future_is_refused(upcasters: Upcasters) -> None:
    """Misreading it would be worse."""
    with pytest.raises(UnknownSchemaError, match=r"schema version 4.*known one is 3"):
        upcasters.apply(event(1, type="person", schema_version=4))
    with pytest.raises(UnknownSchemaError):
        upcasters.apply(event(1, type="nobody registered it", schema_version=2))
    upcasters.require_known("person", 3)
    with pytest.raises(UnknownSchemaError):
        upcasters.require_known("person", 0)


def test_a_gap_between_versions_is_named() -> None:
    """By `missing` ahead of time, and by an error when an event would have to cross it."""
    upcasters = Upcasters()
    upcasters.register("person", 2, split)
    assert upcasters.missing() == [("person", 1)]
    with pytest.raises(MissingUpcasterError, match="no upcaster from schema version 1") as raised:
        upcasters.apply(event(1, type="person"))
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_a_declared_version_is_the_one_that_is_written(upcasters: Upcasters) -> None:
    """Declaring never goes back."""
    upcasters.declare("person", 2)
    upcasters.declare("other", 5)
    assert (upcasters.current("person"), upcasters.current("other"), upcasters.current("x")) == (3, 5, 1)
    with pytest.raises(ValueError, match="at least 1"):
        upcasters.declare("other", 0)


def test_a_second_upcaster_for_the_same_version_is_a_mistake(upcasters: Upcasters) -> None:
    with pytest.raises(ValueError, match="already"):
        upcasters.register("person", 1, renamed)
