"""The way into the harness from outside: the pytest plugin and the console script.

`harness` is a common name for a folder, and pytest loads this module in every repository of an
environment that has the distribution installed. So this module has a name of its own, imports nothing
but the standard library, and looks before it imports `harness` whether that is the right one. Without
`--certify` it never imports it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

MARKER = "durability_harness.marker"
PROFILES = ("quick", "standard", "exhaustive")
USAGE_STATUS = 2


def foreign_harness() -> str | None:
    """What is wrong with the `harness` that an import would give, in one sentence; `None` if it is ours."""
    folder = _folder_of_harness()
    if folder is None:
        return "durability-harness: there is no package 'harness': run pip install durability-harness."
    if (folder / MARKER).is_file():
        return None
    return (
        f"durability-harness: 'harness' is {folder}, another package of the same name: keep its parent "
        "folder off sys.path (plain 'pytest', not 'python -m pytest'; PYTHONSAFEPATH=1; another PYTHONPATH)."
    )


def _folder_of_harness() -> Path | None:
    """Where `harness` is, or would be, imported from; looking does not import it."""
    loaded = sys.modules.get("harness")
    spec = getattr(loaded, "__spec__", None) if loaded else importlib.util.find_spec("harness")
    origin = getattr(loaded, "__file__", None) or (spec and spec.origin)
    if origin:
        return Path(origin).parent
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("certify", "durability-harness")
    group.addoption(
        "--certify",
        action="append",
        default=[],
        metavar="ADAPTER",
        help="package.module:Class or path/to/file.py:Class: one test for each scenario (repeatable)",
    )
    group.addoption(
        "--certify-profile",
        choices=PROFILES,
        default="standard",
        help="how much to try (default: standard)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "certify: a scenario of durability-harness, collected by --certify")
    if not config.getoption("certify"):
        return
    problem = foreign_harness()
    if problem is not None:
        import pytest

        raise pytest.UsageError(problem)
    plugin: Any = importlib.import_module("harness.pytest_plugin")
    config.pluginmanager.register(plugin, "durability-harness-certify")


def main() -> int:
    """The console script `harness`: `harness.cli.main`, or exit status 2 if another `harness` is found."""
    problem = foreign_harness()
    if problem is not None:
        print(problem, file=sys.stderr)
        return USAGE_STATUS
    status: int = importlib.import_module("harness.cli").main()
    return status
