"""From an adapter to a certificate."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import pickle
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import harness
from harness.core.contract import Contract
from harness.core.costs import Costs
from harness.core.coverage import FaultCoverage
from harness.core.errors import UsageError
from harness.core.evidence import OUT_OF_TIME, Certificate, ClaimResult, Evidence, Finding
from harness.core.models import require_pure
from harness.core.operations import describe
from harness.core.persistence import PersistenceModel
from harness.core.scenario import CRASH_ENGINE, SPARSE_FAMILY, Scenario
from harness.core.workload import Workload
from harness.explore.workloads import Workloads, workloads
from harness.observe.spans import NO_SPAN, Span, Steps
from harness.record.callsite import is_store_file
from harness.run import lateness
from harness.run.campaign import Campaign, Progress, Silent, Stepped
from harness.run.containment import CAN_FORK
from harness.run.costing import measure_costs
from harness.run.coverage import fault_coverage
from harness.run.deciding import decided
from harness.run.environment import environment, file_system_of
from harness.run.exploring import ExploreJob, Found, Plan
from harness.run.findings import Case
from harness.run.journal import Journal
from harness.run.judging import JudgeJob
from harness.run.live.campaign import LiveFaults, require_promised
from harness.run.live.telling import LiveCase, LiveTelling
from harness.run.loading import load_adapter, resolved_spec
from harness.run.measured.limits import Limits
from harness.run.options import Options, not_part_of
from harness.run.planning import plans, survey_plans
from harness.run.pool import Interrupted
from harness.run.recording import Recorded
from harness.run.recovering import is_built_in, place_of_error, text_of_error
from harness.run.scenarios import selected
from harness.run.telling import Telling
from harness.run.weighing import Family, Weighing, hidden_by_sync
from harness.run.zoo import zoo_record

__all__ = ["Options", "Run", "certify_adapter"]

#: Workloads explored before the question whether more of them would say anything new; the first wave of a family is
#: split, because a hang is not worth being seen often.
WAVE = 10
FIRST_OF_WAVE = 2
#: States still tried with a workload after it broke a promise.
AFTER_VIOLATION = 400
_FAMILIES = ("short", "long", "large", SPARSE_FAMILY)


def certify_adapter(
    spec: str, options: Options, progress: Progress | None = None, span: Span = NO_SPAN
) -> Certificate:
    """Try to break every promise of the adapter that `spec` names; phases and jobs are parts of `span`.

    Raises `UsageError` for wrong input, and where the adapter itself cannot run.
    """
    spec = resolved_spec(spec)
    adapter = load_adapter(spec)
    with Run(spec, adapter, options, progress or Silent(), span) as run:
        return decided(run.certificate(), options.policy)


class Run:
    """One certification. A context manager, because of the processes that it starts."""

    def __init__(
        self, spec: str, adapter: Any, options: Options, progress: Progress, span: Span = NO_SPAN
    ) -> None:
        self.spec = spec
        self.adapter = adapter
        self.options = options
        self.steps = Steps(span)
        self.progress = progress = progress if span is NO_SPAN else Stepped(progress, self.steps)
        self.contract: Contract = adapter.contract
        require_promised(options.schedules, self.contract)
        self.all_scenarios = selected(options.scenarios, options.schedules)
        crashes = (item for item in self.all_scenarios if item.engine == CRASH_ENGINE)
        self.scenarios = tuple(item for item in crashes if CAN_FORK or not item.during_recovery)
        self.campaign = Campaign(spec, options, progress, steps=self.steps)
        self.plans = survey_plans(adapter) if options.survey else plans(self.contract, self.scenarios)
        self.live = LiveFaults(self.campaign, self.all_scenarios, self.contract, progress)
        self.limits = Limits(self.campaign, adapter, spec, self.all_scenarios, progress)
        self.families: dict[str, Family] = {}
        self.notes: list[str] = []
        self.disagreements: list[str] = []
        self.out_of_time = False

    def __enter__(self) -> Run:
        self.campaign.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        if self.campaign.journal is not None:
            self.campaign.journal.close()
        self.campaign.__exit__(*details)
        self.steps.end()

    # --- the steps -----------------------------------------------------------------------

    def certificate(self) -> Certificate:
        started = time.perf_counter()
        made = self.prepare()
        self.limits.run()
        findings = (*self._findings(), *self.limits.findings())
        self._sample()
        weighing = Weighing(self.scenarios, self.plans, self.families, made, self.options, tuple(self.disagreements))
        evidence = (*weighing.evidence(), *self.live.evidence(), *self.limits.evidence())
        claims = (*weighing.claims(self.contract, evidence, findings), *self.limits.claims())
        return self._issue(evidence, claims, findings, time.perf_counter() - started)

    def prepare(self) -> Workloads:
        """Record and explore everything."""
        made = self._workloads()
        self._open_journal()
        self._record(made)
        self._explore()
        self._require_reopening()
        self.live.run(made, {plan.claim for plan in self.plans})
        return made

    def _workloads(self) -> Workloads:
        """Raises `UsageError` if the user's own model gives none, or what no other process could be sent."""
        try:
            extent, shared = self.options.budget.extent, self.options.survey
            made = workloads(self.adapter, seed=self.options.seed, extent=extent, shared=shared)
            for workload in () if is_built_in(self.adapter.model) else (*made.short, *made.long):
                require_pure(self.adapter.model, workload.operations)
            pickle.dumps(made)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(
                f"the adapter's model gives no workload{place_of_error(error)}: {text_of_error(error)}."
            ) from None
        return made

    def _require_reopening(self) -> None:
        """A store that can't be opened again is broken if a crash state shows that; otherwise it can't run."""
        families = self.families.values()
        cut = next((item.cut for family in families for item in family.recorded if item.cut), "")
        if cut and not any(explored.found for family in families for explored in family.explored):
            raise UsageError(cut)

    def _open_journal(self) -> None:
        if self.options.reports is None:
            return
        folder = self.options.reports / ".resume"
        path = folder / f"{hashlib.sha256(self.spec.encode()).hexdigest()[:16]}.journal"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not self.options.resume:
                path.unlink(missing_ok=True)
            self.campaign.journal = Journal(path, self._fingerprint())
        except OSError as error:
            raise UsageError(
                f"{path} can't be written ({error.strerror}): name another directory with --reports."
            ) from None

    def _fingerprint(self) -> str:
        """What results depend on: another store, version or option, and nothing old is used."""
        parts: list[Any] = [harness.__version__, self.spec, self.options.profile, self.options.seed]
        parts += [self.options.scenarios, self.options.schedules, self.options.survey]
        parts += [self.options.time_limit_s, repr(self.contract)]
        parts += _sources()
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def _record(self, made: Workloads) -> None:
        families = [name for name in _FAMILIES if any(item.family == name for item in self.all_scenarios)]
        todo = [(name, workload) for name in families for workload in made.family(name)]
        if not self.plans:  # nothing to crash, but the adapter must be able to run
            todo = (todo or [("short", workload) for workload in made.short])[:1]
        self.progress.phase("recording", len(todo))
        recorded = self.campaign.record([workload for _, workload in todo])
        if all(item.operations == item.raised for item in recorded):
            raise UsageError(f"the adapter can't run: every operation failed without any fault ({_why(recorded)}).")
        for name in families:
            members = [number for number, (family, _) in enumerate(todo) if family == name]
            kept = [number for number in members if recorded[number].operations > recorded[number].raised]
            self.families[name] = Family(
                tuple(todo[number][1] for number in kept), [recorded[number] for number in kept], []
            )

    def _explore(self) -> None:
        """In waves: a model under which a wave found nothing new about a broken promise needs no further workload.

        Nor does one under which a recovery hangs, because every further hang costs the time limit.
        """
        waves = list(self._waves()) if self.plans else []
        self.progress.phase("trying crash states", sum(len(wave) for _, wave, _ in waves))
        plans, known, new = self.plans, set[_Defect](), set[_Defect]()
        for family, members, last in waves:
            if self.campaign.out_of_time:
                self.out_of_time = True
                break
            jobs = [self._job(family, workload, item, plans) for workload, item in members]
            explored = self.campaign.explore(jobs, resumable=True)
            self.families[family].explored.extend(explored)
            seen = {
                (found.model, found.violation.kind, str(found.site)) for result in explored for found in result.defects
            }
            known, new = known | seen, new | (seen - known)
            if not self.options.survey:
                plans = tuple(plan for plan in plans if _worth_more(plan.model.name, known, new, last))
            if last:
                new = set()

    def _waves(self) -> Iterable[tuple[str, list[tuple[Workload, Recorded]], bool]]:
        """Workloads with traces that can be trusted, some of one family at a time, and whether a wave ends there."""
        for name, family in self.families.items():
            members = family.trusted
            for start in range(0, len(members), WAVE):
                wave = members[start : start + WAVE]
                split = FIRST_OF_WAVE if start == 0 and len(wave) > FIRST_OF_WAVE else 0
                if split:
                    yield name, wave[:split], False
                yield name, wave[split:], True

    def _job(self, family: str, workload: Workload, item: Recorded, plans: tuple[Plan, ...]) -> ExploreJob:
        nested = any(scenario.during_recovery and scenario.family == family for scenario in self.scenarios)
        budget = self.options.budget
        return ExploreJob(
            workload.name,
            item.trace_file,
            plans,
            budget.recovery_depth if nested else 0,
            self.options.seed,
            budget.limits_of(sparse=family == SPARSE_FAMILY),
            samples=1,
            seconds=budget.exploring_s,
            after_violation=budget.limits.states if self.options.survey else AFTER_VIOLATION,
            sparse=family == SPARSE_FAMILY,
        )

    # --- findings ------------------------------------------------------------------------

    def cases(self) -> list[Case]:
        """Every violation of every family, with what is needed to do it again."""
        plan_of = {plan.model.name: plan for plan in self.plans}
        cases = []
        for name, family in self.families.items():
            files = {w.name: item.trace_file for w, item in zip(family.workloads, family.recorded, strict=True)}
            by_name = {workload.name: workload for workload in family.workloads}
            for explored in family.explored:
                for found in explored.defects:
                    scenario = self._scenario(found, name)
                    if scenario is None or hidden_by_sync(family, found):
                        continue
                    cases.append(
                        Case(
                            found,
                            by_name[explored.name],
                            files[explored.name],
                            plan_of[found.model],
                            self.options.budget.recovery_depth,
                            scenario.name,
                        )
                    )
        return cases

    def _scenario(self, found: Found, family: str) -> Scenario | None:
        """What tried this; `None` for a first crash where only crashes during recovery were asked for."""
        nested = found.inner is not None
        fitting = (
            item
            for item in self.scenarios
            if item.claim == found.claim and item.family == family and item.during_recovery == nested
        )
        return next(fitting, None)

    def _findings(self) -> tuple[Finding, ...]:
        telling = Telling(self.campaign, self.adapter, self.spec, self.progress)
        told = telling.tell(self.cases(), [plan.model.name for plan in self.plans])
        live = LiveTelling(self.campaign, self.adapter, self.spec, self.progress)
        cases = [
            LiveCase(found, series.scenario.name, series.promise)
            for series in self.live.series
            for found in series.found
        ]
        struck = live.tell(cases, told)
        self.notes.extend((*telling.notes, *live.notes, *self.live.notes))
        return (*told, *struck)

    # --- judged again --------------------------------------------------------------------

    def _sample(self) -> None:
        """States that passed, judged once more in fresh interpreters."""
        samples = [sample for family in self.families.values() for item in family.explored for sample in item.samples]
        chosen = _spread(samples, self.options.budget.samples)
        self.progress.phase("judging a sample again in fresh interpreters", len(chosen))
        files = {
            workload.name: item.trace_file
            for family in self.families.values()
            for workload, item in zip(family.workloads, family.recorded, strict=True)
        }
        jobs = [JudgeJob(sample.image, files[sample.workload]) for sample in chosen]
        for sample, judged in zip(chosen, self.campaign.judge_again(jobs), strict=True):
            self.progress.advance(sample.workload)
            if isinstance(judged, Interrupted):
                self.disagreements.append(f"{judged.phase} {judged.how} in a fresh interpreter ({judged.detail})")
            elif judged.recovery.problem or judged.recovery.matches != sample.matches:
                detail = judged.recovery.detail or f"read {describe(judged.recovery.recovered)}"
                self.disagreements.append(
                    f"a state of {sample.workload} passed in a warm process, and in a fresh interpreter {detail}"
                )

    # --- the certificate -----------------------------------------------------------------

    def _issue(
        self,
        evidence: tuple[Evidence, ...],
        claims: tuple[ClaimResult, ...],
        findings: tuple[Finding, ...],
        seconds: float,
    ) -> Certificate:
        return Certificate(
            store=self.adapter.name,
            adapter=neutral_spec(self.spec),
            claims=claims,
            evidence=evidence,
            findings=findings,
            seed=self.options.seed,
            profile=self.options.profile,
            issued_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            environment={
                **environment(),
                "namespaces": self.campaign.refusal or "private mounts in use",
                "recovery_file_system": "tmpfs" if self.campaign.private else file_system_of(self.campaign.data),
                "jobs": self.options.jobs,
                "time_limit_s": self.options.time_limit_s,
                **({OUT_OF_TIME: True} if self.out_of_time or self.live.out_of_time else {}),
            },
            contract=plain_contract(self.contract),
            notes=self.all_notes(evidence),
            not_exercised=self._not_exercised(),
            models={plan.model.name: _model(plan.model) for plan in self.plans},
            zoo=zoo_record(),
            fault_coverage=self._fault_coverage(findings),
            costs=self._costs(),
            measurements=self.limits.measurements(),
            seconds=round(seconds, 3),
        )

    def _fault_coverage(self, findings: tuple[Finding, ...]) -> FaultCoverage:
        """Where faults struck; of traces that weren't explored nothing counts."""
        files = (item.trace_file for family in self.families.values() for _, item in family.trusted if family.explored)
        broken = [finding.call_site for finding in findings if finding.persistence_models]
        traces = map(self.campaign.trace, files)
        return fault_coverage(self.live.struck(), traces, broken, self.adapter, self.live.applicable())

    def _costs(self) -> Costs | None:
        """Not where only some scenarios were asked for: such a certificate is no baseline for anything."""
        if self.options.scenarios or self.options.schedules or self.options.survey:
            return None
        self.progress.phase("counting costs", 0)
        recorded = [item for family in self.families.values() for item in family.recorded]
        unseen = next((detail for item in recorded for _, detail, _ in item.unseen), "")
        return measure_costs(self.campaign, unseen and f"the recorder does not see every call ({unseen})")

    def all_notes(self, evidence: Iterable[Evidence]) -> tuple[str, ...]:
        """What is worth saying of the run, first of all that its time was up."""
        notes = [*filter(None, [lateness.summary(self.options.budget, evidence)]), *self.notes]
        unsupported = sum(item.unsupported for family in self.families.values() for item in family.recorded)
        if unsupported:
            notes.append(f"{unsupported} operations left the workloads because the store can't take them")
        outside = sorted({path for family in self.families.values() for r in family.recorded for path in r.outside})
        if outside:
            notes.append(f"the store writes outside its directory ({', '.join(outside[:5])}): no part of a crash state")
        if not self.campaign.private:
            notes.append(f"recovery ran under another path than the recording: {self.campaign.refusal}")
        if self.contract.process_crash is None and self.contract.power_loss is None:
            notes.append("the contract promises nothing about crashes")
        return tuple(notes)

    def _not_exercised(self) -> tuple[str, ...]:
        missing = [] if self.campaign.private else [f"equal paths in recording and recovery: {self.campaign.refusal}"]
        if not CAN_FORK:
            left_out = "crashes during recovery, killed writers, and a process for each recording"
            missing.append(f"{left_out}: this system has no fork(2)")
        claims = {plan.claim for plan in self.plans}
        for scenario in self.scenarios:
            if scenario.claim in claims and not self.families[scenario.family].workloads:
                absent = "there is no such workload for this adapter"
                if self.options.budget.extent.lacks(scenario.family):
                    absent = not_part_of(self.options.profile)
                missing.append(f"{scenario.name}: {absent}")
        return (*missing, *self.live.not_exercised)


# --- values ----------------------------------------------------------------------------------

#: A model, a kind and a call site.
_Defect = tuple[str, str, str]


def _worth_more(model: str, known: set[_Defect], new: set[_Defect], last: bool) -> bool:
    """Whether further workloads may say more under this model, of which `new` is known since this wave began."""
    kinds = {kind for name, kind, _ in known if name == model}
    return not kinds or ("hang" not in kinds and (not last or any(name == model for name, _, _ in new)))


def _spread(items: list[Any], count: int) -> list[Any]:
    """`count` of them, evenly spread."""
    if len(items) <= count:
        return items
    return [items[index * len(items) // count] for index in range(count)]


def _why(recorded: list[Recorded]) -> str:
    return next((item.first_error for item in recorded if item.first_error), "there was no operation that it takes")


def neutral_spec(spec: str) -> str:
    """The adapter as it is told on a certificate: relative to the working directory where possible."""
    place, colon, name = spec.rpartition(":")
    path = Path(place)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        return f"{path.relative_to(Path.cwd())}{colon}{name}"
    return spec


def plain_contract(contract: Contract) -> dict[str, Any]:
    """A contract as it is told on a certificate: JSON types, models and errors by their names."""
    fields = {f.name: getattr(contract, f.name) for f in dataclasses.fields(contract)}
    fields["power_loss_models"] = [model.name for model in contract.models()]
    fields["errors"] = [error.__name__ for error in contract.errors]
    return json.loads(json.dumps(fields))  # type: ignore[no-any-return]


def _model(model: PersistenceModel) -> dict[str, Any]:
    knobs = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    return {name: getattr(value, "value", value) for name, value in knobs.items()}


def _sources() -> list[tuple[str, bytes]]:
    """All that is loaded, but for the standard library and us: an adapter seldom lies beside its store."""
    files = {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
    return [
        (file, hashlib.sha256(Path(file).read_bytes()).digest())
        for file in sorted(files)
        if os.path.isfile(file) and is_store_file(file)
    ]
