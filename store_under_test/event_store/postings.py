"""Where in a segment the events with some key are: growing in memory, or packed for a file.

An event is named by its ordinal in the segment, its sequence number less the segment's first. Packed postings hold a
64-bit hash of each key instead of the key, sorted, so that a file is three plain arrays and a look-up two
bisections. Two keys may share a hash: whoever looks up checks the events that he gets.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Protocol

from store_under_test.event_store.event import Event

#: Fields that can be looked up. `id` and `causation` nearly always have one event for a key.
SHARED = ("aggregate", "type", "actor", "correlation")
SINGLE = ("id", "causation")
FIELDS = (*SHARED, *SINGLE)
_ORDINAL_BITS = 32
_ORDINAL_MASK = (1 << _ORDINAL_BITS) - 1


def key_hash(key: str) -> int:
    """64 bits that are the same in every process (Python's own hash is not)."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def little_endian(values: array[int] | array[float]) -> bytes:
    """The bytes of an array as files have them."""
    if sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return values.tobytes()


def from_little_endian(typecode: str, data: bytes) -> array[int]:
    values: array[int] = array(typecode)
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


class Lookup(Protocol):
    """Ordinals of the events that may have `key`, ascending."""

    def find(self, key: str) -> array[int]: ...


@dataclass(frozen=True, slots=True)
class Packed:
    """Postings of one field. `ends[n]` is where the ordinals of `hashes[n]` end."""

    hashes: array[int]
    ends: array[int]
    ordinals: array[int]

    def find(self, key: str) -> array[int]:
        wanted = key_hash(key)
        low, high = bisect_left(self.hashes, wanted), bisect_right(self.hashes, wanted)
        if low == high:
            return array("I")
        return self.ordinals[self.ends[low - 1] if low else 0 : self.ends[high - 1]]

    @property
    def size_bytes(self) -> int:
        return len(self.hashes) * 8 + (len(self.ends) + len(self.ordinals)) * 4


class Growing:
    """Postings of the fields in `SHARED` and `SINGLE` of a segment that still grows.

    One thread adds; others may look up at the same time, and then see what was added before, or a little more.
    """

    def __init__(self) -> None:
        self.count = 0
        self._shared: dict[str, dict[str, array[int]]] = {field: {} for field in SHARED}
        self._ids: list[str] = []
        self._causes: list[str | None] = []
        self._lock = threading.Lock()  # over what follows, which look-ups change
        self._looked_at = dict.fromkeys(SINGLE, 0)
        self._single: dict[str, dict[str, int | array[int]]] = {field: {} for field in SINGLE}

    def add(self, events: Iterable[Event]) -> None:
        aggregates, types = self._shared["aggregate"], self._shared["type"]
        actors, correlations = self._shared["actor"], self._shared["correlation"]
        ordinal = self.count
        for event in events:
            _put(aggregates, event.aggregate, ordinal)
            _put(types, event.type, ordinal)
            _put(actors, event.actor, ordinal)
            if event.correlation_id is not None:
                _put(correlations, event.correlation_id, ordinal)
            self._ids.append(event.id)
            self._causes.append(event.causation_id)
            ordinal += 1
        self.count = ordinal

    def find(self, field: str, key: str) -> array[int]:
        """The ordinals with `key`, as of now: a copy."""
        found = self._shared[field].get(key) if field in SHARED else self._find_single(field, key)
        if found is None:
            return array("I")
        return array("I", (found,)) if isinstance(found, int) else found[:]

    def keys(self, field: str) -> list[str]:
        """All keys of one of the fields that events share."""
        return list(self._shared[field])

    def _find_single(self, field: str, key: str) -> int | array[int] | None:
        """For ids and causes the table is made when somebody asks: appending alone never pays for it."""
        values: list[str] | list[str | None] = self._ids if field == "id" else self._causes
        with self._lock:
            keys, count = self._single[field], self.count
            for ordinal in range(self._looked_at[field], count):
                value = values[ordinal]
                if value is not None:
                    _put_single(keys, value, ordinal)
            self._looked_at[field] = count
            found = keys.get(key)
            return found if found is None or isinstance(found, int) else found[:]

    def packed(self, field: str) -> Packed:
        """The postings of `field` as a file has them."""
        if field == "id":
            return pack((key_hash(key), ordinal) for ordinal, key in enumerate(self._ids))
        if field == "causation":
            pairs = ((key, ordinal) for ordinal, key in enumerate(self._causes))
            return pack((key_hash(key), ordinal) for key, ordinal in pairs if key is not None)
        return pack_lists((key_hash(key), ordinals) for key, ordinals in self._shared[field].items())


def _put(keys: dict[str, array[int]], key: str, ordinal: int) -> None:
    ordinals = keys.get(key)
    if ordinals is None:
        keys[key] = array("I", (ordinal,))
    else:
        ordinals.append(ordinal)


def _put_single(keys: dict[str, int | array[int]], key: str, ordinal: int) -> None:
    before = keys.get(key)
    if before is None:
        keys[key] = ordinal
    elif isinstance(before, int):
        keys[key] = array("I", (before, ordinal))
    else:
        before.append(ordinal)


def pack(pairs: Iterable[tuple[int, int]]) -> Packed:
    """Packed postings of pairs of a hash and an ordinal, in any order; made for hashes most of which come once."""
    hashes, ends, ordinals = array("Q"), array("I"), array("I")
    for words in _sorted(pairs):
        found = [word >> _ORDINAL_BITS for word in words]
        first = len(ordinals)
        ordinals.extend([word & _ORDINAL_MASK for word in words])
        places: Sequence[int] = range(1, len(words) + 1)
        if len(set(found)) < len(found):
            places = [place for place in places if place == len(found) or found[place] != found[place - 1]]
            found = [found[place - 1] for place in places]
        hashes.extend(found)
        ends.extend([first + place for place in places])
    return Packed(hashes, ends, ordinals)


def pack_lists(lists: Iterable[tuple[int, array[int]]]) -> Packed:
    """Packed postings of hashes, in any order and perhaps more than once, and the ordinals of each, ascending."""
    hashes, ends, ordinals = array("Q"), array("I"), array("I")
    for hashed, same in groupby(sorted(lists, key=_hash_of), _hash_of):
        members = [found for _, found in same]
        hashes.append(hashed)
        ordinals.extend(members[0] if len(members) == 1 else sorted(chain(*members)))
        ends.append(len(ordinals))
    return Packed(hashes, ends, ordinals)


def _hash_of(pair: tuple[int, array[int]]) -> int:
    return pair[0]


def _sorted(pairs: Iterable[tuple[int, int]]) -> Iterator[list[int]]:
    """The pairs, each as one number, in many small sorts rather than a long one, which would hold the interpreter's
    lock throughout. Equal hashes are in one piece."""
    pieces: list[list[int]] = [[] for _ in range(256)]
    for hashed, ordinal in pairs:
        pieces[hashed >> 56].append(hashed << _ORDINAL_BITS | ordinal)
    for piece in pieces:
        piece.sort()
        yield piece


def intersection(found: list[array[int]]) -> array[int]:
    """What is in all of them, ascending; the shortest is walked, the others are sets or bisected."""
    found = sorted(found, key=len)
    rest = found[0]
    for other in found[1:]:
        rest = _common(rest, other)
    return rest


def _common(few: array[int], many: array[int]) -> array[int]:
    if len(few) * 16 < len(many):
        return array("I", (ordinal for ordinal in few if _has(many, ordinal)))
    members = set(many)
    return array("I", (ordinal for ordinal in few if ordinal in members))


def _has(ordinals: array[int], wanted: int) -> bool:
    place = bisect_left(ordinals, wanted)
    return place < len(ordinals) and ordinals[place] == wanted
