"""`harness endure` on the command line: what can't be is one sentence and status 2; the verdict decides the status."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import harness.cli
from harness import Verdict
from harness.cli import INTERRUPTED, main
from harness.core.evidence import Certificate
from harness.run.enduring import EndureOptions
from tests.golden.sample import enduring

SPEC = "tests.unit.run.enduring_stores:SoundLog"
GOOD = {"--duration": "5s", "--rate": "10"}


def command(tmp_path: Path, spec: str = SPEC, *more: str, **changed: str) -> list[str]:
    options = {f"--{name.replace('_', '-')}": text for name, text in changed.items()}
    given = {**GOOD, "--reports": str(tmp_path), **options}
    return ["endure", spec, *(part for pair in given.items() for part in pair), *more]


@pytest.mark.parametrize(
    ("spec", "changed", "told"),
    [
        (SPEC, {"duration": "soon"}, "'soon' is no duration"),
        (SPEC, {"duration": "0s"}, "'0s' is no duration"),
        (SPEC, {"rate": "0"}, "a rate of 0 operations per second is no load"),
        (SPEC, {"rate": "-3"}, "a rate of -3"),
        (SPEC, {"rate": "nan"}, "a rate of nan"),
        (SPEC, {"rate": "fast"}, "argument --rate: invalid float value: 'fast'"),
        (SPEC, {"clients": "0"}, "0 clients make no load"),
        (SPEC, {"callers": "2"}, "--callers 2 needs a store that threads may share"),
        (SPEC, {"callers": "0"}, "--callers 0 can't be"),
        (SPEC, {"arrivals": "never"}, "there are no arrivals 'never'"),
        (SPEC, {"time_limit": "0"}, "--time-limit 0 leaves no time"),
        ("tests.unit.run.enduring_stores:NoSuchLog", {}, "has no class NoSuchLog"),
        ("nowhere", {}, "does not name an adapter"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spec: str, changed: dict[str, str], told: str
) -> None:
    """On stderr, with status 2, and nothing on stdout."""
    assert main(command(tmp_path, spec, **changed)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert told in printed.err
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize(("verdict", "status"), [(Verdict.PASS, 0), (Verdict.FAIL, 1), (Verdict.UNKNOWN, 3)])
def test_the_verdict_decides_the_status(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verdict: Verdict,
    status: int,
) -> None:
    """Certificate and page are written beside those of `certify`, and named."""
    made = enduring()
    made = dataclasses.replace(made, claims=(dataclasses.replace(made.claims[0], verdict=verdict),))
    asked: list[EndureOptions] = []

    def endured(spec: str, options: EndureOptions, span: object) -> Certificate:
        asked.append(options)
        return made

    monkeypatch.setattr(harness.cli, "endure", endured)
    more = {"seed": "4", "clients": "2", "callers": "3", "arrivals": "bursts"}
    assert main(command(tmp_path, SPEC, "--resume", "--closed-loop", **more)) == status
    assert (tmp_path / "metrics-endurance.json").exists() and (tmp_path / "metrics-endurance.html").exists()
    assert "metrics-endurance.html" in capsys.readouterr().out
    (options,) = asked
    schedule = options.schedule
    assert (schedule.rate, schedule.kind, schedule.clients, schedule.seed) == (10.0, "bursts", 2, 4)
    assert options.callers == 3
    assert (options.duration_s, options.resume, options.closed_loop) == (5.0, True, True)


def test_an_interrupted_run_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 130, as for `certify`."""

    def interrupted(spec: str, options: EndureOptions, span: object) -> Certificate:
        raise KeyboardInterrupt

    monkeypatch.setattr(harness.cli, "endure", interrupted)
    assert main(command(tmp_path)) == INTERRUPTED
    assert "go on with --resume" in capsys.readouterr().err
