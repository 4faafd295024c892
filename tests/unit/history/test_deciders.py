"""Every decider against one that tries every order: on all tiny histories, and on larger ones of both verdicts."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.history import History, Outcome
from harness.core.models import KEY_VALUE
from harness.core.verdict import Verdict
from harness.history.checking import check
from harness.history.parts import RegisterPart, parts_of
from harness.history.search import Meter, Search
from harness.history.values import Placed
from tests.unit.history.brute import MODELS, explained, generated, in_time, linearizable, tiny

#: Of so many tiny histories one is tried (strides that no number of choices divides): all of them take minutes.
_STRIDE = {"KEY_VALUE": 5, "DOCUMENT": 1, "LOG": 29, "counter": 11}


def by_search(history: History, name: str) -> bool:
    """What the search alone says."""
    for part in parts_of(history, MODELS[name]):
        search = Search(part.problem())
        search.run(Meter(time.monotonic, float("inf"), 1_000_000, 1_000_000), 1_000_000)
        assert search.legal is not None
        if not search.legal:
            return False
    return True


def without_search(history: History, name: str) -> bool | None:
    """What the other deciders say; `None` where they leave it to the search."""
    parts = parts_of(history, MODELS[name])
    found = [part.decide().legal for part in parts]
    return False if False in found else None if None in found else True


@pytest.mark.parametrize("name", MODELS)
def test_all_deciders_agree_on_tiny_histories(name: str) -> None:
    counts: Counter[tuple[bool, bool | None]] = Counter()
    for number, history in enumerate(tiny(name)):
        if number % _STRIDE[name]:
            continue
        truth, quick = linearizable(history, MODELS[name]), without_search(history, name)
        assert by_search(history, name) is truth, history
        assert quick in (None, truth), history
        counts[truth, quick] += 1
    assert counts[True, None] + counts[True, True] > 100 and counts[False, None] + counts[False, False] > 100
    if name != "counter":
        assert counts[True, True] > counts[True, None] and counts[False, False] > counts[False, None]


@pytest.mark.parametrize("name", MODELS)
def test_verdicts_of_generated_histories(name: str) -> None:
    """Sound histories pass with an order that explains them; of the others the contradiction is one."""
    counts: Counter[Verdict] = Counter()
    for seed in range(300):
        history = generated(seed, name, keys=1 + seed % 2, length=4 + seed % 4, clients=2 + seed % 3)
        counts[agrees(history, name)] += 1
    assert counts[Verdict.PASS] > 100 and counts[Verdict.FAIL] > 10 and not counts[Verdict.UNKNOWN]


@settings(max_examples=60, deadline=None)
@given(st.integers(1_000, 10**9), st.sampled_from(sorted(MODELS)), st.integers(2, 4), st.integers(2, 6))
def test_verdicts_of_any_history(seed: int, name: str, clients: int, length: int) -> None:
    agrees(generated(seed, name, keys=2, clients=clients, length=length), name)


def agrees(history: History, name: str) -> Verdict:
    """The verdict, which is that of the simple decider, with its proof."""
    model = MODELS[name]
    result = check(history, model)
    assert (result.verdict is Verdict.PASS) is linearizable(history, model), history
    if result.verdict is Verdict.PASS:
        proves(result.order, history, name)
    else:
        assert result.contradiction is not None and result.stuck, history
        found = result.contradiction
        if name != "LOG" and not found.snapshot:  # in a log, what is left out moves what remains
            assert not linearizable(History(found.operations), model), found
        assert found.sentence.endswith(".") and found.sentence[0].isupper()
    return result.verdict


def proves(order: tuple[Placed, ...], history: History, name: str) -> None:
    """The order has every answered operation, each within its times, and explains all answers."""
    known = {called.number: called for called in history}
    called = tuple(known[placed.number] for placed in order)
    assert {one.number for one in history if one.outcome is Outcome.OK} <= {one.number for one in called}
    assert [placed.at_ns for placed in order] == sorted(placed.at_ns for placed in order)
    for one, placed in zip(called, order, strict=True):
        assert one.invoked_ns <= placed.at_ns
        assert one.outcome is Outcome.INFO or (one.completed_ns or 0) >= placed.at_ns
    assert in_time(called) and explained(called, history, MODELS[name])


def test_keys_that_are_written_together_are_judged_together() -> None:
    """Of keys that no `PutMany` links each has a part; linked ones share one."""
    history = generated(5, "KEY_VALUE", keys=2, length=12)
    parts = [part for part in parts_of(history, KEY_VALUE) if isinstance(part, RegisterPart)]
    assert sorted(key for part in parts for key in part.registers.keys) == ["k0", "k1"]
