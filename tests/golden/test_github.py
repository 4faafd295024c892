"""GitHub Actions: annotations at the line at fault, a summary below its limit, nothing injected."""

import dataclasses
import re

import pytest

from harness.core.evidence import Certificate
from harness.core.trace import CallSite
from harness.core.verdict import Verdict
from harness.report import annotations, job_summary
from harness.report.github import ANNOTATIONS_MAXIMUM
from tests.golden.sample import failing, hostile, passing, unknown

ENVIRON = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "/home/runner/work/project"}


def _at(file: str) -> str:
    finding = dataclasses.replace(failing().findings[0], call_site=CallSite(file, 61, "_write"))
    return annotations([dataclasses.replace(failing(), findings=(finding,))], ENVIRON)[0]


def _many(number: int) -> Certificate:
    first = failing().findings[0]
    findings = tuple(dataclasses.replace(first, id=f"f-{n}") for n in range(number))
    return dataclasses.replace(failing(), findings=findings)


def test_broken_promise_is_an_error_at_its_line() -> None:
    """A finding is annotated at the source line, with fix and replay command on lines of their own."""
    command = annotations([failing()], ENVIRON)[0]
    assert command.startswith(
        "::error file=src/dashboard/metrics.py,line=61,title=Acknowledged data lost in "
    )
    assert "%0AFix: Sync the directory" in command and "%0AReplay: harness replay" in command


def test_passing_certificate_has_no_annotation() -> None:
    """Nothing broken, nothing undecided: nothing to annotate."""
    assert annotations([passing()], ENVIRON) == []


def test_nothing_outside_of_github_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the commands would be noise; the environment of the process is the default."""
    assert annotations([failing()], {}) == []
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert annotations([failing()])


def test_undecided_claim_is_a_warning() -> None:
    """UNKNOWN is said, with its reason, and told apart from a violation."""
    commands = annotations([unknown()], ENVIRON)
    assert len(commands) == 1
    assert commands[0].startswith("::warning title=power_loss of lmdb%3A undecided::Replaying the trace")


def test_flaky_finding_is_a_warning_after_the_confirmed_ones() -> None:
    """What did not happen again is shown, but neither first nor as an error."""
    flipped = dataclasses.replace(failing(), findings=failing().findings[::-1])
    assert [command.split()[0] for command in annotations([flipped], ENVIRON)] == ["::error", "::warning"]


def test_broken_claim_without_finding_is_an_error() -> None:
    """A broken claim is annotated even where no finding explains it."""
    commands = annotations([dataclasses.replace(failing(), findings=())], ENVIRON)
    assert [command.split("::")[1].split()[0] for command in commands] == ["error", "error"]


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("/home/runner/work/project/src/a.py", "file=src/a.py,line=61,"),
        ("src/a.py", "file=src/a.py,line=61,"),
        ("src\\a,b:c%.py", "file=src/a%2Cb%3Ac%25.py,line=61,"),
        ("/usr/lib/python3/shutil.py", "title="),
        ("/home/runner/work/project-other/a.py", "title="),
    ],
)
def test_paths_are_relative_to_the_workspace(file: str, place: str) -> None:
    """A file of the workspace is named relative to it; one outside of it cannot be annotated."""
    assert _at(file).startswith(f"::error {place}")


def test_absolute_path_without_a_workspace_is_left_out() -> None:
    """Without a workspace nothing is relative to it."""
    finding = dataclasses.replace(failing().findings[0], call_site=CallSite("/a.py", 1, "f"))
    commands = annotations([dataclasses.replace(failing(), findings=(finding,))], {"GITHUB_ACTIONS": "1"})
    assert commands[0].startswith("::error title=")


def test_finding_without_place_or_fix() -> None:
    """A finding that has neither call site nor story is annotated without a place."""
    bare = dataclasses.replace(failing().findings[0], call_site=None, story=None)
    command = annotations([dataclasses.replace(failing(), findings=(bare,))], ENVIRON)[0]
    assert command.startswith("::error title=") and "Fix:" not in command


def test_at_most_ten_annotations() -> None:
    """GitHub shows ten; the tenth says how many more there are."""
    commands = annotations([_many(30)], ENVIRON)
    assert len(commands) == ANNOTATIONS_MAXIMUM
    assert "22 more" in commands[-1]


def test_hostile_text_injects_no_command() -> None:
    """A command is one line; its properties end where they should."""
    for command in annotations([hostile()], ENVIRON):
        assert command.isprintable()
        assert re.fullmatch(r"::(error|warning) (file=[^,:]+,line=\d+,)?title=[^,:]+::.*", command)
        assert "%250A" not in command.replace("%250A", "") and "[NUL]" in command


def test_summary_shows_hostile_text_as_text() -> None:
    """Markup is escaped outside of code blocks, and a code block ends where it should."""
    summary = job_summary([hostile()])
    prose = re.sub(r"(`{3,})text\n.*?\n\1", "", summary, flags=re.DOTALL)
    assert "<script" not in prose and "<img" not in prose and "**" not in prose
    assert "&lt;script&gt;" in prose
    assert all(line.isprintable() for line in summary.split("\n"))


def test_fence_is_longer_than_any_run_of_backticks() -> None:
    """Backticks of the store cannot end the block."""
    finding = dataclasses.replace(failing().findings[0], summary="x ````` y")
    assert "\n``````text\n" in job_summary([dataclasses.replace(failing(), findings=(finding,))])


def test_summary_stays_below_its_limit_and_keeps_every_verdict() -> None:
    """Stories are left out first, and their number is said; no store's verdict is."""
    long = tuple(dataclasses.replace(f, operations=("x" * 2_000,) * 12) for f in _many(60).findings)
    summary = job_summary([dataclasses.replace(failing(), findings=long), passing()])
    assert len(summary.encode()) < 2**20
    assert "left out to stay below the size limit" in summary
    assert "## \u2713 metrics: No violation found" in summary


def test_finding_without_call_site_in_the_summary() -> None:
    """The summary of a finding without a place names none."""
    bare = dataclasses.replace(failing().findings[0], call_site=None)
    assert "Breaks power&#95;loss under strict and max-loss.\n" in job_summary(
        [dataclasses.replace(failing(), findings=(bare,))]
    )
    assert failing().verdict is Verdict.FAIL
