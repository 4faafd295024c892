"""A look at an adapter before any fault: does a new store show what can be copied, sent on and compared?

What is wrong here is the user's to mend, and is told in one sentence. Later, on what a crash or damage has left, it is
the store's.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.models import KEY_VALUE, LOG, equals
from harness.core.operations import describe, for_store
from harness.core.plain import NestedTooDeep
from harness.core.trace import Trace
from harness.run.recovering import Board, Step, TolerantModel, copy_of, is_built_in, place_of_error, text_of_error

#: Operations of a trace that are done once more, with a look at the store after each of them.
LOOKS = 8


def cannot(error: BaseException, method: str, what: str) -> UsageError:
    """What to say where a method of the adapter raised, though there was no fault."""
    return UsageError(f"the adapter can't {method} {what}{place_of_error(error)}: {text_of_error(error)}.")


def rehearse(adapter: Any, directory: Path, board: Board, trace: Trace) -> None:
    """Open a new store in `directory`, which is empty, and look at it, also after the first operations of `trace`.

    Raises `UsageError` for what the adapter has to be mended for. What the store does wrong after an operation is no
    part of this: its crash states will show that.
    """
    model = adapter.model if is_built_in(adapter.model) else TolerantModel(adapter.model)
    state = model.initial()
    done = [operation for index, operation in enumerate(trace.operations) if index not in trace.errors]
    with _opened(adapter, directory, board) as (opened, store):
        require_judgeable(adapter.model, _first(opened, store, board), state, "a new store")
        for operation in done[:LOOKS]:
            try:
                with _call(board, Step.OPERATION):
                    opened.apply(store, for_store(operation))
                with _call(board, Step.SNAPSHOT):
                    snapshot = opened.snapshot(store)
            except BaseException:  # nobody knows what there is to see then
                return
            state = model.step(state, operation)[0]
            require_judgeable(adapter.model, snapshot, state, f"a new store after {describe(operation)}")


@contextlib.contextmanager
def _opened(adapter: Any, directory: Path, board: Board) -> Iterator[tuple[Any, Any]]:
    try:
        with _call(board, Step.OPEN):
            opened = adapter()
            store = opened.open(directory)
    except BaseException as error:  # SystemExit too
        raise cannot(error, "open", "a new store") from None
    try:
        yield opened, store
    finally:
        with contextlib.suppress(BaseException), _call(board, Step.CLOSE):
            opened.close(store)


@contextlib.contextmanager
def _call(board: Board, step: Step) -> Iterator[None]:
    board.enter(0, step)
    try:
        yield
    finally:
        board.leave()


def _first(opened: Any, store: Any, board: Board) -> Any:
    try:
        with _call(board, Step.SNAPSHOT):
            return opened.snapshot(store)
    except BaseException as error:
        raise cannot(error, "read", "a new store") from None


def require_judgeable(model: Any, snapshot: Any, state: Any, where: str) -> None:
    """Raise `UsageError` if `snapshot` can't be copied, sent to another process, or compared with a `state` of `model`,
    or has another type than the model says."""
    try:
        shown = copy_of(snapshot)
        pickle.dumps(shown)
    except Exception as error:
        raise cannot(error, "read", where) from None
    if isinstance(shown, NestedTooDeep):
        raise UsageError(f"snapshot returned {shown} for {where}: return a state that is nested less deep.")
    wrong = _wrong_type(model, shown) if is_built_in(model) and not equals(model, shown, state) else ""
    if wrong:
        raise UsageError(f"snapshot returned {wrong} for {where}: {model.name} needs {_wanted(model)}.")
    try:
        model.equal(shown, state)
    except Exception as error:
        what = "can't be compared with the state of the adapter's model"
        told = f"{place_of_error(error)}: {text_of_error(error)}"
        raise UsageError(f"what snapshot returned for {where} {what}{told}.") from None


def _wanted(model: Any) -> str:
    if model is KEY_VALUE:
        return "a dict[str, str]"
    return "a list[str]" if model is LOG else "the document as a dict, or None before the first one"


def _wrong_type(model: Any, shown: Any) -> str:
    """What `shown` is, if that is no snapshot of a built-in model, or none of its parts is; else nothing."""
    wanted: Any = list | tuple if model is LOG else Mapping if model is KEY_VALUE else Mapping | None
    if not isinstance(shown, wanted):
        return "None" if shown is None else f"a {type(shown).__name__}"
    if model is LOG:
        return _no_text("records", shown)
    return _no_text("keys", shown) or _no_text("values", shown.values()) if model is KEY_VALUE else ""


def _no_text(what: str, parts: Iterable[Any]) -> str:
    """Nothing where a part is text: one that is not may be what the store has made of another."""
    kinds = sorted({type(part).__name__ for part in parts})
    return f"{what} of type {', '.join(kinds)}" if kinds and not any(isinstance(p, str) for p in parts) else ""
