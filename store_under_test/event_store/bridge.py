"""ValidationBridge: commands of several agents are judged by rules, and every judgement is an event.

A command is allowed, blocked or escalated to a person, who settles it later. What the rules see is a state that
is a fold over these events and nothing else, so a bridge that is opened again, or elsewhere, has the same state
and judges the same. Each agent is an aggregate, and a judgement is appended with the version that it was based on: when
another bridge was faster, this one catches up and judges again.

A state cannot be rebuilt from a log whose beginning retention has removed: `CursorExpiredError` then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from store_under_test.event_store.errors import InvalidEventError, WrongVersionError
from store_under_test.event_store.event import Event, NewEvent

Outcome = Literal["allowed", "blocked", "escalated"]

OUTCOMES: tuple[Outcome, ...] = ("allowed", "escalated", "blocked")  # from mild to strict
EVENT_TYPES = tuple(f"command.{outcome}" for outcome in OUTCOMES)
MAX_TRIES = 100  # of one judgement, while others keep appending to the same agent
FIRST_PAUSE_S, LAST_PAUSE_S = 0.0005, 0.05  # before a try, while what was faster is not durable yet


class EventLog(Protocol):
    """What a bridge needs of a store."""

    def append(self, event: NewEvent, *, expected_version: int | None = None) -> Event: ...

    def read(self, first_sequence: int = 1) -> Iterator[Event]: ...


@dataclass(frozen=True, slots=True)
class Command:
    """What an agent wants to do. `id` names it; `causation_id` is the event that made the agent want it."""

    id: str
    agent: str
    action: str
    target: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    correlation_id: str | None = None
    causation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """What is known of one agent. Counts are of settled commands; `escalated` counts all that ever were."""

    version: int = 0
    allowed: int = 0
    blocked: int = 0
    escalated: int = 0
    blocked_in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """An escalated command that nobody has settled yet; `event_id` is the judgement."""

    agent: str
    action: str
    event_id: str


@dataclass(slots=True)
class BridgeState:
    """The fold over the events up to `sequence`."""

    sequence: int = 0
    agents: dict[str, Agent] = field(default_factory=dict)
    open: dict[str, Open] = field(default_factory=dict)

    def agent(self, name: str) -> Agent:
        return self.agents.get(name, Agent())

    def apply(self, event: Event) -> None:
        """Take one event in. Those already seen, and those of other types, change nothing but the position."""
        if event.sequence <= self.sequence:
            return
        self.sequence = event.sequence
        if event.type in EVENT_TYPES:
            self._judged(event)

    def _judged(self, event: Event) -> None:
        name, command = event.payload["agent"], event.payload["command"]
        agent = replace(self.agent(name), version=event.version)
        self.open.pop(command, None)
        match event.type.removeprefix("command."):
            case "allowed":
                agent = replace(agent, allowed=agent.allowed + 1, blocked_in_a_row=0)
            case "blocked":
                agent = replace(agent, blocked=agent.blocked + 1, blocked_in_a_row=agent.blocked_in_a_row + 1)
            case "escalated":
                agent = replace(agent, escalated=agent.escalated + 1)
                self.open[command] = Open(name, event.payload["action"], event.id)
        self.agents[name] = agent


def rebuilt(events: Iterable[Event]) -> BridgeState:
    """The state after `events`, from nothing."""
    state = BridgeState()
    for event in events:
        state.apply(event)
    return state


# --- rules ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a rule says about a command."""

    outcome: Outcome
    reason: str


Rule = Callable[[Command, BridgeState], Ruling | None]


def forbid(*actions: str) -> Rule:
    """These actions are blocked."""
    return lambda command, _: Ruling("blocked", "forbidden") if command.action in actions else None


def ask_for(*actions: str) -> Rule:
    """These actions need a person."""
    return lambda command, _: Ruling("escalated", "needs approval") if command.action in actions else None


def at_most_open(count: int) -> Rule:
    """An agent with `count` commands before a person gets no further ones through."""

    def rule(command: Command, state: BridgeState) -> Ruling | None:
        waiting = sum(open.agent == command.agent for open in state.open.values())
        return Ruling("blocked", "too many open escalations") if waiting >= count else None

    return rule


def distrust_after(count: int) -> Rule:
    """After `count` blocked commands in a row an agent has to ask for everything."""

    def rule(command: Command, state: BridgeState) -> Ruling | None:
        row = state.agent(command.agent).blocked_in_a_row
        return Ruling("escalated", f"{row} blocked in a row") if row >= count else None

    return rule


def judge(command: Command, state: BridgeState, rules: Iterable[Rule]) -> Ruling:
    """The strictest ruling; the first of equals; allowed if no rule objects."""
    rulings = [ruling for rule in rules if (ruling := rule(command, state)) is not None]
    return max(rulings, key=lambda ruling: OUTCOMES.index(ruling.outcome), default=Ruling("allowed", ""))


# --- the bridge ----------------------------------------------------------------------------


class ValidationBridge:
    """Judges commands and keeps the judgements in `log`. Threads may share a bridge, and bridges a log."""

    def __init__(self, log: EventLog, rules: Iterable[Rule], *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._log = log
        self._sleep = sleep
        self._rules = tuple(rules)
        self._lock = threading.Lock()
        self._state = BridgeState()
        self.catch_up()

    @property
    def state(self) -> BridgeState:
        """As of the last judgement or `catch_up`; a copy that nobody changes."""
        with self._lock:
            return BridgeState(self._state.sequence, dict(self._state.agents), dict(self._state.open))

    def catch_up(self) -> None:
        """Take in what others have appended."""
        with self._lock:
            self._catch_up()

    def submit(self, command: Command) -> Event:
        """Judge `command`; the durable event says how. Raises what the log raises, and then nothing is judged."""
        return self._append(command.agent, lambda: self._judgement(command))

    def settle(self, command_id: str, *, approve: bool, by: str) -> Event:
        """A person decides on an escalated command. Raises `InvalidEventError` if it is not open."""
        with self._lock:
            self._catch_up()
            agent = self._waiting(command_id).agent
        return self._append(agent, lambda: self._settlement(command_id, approve, by))

    def _append(self, agent: str, make: Callable[[], NewEvent]) -> Event:
        pause_s = FIRST_PAUSE_S
        for _ in range(MAX_TRIES):
            with self._lock:
                event, seen = make(), self._state.agent(agent).version
            try:
                appended = self._log.append(event, expected_version=seen)
            except WrongVersionError as error:
                clash = error
            else:
                self.catch_up()
                return appended
            self.catch_up()
            if self._state.agent(agent).version == seen:  # what was faster is still on its way to the disk
                self._sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_PAUSE_S)
        raise clash

    def _catch_up(self) -> None:
        for event in self._log.read(self._state.sequence + 1):
            self._state.apply(event)

    def _judgement(self, command: Command) -> NewEvent:
        ruling = judge(command, self._state, self._rules)
        return NewEvent(
            f"command.{ruling.outcome}",
            aggregate_of(command.agent),
            payload={
                "command": command.id,
                "agent": command.agent,
                "action": command.action,
                "target": command.target,
                "arguments": command.arguments,
                "reason": ruling.reason,
            },
            actor=command.agent,
            correlation_id=command.correlation_id,
            causation_id=command.causation_id,
        )

    def _settlement(self, command_id: str, approve: bool, by: str) -> NewEvent:
        waiting = self._waiting(command_id)
        return NewEvent(
            "command.allowed" if approve else "command.blocked",
            aggregate_of(waiting.agent),
            payload={"command": command_id, "agent": waiting.agent, "action": waiting.action, "reason": "settled"},
            actor=by,
            causation_id=waiting.event_id,
        )

    def _waiting(self, command_id: str) -> Open:
        waiting = self._state.open.get(command_id)
        if waiting is None:
            raise InvalidEventError("command", f"{command_id!r} is not waiting for a decision")
        return waiting


def aggregate_of(agent: str) -> str:
    """The aggregate that holds the judgements about `agent`."""
    return f"agent:{agent}"
