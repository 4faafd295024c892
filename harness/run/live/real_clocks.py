"""The real functions of `time` and `datetime`, captured before anything is replaced (`timepiece`)."""

from __future__ import annotations

import datetime as _datetime
import time as _time
from typing import Any

time: Any = _time.time
time_ns: Any = _time.time_ns
clock_gettime: Any = _time.clock_gettime
clock_gettime_ns: Any = _time.clock_gettime_ns
monotonic: Any = _time.monotonic
monotonic_ns: Any = _time.monotonic_ns
perf_counter: Any = _time.perf_counter
perf_counter_ns: Any = _time.perf_counter_ns
sleep: Any = _time.sleep
localtime: Any = _time.localtime
gmtime: Any = _time.gmtime
ctime: Any = _time.ctime
asctime: Any = _time.asctime
strftime: Any = _time.strftime

# Methods of a type made in C, as they stand in its namespace.
datetime_now: Any = _datetime.datetime.__dict__["now"]
datetime_utcnow: Any = _datetime.datetime.__dict__["utcnow"]
