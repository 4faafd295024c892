"""Policies from files, decisions on certificates, and `harness decide`."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.core.decision import Decision, Readiness
from harness.core.errors import UsageError
from harness.core.evidence import Certificate, Evidence
from harness.core.limits import LIMITS_CLAIM
from harness.judge.policy import Policy, decide, policy_from_table
from harness.report.console import Line, decision_lines, print_lines
from harness.report.text import count, visible
from harness.run.options import not_part_of
from harness.run.outputs import require_file, write_documents
from harness.run.replaying import read_certificate
from harness.run.scenarios import scenario_names

STATUS = {Readiness.READY: 0, Readiness.NOT_READY: 1, Readiness.UNDECIDED: 3}


def read_policy(path: Path) -> Policy:
    """The policy in a TOML file. Raises `UsageError`, one sentence, if it is none."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}): give a policy in TOML (docs/CI.md).") from None
    except ValueError as error:  # neither UTF-8 nor TOML
        raise UsageError(f"{path} is no policy in TOML ({error}).") from None
    return policy_from_table(table, path.name, {"scenarios": scenario_names()})


def decided(certificate: Certificate, policy: Policy | None) -> Certificate:
    """The certificate with what follows from it now, by the policy, or by its own promises alone."""
    decision = decide(certificate, datetime.datetime.now(datetime.UTC), policy or Policy())
    decision = dataclasses.replace(decision, not_tried=tuple(not_tried(certificate)))
    return dataclasses.replace(certificate, decision=decision)


def not_tried(certificate: Certificate) -> Iterator[str]:
    """What may be wrong with the store and would not have been seen, as far as the certificate knows that."""
    profile = certificate.profile
    left_out = [text.partition(":")[0] for text in certificate.not_exercised if text.endswith(not_part_of(profile))]
    if left_out:
        yield f"left out by the profile {profile}: {', '.join(left_out)}"
    if cut := _not_exhausted(certificate.evidence):
        yield f"not exhausted by the profile {profile}: {cut}"
    sizes = (row.bounds.get("largest_workload_operations", 0) for row in certificate.evidence)
    largest = max((size for size in sizes if isinstance(size, int)), default=0)
    if largest:
        yield f"no workload had more than {count(largest, 'operation')}"


def _not_exhausted(evidence: Iterable[Evidence]) -> str:
    """The scenarios that did not try all there was to try within their bounds, with the models where there are some."""
    models: dict[str, list[str]] = {}
    for row in evidence:
        if not row.exhausted and row.claim != LIMITS_CLAIM:  # a measurement has nothing to exhaust
            models.setdefault(row.scenario, []).append(row.persistence_model)
    named = ((scenario, [model for model in found if model]) for scenario, found in models.items())
    return ", ".join(f"{scenario} ({', '.join(found)})" if found else scenario for scenario, found in named)


def decide_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("certificate", type=Path, metavar="CERTIFICATE", help="a certificate, or a JSON list of them")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="default: every promise is kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the certificate with its decision, or a list")
    parser.set_defaults(command=_decide)


def _decide(arguments: argparse.Namespace) -> int:
    policy = read_policy(arguments.policy) if arguments.policy else None
    certificates = [decided(certificate, policy) for certificate in read_certificate(arguments.certificate)]
    written = None
    if arguments.json is not None:
        require_file(arguments.json)
        written = write_documents([certificate.to_json() for certificate in certificates], arguments.json)
    for certificate in certificates:
        decision = certificate.decision
        assert decision is not None
        print_lines([Line(visible(certificate.store)), *decision_lines(decision)], sys.stdout)
    if written is not None:
        print(f"written: {written}")
    return worst([status_of(certificate) for certificate in certificates])


def status_of(certificate: Certificate) -> int:
    """The exit status that its decision asks for: 0 ready, 1 not ready, 3 undecided."""
    decision: Decision | None = certificate.decision
    return 0 if decision is None else STATUS[decision.readiness]


#: Exit statuses, the worst first.
WORST_FIRST = (4, 2, 1, 3, 0)


def worst(statuses: list[int]) -> int:
    return next(status for status in WORST_FIRST if status in statuses)
