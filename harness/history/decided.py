"""What a decider says about a part of a history."""

from __future__ import annotations

from dataclasses import dataclass

from harness.history.events import Event


@dataclass(frozen=True, slots=True)
class Decided:
    """`legal` is `None` where this decider can't tell.

    `order` explains every answer of a legal part. `against` are a few events that contradict each other; `words` says
    how, with `{0}`, `{1}`, ... for them, or is empty.
    """

    legal: bool | None
    order: tuple[Event, ...] = ()
    against: tuple[Event, ...] = ()
    words: str = ""


OPEN = Decided(None)
