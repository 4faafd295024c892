"""`pytest --certify ADAPTER`: one test item for each scenario.

An adapter is certified once, by the first of its items that runs; every item reports the verdict of its
own scenario. Under pytest-xdist the certificate is handed from process to process in a directory that
the controller made, so that it is still issued once.

UNKNOWN fails an item: what was not tried did not pass. A scenario that has nothing to do with the
contract of the store (it tries claims that are not made) is skipped, and so is one that was left out because another
one, whose item fails in the same session, had broken the claim already.

Certificates and their pages are kept in pytest's cache, where `harness replay` finds them.

With `--certify-otlp` spans are sent by whoever issues a certificate, as soon as it is issued; with `--certify-metrics`
counts are written in the end, by the process that pytest was started as.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import HarnessError, UsageError
from harness.core.evidence import Certificate, Evidence, Finding, certificate_from_json
from harness.core.verdict import Verdict, merge
from harness.report.console import story_text
from harness.run.certify import Options, certify_adapter
from harness.run.outputs import write_certificate
from harness.run.scenarios import scenario_names
from harness.run.weighing import LEFT_OUT, NOT_CRASHED_AGAIN

CONTRACT_ITEM = "contract"
_WORKER_INPUT = "durability_harness_directory"
_CERTIFICATIONS = pytest.StashKey["Certifications"]()


class NotCertified(Exception):
    """A scenario, or the contract, did not pass; the message is what the reader of the test report gets."""


class Certifications:
    """The certificates of one test session, each issued by whoever needs it first.

    Certificates lie as JSON in `directory`, which the processes of a session share; a lock on a file
    beside each makes the others wait for the one that is at work.
    """

    def __init__(
        self, directory: Path, options: Options, otlp: str | None = None, kept: Path | None = None
    ) -> None:
        self.directory = directory
        self._options = options
        self._otlp = otlp
        self._kept = kept
        self._known: dict[str, Certificate | str] = {}

    def get(self, adapter: str, number: int) -> Certificate:
        """The certificate of `adapter`, the `number`-th on the command line.

        Raises `NotCertified` if none could be issued; it is not tried a second time.
        """
        if adapter not in self._known:
            self._known[adapter] = self._issue_once(adapter, number)
        known = self._known[adapter]
        if isinstance(known, str):
            raise NotCertified(known)
        return known

    def _issue_once(self, adapter: str, number: int) -> Certificate | str:
        path = self.directory / f"{number}.json"
        with open(path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                unfinished = path.with_suffix(".new")
                unfinished.write_text(json.dumps(self._issue(adapter, number)))
                unfinished.replace(path)
        outcome = json.loads(path.read_text())
        return outcome if isinstance(outcome, str) else certificate_from_json(outcome, adapter)

    def issued(self) -> list[Certificate]:
        """All that there are by now, by whichever process, in the order of the command line."""
        paths = sorted(self.directory.glob("*.json"), key=lambda path: int(path.stem))
        found = [(path, json.loads(path.read_text())) for path in paths]
        return [certificate_from_json(item, str(path)) for path, item in found if not isinstance(item, str)]

    def kept(self) -> list[Path]:
        """The pages of the certificates that were issued in this session, each beside its JSON."""
        if self._kept is None:
            return []
        numbers = (path.stem for path in sorted(self.directory.glob("*.json")))
        return [page for number in numbers for page in sorted((self._kept / number).glob("*.html"))]

    def _issue(self, adapter: str, number: int) -> dict[str, Any] | str:
        kept = None if self._kept is None else self._kept / str(number)
        try:
            if kept is not None:
                shutil.rmtree(kept, ignore_errors=True)  # what an earlier session kept
            certificate = self._certified(adapter, dataclasses.replace(self._options, reports=kept))
            if kept is not None:
                write_certificate(certificate, kept)
            return certificate.to_json()
        except HarnessError as error:
            return str(error)

    def _certified(self, adapter: str, options: Options) -> Certificate:
        if self._otlp is None:
            return certify_adapter(adapter, options)
        from harness.run.observing import observed

        with observed("pytest --certify", self._otlp, None) as observation:
            with observation.part("certification", adapter) as span:
                certificate = certify_adapter(adapter, options, span=span)
                observation.issued(span, certificate)
            return certificate


class CertifyItem(pytest.Item):
    """One scenario against one adapter, or (`CONTRACT_ITEM`) what no scenario answers for."""

    def __init__(self, *, adapter: str, number: int, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.adapter = adapter
        self.number = number

    def runtest(self) -> None:
        """Raise `NotCertified` with the story, or with the reason why nothing is known."""
        certificate = self.config.stash[_CERTIFICATIONS].get(self.adapter, self.number)
        self.user_properties.append(("certificate", certificate.digest()))
        if self.name == CONTRACT_ITEM:
            problems = list(unanswered_claims(certificate))
        else:
            problems = scenario_problems(certificate, self.name, self._others())
        if problems:
            raise NotCertified("\n\n".join(problems))

    def _others(self) -> set[str]:
        """The scenarios that have items in this session too, for the same adapter."""
        items = (item for item in self.session.items if isinstance(item, CertifyItem) and item is not self)
        return {item.name for item in items if item.adapter == self.adapter}

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message alone where it says everything; a traceback for what nobody foresaw."""
        if isinstance(excinfo.value, NotCertified):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"certify {self.adapter}: {self.name}"


def scenario_problems(certificate: Certificate, scenario: str, others: Collection[str]) -> list[str]:
    """What keeps `scenario` from passing, as text; skips the running test if it had nothing to try.

    So it had where one of the `others` has broken the claim already, and fails for that.
    """
    evidence = [item for item in certificate.evidence if item.scenario == scenario]
    if not evidence:
        why = (text for text in certificate.not_exercised if text.startswith(f"{scenario}: "))
        pytest.skip(next(why, f"{scenario}: {certificate.store} makes no such claim, or the machine lacks the means"))
    verdict = merge(item.verdict for item in evidence)
    if verdict is Verdict.PASS:
        return []
    if verdict is Verdict.UNKNOWN:
        unknown = [item for item in evidence if item.verdict is Verdict.UNKNOWN]
        broken_by = [_left_to(certificate, item, others) for item in unknown]
        if all(broken_by):
            pytest.skip(f"{scenario}: left out, because {broken_by[0]} has broken {unknown[0].claim} already")
        return [_unknown(item) for item in unknown]
    return [_told(finding) for finding in findings_behind(certificate, evidence)] or [_broken(evidence)]


def _left_to(certificate: Certificate, evidence: Evidence, others: Collection[str]) -> str:
    """Which of the `others` has broken the claim, so that nothing more was to be tried for it; empty if none has."""
    if not evidence.reasons or not {LEFT_OUT, NOT_CRASHED_AGAIN}.issuperset(evidence.reasons):
        return ""
    failed = (row for row in certificate.evidence if row.claim == evidence.claim and row.verdict is Verdict.FAIL)
    return next((row.scenario for row in failed if row.scenario in others), "")


def findings_behind(certificate: Certificate, evidence: Sequence[Evidence]) -> list[Finding]:
    """The findings that made this evidence FAIL.

    One defect is one finding, filed under the scenario that saw it first. Where a scenario has none of
    its own, the findings about the claims that it saw broken stand for it.
    """
    own = [finding for finding in certificate.findings if finding.scenario == evidence[0].scenario]
    broken = {item.claim for item in evidence if item.verdict is Verdict.FAIL}
    return own or [finding for finding in certificate.findings if broken.intersection(finding.claims)]


def unanswered_claims(certificate: Certificate) -> Iterator[str]:
    """Claims that are not PASS although no evidence says so: without this they would fail no test."""
    shown = {(item.claim, item.verdict) for item in certificate.evidence}
    for claim in certificate.claims:
        if claim.verdict is Verdict.PASS or (claim.claim, claim.verdict) in shown:
            continue
        reasons = "; ".join(claim.reasons) or "no scenario tried it"
        yield f"{claim.verdict.name}: {claim.claim} = {claim.promised!r}: {reasons}"


def _told(finding: Finding) -> str:
    return f"FAIL: {finding.summary}\n\n{story_text(finding)}"


def _broken(evidence: Sequence[Evidence]) -> str:
    claims = ", ".join(sorted({item.claim for item in evidence if item.verdict is Verdict.FAIL}))
    return f"FAIL: {evidence[0].scenario} broke {claims}"


def _unknown(evidence: Evidence) -> str:
    reasons = "; ".join(evidence.reasons) or "no reason was given"
    return f"UNKNOWN: {evidence.claim} under {evidence.persistence_model or 'no model'}: {reasons}"


def collect(session: pytest.Session, adapters: Sequence[str]) -> list[CertifyItem]:
    """The items of all `adapters`: one for each scenario, in the order of the suite, and the contract."""
    items = []
    for number, adapter in enumerate(dict.fromkeys(adapters)):
        for name in (*scenario_names(), CONTRACT_ITEM):
            nodeid = f"certify::{adapter}::{name}"
            item = CertifyItem.from_parent(session, name=name, nodeid=nodeid, adapter=adapter, number=number)
            item.add_marker("certify")
            items.append(item)
            if item.config.pluginmanager.hasplugin("timeout"):
                # The first item pays for the whole certification, which has limits of its own.
                item.add_marker(pytest.mark.timeout(0))
    return items


def pytest_configure(config: pytest.Config) -> None:
    """Find the directory of the session: the controller's, or a new one that goes away with this process."""
    given = getattr(config, "workerinput", {}).get(_WORKER_INPUT)
    directory = Path(given) if given else Path(tempfile.mkdtemp())
    if not given:
        config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
    options, otlp = Options(profile=config.getoption("certify_profile")), config.getoption("certify_otlp")
    _require_observable(otlp, _metrics(config))
    config.stash[_CERTIFICATIONS] = Certifications(directory, options, otlp, _kept(config))


def _kept(config: pytest.Config) -> Path | None:
    """Where certificates stay, as seen from where pytest was started; `None` without a cache."""
    cache = getattr(config, "cache", None)
    if cache is None:
        return None
    try:
        path: Path = cache.mkdir("durability-harness")
    except OSError:  # nothing may be written there: pytest does without its cache too
        return None
    here = config.invocation_params.dir
    return path.relative_to(here) if path.is_relative_to(here) and here == Path.cwd() else path


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say where the pages of the certificates are."""
    for page in config.stash[_CERTIFICATIONS].kept():
        terminalreporter.write_line(f"certificate: {page.with_suffix('.json')}, {page}")


def _metrics(config: pytest.Config) -> Path | None:
    """The file of counts, where this process is to write it."""
    given = config.getoption("certify_metrics")
    return None if given is None or hasattr(config, "workerinput") else config.invocation_params.dir / given


def _require_observable(otlp: str | None, metrics: Path | None) -> None:
    if otlp is None and metrics is None:
        return
    from harness.run.observing import listening

    try:
        listening(otlp, metrics, "--certify-")
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the counts of all certificates, whoever issued them."""
    metrics = _metrics(session.config)
    if metrics is None:
        return
    from harness.run.observing import Observation, write

    issued = session.config.stash[_CERTIFICATIONS].issued()
    write(Observation(certificates=issued, status=int(exitstatus)), metrics)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Called by pytest-xdist in the controller for every worker."""
    node.workerinput[_WORKER_INPUT] = str(node.config.stash[_CERTIFICATIONS].directory)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the items before `-k` and `-m` choose among them."""
    items.extend(collect(session, config.getoption("certify")))
