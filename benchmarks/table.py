"""What a benchmark answers: a table of figures, in three forms: for a terminal, a document, a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `form` is how its values are written (format specification mini-language)."""

    title: str
    form: str = "s"


@dataclass(frozen=True, slots=True)
class Table:
    """Figures of one benchmark. A value that could not be had is `None` or NaN, and shows as a dash."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...] = ()

    def cells(self) -> list[list[str]]:
        """All values as text, row by row."""
        return [[_cell(value, column) for value, column in zip(row, self.columns, strict=True)] for row in self.rows]

    def document(self) -> dict[str, Any]:
        """For JSON, which knows no NaN: the values as they were measured, or null."""
        titles = [column.title for column in self.columns]
        rows = [dict(zip(titles, map(_known, row), strict=True)) for row in self.rows]
        return {"name": self.name, "title": self.title, "rows": rows, "notes": list(self.notes)}


def _known(value: Any) -> Any:
    """`None` for NaN, the one value that does not equal itself."""
    return value if value == value else None


def _cell(value: Any, column: Column) -> str:
    return "-" if _known(value) is None else format(value, column.form)


def as_text(table: Table) -> str:
    """For a terminal: columns side by side, the first to the left, figures to the right."""
    lines = [[column.title for column in table.columns], *table.cells()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    body = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    return "\n".join([f"{table.name}: {table.title}", "", *body, *(f"  {note}" for note in table.notes), ""])


def _aligned(line: list[str], widths: list[int]) -> list[str]:
    first, *others = zip(line, widths, strict=True)
    return [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]


def as_markdown(table: Table) -> str:
    """For a document."""
    titles = [column.title for column in table.columns]
    ruler = ["---", *("---:" for _ in titles[1:])]
    lines = ["| " + " | ".join(line) + " |" for line in (titles, ruler, *table.cells())]
    return "\n".join([f"**{table.title}**", "", *lines, *_paragraph(table.notes)])


def _paragraph(notes: tuple[str, ...]) -> list[str]:
    return ["", " ".join(notes)] if notes else []
