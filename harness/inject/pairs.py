"""Two failures in one run: a call fails, and so does one on the way that this sends a store.

What a store does about an error is code that no run without faults goes through: closing and removing what was begun,
taking back, waiting for a lock. Its calls may fail like any others. Every place that single failures lead to is
struck with every error that applies, once by each way there; what only two failures lead to is not.
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


@dataclass(frozen=True, slots=True)
class _Way:
    """How a place was reached: after which fault, and as which call of its name from then on."""

    first: CallFault
    call: Seen
    number: int


class Reached:
    """The places that a run without faults goes to, and those beyond, with the ways that lead there.

    Of the failures at one place only the first counts as a way: where a store was when it began to clean up makes more
    of a difference than what it was told then.
    """

    def __init__(self) -> None:
        self._known: set[tuple[str, str, bool]] = set()
        self._ways: dict[tuple[str, str, bool], dict[str, _Way]] = {}

    @property
    def calls(self) -> list[Seen]:
        """One call of each place that only a failure leads to."""
        return [next(iter(ways.values())).call for ways in self._ways.values()]

    def rehearsed(self, calls: Iterable[Seen]) -> None:
        """These calls are made without any fault."""
        self._known.update((call.site, call.name, call.creates) for call in calls)

    def after(self, first: CallFault, origin: str, found: Iterable[tuple[Seen, int]]) -> None:
        """These calls were made after `first` had struck at `origin`, which did no harm: each with its number among
        those of its name."""
        for call, number in found:
            key = (call.site, call.name, call.creates)
            if key not in self._known:
                self._ways.setdefault(key, {}).setdefault(origin, _Way(first, call, number))

    def pairs(self) -> Iterator[CallPair]:
        """Every failure of every new place, by one way for each; then by a second one, and so on."""
        most = max(map(len, self._ways.values()), default=0)
        for turn in range(most):
            for ways in list(self._ways.values()):
                for way in list(ways.values())[turn : turn + 1]:
                    yield from (CallPair(way.first, then, way.call.site) for then in once(way.call, way.number))
