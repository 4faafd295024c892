"""The heat map: which lines are shown, how hot they are, and what is said of them."""

from __future__ import annotations

import dataclasses
import json

from harness.core.coverage import FaultCount, FaultCoverage, SiteCoverage, SourceFile
from harness.core.evidence import certificate_from_json
from harness.core.trace import CallSite
from harness.report import faults
from harness.report.console import certificate_text
from harness.report.html import render_html
from tests.golden.sample import SAMPLES

LINES = tuple(f"line {number}" for number in range(1, 31))


def site(line: int, held: int = 0, broke: int = 0, call: str = "os.write") -> SiteCoverage:
    counts = (FaultCount("EIO", held, broke),) if held or broke else ()
    return SiteCoverage(CallSite("s.py", line, "f"), (call,), counts)


def coverage() -> FaultCoverage:
    struck = (site(5, held=1000), site(7, held=3, broke=1))
    return FaultCoverage(struck, (site(20, call="<b>os.fsync"),), (SourceFile("s.py", LINES),))


def test_only_the_surroundings_of_call_sites_are_shown() -> None:
    (file,) = faults.heat_files(coverage())
    assert [line.number for line in file.lines] == [*range(3, 10), *range(18, 23)]
    assert [line.number for line in file.lines if line.gap] == [3, 18]
    assert (file.struck, file.blind) == (2, 1)


def test_lines_say_what_became_of_them() -> None:
    (file,) = faults.heat_files(coverage())
    states = {line.number: (line.state, line.struck) for line in file.lines if line.state}
    assert states == {5: ("held", 1000), 7: ("broke", 4), 20: ("blind", 0)}


def test_heat_is_logarithmic() -> None:
    assert [faults.heat(count, 10_000) for count in (1, 10, 100, 1_000, 10_000)] == [1, 2, 3, 4, 5]
    assert faults.heat(1, 1) == faults.HEAT_STEPS


def test_the_summary_counts_lines_once() -> None:
    assert faults.summary(coverage()) == (2, 3)


def test_faults_that_did_not_strike_are_named() -> None:
    """On the page and, as a count, on the console; a certificate that does not know says nothing."""
    known = dataclasses.replace(
        coverage(),
        sites=(site(5, held=1000), dataclasses.replace(site(7, held=3, broke=1), missed=("EACCES", "short write"))),
        call_sites=3,
        struck_by_all=1,
    )
    line = "1 of 3 call sites struck by every fault that applies"
    certificate = dataclasses.replace(SAMPLES["passing"](), fault_coverage=known)
    assert line in certificate_text(certificate) and line in render_html(certificate)
    assert "EIO; not EACCES, short write" in render_html(certificate)
    assert certificate_from_json(json.loads(json.dumps(certificate.to_json())), "it").fault_coverage == known
    unknown = dataclasses.replace(certificate, fault_coverage=coverage())
    assert "struck by every" not in certificate_text(unknown) + render_html(unknown)
    assert faults.thorough(None) == ""


def test_the_page_shows_it_and_escapes_it() -> None:
    """Names of calls are text of the store, and no markup."""
    measured = {"percent": 87.5, "html": "x/i.html"}
    page = render_html(dataclasses.replace(SAMPLES["passing"](), fault_coverage=coverage(), coverage=measured))
    assert "2 of 3 call sites" in page and "87.5" in page and 'href="x/i.html"' in page
    assert "<b>os.fsync" not in page and "&lt;b&gt;os.fsync" in page


def test_a_file_without_call_sites_is_not_shown() -> None:
    empty = FaultCoverage((), (), (SourceFile("s.py", LINES),))
    assert faults.heat_files(empty) == ()
    page = render_html(dataclasses.replace(SAMPLES["passing"](), fault_coverage=empty))
    assert "It is not known where faults struck" in page
