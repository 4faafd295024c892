"""The part of a certification that limits are: how a measurement is run, and what goes on the certificate.

First a few operations are recorded, to know which syncs one makes. Then a fresh process, in which nothing is patched,
measures on a real file system. Where that shows a miss, or too little, a second process measures once more, and that
decides (`deciding.settle`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import HarnessFault
from harness.core.evidence import ClaimResult, Evidence, Finding
from harness.core.limits import LIMITS_CLAIM, Limit, declared_limits
from harness.core.scenario import MEASURE_ENGINE, Scenario
from harness.core.verdict import Verdict, merge
from harness.core.workload import Reopen, Workload
from harness.measure import histogram
from harness.measure.closed_loop import Measured
from harness.measure.deciding import LONGER, Floor, Ruling, Settled, not_measured, rule, settle, wants_more
from harness.measure.floor import Syncing, syncing
from harness.measure.load import load_of, write_load
from harness.run.campaign import MEMORY_BYTES, Campaign, Progress
from harness.run.directories import run_directory
from harness.run.environment import file_system_of
from harness.run.measured.tasks import MeasureJob
from harness.run.measured.telling import document, finding_of
from harness.run.pool import Done, run_once
from harness.run.worker_main import Setup

#: Operations that are recorded to learn their syncs.
RECORDED = 60
_IN_MEMORY = ("tmpfs", "ramfs")
_TASK = "harness.run.measured.tasks:measure"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measurement with its job and what the bare disk took in it."""

    job: MeasureJob
    measured: Measured
    floor: Floor
    opening: Floor

    def rule(self, limits: Iterable[Limit]) -> tuple[Ruling, ...]:
        return tuple(rule(limit, self.measured, self.floor, self.opening) for limit in limits)


class Limits:
    """Measures an adapter that declares limits, and says what became of them. Without limits it does nothing."""

    def __init__(
        self, campaign: Campaign, adapter: Any, spec: str, scenarios: Iterable[Scenario], progress: Progress
    ) -> None:
        self.campaign = campaign
        self.adapter = adapter
        self.spec = spec
        self.progress = progress
        self.scenario = next((item for item in scenarios if item.engine == MEASURE_ENGINE), None)
        wanted = self.scenario is not None and not campaign.options.survey
        self.limits = declared_limits(adapter) if wanted else ()
        self.extent = campaign.options.budget.measures
        self.settled: tuple[Settled, ...] = ()
        self.measurements_made: list[Measurement] = []
        self.syncing = Syncing()
        self.file_system = ""
        #: Runs one job in a fresh process; tests put another one here.
        self.measure: Callable[[MeasureJob], Measured] = self._in_fresh_process

    # --- measuring -----------------------------------------------------------------------

    def run(self) -> None:
        """Measure, once or twice. Raises `UsageError` if the adapter's load is none."""
        if not self.limits:
            return
        if lacking := histogram.missing():
            self.settled = tuple(Settled(not_measured(limit, lacking)) for limit in self.limits)
            return
        self.progress.phase("measuring against limits", 2)
        self.syncing = self._recorded()
        first = self._measurement(1).rule(self.limits)
        self.progress.advance("measured")
        second: tuple[Ruling | None, ...] = (None,) * len(first)
        if any(map(wants_more, first)):
            longer = LONGER if any(ruling.longer for ruling in first) else 1
            again = self._measurement(longer).rule(self.limits)
            second = tuple(new if wants_more(old) else None for old, new in zip(first, again, strict=True))
        self.progress.advance("measured again")
        self.settled = tuple(settle(old, new) for old, new in zip(first, second, strict=True))

    def _recorded(self) -> Syncing:
        load = load_of(self.adapter, self.campaign.options.seed, RECORDED)
        [recorded] = self.campaign.record([Workload("measured", (*load, Reopen()))])
        return syncing(self.campaign.trace(recorded.trace_file))

    def _measurement(self, longer: int) -> Measurement:
        job = self._job(longer)
        measured = self.measure(job)
        floor = Floor(tuple(measured.sampled.disk.steady), self.syncing.per_operation, self.syncing.blind)
        opening = Floor(tuple(measured.opening_disk.steady), self.syncing.per_opening, self.syncing.blind)
        made = Measurement(job, measured, floor, opening)
        self.measurements_made.append(made)
        return made

    def _job(self, longer: int) -> MeasureJob:
        extent, named = self.extent, {limit.metric: limit for limit in self.limits}
        operations = extent.operations * longer
        held = named["replay_s"].operations if "replay_s" in named else 0
        return MeasureJob(
            load_file=self._load(max(extent.warm_up + operations, held)),
            operations=operations,
            warm_up=extent.warm_up,
            disk_every=extent.disk_every,
            seconds=extent.seconds * longer,
            operation_syncs=self.syncing.operations,
            opening_syncs=self.syncing.openings,
            snapshots=operations if any(name.startswith("snapshot_") for name in named) else 0,
            held=held,
            allocated="allocated_bytes_per_operation" in named,
        )

    def _load(self, count: int) -> str:
        path = self.campaign.new_file()
        write_load(load_of(self.adapter, self.campaign.options.seed, count), path)
        return path

    def _in_fresh_process(self, job: MeasureJob) -> Measured:
        base = self._place()
        self.file_system = file_system_of(base.resolve())
        with run_directory(base) as directory:
            setup = Setup(
                task=_TASK, adapter=self.spec, directory=str(directory / "data"), memory_bytes=MEMORY_BYTES
            )
            try:
                outcome = run_once(setup, job, self.campaign.options.time_limit_s)
            except HarnessFault as error:
                return Measured(trouble=f"the measuring process failed: {str(error).splitlines()[0]}")
        if isinstance(outcome, Done):
            measured: Measured = outcome.result
            return measured
        what = "did not return" if outcome.how == "hang" else "ended its process"
        return Measured(trouble=f"{outcome.phase} {what} ({outcome.detail})")

    def _place(self) -> Path:
        """Where the reports are, or the temporary directory: the first of these that is not in memory."""
        reports = self.campaign.options.reports
        places = [*([reports] if reports is not None else []), Path(tempfile.gettempdir()), Path.cwd()]
        real = (place for place in places if place.is_dir() and file_system_of(place.resolve()) not in _IN_MEMORY)
        return next(real, places[0])

    # --- what came of it -------------------------------------------------------------------

    @property
    def verdict(self) -> Verdict:
        return merge(item.ruling.verdict for item in self.settled)

    def evidence(self) -> tuple[Evidence, ...]:
        if not self.settled or self.scenario is None:
            return ()
        return (
            Evidence(
                *(self.scenario.name, LIMITS_CLAIM, self.verdict, "", 0, 0, 0, False, 0),
                round(sum(made.measured.seconds for made in self.measurements_made), 3),
                self.campaign.options.seed,
                tuple(item.ruling.reason for item in self.settled if item.ruling.reason),
                self._bounds(),
                workloads=1,
                deterministic=False,
            ),
        )

    def _bounds(self) -> dict[str, Any]:
        if not self.measurements_made:
            return {}
        last = self.measurements_made[-1]
        return {
            "limits": len(self.limits),
            "operations": last.measured.sampled.done,
            "warm_up_operations": last.job.warm_up,
            "repetitions": len(self.measurements_made),
            "syncs_per_operation": round(self.syncing.per_operation, 2),
            "floor_median_ms": round(last.floor.at(0.5) / 1e6, 4),
            "file_system": self.file_system,
        }

    def claims(self) -> tuple[ClaimResult, ...]:
        """The claim; its reasons are without numbers, because these are not the same twice."""
        if not self.settled or self.scenario is None:
            return ()
        verdict = self.verdict
        gists = [item.ruling.gist for item in self.settled if item.ruling.verdict is verdict]
        reasons = tuple(gist for gist in gists if gist)
        return (ClaimResult(LIMITS_CLAIM, _promised(self.limits), verdict, (self.scenario.name,), reasons),)

    def findings(self) -> tuple[Finding, ...]:
        """Limits that were missed twice, and those that were missed once: these are flaky."""
        found = []
        for item in self.settled:
            if item.flaky is not None:
                found.append(self._finding(item.flaky, self.measurements_made[0], confirmed=False))
            elif item.ruling.verdict is Verdict.FAIL:
                found.append(self._finding(item.ruling, self.measurements_made[-1], confirmed=True))
        return tuple(found)

    def _finding(self, ruling: Ruling, made: Measurement, *, confirmed: bool) -> Finding:
        assert self.scenario is not None
        seconds = sum(item.measured.seconds for item in self.measurements_made)
        job, sampled = made.job, made.measured.sampled
        return finding_of(ruling, job, sampled, made.floor, self.spec, seconds, confirmed=confirmed)

    def measurements(self) -> dict[str, Any]:
        """The field of the certificate; empty where nothing was measured."""
        if not self.measurements_made:
            return {}
        last = self.measurements_made[-1]
        return document(self.settled, last.job, last.measured, self._bounds())


def _promised(limits: tuple[Limit, ...]) -> str:
    return f"{len(limits)} limit{'' if len(limits) == 1 else 's'}"
