"""Which benchmarks there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import detection, enumeration, faults, growth, histories, judged, kills, memory, peers, power, recording
from benchmarks.table import Table


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A question, and two ways to answer it: in full, or just to see whether it still runs."""

    question: str
    full: Callable[[], tuple[Table, ...]]
    quick: Callable[[], tuple[Table, ...]]


BENCHMARKS: dict[str, Benchmark] = {
    "judged": Benchmark(
        "what judging crash states takes, beside the calls of the store",
        lambda: judged.run(judged.FULL),
        lambda: judged.run(judged.QUICK),
    ),
    "enumeration": Benchmark(
        "what enumerating crash states takes, per state and model",
        lambda: enumeration.run(enumeration.FULL),
        lambda: enumeration.run(enumeration.QUICK),
    ),
    "memory": Benchmark(
        "how much memory a long trace takes",
        lambda: memory.run(memory.FULL),
        lambda: memory.run(memory.QUICK),
    ),
    "growth": Benchmark(
        "how time grows with the length of a trace",
        lambda: growth.run(growth.FULL),
        lambda: growth.run(growth.QUICK),
    ),
    "recording": Benchmark(
        "what recording costs a store",
        lambda: recording.run(recording.FULL),
        lambda: recording.run(recording.QUICK),
    ),
    "kills": Benchmark(
        "how many writers are killed and judged in a second",
        lambda: kills.run(kills.FULL),
        lambda: kills.run(kills.QUICK),
    ),
    "faults": Benchmark(
        "how many failing calls and failed syncs are tried and judged in a second",
        lambda: faults.run_calls(faults.FULL),
        lambda: faults.run_calls(faults.QUICK),
    ),
    "damage": Benchmark(
        "how many damaged states are opened and judged in a second",
        lambda: faults.run_damage(faults.FULL_DAMAGE),
        lambda: faults.run_damage(faults.QUICK_DAMAGE),
    ),
    "appends": Benchmark(
        "how many appends become durable in a second, beside SQLite, LMDB and the bare disk",
        lambda: peers.run_appends(peers.FULL),
        lambda: peers.run_appends(peers.QUICK),
    ),
    "replay": Benchmark(
        "how long reading 100,000 events takes, beside SQLite",
        lambda: peers.run_replay(peers.FULL),
        lambda: peers.run_replay(peers.QUICK),
    ),
    "power": Benchmark(
        "how often a slower version is found, and an equal one flagged",
        lambda: power.run(power.FULL),
        lambda: power.run(power.QUICK),
    ),
    "histories": Benchmark(
        "how fast histories of concurrent clients are judged",
        lambda: histories.run(histories.FULL),
        lambda: histories.run(histories.QUICK),
    ),
    "detection": Benchmark(
        "how long a certification takes",
        lambda: detection.run(detection.FULL),
        lambda: detection.run(detection.QUICK),
    ),
}
