"""The repository keeps its own rules: sizes, no loose ends, the same commands wherever they stand."""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

import harness
from harness import HarnessError, UsageError

ROOT = Path(__file__).parents[2]
PACKAGES = ("harness", "scenarios", "store_under_test")
MODULE_LINES = 600
FUNCTION_LINES = 70
#: These patterns and their examples are written in pieces, so that they do not find themselves.
LOOSE_ENDS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|NotImplemented" r"Error")
SWITCHED_OFF = re.compile(r"pytest\.(mark\.)?(sk" r"ip|skipif|importorskip|xf" r"ail)\b")
#: The one module that may be left out: Python's package tools cannot bring a browser. `.ci/run` installs one.
NEEDS_A_BROWSER = "test_html_browser.py"
# Takes privileges away, for which it needs a namespace.
NEEDS_A_NAMESPACE = "test_poor_machine.py"
#: Calls that other systems do not have can't be tested there.
ONLY_LINUX = 'sys.platform != "linux"'
#: What belongs to one machine, and the hosts of package registries.
FOREIGN = re.compile(
    r"(?<![\w.])/(work/(main|shared)|tmp/dev|root|opt/(pypi|wheels)|home/(?!runner\b)\w+)\b"
    r"|\bpy" r"pi\.org|python" r"hosted|\.py" r"env"
)
#: The repository's own files; what tools and runs write stands beside them.
PLACES = (*PACKAGES, "tests", "benchmarks", "docs", ".ci", ".github", "reports/baselines")
TEXT = {".py", ".md", ".toml", ".ini", ".yml", ".svg", ".html", ".css", ".json", ".marker", ".j2", ""}


def files() -> Iterator[Path]:
    """Every text file that belongs to the project."""
    found = [path for place in PLACES for path in (ROOT / place).rglob("*")]
    for path in sorted([*ROOT.iterdir(), *found]):
        if path.is_file() and path.name != ".git" and path.suffix in TEXT and "__pycache__" not in path.parts:
            yield path


def modules() -> Iterator[Path]:
    return (path for path in files() if path.suffix == ".py")


def places(pattern: re.Pattern[str], paths: Iterator[Path]) -> list[str]:
    """Where `pattern` occurs, as file:line."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def long_functions(source: str) -> list[str]:
    """The names of functions in `source` that are longer than a page."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES
    ]


def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def console_lines(name: str) -> list[str]:
    """The lines of the console blocks of a document."""
    text = (ROOT / name).read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def sleepers(source: str) -> list[str]:
    """The tests in `source` that sleep (a store or a worker that a test drives may)."""
    tests = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    return [test.name for test in tests if test.name.startswith("test_") and _sleeps(test)]


def _sleeps(function: ast.FunctionDef) -> bool:
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(ast.unparse(call) in ("sleep", "time.sleep", "asyncio.sleep") for call in calls)


def test_a_long_function_is_noticed() -> None:
    """One line above the limit counts, the limit does not."""
    body = "    pass\n"
    assert long_functions("def long():\n" + body * FUNCTION_LINES) == ["long"]
    assert long_functions("def short():\n" + body * (FUNCTION_LINES - 1)) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (LOOSE_ENDS, "# TO" "DO: later"),
        (LOOSE_ENDS, "raise NotImplemented" "Error"),
        (SWITCHED_OFF, "@pytest.mark.sk" "ip"),
        (FOREIGN, "open('/wo" "rk/main/x')"),
        (FOREIGN, "https://py" "pi.org/simple"),
    ],
)
def test_the_patterns_see_what_they_are_for(pattern: re.Pattern[str], line: str) -> None:
    """Each of the searches below finds an example of what it looks for."""
    assert pattern.search(line)


def test_modules_are_short() -> None:
    """No module has 600 lines or more."""
    lengths = {path: len(path.read_text().splitlines()) for path in modules()}
    assert [str(path) for path, length in lengths.items() if length >= MODULE_LINES] == []


def test_functions_are_short() -> None:
    """No function is longer than 70 lines."""
    found = {str(path.relative_to(ROOT)): long_functions(path.read_text()) for path in modules()}
    assert {path: names for path, names in found.items() if names} == {}


def test_no_loose_ends() -> None:
    """Nothing is left for later, and no test is switched off."""
    assert places(LOOSE_ENDS, modules()) == []
    tests = (path for path in modules() if path.is_relative_to(ROOT / "tests"))
    strict = (path for path in tests if path.name not in (NEEDS_A_BROWSER, NEEDS_A_NAMESPACE))
    switched_off = places(SWITCHED_OFF, strict)
    assert [place for place in switched_off if ONLY_LINUX not in place] == []


def test_a_test_that_sleeps_is_noticed() -> None:
    """A sleeping test counts; one that drives a store which sleeps does not."""
    assert sleepers("def test_x():\n    for _ in x:\n        time.sleep(1)") == ["test_x"]
    assert sleepers("def slow(): time.sleep(9)\ndef test_y(): limit(slow)") == []


def test_no_test_waits() -> None:
    """Tests wait for events, never for time to pass."""
    found = {path: sleepers(path.read_text()) for path in modules() if path.is_relative_to(ROOT / "tests")}
    assert {str(path): names for path, names in found.items() if names} == {}


def test_nothing_belongs_to_one_machine() -> None:
    """No file names a folder of somebody's machine, or the host of a package registry."""
    assert places(FOREIGN, files()) == []


def test_packages_are_typed_and_complete() -> None:
    """Every folder of a package has an `__init__.py`, and type checkers are told that it is typed."""
    for package in PACKAGES:
        folders = {path.parent for path in (ROOT / package).rglob("*.py")}
        assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
    for package in ("harness", "store_under_test"):
        assert (ROOT / package / "py.typed").exists()


def test_every_room_has_its_place_among_the_layers() -> None:
    """A room that .importlinter does not name could import whatever it likes."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    placed = set(re.findall(r"harness\.(\w+)", contracts["importlinter:contract:layers"]["layers"]))
    rooms = {path.parent.name for path in (ROOT / "harness").glob("*/__init__.py")}

    assert rooms - placed == set()
    assert {path.stem for path in (ROOT / "harness").glob("*.py")} - placed <= {"__init__", "__main__"}


def test_the_picture_of_the_architecture_draws_the_layers() -> None:
    """Row by row those of .importlinter; and it is XML, without which a browser shows nothing of it."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    layers = contracts["importlinter:contract:layers"]["layers"].strip().splitlines()
    namespace = "{http://www.w3.org/2000/svg}"
    drawn: dict[float, set[str]] = {}
    for text in ElementTree.parse(ROOT / "docs/images/architecture.svg").iter(f"{namespace}text"):
        x, y = float(text.get("x", 0)), float(text.get("y", 0))
        if text.get("class") == "name" and y > 150 and x < 700:  # below the flow, left of what stands outside
            drawn.setdefault(y, set()).add(text.text or "")

    assert [drawn[y] for y in sorted(drawn)] == [set(re.findall(r"(\w+)\)?(?: |$)", layer)) for layer in layers]


def test_ci_runs_the_test_command_of_the_readme() -> None:
    """The machine does what the reader is told to do, letter for letter."""
    commands = [line for line in console_lines("README.md") if line.startswith("python3 -m venv")]

    assert [command.rpartition("/")[2] for command in commands] == ["harness certify", "tox"]
    assert commands[1] in [line.strip() for line in (ROOT / ".ci/run").read_text().splitlines()]
    assert commands[1] in console_lines("CONTRIBUTING.md")


def test_tox_runs_what_contributing_promises() -> None:
    """The default environments are the ones that the guide lists, tests last; the others exist."""
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    default = [name.strip() for name in tox["tox"]["env_list"].split(",")]
    guide = (ROOT / "CONTRIBUTING.md").read_text()

    assert ", ".join(f"`{name}`" for name in default) in guide
    assert default[-1] == "tests"
    for name in ("coverage", "docs", "wheel", "benchmarks"):
        assert f"testenv:{name}" in tox and f"`{name}`" in guide


def test_exit_statuses_of_errors_are_the_documented_ones() -> None:
    """The tree of exceptions and the table in the README agree."""
    rows = dict(re.findall(r"^\| (\d+) \| (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))

    assert rows[str(UsageError.exit_status)] == "usage"
    assert rows[str(HarnessError.exit_status)] == "the"


def test_a_plain_install_brings_three_packages() -> None:
    """Dependencies are a decision (docs/adr/0004-dependencies.md), not an accident."""
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)

    assert sorted(re.split(r"[<>=!~]", name)[0] for name in dependencies) == ["jinja2", "psutil", "rich"]


def test_the_change_log_knows_the_version() -> None:
    """The version is unreleased, or has a section of its own."""
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text or f"## [{harness.__version__}]" in text


def test_the_blocks_that_are_filled_from_real_output_are_there() -> None:
    """The README has one begin and one end for each of them, in this order."""
    text = (ROOT / "README.md").read_text()
    for name in ("example", "zoo"):
        assert text.count(f"<!-- {name}:begin -->") == text.count(f"<!-- {name}:end -->") == 1
        assert text.index(f"<!-- {name}:begin -->") < text.index(f"<!-- {name}:end -->")
