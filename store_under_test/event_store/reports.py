"""What is said about a log that was looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes `start` to `end` of the file `name` that are not what they should be."""

    name: str
    start: int
    end: int
    what: str
    restorable: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """Events `first` to `last` are in no copy. `last` is `None` if nobody knows how many there were."""

    first: int
    last: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """What is wrong with a log: nothing, if both are empty."""

    extents: tuple[Extent, ...] = ()
    lost: tuple[Lost, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether every byte is right."""
        return not self.extents and not self.lost

    @property
    def is_complete(self) -> bool:
        """Whether every event is there, or can be restored."""
        return not self.lost
