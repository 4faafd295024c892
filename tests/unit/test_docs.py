"""The documents keep what they say: their Python runs, their links lead somewhere, their commands exist."""

from __future__ import annotations

import inspect
import random
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from harness import Contract, Delete, Put, Sync, Unsupported
from harness.core.adapter import supported_operations, validate_adapter

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMANDS = {"certify", "check-history", "compare", "decide", "doctor", "endure", "list", "pace", "replay", "survey"}
WORDS = ("fsync", "rename", "", "é\n\x00", "x" * 9000)


def label(document: Path) -> str:
    return str(document.relative_to(ROOT))


def blocks(document: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(document.read_text()) if kind == language]


def run_blocks(document: Path, folder: Path) -> dict[str, Any]:
    """Run the Python blocks of `document` as one module."""
    module = folder / "document.py"
    module.write_text("\n\n".join(blocks(document, "python")))
    return runpy.run_path(str(module), run_name="document")


def adapters_in(names: dict[str, Any]) -> dict[str, Any]:
    return {name: it for name, it in names.items() if inspect.isclass(it) and hasattr(it, "snapshot")}


def operations_for(adapter: Any) -> list[Any]:
    """A workload that the adapter takes: the model's own examples, or texts that are easy to get wrong."""
    kinds = supported_operations(adapter)
    if kinds is None:
        return list(adapter.model.example_operations(random.Random(0), 40))
    made: list[Any] = []
    for word in WORDS:
        for kind in kinds:
            made.append(Sync() if kind is Sync else Put(word, word * 2) if kind is Put else kind(word))
            made.extend([Put(word, "kept")] if kind is Delete else [])
    return made


DOCUMENTS_WITH_PYTHON = [document for document in DOCUMENTS if blocks(document, "python")]


@pytest.mark.parametrize("document", DOCUMENTS_WITH_PYTHON, ids=label)
def test_the_python_of_a_document_runs(document: Path, tmp_path: Path) -> None:
    """The blocks, put together from top to bottom, are a module that runs and whose adapters are adapters."""
    names = run_blocks(document, tmp_path)

    for name, adapter in adapters_in(names).items():
        validate_adapter(adapter, name)
        assert isinstance(adapter.contract, Contract)


@pytest.mark.parametrize("document", DOCUMENTS_WITH_PYTHON, ids=label)
def test_the_adapters_of_a_document_follow_their_models(document: Path, tmp_path: Path) -> None:
    """Without any fault, a store shows after each operation, and after a reopen, what its model says."""
    for name, kind in adapters_in(run_blocks(document, tmp_path)).items():
        folder = tmp_path / name
        folder.mkdir()
        follow(kind, folder)


def follow(kind: Any, folder: Path) -> None:
    adapter, model = kind(), kind.model
    store, state = adapter.open(folder), model.initial()
    for operation in operations_for(kind):
        try:
            adapter.apply(store, operation)
        except Unsupported:
            continue
        state, _ = model.step(state, operation)
        assert model.equal(adapter.snapshot(store), state)
    adapter.close(store)
    again = adapter.open(folder)
    assert model.equal(adapter.snapshot(again), state)
    adapter.close(again)


def test_the_tutorial_shows_what_it_speaks_of() -> None:
    """A refused key, an optional operation, and both kinds of model of one's own are in the tutorial."""
    text = "\n".join(blocks(ROOT / "docs/WRITING_AN_ADAPTER.md", "python"))

    for word in ("Unsupported", "operations = ", "example_operations", "power_loss_models", "@dataclass"):
        assert word in text


@pytest.mark.parametrize("document", DOCUMENTS, ids=label)
def test_links_lead_somewhere(document: Path) -> None:
    """A relative link names a file of the repository."""
    for target in LINK.findall(document.read_text()):
        if not target.startswith(("https://", "#")):
            assert (document.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=label)
def test_commands_exist(document: Path) -> None:
    """Every `harness ...` that a console block or inline code shows is one of the commands."""
    text = "\n".join([*blocks(document, "console"), *re.findall(r"`([^`\n]+)`", document.read_text())])
    shown = re.findall(r"(?:^|[ /])harness ([a-z-]+)\b", text, re.MULTILINE)

    assert set(shown) - {"import"} <= COMMANDS


def test_every_decision_is_listed() -> None:
    """The index of the decisions has all of them, in order, and their titles."""
    index = (ROOT / "docs/adr/README.md").read_text()
    listed = re.findall(r"^\| \[(\d{4})\]\((\d{4}-[\w-]+\.md)\) \| (.+) \|$", index, re.MULTILINE)
    decisions = sorted((ROOT / "docs/adr").glob("0*.md"))

    assert [file for _, file, _ in listed] == [decision.name for decision in decisions]
    for (number, _, title), decision in zip(listed, decisions, strict=True):
        assert decision.read_text().splitlines()[0] == f"# {number} {title}"


def test_exit_statuses_agree() -> None:
    """README and the CI page give the same meaning to the same numbers."""
    rows = [
        dict(re.findall(r"^\| (\d+) \| (.+) \|$", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("README.md", "docs/CI.md")
    ]

    assert rows[0] == rows[1]
    assert list(rows[0]) == ["0", "1", "2", "3", "4", "130"]
