"""`python -m benchmarks`: measure, and print tables; progress goes to stderr."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.catalogue import BENCHMARKS
from benchmarks.document import DOCUMENT, circumstances, with_figures
from benchmarks.table import Table, as_text


def parser() -> argparse.ArgumentParser:
    """The command line."""
    listed = "\n".join(f"  {name:12} {benchmark.question}" for name, benchmark in BENCHMARKS.items())
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Measure the harness.\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("names", nargs="*", metavar="NAME", help="what to measure; all, if none is named")
    made.add_argument("--quick", action="store_true", help="just enough to see that everything runs")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    made.add_argument(
        "--markdown",
        nargs="?",
        type=Path,
        const=DOCUMENT,
        metavar="FILE",
        help="write the tables into a document, between its markers (docs/PERFORMANCE.md)",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for. Returns the exit status."""
    options = parser().parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser().error(f"there is no benchmark {unknown[0]}: say one of {', '.join(BENCHMARKS)}")
    measured = circumstances()
    figures = measure(options.names or BENCHMARKS, quick=options.quick)
    if options.json is not None:
        options.json.write_text(json.dumps(_document(figures, measured), indent=2) + "\n", encoding="utf-8")
    if options.markdown is not None:
        text = options.markdown.read_text(encoding="utf-8")
        options.markdown.write_text(with_figures(text, figures, measured), encoding="utf-8")
    return 0


def measure(names: Iterable[str], *, quick: bool) -> dict[str, tuple[Table, ...]]:
    """Run benchmarks one after another, and print each when it is done."""
    figures = {}
    for name in names:
        print(f"{name}: {BENCHMARKS[name].question} ...", file=sys.stderr)
        figures[name] = BENCHMARKS[name].quick() if quick else BENCHMARKS[name].full()
        for table in figures[name]:
            print(as_text(table))
    return figures


def _document(figures: dict[str, tuple[Table, ...]], measured: str) -> dict[str, object]:
    tables = {name: [table.document() for table in tables] for name, tables in figures.items()}
    return {"format_version": 1, "measured": measured, "benchmarks": tables}


if __name__ == "__main__":
    raise SystemExit(main())
