"""Histories of keys and documents as accesses to registers: who wrote which value where, and who read it.

A history is linearizable if, and only if, that of every key is (Herlihy and Wing, 1990); keys that some `PutMany` sets
together stay together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.core.errors import UsageError
from harness.core.history import History
from harness.core.operations import Delete, Get, Load, Put, PutMany, Save
from harness.history.events import Event, final_event, operations_of
from harness.history.interning import Interned
from harness.history.search import NO, Problem

#: The number of the value that a register has before anything is written, and after it is deleted.
ABSENT = 0
#: The only register of a history of documents.
DOCUMENT_KEY = ""


class Access(NamedTuple):
    """One register that an event reads or writes; values are small numbers."""

    event: Event
    key: str
    value: int
    writes: bool


@dataclass(frozen=True, slots=True)
class Registers:
    """Registers that have to be judged together, and all accesses to them in the order of invocation.

    `values` are those that the numbers stand for.
    """

    keys: tuple[str, ...]
    accesses: tuple[Access, ...]
    values: Interned


def key_value_registers(history: History) -> list[Registers]:
    """The registers of a history of keys, those together that one operation writes together.

    Raises `UsageError` for an operation or a snapshot that does not belong to one.
    """
    values = _values()
    accesses = [access for event in _events(history) for access in _key_accesses(event, values)]
    if history.has_final:
        accesses += _final_accesses(history, {access.key for access in accesses}, values)
    return [Registers(keys, tuple(group), values) for keys, group in _together(accesses)]


def document_registers(history: History) -> list[Registers]:
    """The one register of a history of documents."""
    values = _values()
    accesses = [_document_access(event, values) for event in _events(history)]
    if history.has_final:
        accesses.append(Access(final_event(history), DOCUMENT_KEY, values.number(history.final), False))
    return [Registers((DOCUMENT_KEY,), tuple(accesses), values)] if accesses else []


def _events(history: History) -> list[Event]:
    return operations_of(history, plain_reads=True)


def _values() -> Interned:
    values = Interned()
    values.number(None)
    return values


def _key_accesses(event: Event, values: Interned) -> Iterable[Access]:
    assert event.called is not None
    match event.called.operation:
        case Put(key, value):
            return (Access(event, key, values.number(value), True),)
        case Get(key):
            return (Access(event, key, values.number(event.called.answer), False),)
        case Delete(key):
            return (Access(event, key, ABSENT, True),)
        case PutMany(items):
            return [Access(event, key, values.number(value), True) for key, value in dict(items).items()]
    raise UsageError(f"{type(event.called.operation).__name__} is no operation of KEY_VALUE: name the model it is of.")


def _document_access(event: Event, values: Interned) -> Access:
    assert event.called is not None
    match event.called.operation:
        case Save(document):
            return Access(event, DOCUMENT_KEY, values.number(document), True)
        case Load():
            return Access(event, DOCUMENT_KEY, values.number(event.called.answer), False)
    raise UsageError(f"{type(event.called.operation).__name__} is no operation of DOCUMENT: name the model it is of.")


def _final_accesses(history: History, keys: set[str], values: Interned) -> list[Access]:
    if not isinstance(history.final, Mapping):
        raise UsageError(f"the snapshot is {type(history.final).__name__}: that of KEY_VALUE is a dictionary.")
    event = final_event(history)
    every = sorted(keys | set(history.final), key=repr)
    return [Access(event, key, values.number(history.final.get(key)), False) for key in every]


def _together(accesses: Iterable[Access]) -> list[tuple[tuple[str, ...], list[Access]]]:
    """Accesses by groups of keys that are written together, in the order in which the groups are met."""
    accesses = list(accesses)
    leader: dict[str, str] = {access.key: access.key for access in accesses}
    first: dict[int, str] = {}
    for access in accesses:
        if access.writes:
            other = first.setdefault(access.event.number, access.key)
            if other is not access.key:
                leader[_leader(leader, access.key)] = _leader(leader, other)
    groups: dict[str, list[Access]] = defaultdict(list)
    for access in accesses:
        groups[_leader(leader, access.key)].append(access)
    return [(tuple(dict.fromkeys(access.key for access in group)), group) for group in groups.values()]


def _leader(leader: dict[str, str], key: str) -> str:
    while leader[key] is not key and leader[key] != key:
        leader[key] = leader[leader[key]]
        key = leader[key]
    return key


# --- for the search ------------------------------------------------------------------------------


def register_problem(registers: Registers) -> Problem:
    """One register: states are its values."""
    accesses = registers.accesses
    kinds = [2 * access.value + access.writes for access in accesses]
    pure = frozenset(2 * access.value for access in accesses if not access.writes)
    return Problem([access.event for access in accesses], kinds, _register_move, pure, ABSENT)


def _register_move(state: int, kind: int) -> int:
    if kind & 1:
        return kind >> 1
    return state if state == kind >> 1 else NO


class _Joint:
    """Several registers: a state is the tuple of their values, a kind what one event does to some of them."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.places = {key: place for place, key in enumerate(keys)}
        self.states: list[tuple[int, ...]] = [(ABSENT,) * len(keys)]
        self._numbers = {self.states[0]: 0}
        self.kinds: list[tuple[bool, tuple[tuple[int, int], ...]]] = []
        self._kind_numbers: dict[Hashable, int] = {}

    def kind(self, accesses: list[Access]) -> int:
        made = (accesses[0].writes, tuple((self.places[access.key], access.value) for access in accesses))
        if made not in self._kind_numbers:
            self._kind_numbers[made] = len(self.kinds)
            self.kinds.append(made)
        return self._kind_numbers[made]

    def move(self, state: int, kind: int) -> int:
        writes, cells = self.kinds[kind]
        before = self.states[state]
        if not writes:
            return state if all(before[place] == value for place, value in cells) else NO
        after = list(before)
        for place, value in cells:
            after[place] = value
        made = tuple(after)
        if made not in self._numbers:
            self._numbers[made] = len(self.states)
            self.states.append(made)
        return self._numbers[made]


def joint_problem(registers: Registers) -> Problem:
    """Several registers at once. The snapshot reads all of them."""
    joint = _Joint(registers.keys)
    by_event: dict[int, list[Access]] = defaultdict(list)
    for access in registers.accesses:
        by_event[access.event.number].append(access)
    groups = list(by_event.values())
    kinds = [joint.kind(group) for group in groups]
    pure = frozenset(number for number, (writes, _) in enumerate(joint.kinds) if not writes)
    return Problem([group[0].event for group in groups], kinds, joint.move, pure)


def value_of(registers: Registers, access: Access) -> Any:
    """The value that an access wrote or read."""
    return registers.values.values[access.value]
