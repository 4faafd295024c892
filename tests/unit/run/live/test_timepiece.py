"""A clock in the place of Python's own: everybody sees it, and afterwards nobody."""

from __future__ import annotations

import datetime as dates
import os
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic as early_monotonic
from time import sleep as early_sleep
from time import time as early_time
from typing import Any

import pytest

from harness.inject.clocks import NANOSECONDS, START_S, Clock, ClockFault, ClockMoment, ClockShape, Waited
from harness.record import kernel
from harness.run.live import timepiece
from harness.run.live.timepiece import FileTimes

YEAR_S = 31_557_600


class Source:
    """A monotonic clock that stands unless it is told to go on."""

    def __init__(self) -> None:
        self.now_ns = NANOSECONDS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Iterator[Clock]:
    timepiece.install()
    yield Clock(Source())


def step(seconds: float) -> ClockFault:
    return ClockFault(ClockShape.STEP, seconds, ClockMoment.BETWEEN, 0)


def default(read: Any = time.time) -> float:
    return float(read())


class Holder:
    read = time.time_ns


def test_the_mechanism_works_here() -> None:
    assert timepiece.probe() == ""


def test_everybody_sees_the_step_however_they_came_to_the_function(clock: Clock) -> None:
    really = time.time()
    with timepiece.engaged(clock):
        clock.apply(step(YEAR_S))
        expected = START_S + YEAR_S
        seen = [
            time.time(),
            early_time(),
            default(),
            Holder.read() / NANOSECONDS,
            time.clock_gettime(time.CLOCK_REALTIME),
            time.clock_gettime_ns(time.CLOCK_REALTIME) / NANOSECONDS,
            time.mktime(time.localtime()),
            datetime.now().timestamp(),
            dates.datetime.now(dates.UTC).timestamp(),
            datetime.fromtimestamp(time.time()).timestamp(),
        ]
        assert seen == [expected] * len(seen)
        assert date.today() == datetime.now().date() and datetime.today().year == datetime.now().year
        assert time.ctime() == time.asctime() == time.strftime("%a %b %e %H:%M:%S %Y")
        assert time.gmtime()[:3] == datetime.now(dates.UTC).timetuple()[:3]
        assert utcnow() == datetime.now(dates.UTC).replace(tzinfo=None)
    assert abs(time.time() - really) < 600 and abs(datetime.now().timestamp() - really) < 600


def utcnow() -> datetime:
    with warnings.catch_warnings():  # deprecated since 3.12, and used all the same
        warnings.simplefilter("ignore")
        return dates.datetime.utcnow()


def test_what_does_not_ask_for_now_is_answered_as_ever(clock: Clock) -> None:
    with timepiece.engaged(clock):
        assert time.gmtime(0).tm_year == 1970
        assert time.strftime("%Y", time.gmtime(0)) == "1970"
        assert time.asctime(time.gmtime(0)) == "Thu Jan  1 00:00:00 1970"
        assert time.ctime(0).endswith("1970") and time.localtime(86_400.0).tm_year == 1970
        with pytest.raises(TypeError):
            datetime.now("Europe/Paris")  # type: ignore[arg-type]
        assert time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID) < 86_400
        assert time.clock_gettime_ns(time.CLOCK_PROCESS_CPUTIME_ID) < 86_400 * NANOSECONDS
    assert time.gmtime(0).tm_year == 1970 and time.strftime("%Y", time.gmtime(0)) == "1970"
    assert time.asctime(time.gmtime(0)).endswith("1970")


def test_before_1970_and_after_2106(clock: Clock) -> None:
    with timepiece.engaged(clock):
        clock.apply(step(-START_S - 1.5))
        assert time.time() == -1.5
        assert datetime.now(dates.UTC) == datetime(1970, 1, 1, tzinfo=dates.UTC) - timedelta(seconds=1.5)
        clock.apply(step(2.0**32 + 1.5))
        assert datetime.now(dates.UTC).year == 2106


def test_a_subclass_of_datetime_gets_its_own(clock: Clock) -> None:
    class Stamp(datetime):
        pass

    with timepiece.engaged(clock):
        assert type(Stamp.now()) is Stamp and Stamp.now().timestamp() == START_S
        assert type(Stamp.now(dates.UTC)) is Stamp
    assert type(Stamp.now()) is Stamp and type(Stamp.now(dates.UTC)) is Stamp


def test_sleeping_takes_no_time_and_all_clocks_show_it(clock: Clock) -> None:
    with timepiece.engaged(clock):
        before = time.time(), time.monotonic(), time.perf_counter(), early_monotonic()
        early_sleep(40)
        after = time.time(), time.monotonic(), time.perf_counter(), early_monotonic()
        assert all(39 < later - earlier < 60 for earlier, later in zip(before, after, strict=True))
        assert time.monotonic_ns() > 0 and time.perf_counter_ns() > 0
        assert time.clock_gettime(time.CLOCK_MONOTONIC) >= after[1]
        with pytest.raises(Waited):
            early_sleep(40)
        assert clock.overdue
        with pytest.raises(ValueError):
            early_sleep(-1)


def test_other_threads_really_sleep(clock: Clock) -> None:
    with timepiece.engaged(clock):
        thread = threading.Thread(target=time.sleep, args=(0.001,))
        thread.start()
        thread.join()
    assert clock.waited_ns == 0


def test_a_forked_child_sees_it_too(clock: Clock) -> None:
    with timepiece.engaged(clock):
        clock.apply(step(YEAR_S))
        child = os.fork()
        if child == 0:
            os._exit(0 if time.time() == START_S + YEAR_S else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_local_time_repeats_an_hour_when_summer_ends() -> None:
    timepiece.install()
    fault = ClockFault(ClockShape.SUMMER_ENDS, 0.0, ClockMoment.BETWEEN, 0)
    clock = Clock(Source(), fault.start_s)
    zone = time.tzname
    with timepiece.engaged(clock, fault.zone):
        before, utc = datetime.now(), time.time()
        clock.apply(fault)
        assert datetime.now() < before and time.time() > utc
    assert time.tzname == zone


def test_the_zone_of_the_machine_comes_back(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setenv("TZ", "XYZ-5")
    with timepiece.engaged(clock, "ABC-7"):
        assert time.localtime().tm_gmtoff == 7 * 3600
    assert os.environ["TZ"] == "XYZ-5"
    monkeypatch.delenv("TZ")
    time.tzset()


def test_what_keeps_the_real_function_in_a_partial_sees_the_real_clock(clock: Clock) -> None:
    """Said in docs/LIMITS.md: what was made before and can't be changed in place."""
    timepiece.uninstall()
    keeps = partial(time.time)
    timepiece.install()
    with timepiece.engaged(clock):
        clock.apply(step(-START_S))
        assert time.time() < 100 < keeps()


def test_installed_twice_is_installed_once() -> None:
    timepiece.uninstall()
    original = time.time
    timepiece.install()
    timepiece.install()
    timepiece.uninstall()
    assert time.time is original and isinstance(datetime.now(), datetime)


# --- file times ---------------------------------------------------------------------------------


def test_files_are_dated_by_the_clock(clock: Clock, tmp_path: Path) -> None:
    files, kept = FileTimes(clock, str(tmp_path)), tmp_path / "kept"
    kept.write_text("as it is")
    os.utime(kept, (5, 5))
    with timepiece.engaged(clock), kernel.engage(files):
        clock.apply(step(-YEAR_S))
        (tmp_path / "new").write_text("text")
        (tmp_path / "folder").mkdir()
        with open(kept, "a") as stream:
            dated = os.stat(kept).st_mtime
            stream.write("!")
        touched = tmp_path / "touched"
        touched.touch()
        os.utime(touched)
        descriptor = os.open(tmp_path / "chosen", os.O_CREAT | os.O_WRONLY)
        os.ftruncate(descriptor, 3)
        os.close(descriptor)
        os.utime(tmp_path / "chosen", (77, 77))
    when = START_S - YEAR_S
    assert dated == 5
    assert [os.stat(tmp_path / name).st_mtime for name in ("new", "folder", "kept", "touched")] == [when] * 4
    assert os.stat(tmp_path / "chosen").st_mtime == 77
    assert timepiece.sites_of(files.looked) and files.calls > 8


def test_something_happens_before_a_call(clock: Clock, tmp_path: Path) -> None:
    seen: list[int] = []
    files = FileTimes(clock, str(tmp_path), 1, lambda: seen.append(files.calls))
    with kernel.engage(files):
        for number in range(3):
            os.stat(tmp_path)
            assert len(seen) == (number > 0)
    assert seen == [2]
