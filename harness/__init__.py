"""Test and fault injection for software that keeps data in files.

This module is the public face: what adapters and stores' tests import.
"""

from harness.core.contract import Contract
from harness.core.errors import HarnessError, Unsupported, UsageError
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
]
