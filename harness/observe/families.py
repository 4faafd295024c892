"""What runs tell Prometheus, as values: families of numbers, each with its labels.

    harness_faults_fired_total{store,scenario}      faults that struck; a crash is one, too
    harness_states_judged_total{store,scenario}     states and trials that were recovered and judged
    harness_scenario_seconds{store,scenario}        how long its evidence took, over all workers
    harness_exit_status                             of the whole command

of `certify` and `endure`:

    harness_findings_total{store,claim,kind}        findings; no row where there is none
    harness_verdict{store,verdict}                  1 for the verdict of the store, 0 for the others
    harness_certified_timestamp_seconds{store}      when its certificate was issued, since 1970

of `survey`:

    harness_promise_kept{store,claim,persistence_model,promise}
                                                    1 for the strongest that was not refuted; "nothing", "unknown"

of `pace`:

    harness_verdict{store,verdict}                  as above
    harness_pace_time_ratio{store,operation,bound}  time of the new version over that of the old: estimate, lower, upper
    harness_pace_pairs{store}                       pairs of samples that decided
    harness_compared_timestamp_seconds{store}       when that was, since 1970

Every number is that of a result, added up over claims and persistence models.
"""

from __future__ import annotations

import datetime
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.core.evidence import Certificate, Evidence
from harness.core.verdict import Verdict
from harness.measure.comparison import Comparison

_SCENARIO = ("store", "scenario")
_Labels = tuple[str, ...]
_Rows = Mapping[_Labels, float]


@dataclass(frozen=True, slots=True)
class Family:
    """Numbers of one name (without "harness_", and "_total" of what only grows), by the values of their labels."""

    name: str
    text: str
    labels: Sequence[str]
    rows: _Rows
    grows: bool = False


def certified(certificates: Sequence[Certificate]) -> Iterator[Family]:
    """Of all certificates of one run."""
    yield from _counted([(item.store, row) for item in certificates for row in item.evidence])
    findings: Counter[_Labels] = Counter(
        (item.store, found.claim, found.kind) for item in certificates for found in item.findings
    )
    yield Family("findings", "Findings", ("store", "claim", "kind"), findings, grows=True)
    yield _verdict((item.store, item.verdict) for item in certificates)
    yield _time("certified", "When it was certified", ((item.store, item.issued_at) for item in certificates))


def surveyed(store: str, kept: Iterable[tuple[str, str, str]], evidence: Iterable[Evidence]) -> Iterator[Family]:
    """Of a survey; `kept` are claim, persistence model (empty where there is none) and promise."""
    yield from _counted([(store, row) for row in evidence])
    labels = ("store", "claim", "persistence_model", "promise")
    yield Family("promise_kept", "1 for the strongest that was not refuted", labels, {(store, *row): 1 for row in kept})


def compared(comparison: Comparison) -> Iterator[Family]:
    """Of two versions."""
    store = comparison.store
    yield _verdict([(store, comparison.verdict)])
    labels, text = ("store", "operation", "bound"), "Time of the new version over that of the old"
    yield Family("pace_time_ratio", text, labels, dict(_ratios(comparison)))
    yield Family("pace_pairs", "Pairs of samples that decided", ("store",), {(store,): comparison.reached.pairs})
    yield _time("compared", "When they were compared", [(store, comparison.issued_at)])


def ended(status: int) -> Family:
    """Of any command."""
    return Family("exit_status", "Of the whole command", (), {(): status})


def _counted(evidence: Iterable[tuple[str, Evidence]]) -> Iterator[Family]:
    """Sums over the evidence, by store and scenario."""
    fired, judged, seconds = Counter[_Labels](), Counter[_Labels](), defaultdict[_Labels, float](float)
    for store, row in evidence:
        of = store, row.scenario
        fired[of] += row.faults_fired
        judged[of] += row.states_judged
        seconds[of] += row.seconds
    yield Family("faults_fired", "Faults that struck", _SCENARIO, fired, grows=True)
    yield Family("states_judged", "States and trials judged", _SCENARIO, judged, grows=True)
    yield Family("scenario_seconds", "Time of all workers", _SCENARIO, seconds)


def _verdict(found: Iterable[tuple[str, Verdict]]) -> Family:
    """Of several results of one store the worst."""
    worst: dict[str, Verdict] = {}
    for store, verdict in found:
        worst[store] = worst.get(store, Verdict.PASS) | verdict
    rows: _Rows = {(store, verdict.value): it is verdict for store, it in worst.items() for verdict in Verdict}
    return Family("verdict", "1 for the verdict", ("store", "verdict"), rows)


def _time(what: str, text: str, issued: Iterable[tuple[str, str]]) -> Family:
    rows: _Rows = {(store,): datetime.datetime.fromisoformat(at).timestamp() for store, at in issued}
    return Family(f"{what}_timestamp_seconds", text, ("store",), rows)


def _ratios(comparison: Comparison) -> Iterator[tuple[_Labels, float]]:
    """Factors; a bound is infinite where there were too few pairs."""
    for metric in comparison.metrics:
        _, versions = metric.steps[-1].intervals(comparison.tests)
        if versions is None:  # the old version differs from itself
            continue
        for bound in ("estimate", "lower", "upper"):
            yield (comparison.store, metric.name, bound), math.exp(getattr(versions, bound))
