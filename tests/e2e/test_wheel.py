"""The distribution as a user gets it: built, installed in a clean environment, run from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("harness", "scenarios", "store_under_test")
IMPORT_ALL = """
from importlib.metadata import entry_points, version
from importlib.resources import files
import durability_harness_pytest, harness, scenarios, store_under_test
assert durability_harness_pytest.foreign_harness() is None
assert version("durability-harness") == harness.__version__
assert "durability_harness_pytest" in {point.name for point in entry_points(group="pytest11")}
assert files("harness.report").joinpath("templates").is_dir()
print(harness.__file__)
"""


def run(*command: str | Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder`, with nothing of this process's Python in the environment."""
    foreign = ("PYTHON", "COVERAGE", "COV_", "PYTEST", "VIRTUAL_ENV", "TOX")
    environment = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    words = [str(word) for word in command]
    return subprocess.run(
        words, cwd=folder, env=environment | variables, capture_output=True, text=True, check=False
    )


def must(*command: str | Path, folder: Path) -> str:
    done = run(*command, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    must(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, folder=ROOT)
    [built] = folder.glob("durability_harness-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a new environment that has the wheel, and sees the dependencies of this one."""
    home = tmp_path_factory.mktemp("clean")
    must(sys.executable, "-m", "venv", "--without-pip", home / "venv", folder=home)
    python = home / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    must(*pip, "install", "--no-index", "--no-deps", wheel, folder=home)
    [site] = (home / "venv" / "lib").glob("python*/site-packages")
    (site / "dependencies_of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    """Modules, templates and markers go along; tests, benchmarks and documents stay at home."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    own = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert packed == own | {"durability_harness_pytest.py"}


def test_everything_can_be_imported_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """Packages, templates, entry points and version come from the new environment, not from this tree."""
    found = must(installed / "python", "-W", "error", "-c", IMPORT_ALL, folder=tmp_path).strip()

    assert Path(found).is_relative_to(installed.parent)


def test_the_console_script_lists_the_scenarios(installed: Path, tmp_path: Path) -> None:
    """`harness list` and `python -m harness list` work from any folder, and print the same."""
    script = must(installed / "harness", "list", folder=tmp_path)

    assert script.strip()
    assert must(installed / "python", "-m", "harness", "list", folder=tmp_path) == script


def test_the_console_script_refuses_a_foreign_harness(installed: Path, tmp_path: Path) -> None:
    """A `harness` on PYTHONPATH is named in one line, with exit status 2."""
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").touch()

    done = run(installed / "harness", "list", folder=tmp_path, PYTHONPATH=str(tmp_path))

    assert done.returncode == 2
    assert str(tmp_path / "harness") in done.stderr and len(done.stderr.splitlines()) == 1
