"""The picture of a story: which calls are shown, which are folded, and where each mark goes.

Time runs down. From left to right: the operations of the client as bars from their beginning to
their acknowledgement, the calls of the store, the disk, and the call in words. What was lost does
not arrive at the disk. All measures are CSS pixels; the templates draw, nothing here does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from harness.core.evidence import Finding, Story, TimelineItem
from harness.core.trace import MarkerKind
from harness.report.text import count, visible, wrap
from harness.report.words import (
    FATES,
    FIRST_CRASH,
    NOT_ACKNOWLEDGED,
    READ_EARLY,
    crash_words,
    endings,
    last_before_crash,
    marker_kind,
)

FOLD_MINIMUM = 4
AFTER_SHOWN = 3
FOCUS_MAXIMUM = 60
#: How many neighbours of what was lost are shown where an operation is too long to be shown whole.
NEAR = (4, 1, 0)
LANES_MAXIMUM = 4
LANE_WIDTH = 14
CRASH = "crash"
SITE_CHARACTERS = 22
#: Moments of the client are set in bold, so fewer characters fit on a line.
BOLD_FEWER = 4

_CLIENT_CRASH_CLAIMS = ("process_crash", "power_loss")


@dataclass(frozen=True, slots=True)
class Fold:
    """Consecutive lines that are shown as one."""

    items: tuple[TimelineItem, ...]
    when: str

    def __str__(self) -> str:
        calls = [item for item in self.items if not item.marker]
        fates = Counter(FATES.get(item.fate, (item.fate, ""))[0] or "without effect" for item in calls)
        if not calls:
            return f"{count(len(self.items), 'moment')} of the client"
        named = count(len(calls), f"{self.when} call".strip())
        if len(fates) == 1:
            return f"{named}, {'all ' if len(calls) > 1 else ''}{next(iter(fates))}"
        return f"{named}: " + ", ".join(f"{number} {fate}" for fate, number in fates.most_common())


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the picture; `y` is the middle of its first line of text."""

    kind: str
    fate: str
    word: str
    number: str
    lines: tuple[str, ...]
    site: str
    title: str
    y: int
    top: int
    height: int


@dataclass(frozen=True, slots=True)
class Bar:
    """An operation of the client, from beginning to end, in its own lane."""

    label: str
    ending: str
    x: int
    top: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Size:
    """Where the columns are, how many characters a line of text may have, and the height of lines."""

    name: str
    columns: int
    first_lane: int
    store_gap: int
    disk_gap: int
    text_gap: int
    line: int
    padding: int
    meta: int


WIDE = Size("wide", 56, first_lane=48, store_gap=40, disk_gap=58, text_gap=84, line=17, padding=7, meta=0)
NARROW = Size(
    "narrow", 29, first_lane=10, store_gap=26, disk_gap=34, text_gap=16, line=16, padding=8, meta=15
)


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything to draw, in pixels from the upper left corner."""

    size: Size
    rows: tuple[Row, ...]
    bars: tuple[Bar, ...]
    store: int
    disk: int
    text: int
    top: int
    crash: int | None
    height: int


def fold(timeline: tuple[TimelineItem, ...], crash_after: int) -> tuple[TimelineItem | Fold, ...]:
    """The timeline with what does not matter for the story folded away.

    Shown in full: what was lost or torn, the operations it belongs to, the operation in progress
    at the crash, and the first lines after it.
    """
    shown = _shown(timeline, crash_after)
    entries: list[TimelineItem | Fold] = []
    position = 0
    for (visible_, after), group in groupby(
        enumerate(timeline), lambda pair: (pair[0] in shown, pair[1].index > crash_after)
    ):
        items = tuple(item for _, item in group)
        if visible_ or len(items) < FOLD_MINIMUM:
            entries.extend(items)
        else:
            entries.append(Fold(items, "later" if after else "earlier" if not position else "further"))
        position += len(items)
    return tuple(entries)


def _shown(timeline: tuple[TimelineItem, ...], crash_after: int) -> set[int]:
    before = [at for at, item in enumerate(timeline) if item.index <= crash_after]
    reached = len(before)
    important = {at for at in before if timeline[at].fate in ("lost", "torn")} | set(before[-1:])
    operations = {timeline[at].operation for at in important} - {-1}
    focus = {at for at in before if timeline[at].operation in operations} | important
    marks = important | {at for at in focus if timeline[at].marker}
    for near in NEAR:
        if len(focus) > FOCUS_MAXIMUM:
            focus &= {at + offset for at in marks for offset in range(-near, near + 1)}
    if len(focus) > FOCUS_MAXIMUM:
        ordered, half = sorted(focus), FOCUS_MAXIMUM // 2
        focus = {*ordered[:half], *ordered[-half:]}
    return focus | set(range(reached, reached + AFTER_SHOWN))


def draw(finding: Finding, story: Story, size: Size) -> Drawing:
    """The picture of `story` in one of the two sizes."""
    entries = fold(story.timeline, story.crash_after)
    lanes = _lanes(story.timeline)
    store = size.first_lane + LANE_WIDTH * (max(lanes.values(), default=0)) + size.store_gap
    top = 26
    rows, crash, height = _rows(entries, finding, story, size, top)
    return Drawing(
        size=size,
        rows=rows,
        bars=_bars(entries, rows, lanes, story, size, crash),
        store=store,
        disk=store + size.disk_gap,
        text=store + size.disk_gap + size.text_gap,
        top=top,
        crash=crash,
        height=height,
    )


def _rows(
    entries: tuple[TimelineItem | Fold, ...], finding: Finding, story: Story, size: Size, top: int
) -> tuple[tuple[Row, ...], int | None, int]:
    crash_at = _crash_position(entries, story.crash_after, finding.claim)
    crash: int | None = None
    rows: list[Row] = []
    for position in range(len(entries) + 1):
        if position == crash_at:
            rows.append(_row("crash", CRASH, (crash_words(finding.claim),), size, top + 5))
            crash, top = crash or rows[-1].y, top + 34
        if position < len(entries):
            rows.append(_entry_row(entries[position], size, top, story.crash_after))
            top += rows[-1].height
            crash = rows[-1].y if rows[-1].kind == "crash" and crash is None else crash
    return tuple(rows), crash, top + 6


def _crash_position(entries: tuple[TimelineItem | Fold, ...], crash_after: int, claim: str) -> int | None:
    """Before which entry the crash comes; None where the story has no such moment."""
    if crash_after < 0 and claim not in _CLIENT_CRASH_CLAIMS:
        return None
    for position, entry in enumerate(entries):
        first = entry.items[0] if isinstance(entry, Fold) else entry
        if first.index > crash_after:
            return position
    return len(entries)


def _entry_row(entry: TimelineItem | Fold, size: Size, top: int, crash_after: int) -> Row:
    if isinstance(entry, Fold):
        return _row("fold", "fold", wrap(str(entry), size.columns, 3), size, top)
    if entry.marker == FIRST_CRASH:
        return _row("crash", FIRST_CRASH + " first", wrap(entry.text, size.columns // 2, 1), size, top)
    kind = "marker" if entry.marker else "call"
    return _row(
        kind,
        "after" if entry.index > crash_after else entry.fate,
        wrap(entry.text, size.columns - (BOLD_FEWER if entry.marker else 0), 3),
        size,
        top,
        number=str(entry.index),
        site=_short_site(entry),
        title=entry.text,
    )


def _row(
    kind: str,
    fate: str,
    lines: tuple[str, ...],
    size: Size,
    top: int,
    *,
    number: str = "",
    site: str = "",
    title: str = "",
) -> Row:
    word = FATES.get(fate, ("",))[0] if kind == "call" else ""
    meta = size.meta if word or site else 0
    height = size.line * len(lines) + size.padding + meta
    return Row(kind, fate, word, number, lines, site, title, top + size.padding // 2 + 8, top, height)


def _short_site(item: TimelineItem) -> str:
    if item.site is None:
        return ""
    return visible(f"{item.site.file.replace(chr(92), '/').rsplit('/', 1)[-1]}:{item.site.line}")[
        -SITE_CHARACTERS:
    ]


def _lanes(timeline: tuple[TimelineItem, ...]) -> dict[int, int]:
    """A lane for each operation, such that operations at the same time are in different ones."""
    spans: dict[int, tuple[int, int]] = {}
    for item in timeline:
        if item.operation >= 0:
            first, _ = spans.get(item.operation, (item.index, item.index))
            spans[item.operation] = (first, item.index)
    free_from: list[int] = []
    lanes: dict[int, int] = {}
    for operation, (first, last) in sorted(spans.items(), key=lambda pair: pair[1]):
        lane = next((n for n, end in enumerate(free_from) if end < first), len(free_from))
        free_from[lane : lane + 1] = [last]
        lanes[operation] = min(lane, LANES_MAXIMUM - 1)
    return lanes


def _bars(
    entries: tuple[TimelineItem | Fold, ...],
    rows: tuple[Row, ...],
    lanes: dict[int, int],
    story: Story,
    size: Size,
    crash: int | None,
) -> tuple[Bar, ...]:
    ended = endings(story)
    own_rows = tuple(row for row in rows if row.fate != CRASH)
    spans = _spans(entries, own_rows, last_before_crash(story))
    bars = []
    for operation, (top, bottom) in spans.items():
        ending = ended.get(operation, NOT_ACKNOWLEDGED)
        cut = ending in (NOT_ACKNOWLEDGED, READ_EARLY) and crash is not None
        x = size.first_lane + LANE_WIDTH * lanes[operation]
        bars.append(Bar(str(operation + 1), ending, x, top, crash if cut and crash is not None else bottom))
    return tuple(bars)


def _spans(
    entries: tuple[TimelineItem | Fold, ...], rows: tuple[Row, ...], last: int
) -> dict[int, tuple[int, int]]:
    """From where to where each operation reaches that has at least one line of its own before the crash."""
    spans: dict[int, tuple[int, int]] = {}
    own: set[int] = set()
    for entry, row in zip(entries, rows, strict=True):
        for item in _items(entry):
            if item.operation < 0 or item.index > last or _ended(item, spans):
                continue
            top, _ = spans.get(item.operation, (row.y, row.y))
            spans[item.operation] = (top, row.y)
            own |= {item.operation} if not isinstance(entry, Fold) else set()
    return {operation: span for operation, span in spans.items() if operation in own}


def _items(entry: TimelineItem | Fold) -> Iterable[TimelineItem]:
    return entry.items if isinstance(entry, Fold) else (entry,)


def _ended(item: TimelineItem, spans: dict[int, tuple[int, int]]) -> bool:
    """A second beginning of a known operation (a retry after recovery) does not stretch its bar."""
    return marker_kind(item) is MarkerKind.BEGIN and item.operation in spans
