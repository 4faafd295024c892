"""What an adapter is, and the check that a class is one.

An adapter drives one store. It is a plain class, constructed without arguments; there is
nothing to inherit.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Protocol

from harness.core.contract import Contract
from harness.core.errors import UsageError
from harness.core.limits import declared_limits
from harness.core.models import BUILT_IN_MODELS

METHODS = {"open": 1, "apply": 2, "snapshot": 1, "close": 1}
_MODEL_METHODS = ("initial", "step", "equal", "example_operations")


class Adapter(Protocol):
    """Four methods that drive one store."""

    name: str
    model: Any
    contract: Contract

    def open(self, directory: Path) -> Any:
        """Create or reopen the store in `directory`, which exists."""

    def apply(self, store: Any, operation: Any) -> Any:
        """Run one operation. Returning acknowledges it; raising means it failed, or may have happened."""

    def snapshot(self, store: Any) -> Any:
        """The whole state, as the model sees it."""

    def close(self, store: Any) -> None:
        """Close the store. No durability point."""


def validate_adapter(candidate: Any, label: str) -> None:
    """Raise `UsageError`, in one sentence, if `candidate` (named `label` by the user) is no adapter class."""
    if not inspect.isclass(candidate):
        raise UsageError(f"{label} is not a class: an adapter is a class without constructor arguments.")
    for method, arguments in METHODS.items():
        _require_method(candidate, label, method, arguments)
    name = getattr(candidate, "name", None)
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f'{label} has no name: add a line such as name = "mystore".')
    contract = getattr(candidate, "contract", None)
    if not isinstance(contract, Contract):
        raise UsageError(
            f"{label} has no contract: add contract = Contract(...), from harness import Contract."
        )
    _require_model(candidate, label)
    declared_limits(candidate, label)


def _require_method(candidate: Any, label: str, method: str, arguments: int) -> None:
    function = getattr(candidate, method, None)
    shape = {"open": "open(self, directory)", "apply": "apply(self, store, operation)"}.get(
        method, f"{method}(self, store)"
    )
    if not callable(function):
        raise UsageError(f"{label} lacks the method {method}: an adapter needs def {shape}.")
    if inspect.iscoroutinefunction(function):
        raise UsageError(
            f"{label}.{method} is a coroutine function, and nobody would await it: write def {shape}, and run the "
            "coroutine in there (asyncio.Runner)."
        )
    static = isinstance(inspect.getattr_static(candidate, method), staticmethod | classmethod)
    try:
        inspect.signature(function).bind(*range(arguments if static else arguments + 1))
    except TypeError:
        raise UsageError(
            f"{label}.{method} takes other arguments than an adapter's: write def {shape}."
        ) from None
    except ValueError:  # no signature to look at (a builtin): calling it will tell
        return


def _require_model(candidate: Any, label: str) -> None:
    model = getattr(candidate, "model", None)
    if model is None:
        raise UsageError(
            f"{label} has no model: add model = KEY_VALUE, DOCUMENT or LOG, or an object of your own."
        )
    missing = [name for name in _MODEL_METHODS if not callable(getattr(model, name, None))]
    if missing:
        raise UsageError(
            f"{label}.model lacks {', '.join(missing)}: a model has initial(), step(state, operation), "
            "equal(recovered, state) and example_operations(random, count)."
        )
    supported_operations(candidate, label)


def supported_operations(candidate: Any, label: str = "the adapter") -> tuple[type, ...] | None:
    """The operation types that an adapter takes; `None` where the model is the user's own."""
    model = candidate.model
    declared = getattr(candidate, "operations", None)
    if not any(model is built_in for built_in in BUILT_IN_MODELS):
        return None if declared is None else _types(declared, label)
    if declared is None:
        return tuple(model.mandatory)
    known = (*model.mandatory, *model.optional)
    if not isinstance(declared, tuple | list) or any(kind not in known for kind in declared):
        listed = ", ".join(kind.__name__ for kind in known)
        raise UsageError(
            f"{label}.operations is not a tuple of operations of {model.name}: choose from {listed}."
        )
    return tuple(dict.fromkeys((*model.mandatory, *declared)))


def _types(declared: Any, label: str) -> tuple[type, ...]:
    if isinstance(declared, tuple | list) and declared and all(isinstance(kind, type) for kind in declared):
        return tuple(declared)
    raise UsageError(f"{label}.operations is not a tuple of classes: list the operations that it takes.")
