"""CircuitBreaker: stops calling a dependency that fails, and finds out by a few trial calls when it is well again.

    breaker = CircuitBreaker(Settings(trips=Consecutive(failures=5), recovery_timeout_s=30), fallback=[])
    prices = breaker.call(fetch_prices, "EUR")          # or: await breaker.acall(...), @breaker.protect
    with breaker.attempt():                             # for a block of code
        ...

CLOSED lets calls through and watches the results. At the threshold it becomes OPEN and rejects every call at once,
without touching the dependency. The first call at or after the recovery timeout makes it HALF_OPEN and is a trial;
enough good trials close it, one bad trial opens it again. (M. Nygard, "Release It!", 2nd edition, 2018, chapter 5.)

What it promises: threads and tasks may share it; time is asked of one monotonic clock, which is a parameter; a result
that belongs to an earlier state is counted, and decides nothing; an attempt gives its slot back however it ends;
listeners hear of each transition once, in order, and outside of all locks. What it does not: it starts no threads, so
it cannot end a call that hangs (put a time limit inside), and processes do not share it.
"""

from store_under_test.circuit_breaker.breaker import Attempt, CircuitBreaker
from store_under_test.circuit_breaker.circuit import Outcome, SavedState, State, Ticket, Transition
from store_under_test.circuit_breaker.errors import CircuitOpenError
from store_under_test.circuit_breaker.metrics import Latencies, Metrics
from store_under_test.circuit_breaker.settings import Consecutive, LastCalls, LastSeconds, Settings

__all__ = [
    "Attempt",
    "CircuitBreaker",
    "CircuitOpenError",
    "Consecutive",
    "LastCalls",
    "LastSeconds",
    "Latencies",
    "Metrics",
    "Outcome",
    "SavedState",
    "Settings",
    "State",
    "Ticket",
    "Transition",
]
