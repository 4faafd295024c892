"""Whether a planted defect is found with every seed: what a profile tries, in its order, until the first right finding.

A finding is right if it has an expected kind, names the line of the defect, and happens again in a fresh interpreter.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.trace import CallSite
from harness.explore.workloads import workloads
from harness.run.campaign import Campaign, Silent
from harness.run.live.campaign import LiveFaults, Series
from harness.run.live.telling import CONFIRMATIONS
from harness.run.live.values import LiveFound, TrialsJob
from harness.run.loading import load_adapter
from harness.run.options import Options
from harness.run.pool import Interrupted
from harness.run.scenarios import SCENARIOS, selected
from store_under_test.defective import catalogue
from tests.unit.structured_log import defects as log_defects
from tests.zoo.detection import FOLDER, TIME_LIMIT_S, marked_lines
from tests.zoo.planted import LOGS, Sought, lines_of
from tests.zoo.publishing import read_results

#: Rows of the zoo that need several clients, or luck in time.
CONCURRENT = ("D09", "D41", "D42", "D43", "D44", "D45", "L28", "L29")
WRITERS = tuple(scenario.name for scenario in SCENARIOS if scenario.claim == "writers")
_KINDS_OF_WRITERS = ("cannot_open", "lost_update", "not_linearizable", "phantom", "torn_operation")


@dataclass(frozen=True, slots=True)
class Case:
    """A planted defect: `spec` names the adapter, `scenarios` are asked, `kinds` and `lines` of `file` are right."""

    id: str
    defect: str
    spec: str
    scenarios: tuple[str, ...]
    kinds: tuple[str, ...]
    file: Path
    lines: frozenset[int]

    def is_right(self, kind: str, site: CallSite | None) -> bool:
        """Whether a finding names the planted defect."""
        return (
            kind in self.kinds and site is not None and site.line in self.lines and Path(site.file).samefile(self.file)
        )


def cases() -> tuple[Case, ...]:
    """The concurrent rows of the zoo, and what is planted in the structured log for writers."""
    return (*(_case_of(row) for row in catalogue.rows() if row.id in CONCURRENT), *_logs())


def _case_of(row: catalogue.Row) -> Case:
    """Asked are the scenarios that found it in the last run over the zoo, and those of several writers."""
    found = read_results()[row.id].scenarios
    several = WRITERS if catalogue.load_adapter(row).contract.writers != "one" else ()
    asked = tuple(scenario.name for scenario in SCENARIOS if scenario.name in (*found, *several))
    file, lines = FOLDER / f"{row.module}.py", frozenset(marked_lines(row.module))
    return Case(row.id, row.defect, f"{catalogue.PACKAGE}.{row.module}:Adapter", asked, row.kinds, file, lines)


def _logs() -> Iterator[Case]:
    for name, (adapter, function) in LOGS.items():
        spec = f"{adapter.__module__}:{adapter.__name__}"
        file = Path(log_defects.__file__)
        yield Case(f"log: {name}", name, spec, WRITERS, _KINDS_OF_WRITERS, file, lines_of(function))


def searches(case: Case, seeds: Iterable[int], profile: str = "standard") -> Iterator[Sought]:
    """With each seed, try what `profile` has for the scenarios of `case` until the defect is found, or there is no
    more."""
    options = Options(profile=profile, jobs=1, time_limit_s=TIME_LIMIT_S, scenarios=case.scenarios)
    with Campaign(case.spec, options) as campaign:
        for seed in seeds:
            yield _Search(case, campaign, dataclasses.replace(options, seed=seed)).run()


class _Search:
    def __init__(self, case: Case, campaign: Campaign, options: Options) -> None:
        self.case = case
        self.campaign = campaign
        self.options = options
        self.trials = 0
        self.elsewhere: list[str] = []
        self.started = time.perf_counter()

    def run(self) -> Sought:
        for series in self._planned():
            for job in series.jobs:
                found = self._found(job)
                if found is not None:
                    return self._sought(_told(found), series.scenario.name)
        return self._sought("", "")

    def _sought(self, told: str, scenario: str) -> Sought:
        seconds = round(time.perf_counter() - self.started, 2)
        return Sought(self.options.seed, told, scenario, self.trials, seconds, tuple(self.elsewhere))

    def _planned(self) -> Iterator[Series]:
        adapter = load_adapter(self.case.spec)
        made = workloads(adapter, seed=self.options.seed, extent=self.options.budget.extent)
        live = LiveFaults(self.campaign, selected(self.case.scenarios), adapter.contract, Silent())
        live.options = self.options
        return live.planned(made)

    def _found(self, job: TrialsJob) -> LiveFound | None:
        """The right finding of a job. It ends with its first finding; where that is not the right one, all is tried."""
        first = self._tried(dataclasses.replace(job, after_violation=0))
        right = self._right(job, first)
        if right is not None or not first:
            return right
        every = self._tried(job)
        self.elsewhere += [_told(found) for found in every if not self._is_right(found)]
        return self._right(job, every)

    def _tried(self, job: TrialsJob) -> list[LiveFound]:
        [tried] = self.campaign.try_faults([job])
        self.trials += tried.trials
        return tried.found

    def _right(self, job: TrialsJob, every: list[LiveFound]) -> LiveFound | None:
        return next((found for found in every if self._is_right(found) and self._happens_again(job, found)), None)

    def _is_right(self, found: LiveFound) -> bool:
        return self.case.is_right(found.key[0], found.trial.site)

    def _happens_again(self, job: TrialsJob, found: LiveFound) -> bool:
        for _ in range(CONFIRMATIONS):
            outcome = self.campaign.try_again(dataclasses.replace(job, only=found.fault))
            if not isinstance(outcome, Interrupted) and any(same.key[0] == found.key[0] for same in outcome.found):
                return True
        return False


def _told(found: LiveFound) -> str:
    return told(found.key[0], found.trial.site)


def told(kind: str, site: CallSite | None) -> str:
    """A finding in words that are the same on every machine."""
    return f"{kind} nowhere" if site is None else f"{kind} at {Path(site.file).name}:{site.line}"
