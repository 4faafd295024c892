"""What became of a history, as text and as one HTML page: the verdict, the contradiction or the order that was found,
and all clients over time.

The picture has a lane for each client; coordinates are per cent of the width, so that it fits any screen without a
script. Where there is too much to see, it shows what is around the contradiction, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from harness.core.history import Called, Disturbance, History, Outcome
from harness.core.operations import READS, describe
from harness.core.verdict import Verdict
from harness.history.telling import Teller
from harness.history.values import LOST_UPDATE, Checked
from harness.report.console import Line
from harness.report.html import content_security_policy, page_environment, source
from harness.report.text import count, duration, listed, shorten, visible
from harness.report.words import VERDICTS

#: More operations are neither drawn nor listed, and more clients have no lane.
_MOST_SHOWN = 200
_MOST_LANES = 32
_LANE_HEIGHT = 42
_LEAST_WIDTH = 0.7
_TICKS = 4
_TEXT = 120

_HEADLINES = {
    Verdict.PASS: "linearizable",
    Verdict.FAIL: "not linearizable",
    Verdict.UNKNOWN: "undecided",
}
_OUTCOMES = {Outcome.OK: "answered", Outcome.FAIL: "refused", Outcome.INFO: "no answer"}
_STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.UNKNOWN: "yellow"}


def headline(checked: Checked) -> str:
    """The verdict in a few words."""
    if checked.verdict is Verdict.FAIL and checked.kind == LOST_UPDATE:
        return "an update was lost"
    return _HEADLINES[checked.verdict]


def statement(checked: Checked) -> str:
    """Why, in a sentence or two."""
    if checked.verdict is Verdict.UNKNOWN:
        return f"{checked.reason[:1].upper()}{checked.reason[1:]}. To decide it: {checked.hint}."
    if checked.contradiction is not None:
        return checked.contradiction.sentence
    return f"One order of {count(len(checked.order), 'operation')} explains every answer."


def history_lines(history: History, checked: Checked, name: str, model: str) -> Iterator[Line]:
    """The verdict, the contradiction with its operations, and what it took, for the console."""
    title = f"{VERDICTS[checked.verdict].icon} {_text(name)}: {headline(checked)}"
    yield Line(title, _STYLES[checked.verdict], len(title))
    yield Line(f"  {visible(statement(checked))}")
    if checked.contradiction is not None:
        if checked.verdict is Verdict.UNKNOWN:
            yield Line(f"  found: {visible(checked.contradiction.sentence)}")
        for called in checked.contradiction.operations:
            yield Line(f"    {_text(_told(called))}")
    yield Line(f"  {effort(history, checked, model)}")


def effort(history: History, checked: Checked, model: str) -> str:
    """What was judged, by what, and how long it took."""
    by = f", by {listed(checked.deciders)}" if checked.deciders else ""
    steps = f" with {count(checked.steps, 'step')}" if checked.steps else ""
    clients = count(len(history.clients), "client")
    return (
        f"{count(len(history), 'operation')} of {clients}, model {visible(model)}{by}{steps}, "
        f"{duration(checked.seconds)}"
    )


def _told(called: Called) -> str:
    answer = f" -> {describe(called.answer)}" if called.outcome is Outcome.OK else f" ({_OUTCOMES[called.outcome]})"
    return f"client {called.client}: {describe(called.operation)}{answer}"


def _text(text: str) -> str:
    return visible(shorten(text, _TEXT))


# --- the page --------------------------------------------------------------------------------------


def render_history(history: History, checked: Checked, name: str, model: str) -> str:
    """The page, complete; write it as UTF-8."""
    style = source("style.css") + source("histories.css")
    return page_environment().get_template("histories.html.j2").render(
        checked=checked,
        effort=effort(history, checked, model),
        headline=headline(checked),
        name=name,
        picture=_Drawing(history, checked).picture(),
        policy=content_security_policy(style),
        statement=statement(checked),
        style=Markup(style),
        verdicts=VERDICTS,
    )


@dataclass(frozen=True, slots=True)
class Bar:
    """An operation in its lane; `x`, `width` and `point` (where it is placed) are per cent of the width."""

    x: float
    width: float
    outcome: str
    title: str
    mark: str
    point: float | None
    stuck: bool


@dataclass(frozen=True, slots=True)
class Lane:
    """One client; `y` is the top of its bars in pixels."""

    client: int
    y: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Band:
    """A fault while it lasted."""

    x: float
    width: float
    what: str
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """An operation in the table."""

    mark: str
    place: str
    client: int
    operation: str
    called: str
    answered: str
    outcome: str
    answer: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything to draw and to list."""

    lanes: tuple[Lane, ...]
    bands: tuple[Band, ...]
    ticks: tuple[tuple[float, str], ...]
    rows: tuple[Row, ...]
    height: int
    left_out: str
    told: dict[int, str]


class _Drawing:
    """A history on the way to its picture."""

    def __init__(self, history: History, checked: Checked) -> None:
        self._history = history
        self._checked = checked
        self._teller = Teller(history)
        against = checked.contradiction.operations if checked.contradiction is not None else ()
        self._marks = {called.number: str(place) for place, called in enumerate(against, 1)}
        self._shown = _around(history, against)
        times = [called.invoked_ns for called in self._shown]
        ends = [called.completed_ns or called.invoked_ns for called in self._shown]
        self._from, self._to = min(times, default=0), max(ends, default=0)
        self._placed = {placed.number: (place, placed.at_ns) for place, placed in enumerate(checked.order, 1)}

    def picture(self) -> Picture:
        clients = sorted({called.client for called in self._shown})
        lanes = tuple(self._lane(client, place) for place, client in enumerate(clients[:_MOST_LANES]))
        bands = tuple(self._band(one) for one in self._history.disturbances if self._is_seen(one))
        ticks = tuple(self._tick(place) for place in range(_TICKS + 1))
        rows = tuple(map(self._row, self._shown))
        told = {called.number: self._told(called) for called in self._shown if called.number in self._marks}
        return Picture(lanes, bands, ticks, rows, len(lanes) * _LANE_HEIGHT, self._left_out(len(clients)), told)

    def _told(self, called: Called) -> str:
        ended = self._teller.time(called.completed_ns or 0)
        times = f"from {self._teller.time(called.invoked_ns)}"
        times += f" to {ended}" if called.outcome is Outcome.OK else ", never answered"
        answer = f" returned {self._answer(called)}" if isinstance(called.operation, READS) else ""
        return f"{self._event(called)}, {times}{answer}"

    def _left_out(self, clients: int) -> str:
        missing = len(self._history) - len(self._shown)
        parts = [f"{count(missing, 'more operation')} before and after these"] if missing else []
        if clients > _MOST_LANES:
            parts.append(f"{count(clients - _MOST_LANES, 'more client')} in the table alone")
        return listed(parts, "")

    def _x(self, at_ns: float) -> float:
        span = max(1, self._to - self._from)
        return round(max(0.0, min(100.0, 1 + 98 * (at_ns - self._from) / span)), 3)

    def _lane(self, client: int, place: int) -> Lane:
        mine = [called for called in self._shown if called.client == client]
        mine.sort(key=lambda called: called.outcome is not Outcome.INFO)  # those that never end lie below
        return Lane(client, place * _LANE_HEIGHT, tuple(map(self._bar, mine)))

    def _bar(self, called: Called) -> Bar:
        x = self._x(called.invoked_ns)
        end = 100.0 if called.outcome is Outcome.INFO else self._x(called.completed_ns or called.invoked_ns)
        placed = self._placed.get(called.number)
        point = None if placed is None else self._x(placed[1])
        number = called.number
        return Bar(
            x=x,
            width=round(max(_LEAST_WIDTH, end - x), 3),
            outcome=called.outcome.value,
            title=f"{self._event(called)}: {self._answer(called)}",
            mark=self._marks.get(number, ""),
            point=None if point is None else min(max(point, x), x + max(_LEAST_WIDTH, end - x)),
            stuck=number in self._checked.stuck,
        )

    def _event(self, called: Called) -> str:
        return f"{describe(called.operation)} by client {called.client}"

    def _answer(self, called: Called) -> str:
        if called.outcome is Outcome.OK:
            return describe(called.answer)
        return _OUTCOMES[called.outcome] + (f": {called.error}" if called.error else "")

    def _is_seen(self, one: Disturbance) -> bool:
        return one.began_ns <= self._to and one.ended_ns >= self._from

    def _band(self, one: Disturbance) -> Band:
        x = self._x(one.began_ns)
        width = round(max(_LEAST_WIDTH, self._x(one.ended_ns) - x), 3)
        return Band(x, width, one.what, f"{self._teller.time(one.began_ns)} to {self._teller.time(one.ended_ns)}")

    def _tick(self, place: int) -> tuple[float, str]:
        at = self._from + (self._to - self._from) * place / _TICKS
        return self._x(at), self._teller.time(at)

    def _row(self, called: Called) -> Row:
        placed = self._placed.get(called.number)
        place = f"{placed[0]:,}" if placed is not None else "none fits" if called.number in self._checked.stuck else ""
        answered = called.outcome is not Outcome.INFO and called.completed_ns is not None
        return Row(
            mark=self._marks.get(called.number, ""),
            place=place,
            client=called.client,
            operation=describe(called.operation),
            called=self._teller.time(called.invoked_ns),
            answered=self._teller.time(called.completed_ns or 0) if answered else "never",
            outcome=_OUTCOMES[called.outcome],
            answer=self._answer(called) if called.outcome is Outcome.OK else called.error,
        )


def _around(history: History, against: tuple[Called, ...]) -> list[Called]:
    """The operations to show: all, or those of the contradiction and as many around its end as there is room for."""
    every = list(history.operations)
    if len(every) <= _MOST_SHOWN:
        return every
    middle = max((called.invoked_ns for called in against), default=0)
    numbers = {called.number for called in against}
    near = sorted(every, key=lambda called: (called.number not in numbers, abs(called.invoked_ns - middle)))
    return sorted(near[:_MOST_SHOWN], key=lambda called: (called.invoked_ns, called.number))

