"""What a store shows after it ran short of something: nothing acknowledged is lost, and it works again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.core.contract import Contract
from harness.core.operations import Sync, describe
from harness.judge.classify import Violation
from harness.judge.oracle import Oracle, Window, window
from harness.judge.recovery import Recovery, judge


def owed(contract: Contract, operations: tuple[Any, ...]) -> Window:
    """What must be there after an error and a reopening: the stronger of the promises about crashes."""
    promises = (contract.process_crash, contract.power_loss)
    promise = next((promise for promise in ("acknowledged", "synced") if promise in promises), "prefix")
    count = len(operations)
    synced = max((index + 1 for index, item in enumerate(operations) if isinstance(item, Sync)), default=0)
    return window(promise, acknowledged=count, begun=count, synced=synced)


def judge_shortage(oracle: Oracle, recovery: Recovery, admissible: Window, struck: Iterable[int]) -> Violation | None:
    """The broken promise, or `None`. `struck` are the operations in which a call failed, whatever they returned."""
    violation = judge(oracle, recovery, admissible)
    silent = sorted(set(struck) - oracle.failed)
    if violation is None or recovery.problem or not silent:
        return violation
    forgiving = Oracle(oracle.model, oracle.operations, oracle.failed | set(silent))
    if len(oracle.operations) not in forgiving.matches(recovery.recovered):
        return violation
    names = " and ".join(describe(oracle.operations[index]) for index in silent if index < len(oracle.operations))
    return Violation("swallowed_error", f"a call failed, {names} returned as if it had not, and is gone")
