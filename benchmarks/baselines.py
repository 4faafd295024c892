"""Certificates of the reference stores, kept in `reports/baselines/` so that later versions can be compared with them.

    python -m benchmarks.baselines
    harness compare reports/baselines/metrics-store.json reports/metrics-store.json

They are of the profile quick. Paths of files below the project are written without it, so that they are the same
wherever it stands. A store that is not certified without a violation is not written, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.core.evidence import Certificate, certificate_from_json
from harness.core.verdict import Verdict
from harness.run.certify import certify_adapter
from harness.run.options import Options

PROJECT = Path(__file__).resolve().parent.parent
BASELINES = PROJECT / "reports" / "baselines"
ADAPTERS = {
    "metrics-store": "store_under_test.metrics_store.adapter:MetricsStoreAdapter",
    "metrics-updates": "store_under_test.metrics_store.adapter:MetricsUpdateAdapter",
    "event-store": "store_under_test.event_store.adapter:EventStoreAdapter",
    "structured-log": "store_under_test.structured_log.adapter:StructuredLogAdapter",
}


def portable(certificate: Certificate, project: Path = PROJECT) -> Certificate:
    """The same certificate with paths that begin at the project."""
    document = _without(certificate.to_json(), f"{project}/")
    return certificate_from_json(document, certificate.store)


def _without(value: Any, prefix: str) -> Any:
    if isinstance(value, str):
        return value.replace(prefix, "")
    if isinstance(value, dict):
        return {key.replace(prefix, ""): _without(item, prefix) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(item, prefix) for item in value]
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Certify the reference stores anew; those that are named, or all."""
    parser = argparse.ArgumentParser(prog="benchmarks.baselines", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ADAPTERS))
    parser.add_argument("--directory", type=Path, default=BASELINES, help="write them there")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in ADAPTERS]:
        parser.error(f"there is no baseline {unknown[0]!r}: say some of {', '.join(ADAPTERS)}")
    given.directory.mkdir(parents=True, exist_ok=True)
    written = [_made(name, given.directory) for name in given.names or ADAPTERS]
    return 0 if all(written) else 1


def _made(name: str, directory: Path) -> bool:
    certificate = portable(certify_adapter(ADAPTERS[name], Options(profile="quick")))
    print(f"{name}: {certificate.verdict.value} in {certificate.seconds:.1f} s", flush=True)
    if certificate.verdict is not Verdict.PASS:
        print(f"{name} is not written: {certificate.verdict.value}", file=sys.stderr)
        return False
    text = json.dumps(certificate.to_json(), ensure_ascii=False, separators=(",", ":"))
    (directory / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return True


if __name__ == "__main__":
    sys.exit(main())
