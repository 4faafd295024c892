"""The contract: everything a store promises. Keywords only; `None` means "not promised"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.core.errors import UsageError
from harness.core.persistence import PRESETS, PersistenceModel

CRASH_PROMISES = ("acknowledged", "synced", "prefix")

_CHOICES: dict[str, tuple[str | None, ...]] = {
    "process_crash": (*CRASH_PROMISES, None),
    "power_loss": (*CRASH_PROMISES, None),
    "io_error": ("fails_cleanly", None),
    "corruption": ("detected", "repaired", None),
    "rollback": ("detected", None),
    "writers": ("one", "threads", "processes"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Everything a store promises.

    Raises `UsageError` for a word that is not one of the choices, with the choices in the message.
    """

    process_crash: str | None = "acknowledged"
    power_loss: str | None = "acknowledged"
    power_loss_models: tuple[str | PersistenceModel, ...] = ("strict",)
    io_error: str | None = "fails_cleanly"
    corruption: str | None = "detected"
    rollback: str | None = None
    writers: str = "one"
    errors: tuple[type[BaseException], ...] = (Exception,)

    def __post_init__(self) -> None:
        for keyword, choices in _CHOICES.items():
            _require_choice(keyword, getattr(self, keyword), choices)
        _require_models(self.power_loss_models)
        if self.power_loss is not None and not self.power_loss_models:
            raise UsageError(
                "Contract(power_loss_models=()) names no model: name one, or say power_loss=None."
            )
        _require_errors(self.errors)

    def models(self) -> tuple[PersistenceModel, ...]:
        """The persistence models under which `power_loss` is promised, as objects."""
        return tuple(PRESETS[model] if isinstance(model, str) else model for model in self.power_loss_models)


def _require_choice(keyword: str, value: Any, choices: tuple[str | None, ...]) -> None:
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        listed = ", ".join(repr(choice) for choice in choices)
        raise UsageError(f"Contract({keyword}={value!r}) is not a promise: say one of {listed}.")


def _require_models(models: Any) -> None:
    if isinstance(models, str | PersistenceModel) or not isinstance(models, tuple | list):
        raise UsageError(
            f"Contract(power_loss_models={models!r}) is not a tuple: write power_loss_models=(...,)."
        )
    for model in models:
        if isinstance(model, PersistenceModel):
            continue
        if not isinstance(model, str) or model not in PRESETS:
            listed = ", ".join(PRESETS)
            raise UsageError(
                f"Contract(power_loss_models=...) names {model!r}: say one of {listed}, "
                "or give a PersistenceModel."
            )


def _require_errors(errors: Any) -> None:
    if (
        isinstance(errors, tuple)
        and errors
        and all(isinstance(error, type) and issubclass(error, BaseException) for error in errors)
    ):
        return
    raise UsageError(
        f"Contract(errors={errors!r}) is not a tuple of exception types: write errors=(ValueError, ...)."
    )
