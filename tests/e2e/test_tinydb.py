"""TinyDB, certified as one of its users would: the harness names the lines that lose data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tinydb.storages

from harness import cli
from harness.core.evidence import Certificate, certificate_from_json
from harness.core.verdict import Verdict
from tests.stores.conduct import FOLDER, small_runs, spec
from tests.stores.tiny import TINY

STORE = spec("TinyDBStore", "tinydb_adapter.py")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """What `harness certify` writes about TinyDB with its default storage."""
    reports = tmp_path_factory.mktemp("reports")
    with pytest.MonkeyPatch.context() as patch:
        small_runs(patch)
        status = cli.main(
            ["certify", STORE, "--profile", TINY.name, "--reports", str(reports), "--json", str(reports / "c.json")]
        )
    assert status == 1
    return certificate_from_json(json.loads((reports / "c.json").read_text()), "c.json")


def test_the_adapter_is_short() -> None:
    """Under thirty lines, imports included."""
    assert len((FOLDER / "tinydb_adapter.py").read_text().splitlines()) < 30


def test_tinydb_keeps_neither_promise(certificate: Certificate) -> None:
    """It overwrites its only file in place, syncs before it truncates, and never syncs the directory."""
    assert {claim.claim: claim.verdict for claim in certificate.claims} == {
        "process_crash": Verdict.FAIL,
        "power_loss": Verdict.FAIL,
    }
    assert all(finding.confirmed for finding in certificate.findings)


def test_the_call_sites_are_lines_of_tinydb(certificate: Certificate) -> None:
    """Not of the adapter, nor of the standard library: the write and the truncation of its storage."""
    sites = [finding.call_site for finding in certificate.findings]

    assert {site and site.file for site in sites} == {tinydb.storages.__file__}
    assert {site and site.function for site in sites} <= {"JSONStorage.write", "touch", "JSONStorage.__init__"}
    source = Path(tinydb.storages.__file__).read_text().splitlines()
    named = "\n".join(source[site.line - 1] for site in sites if site is not None)
    assert "truncate()" in named or ".flush()" in named


def test_a_torn_file_cannot_be_opened(certificate: Certificate) -> None:
    """A shorter document over a longer one is no JSON until the truncation: reading it raises, after a mere kill."""
    torn = [finding for finding in certificate.findings if finding.kind == "cannot_open"]

    assert any("process-crash" in finding.persistence_models for finding in torn)
    assert all("JSONDecodeError" in finding.summary for finding in torn)


def test_a_file_without_a_name_loses_everything(certificate: Certificate) -> None:
    """The entry of a new file is synced by nobody; the harness has tried the fix."""
    [lost] = [finding for finding in certificate.findings if finding.kind == "lost_acknowledged"]

    assert lost.call_site is not None and lost.call_site.function == "touch"
    assert "strict" in lost.persistence_models and "process-crash" not in lost.persistence_models
    assert lost.story is not None and lost.story.fix is not None
    assert lost.story.fix.works and "fsync on the directory" in lost.story.fix.sentence
