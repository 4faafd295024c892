"""Which of several faults in a program broke a promise: programs with fewer of them are played to find out.

A clock does not answer for other faults, nor they for it; and a failed sync does not answer for a store that loses data
in a power cut anyway. `play` carries out steps afresh and says what they break.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.core.program import FAULT_TYPES, FailSync, PowerCut, TurnClock
from harness.run.live.breaking import Broken

Play = Callable[[tuple[Any, ...]], Broken | None]
_OTHERS = tuple(kind for kind in FAULT_TYPES if kind is not TurnClock)
#: Crash states of a program without a failed sync that are tried.
_CUTS = 10


def fairly(broken: Broken, play: Play) -> Broken:
    """The same, unless the program breaks a promise without its clocks, or with nothing but them."""
    steps = broken.program.steps
    if any(isinstance(step, TurnClock) for step in steps):
        for kinds in ((TurnClock,), _OTHERS):
            kept = without(kinds, steps)
            found = play(kept) if len(kept) < len(steps) else None
            if found is not None:
                return found
    return broken


def without_failed_sync(steps: tuple[Any, ...], model: str, play: Play) -> Broken | None:
    """How a power cut after `steps` breaks a promise if no sync fails, if it does."""
    kept = without((FailSync,), steps)
    cuts = (play((*kept, PowerCut(model, choice))) for choice in range(_CUTS))
    return next((broken for broken in cuts if broken is not None), None)


def without(kinds: tuple[type, ...], steps: tuple[Any, ...]) -> tuple[Any, ...]:
    """The steps that are of none of these kinds."""
    return tuple(step for step in steps if not isinstance(step, kinds))
