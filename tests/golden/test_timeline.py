"""The picture of a story: what is folded, where marks, bars and the crash line go."""

from __future__ import annotations

import dataclasses
import itertools

from harness.core.evidence import Finding, Story, TimelineItem
from harness.core.trace import MarkerKind
from harness.report.timeline import FOCUS_MAXIMUM, FOLD_MINIMUM, NARROW, WIDE, Drawing, Fold, draw, fold
from harness.report.words import FIRST_CRASH, endings, marker_kind
from tests.golden.sample import SITE_WRITE, call, failing, long_timeline, moment


def _finding(certificate_finding: int = 0) -> tuple[Finding, Story]:
    finding = failing().findings[certificate_finding]
    assert finding.story is not None
    return finding, finding.story


def _drawing(timeline: tuple[TimelineItem, ...], crash_after: int, claim: str = "power_loss") -> Drawing:
    finding, story = _finding()
    story = dataclasses.replace(story, timeline=timeline, crash_after=crash_after)
    return draw(dataclasses.replace(finding, claim=claim), story, WIDE)


def _writes(first: int, number: int, fate: str, operation: int) -> list[TimelineItem]:
    return [
        call(first + n, "os.write", f"write {first + n}", fate, operation, SITE_WRITE) for n in range(number)
    ]


def test_lost_call_is_never_folded() -> None:
    """Whatever was lost is a row of its own, however long the timeline, as long as rows suffice."""
    for earlier, operation in ((0, 10), (300, 50), (300, 200), (300, 500)):
        _, story = _story_of(long_timeline(earlier, operation))
        lost = [item for item in story.timeline if item.fate == "lost"]
        assert set(lost) <= set(fold(story.timeline, story.crash_after))


def test_short_timeline_is_shown_whole() -> None:
    """Nothing is folded that is short, or that belongs to the operation concerned."""
    _, story = _finding(1)
    assert fold(story.timeline, story.crash_after) == story.timeline


def _story_of(certificate: object) -> tuple[Finding, Story]:
    finding = certificate.findings[0]  # type: ignore[attr-defined]
    assert finding.story is not None
    return finding, finding.story


def test_fold_is_complete_and_in_order() -> None:
    """Folding loses no item and changes no order."""
    _, story = _story_of(long_timeline(300, 400))
    entries = fold(story.timeline, story.crash_after)
    flat = [item for entry in entries for item in (entry.items if isinstance(entry, Fold) else (entry,))]
    assert tuple(flat) == story.timeline


def test_huge_operation_is_limited() -> None:
    """An operation of thousands of calls, half of them lost, still gives a picture of readable length."""
    items = [moment(0, MarkerKind.BEGIN, "begins", 0)]
    items += [call(1 + n, "w", "w", "lost" if n % 2 else "kept", 0, None) for n in range(4_000)]
    assert len(fold(tuple(items), 4_000)) <= FOLD_MINIMUM * FOCUS_MAXIMUM


def test_fold_counts_calls_by_fate() -> None:
    """A folded block says how many calls it stands for, and what became of them."""
    calls = _writes(0, 3, "durable", 0) + _writes(3, 2, "none", 0)
    assert str(Fold(tuple(calls), "earlier")) == "5 earlier calls: 3 durable, 2 no effect"
    assert str(Fold(tuple(calls[:1]), "later")) == "1 later call, durable"
    markers = (moment(0, MarkerKind.BEGIN, "b", 0), moment(1, MarkerKind.ACKNOWLEDGE, "a", 0))
    assert str(Fold(markers, "earlier")) == "2 moments of the client"


def test_crash_line_comes_after_the_last_call_that_ran() -> None:
    """The line is below everything that ran and above everything that did not."""
    drawing = _drawing((*_writes(0, 2, "kept", 0), *_writes(2, 2, "after", 0)), 1)
    kinds = [(row.kind, row.fate) for row in drawing.rows]
    assert kinds == [("call", "kept")] * 2 + [("crash", "crash")] + [("call", "after")] * 2
    assert drawing.crash == drawing.rows[2].y


def test_crash_before_and_after_everything() -> None:
    """A crash before the first call, and one after the last, have their line too."""
    assert _drawing(tuple(_writes(0, 2, "after", 0)), -1).rows[0].kind == "crash"
    assert _drawing(tuple(_writes(0, 2, "kept", 0)), 1).rows[-1].kind == "crash"


def test_story_without_a_crash_has_no_line() -> None:
    """Concurrent writers need no crash: no line is drawn."""
    drawing = _drawing(tuple(_writes(0, 2, "kept", 0)), -1, claim="writers")
    assert drawing.crash is None
    assert all(row.kind == "call" for row in drawing.rows)


def test_unacknowledged_operation_ends_at_the_crash() -> None:
    """The bar of an operation in progress reaches to the crash line; that of an acknowledged one does not."""
    timeline = (
        moment(0, MarkerKind.BEGIN, "b", 0),
        *_writes(1, 1, "kept", 0),
        moment(2, MarkerKind.ACKNOWLEDGE, "a", 0),
        moment(3, MarkerKind.BEGIN, "b", 1),
        *_writes(4, 1, "lost", 1),
    )
    drawing = _drawing(timeline, 4)
    first, second = drawing.bars
    assert (first.ending, second.ending) == ("acknowledged", "not acknowledged")
    assert drawing.crash is not None
    assert first.bottom < second.bottom == drawing.crash


def test_concurrent_operations_have_lanes_of_their_own() -> None:
    """Operations at the same time stand side by side; later ones use a lane again."""
    timeline = (
        moment(0, MarkerKind.BEGIN, "b", 0),
        moment(1, MarkerKind.BEGIN, "b", 1),
        *_writes(2, 1, "lost", 0),
        *_writes(3, 1, "torn", 1),
        moment(4, MarkerKind.ACKNOWLEDGE, "a", 0),
        moment(5, MarkerKind.ACKNOWLEDGE, "a", 1),
        moment(6, MarkerKind.BEGIN, "b", 2),
        *_writes(7, 1, "lost", 2),
    )
    first, second, third = _drawing(timeline, 7).bars
    assert first.x < second.x
    assert third.x == first.x


def test_folded_operation_has_no_bar() -> None:
    """An operation that is folded away whole is not drawn."""
    finding, story = _story_of(long_timeline(300, 10))
    assert [bar.label for bar in draw(finding, story, WIDE).bars] == ["2"]


def test_retry_does_not_stretch_a_bar() -> None:
    """An operation that begins again keeps the place of its first beginning."""
    timeline = (
        moment(0, MarkerKind.BEGIN, "b", 0),
        *_writes(1, 1, "lost", 0),
        moment(2, MarkerKind.FAIL, "f", 0),
        moment(3, MarkerKind.BEGIN, "again", 0),
    )
    drawing = _drawing(timeline, 3)
    assert drawing.bars[0].top == drawing.rows[0].y


def test_rows_do_not_overlap() -> None:
    """Each row begins where the one before ends, in both sizes."""
    finding, story = _finding()
    for size in (WIDE, NARROW):
        rows = draw(finding, story, size).rows
        for before, after in itertools.pairwise(rows):
            assert after.top >= before.top + before.height - 12


def _endings(*timeline: TimelineItem, crash_after: int = 9) -> dict[int, str]:
    return endings(dataclasses.replace(_finding()[1], timeline=timeline, crash_after=crash_after))


def test_endings_read_markers_by_value_and_by_name() -> None:
    """Markers are understood as the value or the name of the enumeration; others are no moments."""
    by_name = TimelineItem(0, "a", "none", 3, marker="acknowledge")
    assert marker_kind(by_name) is MarkerKind.ACKNOWLEDGE
    assert marker_kind(TimelineItem(0, "a", "none", 3, marker="something else")) is None
    assert _endings(by_name, moment(1, MarkerKind.FAIL, "f", 4)) == {3: "acknowledged", 4: "raised"}


def test_acknowledgement_after_the_crash_is_none() -> None:
    """What came after the crash tells nothing about the operation."""
    late = moment(1, MarkerKind.ACKNOWLEDGE, "a", 0)
    assert _endings(moment(0, MarkerKind.BEGIN, "b", 0), late, crash_after=0) == {0: "not acknowledged"}


def test_crash_during_recovery_has_two_lines() -> None:
    """The first crash ends the bars; the second one ends the story. Operations after the first count anew."""
    timeline = (
        moment(0, MarkerKind.BEGIN, "b", 0),
        *_writes(1, 1, "lost", 0),
        TimelineItem(2, "the first crash; the store is opened again", "none", -1, marker=FIRST_CRASH),
        *_writes(3, 1, "lost", -1),
        moment(4, MarkerKind.ACKNOWLEDGE, "a", 0),
    )
    drawing = _drawing(timeline, 4)
    assert [row.kind for row in drawing.rows] == ["marker", "call", "crash", "call", "marker", "crash"]
    assert drawing.crash == drawing.rows[2].y == drawing.bars[0].bottom
    assert drawing.bars[0].ending == "not acknowledged"
