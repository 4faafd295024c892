"""Queries answer what a search through all events would."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest

from store_under_test.event_store import codec, index, postings
from store_under_test.event_store.errors import CursorExpiredError, UnknownSchemaError
from store_under_test.event_store.event import Event, NewEvent
from store_under_test.event_store.query import Filter
from store_under_test.event_store.retention import Policy
from store_under_test.event_store.store import EventStore
from store_under_test.event_store.upcast import Upcasters
from tests.unit.event_store.views_helpers import drawn, filled, index_files, opened

WANTED: tuple[dict[str, Any], ...] = (
    {},
    {"type": "done"},
    {"aggregate": "Zoë"},
    {"actor": "p"},
    {"correlation": "s2"},
    {"type": "done", "actor": "q", "aggregate": "a", "correlation": "s1"},
    {"type": "nobody"},
    {"since": 300.0, "until": 420.0},
    {"since": 300.0, "type": "noted"},
    {"until": 100.0},
    {"first": 117, "last": 391},
    {"first": 117, "last": 391, "actor": "p", "since": 250.0},
    {"first": 600, "last": 500, "type": "done"},
    {"last": 5},
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """A closed store of 700 events in several segments."""
    directory = tmp_path_factory.mktemp("kept")
    with opened(directory) as store:
        stored = filled(store, drawn(700))
        assert len(store.log.segments()) > 5
    return directory, stored


def pages(store: EventStore, limit: int, **wanted: Any) -> list[Event]:
    page = store.query(limit=limit, **wanted)
    events = page.events
    while page.cursor is not None:
        assert len(page.events) == limit
        page = store.query(limit=limit, cursor=page.cursor, **wanted)
        events = events + page.events
    return events


def searched(stored: list[Event], wanted: dict[str, Any]) -> list[Event]:
    first, last = wanted.get("first", 1), wanted.get("last", len(stored))
    return [one for one in stored[first - 1 : last] if Filter(**wanted).holds(one)]


def test_every_combination_of_filters_finds_what_fits(kept: tuple[Path, list[Event]]) -> None:
    """Whatever the size of a page; with no index, and again with all of them in files."""
    directory, stored = kept
    with opened(directory) as store:
        for limit in (1000, 7):
            for wanted in WANTED:
                assert pages(store, limit, **wanted) == searched(stored, wanted)
        store.views.settle()
    with opened(directory) as store:
        assert index_files(directory)
        for wanted in WANTED:
            assert pages(store, 40, **wanted) == searched(stored, wanted)


def test_an_index_follows_what_is_appended(tmp_path: Path) -> None:
    """Across rotations, with queries between the appends, and in the end after reopening too."""
    events, chance = drawn(300), random.Random(4)
    with opened(tmp_path, maintenance="inline") as store:
        stored: list[Event] = []
        for number in range(0, 300, 10):
            stored += store.append_batch(events[number : number + 10])
            wanted = chance.choice(WANTED)
            assert pages(store, 50, **wanted) == searched(stored, wanted)
        assert len(index_files(tmp_path)) == len(store.log.segments()) - 1 > 1
    with opened(tmp_path) as store:
        assert pages(store, 1000, type="done") == searched(stored, {"type": "done"})


def test_appends_while_pages_are_turned_change_no_page_before(tmp_path: Path) -> None:
    """The cursor goes on behind the last page: nothing twice, nothing left out."""
    with opened(tmp_path) as store:
        stored = filled(store, drawn(50))
        page = store.query(type="done", limit=5)
        seen = page.events
        for number in range(1, 4):
            stored += filled(store, [NewEvent("done", "new", id=f"{number}.{n}") for n in range(3)])
            page = store.query(type="done", limit=5, cursor=page.cursor)
            seen = seen + page.events
        while page.cursor:
            page = store.query(type="done", limit=5, cursor=page.cursor)
            seen = seen + page.events
        assert seen == searched(stored, {"type": "done"})


def test_readers_beside_a_writer_see_a_beginning_of_the_log(tmp_path: Path) -> None:
    """Each answer is what fits of the events up to some moment, without a hole, and later answers are longer."""
    events = drawn(400)
    problems: list[str] = []
    with opened(tmp_path, maintenance="background") as store:
        filled(store, events[:20])
        done = threading.Event()

        def read() -> None:
            before = 0
            while not done.is_set():
                got = [one.id for one in store.query(actor="p").events]
                want = [one.id for one in events if one.actor == "p"][: len(got)]
                if got != want or len(got) < before:
                    problems.append(f"{len(got)} after {before}")
                before = len(got)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        filled(store, events[20:])
        done.set()
        for reader in readers:
            reader.join()
        assert problems == []
        assert len(store.query(actor="p").events) == sum(one.actor == "p" for one in events)


def test_only_frames_with_matches_are_read(kept: tuple[Path, list[Event]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A rare kind among many costs a frame for each match, not the log."""
    directory, stored = kept
    with opened(directory) as store:
        wanted = {"aggregate": "a", "type": "done", "correlation": "s1", "actor": "q"}
        store.query(**wanted)  # indexes are there from here on
        decoded = []
        real = codec.decode_frame
        monkeypatch.setattr(codec, "decode_frame", lambda *given: decoded.append(given[1]) or real(*given))
        matches = store.query(**wanted).events
        assert matches == searched(stored, wanted)
        assert 0 < len(decoded) <= len(matches) < len(stored) / 20


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ({"limit": 0}, "1 to 10000"),
        ({"limit": 10_001}, "1 to 10000"),
        ({"cursor": "?"}, "not a cursor"),
        ({"cursor": "AAAA"}, "not a cursor"),
        ({"cursor": "A" * 23 + "="}, "a damaged one"),
    ],
)
def test_a_bad_limit_or_cursor_is_refused(kept: tuple[Path, list[Event]], call: dict[str, Any], problem: str) -> None:
    with opened(kept[0]) as store, pytest.raises(ValueError, match=problem):
        store.query(**call)


def test_a_cursor_is_for_its_own_query(kept: tuple[Path, list[Event]]) -> None:
    with opened(kept[0]) as store:
        cursor = store.query(type="done", limit=1).cursor
        with pytest.raises(ValueError, match="another query"):
            store.query(type="noted", limit=1, cursor=cursor)
        assert store.query(type="done", limit=9, cursor=cursor).events == store.query(type="done", limit=10).events[1:]


def test_a_cursor_expires_when_its_events_are_removed(tmp_path: Path) -> None:
    """One that stands behind them does not."""
    with opened(tmp_path, policy=Policy(max_segments=2)) as store:
        filled(store, drawn(300))
        early = store.query(limit=5, type="done").cursor
        whole = store.query(type="done").events
        late = store.query(limit=len(whole) - 2, type="done").cursor
        assert store.retain() > 0
        with pytest.raises(CursorExpiredError):
            store.query(limit=5, type="done", cursor=early)
        assert store.query(limit=9, type="done", cursor=late).events == whole[-2:]
        left = store.log.retained_from
        assert store.query(type="done").events == [one for one in whole if one.sequence >= left]
        assert [one.sequence for one in store.query(last=left + 1).events] == [left, left + 1]


# --- streams ---------------------------------------------------------------------------------------


def test_a_stream_is_one_aggregate_from_some_version_on(kept: tuple[Path, list[Event]]) -> None:
    directory, stored = kept
    whole = [one for one in stored if one.aggregate == "Zoë"]
    with opened(directory) as store:
        for version in (1, 2, 50, len(whole), len(whole) + 1):
            assert list(store.read_stream("Zoë", version)) == whole[version - 1 :]
        assert list(store.read_stream("nobody")) == []


def test_streams_whose_names_have_the_same_hash_stay_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash finds candidates; what counts is the name."""
    for module in (postings, index):
        monkeypatch.setattr(module, "key_hash", lambda key: 1)
    with opened(tmp_path) as store:
        stored = filled(store, drawn(150))
        store.views.settle()
    with opened(tmp_path) as store:
        for version in (1, 7):
            wanted = [one for one in stored if one.aggregate == "b"][version - 1 :]
            assert list(store.read_stream("b", version)) == wanted
        assert store.query(aggregate="b", type="done").events == searched(stored, {"aggregate": "b", "type": "done"})
        assert [one.id for one in store.causation_chain("e140")][-1] == "e140"


def test_a_stream_with_its_beginning_removed_is_no_stream(tmp_path: Path) -> None:
    """Folding the rest would give a wrong state; asking for the rest alone works."""
    with opened(tmp_path, policy=Policy(max_segments=2)) as store:
        stored = filled(store, drawn(300))
        store.retain()
        left = [one for one in stored if one.aggregate == "a" and one.sequence >= store.log.retained_from]
        with pytest.raises(CursorExpiredError, match=f"'a': versions 1 to {left[0].version - 1} are gone"):
            list(store.read_stream("a"))
        assert list(store.read_stream("a", left[0].version)) == left


# --- causes ----------------------------------------------------------------------------------------


def test_a_chain_leads_from_the_first_cause(kept: tuple[Path, list[Event]]) -> None:
    directory, stored = kept
    by_id = {one.id: one for one in stored}
    with opened(directory) as store:
        for start in ("e699", "e350", "e0"):
            wanted, cause = [by_id[start]], by_id[start].causation_id
            while cause is not None:
                wanted.append(by_id[cause])
                cause = by_id[cause].causation_id
            assert store.causation_chain(start) == wanted[::-1]
        assert store.effects("e20") == [one for one in stored if one.causation_id == "e20"]
        assert store.find("e5") == by_id["e5"]
        assert store.find("nobody") is None
        assert store.causation_chain("nobody") == []


def test_chains_that_bite_their_tail_or_start_elsewhere_end(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for id, cause in (("a", "b"), ("b", "a"), ("self", "self"), ("far", "elsewhere"), ("twice", None)):
            store.append(NewEvent("t", "x", id=id, causation_id=cause))
        store.append(NewEvent("t", "x", id="twice", causation_id="a"))
        assert [one.id for one in store.causation_chain("b")] == ["a", "b"]
        assert [one.id for one in store.causation_chain("self")] == ["self"]
        assert [one.id for one in store.causation_chain("far")] == ["far"]
        assert [one.sequence for one in store.causation_chain("twice")] == [5]
        assert [one.id for one in store.effects("a")] == ["b", "twice"]


# --- schemas ---------------------------------------------------------------------------------------


def test_old_events_are_read_as_new_ones_everywhere(tmp_path: Path) -> None:
    """In order, by query, stream, chain and subscription; the log itself is not changed."""
    with opened(tmp_path) as store:
        store.append(NewEvent("named", "a", {"name": "x"}, id="1"))
    upcasters = Upcasters()
    upcasters.register("named", 1, lambda old: old._replace(payload={"full": old.payload["name"]}))
    with opened(tmp_path, upcasters=upcasters) as store:
        store.append(NewEvent("named", "a", {"full": "y"}, id="2", causation_id="1", schema_version=2))
        wanted = [({"full": "x"}, 2), ({"full": "y"}, 2)]
        ways = (store.read(), store.query().events, store.read_stream("a"), store.causation_chain("2"))
        for way in (*ways, store.query(type="named").events, store.subscribe().ready()):
            assert [(one.payload, one.schema_version) for one in way] == wanted
    with opened(tmp_path) as store, pytest.raises(UnknownSchemaError):
        store.query(type="named")


def test_a_schema_that_nobody_knows_is_not_written(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        with pytest.raises(UnknownSchemaError):
            store.append_batch([NewEvent("t", "a"), NewEvent("t", "a", schema_version=2)])
        assert (store.last_sequence, store.version_of("a")) == (0, 0)
        assert store.append(NewEvent("t", "a")).sequence == 1
