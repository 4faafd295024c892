"""The comparison as a whole."""

from __future__ import annotations

from harness.core.comparison import Change, Comparison, Side, in_order
from harness.core.errors import UsageError
from harness.core.evidence import Certificate, certificate_from_json
from harness.judge.comparing.costs import cost_changes
from harness.judge.comparing.coverage import coverage_changes
from harness.judge.comparing.effort import effort_changes
from harness.judge.comparing.findings import finding_changes
from harness.judge.comparing.pair import Pair, Tolerance, run_changes
from harness.judge.comparing.promises import claim_changes, contract_changes, limit_changes

__all__ = ["Tolerance", "compare"]

_AS_PUBLISHED = Tolerance()


def compare(old: Certificate, new: Certificate, tolerance: Tolerance = _AS_PUBLISHED) -> Comparison:
    """What changed from `old` to `new`. Raises `UsageError` if they are about different stores."""
    if old.store != new.store:
        raise UsageError(
            f"the certificates are of different stores, {old.store!r} and {new.store!r}: compare two of the same."
        )
    pair = Pair(_as_read(old), _as_read(new), tolerance)
    findings, about_findings = finding_changes(pair)
    costs, about_costs = cost_changes(pair)
    changes: list[Change] = [
        *run_changes(pair),
        *contract_changes(pair),
        *limit_changes(pair),
        *claim_changes(pair),
        *about_findings,
        *effort_changes(pair),
        *coverage_changes(pair),
        *about_costs,
    ]
    return Comparison(old.store, _side(old), _side(new), in_order(changes), findings, costs, tolerance.words())




def _as_read(certificate: Certificate) -> Certificate:
    """As it is when it comes from a file: a certificate that was just issued may hold tuples where that has lists."""
    return certificate_from_json(certificate.to_json(), certificate.store)


def _side(certificate: Certificate) -> Side:
    environment = certificate.environment
    return Side(
        certificate.verdict,
        certificate.issued_at,
        certificate.profile,
        certificate.seed,
        str(environment.get("harness", "")),
        str(environment.get("python", "")),
        certificate.digest(),
    )
