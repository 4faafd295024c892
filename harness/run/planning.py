"""Which persistence models and promises a run tries."""

from __future__ import annotations

from typing import Any

from harness.core.adapter import supported_operations
from harness.core.contract import CRASH_PROMISES, Contract
from harness.core.operations import Sync
from harness.core.persistence import POWER_LOSS_PRESETS, PRESETS, PROCESS_CRASH, PersistenceModel
from harness.core.scenario import Scenario
from harness.run.exploring import Plan


def plans(contract: Contract, scenarios: tuple[Scenario, ...]) -> tuple[Plan, ...]:
    """The models to try for what a contract promises, as far as the scenarios do."""
    claims = {scenario.claim for scenario in scenarios}
    found = []
    if contract.process_crash is not None and "process_crash" in claims:
        found.append(Plan(PROCESS_CRASH, "process_crash", (contract.process_crash,)))
    if contract.power_loss is not None and "power_loss" in claims:
        found.extend(Plan(model, "power_loss", (contract.power_loss,)) for model in _ordered(contract.models()))
    return tuple(found)


def survey_plans(adapter: Any) -> tuple[Plan, ...]:
    """All presets and all promises; without `Sync` a store can't promise anything about it."""
    supported = supported_operations(adapter)
    syncs = supported is None or Sync in supported
    promises = tuple(promise for promise in CRASH_PROMISES if syncs or promise != "synced")
    models = [(PROCESS_CRASH, "process_crash"), *((PRESETS[name], "power_loss") for name in POWER_LOSS_PRESETS)]
    return tuple(Plan(model, claim, promises) for model, claim in models)


def _ordered(models: tuple[PersistenceModel, ...]) -> list[PersistenceModel]:
    names = list(PRESETS)
    distinct = list({model.name: model for model in models}.values())
    return sorted(distinct, key=lambda model: names.index(model.name) if model.name in names else len(names))
