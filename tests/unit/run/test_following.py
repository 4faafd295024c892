"""What was read by another client survives a crash, acknowledged or not."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import LOG, Append, Read
from harness.core.operations import describe
from harness.core.persistence import MAX_LOSS, PROCESS_CRASH, STRICT
from harness.core.trace import IoEvent, Marker, MarkerKind, Trace, empty_image
from harness.core.workload import Workload
from harness.judge.oracle import Oracle
from harness.record import uninstall
from harness.report.words import endings
from harness.run import following
from harness.run.explaining import tell
from harness.run.exploring import Plan
from harness.run.findings import confirmed
from harness.run.following import Follower, follows, with_observations
from harness.run.recording import record_workload
from harness.run.recovering import oracle_of
from harness.run.telling import _summary
from tests.stores import followed
from tests.stores.conduct import small_runs
from tests.stores.honest import Sound
from tests.stores.local import Diary, Local

WORKLOAD = Workload("short-0", (Append("one"), Append("two")))
OWED = ("acknowledged",)
POWER = (Plan(STRICT, "power_loss", OWED), Plan(MAX_LOSS, "power_loss", OWED))
TOO_EARLY = (followed.TooEarly, followed.TooEarlyDurableWrites, followed.TooEarlyInTheBackground)
SOUND = (followed.Followed, followed.OneAtATime, followed.SyncedByReaders, followed.InTheBackground)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small_runs(monkeypatch)
    yield
    uninstall()


def traced(adapter: Any, folder: Path) -> Trace:
    return record_workload(adapter, folder, Diary(), WORKLOAD)[0]


def markers(trace: Trace) -> list[Marker]:
    return [event.marker for event in trace.events if event.marker is not None and event.marker.operation >= 0]


def calls(trace: Trace) -> list[tuple[str, str]]:
    return [(event.call, event.detail) for event in trace.events]


# --- the whole way -----------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", TOO_EARLY)
@pytest.mark.parametrize("plan", POWER)
def test_a_record_that_was_read_and_is_gone_is_lost(adapter: Any, plan: Plan, tmp_path: Path) -> None:
    """It is owed from the moment of the answer; the write is named that no sync had followed."""
    local = Local(adapter, tmp_path)

    cases = local.cases(Workload("short-0", (Append("one"),)), plan)

    assert {case.found.violation.kind for case in cases} == {"lost_acknowledged"}
    assert {case.found.violation.operations for case in cases} == {(0,)}
    sites = {str(case.found.site and case.found.site.function) for case in cases}
    assert sites == {"TooEarlyDurableWrites.append" if adapter.flags else "Followed.write"}


def test_the_story_says_who_had_read_it(tmp_path: Path) -> None:
    """The client was told nothing of it; another one was, and that is why it is owed."""
    local = Local(followed.TooEarly, tmp_path)
    case = max(local.cases(WORKLOAD, POWER[0]), key=lambda case: case.found.knowledge.begun)
    trace = local.trace(case.trace_file)
    [confirmation] = confirmed(local, [case], local.adapter)  # type: ignore[arg-type]
    story = tell(case, trace, oracle_of(local.adapter, trace), confirmation, None)

    first, second = story.told.split("; ")
    assert first == "The client had been told that Append('one') succeeded"
    assert second.startswith("Append('two') had not returned, but another client had read it")
    assert _summary(case, confirmation, trace).endswith("Another client had read it before it was durable.")
    assert endings(story) == {0: "acknowledged", 1: "not acknowledged, but read by another client"}
    assert any("os.fsync" in item.text for item in story.timeline if item.index > story.crash_after)


@pytest.mark.parametrize("adapter", SOUND)
@pytest.mark.parametrize("plan", POWER)
def test_a_store_that_shows_only_what_is_durable_raises_no_alarm(adapter: Any, plan: Plan, tmp_path: Path) -> None:
    """Whether it makes readers wait, syncs for them, or publishes late."""
    assert Local(adapter, tmp_path).cases(WORKLOAD, plan) == []


@pytest.mark.parametrize("adapter", [followed.TooEarly, followed.TooEarlyInTheBackground])
def test_a_process_that_dies_loses_nothing_that_was_read(adapter: Any, tmp_path: Path) -> None:
    """The kernel has the record already: only a power loss can take it."""
    assert Local(adapter, tmp_path).cases(WORKLOAD, Plan(PROCESS_CRASH, "process_crash", OWED)) == []


@pytest.mark.parametrize("promise", ["synced", "prefix"])
def test_a_weaker_promise_owes_nothing_for_a_read(promise: str, tmp_path: Path) -> None:
    """Who promises durability up to a sync, or some prefix, has not promised what was read."""
    plan = Plan(STRICT, "power_loss", (promise,))

    assert Local(followed.TooEarly, tmp_path).cases(WORKLOAD, plan) == []


# --- the recording -----------------------------------------------------------------------------


def test_an_answer_that_shows_too_much_is_part_of_the_trace(tmp_path: Path) -> None:
    """For each append between its beginning and its end; the trace tells that threads took part."""
    trace = traced(followed.TooEarly, tmp_path)

    begin, observe, end = MarkerKind.BEGIN, MarkerKind.OBSERVE, MarkerKind.ACKNOWLEDGE
    assert markers(trace) == [Marker(kind, number) for number in (0, 1) for kind in (begin, observe, end)]
    before = [trace.events[n - 1].call for n, e in enumerate(trace.events) if e.marker and e.marker.kind is observe]
    assert before == ["os.write", "os.write"]
    assert trace.threads == 2


@pytest.mark.parametrize("adapter", [followed.Followed, followed.OneAtATime])
def test_the_trace_of_a_sound_store_does_not_show_the_follower(
    adapter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what it is without one, so that the certificate stays the same."""
    with_it = traced(adapter, tmp_path)
    monkeypatch.setattr("harness.run.recording.follows", lambda adapter: False)
    without = traced(adapter, tmp_path)

    assert calls(with_it) == calls(without)
    assert with_it.threads == without.threads == 1


def test_nobody_follows_where_it_is_not_allowed(tmp_path: Path) -> None:
    """One client is promised, or there is no read."""
    assert follows(followed.TooEarly) and not follows(followed.ForOneOnly) and not follows(Sound)
    assert MarkerKind.OBSERVE not in [marker.kind for marker in markers(traced(followed.ForOneOnly, tmp_path))]


def test_a_read_that_fails_is_not_tried_again(tmp_path: Path) -> None:
    """It says nothing about durability."""
    followed.Unreadable.reads = 0

    trace = traced(followed.Unreadable, tmp_path)

    assert followed.Unreadable.reads == 1
    assert MarkerKind.OBSERVE not in [marker.kind for marker in markers(trace)]


# --- the follower ------------------------------------------------------------------------------


class Gate:
    """Readers wait until it is open."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.reads = 0
        self.told = 0

    def read(self) -> list[str]:
        self.reads += 1
        self.opened.wait()
        return ["seen"]

    def tell(self) -> None:
        self.told += 1


def test_a_reader_that_waits_holds_nobody_up() -> None:
    """After some waits in vain nobody reads any more; one read at a time."""
    gate = Gate()
    follower = Follower(gate.read, gate.tell)

    for _ in range(following.PATIENCE + 3):
        follower.look()
    follower.rest()
    assert (gate.reads, gate.told, follower.answers) == (1, 0, [])

    gate.opened.set()
    follower.rest()
    assert (gate.reads, gate.told, follower.answers) == (1, 0, [])


def test_a_late_answer_counts_from_when_it_is_there() -> None:
    """A reader that had to wait at the first sync may be answered before the second."""
    gate = Gate()
    follower = Follower(gate.read, gate.tell)

    follower.look()
    gate.opened.set()
    follower.look()

    assert (gate.reads, gate.told, follower.answers) == (2, 2, [["seen"], ["seen"]])


def test_a_reader_does_not_follow_itself() -> None:
    """A read that syncs asks for no further read."""
    gate = Gate()
    gate.opened.set()
    follower = Follower(lambda: [follower.look(), gate.read()][1], gate.tell)

    follower.look()

    assert (gate.reads, gate.told) == (1, 1)


def test_two_threads_that_sync_at_once_have_one_reader() -> None:
    """The second goes on without."""
    gate = Gate()
    follower = Follower(gate.read, lambda: other())

    def other() -> None:
        thread = threading.Thread(target=follower.look)
        thread.start()
        thread.join()

    gate.opened.set()
    follower.look()

    assert gate.reads == 1


def test_without_proc_every_waiting_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the state of a thread can't be asked, it is taken to wait."""
    assert following._sleeps(None)
    assert not following._sleeps(threading.get_native_id()) or not os.path.exists("/proc/self/task")


# --- what an answer shows ------------------------------------------------------------------------


def observed(*answers: Any, oracle: Oracle | None = None) -> list[Marker]:
    """The markers left of: append "a" (acknowledged), append "b" begun, and each answer."""
    kinds = [(MarkerKind.BEGIN, 0), (MarkerKind.ACKNOWLEDGE, 0), (MarkerKind.BEGIN, 1)]
    kinds += [(MarkerKind.OBSERVE, -1)] * len(answers)
    events = tuple(IoEvent("mark", None, 0, op, marker=Marker(kind, op)) for kind, op in kinds)
    operations = (Append("a"), Append("b"))
    trace = Trace(empty_image(), events, operations, "/store")
    return markers(with_observations(trace, oracle or Oracle(LOG, operations), list(answers)))[3:]


def test_an_answer_shows_the_fewest_operations_that_explain_it() -> None:
    """What was acknowledged before is not news, and an answer that nothing explains tells nothing."""
    assert observed(["a", "b"]) == [Marker(MarkerKind.OBSERVE, 1)]
    assert observed(["a", "b"], ["a", "b"]) == [Marker(MarkerKind.OBSERVE, 1)]
    assert observed(["a"]) == observed([]) == observed(["a", "c"]) == observed(None) == []


def test_an_answer_that_an_operation_which_raised_explains_shows_nothing() -> None:
    """Where the first append may have happened or not, so may what the answer shows."""
    operations = (Append("b"), Append("b"))
    oracle = Oracle(LOG, operations, failed=(0,))

    assert observed(["b"], oracle=oracle) == []
    assert observed(["b", "b"], oracle=oracle) == [Marker(MarkerKind.OBSERVE, 1)]


def test_a_model_that_does_not_know_the_question_is_not_asked_twice() -> None:
    """A model of the user's own may raise."""

    @dataclasses.dataclass(frozen=True)
    class NoReads:
        def initial(self) -> tuple[str, ...]:
            return ()

        def step(self, state: tuple[str, ...], operation: Any) -> tuple[tuple[str, ...], Any]:
            if isinstance(operation, Read):
                raise TypeError(describe(operation))
            return (*state, operation.record), None

        def equal(self, recovered: Any, state: Any) -> bool:
            return bool(recovered == state)

        def example_operations(self, random: Any, count: int) -> list[Any]:
            return []

    assert observed(["a", "b"], oracle=Oracle(NoReads(), (Append("a"), Append("b")))) == []
