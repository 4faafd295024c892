"""A finding as plain text: a short program, where it was cut, what was lost, and how to see it again.

The whole story is for JUnit, the job summary and `harness replay`; the console has the gist of it. Every line that
holds text of the store begins with text of ours: a line can then never be taken for a workflow command.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from harness.core.evidence import FileView, Finding, Fix, Story
from harness.report.text import content_lines, count, shorten, visible
from harness.report.words import crash_words, endings, happens_under, kind_words

TEXT_CHARACTERS = 2_000
PREVIEW_CHARACTERS = 600
LIST_LINES = 60
#: On the console: characters of a line, steps of a program, and lost calls.
GIST_CHARACTERS = 400
GIST_STEPS = 5
GIST_LOST = 2

#: What a program says where the client closes the store, or closes it and opens it again.
REOPEN, CLOSE = "Reopen()", "close()"
_MAINTENANCE = {REOPEN: "close and open again", CLOSE: "close"}
#: What stands between an operation and how it ended, where the program itself says that.
ENDING = "  # "

_SENTENCES = ("told", "called", "reached", "found", "expected")


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a program and how it ended; a reopening or a crash has no number."""

    number: int | None
    text: str
    ending: str
    crash: bool


def story_text(finding: Finding) -> str:
    """The finding as lines of plain text, without colour and without a newline at the end."""
    return "\n".join(_lines(finding))


def gist(finding: Finding, like: int = 0) -> Iterator[str]:
    """What is broken, at which line, after which operations, what was lost and what to do: each in one line.

    Where finding number `like` says all that already, only what differs.
    """
    yield from _heading(finding, like)
    if not like:
        yield from _gist_of_story(finding)
    yield f"  replay    {_text(finding.replay)}"


def _gist_of_story(finding: Finding) -> Iterator[str]:
    story = finding.story
    if finding.operations:
        yield f"  program   {_gist_of_program(finding)}"
    if story is not None and story.lost:
        more = f", and {len(story.lost) - GIST_LOST} more" if len(story.lost) > GIST_LOST else ""
        yield f"  lost      {_short('; '.join(story.lost[:GIST_LOST]))}{more}"
    elif story is not None and story.reached.rstrip(".") not in finding.summary:
        yield f"  reached   {_short(story.reached)}"
    if story is not None and story.fix is not None:
        yield f"  {_fix_label(story.fix):<9} {_short(story.fix.sentence)}"


def _gist_of_program(finding: Finding) -> str:
    """The last steps, each once in a row, without a fault that the summary tells."""
    program, summary = steps(finding), finding.summary.lower()
    told = [step for step in program if not (step.crash and step.text.removeprefix("fault: ").lower() in summary)]
    texts = [f"{step.text} ({step.ending})" if step.ending else step.text for step in told]
    texts = [text for text, _ in itertools.groupby(texts)]
    if finding.story is not None and not any(step.crash for step in program):
        texts.append(crash_words(finding.claim))
    left_out = len(texts) - GIST_STEPS
    more = f"{count(left_out, 'step')}, then " if left_out > 0 else ""
    return f"{more}{'; '.join(_short(text) for text in texts[-GIST_STEPS:])}"


def _short(text: str) -> str:
    return visible(shorten(text, GIST_CHARACTERS))


def _lines(finding: Finding) -> Iterator[str]:
    yield from _heading(finding)
    yield from _program(finding)
    if finding.story is not None:
        yield from _told(finding.story)
        yield from _files(finding.story)
        yield from _fix(finding.story.fix)
    yield f"  replay    {_text(finding.replay)}"


def _heading(finding: Finding, like: int = 0) -> Iterator[str]:
    yield f"{_text(kind_words(finding.kind))}: {_text(finding.summary)}"
    if like:
        yield f"  like      [{like}]: the same kind, in the same function"
    else:
        yield f"  broken    {_text(happens_under(finding))} (scenario {_text(finding.scenario)})"
    if finding.call_site is not None:
        yield f"  at        {_text(str(finding.call_site))}"
    if not finding.confirmed:
        yield "  flaky     it did not happen again in a fresh interpreter"


def _text(text: str) -> str:
    return visible(shorten(text, TEXT_CHARACTERS))


def _program(finding: Finding) -> Iterator[str]:
    yield "  program"
    program = steps(finding)
    for step in program[:LIST_LINES]:
        ending = f"  # {step.ending}" if step.ending else ""
        yield f"    {step.number or '--':>2}  {_text(step.text)}{ending}"
    if len(program) > LIST_LINES:
        yield f"        ({len(program) - LIST_LINES} more)"
    if finding.story is not None and not any(step.crash for step in program):
        yield f"    --  {crash_words(finding.claim)}"
    if finding.story is not None:
        yield from _last_call(finding.story)


def steps(finding: Finding) -> tuple[Step, ...]:
    """The shortest program: operations numbered as in the timeline, between them reopenings and crashes."""
    ended = endings(finding.story) if finding.story is not None else {}
    found: list[Step] = []
    number = 0
    for text in finding.operations:
        crash = text.startswith("<") and text.endswith(">")
        text, _, ending = text.partition(ENDING)
        if crash or text in (REOPEN, CLOSE):
            found.append(Step(None, text[1:-1] if crash else _MAINTENANCE[text], "", crash))
        else:
            number += 1
            found.append(Step(number, text, ending or ended.get(number - 1, ""), False))
    return tuple(found)


def _last_call(story: Story) -> Iterator[str]:
    before = [item for item in story.timeline if item.index <= story.crash_after]
    if before:
        yield f"  crash     after: {_text(before[-1].text)}"


def _told(story: Story) -> Iterator[str]:
    for number, lost in enumerate(story.lost[:LIST_LINES]):
        yield f"  {'and' if number else 'lost':<9} {_text(lost)}"
    for name in _SENTENCES:
        yield f"  {name:<9} {_text(getattr(story, name))}"


def _files(story: Story) -> Iterator[str]:
    yield from _views("written", story.files_written)
    yield from _views("crashed", story.files_after_crash)
    yield from _views("recovered", story.files_recovered)


def _views(label: str, views: tuple[FileView, ...]) -> Iterator[str]:
    for number, view in enumerate(views[:LIST_LINES]):
        note = f", {_text(view.note)}" if view.note else ""
        yield f"  {'and' if number else label:<9} {_text(view.path)} ({count(view.size, 'byte')}{note})"
        for line in content_lines(view.preview, PREVIEW_CHARACTERS) if view.preview else ():
            yield f"            | {line}"


def _fix_label(fix: Fix) -> str:
    return "fix" if fix.works else "advice"


def _fix(fix: Fix | None) -> Iterator[str]:
    if fix is None:
        return
    yield f"  {_fix_label(fix):<9} {_text(fix.sentence)}"
    for site in fix.sites:
        yield f"            at {_text(str(site))}"
