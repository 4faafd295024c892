"""Test and fault injection for software that keeps data in files.

This module is the public face: what adapters and stores' tests import.
"""

import importlib
from typing import Any

from harness.core.contract import Contract
from harness.core.errors import HarnessError, Unsupported, UsageError
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

__version__ = "0.1.0"


def state_machine(adapter: Any, *, faults: tuple[str, ...] | None = None, seed: int = 0) -> Any:
    """A Hypothesis `RuleBasedStateMachine` over `adapter`, see `harness.testing.state_machine`; needs Hypothesis."""
    made: Any = importlib.import_module("harness.testing")
    return made.state_machine(adapter, faults=faults, seed=seed)


__all__ = [
    "DOCUMENT",
    "KEY_VALUE",
    "LOG",
    "PRESETS",
    "Append",
    "AppendMany",
    "Compact",
    "Contract",
    "Delete",
    "Get",
    "HarnessError",
    "Limit",
    "Load",
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
    "state_machine",
]
