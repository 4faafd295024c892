"""What a fixed workload costs a store, counted several times: `harness.core.costs`.

Counting is done in workers of their own (`harness.run.counting`), with a fixed order of sets, each time in a child that
was forked after the adapter was loaded, so that nothing ran before it. What was not the same in each of `RUNS` runs is
left out with that reason. So are all counts of a store that starts threads or processes: what they do, and when, may be
the same three times by luck.
"""

from __future__ import annotations

import dataclasses
import hashlib
import platform

from harness.core.costs import BLOCKS, BLOCKS_SLACK, COSTING, PYTHON_CALLS, SYSTEM_CALLS, Cost, Costs, LeftOut
from harness.core.operations import describe
from harness.core.workload import Workload
from harness.explore.workloads import Extent, workloads
from harness.run.campaign import Campaign
from harness.run.counting import CostJob, Counted
from harness.run.loading import load_adapter
from harness.run.pool import Done, Interrupted, Pool

RUNS = 3
STEPS = 24
SEED = 0


def measure_costs(campaign: Campaign, unseen: str = "") -> Costs | None:
    """The costs of the campaign's store; `None` if the workload can't be run to its end.

    `unseen` says why the recorder does not see all system calls of this store; then they are left out.
    """
    adapter = load_adapter(campaign.spec)
    made = workloads(adapter, seed=SEED, extent=Extent(1, (STEPS,), large=False))
    workload = made.long[0]
    counted: list[list[Counted]] = []
    for gated in (True, False):
        outcomes = _outcomes(campaign, CostJob(workload, gated))
        counted.append([outcome.result for outcome in outcomes if isinstance(outcome, Done) and outcome.result.ended])
        if len(counted[-1]) < RUNS:
            return None
    return costs_of(workload, *counted, unseen=unseen)


def _outcomes(campaign: Campaign, job: CostJob) -> list[Done | Interrupted]:
    setup = campaign.setup("count", "fork")
    extra = {**setup.extra, "gated": job.gated, "coverage": ()}
    setup = dataclasses.replace(setup, task="harness.run.counting:count", extra=extra)
    with Pool(setup, 1, campaign.options.time_limit_s, variables={"PYTHONHASHSEED": "0"}) as pool:
        return [outcome for _, _, outcome in pool.run([job] * RUNS)]


def costs_of(workload: Workload, gated: list[Counted], plain: list[Counted], *, unseen: str = "") -> Costs:
    """What is the same in all runs, and why the rest is left out."""
    others = sorted({name for counted in (*gated, *plain) for name in counted.others})
    left_out = [LeftOut(SYSTEM_CALLS, unseen)] if unseen and not others else []
    amounts: list[Cost] = []
    if others:
        reason = f"the store starts {' and '.join(others)}: what they do, and when, is not the same in every run"
        left_out = [LeftOut(unit, reason) for unit in (SYSTEM_CALLS, PYTHON_CALLS, BLOCKS)]
    else:
        for runs in [plain] if unseen else [gated, plain]:
            same, different = _agreed(runs)
            amounts += same
            left_out += different
    return Costs(
        COSTING,
        digest(workload),
        platform.python_version(),
        RUNS,
        gated[0].operations,
        tuple(amounts),
        tuple(left_out),
    )


def _agreed(runs: list[Counted]) -> tuple[list[Cost], list[LeftOut]]:
    """What is the same in all runs; a unit that differed for one kind of operation is left out for all."""
    keys = dict.fromkeys(key for counted in runs for key in counted.amounts)
    seen = {key: [counted.amounts.get(key, 0) for counted in runs] for key in keys}
    differ: dict[str, str] = {}
    for (operation, unit), values in seen.items():
        if max(values) - min(values) > (BLOCKS_SLACK if unit == BLOCKS else 0):
            told = ", ".join(f"{value:,}" for value in values)
            differ.setdefault(unit, f"it was not the same in {len(runs)} runs ({operation}: {told})")
    same = [Cost(operation, unit, min(values)) for (operation, unit), values in seen.items() if unit not in differ]
    return same, [LeftOut(unit, reason) for unit, reason in differ.items()]


def digest(workload: Workload) -> str:
    """Tells workloads apart."""
    text = "\n".join(describe(step) for step in workload.steps)
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:16]
