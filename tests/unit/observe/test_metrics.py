"""The file for Prometheus, read by Prometheus' own parser."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.core.evidence import Certificate
from harness.observe.families import certified, compared, ended, surveyed
from harness.observe.metrics import write_metrics
from tests.golden.sample import failing, passing, unknown
from tests.unit.measure import comparisons

Samples = dict[tuple[str, ...], float]


def scraped(file: Path) -> dict[str, Samples]:
    """Values by the name of the sample, then by its labels in the order of their names."""
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(file.read_text()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found


def written(certificates: Sequence[Certificate], folder: Path, status: int = 0) -> dict[str, Samples]:
    write_metrics((*certified(certificates), ended(status)), folder / "harness.prom")
    return scraped(folder / "harness.prom")


def test_counts_are_those_of_the_certificates(tmp_path: Path) -> None:
    """Added up over claims and models, apart for each store."""
    given = [dataclasses.replace(failing(), store="one"), dataclasses.replace(passing(), store="two")]
    rows = [(item.store, row) for item in given for row in item.evidence]
    fired, judged = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for store, row in rows:
        fired[row.scenario, store] += row.faults_fired
        judged[row.scenario, store] += row.states_judged

    found = written(given, tmp_path, 1)

    assert found["harness_faults_fired_total"] == dict(fired) and sum(fired.values()) > 0
    assert found["harness_states_judged_total"] == dict(judged) and sum(judged.values()) > 0
    kinds = Counter((finding.claim, finding.kind, item.store) for item in given for finding in item.findings)
    assert found["harness_findings_total"] == dict(kinds) and {store for *_, store in kinds} == {"one"}
    assert found["harness_exit_status"] == {(): 1}
    assert found["harness_verdict"]["one", "fail"] == found["harness_verdict"]["two", "pass"] == 1
    assert sum(found["harness_verdict"].values()) == 2


def test_the_times_are_those_of_the_certificate(tmp_path: Path) -> None:
    """When it was issued, and how long each scenario took."""
    given = dataclasses.replace(passing(), issued_at="1970-01-02T00:00:00+00:00")

    found = written([given], tmp_path)

    assert found["harness_certified_timestamp_seconds"] == {(given.store,): 86_400}
    seconds = sum(row.seconds for row in given.evidence)
    assert sum(found["harness_scenario_seconds"].values()) == pytest.approx(seconds)


def test_of_two_certificates_of_one_name_the_worse_counts(tmp_path: Path) -> None:
    """Two adapters may drive one store."""
    given = [dataclasses.replace(item, store="same") for item in (failing(), passing(), unknown())]

    assert written(given, tmp_path)["harness_verdict"]["same", "fail"] == 1


def test_the_names_of_strangers_are_labels_and_no_more(tmp_path: Path) -> None:
    """Line breaks and quotes make no rows of their own, and a lone surrogate no file that can't be written."""
    name = 'a"b\\c\nharness_exit_status 7\n\udc80'
    found = written([dataclasses.replace(passing(), store=name)], tmp_path)

    assert list(found["harness_certified_timestamp_seconds"]) == [(name.replace("\udc80", "\\udc80"),)]
    assert found["harness_exit_status"] == {(): 0}


def test_without_a_certificate_the_status_is_told(tmp_path: Path) -> None:
    """And nothing of the run before is left."""
    written([failing()], tmp_path)

    assert written([], tmp_path, 2) == {"harness_exit_status": {(): 2}}


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is half written has another name, and is gone after an error."""
    target = tmp_path / "harness.prom"
    write_metrics([ended(0)], target)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("prometheus_client.exposition.os.rename", full)
    with pytest.raises(OSError, match="space"):
        write_metrics([ended(1)], target)

    assert scraped(target) == {"harness_exit_status": {(): 0}}
    assert list(tmp_path.iterdir()) == [target]


def test_of_a_survey_the_strongest_promises_are_told(tmp_path: Path) -> None:
    """One row for each claim and model; counts as of a certificate."""
    kept = [("power_loss", "strict", "prefix"), ("power_loss", "ext4", "unknown"), ("writers", "", "one")]
    write_metrics(surveyed("one", kept, failing().evidence), tmp_path / "m.prom")
    found = scraped(tmp_path / "m.prom")
    assert found["harness_promise_kept"] == {
        ("power_loss", "strict", "prefix", "one"): 1,
        ("power_loss", "ext4", "unknown", "one"): 1,
        ("writers", "", "one", "one"): 1,
    }
    assert sum(found["harness_states_judged_total"].values()) == sum(row.states_judged for row in failing().evidence)


def test_of_a_comparison_ratios_are_told_where_there_are_any(tmp_path: Path) -> None:
    """Where the old version differs from itself there is none."""
    for unlike, bounds in ((0.0, {"estimate", "lower", "upper"}), (0.5, set[str]())):
        course = comparisons.job(1, {"Put": 0.2}, comparisons.steady(0.01), unlike=unlike)
        given = comparisons.compared(course)
        write_metrics(compared(given), tmp_path / "m.prom")
        found = scraped(tmp_path / "m.prom")
        ratios = found.get("harness_pace_time_ratio", {})
        assert {bound for bound, *_ in ratios} == bounds
        estimates = [ratio for (bound, *_), ratio in ratios.items() if bound == "estimate"]
        assert all(ratio == pytest.approx(1.2, rel=0.05) for ratio in estimates)
        assert found["harness_verdict"]["mystore", given.verdict.value] == 1
        assert found["harness_compared_timestamp_seconds"] == {("mystore",): 1767323045}
