"""Puts a `Clock` in the place of Python's own, for the calls of a store.

The functions of `time` are replaced wherever somebody refers to them (`references`), so that a store that did
`from time import time` long ago sees it too; `datetime` is a type made in C, whose methods are replaced in its
namespace. Code in C that asks the operating system itself, and programs that a store starts, keep the real clocks.
Without a clock engaged every function does what it always did.

A call that sleeps returns at once, and the clocks show that it slept; only the thread that makes the calls into a store
is treated so, and only while the store has no other, because threads really have to wait for each other.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Protocol

from harness.core.trace import CallSite
from harness.inject.clocks import NANOSECONDS, Clock, ClockFault, ClockMoment, ClockShape
from harness.record import kernel
from harness.record import originals as real
from harness.record.callsite import CallSites, call_site
from harness.record.kernel import Call, exists
from harness.record.references import Rebinding
from harness.record.tap import disguise
from harness.run.live import real_clocks as clocks

_NAMES = (
    *("time", "time_ns", "clock_gettime", "clock_gettime_ns", "monotonic", "monotonic_ns", "perf_counter"),
    *("perf_counter_ns", "sleep", "localtime", "gmtime", "ctime", "asctime", "strftime"),
)
_WALL_CLOCKS = frozenset(
    getattr(time, name) for name in ("CLOCK_REALTIME", "CLOCK_TAI", "CLOCK_REALTIME_COARSE") if hasattr(time, name)
)
_MONOTONIC_CLOCKS = frozenset(
    getattr(time, name) for name in ("CLOCK_MONOTONIC", "CLOCK_BOOTTIME", "CLOCK_MONOTONIC_RAW") if hasattr(time, name)
)


class Timekeeper(Protocol):
    """What the functions of `time` ask, and the gate that dates files: a `Clock` of one process, or one of several.

    `applied`: something has happened to it.
    """

    @property
    def applied(self) -> bool: ...

    def wall_ns(self, reader: Any = None) -> int: ...

    def shown_ns(self) -> int: ...

    def monotonic_ns(self, real_ns: int) -> int: ...

    def wait(self, seconds: float, waiter: Any = None) -> None: ...


class _Readings:
    """Bound methods with the signatures of `time`, which is where they are put."""

    def __init__(self) -> None:
        self.clock: Timekeeper | None = None
        self.caller = 0
        self.threads = 0

    def __reduce__(self) -> str:
        return "READINGS"

    def wall_ns(self) -> int:
        assert self.clock is not None
        return self.clock.wall_ns(call_site(3))

    def time(self) -> Any:
        return clocks.time() if self.clock is None else self.wall_ns() / NANOSECONDS

    def time_ns(self) -> Any:
        return clocks.time_ns() if self.clock is None else self.wall_ns()

    def clock_gettime_ns(self, clk_id: Any, /) -> Any:
        really = clocks.clock_gettime_ns(clk_id)
        if self.clock is None:
            return really
        if clk_id in _WALL_CLOCKS:
            return self.wall_ns()
        return self.clock.monotonic_ns(really) if clk_id in _MONOTONIC_CLOCKS else really

    def clock_gettime(self, clk_id: Any, /) -> Any:
        if self.clock is None or clk_id not in _WALL_CLOCKS | _MONOTONIC_CLOCKS:
            return clocks.clock_gettime(clk_id)
        return self.clock_gettime_ns(clk_id) / NANOSECONDS

    def monotonic_ns(self) -> Any:
        really = clocks.monotonic_ns()
        return really if self.clock is None else self.clock.monotonic_ns(really)

    def monotonic(self) -> Any:
        return clocks.monotonic() if self.clock is None else self.monotonic_ns() / NANOSECONDS

    def perf_counter_ns(self) -> Any:
        really = clocks.perf_counter_ns()
        return really if self.clock is None else self.clock.monotonic_ns(really)

    def perf_counter(self) -> Any:
        return clocks.perf_counter() if self.clock is None else self.perf_counter_ns() / NANOSECONDS

    def sleep(self, seconds: Any, /) -> Any:
        alone = threading.get_ident() == self.caller and threading.active_count() <= self.threads
        if self.clock is None or not alone or not isinstance(seconds, int | float) or not seconds >= 0:
            return clocks.sleep(seconds)
        self.clock.wait(seconds, call_site(2))
        return None

    def localtime(self, seconds: Any = None, /) -> Any:
        return clocks.localtime(self._now() if self.clock and seconds is None else seconds)

    def gmtime(self, seconds: Any = None, /) -> Any:
        return clocks.gmtime(self._now() if self.clock and seconds is None else seconds)

    def ctime(self, seconds: Any = None, /) -> Any:
        return clocks.ctime(self._now() if self.clock and seconds is None else seconds)

    def asctime(self, *t: Any) -> Any:
        return clocks.asctime(*(t or (clocks.localtime(self._now()),) if self.clock else t))

    def strftime(self, format: Any, *t: Any) -> Any:
        return clocks.strftime(format, *(t or (clocks.localtime(self._now()),) if self.clock else t))

    def _now(self) -> int:
        return self.wall_ns() // NANOSECONDS


READINGS = _Readings()


def _now(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
    if READINGS.clock is None or not (tz is None or isinstance(tz, tzinfo)):
        really: datetime = clocks.datetime_now.__get__(None, cls)(tz)
        return really
    return _at(cls, READINGS.wall_ns(), tz)


def _utcnow(cls: type[datetime]) -> datetime:
    if READINGS.clock is None:
        really: datetime = clocks.datetime_utcnow.__get__(None, cls)()
        return really
    return _at(cls, READINGS.wall_ns(), UTC).replace(tzinfo=None)


def _at(cls: type[datetime], wall_ns: int, tz: tzinfo | None) -> datetime:
    whole, part = divmod(wall_ns, NANOSECONDS)
    return cls.fromtimestamp(whole, tz).replace(microsecond=part // 1000)


# --- in and out ---------------------------------------------------------------------------------

_pairs: list[tuple[Any, Any]] = []
_modules_seen: list[int] = []


def install() -> None:
    """Replace the functions in this process, also those that modules imported since the last time refer to.

    What a tuple, a `staticmethod` or a `functools.partial` holds cannot be replaced: through it the real clock is seen.
    """
    if not _pairs:
        pairs = [(name, getattr(clocks, name)) for name in _NAMES]
        _pairs.extend(disguise(original, READINGS, name) for name, original in pairs)
        _replace_methods({"now": classmethod(_now), "utcnow": classmethod(_utcnow)})
    if _modules_seen != [len(sys.modules)]:
        Rebinding(_pairs).run()
        _modules_seen[:] = [len(sys.modules)]


def uninstall() -> None:
    """Put the real functions back. For tests."""
    if _pairs:
        Rebinding([(patched, original) for original, patched in _pairs]).run()
        _replace_methods({"now": clocks.datetime_now, "utcnow": clocks.datetime_utcnow})
    _pairs.clear()
    _modules_seen.clear()


def _replace_methods(methods: dict[str, Any]) -> None:
    """In the namespace of a type made in C, which allows no assignment: its dictionary is what its proxy refers to."""
    [names] = gc.get_referents(datetime.__dict__)
    assert isinstance(names, dict)
    names.update(methods)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))


@contextlib.contextmanager
def engaged(clock: Timekeeper, zone: str = "") -> Iterator[None]:
    """The calls of this thread go by `clock`, in the time zone `zone` ("": that of the machine), until the end."""
    assert _pairs, "install first"
    before = os.environ.get("TZ")
    READINGS.clock, READINGS.caller, READINGS.threads = clock, threading.get_ident(), threading.active_count()
    _set_zone(zone or before)
    try:
        yield
    finally:
        READINGS.clock = None
        _set_zone(before)


def _set_zone(zone: str | None) -> None:
    if os.environ.get("TZ") == zone:
        return
    if zone is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = zone
    time.tzset()


# --- file times ---------------------------------------------------------------------------------


class FileTimes:
    """A gate that dates what is written in `directory` by `clock`, as the kernel would, and counts the calls there.

    Before call number `index` it calls `then`. `looked` are those that asked for the times of files, in turn.
    """

    def __init__(
        self, clock: Timekeeper, directory: str, index: int = -1, then: Callable[[], None] | None = None
    ) -> None:
        self.clock = clock
        self.directory = os.path.realpath(directory)
        self.index = index
        self.then = then
        self.calls = 0
        self.looked: list[Any] = []
        self.last: Any = None
        self._other: FileTimes | None = None

    def take_turns(self, other: FileTimes | None) -> None:
        """Leave the calls from now on to `other`; `None` ends that."""
        self._other = other

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        if self._other is not None:
            return self._other(call, make)
        path = call.path()
        if path != self.directory and not path.startswith(self.directory + os.sep):
            return make()
        number, self.calls = self.calls, self.calls + 1
        if number == self.index and self.then is not None:
            self.then()
        if self.clock.applied:
            self.last = call_site(2)
            if call.group == kernel.STATUS:
                self.looked.append(self.last)
        target = self._dated(call, path)
        result = make()
        if target is not None:
            self._date(target, call)
        return result

    def _dated(self, call: Call, path: str) -> int | str | None:
        """What the call gives a new time of modification, if anything; asked before it is made."""
        if call.group in (kernel.WRITE, kernel.SIZE):
            return call.descriptor if call.descriptor >= 0 else path
        if call.group == kernel.OPEN and call.flags & (os.O_CREAT | os.O_TRUNC):
            return path if call.flags & os.O_TRUNC or not exists(path) else None
        return path if call.name in ("mkdir", "utime") else None

    def _date(self, target: int | str, call: Call) -> None:
        wall_ns = self.clock.shown_ns()
        with contextlib.suppress(OSError, OverflowError):
            if call.name == "utime" and abs(real.stat(target).st_mtime_ns - real.time_ns()) > 5 * NANOSECONDS:
                return  # set to a time of the store's own choice
            real.utime(target, ns=(wall_ns, wall_ns))


# --- does it work? ------------------------------------------------------------------------------


def probe() -> str:
    """Whether a step shows, here and in a forked child, wherever a store may look; else why not, in words."""
    fault = ClockFault(ClockShape.STEP, 3_600.0, ClockMoment.BETWEEN, 0)
    clock = Clock(clocks.monotonic_ns)
    install()
    before = {name: read() for name, read in _early_references().items()}
    with engaged(clock):
        really = clocks.monotonic()
        clock.apply(fault)
        off = {name: abs(read() - clock.shown_ns() / NANOSECONDS) for name, read in _early_references().items()}
        time.sleep(1.0)
        wrong = sorted(name for name, difference in off.items() if difference > 2.0)
        if not 0.9 < time.monotonic() - really < 30.0:
            wrong.append("monotonic")
    after = {name: read() for name, read in _early_references().items()}
    wrong += sorted(name for name in before if not -1.0 <= after[name] - before[name] < 30.0)
    return f"the clocks can't be changed here: {', '.join(wrong)}" if wrong else ""


def _early_references() -> dict[str, Callable[[], float]]:
    """Ways to ask for the time, all in seconds since 1970."""
    return {
        "time.time": time.time,
        "time.time_ns": lambda: time.time_ns() / NANOSECONDS,
        "time.clock_gettime": lambda: time.clock_gettime(time.CLOCK_REALTIME),
        "time.localtime": lambda: time.mktime(time.localtime()),
        "datetime.now": lambda: datetime.now().timestamp(),
        "datetime.now(UTC)": lambda: datetime.now(UTC).timestamp(),
        "date.today": lambda: (
            abs(date.today().toordinal() - datetime.now().toordinal()) * 1e9 + datetime.now().timestamp()
        ),
    }


def sites_of(readers: list[Any]) -> dict[Any, CallSite]:
    """The lines behind `readers`, each once, in the order in which they last read."""
    known = CallSites()
    found: dict[Any, CallSite] = {}
    for reader in readers:
        site = None if reader is None else known.resolve(*reader)
        if site is not None:
            key = (site.file, site.line)
            found.pop(key, None)
            found[key] = site
    return found
