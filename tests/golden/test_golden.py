"""Reports of the sample certificates against the files in `files/`.

After a wanted change: `UPDATE_GOLDEN=1 python -m pytest tests/golden`, then look at the difference.
Left out are the style sheet, because a colour is no change of what is said, and the digest.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.evidence import Certificate
from harness.report import annotations, job_summary, render_html, render_junit
from harness.report.console import certificate_text
from tests.golden.sample import SAMPLES

FILES = Path(__file__).parent / "files"
ENVIRON = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "/workspace"}


def _page(certificate: Certificate) -> str:
    page = re.sub(r"<style>.*?</style>", "<style>...</style>", render_html(certificate), flags=re.DOTALL)
    page = re.sub(r"sha256-[^&]*", "sha256-...", page)
    return "\n".join(line for line in page.split("\n") if line.strip()) + "\n"


def _without_digest(report: str, certificate: Certificate) -> str:
    """The digest belongs to the certificate: what goes into it is no matter of reports."""
    digest = certificate.digest()
    return report.replace(digest, "DIGEST").replace(digest[:12], "DIGEST-12")


def _commands(certificate: Certificate) -> str:
    return "".join(f"{line}\n" for line in annotations([certificate], ENVIRON))


RENDERERS: dict[str, Callable[[Certificate], str]] = {
    "html": _page,
    "xml": lambda certificate: render_junit([certificate]),
    "txt": certificate_text,
    "md": lambda certificate: job_summary([certificate]),
    "annotations": _commands,
}


@pytest.mark.parametrize("suffix", RENDERERS)
@pytest.mark.parametrize("name", SAMPLES)
def test_report_is_the_golden_one(name: str, suffix: str) -> None:
    """Each report of each sample is, byte for byte, the one that was looked at and accepted."""
    golden = FILES / f"{name}.{suffix}"
    report = _without_digest(RENDERERS[suffix](SAMPLES[name]()), SAMPLES[name]()).encode()
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_bytes(report)
    assert report == golden.read_bytes()


@pytest.mark.parametrize("suffix", RENDERERS)
def test_same_certificate_gives_the_same_report(suffix: str) -> None:
    """Rendering has no state: two renderings of equal certificates are equal."""
    render = RENDERERS[suffix]
    assert render(SAMPLES["failing"]()) == render(SAMPLES["failing"]())
