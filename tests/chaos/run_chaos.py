"""The whole chaos suite on one store, again and again with another seed: is anything found, flaky or left behind?

    python -m tests.chaos.run_chaos --runs 200

Each run is a certification in profile quick. Afterwards there must be no process, mount, descriptor or directory more
than before, and every scenario whose claim is made must have struck.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.core.evidence import Certificate
from harness.core.verdict import Verdict
from harness.run.certify import certify_adapter
from harness.run.directories import memory_directory, sweep
from harness.run.options import Options

STORE = "store_under_test.metrics_store.adapter:MetricsStoreAdapter"
OPERATIONS_LEAST = 200


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run could leave behind."""

    processes: int
    descriptors: int
    mounts: int
    directories: int

    @classmethod
    def now(cls) -> Surroundings:
        own = psutil.Process()
        folders = {memory_directory().path, Path(tempfile.gettempdir())}
        return cls(
            len(own.children(recursive=True)),
            own.num_fds(),
            len(Path("/proc/self/mounts").read_text().splitlines()),
            sum(entry.is_dir(follow_symlinks=False) for folder in folders for entry in os.scandir(folder)),
        )


def problems(certificate: Certificate, before: Surroundings, after: Surroundings) -> list[str]:
    """What is wrong with a run of a sound store, in words."""
    found = [f"{claim.claim} is {claim.verdict.value}: {claim.reasons}" for claim in _undecided(certificate)]
    found += [f"a finding: {finding.kind} at {finding.call_site}" for finding in certificate.findings]
    found += [f"{row.scenario} never struck" for row in certificate.evidence if not row.faults_fired]
    if operations(certificate) < OPERATIONS_LEAST:
        found.append(f"only {operations(certificate)} operations")
    if after != before:
        found.append(f"left behind: {before} became {after}")
    return found


def _undecided(certificate: Certificate) -> list[object]:
    return [claim for claim in certificate.claims if claim.verdict is not Verdict.PASS]


def operations(certificate: Certificate) -> int:
    """Operations carried out, at least: the smallest workload of each scenario times their number."""
    return sum(row.workloads * int(row.bounds.get("smallest_workload_operations", 0)) for row in certificate.evidence)


def run(store: str, runs: int, first_seed: int) -> int:
    """Print a line for each run that went wrong, and a summary; the number of runs that did."""
    wrong, seconds, fired = 0, [], Counter[str]()
    sweep()
    certify_adapter(store, Options(profile="quick", seed=first_seed))  # what is loaded once is no leak
    before = Surroundings.now()
    for seed in range(first_seed, first_seed + runs):
        started = time.perf_counter()
        certificate = certify_adapter(store, Options(profile="quick", seed=seed))
        seconds.append(time.perf_counter() - started)
        found = problems(certificate, before, Surroundings.now())
        wrong += bool(found)
        for problem in found:
            print(f"seed {seed}: {problem}", flush=True)
        for row in certificate.evidence:
            fired[row.scenario] += row.faults_fired
    print(f"{runs} runs, {wrong} with a problem; {statistics.median(seconds):.1f} s each (median)")
    for scenario, count in sorted(fired.items()):
        print(f"  {scenario:24} struck {count:,} times")
    return wrong


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", default=STORE)
    given = parser.parse_args(arguments)
    return 1 if run(given.store, given.runs, given.seed) else 0


if __name__ == "__main__":
    sys.exit(main())
