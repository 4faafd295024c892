"""Commands become judgements, and the judgements are all that there is to know."""

from __future__ import annotations

import random

import pytest

from store_under_test.event_store.bridge import (
    Agent,
    Command,
    Rule,
    Ruling,
    ValidationBridge,
    ask_for,
    at_most_open,
    distrust_after,
    forbid,
    judge,
    rebuilt,
)
from store_under_test.event_store.errors import InvalidEventError, WrongVersionError
from store_under_test.event_store.event import Event, NewEvent
from tests.unit.event_store.views_helpers import MemoryLog, event

RULES: tuple[Rule, ...] = (forbid("rm"), ask_for("deploy"), at_most_open(2), distrust_after(3))


def outcomes(bridge: ValidationBridge, *actions: str, agent: str = "a") -> list[str]:
    made = [bridge.submit(Command(f"{agent}{n}", agent, action)) for n, action in enumerate(actions)]
    return [one.type.removeprefix("command.") for one in made]


def test_rules_decide_and_the_strictest_wins() -> None:
    assert outcomes(ValidationBridge(MemoryLog(), RULES), "ls", "rm", "deploy") == ["allowed", "blocked", "escalated"]
    both: tuple[Rule, ...] = (ask_for("rm"), forbid("rm"))
    assert judge(Command("1", "a", "rm"), rebuilt([]), both) == Ruling("blocked", "forbidden")


def test_state_decides_too() -> None:
    """Two open escalations shut an agent out, three blocks in a row make it ask; others are not concerned."""
    bridge = ValidationBridge(MemoryLog(), RULES)
    assert outcomes(bridge, "deploy", "deploy", "ls", "ls", "ls", agent="x")[2:] == ["blocked"] * 3
    assert outcomes(bridge, "rm", "rm", "rm", "ls", agent="y")[3:] == ["escalated"]
    assert outcomes(bridge, "ls", agent="z") == ["allowed"]


def test_a_person_settles_what_is_open() -> None:
    """Once; the settlement follows from the judgement, and is an event of the same agent."""
    log = MemoryLog()
    bridge = ValidationBridge(log, RULES)
    asked = bridge.submit(Command("c1", "a", "deploy", correlation_id="s", causation_id="why"))
    bridge.submit(Command("c2", "a", "deploy"))
    assert (asked.correlation_id, asked.causation_id, asked.actor) == ("s", "why", "a")

    settled = bridge.settle("c1", approve=True, by="Zoë")
    refused = bridge.settle("c2", approve=False, by="Zoë")

    assert (settled.type, settled.causation_id, settled.actor) == ("command.allowed", asked.id, "Zoë")
    assert refused.type == "command.blocked"
    assert bridge.state.open == {}
    with pytest.raises(InvalidEventError, match="'c1' is not waiting"):
        bridge.settle("c1", approve=True, by="Zoë")
    assert bridge.state.agent("a") == Agent(4, allowed=1, blocked=1, escalated=2, blocked_in_a_row=1)
    assert len(log.events) == 4


def test_the_state_from_events_alone_is_identical() -> None:
    """At every point of a long run of several agents, and so is what a bridge that starts there decides."""
    chance = random.Random(3)
    log = MemoryLog()
    bridge = ValidationBridge(log, RULES)
    for number in range(201):
        open_ones = sorted(bridge.state.open)
        if open_ones and chance.random() < 0.2:
            bridge.settle(chance.choice(open_ones), approve=chance.random() < 0.5, by="p")
        else:
            agent, action = chance.choice("abc"), chance.choice(("ls", "ls", "rm", "deploy"))
            bridge.submit(Command(str(number), agent, action))
        if number % 50 == 0:
            log.append(NewEvent("something.else", "agent:a-not", payload={"agent": "a"}))
            bridge.catch_up()
        if number % 10 == 0:
            assert rebuilt(log.events) == bridge.state == ValidationBridge(log, RULES).state
    kinds = {one.type for one in log.events}
    assert kinds == {"command.allowed", "command.blocked", "command.escalated", "something.else"}


def test_an_event_that_was_seen_changes_nothing() -> None:
    state = rebuilt([])
    first = event(1, type="command.allowed", payload={"agent": "a", "command": "c"})
    state.apply(first)
    state.apply(first)
    assert state.agent("a").allowed == 1


class RacedLog(MemoryLog):
    """Before each of the first `races` appends another bridge appends to the same agent."""

    def __init__(self, races: int) -> None:
        super().__init__()
        self.races = races

    def append(self, new: NewEvent, *, expected_version: int | None = None) -> Event:
        if self.races:
            self.races -= 1
            payload = {"agent": "a", "command": f"other {self.races}", "action": "rm"}
            super().append(NewEvent("command.blocked", "agent:a", payload=payload))
        return super().append(new, expected_version=expected_version)


def test_a_judgement_that_came_too_late_is_made_again() -> None:
    """With what the other bridge has added: three blocks in a row make a difference."""
    bridge = ValidationBridge(RacedLog(3), RULES)
    assert bridge.submit(Command("c", "a", "ls")).type == "command.escalated"
    assert bridge.state.agent("a") == Agent(4, blocked=3, escalated=1, blocked_in_a_row=3)


class SlowLog(MemoryLog):
    """Another bridge's append to the same agent is queued, and durable after three pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def append(self, new: NewEvent, *, expected_version: int | None = None) -> Event:
        if len(self.pauses) < 3:
            raise WrongVersionError(new.aggregate, expected_version or 0, 1)
        return super().append(new, expected_version=expected_version)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) == 3:
            super().append(NewEvent("command.allowed", "agent:a", payload={"agent": "a", "command": "other"}))


def test_an_append_that_is_not_durable_yet_is_waited_for() -> None:
    """Longer each time, and not by using up the tries at once."""
    log = SlowLog()
    bridge = ValidationBridge(log, RULES, sleep=log.sleep)
    assert bridge.submit(Command("c", "a", "ls")).version == 2
    assert log.pauses == [0.0005, 0.001, 0.002]


def test_an_endless_race_is_given_up() -> None:
    bridge = ValidationBridge(RacedLog(1000), RULES)
    with pytest.raises(WrongVersionError):
        bridge.submit(Command("c", "a", "ls"))
