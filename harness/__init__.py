"""Test and fault injection for software that keeps data in files.

This module is the public face: what adapters and stores' tests import.
"""

import importlib
from typing import TYPE_CHECKING, Any

from harness.core.contract import Contract
from harness.core.errors import HarnessError, Unsupported, UsageError
from harness.core.history import Called, Disturbance, History, Outcome
from harness.core.limits import Limit
from harness.core.models import DOCUMENT, KEY_VALUE, LOG, SequentialModel
from harness.core.operations import (
    Append,
    AppendMany,
    Compact,
    Delete,
    Get,
    Load,
    Put,
    PutMany,
    Read,
    Save,
    Sync,
)
from harness.core.persistence import PRESETS, PersistenceModel
from harness.core.verdict import Verdict

if TYPE_CHECKING:
    from harness.history.values import Budget, Checked

__version__ = "0.1.0"


def state_machine(adapter: Any, *, faults: tuple[str, ...] | None = None, seed: int = 0) -> Any:
    """A Hypothesis `RuleBasedStateMachine` over `adapter`, see `harness.testing.state_machine`; needs Hypothesis."""
    made: Any = importlib.import_module("harness.testing")
    return made.state_machine(adapter, faults=faults, seed=seed)


def check_history(history: History, model: SequentialModel, budget: "Budget | None" = None) -> "Checked":
    """Whether one order of the operations explains all answers of concurrent clients (linearizability).

    Without a `budget` it takes at most 30 seconds; where that is spent the verdict is UNKNOWN. Raises `UsageError` for
    an operation that `model` does not know.
    """
    checking = importlib.import_module("harness.history.checking")
    result: Checked = checking.check(history, model, budget)
    return result


__all__ = [
    "DOCUMENT",
    "KEY_VALUE",
    "LOG",
    "PRESETS",
    "Append",
    "AppendMany",
    "Called",
    "Compact",
    "Contract",
    "Delete",
    "Disturbance",
    "Get",
    "HarnessError",
    "History",
    "Limit",
    "Load",
    "Outcome",
    "PersistenceModel",
    "Put",
    "PutMany",
    "Read",
    "Save",
    "SequentialModel",
    "Sync",
    "Unsupported",
    "UsageError",
    "Verdict",
    "__version__",
    "check_history",
    "state_machine",
]
