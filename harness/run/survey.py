"""`harness survey`: the strongest contract of a store that was not refuted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.contract import CRASH_PROMISES
from harness.core.evidence import Evidence
from harness.core.persistence import POWER_LOSS_PRESETS
from harness.core.verdict import Verdict
from harness.observe.spans import NO_SPAN, Span
from harness.run.campaign import Progress
from harness.run.certify import Run
from harness.run.exploring import Plan
from harness.run.live.campaign import SURVEYED, Series
from harness.run.live.values import LiveFound
from harness.run.loading import load_adapter, resolved_spec
from harness.run.options import Options
from harness.run.weighing import Weighing

#: What a contract says of a claim where nothing stronger is known to hold, where that is not `None`.
WEAKEST = {"writers": "one"}


@dataclass(frozen=True, slots=True)
class Strongest:
    """For one persistence model, or the claim that live faults tried: the strongest promise that was tried and not
    refuted, and what refuted the next. `unknown` is why nobody knows whether the store keeps a stronger one, unless
    that was refuted."""

    model: str
    claim: str
    promise: str | None
    refuted_by: str
    unknown: str = ""

    @property
    def persistence_model(self) -> str:
        """As evidence has it: empty for what live faults tried."""
        return "" if self.model == self.claim else self.model

    @property
    def kept(self) -> str:
        """The promise in a word."""
        return self.promise or ("unknown" if self.unknown else "nothing")

    def describe(self) -> str:
        """In one line, without the model."""
        if self.promise is None and self.unknown:
            return f"unknown: {self.unknown}"
        told = [self.kept]
        if self.unknown:
            told.append(f"whether it keeps more is unknown: {self.unknown}")
        if self.refuted_by:
            told.append(f"{'more was refuted' if self.promise else 'refuted'} by {self.refuted_by}")
        return "; ".join(told)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a store keeps, by persistence model. `untested` are claims that nothing tried, `not_exercised` scenarios,
    each with the reason. `evidence` counts what was tried, of crashes against the strongest promise there is. `notes`
    say what is worth knowing of the run, that its time was up for instance."""

    store: str
    rows: tuple[Strongest, ...]
    untested: tuple[str, ...]
    not_exercised: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    notes: tuple[str, ...] = ()

    def contract(self) -> str:
        """The contract as a line of Python."""
        by_model = {row.model: row.promise for row in self.rows}
        power = {name: by_model[name] for name in POWER_LOSS_PRESETS if name in by_model}
        best = next((level for level in CRASH_PROMISES if level in power.values()), None)
        models = tuple(name for name, promise in power.items() if promise is not None and promise == best)
        parts = [f"process_crash={by_model.get('process-crash')!r}", f"power_loss={best!r}"]
        if best is not None:
            parts.append(f"power_loss_models={models!r}")
        parts.extend(f"{row.claim}={row.promise!r}" for row in self.rows if row.claim in SURVEYED)
        parts.extend(f"{claim}={WEAKEST.get(claim)!r}" for claim in self.untested)
        return f"Contract({', '.join(parts)})"


def survey(spec: str, options: Options, progress: Progress, span: Span = NO_SPAN) -> Survey:
    """Ignore the contract and try every claim; phases and jobs are parts of `span`. Raises `UsageError` as `certify`
    does."""
    spec = resolved_spec(spec)
    adapter = load_adapter(spec)
    with Run(spec, adapter, options, progress, span) as run:
        return _strongest(run)


def _strongest(run: Run) -> Survey:
    made = run.prepare()
    broken: dict[str, dict[str, str]] = {}
    for case in run.cases():
        found = case.found
        where = f"{found.violation.kind} at {found.site}" if found.site else found.violation.kind
        broken.setdefault(found.model, {}).setdefault(found.promise, where)
    blind = [reason for family in run.families.values() for reason in (*family.blind, *family.hidden_syncs)]
    rows = [_row(plan, broken.get(plan.model.name, {}), blind[0] if blind else "") for plan in run.plans]
    live = _live_rows(run.live.series)
    tried = {row.claim for row in live}
    untested = tuple(claim for claim in SURVEYED if claim not in tried)
    crashes = Weighing(run.scenarios, run.plans, run.families, made, run.options, ()).evidence()
    evidence = (*crashes, *run.live.evidence())
    left_out, notes = tuple(run.live.not_exercised), run.all_notes(evidence)
    return Survey(run.adapter.name, (*rows, *live), untested, left_out, evidence, notes)


def _live_rows(tried: Sequence[Series]) -> list[Strongest]:
    """What live faults left standing, claim by claim."""
    by_claim = {claim: [series for series in tried if series.claim == claim] for claim in SURVEYED}
    return [_live_row(claim, series) for claim, series in by_claim.items() if series]


def _live_row(claim: str, tried: Sequence[Series]) -> Strongest:
    """Promises are nested: what breaks a weaker one breaks the stronger, and who keeps a stronger keeps the weaker."""
    refuted_by = unknown = ""
    for place, promise in enumerate(SURVEYED[claim]):
        weaker = SURVEYED[claim][place:]
        verdict, why = _concluded(promise, [series for series in tried if series.promise in weaker])
        if verdict is Verdict.PASS:
            return Strongest(claim, claim, promise, refuted_by, unknown)
        if verdict is Verdict.FAIL:
            refuted_by = why
        else:
            unknown = unknown or why
    return Strongest(claim, claim, WEAKEST.get(claim), refuted_by, unknown)


def _concluded(promise: str, tried: Sequence[Series]) -> tuple[Verdict, str]:
    """About a promise, by what was tried against it and against the weaker ones; and what decided."""
    found = next((found for series in tried for found in series.found), None)
    if found is not None:
        return Verdict.FAIL, _told(found)
    if all(series.promise != promise for series in tried):
        return Verdict.UNKNOWN, f"nothing that tries {promise!r} was possible"
    for series in tried:
        verdict, reasons = series.concluded()
        if verdict is not Verdict.PASS:
            return verdict, f"{series.scenario.name}: {reasons[0]}"
    return Verdict.PASS, ""


def _told(found: LiveFound) -> str:
    kind, site = found.key
    return kind if found.trial.site is None else f"{kind} at {site}"


def _row(plan: Plan, broken: dict[str, str], blind: str) -> Strongest:
    """The same of crash states; where the recorder is blind no promise is known to hold."""
    held = [promise for promise in plan.promises if promise not in broken]
    strongest = held[0] if held else None
    stronger = plan.promises[: plan.promises.index(strongest)] if strongest else plan.promises
    refuted_by = broken[stronger[-1]] if stronger else ""
    return Strongest(plan.model.name, plan.claim, None if blind else strongest, refuted_by, blind)
