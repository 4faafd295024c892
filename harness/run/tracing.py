"""The spans of jobs, made by the parent from what it hands to a worker and what it gets back.

A worker opens no socket and imports nothing for this: its I/O calls are recorded, and made to fail. It is told in which
span its job is done, and that is what its store finds in the environment.
"""

from __future__ import annotations

import os
from typing import Any

from harness.observe.spans import Attributes, Span

_OF_JOBS = ("engine", "claim", "promise")
_OF_RESULTS = ("trials", "fired", "recoveries", "operations", "seconds")


def task_span(parent: Span, job: Any) -> Span:
    """The span of a job that is given to a worker now."""
    told = {f"harness.{part}": getattr(job, part) for part in _OF_JOBS if hasattr(job, part)}
    return parent.child(f"task {type(job).__name__.removesuffix('Job').lower()}", {"harness.job": _name(job), **told})


def _name(job: Any) -> str:
    """Its own, that of its workload, or that of its trace."""
    workload = getattr(job, "workload", None)
    return os.path.basename(getattr(job, "name", "") or getattr(workload, "name", "") or getattr(job, "trace_file", ""))


def result_attributes(result: Any) -> Attributes:
    """The counts in what a worker answered, and the seconds that it took by its own clock."""
    found = {part: getattr(result, part, None) for part in _OF_RESULTS}
    return {f"harness.{part}": value for part, value in found.items() if isinstance(value, int | float)}
