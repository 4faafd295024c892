"""The logs of the zoo work as long as nothing fails: each differs from a sound store by one defect only."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import KEY_VALUE, Append, AppendMany, Compact, Delete, Put, Read, Sync
from harness.core.adapter import supported_operations, validate_adapter
from store_under_test.defective import catalogue
from store_under_test.defective.catalogue import Row, load_adapter
from store_under_test.defective.catalogue_logs import ROWS

_CALL_SITE = re.compile(r"\S.*  # <- call site$", re.MULTILINE)
_NASTY = (
    "",
    "\n",
    "line\nbreak\r\n",
    "\\n\\",
    "\\\n\\\\n",
    "NUL\0inside",
    '"quoted" {json: [1]}',
    "\u2028\u85e4\U0001f600",
)
_KEYS = ("", "a", "b", "key\nthree", "/", "\u00e9\0")

every_row = pytest.mark.parametrize("row", ROWS, ids=[row.module for row in ROWS])


def _text(source: random.Random) -> str:
    if source.random() < 0.3:
        return source.choice(_NASTY)
    size = source.choice((1, 5, 20, 60, 497, 512, 2000)) if source.random() < 0.98 else 70_000
    return source.choice("xyz\u00e4") * size + str(source.random())


def _operation(kind: type, source: random.Random) -> Any:
    if kind is Append:
        return Append(_text(source))
    if kind is AppendMany:
        return AppendMany(tuple(_text(source) for _ in range(source.randint(1, 4))))
    if kind is Read:
        return Read(source.randint(0, 9))
    if kind is Put:
        return Put(source.choice(_KEYS), _text(source))
    return Delete(source.choice(_KEYS)) if kind is Delete else kind()


def _operations(adapter: type[Any], seed: str, count: int) -> Iterator[Any]:
    """Mostly changes, with maintenance between them."""
    source = random.Random(seed)
    supported = supported_operations(adapter)
    assert supported is not None
    maintenance = [kind for kind in supported if kind in (Sync, Compact)]
    changes = [kind for kind in supported if kind not in maintenance]
    for _ in range(count):
        chosen = maintenance if maintenance and source.random() < 0.15 else changes
        yield _operation(source.choice(chosen), source)


class _Client:
    """Drives a store and knows what it should hold."""

    def __init__(self, adapter: type[Any], directory: Path) -> None:
        self._adapter, self._directory, self._model = adapter, directory, adapter.model
        self.state = self._model.initial()
        self._driver = adapter()
        self._store = self._driver.open(directory)

    def apply(self, operation: Any) -> None:
        answer = self._driver.apply(self._store, operation)
        self.state, expected = self._model.step(self.state, operation)
        assert answer in (None, expected)

    def check(self) -> None:
        assert self._model.equal(self._driver.snapshot(self._store), self.state)

    def reopen(self) -> None:
        self.close()
        self._driver = self._adapter()
        self._store = self._driver.open(self._directory)

    def close(self) -> None:
        self._driver.close(self._store)


@every_row
def test_without_faults_the_store_behaves_as_its_model_says(row: Row, tmp_path: Path) -> None:
    """Through 300 operations and many reopenings the snapshot is the model's state."""
    adapter = load_adapter(row)
    source = random.Random(f"reopen {row.id}")
    client = _Client(adapter, tmp_path)
    for operation in _operations(adapter, row.id, 300):
        client.apply(operation)
        if source.random() < 0.15:
            client.check()
            client.reopen()
            client.check()
    client.check()
    client.close()


@every_row
def test_an_empty_directory_is_an_empty_store(row: Row, tmp_path: Path) -> None:
    """A new store is empty, and still is when it is opened again without any operation."""
    client = _Client(load_adapter(row), tmp_path)
    client.check()
    client.reopen()
    client.check()
    client.close()


@every_row
def test_maintenance_of_an_empty_store_changes_nothing(row: Row, tmp_path: Path) -> None:
    """Sync and Compact, where declared, leave an empty store empty and usable."""
    adapter = load_adapter(row)
    client = _Client(adapter, tmp_path)
    for kind in supported_operations(adapter) or ():
        if kind in (Sync, Compact):
            client.apply(kind())
            client.check()
            client.reopen()
            client.check()
    client.apply(Put("", "") if adapter.model is KEY_VALUE else Append(""))
    client.reopen()
    client.check()
    client.close()


@every_row
def test_the_row_and_its_module_agree(row: Row) -> None:
    """The adapter is valid, claims what the row says is broken, and promises nothing beyond crashes."""
    adapter = load_adapter(row)
    validate_adapter(adapter, row.module)
    contract = adapter.contract
    assert (contract.io_error, contract.corruption) == (None, None)
    assert contract.writers == ("threads" if row.id in ("L32", "L37") else "one")
    assert row.claims and all(getattr(contract, claim) is not None for claim in row.claims)
    assert row.kinds and row.faults


@every_row
def test_a_defective_module_marks_its_call_sites(row: Row) -> None:
    """At least one line of code is marked as the one that a finding should name."""
    path = Path(catalogue.__file__).with_name(f"{row.module}.py")
    assert _CALL_SITE.search(path.read_text(encoding="utf-8"))


@every_row
def test_an_unknown_operation_is_refused(row: Row, tmp_path: Path) -> None:
    """What is no operation of the store raises, and changes nothing."""
    driver = load_adapter(row)()
    store = driver.open(tmp_path)
    with pytest.raises(TypeError, match="not an operation"):
        driver.apply(store, object())
    assert driver.model.equal(driver.snapshot(store), driver.model.initial())
    driver.close(store)


def test_a_followed_log_hands_out_what_comes_next(tmp_path: Path) -> None:
    """Who follows gets the records from a position on, at once or when there are some; else none in time."""
    log = load_adapter(next(row for row in ROWS if row.id == "L32"))().open(tmp_path)
    log.append("first")

    assert log.follow(0, timeout=10) == log.read(0) == ["first"]
    assert log.follow(1, timeout=0) == []
    log.close()


def test_the_part_holds_each_row_once() -> None:
    """No id and no module is listed twice, and the catalogue has all rows of this part."""
    assert len({row.id for row in ROWS}) == len({row.module for row in ROWS}) == len(ROWS) == 16
    assert set(ROWS) <= set(catalogue.rows())
