"""Certify the libraries of the field and write `docs/FIELD.md`: `python -m tests.field.run_field`.

Each library is judged by the promises that its own documentation makes, as its adapter quotes them. What it loses is
told with its story, and with a program that shows it without anything of this project; these programs are run.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import harness
from harness.core.evidence import Certificate, Finding
from harness.core.persistence import PROCESS_CRASH
from harness.core.verdict import Verdict
from harness.run.certify import certify_adapter
from harness.run.options import Options
from tests.field.libraries import LIBRARIES, ROOT, Library, reproduce, source

DOCUMENT = ROOT / "docs" / "FIELD.md"
_WORDS = {Verdict.PASS: "kept", Verdict.FAIL: "**broken**", Verdict.UNKNOWN: "unknown"}
_HEAD = """# In the field

Libraries from PyPI, judged by what their own documentation promises. Made by `python -m tests.field.run_field`
(version {version}, profile {profile}); the adapters, each of less than 40 lines, are in `store_under_test/field/`. What
a library does not promise was not tried. None of this says that a library is bad: several say themselves what they
are not for.

| library | version | promise | as | verdict | what was found |
| --- | --- | --- | --- | --- | --- |
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. The status is 0 if each library could be judged and each reproduction shows what it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.field.run_field", description=__doc__)
    parser.add_argument("--profile", default="standard")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args(arguments)
    certificates = []
    for library in LIBRARIES:
        print(f"certifying {library.name}", file=sys.stderr, flush=True)
        certificates.append(certify_adapter(library.spec, Options(profile=options.profile, jobs=options.jobs)))
    DOCUMENT.write_text(document(certificates, options.profile), encoding="utf-8")
    silent = [name for library in LIBRARIES for name in _silent(library)]
    for name in silent:
        print(f"{name} does not show what it should", file=sys.stderr)
    return 1 if silent else 0


def _silent(library: Library) -> Iterator[str]:
    for name, text in library.shown.items():
        if text not in reproduce(name):
            yield name


def document(certificates: Sequence[Certificate], profile: str) -> str:
    """The whole document: a table, and a chapter for each library."""
    pairs = list(zip(LIBRARIES, certificates, strict=True))
    rows = [row for library, certificate in pairs for row in table_rows(library, certificate)]
    chapters = [chapter(library, certificate) for library, certificate in pairs]
    head = _HEAD.format(version=harness.__version__, profile=profile)
    return head + "\n".join(rows) + "\n\n" + "\n\n".join(chapters) + "\n"


def table_rows(library: Library, certificate: Certificate) -> Iterator[str]:
    """One row for each promise."""
    for claim in certificate.claims:
        found = [finding for finding in certificate.findings if _breaks(finding, claim.claim)]
        kinds = ", ".join(sorted({f"`{finding.kind}`" for finding in found})) or "nothing"
        cells = (
            f"[{library.package}](#{library.name})",
            version(library.package),
            f"`{claim.claim}`",
            str(claim.promised),
            _WORDS[claim.verdict],
            kinds,
        )
        yield f"| {' | '.join(cells)} |"


def _breaks(finding: Finding, claim: str) -> bool:
    """One defect is one finding, also where it breaks two promises: the models tell."""
    return finding.claim == claim or (claim == "process_crash" and PROCESS_CRASH.name in finding.persistence_models)


def chapter(library: Library, certificate: Certificate) -> str:
    """What is promised, every loss with its story, and how to see it without this project."""
    parts = [f"## {library.name}", promise(library.adapter)]
    parts += [f"Tried: {_counts(certificate)}."]
    parts += [story(finding) for finding in certificate.findings] or ["No promise was broken within these bounds."]
    if library.shown:
        parts.append("### Without this project")
    for name in library.shown:
        parts.append(f"```py\n{source(name)}```\n\nprints\n\n```text\n{reproduce(name)}```")
    return "\n\n".join(parts)


def promise(adapter: Path) -> str:
    """The words of the library, as its adapter quotes them."""
    return ast.get_docstring(ast.parse(adapter.read_text(encoding="utf-8"))) or ""


def _counts(certificate: Certificate) -> str:
    crashes = sum(row.states_judged for row in certificate.evidence if row.persistence_model)
    faults = sum(row.faults_fired for row in certificate.evidence if not row.persistence_model)
    return f"{crashes} crash states" + (f", {faults} other faults" if faults else "")


def story(finding: Finding) -> str:
    """One loss: what happened, the program, the line."""
    site = finding.call_site
    place = "" if site is None else f"line {site.line} of `{Path(site.file).name}` (`{site.function}`)"
    where = f"\n\nThe call is in {place}." if place else ""
    models = f" (under {', '.join(finding.persistence_models)})" if finding.persistence_models else ""
    sure = "" if finding.confirmed else " It was not seen again in a fresh interpreter."
    program = "\n".join(_short(line) for line in finding.operations)
    return f"### `{finding.kind}`: {finding.claim}{models}\n\n{finding.summary}{sure}\n\n```text\n{program}\n```{where}"


def _short(line: str, limit: int = 110) -> str:
    return line if len(line) <= limit else f"{line[:limit]}..."


if __name__ == "__main__":
    sys.exit(main())
