"""From violations to findings: merge, reduce to the fewest operations, confirm in a fresh interpreter."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.trace import CallSite
from harness.core.workload import Workload
from harness.judge.oracle import window
from harness.judge.recovery import judge
from harness.run.campaign import Campaign
from harness.run.exploring import ExploreJob, Found, Plan, minimal
from harness.run.judging import Judged, JudgeJob
from harness.run.pool import Interrupted
from harness.run.recovering import oracle_of

#: Workloads tried to make one counterexample shorter.
REDUCTIONS = 40
#: The same where each try costs the time limit of a call.
REDUCTIONS_OF_A_HANG = 4
#: Findings that are reduced, confirmed and told; more than this is one broken store, not many defects.
FINDINGS_LIMIT = 24


@dataclass(frozen=True, slots=True)
class Case:
    """A violation with all that is needed to do it again."""

    found: Found
    workload: Workload
    trace_file: str
    plan: Plan
    depth: int
    scenario: str

    @property
    def key(self) -> tuple[str, str]:
        """One defect is one finding: its kind and call site."""
        return (self.found.violation.kind, str(self.found.site))


@dataclass(frozen=True, slots=True)
class Group:
    """The cases of one defect; the first is the easiest to understand."""

    best: Case
    models: tuple[str, ...]
    claims: tuple[str, ...]
    scenarios: tuple[str, ...]
    seconds: float


def grouped(cases: Iterable[Case], order: list[str]) -> list[Group]:
    """Merge what shares kind and call site. `order` is the order in which models are listed."""
    rest = list(cases)
    kept = {id(found) for found in minimal(case.found for case in rest)}
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in (case for case in rest if id(case.found) in kept):
        groups.setdefault(case.key, []).append(case)
    return sorted((_group(members, order) for members in groups.values()), key=_importance)


def _group(members: list[Case], order: list[str]) -> Group:
    ranked = sorted(members, key=_difficulty)
    models = sorted({case.found.model for case in members}, key=lambda name: order.index(name))
    return Group(
        ranked[0],
        tuple(models),
        tuple(dict.fromkeys(case.found.claim for case in ranked)),
        tuple(dict.fromkeys(case.scenario for case in ranked)),
        min(case.found.seconds for case in members),
    )


def _difficulty(case: Case) -> tuple[Any, ...]:
    found = case.found
    return (
        found.inner is not None,
        found.knowledge.begun,
        len(case.workload.steps),
        *found.rank,
        found.model,
    )


def _importance(group: Group) -> tuple[Any, ...]:
    return (group.best.found.claim, *_difficulty(group.best), group.best.key)


def identity(kind: str, site: CallSite | None, claim: str) -> str:
    """The id of a finding: the same from run to run, wherever the source lies."""
    place = "" if site is None else f"{Path(site.file).name}:{site.line}:{site.function}"
    return f"{kind.replace('_', '-')}-{hashlib.sha256(f'{kind} {place} {claim}'.encode()).hexdigest()[:8]}"


# --- fewer operations ----------------------------------------------------------------------


def reduced(campaign: Campaign, case: Case) -> Case:
    """The same kind at the same call site with as few steps as possible: cut the end, then leave out one by one."""
    tried = 0
    most = REDUCTIONS_OF_A_HANG if case.found.violation.kind == "hang" else REDUCTIONS
    best = case
    index = len(best.workload.steps) - 1
    while index >= 0 and tried < most and len(best.workload.steps) > 1:
        steps = best.workload.steps[:index] + best.workload.steps[index + 1 :]
        shorter = _again(campaign, best, steps)
        tried += 1
        if shorter is not None:
            best = shorter
        index -= 1
    return best


def _again(campaign: Campaign, case: Case, steps: tuple[Any, ...]) -> Case | None:
    workload = Workload(f"{case.workload.name.removesuffix('-reduced')}-reduced", steps)
    try:
        recorded = campaign.record([workload])[0]
    except UsageError:  # the store can't do without the steps that were left out
        return None
    if not recorded.operations:
        return None
    found = explore_for(campaign, case, recorded.trace_file)
    if found is None:
        return None
    return dataclasses.replace(case, found=found, workload=workload, trace_file=recorded.trace_file)


def explore_for(campaign: Campaign, case: Case, trace_file: str) -> Found | None:
    """The easiest violation of the same kind and call site in another trace, if there is one."""
    job = job_for(campaign, case, trace_file)
    return easiest(campaign.explore([job])[0].found, case.key)


def job_for(campaign: Campaign, case: Case, trace_file: str) -> ExploreJob:
    options = campaign.options
    return ExploreJob(
        trace_file,
        trace_file,
        (case.plan,),
        case.depth if case.found.inner is not None else 0,
        options.seed,
        options.budget.limits,
    )


def easiest(found: Iterable[Found], key: tuple[str, str]) -> Found | None:
    same = [item for item in found if (item.violation.kind, str(item.site)) == key]
    return min(same, key=lambda item: (item.rank, item.knowledge.begun), default=None)


# --- once more in a fresh interpreter ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Whether it happened again, and what the first opening left in the directory."""

    again: bool
    judged: Judged | None
    detail: str


def confirmed(campaign: Campaign, case: Case, adapter: Any) -> Confirmation:
    """Judge the counterexample in a fresh interpreter."""
    judged = campaign.judge_again(JudgeJob(case.found.image, case.trace_file))
    kind = case.found.violation.kind
    if isinstance(judged, Interrupted):
        return Confirmation(interrupts(kind, judged), None, f"{judged.phase}: {judged.detail}")
    trace = campaign.trace(case.trace_file)
    violation = judge(oracle_of(adapter, trace), judged.recovery, admissible(case.found))
    again = violation is not None and violation.kind == kind
    detail = "no violation" if violation is None else f"{violation.kind}: {violation.sentence}"
    return Confirmation(again, judged, detail)


def interrupts(kind: str, judged: Interrupted) -> bool:
    """Whether a recovery that did not end is a violation of this kind."""
    return kind == "hang" if judged.how == "hang" else kind in ("cannot_open", "not_writable")


def admissible(found: Found) -> Any:
    known = found.knowledge
    return window(found.promise, acknowledged=known.acknowledged, begun=known.begun, synced=known.synced)
