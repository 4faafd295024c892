from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.record import install, uninstall


@pytest.fixture(autouse=True)
def patched_process() -> Iterator[None]:
    """These tests run in a process that is patched as a worker for live faults is."""
    install(reading=True)
    yield
    uninstall()
