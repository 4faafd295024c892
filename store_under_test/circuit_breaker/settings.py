"""When a circuit opens, and how it recovers. All of it is checked on construction; `ValueError` says what is wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Consecutive:
    """Opens at `failures` failed calls in a row: a success sets the count back to 0."""

    failures: int = 5

    def __post_init__(self) -> None:
        _require_count("failures", self.failures)


@dataclass(frozen=True, slots=True)
class LastCalls:
    """Opens when at least `failures` of the last `calls` results are failures, and there are `minimum_calls`."""

    calls: int
    failures: int
    minimum_calls: int = 1

    def __post_init__(self) -> None:
        for name in ("calls", "failures", "minimum_calls"):
            _require_count(name, getattr(self, name))
        if max(self.failures, self.minimum_calls) > self.calls:
            raise ValueError(f"a window of {self.calls} calls never holds {max(self.failures, self.minimum_calls)}")


@dataclass(frozen=True, slots=True)
class LastSeconds:
    """As `LastCalls`, for the results that are younger than `seconds`; one that is exactly as old counts no more."""

    seconds: float
    failures: int
    minimum_calls: int = 1

    def __post_init__(self) -> None:
        _require_time("seconds", self.seconds)
        _require_count("failures", self.failures)
        _require_count("minimum_calls", self.minimum_calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one circuit behaves.

    `recovery_timeout_s` is how long it stays open. `trial_calls` may pass while it is half-open; `successes_to_close`
    of them must succeed. A trial that says nothing gives its place to another. One that has not ended after
    `trial_limit_s` counts as failed (`None`: it may take for ever, and keep its place). A success that took more than
    `slow_call_s` counts as a failure. Errors of the types `failures` are failures; errors of the types `ignored`, all
    others, and what is no `Exception` (cancellation, Ctrl-C) say nothing about the dependency.
    """

    trips: Consecutive | LastCalls | LastSeconds = field(default_factory=Consecutive)
    recovery_timeout_s: float = 30.0
    trial_calls: int = 1
    successes_to_close: int = 1
    trial_limit_s: float | None = 60.0
    slow_call_s: float | None = None
    failures: tuple[type[Exception], ...] = (Exception,)
    ignored: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        _require_time("recovery_timeout_s", self.recovery_timeout_s)
        _require_count("trial_calls", self.trial_calls)
        _require_count("successes_to_close", self.successes_to_close)
        if self.successes_to_close > self.trial_calls:
            raise ValueError(f"{self.trial_calls} trial calls never make {self.successes_to_close} successes")
        for name in ("trial_limit_s", "slow_call_s"):
            if getattr(self, name) is not None:
                _require_time(name, getattr(self, name))
        for kind in (*self.failures, *self.ignored):
            if not issubclass(kind, Exception):
                raise ValueError(f"{kind.__name__} is no Exception: it never says anything about a dependency")


def _require_count(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} is {value}: it must be at least 1")


def _require_time(name: str, value: float) -> None:
    if not (0 < value < math.inf):
        raise ValueError(f"{name} is {value}: it must be more than 0 seconds, and finite")
