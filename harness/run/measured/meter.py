"""The real clocks of a process, and its size. Where the system does not tell, a clock stands still."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time

import psutil


class ProcessMeter:
    """Clocks of the thread that makes it. The run delay is that of schedstat (Linux, scheduler/sched-stats)."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._schedule = _descriptor("/proc/thread-self/schedstat")
        self._memory = _descriptor("/proc/self/smaps_rollup")

    def now_ns(self) -> int:
        return time.perf_counter_ns()

    def processor_ns(self) -> int:
        return time.thread_time_ns()

    def waited_ns(self) -> int:
        return 0 if self._schedule < 0 else int(os.pread(self._schedule, 96, 0).split()[1])

    def resident_bytes(self) -> int:
        """To the page where the system adds them up; statm is off by hundreds of pages since Linux 6.2."""
        if self._memory < 0:
            return int(self._process.memory_info().rss)
        text = os.pread(self._memory, 4096, 0)
        return int(text.partition(b"Rss:")[2].split()[0]) << 10

    def settle(self) -> None:
        """Give memory that is free back to the system (malloc_trim(3), glibc), so that what is taken anew shows."""
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)

    def descriptors(self) -> int:
        """How many this process has open."""
        return int(self._process.num_fds())

    def close(self) -> None:
        for descriptor in (self._schedule, self._memory):
            if descriptor >= 0:
                os.close(descriptor)


def _descriptor(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:  # not Linux, or not told
        return -1
