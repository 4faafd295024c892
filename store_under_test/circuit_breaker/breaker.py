"""The breaker: a circuit with a clock, a lock, listeners, counts, and the ways to make a call through it."""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar, cast, overload

from store_under_test.circuit_breaker.circuit import Circuit, Outcome, SavedState, State, Ticket
from store_under_test.circuit_breaker.errors import CircuitOpenError
from store_under_test.circuit_breaker.listeners import Announcer, Listener
from store_under_test.circuit_breaker.metrics import Metrics, Tally
from store_under_test.circuit_breaker.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

_NONE_GIVEN = object()


class CircuitBreaker:
    """Guards the calls to one dependency; threads and tasks may share it.

    `clock` gives seconds and never goes back. `fallback` is what a rejected call returns: a value, or a function of the
    exception, which `acall` also awaits; errors of the types `fallback_for` are replaced by it too. `listeners` are
    called with each `Transition`. `saved` is what `saved()` gave before a restart: at most one recovery timeout is
    waited.
    """

    circuit_type = Circuit
    announcer_type = Announcer

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        name: str = "dependency",
        clock: Callable[[], float] = time.monotonic,
        fallback: object = _NONE_GIVEN,
        fallback_for: tuple[type[Exception], ...] = (),
        listeners: Iterable[Listener] = (),
        saved: SavedState | None = None,
    ) -> None:
        self.name = name
        self._settings = settings or Settings()
        self._clock = clock
        self._fallback = fallback
        self._fallback_for = fallback_for
        self._lock = threading.Lock()  # never held while code of others runs, the clock's included
        self._circuit = self.circuit_type(self._settings, clock(), saved)
        self._tally = Tally()
        self._announcer = self.announcer_type(listeners)

    # --- calls -----------------------------------------------------------------------------

    def attempt(self) -> Attempt:
        """A block that is one call: `with breaker.attempt(): ...`, also around `await`. Raises `CircuitOpenError`."""
        return Attempt(self)

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns or raises; rejected, the fallback, or `CircuitOpenError` if there is none."""
        attempt = self.attempt()
        try:
            with attempt:
                return function(*args, **kwargs)
        except Exception as error:
            if not self._is_covered(attempt, error):
                raise
            return cast(T, self._substitute(error))

    @overload
    async def acall(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    @overload
    async def acall(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    async def acall(self, function: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """As `call`, and awaits what can be awaited."""
        attempt = self.attempt()
        try:
            with attempt:
                return await _awaited(function(*args, **kwargs))
        except Exception as error:
            if not self._is_covered(attempt, error):
                raise
            return await _awaited(self._substitute(error))

    def protect(self, function: Callable[P, T]) -> Callable[P, T]:
        """A decorator: each call of `function`, a coroutine function or a plain one, goes through the breaker.

        `TypeError` for generators: they fail while they are iterated, not when they are called.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function.__name__} is a generator: use attempt() inside of it")

        @functools.wraps(function)
        def plain(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.call(function, *args, **kwargs)

        @functools.wraps(function)
        async def coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
            return await self.acall(function, *args, **kwargs)

        return cast(Callable[P, T], coroutine) if inspect.iscoroutinefunction(function) else plain

    # --- an operator -------------------------------------------------------------------------

    def force_open(self) -> None:
        """Reject everything until `reset` or `force_closed`."""
        self._force(State.FORCED_OPEN)

    def force_closed(self) -> None:
        """Let everything through, whatever the results, until `reset` or `force_open`."""
        self._force(State.FORCED_CLOSED)

    def reset(self) -> None:
        """Closed, with nothing counted towards the threshold. The metrics stay."""
        self._force(State.CLOSED)

    # --- looking ------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state. OPEN stays OPEN until a call comes, however long that takes."""
        return self._circuit.state

    def metrics(self) -> Metrics:
        """All counts at one moment."""
        now_s = self._clock()
        with self._lock:
            circuit = self._circuit
            return self._tally.metrics(
                state=circuit.state,
                generation=circuit.generation,
                window_failures=circuit.failures(now_s),
                trials_in_flight=circuit.trials_in_flight,
                listener_errors=self._announcer.errors,
            )

    def saved(self) -> SavedState:
        """The state as plain values, for a breaker of the next process."""
        now_s = self._clock()
        with self._lock:
            return self._circuit.saved(now_s)

    def add_listener(self, listener: Listener) -> None:
        """Call `listener` with each transition from now on."""
        self._announcer.add_listener(listener)

    # --- what an attempt does -------------------------------------------------------------------

    def _admit(self) -> Ticket:
        """A ticket, or `CircuitOpenError`."""
        now_s = self._clock()
        with self._lock:
            ticket = self._circuit.admit(now_s)
            self._tally.asked(admitted=ticket is not None)
            state, retry_after_s = self._circuit.state, self._circuit.retry_after_s(now_s)
            self._note_transitions()
        if ticket is None:
            self._announcer.deliver()
            raise CircuitOpenError(self.name, state.value, retry_after_s)
        try:
            self._announcer.deliver()
        except BaseException as error:  # Ctrl-C in a listener: the call is not made, so its slot must be free
            self._settle(ticket, error)
            raise
        return ticket

    def _settle(self, ticket: Ticket, error: BaseException | None) -> None:
        """An admitted call ended, with `error` if it raised."""
        now_s = self._clock()
        latency_s = max(0.0, now_s - ticket.started_s)
        outcome = self._outcome(error, latency_s)
        with self._lock:
            counted = self._circuit.settle(ticket, outcome, now_s)
            self._tally.ended(outcome, latency_s, late=not counted)
            self._note_transitions()
        self._announcer.deliver()

    def _outcome(self, error: BaseException | None, latency_s: float) -> Outcome:
        settings = self._settings
        if error is None:
            is_slow = settings.slow_call_s is not None and latency_s > settings.slow_call_s
            return Outcome.FAILURE if is_slow else Outcome.SUCCESS
        is_failure = isinstance(error, settings.failures) and not isinstance(error, settings.ignored)
        return Outcome.FAILURE if is_failure else Outcome.IGNORED

    def _force(self, state: State) -> None:
        now_s = self._clock()
        with self._lock:
            self._circuit.force(state, now_s)
            self._note_transitions()
        self._announcer.deliver()

    def _note_transitions(self) -> None:
        transitions = self._circuit.take_transitions()
        for transition in transitions:
            self._tally.moved(transition)
        self._announcer.put(transitions)

    def _is_covered(self, attempt: Attempt, error: Exception) -> bool:
        return self._fallback is not _NONE_GIVEN and (attempt.rejected or isinstance(error, self._fallback_for))

    def _substitute(self, error: Exception) -> object:
        with self._lock:
            self._tally.fallbacks += 1
        return self._fallback(error) if callable(self._fallback) else self._fallback


class Attempt:
    """One call through a breaker, as a context manager that is used once. `rejected` tells that it was not let in."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._ticket: Ticket | None = None
        self.rejected = False

    def __enter__(self) -> Attempt:
        try:
            self._ticket = self._breaker._admit()
        except CircuitOpenError:
            self.rejected = True
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._breaker._settle(ticket, error)
        return False


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
