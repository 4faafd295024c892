"""Figures in a document: what stands between two markers belongs to a benchmark, the rest to its writer."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import harness
from benchmarks.table import Table, as_markdown

DOCUMENT = Path(__file__).parents[1] / "docs" / "PERFORMANCE.md"


def markers(name: str) -> tuple[str, str]:
    """The lines before and after what belongs to the benchmark `name`."""
    return f"<!-- benchmark {name} -->", f"<!-- end of {name} -->"


def with_figures(text: str, figures: Mapping[str, Iterable[Table]], measured: str) -> str:
    """`text` with the tables of each benchmark in its place, and a line saying how they were `measured`.

    Raises `ValueError` for a benchmark without a place.
    """
    for name, tables in figures.items():
        first, last = markers(name)
        before, found, rest = text.partition(first)
        _, ended, after = rest.partition(last)
        if not found or not ended:
            raise ValueError(f"there is no place for {name}: put the lines {first} and {last} there.")
        body = "\n\n".join([*map(as_markdown, tables), f"*{measured}*"])
        text = f"{before}{first}\n\n{body}\n\n{last}{after}"
    return text


def circumstances() -> str:
    """When and on what this was measured."""
    day = datetime.now(UTC).date().isoformat()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f"{os.getloadavg()[0]:.1f}"
    return f"{day}: version {harness.__version__}, {python}, {platform.machine()}, {cores} cores, load {load}"
