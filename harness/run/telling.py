"""Findings in full: reduced, confirmed, with a fix that was tried and the models under which it happens."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from harness.core.evidence import Finding
from harness.core.operations import describe
from harness.core.persistence import PRESETS
from harness.core.trace import Trace
from harness.core.workload import Reopen
from harness.run.campaign import Campaign, Progress
from harness.run.encoding import encode_image, encode_operations, file_name
from harness.run.explaining import read_early, tell
from harness.run.exploring import ExploreJob, Plan
from harness.run.findings import (
    FINDINGS_LIMIT,
    Case,
    Confirmation,
    Group,
    confirmed,
    grouped,
    identity,
    reduced,
)
from harness.run.fixing import find_fix
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
        return tuple(self._finding(group) for group in groups)

    def _finding(self, group: Group) -> Finding:
        case = reduced(self.campaign, group.best) if _long(group.best) else group.best
        confirmation = confirmed(self.campaign, case, self.adapter)
        trace = self.campaign.trace(case.trace_file)
        fix = find_fix(self.campaign, case) if confirmation.again else None
        oracle = oracle_of(self.adapter, trace)
        name = identity(case.found.violation.kind, case.found.site, case.found.claim)
        self.progress.advance(f"{case.found.violation.kind} at {case.found.site}")
        return Finding(
            id=name,
            scenario=case.scenario,
            claim=case.found.claim,
            summary=_summary(case, confirmation, trace),
            kind=case.found.violation.kind,
            persistence_models=self._models(group, case),
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

    def _models(self, group: Group, case: Case) -> tuple[str, ...]:
        """All presets under which this happens: those of the run, and the others tried on the counterexample."""
        known = set(group.models)
        missing = [model for name, model in PRESETS.items() if name not in known]
        plans = tuple(
            Plan(model, _CLAIM_OF.get(model.name, "power_loss"), (case.found.promise,)) for model in missing
        )
        if plans and case.found.inner is None:
            job = ExploreJob(
                case.trace_file,
                case.trace_file,
                plans,
                0,
                self.campaign.options.seed,
                self.campaign.options.budget.limits,
            )
            for found in self.campaign.explore([job])[0].found:
                if (found.violation.kind, str(found.site)) == case.key:
                    known.add(found.model)
        order = [*PRESETS, *sorted(known - set(PRESETS))]
        return tuple(name for name in order if name in known)


def _long(case: Case) -> bool:
    return not case.workload.name.startswith("short")


def _summary(case: Case, confirmation: Confirmation, trace: Trace) -> str:
    found = case.found
    when = "the process dies" if found.claim == "process_crash" else "the power fails"
    if found.inner is not None:
        when += " again while the store recovers"
    where = f" (call in line {found.site.line} of {Path(found.site.file).name})" if found.site else ""
    sentence = f"When {when}, {found.violation.sentence}{where}."
    if read_early(found, trace) is not None:
        sentence += " Another client had read it before it was durable."
    return (
        sentence
        if confirmation.again
        else f"Flaky: {sentence} It did not happen again in a fresh interpreter."
    )


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
