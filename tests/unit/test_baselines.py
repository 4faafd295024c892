"""The certificates that are kept: whose they are, and that later ones can be compared with them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import baselines
from benchmarks.baselines import ADAPTERS, BASELINES, PROJECT, portable
from harness.core.evidence import Certificate, certificate_from_json
from harness.core.verdict import Verdict
from harness.run.comparing import compared, read_baseline
from harness.run.loading import load_adapter

every_baseline = pytest.mark.parametrize("name", ADAPTERS)


def kept(name: str) -> Certificate:
    [certificate] = read_baseline(BASELINES / f"{name}.json", [ADAPTERS[name]])
    return certificate


@every_baseline
def test_each_reference_store_has_a_baseline_of_what_it_promises_now(name: str) -> None:
    certificate, contract = kept(name), load_adapter(ADAPTERS[name]).contract
    assert certificate.profile == "quick" and certificate.findings == ()
    assert {claim.claim: claim.verdict for claim in certificate.claims} == {
        claim: Verdict.PASS
        for claim in ("process_crash", "power_loss", "io_error", "corruption", "rollback", "writers")
        if getattr(contract, claim) not in (None, "one")
    }


@every_baseline
def test_a_baseline_is_no_regression_of_itself(name: str) -> None:
    assert compared([kept(name)], [kept(name)]).status == 0


@every_baseline
def test_a_baseline_names_files_of_the_project_and_no_path_of_a_machine(name: str) -> None:
    coverage = kept(name).fault_coverage
    assert coverage is not None
    files = {site.site.file for site in coverage.sites}
    assert files and all((PROJECT / file).is_file() and not Path(file).is_absolute() for file in files)
    assert str(PROJECT) not in (BASELINES / f"{name}.json").read_text(encoding="utf-8")


def test_paths_begin_at_the_project(tmp_path: Path) -> None:
    certificate = kept("metrics-store")
    moved = json.loads(json.dumps(certificate.to_json()).replace("store_under_test/", f"{tmp_path}/store_under_test/"))
    assert portable(certificate_from_json(moved, "moved"), tmp_path) == certificate


def test_what_is_not_certified_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = kept("metrics-store")
    broken = dataclasses.replace(sound, claims=(dataclasses.replace(sound.claims[0], verdict=Verdict.FAIL),))
    for certificate, status in ((sound, 0), (broken, 1)):
        monkeypatch.setattr(baselines, "certify_adapter", lambda spec, options, made=certificate: made)
        assert baselines.main(["metrics-store", "--directory", str(tmp_path / str(status))]) == status
        assert (tmp_path / str(status) / "metrics-store.json").exists() == (status == 0)
    with pytest.raises(SystemExit):
        baselines.main(["nothing"])
    assert "there is no baseline 'nothing'" in capsys.readouterr().err
