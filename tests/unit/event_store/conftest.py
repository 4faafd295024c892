"""fsync waits for a medium, and no test here needs one: what is durable is modelled where it matters."""

from __future__ import annotations

import os

import pytest

from store_under_test.event_store import files


@pytest.fixture(autouse=True)
def no_medium(monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync still fails on what is no open descriptor."""
    monkeypatch.setattr(os, "fsync", os.fstat)
    monkeypatch.setattr(files, "_datasync", os.fstat)
