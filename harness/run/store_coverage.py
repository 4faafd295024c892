"""`--coverage`: branch coverage of a store over all its processes, in a small campaign of its own.

Never the large one: under coverage.py (Ned Batchelder) a process takes ten times as long to start, and every line is
slower.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.evidence import Certificate
from harness.run.campaign import Progress
from harness.run.certify import Run
from harness.run.deciding import decided
from harness.run.encoding import file_name
from harness.run.loading import load_adapter, resolved_spec
from harness.run.options import Options


def require_coverage() -> None:
    """Raise `UsageError` if coverage.py is missing: before a run, not after it."""
    try:
        import coverage  # noqa: F401 - only to see whether it is there
    except ImportError:
        raise UsageError("--coverage needs coverage.py: pip install 'durability-harness[coverage]'.") from None


def with_coverage(certificate: Certificate, spec: str, options: Options, progress: Progress) -> Certificate:
    """The certificate with the coverage of the files that its fault coverage lists; coverage.py's pages are written."""
    known = certificate.fault_coverage
    files = tuple(source.file for source in known.sources) if known else ()
    if not files or options.reports is None:
        return certificate
    target = options.reports / f"{file_name(certificate.store)}-coverage"
    measured = measure(resolved_spec(spec), options, progress, files, target)
    return decided(replace(certificate, coverage=measured), options.policy)


def measure(spec: str, options: Options, progress: Progress, files: tuple[str, ...], target: Path) -> dict[str, Any]:
    """Run a quick campaign with coverage of `files`, and write coverage.py's HTML to `target`.

    Returns the percentage, branches included, and the page relative to the directory above `target`.
    """
    with tempfile.TemporaryDirectory(prefix="store-coverage-") as folder:
        small = replace(options, profile="quick", coverage=(folder, *files), reports=None, resume=False)
        with Run(spec, load_adapter(spec), small, progress) as run:
            run.prepare()
        return {"percent": _written(Path(folder), files, target), "html": f"{target.name}/index.html"}


def _written(folder: Path, files: tuple[str, ...], target: Path) -> float:
    import coverage

    combined = folder / "combined"
    measured = coverage.Coverage(data_file=str(combined), branch=True, include=list(files), config_file=False)
    measured.combine([str(path) for path in sorted(folder.glob("data.*"))], keep=True)
    measured.save()
    target.mkdir(parents=True, exist_ok=True)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        percent = measured.report(file=nowhere, ignore_errors=True)
    measured.html_report(directory=str(target), ignore_errors=True)
    return round(percent, 1)
