"""The way into the harness from outside: the pytest plugin and the console script.

`harness` is a common name for a folder, and pytest loads this module in every repository of an
environment that has the distribution installed. So this module has a name of its own, imports nothing
but the standard library, and looks before it imports `harness` whether that is the right one. It is
imported with `--certify`, and by the first test that asks for one of the fixtures in `FAULTS`; a fixture
of the same name that a repository has itself takes the place of ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

MARKER = "durability_harness.marker"
FAULTS = ("power_cut", "killed_writer", "full_disk", "failing_io", "damaged", "skewed_clock")
#: What a test that uses a fault may take, in seconds, where nothing else says so: a store may hang over it.
TIMEOUT_S = 120
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
    group.addoption("--certify-otlp", metavar="URL", help="send spans to this OpenTelemetry collector")
    group.addoption("--certify-metrics", metavar="FILE", help="write counts for Prometheus when all is done")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "certify: a scenario of durability-harness, collected by --certify")
    config.addinivalue_line("markers", "faults: a test that uses a fault of durability-harness (set by itself)")
    config.pluginmanager.register(_fixtures(), "durability-harness-faults")
    if not config.getoption("certify"):
        return
    problem = foreign_harness()
    if problem is not None:
        import pytest

        raise pytest.UsageError(problem)
    plugin: Any = importlib.import_module("harness.pytest_plugin")
    config.pluginmanager.register(plugin, "durability-harness-certify")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that use our fixtures, and have pytest-timeout watch those that nothing else limits."""
    limited = not config.pluginmanager.hasplugin("timeout") or _has_timeout(config)
    for item in items:
        if not _uses_faults(item):
            continue
        item.add_marker("faults")
        if not limited and item.get_closest_marker("timeout") is None:
            import pytest

            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


def _has_timeout(config: pytest.Config) -> bool:
    """Whether the repository has set a limit of its own; 0 turns the limit off, and is one too."""
    given = config.getoption("timeout", None), config.getini("timeout")
    return any(value not in (None, "") for value in given)


def _uses_faults(item: pytest.Item) -> bool:
    """Whether a fixture of this test is ours, and not one of the same name."""
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    used = (known.get(name) or () for name in FAULTS)
    return any(found and found[-1].func.__module__ == __name__ for found in used)


def _fixtures() -> ModuleType:
    """What pytest finds our fixtures on, one for each fault."""
    import pytest

    found = ModuleType("durability_harness_faults", "Fixtures that make faults.")
    for name in FAULTS:
        setattr(found, name, pytest.fixture(name=name)(_fixture(name)))
    return found


def _fixture(name: str) -> Callable[..., Any]:
    """The fixture `name`: a function that makes such faults. What never fired is an error at the end of the test."""

    def fixture(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
        kind, never_fired = _testing(name), _testing("NeverFired")
        failed = request.session.testsfailed
        made: list[tuple[Any, bool]] = []

        def make(*arguments: Any, may_not_fire: bool = False, **keywords: Any) -> Any:
            fault = kind(*arguments, may_not_fire=True, **keywords)
            made.append((fault, may_not_fire))
            return fault

        make.__doc__ = kind.__doc__
        yield make
        idle = [str(fault) for fault, may_not_fire in made if not fault.fired and not may_not_fire]
        if idle and request.session.testsfailed == failed:  # a test that failed has its own reason
            raise never_fired(f"the fault never fired: {', '.join(idle)}: reach it, or say may_not_fire=True.")

    fixture.__doc__ = f"Makes faults: see `harness.testing.{name}`."
    return fixture


def _testing(name: str) -> Any:
    problem = foreign_harness()
    if problem is not None:
        import pytest

        raise pytest.UsageError(problem)
    return getattr(importlib.import_module("harness.testing"), name)


def main() -> int:
    """The console script `harness`: `harness.cli.main`, or exit status 2 if another `harness` is found."""
    problem = foreign_harness()
    if problem is not None:
        print(problem, file=sys.stderr)
        return USAGE_STATUS
    status: int = importlib.import_module("harness.cli").main()
    return status
