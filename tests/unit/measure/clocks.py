"""A process whose time passes only when somebody says so."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.unit.measure.samples import MS


@dataclass(slots=True)
class VirtualMeter:
    """All clocks and counters are numbers that a test, or a store of a test, changes."""

    now: int = 0
    waited: int = 0
    processor: int = 0
    resident: int = 50 << 20
    open_descriptors: int = 3
    settled: int = 0

    def now_ns(self) -> int:
        return self.now

    def waited_ns(self) -> int:
        return self.waited

    def processor_ns(self) -> int:
        return self.processor

    def resident_bytes(self) -> int:
        return self.resident

    def descriptors(self) -> int:
        return self.open_descriptors

    def settle(self) -> None:
        self.settled += 1

    def pass_ms(self, milliseconds: float, *, waiting: bool = False, working: bool = False) -> None:
        """Let time pass; the thread waits for a processor meanwhile, or has one."""
        self.now += round(milliseconds * MS)
        self.waited += round(milliseconds * MS) if waiting else 0
        self.processor += round(milliseconds * MS) if working else 0


@dataclass(slots=True)
class Diary:
    """A watch that remembers what it was told."""

    calls: list[tuple[int, str]] = field(default_factory=list)
    inside: bool = False

    def enter(self, unit: int, phase: str) -> None:
        assert not self.inside
        self.inside = True
        self.calls.append((unit, phase))

    def leave(self) -> None:
        assert self.inside
        self.inside = False
