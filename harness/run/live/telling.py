"""Findings of live faults: reduced to the fewest operations, confirmed in a fresh interpreter, told as a story."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.core.evidence import Finding, Fix, Story
from harness.core.trace import Image
from harness.core.workload import Workload
from harness.run.advising import of_failure
from harness.run.campaign import Campaign, Progress
from harness.run.encoding import encode_operations, encode_value, file_name
from harness.run.explaining import source_view, views
from harness.run.findings import identity, interrupts
from harness.run.live.campaign import extra_for
from harness.run.live.engines import ENGINES
from harness.run.live.values import Exhibit, LiveFound, Trial, TrialsJob
from harness.run.pool import Interrupted

#: Workloads tried to make one counterexample shorter, fewer where real processes or clocks make each of them slow;
#: each means a rehearsal and so many of its faults.
REDUCTIONS, SLOW_REDUCTIONS = 32, 6
#: Fresh interpreters in which a violation may show itself again: where processes really race, one need not be enough.
CONFIRMATIONS = 4
#: Workloads that are tried side by side; the same on every machine, because the result depends on it.
_AT_ONCE = 2
_FAULTS_EACH, _SECONDS_EACH = 400, 5.0
#: Each trial that shows these again takes the whole time limit.
_NOT_REDUCED = ("hang", "deadlock")
FINDINGS_LIMIT = 24
_SECONDS = 20.0


@dataclasses.dataclass(frozen=True, slots=True)
class LiveCase:
    """A violation with the scenario that tried it and what was promised."""

    found: LiveFound
    scenario: str
    promise: str


class LiveTelling:
    """Turns what live faults found into findings."""

    def __init__(self, campaign: Campaign, adapter: Any, spec: str, progress: Progress) -> None:
        self.campaign = campaign
        self.adapter = adapter
        self.spec = spec
        self.progress = progress
        self.notes: list[str] = []

    def tell(self, cases: Iterable[LiveCase], told: Iterable[Finding]) -> tuple[Finding, ...]:
        """One finding for each kind and call site that is not among those `told` already."""
        told = list(told)
        known = {(finding.kind, str(finding.call_site)) for finding in told}
        groups = grouped(plain(cases, {claim for finding in told for claim in finding.claims}), known)
        chosen = sorted((min(group, key=_difficulty) for group in groups.values()), key=_difficulty)
        if len(chosen) > FINDINGS_LIMIT:
            self.notes.append(f"{len(chosen)} findings by live faults; the {FINDINGS_LIMIT} easiest are told")
        chosen = chosen[:FINDINGS_LIMIT]
        self.progress.phase("explaining what live faults found", len(chosen))
        return distinct((self._finding(case) for case in chosen), known)

    def _finding(self, case: LiveCase) -> Finding:
        case = self._reduced(case)
        trial, again = self._confirmed(case)
        found = case.found
        assert trial.violation is not None
        name = identity(trial.violation.kind, trial.site, found.claim)
        self.progress.advance(f"{trial.violation.kind} at {trial.site}")
        reports = self.campaign.options.reports
        file = "CERTIFICATE" if reports is None else f"{reports}/{file_name(self.adapter.name)}.json"
        exhibit = trial.exhibit or _silent(found)
        return Finding(
            id=name,
            scenario=case.scenario,
            claim=found.claim,
            summary=_summary(trial, exhibit, confirmed=again),
            kind=trial.violation.kind,
            persistence_models=trial.models,
            operations=exhibit.lines,
            call_site=trial.site,
            replay=f"harness replay {file} {name}",
            confirmed=again,
            seconds_to_find=round(found.seconds, 3),
            story=_story(trial, exhibit, of_failure(trial) if found.claim == "io_error" else None),
            counterexample=self._counterexample(case),
        )

    # --- fewer operations ------------------------------------------------------------------------

    def _reduced(self, case: LiveCase) -> LiveCase:
        """The same kind at the same call site with fewer steps, by delta debugging (Zeller and Hildebrandt, 2002):
        leave out halves, then ever smaller parts, until no single step can be left out."""
        assert case.found.trial.violation is not None
        if case.found.trial.violation.kind in _NOT_REDUCED:
            return case
        kind = ENGINES[case.found.engine]
        left = REDUCTIONS if kind.deterministic and not kind.promises else SLOW_REDUCTIONS
        size = len(case.found.workload.steps) // 2
        while size >= 1 and left > 0:
            shorter = None
            candidates = _without_parts(case.found.workload.steps, size)
            while candidates and left > 0 and shorter is None:
                tried, candidates = candidates[: min(_AT_ONCE, left)], candidates[min(_AT_ONCE, left) :]
                left -= len(tried)
                shorter = self._first_again(case, tried)
            case = shorter or case
            size = min(size if shorter else size // 2, len(case.found.workload.steps) // 2)
        return case

    def _first_again(self, case: LiveCase, candidates: list[tuple[Any, ...]]) -> LiveCase | None:
        """The first of the candidates on which the same is found again."""
        name = f"{case.found.workload.name.removesuffix('-reduced')}-reduced"
        workloads = [workload for steps in candidates if (workload := Workload(name, steps)).operations]
        job = dataclasses.replace(
            self._job(case), most=_FAULTS_EACH, seconds=_SECONDS_EACH, only=None, stop_at_first=case.found.key
        )
        jobs = [
            dataclasses.replace(job, name=f"{job.name} {number}", workload=workload)
            for number, workload in enumerate(workloads)
        ]
        for tried in self.campaign.try_faults(jobs) if jobs else ():
            same = [found for found in tried.found if found.key == case.found.key]
            if same:
                return dataclasses.replace(case, found=same[0])
        return None

    def _job(self, case: LiveCase) -> TrialsJob:
        found, options = case.found, self.campaign.options
        most = options.budget.live.faults
        name = f"again {found.engine} {found.workload.name}"
        work = found.workload
        job = TrialsJob(
            name, found.engine, found.claim, case.promise, work, options.seed, most, _SECONDS, only=found.fault
        )
        return dataclasses.replace(job, extra=extra_for(ENGINES[found.engine], options))

    # --- once more in a fresh interpreter ----------------------------------------------------------

    def _confirmed(self, case: LiveCase) -> tuple[Trial, bool]:
        """The trial as it went in a fresh interpreter, and whether it showed the same kind of violation."""
        before = case.found.trial
        assert before.violation is not None
        for _ in range(CONFIRMATIONS):
            outcome = self.campaign.try_again(self._job(case))
            if isinstance(outcome, Interrupted):
                return before, interrupts(before.violation.kind, outcome)
            same = [found.trial for found in outcome.found if found.key[0] == before.violation.kind]
            if same:
                return same[0], True
        return before, False

    def _counterexample(self, case: LiveCase) -> dict[str, Any]:
        found = case.found
        return {
            "adapter": self.spec,
            "engine": found.engine,
            "claim": found.claim,
            "promise": case.promise,
            "fault": encode_value(found.fault),
            "workload": encode_operations(found.workload.steps),
            "seed": self.campaign.options.seed,
        }


def _without_parts(steps: tuple[Any, ...], size: int) -> list[tuple[Any, ...]]:
    """The steps without some `size` that follow each other, the later ones left out first."""
    starts = range(0, len(steps), size)
    return [steps[:start] + steps[start + size :] for start in reversed(starts)]


def plain(cases: Iterable[LiveCase], broken: set[str]) -> list[LiveCase]:
    """Without what several faults together did to a claim that one fault alone breaks, or is in `broken` already.

    It would be the same defect once more, in a longer story and perhaps at another line.
    """
    found = list(cases)
    simple = broken | {case.found.claim for case in found if not ENGINES[case.found.engine].compound}
    return [case for case in found if case.found.claim not in simple or not ENGINES[case.found.engine].compound]


def grouped(cases: Iterable[LiveCase], known: set[tuple[str, str]]) -> dict[tuple[str, str], list[LiveCase]]:
    """What is not `known`, by kind and call site.

    Where nobody can say which call it was - the trial ended its process - it is told only if it is the only one of
    its kind.
    """
    found = list(cases)
    placed = {kind for kind, site in (*known, *(case.found.key for case in found)) if site != str(None)}
    groups: dict[tuple[str, str], list[LiveCase]] = {}
    for case in found:
        nowhere = case.found.trial.site is None and case.found.key[0] in placed
        if case.found.key not in known and not nowhere:
            groups.setdefault(case.found.key, []).append(case)
    return groups


def distinct(findings: Iterable[Finding], known: set[tuple[str, str]]) -> tuple[Finding, ...]:
    """One for each kind and call site that is not `known`, the first that is confirmed if there is one.

    In a fresh interpreter a trial may show its violation at another line: where another finding is, it is the same.
    """
    found: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.kind, str(finding.call_site))
        if key not in known and (key not in found or finding.confirmed > found[key].confirmed):
            found[key] = finding
    return tuple(found.values())


def _difficulty(case: LiveCase) -> tuple[Any, ...]:
    return (len(case.found.workload.steps), case.found.workload.name, str(case.found.trial.site), case.scenario)


def _summary(trial: Trial, exhibit: Exhibit, *, confirmed: bool) -> str:
    assert trial.violation is not None
    where = f" (call in line {trial.site.line} of {Path(trial.site.file).name})" if trial.site else ""
    sentence = f"{exhibit.reached.rstrip('.')}: {trial.violation.sentence}{where}."
    return sentence if confirmed else f"Flaky: {sentence} It did not happen again in a fresh interpreter."


def _silent(found: LiveFound) -> Exhibit:
    """Of a trial of which nothing is known but how it ended."""
    assert found.trial.violation is not None
    tried = f"One of the {ENGINES[found.engine].noun} was tried."
    return Exhibit((), "", "", tried, found.trial.violation.sentence, "It should have returned.")


def _story(trial: Trial, exhibit: Exhibit, fix: Fix | None) -> Story:
    return Story(
        told=exhibit.told,
        called=exhibit.called,
        reached=exhibit.reached,
        found=exhibit.found,
        expected=exhibit.expected,
        timeline=exhibit.timeline,
        crash_after=exhibit.fault_at,
        lost=exhibit.lost,
        files_written=_views(exhibit.before),
        files_after_crash=_views(exhibit.after),
        files_recovered=_views(exhibit.recovered),
        source=None if trial.site is None else source_view(trial.site.file, trial.site.line),
        fix=fix,
    )


def _views(image: Image | None) -> Any:
    return () if image is None else views(image)
