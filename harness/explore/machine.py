"""A Hypothesis state machine for any adapter: operations, reopening, and faults, in any combination.

Hypothesis draws the steps and shrinks what fails (MacIver and Donaldson, "Test-Case Reduction via Test-Case
Generation", ECOOP 2020); a `Stage` carries them out on a store and judges. Which faults there are follows from what
the contract promises; which operations, from what the adapter takes.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from hypothesis import Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from harness.core.adapter import supported_operations
from harness.core.errors import UsageError
from harness.core.models import DOCUMENT, KEY_VALUE, LOG
from harness.core.operations import READS, Append, AppendMany, Compact, Delete, Put, PutMany, Save, Sync
from harness.core.program import (
    AFTERMATHS,
    CALL_ERRORS,
    DamageFile,
    FailNextCall,
    FailSync,
    FillDisk,
    FreeDisk,
    KillWriter,
    PowerCut,
    TurnClock,
)
from harness.core.workload import Reopen

#: Calls of one step that may be the one to fail, and numbers to choose crash states and damages by.
_CALLS = 12
_CHOICES = 9_999
_SYNCS = 3
_OPERATIONS_AT_ONCE = 3
#: How far the wall clock is set, seconds: an hour, a minute, a day, a year; from any day of these years to before 1970,
#: and to beyond what 31 and 32 bits hold.
_STEPS_S = (-3_600.0, 3_600.0, -60.0, 86_400.0, -86_400.0, -31_557_600.0, 31_557_600.0, -2e9, 4.2e8, 2.6e9)
_EXAMPLES = 40
_KEYS = ("k1", "k2", "key-three", "", "/", "..", "a/b\0c")
_SIZES = (513, 4097, 8300, 33_000)


class Stage(Protocol):
    """Carries out steps on a store. Each method may raise what says that a promise is broken."""

    def begin(self, *, looking: bool = False) -> None:
        """An empty directory, an open store; with `looking` it is read after every step."""

    def act(self, step: Any) -> None:
        """One step: an operation, `Reopen`, or a fault."""

    def finish(self) -> None:
        """The last look, after a run that went well."""

    def end(self) -> None:
        """Leave nothing behind, whatever happened."""


# --- operations -----------------------------------------------------------------------------------


def operations(adapter: Any) -> st.SearchStrategy[Any]:
    """The operations that an adapter takes, without those that only read."""
    supported = supported_operations(adapter)
    if adapter.model not in (KEY_VALUE, DOCUMENT, LOG):
        return _examples(adapter.model, supported)
    assert supported is not None
    known = {**_ofs()[adapter.model.name], Sync: st.just(Sync()), Compact: st.just(Compact())}
    return st.one_of([known[kind] for kind in supported if kind not in READS])


def _ofs() -> dict[str, dict[type, st.SearchStrategy[Any]]]:
    """Strategies for each operation of each built-in model."""
    keys = st.sampled_from(_KEYS) | st.text(max_size=8)
    items = st.lists(st.tuples(keys, texts()), min_size=1, max_size=3).map(tuple)
    documents = st.dictionaries(st.text(max_size=6), _json(), max_size=4)
    records = st.lists(texts(), min_size=1, max_size=4).map(tuple)
    return {
        KEY_VALUE.name: {
            Put: st.builds(Put, keys, texts()),
            Delete: st.builds(Delete, keys),
            PutMany: st.builds(PutMany, items),
        },
        DOCUMENT.name: {Save: st.builds(Save, documents)},
        LOG.name: {Append: st.builds(Append, texts()), AppendMany: st.builds(AppendMany, records)},
    }


def texts() -> st.SearchStrategy[str]:
    """Any text, mostly short; some of it spans pages."""
    short = st.text(max_size=20)
    return st.one_of(short, short, short, st.builds(_long, st.sampled_from(_SIZES), st.characters(codec="ascii")))


def _long(size: int, character: str) -> str:
    return character * size


def _json() -> st.SearchStrategy[Any]:
    number = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=32)
    return st.recursive(
        st.none() | st.booleans() | number | texts(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=4,
    )


def _examples(model: Any, supported: tuple[type, ...] | None) -> st.SearchStrategy[Any]:
    examples = list(model.example_operations(random.Random("machine"), _EXAMPLES))
    if supported is not None:
        examples = [example for example in examples if isinstance(example, supported)]
    if not examples:
        raise UsageError("the adapter's model gives no example operations that it takes: there is nothing to do.")
    return st.integers(0, len(examples) - 1).map(examples.__getitem__)


# --- the machine ----------------------------------------------------------------------------------


def machine_class(
    adapter: Any, faults: tuple[str, ...], make_stage: Callable[[], Stage]
) -> type[RuleBasedStateMachine]:
    """A state machine over `adapter` with these faults; each run gets its stage from `make_stage`."""

    def __init__(self: Any) -> None:
        RuleBasedStateMachine.__init__(self)
        self.full = False
        self.stage = make_stage()

    body: dict[str, Any] = {"__init__": __init__, "__doc__": f"Operations and faults on {adapter.name}."}
    body |= {"teardown": _teardown, "start": initialize(looking=st.booleans())(_start)}
    some = st.lists(operations(adapter), max_size=_OPERATIONS_AT_ONCE)
    batch = st.lists(operations(adapter), min_size=1, max_size=_OPERATIONS_AT_ONCE)
    body |= {"operate": rule(batch=batch)(_operate), "reopen": rule()(_reopen)}
    for name in faults:
        body |= _rules_of(name, adapter, some, batch)
    return cast(type[RuleBasedStateMachine], type(f"{adapter.__name__}Machine", (RuleBasedStateMachine,), body))


def _rules_of(fault: str, adapter: Any, some: st.SearchStrategy[Any], batch: st.SearchStrategy[Any]) -> dict[str, Any]:
    """The rules by which a fault happens. Operations go with each, because a fault alone has nothing to break."""
    choices = st.integers(0, _CHOICES)
    match fault:
        case "power_cut":
            models = st.sampled_from([model.name for model in adapter.contract.models()])
            return {"power_cut": rule(batch=some, model=models, choice=choices)(_power_cut)}
        case "kill":
            return {"kill": rule(batch=some, choice=choices)(_kill)}
        case "failing_call":
            errors, numbers = st.sampled_from(CALL_ERRORS), st.integers(1, _CALLS)
            return {"failing_call": rule(error=errors, nth=numbers, batch=batch)(_failing_call)}
        case "damage":
            return {"damage": rule(batch=some, choice=choices)(_damage)}
        case "failed_sync":
            models = st.sampled_from([model.name for model in adapter.contract.models()])
            ways, numbers = st.sampled_from(AFTERMATHS), st.integers(1, _SYNCS)
            failing = rule(aftermath=ways, nth=numbers, batch=batch, more=some, model=models, choice=choices)
            return {"failed_sync": failing(_failed_sync)}
        case "clock":
            turns = st.sampled_from(_STEPS_S).map(lambda seconds: TurnClock("set", seconds))
            turns |= st.sampled_from((TurnClock("stop"), TurnClock("right")))
            seasons = st.sampled_from(("summer ends", "summer begins"))
            return {
                "turn_clock": rule(turn=turns, batch=some)(_turn_clock),
                "pass_change": rule(season=seasons, batch=batch, more=some)(_pass_change),
            }
    return {
        "fill_disk": rule(batch=batch)(precondition(_has_room)(_fill_disk)),
        "free_disk": rule()(precondition(_is_full)(_free_disk)),
    }


def _teardown(self: Any) -> None:
    try:
        if sys.exc_info()[0] is None:
            self.stage.finish()
    finally:
        self.stage.end()


def _start(self: Any, looking: bool) -> None:
    self.stage.begin(looking=looking)


def _operate(self: Any, batch: list[Any]) -> None:
    for operation in batch:
        self.stage.act(operation)


def _reopen(self: Any) -> None:
    self.stage.act(Reopen())


def _power_cut(self: Any, batch: list[Any], model: str, choice: int) -> None:
    _operate(self, batch)
    self.full = False
    self.stage.act(PowerCut(model, choice))


def _kill(self: Any, batch: list[Any], choice: int) -> None:
    _operate(self, batch)
    self.full = False
    self.stage.act(KillWriter(choice))


def _failing_call(self: Any, error: str, nth: int, batch: list[Any]) -> None:
    self.stage.act(FailNextCall(error, nth))
    _operate(self, batch)


def _fill_disk(self: Any, batch: list[Any]) -> None:
    self.full = True
    self.stage.act(FillDisk())
    _operate(self, batch)


def _free_disk(self: Any) -> None:
    self.full = False
    self.stage.act(FreeDisk())


def _damage(self: Any, batch: list[Any], choice: int) -> None:
    _operate(self, batch)
    self.stage.act(DamageFile(choice))


def _failed_sync(
    self: Any, aftermath: str, nth: int, batch: list[Any], more: list[Any], model: str, choice: int
) -> None:
    self.stage.act(FailSync(nth, aftermath))
    _operate(self, batch)
    _power_cut(self, more, model, choice)


def _turn_clock(self: Any, turn: TurnClock, batch: list[Any]) -> None:
    self.stage.act(turn)
    _operate(self, batch)


def _pass_change(self: Any, season: str, batch: list[Any], more: list[Any]) -> None:
    """Something is done right before the change, and right after it."""
    _turn_clock(self, TurnClock(season), batch)
    _turn_clock(self, TurnClock(season), more)


def _has_room(self: Any) -> bool:
    return not self.full


def _is_full(self: Any) -> bool:
    return bool(self.full)


def run_machine(
    machine: type[RuleBasedStateMachine], *, number: int, examples: int, steps: int, home: Path
) -> None:
    """Run a machine with the seed `number`. Raises what its stage raises, shrunk; Hypothesis writes to `home` only.

    Nothing is kept between runs and no health check is silenced; only the deadline of single examples is off, because
    a store that starts a process takes what it takes, and calls into it have a limit of their own.
    """
    set_hypothesis_home_dir(home)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.target, Phase.shrink),
    )
    with _no_foreign_constants():
        run_state_machine_as_test(seed(number)(machine), settings=chosen)


@contextlib.contextmanager
def _no_foreign_constants() -> Iterator[None]:
    """Hypothesis also draws constants that it finds in the modules that happen to be loaded, in its newer versions.

    Which those are differs from worker to worker, and the same seed has to give the same programs.
    """
    providers: Any = importlib.import_module("hypothesis.internal.conjecture.providers")
    original = getattr(providers, "_get_local_constants", None)
    if original is None:
        yield
        return
    nothing = providers.Constants()
    providers._get_local_constants = lambda: nothing
    providers.CONSTANTS_CACHE.cache.clear()
    try:
        yield
    finally:
        providers._get_local_constants = original
        providers.CONSTANTS_CACHE.cache.clear()
