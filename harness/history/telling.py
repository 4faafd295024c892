"""A contradiction in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness.core.history import History
from harness.core.operations import describe
from harness.history.events import FINAL, NEVER, Event
from harness.history.parts import Part, RegisterPart, event_of
from harness.history.registers import ABSENT, Access, Registers, value_of

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))
_SHOWN = 6
_TEXT = 60


class Teller:
    """Words for events; times count from the first call of the history."""

    def __init__(self, history: History) -> None:
        calls = [called.invoked_ns for called in history]
        self._origin = min(calls, default=0)
        last = max((called.completed_ns or called.invoked_ns for called in history), default=0)
        self._unit = next((unit for unit in _UNITS if last - self._origin >= unit[0]), (1, "ns"))

    def time(self, at_ns: float) -> str:
        """`10.21 s`."""
        return f"{self._number(at_ns)} {self._unit[1]}"

    def _number(self, at_ns: float) -> str:
        text = f"{(at_ns - self._origin) / self._unit[0]:.3f}"
        return text.rstrip("0").rstrip(".")

    def event(self, event: Event) -> str:
        """`Get('k') by client 3 (10.21-10.22 s)`."""
        if event.called is None:
            return "the snapshot at the end"
        what = f"{describe(event.called.operation, limit=_TEXT)} by client {event.called.client}"
        if event.completed == NEVER:
            return f"{what} (called at {self.time(event.invoked)}, never answered)"
        return f"{what} ({self._number(event.invoked)}-{self.time(event.completed)})"

    def sentence(self, words: str, events: Sequence[Event]) -> str:
        text = words.format(*map(self.event, events))
        return f"{text[0].upper()}{text[1:]}."


def tell(part: Part, teller: Teller) -> str:
    """Why the few operations of `part` contradict each other."""
    if isinstance(part, RegisterPart) and len(part.registers.keys) == 1:
        return _tell_register(part.registers, teller)
    return _tell_any([event_of(atom) for atom in part.atoms], teller)


def _tell_any(events: Iterable[Event], teller: Teller) -> str:
    every = list(dict.fromkeys(events))
    every.sort(key=lambda event: (event.completed, event.number == FINAL))
    answered = [event for event in every if event.answered]
    last = answered[-1] if answered else every[-1]
    others = [event for event in every if event is not last]
    shown = ", ".join(map(teller.event, others[:_SHOWN]))
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    said = f" returned {_short(last.called.answer)}, which" if last.called is not None else " shows what"
    if not others:
        return f"{_capital(teller.event(last))}{said} is not what the model gives."
    return f"{_capital(teller.event(last))}{said} no order of these explains: {shown}{more}."


def _tell_register(registers: Registers, teller: Teller) -> str:
    """The last read, and what stands against it."""
    reads = [access for access in registers.accesses if not access.writes]
    writes = [access for access in registers.accesses if access.writes]
    for read in sorted(reads, key=lambda access: (-access.event.invoked, access.event.number)):
        told = _tell_read(read, reads, writes, registers, teller)
        if told:
            return told
    return _tell_any([access.event for access in registers.accesses], teller)


def _tell_read(
    read: Access, reads: Sequence[Access], writes: Sequence[Access], registers: Registers, teller: Teller
) -> str:
    returned = f"{_capital(teller.event(read.event))} {_returned(read, registers)}"
    writers = [write.event for write in writes if write.value == read.value]
    if not writers and read.value != ABSENT:
        return f"{returned}, which nobody had written."
    if read.value != ABSENT and all(read.event.completed < writer.invoked for writer in writers):
        return f"{returned}, which {teller.event(writers[0])} wrote only after it."
    between = f", after {' and '.join(map(teller.event, writers[:_SHOWN]))} had been" if writers else ""
    for write in writes:
        late = all(writer.completed < write.event.invoked for writer in writers)
        if write.value != read.value and late and write.event.completed < read.event.invoked:
            when = teller.time(write.event.completed)
            return f"{returned}, but {teller.event(write.event)} was acknowledged at {when}{between}."
    return _tell_other_read(read, returned, reads, writes, registers, teller)


def _tell_other_read(
    read: Access,
    returned: str,
    reads: Sequence[Access],
    writes: Sequence[Access],
    registers: Registers,
    teller: Teller,
) -> str:
    """A newer value had been read before."""
    same = [access.event for access in (*writes, *reads) if access.value == read.value]
    begun = read.value == ABSENT or any(True for _ in same)
    for other in reads:
        if other.value == read.value or not begun or other.event.completed >= read.event.invoked:
            continue
        written = [write.event for write in writes if write.value == other.value]
        newer = read.value == ABSENT or any(
            event.completed < later.invoked for event in same for later in (*written, other.event)
        )
        if newer:
            seen = f"{teller.event(other.event)} had {_returned(other, registers)} before"
            return f"{returned}, but {seen}, which is newer."
    return ""


def _returned(access: Access, registers: Registers) -> str:
    value = value_of(registers, access)
    if access.event.called is None:
        what = "no value" if access.value == ABSENT else _short(value)
        return f"has {what} for {_short(access.key)}" if access.key else f"is {_short(value)}"
    return f"returned {_short(value)}"


def _short(value: Any) -> str:
    return describe(value, limit=_TEXT)


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
