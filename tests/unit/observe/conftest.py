from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.observe.collector import Collector, collecting


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's trace, nobody's proxy, nobody's exporter."""
    monkeypatch.setenv("NO_PROXY", "*")
    for name in ("TRACEPARENT", "TRACESTATE", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found
