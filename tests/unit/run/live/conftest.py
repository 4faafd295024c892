"""Engines need the patches with those that read; other tests go on with the usual ones, and with the real clocks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.record import install, uninstall
from harness.run.live import timepiece


@pytest.fixture(autouse=True, scope="module")
def patched() -> Iterator[None]:
    uninstall()
    install(reading=True)
    yield
    timepiece.uninstall()
    uninstall()
