"""The part of a certification that live faults are: jobs for workers, evidence, and what was found."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.core.contract import Contract
from harness.core.errors import UsageError
from harness.core.evidence import Evidence
from harness.core.scenario import CRASH_ENGINE, MEASURE_ENGINE, SHARED_FAMILIES, Scenario
from harness.core.verdict import Verdict
from harness.core.workload import Workload
from harness.explore.workloads import Workloads
from harness.inject.nemesis import Schedule
from harness.run import lateness
from harness.run.campaign import Campaign, Progress
from harness.run.containment import CAN_FORK
from harness.run.live.engines import ENGINES, EngineKind
from harness.run.live.values import Applicable, LiveFound, StruckKey, TrialsJob, Tried
from harness.run.options import LiveExtent, Options, not_part_of

#: What a survey tries, the strongest promise first.
SURVEYED: dict[str, tuple[str, ...]] = {
    "io_error": ("fails_cleanly",),
    "corruption": ("repaired", "detected"),
    "rollback": ("detected",),
    "writers": ("processes", "threads"),
}


@dataclass(slots=True)
class Series:
    """One scenario of live faults with all its jobs and what came of them; `untried` is why nothing did."""

    scenario: Scenario
    claim: str
    promise: str
    jobs: list[TrialsJob]
    tried: list[Tried] = field(default_factory=list)
    untried: str = "none of these faults was tried"

    @property
    def struck(self) -> bool:
        """Whether anything can be concluded: a fault fired, or something stands in the way of a conclusion."""
        return any(tried.fired or tried.unknown or tried.found for tried in self.tried)

    @property
    def found(self) -> Iterator[LiveFound]:
        for tried in self.tried:
            yield from tried.found

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(note for tried in self.tried for note in tried.notes))

    def concluded(self) -> tuple[Verdict, list[str]]:
        """What it says about the promise, and why it is not PASS."""
        broken = {found.key for found in self.found}
        if broken:
            return Verdict.FAIL, [f"broken in {len(broken)} {'way' if len(broken) == 1 else 'ways'}"]
        if not self.tried:
            return Verdict.UNKNOWN, [self.untried]
        reasons = list(dict.fromkeys(reason for item in self.tried for reason in item.unknown))
        if not any(item.fired for item in self.tried):
            reasons.append(f"no fault fired: {self.silence or 'there was nothing that it could have struck'}")
        elif max(item.operations for item in self.tried) < self.scenario.minimum_operations:
            reasons.append(f"no workload carried out {self.scenario.minimum_operations} operations")
        return (Verdict.UNKNOWN, reasons) if reasons else (Verdict.PASS, [])

    @property
    def silence(self) -> str:
        """Why the first workload with nothing to strike had nothing, or nothing."""
        return next(filter(None, (item.refused or item.idle_because for item in self.tried)), "")


class LiveFaults:
    """Tries the scenarios of live faults whose claims a contract makes."""

    def __init__(
        self, campaign: Campaign, scenarios: Iterable[Scenario], contract: Contract, progress: Progress
    ) -> None:
        self.campaign = campaign
        self.options: Options = campaign.options
        self.progress = progress
        self.scenarios = tuple(item for item in scenarios if item.engine not in (CRASH_ENGINE, MEASURE_ENGINE))
        self.promises = promises(contract, survey=self.options.survey)
        self.contract = contract
        self.series: list[Series] = []
        self.not_exercised: list[str] = []
        self.out_of_time = False

    def run(self, made: Workloads, tested: Collection[str] = ()) -> None:
        """Try everything, in the order of the scenarios; the claims of `tested` have been tried in another way."""
        self.series.extend(self.planned(made))
        if not self.series:
            return
        self.progress.phase("trying live faults", sum(len(series.jobs) for series in self.series))
        for together in _by_mount(self.series):
            started: list[Series] = []
            tried = iter(self.campaign.try_faults(self._queue(together, started), resumable=True))
            for series in started:
                series.tried = list(itertools.islice(tried, len(series.jobs)))
        self._require_fired()
        self._leave_out_what_struck_nothing(tested)

    def planned(self, made: Workloads) -> Iterator[Series]:
        """What there is to try, in the order of the scenarios; nothing of it has been tried."""
        if chosen_workloads(made, self.options.budget.live):
            for scenario, claim, promise in self._tried():
                yield Series(scenario, claim, promise, self._jobs(scenario, claim, promise, made))

    def _queue(self, waiting: list[Series], started: list[Series]) -> Iterator[TrialsJob]:
        """All jobs in one queue, so that no worker waits for the last job of a scenario. What was begun in time is
        ended, and noted in `started`."""
        for series in waiting:
            if self.campaign.out_of_time:
                self.out_of_time = True
                series.untried = lateness.of_the_run(self.options.budget, "any of these faults was tried")
                continue
            started.append(series)
            self.progress.begin(f"{series.scenario.name} {series.promise}", len(series.jobs))
            yield from series.jobs

    def _require_fired(self) -> None:
        """Raise `UsageError` for a schedule of the user's that never struck, in no workload."""
        for schedule in self.options.schedules:
            scheduled = (item for item in self.series if ENGINES[item.scenario.engine].scheduled)
            tried = [item for series in scheduled if series.claim == schedule.claim for item in series.tried]
            tried = [item for item in tried if item.trials]
            if tried and all(schedule in item.silent for item in tried):
                longest = max(tried, key=lambda item: item.operations)
                raise UsageError(f"{longest.silent[schedule]} (the longest of {len(tried)}).")

    def _tried(self) -> Iterator[tuple[Scenario, str, str]]:
        """Scenarios with the claim that each tries to break, its own or one that stands in for it, and the promise."""
        for scenario in self.scenarios:
            claims = (claim for claim in (scenario.claim, *scenario.instead) if claim in self.promises)
            for claim in itertools.islice(claims, 1):
                lacking = self._left_out(scenario) or self._lacking(ENGINES[scenario.engine])
                if lacking:
                    self.not_exercised.append(f"{scenario.name}: {lacking}")
                    continue
                for promise in self._promises(scenario, claim):
                    yield scenario, claim, promise

    def _promises(self, scenario: Scenario, claim: str) -> tuple[str, ...]:
        """Those of a claim that a scenario tries. An engine that can't try every one does the same for each that it
        can, so a survey has it try the weakest: what breaks that breaks the stronger ones too."""
        able = ENGINES[scenario.engine].promises
        found = tuple(promise for promise in self.promises[claim] if not able or promise in able)
        return found[-1:] if able else found

    def _leave_out_what_struck_nothing(self, tested: Collection[str]) -> None:
        """A mechanism with nothing to strike in this store says nothing about a promise that others have tested."""
        struck = {(series.claim, series.promise) for series in self.series if series.struck}
        for series in list(self.series):
            essential = ENGINES[series.scenario.engine].essential
            others = series.claim in tested or (series.claim, series.promise) in struck
            if series.tried and not series.struck and not essential and others:
                self.series.remove(series)
                why = series.silence or "there was nothing for it to strike"
                self.not_exercised.append(f"{series.scenario.name}: {why}")

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth saying where two mechanisms disagree, or beside evidence that has other reasons to be open."""
        notes = [note for series in self.series if series.concluded()[0] is Verdict.UNKNOWN for note in series.notes]
        broken = {series.scenario.engine: any(series.found) for series in self.series}
        if broken.get("full-disk") == broken.get("fake-disk") or not {"full-disk", "fake-disk"} <= broken.keys():
            return tuple(notes)
        says, silent = ("full-disk", "fake-disk") if broken["full-disk"] else ("fake-disk", "full-disk")
        differ = "only one has short writes, the other counts bytes"
        return (*notes, f"{says} found a violation and {silent} did not: {differ}")

    def _left_out(self, scenario: Scenario) -> str:
        """Why the profile does not have a scenario, or nothing."""
        wanted = not scenario.thorough or self.options.budget.live.thorough or scenario.name in self.options.scenarios
        return "" if wanted else not_part_of(self.options.profile)

    def _lacking(self, kind: EngineKind) -> str:
        """Why an engine can't do anything here, or nothing: that says nothing about the claim."""
        if kind.forks and not CAN_FORK:
            return "this system has no fork(2)"
        if kind.mount_bytes and not self.campaign.private:
            return f"it takes a private file system ({self.campaign.refusal})"
        if kind.needs_power_loss and self.contract.power_loss is None:
            return "the contract promises nothing about a loss of power"
        if kind.needs_io_error and self.contract.io_error is None:
            return "the contract promises nothing about calls that fail"
        if kind.needs_writers and self.contract.writers == "one":
            return "the contract lets one client work at a time"
        return kind.missing()

    def _jobs(self, scenario: Scenario, claim: str, promise: str, made: Workloads) -> list[TrialsJob]:
        live = self.options.budget.live
        if scenario.family in SHARED_FAMILIES:
            return [self._job(scenario, claim, promise, workload) for workload in made.family(scenario.family)]
        if not ENGINES[scenario.engine].hunts:
            chosen = chosen_workloads(made, live, long=scenario.family == "long")
            chosen = chosen[: scenario.most_workloads or None]
            return [self._job(scenario, claim, promise, workload) for workload in chosen]
        extra = {"examples": live.hunt_examples, "steps": live.hunt_steps}
        hunts = (self._job(scenario, claim, promise, Workload(f"hunt {n}", ())) for n in range(live.hunts))
        return [dataclasses.replace(job, extra={**extra, "hunt": n}) for n, job in enumerate(hunts)]

    def _job(self, scenario: Scenario, claim: str, promise: str, workload: Workload) -> TrialsJob:
        budget = self.options.budget
        extra = extra_for(ENGINES[scenario.engine], self.options)
        return TrialsJob(
            f"{scenario.name} {promise} {workload.name}",
            scenario.engine,
            claim,
            promise,
            workload,
            self.options.seed,
            budget.live.faults,
            budget.trials_s,
            after_violation=budget.live.faults if self.options.survey else budget.live.faults // 4,
            extra=extra,
        )

    # --- evidence ------------------------------------------------------------------------------

    def evidence(self) -> tuple[Evidence, ...]:
        return tuple(self._row(series) for series in self.series)

    def _row(self, series: Series) -> Evidence:
        tried = series.tried
        verdict, reasons = series.concluded()
        notes = (*(series.notes if verdict is not Verdict.UNKNOWN else ()), *self._late(series))
        trials = sum(item.trials for item in tried)
        return Evidence(
            scenario=series.scenario.name,
            claim=series.claim,
            verdict=verdict,
            persistence_model="",
            states_generated=sum(item.planned for item in tried),
            states_distinct=trials,
            states_judged=trials,
            exhausted=bool(tried) and all(item.exhausted and not item.refused for item in tried),
            faults_fired=sum(item.fired for item in tried),
            seconds=round(sum(item.seconds for item in tried), 3),
            seed=self.options.seed,
            reasons=(*reasons, *notes),
            bounds=_bounds(tried),
            crash_points=0,
            workloads=len(series.jobs),
            deterministic=all(item.deterministic for item in tried),
        )

    def _late(self, series: Series) -> Iterator[str]:
        """What the time did not suffice for."""
        profile, cut = self.options.budget, sum(item.late for item in series.tried)
        if cut:
            what = f"all faults were tried on {cut} of {len(series.jobs)} workloads"
            yield lateness.of_a_workload(profile, profile.trials_s, what)

    def struck(self) -> Counter[StruckKey]:
        """Where faults struck, over all scenarios."""
        total: Counter[StruckKey] = Counter()
        for series in self.series:
            for tried in series.tried:
                total.update(tried.struck)
        return total

    def applicable(self) -> set[Applicable]:
        """Which faults apply to which calls, as far as an engine knows that."""
        return {item for series in self.series for tried in series.tried for item in tried.applicable}


def extra_for(kind: EngineKind, options: Options) -> dict[str, Any]:
    """What the jobs of an engine have to know besides: how much to do, and schedules of the user's."""
    live = options.budget.live
    extra = {"reopenings": live.reopenings}
    return {**extra, "schedules": options.schedules, "count": live.schedules} if kind.scheduled else extra


def require_promised(schedules: Iterable[Schedule], contract: Contract) -> None:
    """Raise `UsageError` if a schedule has a fault that the contract promises nothing about."""
    promised = promises(contract, survey=False)
    for schedule in schedules:
        for claim in sorted(schedule.claims):
            if claim not in promised:
                raise UsageError(
                    f"the schedule {schedule.describe()!r} puts {claim} to the test, and the contract promises "
                    "nothing about it: leave that fault out."
                )


def promises(contract: Contract, *, survey: bool) -> dict[str, tuple[str, ...]]:
    """What live faults may try to break, by claim: what the contract says, or all there is, the strongest first.

    A survey learns what a store keeps over the death of its process from crash states alone.
    """
    if survey:
        return SURVEYED
    names = ("process_crash", "power_loss", "io_error", "corruption", "rollback")
    given = {name: getattr(contract, name) for name in names}
    given["writers"] = None if contract.writers == "one" else contract.writers
    return {name: (promise,) for name, promise in given.items() if promise is not None}


def chosen_workloads(made: Workloads, extent: LiveExtent, *, long: bool = False) -> list[Workload]:
    """The longest short workloads that change something, evenly spaced, and some of the others; with `long` at least
    one of the long ones."""
    busy = [workload for workload in made.short if workload.name not in made.idle] or list(made.short)
    candidates = [workload for workload in busy if len(workload.operations) > 1] or busy
    longest = sorted(candidates, key=lambda workload: -len(workload.steps))
    short = [longest[number * len(longest) // extent.short] for number in range(min(extent.short, len(longest)))]
    large = list(made.large) if extent.large else []
    return [*short, *made.long[: max(extent.long, int(long))], *large]


def _by_mount(series: list[Series]) -> list[list[Series]]:
    """What can be tried in the same workers, together: those that need no file system of their own first."""
    sizes = {ENGINES[item.scenario.engine].mount_bytes for item in series}
    return [
        [item for item in series if ENGINES[item.scenario.engine].mount_bytes == size] for size in sorted(sizes)
    ]


def _bounds(tried: list[Tried]) -> dict[str, Any]:
    bounds: dict[str, Any] = {
        "smallest_workload_operations": min((item.operations for item in tried if not item.refused), default=0),
        "largest_workload_operations": max((item.operations for item in tried), default=0),
        "faults_planned": sum(item.planned for item in tried),
        "faults_tried": sum(item.trials for item in tried),
    }
    if idle := sum(item.idle for item in tried):
        bounds["faults_that_never_fired"] = idle
    if cycles := min((item.cycles for item in tried if item.cycles), default=0):
        bounds["cycles_of_each"] = cycles
    if orders := max((item.lock_orders for item in tried), default=0):
        bounds["lock_orders"] = orders
    if refused := sum(bool(item.refused) for item in tried):
        bounds["workloads_refused"] = refused
    return bounds
