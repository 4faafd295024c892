"""`harness check-history`: judge a history that was written earlier, by this harness or by anything else.

Exit status: 0 linearizable; 1 not; 2 bad input: no history, or of another model; 3 the budget did not suffice, or the
file is cut and a contradiction may come from what is missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.models import BUILT_IN_MODELS
from harness.core.verdict import Verdict
from harness.history.checking import check
from harness.history.files import Recorded, read_history
from harness.history.values import Budget, Checked
from harness.report.console import print_lines
from harness.report.histories import history_lines, render_history
from harness.run.loading import load_model
from harness.run.outputs import require_file, write_page

_STATUS = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}
_NAMED = {model.name: model for model in BUILT_IN_MODELS}
_EXAMPLES = 40


def check_history_parser(parser: argparse.ArgumentParser) -> None:
    default = Budget()
    parser.add_argument("file", type=Path, metavar="FILE", help="a history, as docs/HISTORIES.md describes it")
    parser.add_argument(
        "--model", metavar="MODEL", help=f"{', '.join(_NAMED)} or path/to/file.py:object; default: what the file says"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="a page with all clients over time")
    parser.add_argument("--steps", type=int, default=default.steps, metavar="N", help=f"default: {default.steps}")
    parser.add_argument(
        "--seconds", type=float, default=default.seconds, metavar="S", help=f"default: {default.seconds:g}"
    )
    parser.set_defaults(command=_check_history)


def _check_history(arguments: argparse.Namespace) -> int:
    budget = dataclasses.replace(Budget(), steps=arguments.steps, seconds=arguments.seconds)
    if arguments.html is not None:
        require_file(arguments.html)
    recorded, name, model = _read(arguments.file, arguments.model)
    checked = _judged(recorded, model, budget)
    print_lines(history_lines(recorded.history, checked, str(arguments.file), name), sys.stdout)
    if arguments.html is not None:
        page = render_history(recorded.history, checked, str(arguments.file), name)
        print(f"written: {write_page(page, arguments.html)}")
    return _STATUS[checked.verdict]


def _read(path: Path, given: str | None) -> tuple[Recorded, str, Any]:
    """The history, and the model that is asked for, or else the one that the file names."""
    if given is not None and given not in _NAMED:
        model = load_model(given)
        return read_history(path, dict(_operation_types(model))), given, model
    recorded = read_history(path)
    name = given or recorded.model
    if name not in _NAMED:
        raise UsageError(f"{path} is a history of {name!r}: say --model path/to/file.py:object.")
    return recorded, name, _NAMED[name]


def _operation_types(model: Any) -> Iterator[tuple[str, type]]:
    """The dataclasses of the module that the model is from, and of its examples."""
    module = sys.modules.get(type(model).__module__)
    examples = getattr(model, "example_operations", None)
    found = list(vars(module).values()) if module is not None else []
    found += [] if examples is None else [type(operation) for operation in examples(random.Random(0), _EXAMPLES)]
    return ((kind.__name__, kind) for kind in found if isinstance(kind, type) and dataclasses.is_dataclass(kind))


def _judged(recorded: Recorded, model: Any, budget: Budget) -> Checked:
    checked = check(recorded.history, model, budget)
    if not recorded.cut or checked.verdict is not Verdict.FAIL:
        return checked
    return dataclasses.replace(
        checked,
        verdict=Verdict.UNKNOWN,
        reason="the last line of the file is cut, and the contradiction may come from what is missing",
        hint="judge the file from before it was cut, or write operations when they are called as well",
    )
