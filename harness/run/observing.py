"""`--otlp URL --metrics FILE`: what a run tells to OpenTelemetry and to Prometheus.

Nothing of it changes a result or an exit status. What is wrong with the command line is said before the run; what
goes wrong after it (nobody answers, the disk is full) in one line.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from harness.core.errors import UsageError
from harness.core.evidence import Certificate, Evidence, Finding
from harness.measure.comparison import Comparison, Metric, percent
from harness.observe.families import Family, certified, compared, ended, surveyed
from harness.observe.spans import NO_SPAN, Attributes, Span
from harness.report.text import visible
from harness.run.outputs import require_file

if TYPE_CHECKING:
    from harness.observe.otlp import Tracing
    from harness.run.survey import Strongest, Survey

_PATH = "/v1/traces"


def observe_options(parser: argparse.ArgumentParser) -> None:
    """Add both options."""
    parser.add_argument("--otlp", metavar="URL", help="send spans to this OpenTelemetry collector when all is done")
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="write counts for Prometheus when all is done")


@dataclass(slots=True)
class Observation:
    """Who listens to one command: by default nobody."""

    root: Span = NO_SPAN
    certificates: list[Certificate] = field(default_factory=list)
    #: What is told of it in numbers, where that is not of certificates.
    families: tuple[Family, ...] = ()
    status: int = 0

    @contextlib.contextmanager
    def part(self, name: str, spec: str) -> Iterator[Span]:
        """The span of what is done to one adapter; it fails with the exception that the block raises."""
        span = self.root.child(name, {"harness.adapter": spec})
        try:
            yield span
        except BaseException as error:
            span.end(error=f"{type(error).__name__}: {error}")
            raise
        span.end()

    def issued(self, span: Span, certificate: Certificate) -> None:
        """The certificate that came of it: its evidence and findings become events."""
        self.certificates.append(certificate)
        for name, attributes in _events(certificate):
            span.event(name, attributes)
        span.end(_summary(certificate))

    def surveyed(self, span: Span, survey: Survey) -> None:
        """What a store keeps: what was tried, and each promise with what stands against a stronger one, are events."""
        kept = [(row.claim, row.persistence_model, row.kept) for row in survey.rows]
        self.families = tuple(surveyed(survey.store, kept, survey.evidence))
        for evidence in survey.evidence:
            span.event("scenario", _tried(evidence))
        for row in survey.rows:
            span.event("promise", _promise(row))
        span.end({"harness.store": survey.store, "harness.contract": survey.contract()})

    def compared(self, span: Span, comparison: Comparison) -> None:
        """Two versions: each kind of operation is an event."""
        self.families = tuple(compared(comparison))
        for metric in comparison.metrics:
            span.event("operation", _metric(metric, comparison))
        span.end(_decision(comparison))


@contextlib.contextmanager
def observed(command: str, url: str | None, metrics: Path | None) -> Iterator[Observation]:
    """Listen for the length of a block; its `status` is the exit status of `command`. Raises `UsageError`, before the
    block, as `listening` does."""
    listener = listening(url, metrics)
    version = {"harness.version": harness.__version__}
    observation = Observation(NO_SPAN if listener is None else listener[1].root(command, version))
    try:
        yield observation
        observation.root.end({"harness.exit_status": observation.status})
    except BaseException as error:
        observation.root.end(error=type(error).__name__)
        raise
    finally:
        if listener is not None:
            endpoint, tracing = listener
            _tell(tracing.send(endpoint), f"the spans did not get to {_shown(endpoint)}")
    if metrics is not None:
        write(observation, metrics)


def listening(url: str | None, metrics: Path | None, prefix: str = "--") -> tuple[str, Tracing] | None:
    """Where spans go, and what keeps them until then, if they are asked for. Raises `UsageError` for an address or a
    file that can't be used, and for a missing extra; the names of the options begin with `prefix`."""
    endpoint = None if url is None else _endpoint(url, prefix)
    if metrics is not None:
        _require_metrics(metrics, prefix)
    return None if endpoint is None else (endpoint, _tracing(prefix))


def _tell(reason: str, what: str) -> None:
    if reason:
        print(f"harness: {what} ({visible(reason)}); the result is the same.", file=sys.stderr)


# --- what is asked for -------------------------------------------------------------------------


def _endpoint(url: str, prefix: str) -> str:
    """Where traces go. The address of a collector stands without the path, as in OTEL_EXPORTER_OTLP_ENDPOINT."""
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{prefix}otlp {url!r} is no address of a collector: give one like http://localhost:4318.")
    base = url.rstrip("/")
    return base if base.endswith(_PATH) else base + _PATH


def _shown(endpoint: str) -> str:
    """Without the user and the password that may be in it."""
    parts = urllib.parse.urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _tracing(prefix: str) -> Tracing:
    try:
        from harness.observe.otlp import Tracing
    except ImportError:
        raise _missing(f"{prefix}otlp", "OpenTelemetry") from None
    return Tracing(os.environ, harness.__version__)


def _require_metrics(target: Path, prefix: str) -> None:
    try:
        import harness.observe.metrics  # noqa: F401 - only to see whether its library is there
    except ImportError:
        raise _missing(f"{prefix}metrics", "prometheus-client") from None
    if target.exists() and not target.is_file():  # it is replaced, not written to
        raise UsageError(f"{target} is no file that could be replaced: name another one with {prefix}metrics.")
    require_file(target, f"{prefix}metrics")


def _missing(option: str, what: str) -> UsageError:
    return UsageError(f"{option} needs {what}: pip install 'durability-harness[observe]'.")


def write(observation: Observation, target: Path) -> None:
    """Replace the file of numbers; if that fails, say so."""
    from harness.observe.metrics import write_metrics

    families = observation.families or tuple(certified(observation.certificates))
    try:
        write_metrics((*families, ended(observation.status)), target)
    except OSError as error:
        _tell(str(error.strerror), f"{target} can't be written")


# --- what is told -------------------------------------------------------------------------------


def _summary(certificate: Certificate) -> Attributes:
    return {
        "harness.store": certificate.store,
        "harness.verdict": certificate.verdict.value,
        "harness.digest": certificate.digest(),
        "harness.profile": certificate.profile,
        "harness.seed": certificate.seed,
        "harness.findings": len(certificate.findings),
    }


def _events(certificate: Certificate) -> Iterator[tuple[str, Attributes]]:
    for row in certificate.evidence:
        yield "scenario", {**_tried(row), "harness.verdict": row.verdict.value}
    for finding in certificate.findings:
        yield "finding", _found(finding)


def _tried(row: Evidence) -> Attributes:
    return {
        "harness.scenario": row.scenario,
        "harness.claim": row.claim,
        "harness.persistence_model": row.persistence_model,
        "harness.states_judged": row.states_judged,
        "harness.faults_fired": row.faults_fired,
        "harness.seconds": row.seconds,
    }


def _found(finding: Finding) -> Attributes:
    return {
        "harness.finding": finding.id,
        "harness.claim": finding.claim,
        "harness.kind": finding.kind,
        "harness.scenario": finding.scenario,
        "harness.call_site": str(finding.call_site or ""),
        "harness.confirmed": finding.confirmed,
        "harness.summary": finding.summary,
    }


def _promise(row: Strongest) -> Attributes:
    return {
        "harness.claim": row.claim,
        "harness.persistence_model": row.persistence_model,
        "harness.promise": row.kept,
        "harness.refuted_by": row.refuted_by,
        "harness.unknown": row.unknown,
    }


def _metric(metric: Metric, comparison: Comparison) -> Attributes:
    _, versions = metric.steps[-1].intervals(comparison.tests)
    slower = {} if versions is None else {"harness.slower_percent": percent(versions.estimate)}
    decided = {"harness.decision": metric.decision.value, "harness.reason": metric.reason}
    return {"harness.operation": metric.name, **decided, **slower}


def _decision(comparison: Comparison) -> Attributes:
    return {
        "harness.store": comparison.store,
        "harness.verdict": comparison.verdict.value,
        "harness.decision": comparison.decision.value,
        "harness.pairs": comparison.reached.pairs,
        "harness.seed": comparison.seed,
    }
