"""A span that writes down what becomes of it and of its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from harness.observe.spans import Attributes

_numbers = count(1)


@dataclass(slots=True)
class Noted:
    """All that was told to one span."""

    name: str = "run"
    attributes: dict[str, object] = field(default_factory=dict)
    parts: list[Noted] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def traceparent(self) -> str:
        return f"00-{'a' * 32}-{self.number:016x}-01"

    def child(self, name: str, attributes: Attributes | None = None) -> Noted:
        self.parts.append(Noted(name, dict(attributes or {})))
        return self.parts[-1]

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        self.events.append(name)

    def end(self, attributes: Attributes | None = None, *, error: str = "") -> None:
        self.attributes |= attributes or {}
        self.ends.append(error)
