"""Virtual time: a clock that only moves when somebody waits or works on it, and a store that stands still at times."""

from __future__ import annotations

MS = 1_000_000
SECOND = 1_000 * MS


class VirtualClock:
    """Nanoseconds that pass only by `sleep_until_ns` and `work`. Waking takes `late_ns` longer than asked for."""

    def __init__(self, start_ns: int = 5 * SECOND, late_ns: int = 0) -> None:
        self.moment_ns = start_ns
        self.used_ns = 0
        self.late_ns = late_ns

    def now_ns(self) -> int:
        return self.moment_ns

    def sleep_until_ns(self, moment_ns: int) -> None:
        self.moment_ns = max(self.moment_ns, moment_ns) + self.late_ns

    def cpu_ns(self) -> int:
        return self.used_ns

    def work(self, lasting_ns: int, cpu_ns: int = 0) -> None:
        self.moment_ns += lasting_ns
        self.used_ns += cpu_ns


class FreezingStore:
    """Answers in 1 ms, but stands still for the first 300 ms of every 3 s."""

    EVERY_NS = 3 * SECOND
    FROZEN_NS = 300 * MS

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.born_ns = clock.now_ns()

    def call(self) -> None:
        phase_ns = (self.clock.now_ns() - self.born_ns) % self.EVERY_NS
        self.clock.work(max(self.FROZEN_NS - phase_ns, 0) + MS)
