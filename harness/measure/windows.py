"""What a run measured in one stretch of time after another, in memory that does not grow with the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from harness.measure.latencies import Latencies
from harness.measure.openloop import Sample

#: More windows than this are merged two by two.
MOST_WINDOWS = 240


@dataclass(frozen=True, slots=True)
class Reading:
    """What the process of the store held at one moment, in bytes and numbers."""

    resident_bytes: int
    descriptors: int
    disk_bytes: int


NOTHING = Reading(0, 0, 0)


@dataclass(slots=True)
class Window:
    """From `from_ns` to `to_ns` of the time of the run. `done` counts the operations of the whole run up to its end.

    `part` tells how often the run had been killed before. `response` and `wait` are those of an open loop, empty in a
    closed one. `bare` are syncs of the bare disk, made in the pause that follows; `reading` is taken there too.
    """

    from_ns: int
    to_ns: int = 0
    done: int = 0
    operations: int = 0
    failed: int = 0
    unsupported: int = 0
    unstarted: int = 0
    lasted_ns: int = 0
    store_cpu_ns: int = 0
    generator_cpu_ns: int = 0
    paused_ns: int = 0
    part: int = 0
    reading: Reading = NOTHING
    response: Latencies = field(default_factory=Latencies)
    service: Latencies = field(default_factory=Latencies)
    wait: Latencies = field(default_factory=Latencies)
    lateness: Latencies = field(default_factory=Latencies)
    bare: Latencies = field(default_factory=Latencies)

    def begin(self, from_ns: int) -> None:
        """Forget everything, and count from this moment on, in the same memory."""
        self.from_ns = from_ns
        for name in _COUNTS:
            setattr(self, name, 0)
        for name in _LATENCIES:
            getattr(self, name).clear()

    def note(self, sample: Sample, *, open_loop: bool) -> None:
        """Count one operation that was answered, or due and never started."""
        if not sample.started:
            self.unstarted += 1
            self.response.record(sample.response_ns)
            return
        self.operations += 1
        self.service.record(sample.service_ns)
        if open_loop:
            self.response.record(sample.response_ns)
            self.wait.record(sample.wait_ns)
            self.lateness.record(sample.lateness_ns)

    def add(self, later: Self) -> None:
        """Merge the window that follows this one into it."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(later, name))
        for name in _LATENCIES:
            getattr(self, name).add(getattr(later, name))
        self.to_ns, self.done, self.part = later.to_ns, later.done, later.part
        held, other = self.reading, later.reading
        self.reading = Reading(
            other.resident_bytes, max(held.descriptors, other.descriptors), other.disk_bytes
        )

    @property
    def seconds(self) -> float:
        """How long it lasted, in seconds; what was lost between merged windows, when a run was killed, does not
        count.
        """
        return self.lasted_ns / 1e9

    @property
    def throughput_per_s(self) -> float:
        return self.operations / self.seconds if self.seconds else 0.0

    @property
    def cpu_share(self) -> float:
        """The share of a core that the generator used."""
        return self.generator_cpu_ns / self.lasted_ns if self.lasted_ns else 0.0

    def to_json(self) -> dict[str, Any]:
        """JSON types, histograms as HdrHistogram's own encoding."""
        plain = {name: getattr(self, name) for name in ("from_ns", "to_ns", "done", "part", *_COUNTS)}
        latencies = {name: getattr(self, name).to_json() for name in _LATENCIES}
        return {**plain, **latencies, "reading": asdict(self.reading)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        made = cls(data["from_ns"], reading=Reading(**data["reading"]))
        for name in ("to_ns", "done", "part", *_COUNTS):
            setattr(made, name, data[name])
        for name in _LATENCIES:
            setattr(made, name, Latencies.from_json(data[name]))
        return made


_COUNTS = (
    *("operations", "failed", "unsupported", "unstarted"),
    *("lasted_ns", "store_cpu_ns", "generator_cpu_ns", "paused_ns"),
)
_LATENCIES = ("response", "service", "wait", "lateness", "bare")


@dataclass(frozen=True, slots=True)
class Held:
    """Resident memory after so many operations, in which part of the run: what is kept of every window."""

    part: int
    done: int
    resident_bytes: int

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(data["part"], data["done"], data["reading"]["resident_bytes"])


def coalesced(windows: Iterable[Window]) -> list[Window]:
    """The windows in order, merged so that there are at most `MOST_WINDOWS`, all but the last of about the same length.

    Takes them one by one, so that there are never many in memory.
    """
    kept: list[Window] = []
    group, inside = 1, 0
    for window in windows:
        if inside and inside < group:
            kept[-1].add(window)
        else:
            kept.append(window)
            inside = 0
        inside += 1
        if len(kept) > MOST_WINDOWS:  # by one, which stays alone at the end
            kept = _by_twos(kept)
            group *= 2
    return kept


def _by_twos(windows: list[Window]) -> list[Window]:
    merged = []
    for index in range(0, len(windows), 2):
        first = windows[index]
        if index + 1 < len(windows):
            first.add(windows[index + 1])
        merged.append(first)
    return merged


def total(windows: Iterable[Window]) -> Window:
    """All windows as one."""
    whole: Window | None = None
    for window in windows:
        if whole is None:
            whole = Window(window.from_ns)
        whole.add(window)
    return whole or Window(0)
