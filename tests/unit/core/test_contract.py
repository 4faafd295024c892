"""The contract: a wrong word is refused at once, with the right ones in the message."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness import PRESETS, Contract, HarnessError, PersistenceModel, UsageError

CHOICES: dict[str, tuple[str | None, ...]] = {
    "process_crash": ("acknowledged", "synced", "prefix", None),
    "power_loss": ("acknowledged", "synced", "prefix", None),
    "io_error": ("fails_cleanly", None),
    "corruption": ("detected", "repaired", None),
    "rollback": ("detected", None),
    "writers": ("one", "threads", "processes"),
}
OWN = PersistenceModel(name="mine", summary="a medium of my own")


@pytest.mark.parametrize("keyword", CHOICES)
@pytest.mark.parametrize("word", ["", "Acknowledged", "ok", 0, True, False, ["one"], object()])
def test_a_wrong_word_names_the_choices(keyword: str, word: Any) -> None:
    """The message has the keyword and every word that it takes."""
    with pytest.raises(UsageError) as refused:
        Contract(**{keyword: word})
    message = str(refused.value)
    assert f"{keyword}=" in message
    assert all(repr(choice) in message for choice in CHOICES[keyword])
    assert message.endswith(".") and "\n" not in message


@pytest.mark.parametrize(
    ("keyword", "choice"), [(keyword, choice) for keyword in CHOICES for choice in CHOICES[keyword]]
)
def test_every_choice_is_accepted(keyword: str, choice: str | None) -> None:
    """Each word of the contract can be said, and is kept as it was said."""
    assert getattr(Contract(**{keyword: choice}), keyword) == choice  # type: ignore[arg-type]


def test_there_must_be_at_least_one_writer() -> None:
    """`writers` is a number of clients, not a promise that can be withheld."""
    with pytest.raises(UsageError, match="'one', 'threads', 'processes'"):
        Contract(writers=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("models", ["strict", None, {"strict"}, OWN, 3])
def test_persistence_models_are_a_tuple(models: Any) -> None:
    """A forgotten comma would make a tuple of letters."""
    with pytest.raises(UsageError, match=r"power_loss_models=\(\.\.\.,\)"):
        Contract(power_loss_models=models)


@pytest.mark.parametrize("name", ["STRICT", "xfs", "", None, 4, ["strict"]])
def test_an_unknown_persistence_model_names_the_presets(name: Any) -> None:
    """All presets are listed, wherever the unknown one stands."""
    with pytest.raises(UsageError) as refused:
        Contract(power_loss_models=("ext4", name))
    assert repr(name) in str(refused.value)
    assert all(preset in str(refused.value) for preset in PRESETS)


def test_a_promise_about_power_loss_needs_a_model() -> None:
    """Without a model nothing could be tested; where nothing is promised none is needed."""
    with pytest.raises(UsageError, match="power_loss=None"):
        Contract(power_loss_models=())
    assert Contract(power_loss=None, power_loss_models=()).models() == ()


@pytest.mark.parametrize("errors", [(), ValueError, [ValueError], (ValueError, int), ("ValueError",), None])
def test_errors_are_exception_types(errors: Any) -> None:
    """An instance, a name, a bare type or nothing at all is no declaration of errors."""
    with pytest.raises(UsageError, match=r"errors=\(ValueError, \.\.\.\)"):
        Contract(errors=errors)


def test_the_defaults_are_what_most_stores_promise() -> None:
    """A contract without a word promises durability of what was acknowledged, under the strict model."""
    assert dataclasses.asdict(Contract()) == {
        "process_crash": "acknowledged",
        "power_loss": "acknowledged",
        "power_loss_models": ("strict",),
        "io_error": "fails_cleanly",
        "corruption": "detected",
        "rollback": None,
        "writers": "one",
        "errors": (Exception,),
    }


def test_models_are_given_as_objects() -> None:
    """Names of presets and objects of the user's own may be mixed, and keep their order."""
    contract = Contract(power_loss_models=("btrfs", OWN, "ext4"))
    assert contract.models() == (PRESETS["btrfs"], OWN, PRESETS["ext4"])


def test_a_contract_takes_keywords_only_and_cannot_change() -> None:
    """Positions would be guessed wrong, and a promise is not revised while it is tested."""
    with pytest.raises(TypeError):
        Contract("acknowledged")  # type: ignore[call-arg]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Contract().power_loss = None  # type: ignore[misc]


def test_wrong_use_is_told_from_failure_of_the_harness() -> None:
    """Exit status 2 says: your input; 4 says: the harness."""
    assert UsageError.exit_status == 2
    assert HarnessError.exit_status == 4
    assert issubclass(UsageError, HarnessError)
