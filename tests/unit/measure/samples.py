"""Times that were never taken: for tests of what is decided about them."""

from __future__ import annotations

from collections.abc import Iterable

from harness.measure.closed_loop import Times

MS = 1_000_000


def times(
    service_ms: Iterable[float], waited_ms: Iterable[float] | None = None, processor_ms: Iterable[float] | None = None
) -> Times:
    """Calls with these times; without more, nothing was waited for and no processor used."""
    service = list(service_ms)
    made = Times(len(service))
    waited = [0.0] * len(service) if waited_ms is None else list(waited_ms)
    used = [0.0] * len(service) if processor_ms is None else list(processor_ms)
    for row in zip(service, waited, used, strict=True):
        made.add(*(round(value * MS) for value in row))
    return made
