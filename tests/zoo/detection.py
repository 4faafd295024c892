"""What the zoo expects of a certificate, and where the certificate falls short of it.

A planted defect is caught if the right claims fail and at least one confirmed finding has an
expected kind and names a line that the store's own module marks as the place of the defect; every
finding is confirmed, and none names another line. A sound store passes if nothing at all is said
against it. Both are answered by a list of objections: empty is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.core.evidence import Certificate, Finding
from harness.core.persistence import POWER_LOSS_PRESETS, PROCESS_CRASH
from harness.core.scenario import CRASH_ENGINE
from harness.core.verdict import Verdict
from harness.run.certify import certify_adapter
from harness.run.options import Options
from harness.run.scenarios import SCENARIOS
from store_under_test.defective.catalogue import PACKAGE, Row

CALL_SITE = "# <- call site"
FOLDER = Path(__file__).parents[2] / PACKAGE.replace(".", "/")
TIME_LIMIT_S = 1.0
#: The scenarios that try crash states; they take seconds where all scenarios take a quarter of a minute.
CRASHES = tuple(scenario.name for scenario in SCENARIOS if scenario.engine == CRASH_ENGINE)


@dataclass(frozen=True, slots=True)
class Detection:
    """What one certification said about one row of the zoo.

    `hit` is the confirmed finding that names the planted defect, if there is one. `objections` say what
    is not as the catalogue expects. `seconds` is the time of the whole certification. `refuted_by` are the scenarios
    that found the defect and refuted its claims, in `profile`.
    """

    row: Row
    hit: Finding | None
    objections: tuple[str, ...]
    findings: tuple[Finding, ...]
    seconds: float
    profile: str
    refuted_by: tuple[str, ...]

    @property
    def right(self) -> bool:
        return not self.objections


def certify(
    row: Row, *, profile: str, seed: int, jobs: int, scenarios: tuple[str, ...] = ()
) -> Certificate:
    """Run the harness over the store of `row` with the options of the zoo, by default with all scenarios."""
    options = Options(profile=profile, seed=seed, jobs=jobs, time_limit_s=TIME_LIMIT_S, scenarios=scenarios)
    return certify_adapter(f"{PACKAGE}.{row.module}:Adapter", options)


def revealing(row: Row) -> tuple[str, ...]:
    """The scenarios that try to break what the defect of `row` breaks."""
    return tuple(scenario.name for scenario in SCENARIOS if scenario.claim in row.claims)


def is_sound(row: Row) -> bool:
    """Whether nothing is wrong with the store of `row`."""
    return not row.kinds


def detection(row: Row, certificate: Certificate) -> Detection:
    """Hold a certificate against what the catalogue expects of it."""
    lines = marked_lines(row.module)
    hit = next((finding for finding in by_time(certificate) if _names_the_defect(row, lines, finding)), None)
    if is_sound(row):
        objections = [*alarms(certificate), *_not_passed(certificate), *_untried(row, certificate)]
    else:
        objections = [
            *_not_failed(row, certificate),
            *_flaky(certificate),
            *_elsewhere(row, lines, certificate),
        ]
        if hit is None:
            objections.append(f"no confirmed finding of kind {row.kinds} at a marked line of {row.module}.py")
    refuted_by = () if hit is None else _refuted_by(row, hit, certificate)
    return Detection(
        row, hit, tuple(objections), certificate.findings, certificate.seconds, certificate.profile, refuted_by
    )


def _refuted_by(row: Row, hit: Finding, certificate: Certificate) -> tuple[str, ...]:
    """One scenario for each claim of `row`, first the one that found the defect."""
    found = {hit.claim: hit.scenario}
    for evidence in certificate.evidence:
        if evidence.claim in row.claims and evidence.verdict is Verdict.FAIL:
            found.setdefault(evidence.claim, evidence.scenario)
    return tuple(dict.fromkeys(found.values()))


def by_time(certificate: Certificate) -> list[Finding]:
    """The findings of a certificate, the one that was found first at the head."""
    return sorted(certificate.findings, key=lambda finding: (finding.seconds_to_find, finding.id))


def marked_lines(module: str) -> dict[int, str]:
    """Numbers and source text of the lines of a zoo module that a finding may name."""
    lines = (FOLDER / f"{module}.py").read_text(encoding="utf-8").splitlines()
    return {
        number: line.partition(CALL_SITE)[0].strip()
        for number, line in enumerate(lines, 1)
        if CALL_SITE in line
    }


def _names_the_defect(row: Row, lines: dict[int, str], finding: Finding) -> bool:
    return finding.confirmed and finding.kind in row.kinds and _at_a_marked_line(row, lines, finding)


def _at_a_marked_line(row: Row, lines: dict[int, str], finding: Finding) -> bool:
    site, module = finding.call_site, FOLDER / f"{row.module}.py"
    return site is not None and Path(site.file).resolve() == module.resolve() and site.line in lines


def _not_failed(row: Row, certificate: Certificate) -> list[str]:
    verdicts = {result.claim: result.verdict for result in certificate.claims}
    wrong = [claim for claim in row.claims if verdicts.get(claim) is not Verdict.FAIL]
    objections = [f"{claim} is not refuted" for claim in wrong]
    if certificate.verdict is not Verdict.FAIL:
        objections.append(f"the verdict is {certificate.verdict.value}")
    return objections


def _flaky(certificate: Certificate) -> list[str]:
    return [f"not confirmed: {finding.summary}" for finding in certificate.findings if not finding.confirmed]


def _elsewhere(row: Row, lines: dict[int, str], certificate: Certificate) -> list[str]:
    """Each store has one defect, so a finding at another line is wrong or blames the wrong call."""
    return [
        f"{finding.kind} at {finding.call_site}, where nothing is planted: {finding.summary}"
        for finding in certificate.findings
        if not _at_a_marked_line(row, lines, finding)
    ]


def alarms(certificate: Certificate) -> list[str]:
    """What is found about a store about which there is nothing to find."""
    return [
        f"false alarm: {finding.kind} at {finding.call_site}: {finding.summary}"
        for finding in certificate.findings
    ]


def _not_passed(certificate: Certificate) -> list[str]:
    return [
        f"{result.claim} is {result.verdict.value}: {'; '.join(result.reasons)}"
        for result in certificate.claims
        if result.verdict is not Verdict.PASS
    ]


def _untried(row: Row, certificate: Certificate) -> list[str]:
    """A store that was never put to the test is not found sound."""
    missing = {PROCESS_CRASH.name, *POWER_LOSS_PRESETS} - set(certificate.models)
    return [f"{row.id} was not tried under {name}" for name in sorted(missing)]
