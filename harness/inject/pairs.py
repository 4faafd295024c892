"""Two failures in one run: a call fails, and so does one on the way that this sends a store.

What a store does about an error is code that no run without faults goes through: closing and removing what was begun,
taking back, waiting for a lock. Its calls may fail like any others. Every place that single failures lead to is
struck once with every error that applies; what only two failures lead to is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.inject.calls import CallFault, Seen, once


@dataclass(frozen=True, slots=True)
class CallPair:
    """`first` strikes; of the calls after it, `then` strikes another one. `site` is where that was met first."""

    first: CallFault
    then: CallFault
    site: str

    @property
    def word(self) -> str:
        """The fault that the second call meets, in a word."""
        return self.then.word

    def describe(self) -> str:
        return f"{self.first.describe()}, and after it {self.then.describe()}"


class Reached:
    """The places that a run without faults goes to, and those beyond, each with what led there first."""

    def __init__(self) -> None:
        self.calls: list[Seen] = []
        self._known: set[tuple[str, str, bool]] = set()
        self._ways: list[tuple[CallFault, Seen, int]] = []

    def rehearsed(self, calls: Iterable[Seen]) -> None:
        """These calls are made without any fault."""
        self._known.update((call.site, call.name, call.creates) for call in calls)

    def after(self, first: CallFault, found: Iterable[tuple[Seen, int]]) -> None:
        """These calls were made after `first` had struck, which did no harm: each with its number among its like."""
        for call, number in found:
            key = (call.site, call.name, call.creates)
            if key not in self._known:
                self._known.add(key)
                self.calls.append(call)
                self._ways.append((first, call, number))

    def pairs(self) -> Iterator[CallPair]:
        """Every failure of a new place, also of those that are found while this goes on."""
        done = 0
        while done < len(self._ways):
            first, call, number = self._ways[done]
            done += 1
            yield from (CallPair(first, then, call.site) for then in once(call, number))
