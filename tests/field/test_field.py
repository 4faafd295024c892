"""Libraries of others: adapters that quote them, losses that anyone can see, and the document about them."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from harness.core.adapter import validate_adapter
from harness.core.verdict import Verdict
from harness.run.loading import load_adapter
from tests.field.libraries import LIBRARIES, REPRODUCTIONS, Library, reproduce, source
from tests.field.run_field import DOCUMENT, chapter, promise, table_rows
from tests.stores.conduct import certified, small_runs, verdicts


@pytest.fixture(scope="module", autouse=True)
def no_library_stays() -> Iterator[None]:
    """What these libraries load keeps functions that other tests patch in this process: it is forgotten at the end."""
    before = {name.partition(".")[0] for name in sys.modules}
    yield
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in before and "site-packages" in str(getattr(module, "__file__", "")):
            del sys.modules[name]


EVERY_LIBRARY = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
SHOWN = [(library, name) for library in LIBRARIES for name in library.shown]


@EVERY_LIBRARY
def test_an_adapter_is_short_and_quotes_the_library(library: Library) -> None:
    """Under forty lines; the docstring names a version and the words that the contract is taken from."""
    adapter = load_adapter(library.spec)
    validate_adapter(adapter, library.spec)
    text = library.adapter.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    assert re.match(rf"{library.package} \d+\.\d+", promise(library.adapter), re.IGNORECASE)
    assert '"' in promise(library.adapter)
    assert adapter.contract.corruption is None


def test_the_quoted_versions_are_those_of_the_document() -> None:
    """Nobody is judged by the words of another version."""
    for library in LIBRARIES:
        quoted = promise(library.adapter).split()[1].rstrip(",.")
        link = rf"^\| \[{library.package}\]\(#{library.name}\)"
        row = re.search(rf"{link} \| (\S+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
        assert row is not None and row[1] == quoted


@pytest.mark.parametrize(("library", "name"), SHOWN, ids=[name for _, name in SHOWN])
def test_a_loss_is_seen_without_this_project(library: Library, name: str) -> None:
    """Plain Python that imports nothing of ours shows it."""
    assert version(library.package) == promise(library.adapter).split()[1].rstrip(",."), "judged in another version"
    tree = ast.walk(ast.parse(source(name)))
    imported = {name.name.split(".")[0] for node in tree if isinstance(node, ast.Import) for name in node.names}
    assert not imported & {"harness", "tests", "store_under_test"}
    assert library.shown[name] in reproduce(name)


def test_every_reproduction_belongs_to_a_library() -> None:
    assert {path.stem for path in REPRODUCTIONS.glob("*.py")} == {name for _, name in SHOWN}


def test_the_document_has_a_chapter_with_stories_and_programs_for_each() -> None:
    """Made by the command: each reproduction is in it, word for word."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)", text, re.MULTILINE) == [library.name for library in LIBRARIES]
    assert all(source(name) in text for _, name in SHOWN)
    rows = re.findall(r"^\| \[(\w+)\].*\| (kept|\*\*broken\*\*|unknown) \|", text, re.MULTILINE)
    broken = {package for package, verdict in rows if verdict == "**broken**"}
    assert broken == {library.package for library in LIBRARIES if library.shown}


@pytest.mark.parametrize(("name", "verdict"), [("atomicwrites", Verdict.PASS), ("klepto", Verdict.FAIL)])
def test_a_library_is_judged_again_as_in_the_document(
    name: str, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that keeps what it promises, and one that does not."""
    small_runs(monkeypatch)
    library = next(library for library in LIBRARIES if library.name == name)
    certificate = certified(library.spec, "process-crash", "power-loss")
    assert verdicts(certificate)["process_crash"] is verdict
    assert len(list(table_rows(library, certificate))) == len(certificate.claims)
    text = chapter(library, certificate)
    assert ("No promise was broken" in text) == (verdict is Verdict.PASS)
    assert ("### Without this project" in text) == (verdict is Verdict.FAIL)
