"""Findings in full: reduced, confirmed, with a fix that was tried and the models under which it happens."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from harness.core.evidence import Finding, Fix
from harness.core.operations import describe
from harness.core.persistence import PRESETS
from harness.core.trace import Trace
from harness.core.workload import Reopen
from harness.run.campaign import Campaign, Progress
from harness.run.encoding import encode_image, encode_operations, file_name
from harness.run.explaining import read_early, tell
from harness.run.exploring import Found, Plan
from harness.run.findings import (
    FINDINGS_LIMIT,
    Case,
    Confirmation,
    Group,
    confirmed,
    grouped,
    identity,
    job_for,
    reduced,
)
from harness.run.fixing import find_fixes
from harness.run.recovering import oracle_of

_CLAIM_OF = {"process-crash": "process_crash"}


class Telling:
    """Turns the cases of a run into findings."""

    def __init__(self, campaign: Campaign, adapter: Any, spec: str, progress: Progress) -> None:
        self.campaign = campaign
        self.adapter = adapter
        self.spec = spec
        self.progress = progress
        self.notes: list[str] = []

    def tell(self, cases: list[Case], order: list[str]) -> tuple[Finding, ...]:
        groups = grouped(cases, order)
        if len(groups) > FINDINGS_LIMIT:
            self.notes.append(f"{len(groups)} findings; the {FINDINGS_LIMIT} easiest to understand are told")
        groups = groups[:FINDINGS_LIMIT]
        self.progress.phase("explaining findings", len(groups))
        cases = [self._shortened(group) for group in groups]
        confirmations = confirmed(self.campaign, cases, self.adapter)
        fixes = self._fixes(cases, confirmations)
        others = self._other_models(groups, cases)
        return tuple(map(self._finding, groups, cases, confirmations, fixes, others))

    def _shortened(self, group: Group) -> Case:
        case = reduced(self.campaign, group.best) if _long(group.best) else group.best
        self.progress.advance(f"{case.found.violation.kind} at {case.found.site}")
        return case

    def _fixes(self, cases: list[Case], confirmations: list[Confirmation]) -> list[Fix | None]:
        """One for each case that is confirmed."""
        again = [case for case, confirmation in zip(cases, confirmations, strict=True) if confirmation.again]
        found = iter(find_fixes(self.campaign, again))
        return [next(found) if confirmation.again else None for confirmation in confirmations]

    def _finding(
        self, group: Group, case: Case, confirmation: Confirmation, fix: Fix | None, others: set[str]
    ) -> Finding:
        trace = self.campaign.trace(case.trace_file)
        oracle = oracle_of(self.adapter, trace)
        name = identity(case.found.violation.kind, case.found.site, case.found.claim)
        return Finding(
            id=name,
            scenario=case.scenario,
            claim=case.found.claim,
            summary=_summary(case, confirmation, trace),
            kind=case.found.violation.kind,
            persistence_models=_in_order({*group.models, *others}),
            operations=tuple(_program(case, trace)),
            call_site=case.found.site,
            replay=f"harness replay {self._certificate_file()} {name}",
            confirmed=confirmation.again,
            seconds_to_find=round(group.seconds, 3),
            story=tell(case, trace, oracle, confirmation, fix),
            counterexample=_counterexample(case, trace, self.spec),
        )

    def _certificate_file(self) -> str:
        """Where the certificate will lie, as far as is known now."""
        reports = self.campaign.options.reports
        return "CERTIFICATE" if reports is None else f"{reports}/{file_name(self.adapter.name)}.json"

    def _other_models(self, groups: list[Group], cases: list[Case]) -> list[set[str]]:
        """The presets that were not broken in the run, and are if they are tried on the counterexample."""
        jobs = {}
        for number, (group, case) in enumerate(zip(groups, cases, strict=True)):
            plans = _missing_plans(group, case)
            hangs = case.found.violation.kind == "hang"  # each model would cost the time limit again
            if plans and case.found.inner is None and not hangs:
                job = job_for(self.campaign, case, case.trace_file)
                jobs[number] = dataclasses.replace(job, name=f"other models {number}", plans=plans)
        others: list[set[str]] = [set() for _ in cases]
        for number, explored in zip(jobs, self.campaign.explore(list(jobs.values())), strict=True):
            key = cases[number].key
            others[number] = {item.model for item in explored.found if (item.violation.kind, str(item.site)) == key}
        return others


def _missing_plans(group: Group, case: Case) -> tuple[Plan, ...]:
    return tuple(
        Plan(model, _CLAIM_OF.get(name, "power_loss"), (case.found.promise,))
        for name, model in PRESETS.items()
        if name not in group.models
    )


def _in_order(models: set[str]) -> tuple[str, ...]:
    return tuple(name for name in (*PRESETS, *sorted(models - set(PRESETS))) if name in models)


def _long(case: Case) -> bool:
    return not case.workload.name.startswith("short")


def _summary(case: Case, confirmation: Confirmation, trace: Trace) -> str:
    found = case.found
    kill = found.claim == "process_crash"
    when = "the process dies" if kill else "the power fails"
    if found.inner is not None:
        when += " again while the store recovers"
    if not kill and _loses_nothing(found):
        when += ", though nothing that was written is lost"
    where = f" (call in line {found.site.line} of {Path(found.site.file).name})" if found.site else ""
    sentence = f"When {when}, {found.violation.sentence}{where}."
    if read_early(found, trace) is not None:
        sentence += " Another client had read it before it was durable."
    return (
        sentence
        if confirmation.again
        else f"Flaky: {sentence} It did not happen again in a fresh interpreter."
    )


def _loses_nothing(found: Found) -> bool:
    """Whether the order of the calls alone is at fault; a crash before this one may have lost something too."""
    return not found.losses.damaged and (found.outer is None or not found.outer.losses.damaged)


def _program(case: Case, trace: Trace) -> list[str]:
    """The shortest program: what the client did up to the crash."""
    lines: list[str] = []
    begun = case.found.knowledge.begun
    index = 0
    for step in case.workload.steps:
        if isinstance(step, Reopen):
            if index < begun:
                lines.append("Reopen()")
            continue
        if index >= begun:
            break
        lines.append(describe(step, limit=120))
        index += 1
    return [*lines, "<crash>", *(("<crash during recovery>",) if case.found.inner is not None else ())]


def _counterexample(case: Case, trace: Trace, spec: str) -> dict[str, Any]:
    known = case.found.knowledge
    return {
        "adapter": spec,
        "model": case.found.model,
        "promise": case.found.promise,
        "knowledge": dataclasses.asdict(known),
        "operations": encode_operations(trace.operations[: known.begun + 2]),
        "failed": sorted(index for index in trace.errors if index < known.begun + 2),
        "image": encode_image(case.found.image),
    }
