"""How a store is: `ok`, `degraded` or `failed`, and why. A pure function over facts, with its limits as values.

degraded  it works, or will by itself, but somebody should look: no room, a disk nearly full, slow
failed    it takes no events until it is opened again, or cannot: a failed fsync, a lost lease, damage

Slowness is judged over the last appends: the part of them above a limit. `DiskWatch` asks how full the file system
is, at most once in a while, because the answer changes slowly and costs a system call.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "degraded", "failed"]
Severity = Literal["warning", "critical"]

STATUSES: tuple[Status, ...] = ("ok", "degraded", "failed")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which value on something is worth an alert. Ratios in 0..1, times in seconds."""

    disk_warning: float = 0.95  # retention cleans up from here on
    disk_critical: float = 0.99
    slow_append_s: float = 0.1  # an append that takes longer is slow
    slow_share: float = 0.05  # of the last appends
    slow_window: int = 200  # appends that are looked at
    failed_appends: int = 1  # in a row
    subscriber_lag: int = 100_000  # events that the slowest subscriber is behind


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at one moment. `refuses` says why the store takes no events, `fatal` that this will not pass."""

    refuses: str | None = None
    fatal: bool = False
    damage: tuple[str, ...] = ()
    disk_used_ratio: float = 0.0
    slow_share: float = 0.0
    failed_in_a_row: int = 0
    views_rebuilt: int = 0
    subscriber_lag: int = 0


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold that was reached; `value` is in the unit of the threshold."""

    name: str
    severity: Severity
    value: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Health:
    """`reasons` are sentences, the gravest first; none when all is well."""

    status: Status
    reasons: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] = ()


def assess(facts: Facts, thresholds: Thresholds | None = None) -> Health:
    """What `facts` amount to."""
    limits = thresholds or Thresholds()
    failed, degraded = _failures(facts), _troubles(facts, limits)
    status: Status = "failed" if failed else "degraded" if degraded else "ok"
    return Health(status, (*failed, *degraded), tuple(alerts(facts, limits)))


def _failures(facts: Facts) -> list[str]:
    reasons = [f"takes no events until it is opened again: {facts.refuses}"] if facts.fatal else []
    return reasons + [f"damaged: {damage}" for damage in facts.damage]


def _troubles(facts: Facts, limits: Thresholds) -> list[str]:
    reasons = []
    if facts.refuses and not facts.fatal:
        reasons.append(f"takes no events for now: {facts.refuses}")
    if facts.disk_used_ratio >= limits.disk_warning:
        reasons.append(f"the disk is {facts.disk_used_ratio:.1%} full")
    if facts.slow_share >= limits.slow_share:
        reasons.append(f"{facts.slow_share:.0%} of the last appends took over {limits.slow_append_s:g} s")
    return reasons


def alerts(facts: Facts, limits: Thresholds) -> list[Alert]:
    """The thresholds that are reached, the gravest first."""
    found = []
    used = facts.disk_used_ratio
    if facts.refuses or facts.damage:
        found.append(Alert("not_writable", "critical", 1.0, 1.0))
    if used >= limits.disk_critical:
        found.append(Alert("disk_full", "critical", used, limits.disk_critical))
    elif used >= limits.disk_warning:
        found.append(Alert("disk_full", "warning", used, limits.disk_warning))
    if facts.failed_in_a_row >= limits.failed_appends:
        found.append(Alert("appends_fail", "warning", facts.failed_in_a_row, limits.failed_appends))
    if facts.slow_share >= limits.slow_share:
        found.append(Alert("slow", "warning", facts.slow_share, limits.slow_share))
    if facts.views_rebuilt:
        found.append(Alert("views_rebuilt", "warning", facts.views_rebuilt, 1))
    if facts.subscriber_lag >= limits.subscriber_lag:
        found.append(Alert("subscriber_lags", "warning", facts.subscriber_lag, limits.subscriber_lag))
    return found


class Pace:
    """How long the last appends took, against a limit: which part of them was slow, and how many failed in a row."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._limit_s = thresholds.slow_append_s
        self._slow: deque[bool] = deque(maxlen=thresholds.slow_window)
        self.failed_in_a_row = 0

    def took(self, seconds: float) -> None:
        """An append is durable."""
        self._slow.append(seconds > self._limit_s)
        self.failed_in_a_row = 0

    def failed(self) -> None:
        self.failed_in_a_row += 1

    @property
    def slow_share(self) -> float:
        """0 until the window is half full: a first slow append is no trend."""
        slow = list(self._slow)
        return sum(slow) / len(slow) if len(slow) * 2 >= (self._slow.maxlen or 0) else 0.0


def used_ratio(path: str) -> float:
    """Which part of the file system at `path` is in use, of what this user may use; in 0..1."""
    status = os.statvfs(path)
    usable = status.f_blocks - status.f_bfree + status.f_bavail
    return 1.0 - status.f_bavail / usable if usable else 0.0


class DiskWatch:
    """How full the disk is, asked at most every `every_s` seconds of `clock` (monotonic)."""

    def __init__(
        self,
        directory: str,
        clock: Callable[[], float],
        *,
        every_s: float = 5.0,
        measure: Callable[[str], float] = used_ratio,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._every_s = every_s
        self._measure = measure
        self._asked: float | None = None
        self._ratio = 0.0

    def ratio(self) -> float:
        """As last asked; the last answer stands when the file system will not say."""
        now = self._clock()
        if self._asked is None or now - self._asked >= self._every_s:
            self._asked = now
            try:
                self._ratio = self._measure(self._directory)
            except OSError:
                return self._ratio
        return self._ratio
