"""Retention: which of the oldest segments may go. A pure function of a policy and of what there is.

Only whole sealed segments go, oldest first. The order makes it safe at every moment: a control frame in the log says
from where on events are kept, and is durable, before the first file is removed; opening then takes what is missing
before that for removed and finishes what a crash left half done. An aggregate whose events are all gone is forgotten:
its versions start from 1 again, also for a handle that was open meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is kept; `None`: no such limit. With no limit at all nothing is ever removed.

    `max_bytes` and `max_segments` count sealed and active segments; `max_age_s` is that of a segment's newest event,
    in seconds. `emergency_segments` sealed ones at most are removed at once when the disk runs full, even if they are
    within the limits; 0: only what the limits say.
    """

    max_bytes: int | None = None
    max_segments: int | None = None
    max_age_s: float | None = None
    emergency_segments: int = 0

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_segments", "max_age_s", "emergency_segments"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} is at least 0, not {value}")


@dataclass(frozen=True, slots=True)
class Extent:
    """A segment, as retention sees it. `newest` is its largest time stamp in seconds UTC."""

    first_sequence: int
    size_bytes: int
    newest: float
    sealed: bool


def doomed(policy: Policy, extents: Sequence[Extent], now: float, *, emergency: bool = False) -> int:
    """How many of `extents`, oldest first, are to be removed. The active one never is."""
    sealed = sum(extent.sealed for extent in extents)
    count = 0
    while count < sealed and _too_much(policy, extents[count:], now):
        count += 1
    return max(count, min(policy.emergency_segments, sealed)) if emergency else count


def _too_much(policy: Policy, extents: Sequence[Extent], now: float) -> bool:
    """Whether the first of `extents` has to go."""
    size = sum(extent.size_bytes for extent in extents)
    return (
        (policy.max_bytes is not None and size > policy.max_bytes)
        or (policy.max_segments is not None and len(extents) > policy.max_segments)
        or (policy.max_age_s is not None and extents[0].newest < now - policy.max_age_s)
    )
