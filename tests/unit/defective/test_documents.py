"""The document and key-value stores of the zoo: each behaves well as long as nothing goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Contract
from harness.core.adapter import validate_adapter
from store_under_test.defective import catalogue
from store_under_test.defective.catalogue import Row
from store_under_test.defective.catalogue_documents import ROWS
from tests.unit.defective.conduct import adapter_of, conduct, first_operation, marked_lines

EVERY_ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)


@EVERY_ROW
def test_behaves_as_its_model_says_without_faults(row: Row, tmp_path: Path) -> None:
    """Hundreds of operations with reopenings between them give the model's answers and states."""
    assert conduct(adapter_of(row), tmp_path, count=220, seed=1) > 150


@EVERY_ROW
def test_keeps_one_operation_over_two_reopenings(row: Row, tmp_path: Path) -> None:
    """An empty directory opens, and what is done first is read again after each reopening."""
    adapter = adapter_of(row)
    operation = first_operation(adapter)
    expected, _ = adapter.model.step(adapter.model.initial(), operation)
    for reopening in range(3):
        store = adapter().open(tmp_path)
        if reopening == 0:
            adapter().apply(store, operation)
        assert adapter.model.equal(adapter().snapshot(store), expected)
        adapter().close(store)


@EVERY_ROW
def test_declares_an_adapter_that_claims_what_the_defect_breaks(row: Row) -> None:
    """The claims that are expected to be broken are claimed; other kinds of claim are not made."""
    adapter = adapter_of(row)
    validate_adapter(adapter, row.module)
    contract: Contract = adapter.contract
    assert (contract.io_error, contract.corruption, contract.writers) == (None, None, "one")
    assert row.claims and row.kinds
    assert all(getattr(contract, claim) is not None for claim in row.claims)


@EVERY_ROW
def test_marks_the_lines_that_a_finding_may_name(row: Row) -> None:
    """Each defect can be pinned to a line of source."""
    assert marked_lines(row)


def test_catalogue_lists_this_part() -> None:
    """The catalogue holds every row of this part once."""
    assert set(ROWS) <= set(catalogue.rows())
    every = catalogue.rows()
    assert len({row.id for row in every}) == len({row.module for row in every}) == len(every)


def test_catalogue_loads_the_adapter_of_a_row() -> None:
    """A row leads to the one adapter class of its module."""
    assert catalogue.load_adapter(ROWS[0]) is adapter_of(ROWS[0])
