"""Runs of several clients over sound stores: whatever is found is a false alarm.

Four clients carry out some two hundred operations on one store, as far as its contract lets them: threads that share a
handle take turns on a seeded schedule; processes run freely, one of them is killed, or stands still while the others
work. What all were told, and what the store shows at last, is judged as in a certification. Stores run in processes
that are forked from one in which none has run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from unittest.mock import patch

from harness.core.history import History, Outcome
from harness.core.workload import By, Workload
from harness.explore.clients import LONG, SHORT, workload_source
from harness.history.checking import check
from harness.inject.writers import Pause, Race, Turns
from harness.judge.classify import Violation
from harness.run.directories import run_directory
from harness.run.live import threads, writers
from harness.run.live.bench import Bench, NoBoard
from harness.run.live.concurrent import Judgement
from harness.run.live.threads import ThreadsEngine
from harness.run.live.values import Trial
from harness.run.live.writers import Met, ProcessesEngine, RacesEngine
from harness.run.recovering import TolerantModel, is_built_in
from harness.run.tasks import prepare
from harness.run.worker_main import Setup

CLIENTS = 4
#: Operations that are carried out and answered in each run, at least; and how many each client is given, more of them
#: where one of the four is killed.
LEAST, EACH, EACH_OF_THREE = 200, 54, 70
#: Clients of a certification do five operations at most: these may take as much longer before they are called hung.
PATIENCE_S = 240.0
#: Places of a schedule at which another thread goes on.
SWITCHES = 80
#: One operation of so many only reads.
_READS_EVERY = 8
#: The name of the one that is no store.
BREAKER = "circuit breaker"


class Mode(StrEnum):
    """What happens to the clients of a run."""

    RACE = "processes race"
    KILL = "processes race, one is killed"
    PAUSE = "one process stands still"
    TURNS = "threads take turns"
    BREAKER = "threads race"


#: In turn, by what a contract promises about writers.
MODES = {"processes": (Mode.RACE, Mode.TURNS, Mode.PAUSE, Mode.KILL), "threads": (Mode.TURNS,)}


@dataclass(frozen=True, slots=True)
class Subject:
    """A store about which there is nothing to find; `spec` names its adapter."""

    name: str
    spec: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """One run: how many operations were answered, what was found or not decided, or why it does not count."""

    mode: Mode
    seed: int
    operations: int
    seconds: float
    alarm: str = ""
    unknown: str = ""
    idle: str = ""


def subjects() -> tuple[Subject, ...]:
    """The reference stores, the sound rows of the zoo that let several write, and the breaker."""
    from store_under_test.defective import catalogue
    from tests.zoo.detection import is_sound

    sound = (row for row in catalogue.rows() if is_sound(row))
    shared = (row for row in sound if catalogue.load_adapter(row).contract.writers != "one")
    named = ((f"{row.id}, {row.defect.removeprefix('none: ')}", row.module) for row in shared)
    return (
        Subject("MetricsStore, saves", "store_under_test.metrics_store.adapter:MetricsStoreAdapter"),
        Subject("MetricsStore, updates", "store_under_test.metrics_store.adapter:MetricsUpdateAdapter"),
        Subject("EventStore", "store_under_test.event_store.adapter:EventStoreAdapter"),
        Subject("structured log", "store_under_test.structured_log.adapter:StructuredLogAdapter"),
        *(Subject(name, f"{catalogue.PACKAGE}.{module}:Adapter") for name, module in named),
        Subject(BREAKER, ""),
    )


def run_quiet(subject: Subject, seed: int) -> Quiet:
    """One run; modes take turns by the seed. For a process that does nothing else: it is patched as a worker is."""
    started = time.perf_counter()
    if subject.spec:
        mode, trial, history = _store_run(subject, seed)
        alarm = "" if trial.violation is None else f"{trial.violation.kind}: {trial.violation.sentence}"
        found = (alarm, trial.unknown, "" if trial.fired else trial.idle or "no fault fired")
    else:
        from tests.zoo.breaker import judged, race

        mode, history = Mode.BREAKER, race(seed, CLIENTS, EACH)
        found = (*judged(history, seed), "")
    operations, (alarm, unknown, idle) = answered(history), found
    if operations < LEAST and not (alarm or unknown or idle):
        idle = f"only {operations} operations were answered"
    return Quiet(mode, seed, operations, round(time.perf_counter() - started, 3), alarm, unknown, idle)


def answered(history: History | None) -> int:
    """Operations that clients carried out, and were answered."""
    return sum(called.client > 0 and called.outcome is Outcome.OK for called in history or ())


# --- one run of a store -------------------------------------------------------------------------


def _store_run(subject: Subject, seed: int) -> tuple[Mode, Trial, History | None]:
    with run_directory() as folder:
        setup = Setup("", adapter=subject.spec, directory=str(folder / "data"), extra={"reading": True})
        context = prepare(setup)
        modes = MODES[context.adapter.contract.writers]
        mode = modes[seed % len(modes)]
        each = EACH_OF_THREE if mode is Mode.KILL else EACH
        bench = Bench(context.adapter, context.directory, context.materializer, NoBoard(), seed)
        workload = Workload(f"quiet-{seed}", tuple(_steps(context.adapter, seed, each)))
        engine = _ENGINES[mode](bench, workload, "writers", context.adapter.contract.writers)
        with patch.object(writers, "PATIENCE_S", PATIENCE_S), patch.object(threads, "PATIENCE_S", PATIENCE_S):
            if refused := engine.rehearse():
                return mode, Trial(0, idle=refused), None
            return mode, engine.attempt(_fault(engine, mode, seed)), engine.history


def _steps(adapter: Any, seed: int, each: int) -> Iterator[By]:
    source = workload_source(adapter, f"quiet {seed}")
    yield By(0, source.change(0, 0, SHORT))
    for turn in range(each):
        for client in range(1, CLIENTS + 1):
            number = turn + client
            reads = source.reads(turn) if number % _READS_EVERY == 0 else ()
            size = LONG if number % 3 == 0 else SHORT
            yield By(client, next(iter(reads), None) or source.change(client, number, size))


def _fault(engine: Any, mode: Mode, seed: int) -> Any:
    source = random.Random(f"quiet {seed} {mode}")
    match mode:
        case Mode.TURNS:
            steps = engine.usual.steps
            return Turns(tuple(sorted(source.sample(range(1, steps + 1), min(SWITCHES, steps)))))
        case Mode.PAUSE:
            return Pause(source.choice(sorted(engine.inside())), early=source.random() < 0.5)
        case _:
            return Race(seed, kills=mode is Mode.KILL)


def _remembering(kind: type[ProcessesEngine]) -> Callable[..., Any]:
    """Such an engine, which keeps the `history` of its last trial. Of one that is wrong it says what contradicts what:
    which operation is to blame takes very long to find out among hundreds."""

    class Remembering(kind):  # type: ignore[misc, valid-type]
        history: History | None = None

        def judge(self, met: Met, made: History) -> Judgement:
            self.history = made
            model = self.bench.adapter.model
            checked = check(made, model if is_built_in(model) else TolerantModel(model))
            if checked.contradiction is None:
                return Judgement(unknown=checked.reason)
            return Judgement(Violation(checked.kind, checked.contradiction.sentence))

    return Remembering


_ENGINES = {
    Mode.RACE: _remembering(RacesEngine),
    Mode.KILL: _remembering(RacesEngine),
    Mode.PAUSE: _remembering(ProcessesEngine),
    Mode.TURNS: _remembering(ThreadsEngine),
}
