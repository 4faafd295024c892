"""`harness certify --otlp URL --metrics FILE`: what is refused, and what changes nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness import UsageError, cli
from harness.core.evidence import Certificate
from harness.observe import otlp
from tests.golden.sample import failing, passing
from tests.unit.observe.collector import Collector, nobody_listens
from tests.unit.observe.test_metrics import scraped

URL = "http://localhost:4318"


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cli, "certify_adapter", issue)


def issue(spec: str, *rest: object) -> Certificate:
    if spec == "missing":
        raise UsageError("there is no such adapter.")
    if spec == "stopped":
        raise KeyboardInterrupt
    return failing() if spec == "broken" else passing()


def certify(*arguments: str | Path) -> int:
    return cli.main(["certify", *map(str, arguments)])


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """One line on stderr, and nothing on stdout: nothing was run."""
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and captured.err.startswith("harness: ")
    return captured.err


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", "localhost:4318", "ftp://host", "http://", "http://host:x", "http://[::1"])
def test_what_is_no_address_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one sentence, before the run."""
    assert certify("sound", "--otlp", url) == 2
    assert f"--otlp {url!r} is no address of a collector" in complaint(capsys)


@pytest.mark.parametrize(
    ("option", "library", "module"),
    [
        (("--otlp", URL), "opentelemetry.sdk.trace", "harness.observe.otlp"),
        (("--metrics", "m.prom"), "prometheus_client", "harness.observe.metrics"),
    ],
)
def test_a_missing_extra_is_told(
    option: tuple[str, str],
    library: str,
    module: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With what to install, before the run."""
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.delattr(f"{module.rpartition('.')[0]}.{module.rpartition('.')[2]}", raising=False)

    assert certify("sound", *option) == 2
    assert complaint(capsys).endswith("pip install 'durability-harness[observe]'.\n")


@pytest.mark.parametrize(
    ("target", "told"), [("folder", "no file that could be replaced"), ("file/x.prom", "with --metrics")]
)
def test_a_file_that_can_not_be_written_is_refused(
    target: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the run."""
    Path("folder").mkdir()
    Path("file").touch()

    assert certify("sound", "--metrics", target) == 2
    assert told in complaint(capsys)


# --- what changes nothing ----------------------------------------------------------------------


@pytest.mark.parametrize(("store", "status"), [("sound", 0), ("broken", 1)])
def test_nobody_there_leaves_the_result_alone(
    store: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says so, without the password of the address."""
    monkeypatch.setattr(otlp, "LIMIT_S", 0.2)
    assert certify(store) == status
    alone = capsys.readouterr().out
    address = nobody_listens().replace("//", "//me:secret@")

    assert certify(store, "--otlp", address) == status

    captured = capsys.readouterr()
    assert captured.out == alone
    assert captured.err.count("\n") == 1 and captured.err.endswith("; the result is the same.\n")
    assert "the spans did not get to http://127.0.0.1" in captured.err and "secret" not in captured.err


def test_a_full_disk_leaves_the_result_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the numbers can't be written in the end."""

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.observe.metrics.write_to_textfile", full)

    assert certify("broken", "--metrics", "m.prom") == 1
    told = "harness: m.prom can't be written (No space left on device); the result is the same.\n"
    assert capsys.readouterr().err == told


# --- what is told ------------------------------------------------------------------------------


def test_each_certification_is_a_part_of_the_command(collector: Collector) -> None:
    """Its verdict, its evidence and its findings are told; one that could not run has failed."""
    assert certify("sound", "broken", "missing", "--otlp", collector.url + "/", "--metrics", "m.prom") == 2

    root, given = collector.one("harness certify"), collector.named("certification")
    assert collector.paths == ["/v1/traces"]
    assert root.attributes["harness.exit_status"] == 2 and not root.failed
    assert {span.parent for span in given} == {root.id}
    verdicts = [(span.attributes["harness.adapter"], span.attributes.get("harness.verdict")) for span in given]
    assert verdicts == [("sound", "pass"), ("broken", "fail"), ("missing", None)]
    assert [span.error for span in given] == ["", "", "UsageError: there is no such adapter."]
    found = [event for name, event in given[1].events if name == "finding"]
    expected = [(item.claim, item.kind, str(item.call_site or "")) for item in failing().findings]
    assert [(event["harness.claim"], event["harness.kind"], event["harness.call_site"]) for event in found] == expected
    tried = [event for name, event in given[0].events if name == "scenario"]
    assert sum(event["harness.faults_fired"] for event in tried) == sum(e.faults_fired for e in passing().evidence)
    assert scraped(Path("m.prom"))["harness_exit_status"] == {(): 2}


def test_a_whole_path_is_taken_as_it_is(collector: Collector) -> None:
    """As in OTEL_EXPORTER_OTLP_TRACES_ENDPOINT."""
    assert certify("sound", "--otlp", f"{collector.url}/prefix/v1/traces") == 0
    assert collector.paths == ["/prefix/v1/traces"]


def test_an_interrupted_command_tells_how_far_it_came(collector: Collector) -> None:
    """And leaves the numbers of the run before."""
    Path("m.prom").write_text("old\n")

    assert certify("sound", "stopped", "--otlp", collector.url, "--metrics", "m.prom") == 130

    assert collector.one("harness certify").error == "KeyboardInterrupt"
    assert len(collector.named("certification")) == 2
    assert Path("m.prom").read_text() == "old\n"
