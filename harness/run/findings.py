"""From violations to findings: merge, reduce to the fewest operations, confirm in a fresh process."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.scenario import SPARSE_FAMILY
from harness.core.trace import CallSite
from harness.core.workload import Reopen, Workload
from harness.judge.oracle import window
from harness.judge.recovery import judge
from harness.run.campaign import Campaign
from harness.run.exploring import ExploreJob, Found, Plan, minimal
from harness.run.judging import Judged, JudgeJob
from harness.run.pool import Interrupted
from harness.run.recovering import oracle_of

#: Workloads tried to make one counterexample shorter.
REDUCTIONS = 40
#: The same where each try runs very many operations.
REDUCTIONS_OF_MANY = 16
#: And where it costs the time limit of a call.
REDUCTIONS_OF_A_HANG = 4
#: Tries that are made side by side; the first that succeeds is taken, however many cores there are.
TRIED_TOGETHER = 2
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
    """Told by a kill where that is enough: nothing that was written has to be lost for it."""
    ranked = sorted(members, key=lambda case: (case.found.claim != "process_crash", *_difficulty(case)))
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
    """The same kind at the same call site with as few steps as possible.

    First without what comes after the crash, then without halves, quarters, ... of the steps, and at last
    without one step at a time (after Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input").
    """
    tries = REDUCTIONS_OF_MANY if is_sparse(case) else REDUCTIONS
    if case.found.violation.kind == "hang":
        tries = REDUCTIONS_OF_A_HANG
    reduction = _Reduction(campaign, case, tries)
    reduction.run()
    return case if reduction.best is case else _easiest_of(campaign, reduction.best)


@dataclass(slots=True)
class _Reduction:
    """`best` is the shortest counterexample up to now; `left`, how many may still be tried."""

    campaign: Campaign
    best: Case
    left: int

    def run(self) -> None:
        begun = _steps_until(self.best.workload.steps, self.best.found.knowledge.begun)
        if 0 < begun < len(self.best.workload.steps):
            self._try([self.best.workload.steps[:begun]])
        size = len(self.best.workload.steps) // 2
        while size:
            self._leave_out_blocks(size)
            size //= 2

    def _leave_out_blocks(self, size: int) -> None:
        """One block of `size` steps after the other, from the end on."""
        end = len(self.best.workload.steps)
        while end > 0 and self.left:
            steps = self.best.workload.steps
            ends = [end - size * number for number in range(TRIED_TOGETHER) if end > size * number]
            programs = [(*steps[: max(0, last - size)], *steps[last:]) for last in ends]
            taken = self._try([program for program in programs if program])
            end = ends[-1 if taken is None else taken] - size

    def _try(self, programs: list[tuple[Any, ...]]) -> int | None:
        """Take the first of these that still shows the violation; its number, or `None` if none does."""
        programs = programs[: self.left]
        self.left -= len(programs)
        for number, shorter in enumerate(_again(self.campaign, self.best, programs)):
            if shorter is not None:
                self.best = shorter
                return number
        return None


def _steps_until(steps: tuple[Any, ...], operations: int) -> int:
    """How many steps there are up to the last of so many operations."""
    places = [number for number, step in enumerate(steps, 1) if not isinstance(step, Reopen)]
    return places[operations - 1] if 0 < operations <= len(places) else len(steps)


def _again(campaign: Campaign, case: Case, programs: list[tuple[Any, ...]]) -> list[Case | None]:
    """Each of these programs with the violation that it shows; `None` if it does not show it."""
    name = f"{case.workload.name.removesuffix('-reduced')}-reduced"
    workloads = [Workload(name, program) for program in programs]
    files = _traces(campaign, workloads)
    jobs = [dataclasses.replace(job_for(campaign, case, file), stop_at_first=case.key) for file in files if file]
    shown = {result.name: easiest(result.found, case.key) for result in campaign.explore(jobs)}
    return [
        None if found is None else dataclasses.replace(case, found=found, workload=workload, trace_file=file)
        for workload, file in zip(workloads, files, strict=True)
        for found in (shown.get(file),)
    ]


def _traces(campaign: Campaign, workloads: list[Workload]) -> list[str]:
    """The trace of each workload; empty where the store can't do without the steps that were left out."""
    try:
        recorded = campaign.record(workloads)
    except UsageError:
        if len(workloads) < 2:
            return [""]
        return [file for workload in workloads for file in _traces(campaign, [workload])]
    return [item.trace_file if item.operations else "" for item in recorded]


def _easiest_of(campaign: Campaign, case: Case) -> Case:
    """The same program with the violation that is easiest to understand: a try ends at the first."""
    [explored] = campaign.explore([job_for(campaign, case, case.trace_file)])
    found = easiest(explored.found, case.key)
    return case if found is None else dataclasses.replace(case, found=found)


def job_for(campaign: Campaign, case: Case, trace_file: str) -> ExploreJob:
    options = campaign.options
    return ExploreJob(
        trace_file,
        trace_file,
        (case.plan,),
        case.depth if case.found.inner is not None else 0,
        options.seed,
        options.budget.limits_of(sparse=is_sparse(case)),
        sparse=is_sparse(case),
    )


def is_sparse(case: Case) -> bool:
    """Whether its program has, or had, so many operations that not each of them is crashed."""
    return case.workload.name.startswith(SPARSE_FAMILY)


def easiest(found: Iterable[Found], key: tuple[str, str]) -> Found | None:
    same = [item for item in found if (item.violation.kind, str(item.site)) == key]
    return min(same, key=lambda item: (item.rank, item.knowledge.begun), default=None)


# --- once more in a fresh process ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Whether it happened again, and what the first opening left in the directory."""

    again: bool
    judged: Judged | None
    detail: str


def confirmed(campaign: Campaign, cases: list[Case], adapter: Any) -> list[Confirmation]:
    """Judge each counterexample in a fresh process."""
    judged = campaign.judge_again([JudgeJob(case.found.image, case.trace_file) for case in cases])
    return [_confirmation(campaign, case, adapter, again) for case, again in zip(cases, judged, strict=True)]


def _confirmation(campaign: Campaign, case: Case, adapter: Any, judged: Judged | Interrupted) -> Confirmation:
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
