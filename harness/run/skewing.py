"""A wall clock that shows another time, for a user's own tests.

`time.time`, `time.time_ns`, `time.localtime`, `time.gmtime`, `time.ctime`, `time.strftime` and `datetime.datetime.now`,
`utcnow` and `today` show it, also where a module imported the names before; the monotonic clock, the times of files
and other processes stay as they are. Before it is relied on, the mechanism is probed.
"""

from __future__ import annotations

import datetime
import sys
import time
from types import TracebackType
from typing import Any, Self

from harness.core.errors import HarnessFault, UsageError
from harness.record.callsite import is_store_file
from harness.run.testing import Fault

_NAMES = ("time", "time_ns", "localtime", "gmtime", "ctime", "strftime")
_REAL = {name: getattr(time, name) for name in _NAMES}
_DATETIME = datetime.datetime
_TOLERANCE_S = 60.0


class skewed_clock(Fault):
    """The wall clock is `seconds` ahead (or behind, where negative) until the block ends. `step` moves it again.

    `fired` counts how often somebody looked at it. One at a time.
    """

    name = "skewed clock"
    _active: skewed_clock | None = None

    def __init__(self, seconds: float, *, may_not_fire: bool = False) -> None:
        super().__init__(may_not_fire=may_not_fire)
        if not seconds == seconds or abs(seconds) > 1e11:
            raise UsageError(f"skewed_clock({seconds}) is no time that a clock can show: say up to 1e11 seconds.")
        self.seconds = float(seconds)
        self._looks = 0

    @property
    def fired(self) -> int:
        return self._looks

    def step(self, seconds: float) -> None:
        """Move the clock by so many seconds more."""
        self.seconds += seconds

    def __enter__(self) -> Self:
        if skewed_clock._active is not None:
            raise UsageError("another clock is skewed already: move it with step().")
        skewed_clock._active = self
        self._replaced = _replace(self)
        problem = _probe(self)
        if problem:
            self._put_back()
            raise HarnessFault(f"the clock can't be skewed here: {problem}.")
        self._looks = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_back()
        if error is None:
            self.require_fired()

    def _put_back(self) -> None:
        skewed_clock._active = None
        for names, name, original in self._replaced:
            names[name] = original

    def now_s(self) -> float:
        """What the clock shows."""
        self._looks += 1
        shown: float = _REAL["time"]() + self.seconds
        return shown


def _replace(clock: skewed_clock) -> list[tuple[dict[str, Any], str, Any]]:
    """Put the skewed functions wherever a module has the real ones; what was where."""
    new = {id(_REAL[name]): function for name, function in _functions(clock).items()}
    new[id(_DATETIME)] = _skewed_datetime(clock)
    replaced = []
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", None)
        if names is None or not _concerns(module):
            continue
        for name, value in list(names.items()):
            if id(value) in new:
                replaced.append((names, name, value))
                names[name] = new[id(value)]
    return replaced


def _concerns(module: Any) -> bool:
    """The modules that define the names, and those of stores; not the test tools and this package."""
    if module in (time, datetime):
        return True
    root = module.__name__.partition(".")[0]
    return root not in _LEFT_ALONE and is_store_file(getattr(module, "__file__", None) or "<none>")


_LEFT_ALONE = ("_pytest", "pytest", "execnet", "hypothesis", "pluggy", "xdist", "pytest_timeout", "coverage")


def _functions(clock: skewed_clock) -> dict[str, Any]:
    def shown(seconds: float | None) -> float:
        return clock.now_s() if seconds is None else seconds

    def strftime(format: str, when: Any = None, /) -> Any:
        return _REAL["strftime"](format, _REAL["localtime"](clock.now_s()) if when is None else when)

    return {
        "time": clock.now_s,
        "time_ns": lambda: int(clock.now_s() * 1e9),
        "localtime": lambda seconds=None: _REAL["localtime"](shown(seconds)),
        "gmtime": lambda seconds=None: _REAL["gmtime"](shown(seconds)),
        "ctime": lambda seconds=None: _REAL["ctime"](shown(seconds)),
        "strftime": strftime,
    }


class _LikeDatetime(type):
    """What is a datetime stays one."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _DATETIME)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, _DATETIME)


def _skewed_datetime(clock: skewed_clock) -> Any:
    class SkewedDatetime(_DATETIME, metaclass=_LikeDatetime):
        """Gives real datetimes."""

        def __new__(cls, *arguments: Any, **keywords: Any) -> Any:
            return _DATETIME(*arguments, **keywords)

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return _DATETIME.fromtimestamp(clock.now_s(), tz)

        @classmethod
        def today(cls) -> Any:
            return _DATETIME.fromtimestamp(clock.now_s())

        @classmethod
        def utcnow(cls) -> Any:
            return _DATETIME.fromtimestamp(clock.now_s(), datetime.UTC).replace(tzinfo=None)

    return SkewedDatetime


def _probe(clock: skewed_clock) -> str:
    """What does not show the skewed time, or nothing."""
    wanted = _REAL["time"]() + clock.seconds
    shown = {"time.time": time.time(), "time.time_ns": time.time_ns() / 1e9}
    try:
        shown["datetime.now"] = datetime.datetime.now(datetime.UTC).timestamp()
    except (OverflowError, ValueError, OSError):
        return f"no date is so far away ({clock.seconds:g} s)"
    return next((f"{name} is not moved" for name, now in shown.items() if abs(now - wanted) > _TOLERANCE_S), "")
