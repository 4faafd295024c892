"""The process that works for one version: imports it, and takes one sample after another when it is asked to.

Requests and answers are JSON, one a line. The harness is that of the parent, loaded from its own folder
whatever else is on the path, so that a version may be a checkout of anything. Garbage is collected between samples
and never in one. A kind of operation is timed in runs of consecutive operations, so the clock is asked twice a run:
about 0.1 µs.
"""

from __future__ import annotations

import gc
import hashlib
import itertools
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn

from harness.core.errors import Unsupported, UsageError
from harness.measure.loads import measured_operations
from harness.record.callsite import HARNESS, in_standard_library
from harness.run import containment
from harness.run.loading import load_adapter
from harness.run.recovering import place_of_error, text_of_error

#: As much as a sample may hold, however fast a store is.
MOST_OPERATIONS = 500
#: A kind of operation is a metric if each of so many samples has one.
_LOOKED_AT = 8
#: However slow a store is, so many operations for each kind: otherwise some samples would lack common ones.
_LEAST_OF_EACH = 6

#: What the interpreter and the harness had imported before any version was: no part of one.
_AT_START = frozenset(sys.modules)

Run = tuple[str, list[Any]]


class Worker:
    """One version of a store, and the stream of operations that it is to do."""

    def __init__(self, adapter: Any) -> None:
        self._kind = adapter
        self._adapter: Any = None
        self._store: Any = None
        self._samples: list[list[Run]] = []
        self._last_error: BaseException | None = None

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request. Raises `UsageError` where the store can't do the work even without any fault."""
        match request["do"]:
            case "calibrate":
                return self._calibrate(request["seed"], request["directory"], request["sample_ns"])
            case "begin":
                return self._begin(request)
            case "sample":
                return self._sample()
            case "files":
                return {"files": loaded_files(), "python": platform.python_version(), "store": self._kind.name}
        raise ValueError(request["do"])

    def _calibrate(self, seed: str, directory: str, sample_ns: int) -> dict[str, Any]:
        """How many operations take `sample_ns` for each kind; all kinds; those that each sample of this size has."""
        Path(directory).mkdir()
        count, spent = 2, 0
        while spent < sample_ns and count < MOST_OPERATIONS:
            count = min(4 * count, MOST_OPERATIONS)
            self._open(f"{directory}/{count}")
            spent = sum(self._take(_runs(measured_operations(self._kind, seed, count)))["spent_ns"].values())
            self._close()
        kinds = {type(operation).__name__ for operation in measured_operations(self._kind, seed, count)}
        least = _LEAST_OF_EACH * len(kinds) if len(kinds) > 1 else 1
        fit = max(least, min(round(len(kinds) * count * sample_ns / max(spent, 1)), MOST_OPERATIONS))
        probe = measured_operations(self._kind, seed, _LOOKED_AT * fit)
        each = [{type(it).__name__ for it in probe[n * fit : (n + 1) * fit]} for n in range(_LOOKED_AT)]
        return {"operations": fit, "kinds": sorted(kinds), "every": sorted(set.intersection(*each))}

    def _begin(self, request: Mapping[str, Any]) -> dict[str, Any]:
        count, samples = request["operations"], request["samples"]
        operations = measured_operations(self._kind, request["seed"], count * samples)
        self._samples = [_runs(operations[n * count : (n + 1) * count]) for n in reversed(range(samples))]
        self._open(request["directory"])
        gc.collect()
        gc.freeze()
        return {}

    def _sample(self) -> dict[str, Any]:
        gc.collect()
        return self._take(self._samples.pop())

    def _take(self, runs: list[Run]) -> dict[str, Any]:
        """Do all of it; fails only if nothing at all was done."""
        spent: dict[str, int] = {}
        done: dict[str, list[int]] = {}
        clock = time.perf_counter_ns
        for kind, operations in runs:
            counts = done.setdefault(kind, [0, 0, 0])
            start = clock()
            self._apply_all(operations, counts)
            spent[kind] = spent.get(kind, 0) + clock() - start
        if self._last_error is not None and not any(taken for taken, _, _ in done.values()):
            raise UsageError(_complaint("every operation", self._last_error))
        return {"spent_ns": spent, "done": done}

    def _apply_all(self, operations: list[Any], counts: list[int]) -> None:
        """Counts what was taken, refused, and failed."""
        apply, store = self._adapter.apply, self._store
        for operation in operations:
            try:
                apply(store, operation)
            except Unsupported as error:
                counts[1] += 1
                self._last_error = error
            except Exception as error:
                counts[2] += 1
                self._last_error = error
            else:
                counts[0] += 1

    def _open(self, directory: str) -> None:
        Path(directory).mkdir()
        try:
            self._adapter = self._kind()
            self._store = self._adapter.open(Path(directory))
        except Exception as error:
            raise UsageError(_complaint("opening the store", error)) from None

    def _close(self) -> None:
        try:
            self._adapter.close(self._store)
        except Exception as error:
            raise UsageError(_complaint("closing the store", error)) from None


def _complaint(what: str, error: BaseException) -> str:
    how = f"raised {text_of_error(error)[:300]}{place_of_error(error)}"
    return f"the adapter can't run: {what} {how} without any fault."


def _runs(operations: list[Any]) -> list[Run]:
    """Consecutive operations of one kind, together."""
    grouped = itertools.groupby(operations, lambda operation: type(operation).__name__)
    return [(kind, list(run)) for kind, run in grouped]


def loaded_files(before: Collection[str] | None = None) -> list[tuple[str, str]]:
    """The source files that the version imported, with the SHA-256 of each; without the standard library, the harness
    and the modules that were there `before`, by default at the start of this process."""
    known = _AT_START if before is None else before
    imported = [module for name, module in list(sys.modules.items()) if name not in known]
    paths = {getattr(module, "__file__", None) for module in imported}
    outside = sorted(path for path in paths if path and not path.startswith(HARNESS) and not in_standard_library(path))
    return [(os.path.realpath(path), _digest(path)) for path in outside]


def _digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:  # removed after it was imported, or inside an archive
        return ""


# --- the process ---------------------------------------------------------------------------


def main(arguments: str) -> NoReturn:
    """Serve requests until there are none. `arguments` is JSON, see `Session`."""
    given = json.loads(arguments)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    containment.contain(0)
    containment.die_with_parent(given["parent"])
    _set_path(given["first"], given["last"])
    gc.disable()
    _serve(given["spec"], requests.readline, lambda line: answers.write(line))
    os._exit(0)


def _set_path(first: list[str] | None, last: list[str]) -> None:
    """A version's folder before everything else; the folders of the adapter's file behind it."""
    if first is not None:
        sys.path[:] = first
    sys.path += [folder for folder in last if folder not in sys.path]


def _serve(spec: str, read: Callable[[], bytes], write: Callable[[bytes], Any]) -> None:
    worker: Worker | None = None
    while line := read():
        try:
            worker = worker or Worker(load_adapter(spec))
            answer = worker.answer(json.loads(line))
        except UsageError as error:
            answer = {"misuse": str(error)}
        write(json.dumps(answer).encode() + b"\n")
