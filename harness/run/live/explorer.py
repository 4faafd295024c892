"""The job of a worker: all faults of one engine on one workload."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.crash.materialize import Materializer
from harness.judge.classify import Violation
from harness.run.descriptors import close_leaked, descriptors
from harness.run.live.bench import Bench
from harness.run.live.engines import ENGINES
from harness.run.live.values import LiveFound, Struck, StruckKey, Trial, TrialsJob, Tried
from harness.run.recovering import Board

#: Trials that may end a worker before the rest of a job is left out.
INTERRUPTIONS_IN_ALL = 4
_UNKNOWN_KEPT = 3
#: What may be learnt of while faults are tried gets this part of their budget, and what they leave.
_AFTERWARDS = 8


class TrialExplorer:
    """Runs one job in one directory."""

    def __init__(self, adapter: Any, directory: Path, materializer: Materializer, board: Board, job: TrialsJob) -> None:
        self.job = job
        self.bench = Bench(adapter, directory, materializer, board, job.seed, extra=job.extra)
        self.kind = ENGINES[job.engine]
        self.interrupted = {unit: (how, detail) for unit, how, detail in job.interrupted}
        self.tried = Tried(job.name, deterministic=self.kind.deterministic)
        self.started = time.perf_counter()
        self.left = max(-(-job.most // self.kind.cost), self.kind.least if job.most else 0)
        self.known: dict[tuple[str, str], LiveFound] = {}

    def run(self) -> Tried:
        engine = self.kind.make(self.bench, self.job.workload, self.job.claim, self.job.promise)
        self.tried.refused = engine.rehearse()
        if not self.tried.refused:
            self.tried.operations = engine.operations
            self._all(engine)
        self.tried.found = list(self.known.values())
        self.tried.seconds = time.perf_counter() - self.started
        return self.tried

    def _all(self, engine: Any) -> None:
        faults = list(engine.faults()) if self.job.only is None else [self.job.only]
        self.tried.planned = len(faults)
        chosen = faults[: self.left] if self.kind.ordered else _spread(faults, self.left)
        units = itertools.count(1)
        self.tried.exhausted = self._each(engine, chosen, units) and len(chosen) == len(faults)
        if self.kind.follows and self.job.only is None and not self._has_found():
            self.left += max(self.kind.following_least, -(-self.job.most // self.kind.cost // _AFTERWARDS))
            more = self._counted(engine.afterwards())
            self.tried.exhausted = self._each(engine, more, units) and self.tried.exhausted
            if self.kind.applies:
                self.tried.applicable = engine.applicable()
            if self.kind.watches:
                self.tried.notes, self.tried.lock_orders = engine.notes(), engine.lock_orders

    def _counted(self, faults: Iterable[Any]) -> Iterator[Any]:
        for fault in faults:
            self.tried.planned += 1
            yield fault

    def _each(self, engine: Any, faults: Iterable[Any], units: Iterator[int]) -> bool:
        """Try all of them; whether that was done before the job was over."""
        for fault in faults:
            if self._is_over():
                return False
            unit = self.bench.unit = next(units)
            self._note(fault, self._trial(engine, fault, unit))
        return True

    def _is_over(self) -> bool:
        ended = len(self.interrupted) >= INTERRUPTIONS_IN_ALL and self.bench.unit >= max(self.interrupted)
        if self.left <= 0 or ended or self._has_found():
            return True
        self.tried.late = time.perf_counter() - self.started > self.job.seconds
        return self.tried.late

    def _has_found(self) -> bool:
        """Whether what the job is to stop at was found."""
        return self.job.stop_at_first is not None and self.job.stop_at_first in self.known

    def _trial(self, engine: Any, fault: Any, unit: int) -> Trial:
        self.left -= 1
        if unit not in self.interrupted:
            before = descriptors(self.bench.directory)
            trial: Trial = engine.attempt(fault)
            close_leaked(self.bench.directory, before)
            self.bench.surroundings.restore()
            return trial
        ended: Trial = engine.ended(fault, Violation(*self.interrupted[unit]))
        return ended

    def _note(self, fault: Any, trial: Trial) -> None:
        tried = self.tried
        tried.trials += 1
        tried.fired += trial.fired
        tried.idle += not trial.fired
        tried.idle_because = tried.idle_because or trial.idle
        if not trial.fired and fault in self.job.extra.get("schedules", ()):
            tried.silent[fault] = trial.idle
        tried.cycles = min(tried.cycles or trial.cycles, trial.cycles or tried.cycles)
        if trial.unknown and len(tried.unknown) < _UNKNOWN_KEPT and trial.unknown not in tried.unknown:
            tried.unknown.append(trial.unknown)
        for struck in trial.struck:
            tried.struck[_key(struck, trial)] += 1
        if trial.violation is None or not trial.fired:
            return
        seconds = time.perf_counter() - self.started
        repeatable = fault if trial.instead is None else trial.instead
        found = LiveFound(self.job.engine, self.job.claim, self.job.workload, repeatable, trial, seconds)
        if found.key not in self.known:
            self.known[found.key] = found
            self.left = min(self.left, self.job.after_violation)


def _key(struck: Struck, trial: Trial) -> StruckKey:
    site = struck.site
    place = ("", 0, "") if site is None else (site.file, site.line, site.function)
    return (*place, struck.call, struck.fault, "held" if trial.violation is None else "broke")


def _spread(faults: list[Any], most: int) -> list[Any]:
    """At most so many faults, from all parts of the list; all of them where they are few enough."""
    if len(faults) <= most:
        return faults
    return [faults[number * len(faults) // most] for number in range(most)]
