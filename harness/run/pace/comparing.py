"""A whole comparison: rehearsal, stages, and what they say."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from harness.core.errors import UsageError
from harness.measure.comparison import Comparison, Metric, Side
from harness.measure.stages import Course, run_stages
from harness.observe.spans import NO_SPAN, Span, Steps
from harness.run.campaign import Progress, Stepped
from harness.run.directories import run_directory
from harness.run.environment import environment, file_system_of
from harness.run.loading import resolved_spec
from harness.run.outputs import require_writable
from harness.run.pace.pairing import Loaded, Pairing
from harness.run.pace.session import version
from harness.run.pace.values import PaceOptions


def pace(
    old: str, new: str, spec: str, options: PaceOptions, progress: Progress, span: Span = NO_SPAN
) -> Comparison:
    """Compare two versions of the store that `spec` drives; the stages are parts of `span`. Raises `UsageError` if
    there is nothing to compare."""
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise UsageError(f"{spec!r} does not name an adapter: write package.module:Class or path/to/file.py:Class.")
    versions = version(old), version(new)
    require_writable(options.directory)
    start = time.monotonic()
    with run_directory(options.directory) as run, Steps(span) as steps:
        directory = run / "stores"
        directory.mkdir()
        pairing = Pairing(resolved_spec(spec), *versions, directory, options, progress=Stepped(progress, steps))
        steps.begin("rehearsal")
        loaded = pairing.rehearse()
        course = run_stages(pairing.draw, pairing.work.metrics, options.stages)
        kind = file_system_of(directory.resolve())
    sides = [
        Side(each.given, one.python, len(one.own(other)))
        for each, one, other in zip(versions, loaded, reversed(loaded), strict=True)
    ]
    return Comparison(
        store=loaded[1].store,
        adapter=spec,
        old=sides[0],
        new=sides[1],
        seed=options.seed,
        issued_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=time.monotonic() - start,
        operations=pairing.work.operations,
        metrics=_metrics(pairing, course),
        not_tested=pairing.work.rare,
        notes=_notes(*loaded),
        environment={**environment(), "file_system": kind},
        stages=options.stages,
    )


def _metrics(pairing: Pairing, course: Course) -> tuple[Metric, ...]:
    return tuple(
        Metric(
            name,
            steps,
            tuple(pair.first.per_operation_ns(name) for pair in pairing.pairs if name in pair.first.spent_ns),
            tuple(pair.second.per_operation_ns(name) for pair in pairing.pairs if name in pair.second.spent_ns),
            reason="one version refused or failed operations that the other one took"
            if name in pairing.unequal
            else "",
        )
        for name, steps in course.steps.items()
    )


def _notes(old: Loaded, new: Loaded) -> tuple[str, ...]:
    if old.contents(new) == new.contents(old):
        return ("Both versions have the same source: what differs is chance, or their surroundings.",)
    return ()
