"""A dependency that becomes slow and then fails takes the whole service with it, unless a breaker stands in between.

A service of 20 workers serves two kinds of requests: half of them need a healthy dependency (10 ms), half need one
that is slow (0.3 s) for five seconds and hangs for 2 s before it fails for thirty more. All on virtual time, which a
seeded load drives.
"""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field

from store_under_test.circuit_breaker import CircuitBreaker, LastSeconds, Metrics, Settings
from tests.unit.circuit_breaker.virtual_loop import pass_time, run

WORKERS = 20
REQUESTS_PER_S = 60
LENGTH_S = 60.0
SLOW_FROM_S, DOWN_FROM_S, WELL_FROM_S = 10.0, 15.0, 45.0
RECOVERY_S = 5.0
LIMIT_S = 0.5  # of the 99th percentile, for all requests, waiting included

RULES = Settings(
    trips=LastSeconds(10, failures=5, minimum_calls=10),
    recovery_timeout_s=RECOVERY_S,
    slow_call_s=0.1,
    trial_limit_s=10,
)


@dataclass
class Outcome:
    """What the clients of one run saw: seconds until the answer, in the order of arrival."""

    healthy_s: list[float] = field(default_factory=list)
    shaky_s: list[float] = field(default_factory=list)
    answered_late: int = 0  # real answers of the shaky dependency at the end
    shaky: Metrics | None = None
    healthy: Metrics | None = None


class Service:
    """Requests wait for a worker, which then waits for a dependency."""

    def __init__(self, *, guarded: bool) -> None:
        self.clock = asyncio.get_running_loop().time
        self.workers = asyncio.Semaphore(WORKERS)
        self.breakers = {
            name: CircuitBreaker(RULES, name=name, clock=self.clock, fallback="stale", fallback_for=(OSError,))
            for name in ("healthy", "shaky")
        }
        self.outcome = Outcome()
        if not guarded:
            for breaker in self.breakers.values():
                breaker.force_closed()

    async def healthy(self) -> str:
        await pass_time(0.01)
        return "fresh"

    async def shaky(self) -> str:
        now_s = self.clock()
        if DOWN_FROM_S <= now_s < WELL_FROM_S:
            await pass_time(2.0)
            raise OSError("no answer")
        await pass_time(0.3 if SLOW_FROM_S <= now_s < WELL_FROM_S else 0.01)
        return "fresh"

    async def serve(self, name: str) -> None:
        arrived_s = self.clock()
        async with self.workers:
            answer = await self.breakers[name].acall(getattr(self, name))
        latencies_s: list[float] = getattr(self.outcome, f"{name}_s")
        latencies_s.append(self.clock() - arrived_s)
        well_again = self.clock() > WELL_FROM_S + 2 * RECOVERY_S
        self.outcome.answered_late += name == "shaky" and answer == "fresh" and well_again

    async def run(self) -> Outcome:
        """Arrivals do not wait for answers (open loop)."""
        chosen = random.Random(7)
        async with asyncio.TaskGroup() as tasks:
            while self.clock() < LENGTH_S:
                tasks.create_task(self.serve(chosen.choice(("healthy", "shaky"))))
                await pass_time(chosen.expovariate(REQUESTS_PER_S))
        self.outcome.shaky = self.breakers["shaky"].metrics()
        self.outcome.healthy = self.breakers["healthy"].metrics()
        return self.outcome


def outcome(*, guarded: bool) -> Outcome:
    async def main() -> Outcome:
        return await Service(guarded=guarded).run()

    return run(main())


def p99_s(latencies_s: list[float]) -> float:
    return sorted(latencies_s)[math.ceil(0.99 * len(latencies_s)) - 1]


def test_with_breakers_the_service_keeps_its_limit() -> None:
    """All requests; the sick dependency is left in peace but for a trial now and then, and used again when well."""
    found = outcome(guarded=True)
    assert p99_s(found.healthy_s) <= LIMIT_S
    assert p99_s(found.shaky_s) <= LIMIT_S
    assert found.shaky is not None and found.healthy is not None
    assert found.shaky.recoveries == 1
    assert found.answered_late > 50
    trials = [it for it in found.shaky.transitions if it.after.value == "half-open"]
    assert len(trials) <= (WELL_FROM_S - SLOW_FROM_S) / RECOVERY_S + 1
    assert found.shaky.failures <= 50
    assert found.healthy.transition_count == found.healthy.failures == 0
    assert found.shaky.transitions[-1].at_s <= WELL_FROM_S + RECOVERY_S + 2.0 + 1.0


def test_without_them_it_does_not() -> None:
    """Also requests that need nothing of the sick dependency wait: its callers hold all workers."""
    found = outcome(guarded=False)
    assert p99_s(found.healthy_s) > 4 * LIMIT_S
    assert p99_s(found.shaky_s) > 4 * LIMIT_S
