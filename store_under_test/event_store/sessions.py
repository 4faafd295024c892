"""Sessions of many agents, made up: what load tests and benchmarks append, always the same for one seed.

A session is one agent's work on one task: a start, steps that each follow from an earlier one (the causation), now
and then an error, an escalation to a person or a hand-over to another agent, and an end. All events of a session
share its correlation. Kinds and sizes are drawn from distributions: a few kinds make up most events; most payloads
are some hundred bytes (log-normal), a few are long, as tool output is. Sessions begin as an inhomogeneous Poisson
process: busy in business hours, quiet at night and on weekends, with bursts (a deployment, a retry storm) that
multiply the rate for a while. Steps within a session are seconds apart (log-normal), so many sessions interleave.

Times are seconds of UTC; the first event is at or after `start`. The numbers below are plausible, not measured
anywhere.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from store_under_test.event_store.event import NewEvent

MONDAY_S = 1_704_067_200.0  # 2024-01-01 00:00 UTC
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
#: Sessions begun per hour of the day, as a part of the busiest hour; Monday to Friday.
HOURS = (4, 3, 2, 2, 3, 5, 12, 30, 65, 90, 100, 95, 60, 75, 95, 92, 80, 55, 30, 18, 12, 9, 7, 5)
WEEKEND = 0.15  # of a working day
#: Kinds of steps with their weights, and the median of their payloads in bytes.
STEPS = (
    ("thought.recorded", 30, 180),
    ("tool.called", 24, 120),
    ("tool.returned", 24, 420),
    ("command.proposed", 8, 160),
    ("file.changed", 6, 700),
    ("test.run", 4, 300),
    ("error.raised", 3, 500),
    ("task.handed_over", 1, 90),
)
_SPREAD = 0.8  # of log-normal sizes: one in twenty is four times the median
_LONG_SHARE, _LONG_BYTES = 0.004, (8_000, 64_000)
_WORDS = (
    "plan read write check retry merge build deploy review the a of and to store log event agent task file test "
    "failed passed because until schema index cache queue naïve größer мир 世界 ✓"
).split()


@dataclass(frozen=True, slots=True)
class Load:
    """How much there is of everything.

    `sessions_per_hour` is that of the busiest hour; `steps` the median length of a session. A burst begins
    `bursts_per_day` times on average, lasts `burst_s` and multiplies the rate by `burst_factor`.
    """

    agents: int = 40
    sessions_per_hour: float = 600.0
    steps: int = 12
    pause_s: float = 4.0
    bursts_per_day: float = 3.0
    burst_s: float = 300.0
    burst_factor: float = 8.0
    start: float = MONDAY_S + 9 * HOUR_S


def activity(moment: float) -> float:
    """The rate at `moment` as a part of the busiest hour's, without bursts: in 0..1, linear between hours."""
    day, second = divmod(moment - MONDAY_S, DAY_S)
    hour, part = divmod(second / HOUR_S, 1.0)
    here, there = HOURS[int(hour)], HOURS[(int(hour) + 1) % 24]
    weekday = 1.0 if int(day) % 7 < 5 else WEEKEND
    return weekday * (here + (there - here) * part) / 100


def events(seed: int, load: Load | None = None) -> Iterator[NewEvent]:
    """Events without end in the order of their times, each with id, time stamp, correlation and causation."""
    load = load or Load()
    starts = _starts(Random(f"{seed} starts"), load)
    running: list[tuple[float, int, Iterator[NewEvent], NewEvent]] = []
    number = itertools.count()
    ahead = next(starts)
    while True:
        while not running or ahead <= running[0][0]:
            index = next(number)
            session = _session(Random(f"{seed} session {index}"), load, index, ahead)
            _resume(running, index, session)
            ahead = next(starts)
        _, index, session, event = heapq.heappop(running)
        yield event
        _resume(running, index, session)


def arrivals(seed: int, load: Load | None = None, *, per_second: float) -> Iterator[tuple[float, NewEvent]]:
    """`events` with intended starts, in seconds from 0, squeezed to `per_second` on average: open-loop load.

    Bursts and lulls keep their shape: a thousand events at a time are squeezed by one factor.
    """
    origin = 0.0
    for batch in _batches(events(seed, load), 1000):
        first = batch[0].timestamp or 0.0
        span = max(1e-9, (batch[-1].timestamp or 0.0) - first)
        length = len(batch) / per_second
        for event in batch:
            yield origin + ((event.timestamp or 0.0) - first) / span * length, event
        origin += length


def _batches(source: Iterator[NewEvent], size: int) -> Iterator[list[NewEvent]]:
    while batch := list(itertools.islice(source, size)):
        yield batch


def _resume(
    running: list[tuple[float, int, Iterator[NewEvent], NewEvent]], index: int, session: Iterator[NewEvent]
) -> None:
    event = next(session, None)
    if event is not None:
        heapq.heappush(running, (event.timestamp or 0.0, index, session, event))


def _starts(random: Random, load: Load) -> Iterator[float]:
    """Times at which sessions begin: a Poisson process by thinning (Lewis and Shedler, 1979)."""
    highest = load.sessions_per_hour * load.burst_factor / HOUR_S
    bursts = _bursts(random, load)
    burst = next(bursts)
    moment = load.start
    while True:
        moment += random.expovariate(highest)
        while moment >= burst + load.burst_s:
            burst = next(bursts)
        factor = 1.0 if moment >= burst else 1 / load.burst_factor
        if random.random() < activity(moment) * factor:
            yield moment


def _bursts(random: Random, load: Load) -> Iterator[float]:
    """When bursts begin; never, if there are none a day."""
    moment = load.start
    while load.bursts_per_day > 0:
        moment += random.expovariate(load.bursts_per_day / DAY_S)
        yield moment
    yield math.inf


def _session(random: Random, load: Load, index: int, start: float) -> Iterator[NewEvent]:
    """One session from its start to its end; a step follows from the one before, sometimes from an older one."""
    agent = f"agent-{_popular(random, load.agents):03}"
    correlation = f"session-{index:08}"
    moment = start
    causes: list[str] = []
    kinds = _kinds(random, max(1, round(random.lognormvariate(math.log(load.steps), 0.7))))
    for step, (kind, median) in enumerate(kinds):
        cause = causes[-1 - min(len(causes) - 1, int(random.expovariate(1.5)))] if causes else None
        identifier = f"{index:08x}-{step:04x}-{random.getrandbits(64):016x}"
        yield NewEvent(
            kind,
            f"task-{index:08}" if step % 5 else f"agent:{agent}",
            payload=_payload(random, median),
            actor=agent,
            metadata={"step": step},
            correlation_id=correlation,
            causation_id=cause,
            id=identifier,
            timestamp=moment,
        )
        causes.append(identifier)
        if kind == "task.handed_over":
            agent = f"agent-{_popular(random, load.agents):03}"
        moment += random.lognormvariate(math.log(load.pause_s), 1.0)


def _kinds(random: Random, steps: int) -> Iterator[tuple[str, int]]:
    """The kinds of a session's events: its ends, and what lies between."""
    yield "session.started", 140
    names, weights = [(name, size) for name, _, size in STEPS], [weight for _, weight, _ in STEPS]
    yield from random.choices(names, weights, k=steps)
    yield ("session.completed" if random.random() < 0.93 else "session.failed"), 220


def _popular(random: Random, count: int) -> int:
    """A number below `count`, small ones more often: a few agents do much of the work."""
    return min(int(count * random.random() ** 2), count - 1)


def _payload(random: Random, median_bytes: int) -> dict[str, Any]:
    if random.random() < _LONG_SHARE:
        size = random.randint(*_LONG_BYTES)
    else:
        size = int(random.lognormvariate(math.log(median_bytes), _SPREAD))
    words = " ".join(random.choices(_WORDS, k=1 + min(size, 400) // 6))
    return {
        "text": (words * (1 + size // (len(words) + 1)))[:size],
        "tokens": size // 4,
        "ok": random.random() < 0.95,
    }
