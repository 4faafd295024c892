"""Many threads and tasks at one breaker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import pytest

from store_under_test.circuit_breaker import CircuitBreaker, CircuitOpenError, Consecutive, LastCalls, Settings, State
from tests.unit.circuit_breaker.machine import VirtualTime, raised_by
from tests.unit.circuit_breaker.virtual_loop import pass_time, run

THREADS = 8


def fail() -> None:
    raise OSError("down")


def in_threads(work: Callable[[int], object], count: int = THREADS) -> None:
    """All at once, as nearly as a barrier can."""
    barrier = threading.Barrier(count)

    def one(number: int) -> None:
        barrier.wait(60)
        work(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def test_threads_at_the_boundary_make_no_more_than_the_quota_of_trials() -> None:
    """Each trial stays inside until every other thread has asked; over many rounds."""
    time = VirtualTime()
    rules = Settings(trips=Consecutive(1), recovery_timeout_s=5, trial_calls=2, successes_to_close=2)
    breaker = CircuitBreaker(rules, clock=time.monotonic)
    all_have_asked = threading.Barrier(THREADS)
    inside: list[int] = []

    def ask(number: int) -> None:
        try:
            with breaker.attempt():
                inside.append(number)
                all_have_asked.wait(60)
        except CircuitOpenError:
            all_have_asked.wait(60)

    for turn in range(1, 21):
        raised_by(lambda: breaker.call(fail))
        time.now += 5
        in_threads(ask)
        assert len(inside) == 2 * turn
        assert breaker.state is State.CLOSED
    assert breaker.metrics().recoveries == 20


def test_no_count_is_lost_between_threads() -> None:
    """Calls, outcomes and transitions of all threads add up, and listeners hear them in their order."""
    heard: list[int] = []
    time = VirtualTime()
    rules = Settings(trips=LastCalls(8, 4), recovery_timeout_s=1, trial_calls=2)
    breaker = CircuitBreaker(rules, clock=time.monotonic, listeners=[lambda it: heard.append(it.number)])

    def work(number: int) -> None:
        for turn in range(60):
            function = fail if (turn // 10 + number) % 2 else str
            raised_by(partial(breaker.call, function))
            if turn % 7 == number % 7:
                time.now += 1

    in_threads(work)
    metrics = breaker.metrics()
    assert metrics.calls == THREADS * 60
    assert metrics.successes + metrics.failures + metrics.rejected == metrics.calls
    assert metrics.in_flight == metrics.trials_in_flight == 0
    assert heard == list(range(1, metrics.transition_count + 1))


# --- tasks -----------------------------------------------------------------------------------------


def loop_breaker(**options: object) -> CircuitBreaker:
    """On the clock of the running loop."""
    rules = Settings(trips=Consecutive(1), recovery_timeout_s=5, trial_limit_s=None)
    return CircuitBreaker(rules, clock=asyncio.get_running_loop().time, **options)  # type: ignore[arg-type]


async def answer(delay_s: float) -> str:
    await pass_time(delay_s)
    return "answer"


async def down(delay_s: float = 0) -> str:
    await pass_time(delay_s)
    raise OSError("down")


def test_a_coroutine_is_timed_until_it_ends() -> None:
    """Its result passes through, of a plain function too."""

    async def main() -> None:
        breaker = loop_breaker()
        assert await breaker.acall(answer, 3.0) == "answer"
        assert await breaker.acall(str) == ""
        assert breaker.metrics().latencies.recent_s == (3.0, 0.0)

    run(main())


def test_a_decorated_coroutine_function_stays_one() -> None:
    """Rejected calls come back when they are awaited."""

    async def main() -> None:
        protected = loop_breaker().protect(down)
        assert asyncio.iscoroutinefunction(protected)
        with pytest.raises(OSError, match="down"):
            await protected()
        with pytest.raises(CircuitOpenError):
            await protected()

    run(main())


@pytest.mark.parametrize("fallback", ["old", lambda error: "old", lambda error: pass_time(1, "old")])
def test_a_fallback_is_awaited_where_it_can_be(fallback: object) -> None:
    """A value, a function, a coroutine function."""

    async def main() -> None:
        breaker = loop_breaker(fallback=fallback)
        with pytest.raises(OSError, match="down"):
            await breaker.acall(down)
        assert await breaker.acall(answer, 0) == "old"

    run(main())


def test_a_cancelled_trial_gives_its_slot_back() -> None:
    """Whether a time limit outside has cancelled it or somebody else; it says nothing about the dependency."""

    async def main() -> None:
        breaker = loop_breaker()
        with pytest.raises(OSError, match="down"):
            await breaker.acall(down)
        await pass_time(5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await breaker.acall(answer, 100)
        task = asyncio.create_task(breaker.acall(answer, 100))
        await pass_time(1)
        assert breaker.metrics().trials_in_flight == 1
        task.cancel()
        await asyncio.wait([task])
        assert (breaker.state, breaker.metrics().ignored) == (State.HALF_OPEN, 2)
        assert await breaker.acall(answer, 1) == "answer"
        assert breaker.state is State.CLOSED

    run(main())


def test_a_time_limit_inside_is_a_failure() -> None:
    """So it opens the circuit, and no task is left behind."""

    async def limited() -> str:
        async with asyncio.timeout(1):
            return await answer(100)

    async def main() -> None:
        breaker = loop_breaker()
        with pytest.raises(TimeoutError):
            await breaker.acall(limited)
        assert breaker.state is State.OPEN
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_tasks_at_the_boundary_make_one_trial() -> None:
    """All others are told no while it runs."""

    async def main() -> None:
        breaker = loop_breaker(fallback="no")
        with pytest.raises(OSError, match="down"):
            await breaker.acall(down)
        await pass_time(5)
        answers = await asyncio.gather(*(breaker.acall(answer, 1) for _ in range(50)))
        assert sorted(answers) == ["answer", *["no"] * 49]

    run(main())


def test_a_loop_in_which_all_wait_for_each_other_is_noticed() -> None:
    """Virtual time does not stand still in silence."""
    with pytest.raises(AssertionError, match="wait for each other"):
        run(asyncio.Event().wait())
