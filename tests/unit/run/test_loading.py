"""Adapters by name, from modules and files, and what is said where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import UsageError
from harness.run.loading import load_adapter, resolved_spec

SOUND = """
from harness import KEY_VALUE, Contract
from {helper} import NAME

class Store:
    name = NAME
    model = KEY_VALUE
    contract = Contract()
    def open(self, directory): ...
    def apply(self, store, operation): ...
    def snapshot(self, store): ...
    def close(self, store): ...

class Other(Store):
    def __init__(self, path, *, mode="r"): ...
"""


@pytest.fixture(autouse=True)
def clean_imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a test imports from its folder is forgotten after it."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def written(folder: Path, name: str = "store", text: str = SOUND) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}_names.py").write_text(f"NAME = {name!r}\n")
    (folder / f"{name}.py").write_text(text.replace("{helper}", f"{name}_names"))
    return folder / f"{name}.py"


def refused(spec: str) -> str:
    with pytest.raises(UsageError) as raised:
        load_adapter(spec)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_names_no_adapter_is_refused(tmp_path: Path) -> None:
    """The sentence says how adapters are named, or which ones there are."""
    file = written(tmp_path)

    assert "write package.module:Class or path/to/file.py:Class" in refused("store")
    assert refused(f"{file}:Stone") == f"{file} has no class Stone: it has Other, Store."
    assert "there is no file" in refused(f"{tmp_path}/absent.py:Store")
    assert "can't be imported: ModuleNotFoundError" in refused("absent.module:Store")
    assert "can't be constructed without arguments" in refused(f"{file}:Other")


def test_a_file_is_loaded_with_its_folder_on_the_path(tmp_path: Path) -> None:
    """As `python file.py` would: modules beside it are found."""
    assert load_adapter(f"{written(tmp_path)}:Store").name == "store"
    assert sys.path[0] == str(tmp_path)


def test_a_file_of_a_package_is_loaded_as_its_module(tmp_path: Path) -> None:
    """So that relative imports work."""
    folder = tmp_path / "shop" / "stores"
    file = written(folder, text=SOUND.replace("from {helper}", "from .{helper}"))
    for place in (folder, folder.parent):
        (place / "__init__.py").write_text("")

    adapter = load_adapter(f"{file}:Store")

    assert adapter.__module__ == "shop.stores.store"
    assert load_adapter("shop.stores.store:Store") is adapter


def test_a_file_in_a_package_that_cannot_be_found_is_still_loaded(tmp_path: Path) -> None:
    """A folder with another package of that name in front of it."""
    folder = tmp_path / "json"
    file = written(folder)
    (folder / "__init__.py").write_text("")

    assert load_adapter(f"{file}:Store").name == "store"


def test_modules_of_the_working_directory_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The console script has another folder at the head of its path."""
    written(tmp_path, "here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])

    assert load_adapter("here:Store").name == "here"


def test_a_folder_with_a_harness_of_its_own_comes_last(tmp_path: Path) -> None:
    """Otherwise workers would import that one."""
    (tmp_path / "harness").mkdir()

    load_adapter(f"{written(tmp_path)}:Store")

    assert sys.path[-1] == str(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\nraise ValueError('two\\nlines')", " (line 2 of "),
        ("import sys; sys.exit()", "it called sys.exit(None)"),
        ("class Skipped(BaseException): ...\nraise Skipped('x')", " (line 2 of "),
        ("class Store: def", "SyntaxError"),
        ("from harness import UsageError; raise UsageError('as it is')", "as it is"),
    ],
)
def test_a_module_that_raises_is_the_users_to_mend(text: str, told: str, tmp_path: Path) -> None:
    """Whatever it raises: one sentence."""
    assert told in refused(f"{written(tmp_path, text=text)}:Store")


def test_an_interruption_is_no_error_of_the_module(tmp_path: Path) -> None:
    """Ctrl-C during an import ends the run."""
    with pytest.raises(KeyboardInterrupt):
        load_adapter(f"{written(tmp_path, text='raise KeyboardInterrupt')}:Store")


def test_what_is_no_python_is_refused(tmp_path: Path) -> None:
    """A path without the ending can't be loaded."""
    (tmp_path / "store.txt").write_text("")
    assert "can't be loaded as Python" in refused(f"{tmp_path}/store.txt:Store")


def test_a_class_without_a_signature_is_taken_at_its_word(tmp_path: Path) -> None:
    """Constructing it will tell."""
    text = SOUND.replace("class Store:", "class Store(type('B', (), {'__signature__': 3})):")
    file = written(tmp_path, text=text.replace("class Other(Store):", "class Other:"))
    with pytest.raises((TypeError, UsageError)):
        load_adapter(f"{file}:Missing")


def test_specs_mean_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths become absolute; modules stay."""
    monkeypatch.chdir(tmp_path)
    assert resolved_spec("store.py:Store") == f"{tmp_path}/store.py:Store"
    assert resolved_spec("store:Store") == "store:Store"
    assert resolved_spec("nothing") == "nothing"
