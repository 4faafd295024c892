"""Schema versions: events of older versions are lifted to the current one when they are read.

The log is never rewritten. For each event type the registry knows the current version and one function per
older version, which takes an event of that version and returns it as the next one has it. Types that
nobody registered are known in version 1 and no other, so an event that a newer program wrote is refused
rather than misread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from store_under_test.event_store.errors import UnknownSchemaError
from store_under_test.event_store.event import Event, NewEvent


class MissingUpcasterError(UnknownSchemaError):
    """An old event that nobody told how to lift: there is no step from `schema_version`."""

    def __str__(self) -> str:
        return f"{self.type!r} has no upcaster from schema version {self.schema_version} towards {self.known}"


Upcast = Callable[[Event], Event]

FIRST_VERSION = 1


class Upcasters:
    """Current versions of event types, and the way there from each older one."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], Upcast] = {}
        self._current: dict[str, int] = {}

    def declare(self, type: str, version: int) -> None:
        """Events of `type` are written in `version` from now on; every older one needs a step (see `missing`)."""
        if version < FIRST_VERSION:
            raise ValueError(f"a schema version is at least {FIRST_VERSION}, not {version}")
        self._current[type] = max(version, self._current.get(type, FIRST_VERSION))

    def register(self, type: str, from_version: int, step: Upcast) -> None:
        """`step` makes an event of `from_version` one of `from_version` + 1; the number is set here.

        Raises `ValueError` if there is one already: which of two would count is nobody's guess.
        """
        if (type, from_version) in self._steps:
            raise ValueError(f"{type!r} version {from_version} has an upcaster already")
        self.declare(type, from_version + 1)
        self._steps[type, from_version] = step

    def current(self, type: str) -> int:
        """The version in which events of `type` are written."""
        return self._current.get(type, FIRST_VERSION)

    def missing(self) -> list[tuple[str, int]]:
        """The older versions from which there is no way on; empty when the registry is complete."""
        return [
            (type, version)
            for type, current in sorted(self._current.items())
            for version in range(FIRST_VERSION, current)
            if (type, version) not in self._steps
        ]

    def require_known(self, type: str, version: int) -> None:
        """Raise `UnknownSchemaError` for a version that this program cannot read: what is to be written, too."""
        if not FIRST_VERSION <= version <= self.current(type):
            raise UnknownSchemaError(type, version, self.current(type))

    def known(self, events: Iterable[NewEvent]) -> list[NewEvent]:
        """`events`, about to be written. Raises `UnknownSchemaError` if one is of a version that nobody could read."""
        events = list(events)
        for event in events:
            if event.schema_version != FIRST_VERSION and isinstance(event.schema_version, int):
                self.require_known(event.type, event.schema_version)
        return events

    def lift(self, events: Sequence[Event]) -> list[Event]:
        """All of `events` in their current versions; next to nothing if they are."""
        current = self._current
        return [
            event if event.schema_version == current.get(event.type, FIRST_VERSION) else self.apply(event)
            for event in events
        ]

    def apply(self, event: Event) -> Event:
        """`event` in its current version. Raises `UnknownSchemaError` if it is newer, or a step is missing."""
        version, current = event.schema_version, self.current(event.type)
        if version == current:
            return event
        self.require_known(event.type, version)
        for older in range(version, current):
            step = self._steps.get((event.type, older))
            if step is None:
                raise MissingUpcasterError(event.type, older, current)
            event = step(event)._replace(schema_version=older + 1)
        return event
