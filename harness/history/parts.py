"""The parts of a history that can be judged on their own, and what can be left out of each without breaking it."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, Protocol, Self

from harness.core.history import History
from harness.core.models import DOCUMENT, KEY_VALUE, LOG
from harness.core.operations import Read
from harness.history import logs, zones
from harness.history.decided import OPEN, Decided
from harness.history.events import FINAL, NEVER, Event
from harness.history.modelled import Modelled
from harness.history.registers import (
    Access,
    Registers,
    document_registers,
    joint_problem,
    key_value_registers,
    register_problem,
)
from harness.history.search import Problem


class Part(Protocol):
    """A part of a history. What it consists of are atoms: events, or accesses of events to one register each."""

    @property
    def name(self) -> str: ...

    @property
    def decider(self) -> str:
        """The name of the decider that `decide` asks."""

    @property
    def atoms(self) -> Sequence[Any]: ...

    def decide(self) -> Decided:
        """What is found without a search; open where only a search can tell."""

    def problem(self) -> Problem: ...

    def of(self, atoms: Iterable[Any]) -> Self:
        """The same with these atoms alone."""

    def is_read(self, atom: Any) -> bool:
        """Whether an atom changes nothing, so far as is known."""

    def units(self) -> Iterator[list[Any]]:
        """Atoms that can be left out together: if what is left is wrong, so was the whole. Large ones come first."""


def parts_of(history: History, model: Any) -> list[Part]:
    """The parts of a history that are linearizable if, and only if, all of it is.

    Raises `UsageError` for what does not belong to the model.
    """
    if model == KEY_VALUE:
        return [RegisterPart(registers) for registers in key_value_registers(history)]
    if model == DOCUMENT:
        return [RegisterPart(registers) for registers in document_registers(history)]
    modelled = Modelled(history, model)
    if model == LOG:
        return [LogPart(logs.log_events(history), history.final, modelled)]
    return [ModelPart(modelled.events, modelled)]


def event_of(atom: Any) -> Event:
    """The event of an atom."""
    event: Event = atom.event if isinstance(atom, Access) else atom
    return event


def before(part: Part, time: float) -> Part:
    """What was known just before `time`: what had been called, and what had been answered."""
    kept = []
    for atom in part.atoms:
        event = event_of(atom)
        if event.completed < time:
            kept.append(atom)
        elif event.invoked < time and event.number != FINAL:
            open_ = dataclasses.replace(event, completed=NEVER)
            if not isinstance(atom, Access):
                kept.append(open_)
            elif atom.writes:
                kept.append(atom._replace(event=open_))
    return part.of(kept)


@dataclasses.dataclass(frozen=True, slots=True)
class RegisterPart:
    """Keys that are written together, or one key, or the document."""

    registers: Registers

    @property
    def name(self) -> str:
        return ", ".join(map(repr, self.registers.keys)) if self.registers.keys != ("",) else ""

    @property
    def decider(self) -> str:
        return "zones"

    @property
    def atoms(self) -> Sequence[Access]:
        return self.registers.accesses

    def decide(self) -> Decided:
        """Each key must be sound; where there is one, that is enough."""
        if len(self.registers.keys) == 1:
            return zones.decide(self.registers.accesses)
        by_key: dict[str, list[Access]] = defaultdict(list)
        for access in self.registers.accesses:
            by_key[access.key].append(access)
        for accesses in by_key.values():
            decided = zones.decide(accesses)
            if decided.legal is False:
                return decided
        return OPEN

    def problem(self) -> Problem:
        return (register_problem if len(self.registers.keys) == 1 else joint_problem)(self.registers)

    def of(self, atoms: Iterable[Access]) -> RegisterPart:
        kept = tuple(atoms)
        keys = tuple(dict.fromkeys(access.key for access in kept))
        return RegisterPart(dataclasses.replace(self.registers, keys=keys, accesses=kept))

    def is_read(self, atom: Access) -> bool:
        return not atom.writes

    def units(self) -> Iterator[list[Access]]:
        """Whole keys, all writes and reads of a value, and single reads: nothing else needs any of these."""
        for group in (self._by_key(), self._by_value()):
            if len(group) > 1:
                yield from group
        yield from ([access] for access in self.registers.accesses if not access.writes)

    def _by_key(self) -> list[list[Access]]:
        groups: dict[str, list[Access]] = defaultdict(list)
        for access in self.registers.accesses:
            groups[access.key].append(access)
        return list(groups.values())

    def _by_value(self) -> list[list[Access]]:
        """Accesses by value; values that one event writes to several keys stay together."""
        leader: dict[Hashable, Hashable] = {}

        def found(node: Hashable) -> Hashable:
            while leader.setdefault(node, node) != node:
                node = leader[node]
            return node

        for access in self.registers.accesses:
            if access.writes:
                leader[found(access.event.number)] = found((access.key, access.value))
        groups: dict[Hashable, list[Access]] = defaultdict(list)
        for access in self.registers.accesses:
            groups[found((access.key, access.value))].append(access)
        return list(groups.values())


@dataclasses.dataclass(frozen=True, slots=True)
class LogPart:
    """A log, whole: appends can't be left out, because they move those behind them."""

    atoms: Sequence[Event]
    final: Any
    modelled: Modelled

    @property
    def name(self) -> str:
        return ""

    @property
    def decider(self) -> str:
        return "log"

    def decide(self) -> Decided:
        return logs.decide(self.atoms, self.final)

    def problem(self) -> Problem:
        return self.modelled.problem(self.atoms)

    def of(self, atoms: Iterable[Event]) -> LogPart:
        return dataclasses.replace(self, atoms=tuple(atoms))

    def is_read(self, atom: Event) -> bool:
        return atom.called is None or isinstance(atom.called.operation, Read)

    def units(self) -> Iterator[list[Event]]:
        return ([event] for event in self.atoms if self.is_read(event))


@dataclasses.dataclass(frozen=True, slots=True)
class ModelPart:
    """A history of a user's model: only what never changed a state can be left out."""

    atoms: Sequence[Event]
    modelled: Modelled

    @property
    def name(self) -> str:
        return ""

    @property
    def decider(self) -> str:
        return "search"

    def decide(self) -> Decided:
        return OPEN

    def problem(self) -> Problem:
        return self.modelled.problem(self.atoms)

    def of(self, atoms: Iterable[Event]) -> ModelPart:
        return ModelPart(tuple(atoms), self.modelled)

    def is_read(self, atom: Event) -> bool:
        return self.modelled.changed_nothing(atom)

    def units(self) -> Iterator[list[Event]]:
        return ([event] for event in self.atoms if self.is_read(event))
