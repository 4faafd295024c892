"""Where the results of `harness certify` go: JSON, HTML and JUnit in the report directory, annotations in CI."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.core.comparison import Comparison
from harness.core.errors import UsageError
from harness.core.evidence import Certificate
from harness.measure.comparison import Comparison as PaceComparison
from harness.report import github
from harness.report.comparison import render_comparison
from harness.report.html import render_html
from harness.report.junit import render_comparison_junit, render_junit
from harness.report.pace import render_pace
from harness.run.encoding import file_name


def require_writable(directory: Path) -> None:
    """Make the report directory. Raises `UsageError` if nothing can be written there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return
    except OSError as error:
        raise UsageError(
            f"{directory} can't be written to ({error.strerror}): name another directory with --reports."
        ) from None


def require_file(target: Path, option: str = "--json") -> None:
    """Raise `UsageError` if `target`, given with `option`, can't be written: before a run, not after it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        missing = not target.exists()
        if missing or target.is_file() or target.is_dir():  # a pipe would wait for its reader
            with open(target, "a", encoding="utf-8"):
                pass
        if missing:
            target.unlink()
    except OSError as error:
        raise UsageError(f"{target} can't be written ({error.strerror}): name another file with {option}.") from None


def write_reports(certificates: Sequence[Certificate], directory: Path) -> list[Path]:
    """Write certificate and page of each store, and one JUnit file; the paths written."""
    written = []
    for name, certificate in zip(file_names(certificates), certificates, strict=True):
        written += _write_both(certificate, directory / name)
    written.append(_write(directory / "junit.xml", render_junit(certificates)))
    return written


def write_certificate(certificate: Certificate, directory: Path) -> list[Path]:
    """Write one certificate and its page; the paths written."""
    return _write_both(certificate, directory / file_name(certificate.store))


def write_comparisons(comparisons: Sequence[Comparison], directory: Path, names: Sequence[str]) -> list[Path]:
    """Write comparison and page of each store, beside its certificate, and one JUnit file; the paths written."""
    written = []
    for name, comparison in zip(names, comparisons, strict=True):
        target = directory / f"{name}-comparison.json"
        write_documents([comparison.to_json()], target)
        written += [target, write_comparison_page(comparison, directory / f"{name}-comparison.html")]
    return [*written, write_comparison_junit(comparisons, directory / "comparison.xml")]


def write_comparison_page(comparison: Comparison, target: Path) -> Path:
    return _write(target, render_comparison(comparison))


def write_comparison_junit(comparisons: Sequence[Comparison], target: Path) -> Path:
    return _write(target, render_comparison_junit(comparisons))


def write_page(text: str, target: Path) -> Path:
    """Write a page that is complete."""
    return _write(target, text)


def write_pace(comparison: PaceComparison, directory: Path, target: Path | None) -> list[Path]:
    """Write a comparison of two versions and its page, and the comparison to `target` too; the paths written."""
    document = json.dumps(comparison.to_json(), indent=2, ensure_ascii=False) + "\n"
    name = f"pace-{file_name(comparison.store)}"
    places = [directory / f"{name}.json", *([] if target is None else [target])]
    page = _write(directory / f"{name}.html", render_pace(comparison))
    return [*(_write(place, document) for place in places), page]


def write_endured(certificate: Certificate, directory: Path) -> list[Path]:
    """Write certificate and page of an endurance run, beside those of the store; the paths written."""
    return _write_both(certificate, directory / f"{file_name(certificate.store)}-endurance")


def _write_both(certificate: Certificate, stem: Path) -> list[Path]:
    document = json.dumps(certificate.to_json(), indent=2, ensure_ascii=False)
    page = render_html(certificate)
    return [
        _write(stem.with_name(f"{stem.name}.json"), document + "\n"),
        _write(stem.with_name(f"{stem.name}.html"), page),
    ]


def file_names(certificates: Sequence[Certificate]) -> list[str]:
    """A file name for each store, each only once."""
    names: list[str] = []
    for certificate in certificates:
        name = file_name(certificate.store)
        while name in names:
            name += "-2"
        names.append(name)
    return names


def write_json(certificates: Sequence[Certificate], target: Path) -> Path:
    """`--json`: an object for one adapter, a list for several."""
    return write_documents([certificate.to_json() for certificate in certificates], target)


def write_documents(documents: Sequence[dict[str, Any]], target: Path) -> Path:
    """A JSON object for one document, a list for several."""
    document = documents[0] if len(documents) == 1 else documents
    return _write(target, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(
            f"{path} can't be written ({error.strerror}): name another place with --reports or --json."
        ) from None
    return path


def annotate(certificates: Sequence[Certificate]) -> None:
    """On GitHub Actions: findings at their source lines, and a job summary."""
    if not os.environ.get("GITHUB_ACTIONS"):
        return
    for line in github.annotations(certificates):
        print(line, file=sys.stdout)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        _summarize(certificates, summary)


def _summarize(certificates: Sequence[Certificate], file: str) -> None:
    """A summary that can't be written is no reason to change the verdict."""
    try:
        with open(file, "a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(github.job_summary(certificates))
    except OSError as error:
        print(f"harness: no job summary: {file} can't be written ({error.strerror}).", file=sys.stderr)
