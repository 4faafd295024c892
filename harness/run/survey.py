"""`harness survey`: the strongest contract of a store that was not refuted."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.contract import CRASH_PROMISES
from harness.core.persistence import POWER_LOSS_PRESETS
from harness.run.campaign import Progress
from harness.run.certify import Run
from harness.run.exploring import Plan
from harness.run.live.campaign import SURVEYED
from harness.run.live.values import LiveFound
from harness.run.loading import load_adapter, resolved_spec
from harness.run.options import Options


@dataclass(frozen=True, slots=True)
class Strongest:
    """For one persistence model, or the claim that live faults tried: the strongest promise that was not refuted, and
    what refuted the next."""

    model: str
    claim: str
    promise: str | None
    refuted_by: str
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a store keeps, by persistence model."""

    store: str
    rows: tuple[Strongest, ...]
    untested: tuple[str, ...]

    def contract(self) -> str:
        """The contract as a line of Python."""
        by_model = {row.model: row for row in self.rows if not row.unknown}
        crash = by_model.get("process-crash")
        power = {name: by_model[name].promise for name in POWER_LOSS_PRESETS if name in by_model}
        best = next((level for level in CRASH_PROMISES if level in power.values()), None)
        models = tuple(name for name, promise in power.items() if promise is not None and promise == best)
        parts = [f"process_crash={(crash.promise if crash else None)!r}", f"power_loss={best!r}"]
        if best is not None:
            parts.append(f"power_loss_models={models!r}")
        live = {row.claim: None if row.unknown else row.promise for row in self.rows if row.claim in SURVEYED}
        parts.extend(f"{claim}={promise!r}" for claim, promise in live.items())
        parts.extend(f"{claim}=None" for claim in self.untested if claim != "writers")
        return f"Contract({', '.join(parts)})"


def survey(spec: str, options: Options, progress: Progress) -> Survey:
    """Ignore the contract and try every claim. Raises `UsageError` as `certify` does."""
    spec = resolved_spec(spec)
    adapter = load_adapter(spec)
    with Run(spec, adapter, options, progress) as run:
        return _strongest(run)


def _strongest(run: Run) -> Survey:
    run.prepare()
    broken: dict[str, dict[str, str]] = {}
    for case in run.cases():
        found = case.found
        where = f"{found.violation.kind} at {found.site}" if found.site else found.violation.kind
        broken.setdefault(found.model, {}).setdefault(found.promise, where)
    blind = [reason for family in run.families.values() for reason in (*family.blind, *family.hidden_syncs)]
    rows = [_row(plan, broken.get(plan.model.name, {}), blind[0] if blind else "") for plan in run.plans]
    live = _live_rows(run)
    tried = {row.claim for row in live}
    untested = tuple(claim for claim in (*SURVEYED, "writers") if claim not in tried)
    return Survey(run.adapter.name, (*rows, *live), untested)


def _live_rows(run: Run) -> list[Strongest]:
    """What live faults left standing, claim by claim."""
    rows = []
    for claim, promised in SURVEYED.items():
        series = [item for item in run.live.series if item.scenario.claim == claim]
        if not series:
            continue
        broken = {item.promise: _told(found) for item in series for found in item.found}
        fired = any(tried.fired for item in series for tried in item.tried)
        held = next((promise for promise in promised if promise not in broken), None)
        stronger = promised[: promised.index(held)] if held else promised
        refuted_by = broken[stronger[-1]] if stronger else ""
        rows.append(Strongest(claim, claim, held, refuted_by, "" if fired else "no fault fired"))
    return rows


def _told(found: LiveFound) -> str:
    kind, site = found.key
    return kind if found.trial.site is None else f"{kind} at {site}"


def _row(plan: Plan, broken: dict[str, str], blind: str) -> Strongest:
    """Promises are nested: who keeps a stronger one keeps the weaker."""
    held = [promise for promise in plan.promises if promise not in broken]
    strongest = held[0] if held else None
    stronger = plan.promises[: plan.promises.index(strongest)] if strongest else plan.promises
    refuted_by = broken[stronger[-1]] if stronger else ""
    return Strongest(plan.model.name, plan.claim, strongest, refuted_by, blind)
