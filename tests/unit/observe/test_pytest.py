"""`pytest --certify` with `--certify-otlp` and `--certify-metrics`, in a repository of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import durability_harness_pytest
from tests.golden.sample import failing, passing
from tests.unit.observe.collector import Collector
from tests.unit.observe.test_metrics import scraped

pytest_plugins = ["pytester"]

#: Issues made-up certificates, each in one phase.
STAND_IN = """
import harness.pytest_plugin as plugin
from harness import UsageError
from tests.golden.sample import failing, passing

def issue(adapter, options, progress=None, span=None):
    if span is not None:
        span.child("recording").end()
    if adapter == "missing":
        raise UsageError("there is no such adapter.")
    return failing() if adapter == "broken" else passing()

plugin.certify_adapter = issue
"""


@pytest.fixture
def repository(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(Path(durability_harness_pytest.__file__).parent))
    for name in [name for name in os.environ if name.startswith(("COVERAGE_", "COV_", "PYTEST_XDIST"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\naddopts = -p durability_harness_pytest --strict-markers")
    pytester.makeconftest(STAND_IN)
    return pytester


@pytest.mark.parametrize("processes", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "xdist"])
def test_each_certification_is_told_once(
    processes: tuple[str, ...], repository: pytest.Pytester, collector: Collector
) -> None:
    """Spans by whoever issued a certificate; counts of all in one file, with the status of pytest."""
    adapters = ("--certify", "sound", "--certify", "broken", "--certify", "missing")
    result = repository.runpytest_subprocess(
        *processes, *adapters, "--certify-otlp", collector.url, "--certify-metrics", "m.prom"
    )

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    roots = {span.id for span in collector.named("pytest --certify")}
    given = {str(span.attributes["harness.adapter"]): span for span in collector.named("certification")}
    assert len(roots) == 3 and {span.parent for span in given.values()} == roots
    verdicts = {adapter: span.attributes.get("harness.verdict") for adapter, span in given.items()}
    assert verdicts == {"sound": "pass", "broken": "fail", "missing": None}
    assert given["missing"].error == "UsageError: there is no such adapter."
    assert {span.parent for span in collector.named("recording")} == {span.id for span in given.values()}
    found = scraped(repository.path / "m.prom")
    assert sum(found["harness_findings_total"].values()) == len(failing().findings)
    assert set(found["harness_certified_timestamp_seconds"]) == {(failing().store,), (passing().store,)}
    assert found["harness_exit_status"] == {(): 1}


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--certify-otlp", "nowhere"), "--certify-otlp 'nowhere' is no address of a collector"),
        (("--certify-metrics", "."), "name another one with --certify-metrics"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_run(
    option: tuple[str, str], told: str, repository: pytest.Pytester
) -> None:
    result = repository.runpytest_subprocess("--certify", "sound", *option)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert told in result.stderr.str() and "Traceback" not in result.stderr.str()


def test_without_the_options_nothing_is_imported_for_them(repository: pytest.Pytester) -> None:
    repository.makepyfile(
        test_own="""
        import sys

        def test_own():
            found = {name.partition(".")[0] for name in sys.modules}
            assert not found & {"opentelemetry", "prometheus_client"} and "harness.run.observing" not in sys.modules
        """
    )
    result = repository.runpytest_subprocess("--certify", "sound", "-k", "own")
    result.assert_outcomes(passed=1, deselected=result.parseoutcomes()["deselected"])
