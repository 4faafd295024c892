"""`harness compare`, and the comparison with a baseline that `harness certify` makes.

Exit status: 0 nothing got worse; 1 a regression; 2 bad input: no certificates, or of other stores; 3 something could
not be compared, and nothing that could be got worse.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.comparison import Comparison
from harness.core.errors import UsageError
from harness.core.evidence import Certificate
from harness.core.verdict import Verdict
from harness.judge.comparing import Tolerance, compare
from harness.report.comparison import comparison_lines
from harness.report.console import print_lines
from harness.report.text import visible
from harness.run.deciding import worst
from harness.run.loading import load_adapter, resolved_spec
from harness.run.outputs import require_file, write_comparison_junit, write_comparison_page, write_documents
from harness.run.replaying import read_certificate

STATUS = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}


@dataclass(frozen=True, slots=True)
class Compared:
    """Comparisons of the stores that both sides have, and the names of those that only one of them has.

    `places` tells for each comparison the place of its certificate among the new ones.
    """

    comparisons: tuple[Comparison, ...]
    places: tuple[int, ...]
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        return worst([STATUS[comparison.verdict] for comparison in self.comparisons])


def compared(old: Sequence[Certificate], new: Sequence[Certificate], tolerance: Tolerance | None = None) -> Compared:
    """Compare store by store; several of one name in the order in which they stand.

    Raises `UsageError` if the two have no store in common.
    """
    left = list(old)
    comparisons, places, alone = [], [], []
    for place, certificate in enumerate(new):
        before = next((other for other in left if other.store == certificate.store), None)
        if before is None:
            alone.append(certificate.store)
            continue
        left.remove(before)
        places.append(place)
        comparisons.append(compare(before, certificate, tolerance or Tolerance()))
    if not comparisons:
        raise UsageError(
            f"no store is on both sides: one has {_names(old)}, and the other {_names(new)}; compare two of the same."
        )
    only_old = tuple(certificate.store for certificate in left)
    return Compared(tuple(comparisons), tuple(places), only_old, tuple(alone))


def _names(certificates: Sequence[Certificate]) -> str:
    return ", ".join(repr(certificate.store) for certificate in certificates)


# --- harness compare ----------------------------------------------------------------------------


def compare_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", type=Path, metavar="OLD", help="a certificate, or a JSON list of them")
    parser.add_argument("new", type=Path, metavar="NEW")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the comparison, or a list of them")
    parser.add_argument("--html", type=Path, metavar="FILE", help="a page; for several stores one each, numbered")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="JUnit XML")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=Tolerance().effort_percent,
        metavar="PERCENT",
        help=f"how many fewer workloads, states and faults are let pass; default: {Tolerance().effort_percent:g}",
    )
    parser.set_defaults(command=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    if not 0 <= arguments.tolerance <= 100:
        raise UsageError(f"--tolerance {arguments.tolerance:g} is no percentage: say 0 to 100.")
    old, new = read_certificate(arguments.old), read_certificate(arguments.new)
    result = compared(old, new, Tolerance(effort_percent=arguments.tolerance))
    for option in ("json", "html", "junit"):
        if (target := getattr(arguments, option)) is not None:
            require_file(target, f"--{option}")
    written = list(_written(arguments, result.comparisons))
    tell(result)
    if written:
        print(f"written: {', '.join(map(str, written))}")
    if result.only_old:  # what is certified no longer is worse than anything that could be found about it
        names = ", ".join(map(visible, result.only_old))
        print(f"\u2717 certified no longer: {names}".encode(_encoding(), "backslashreplace").decode(_encoding()))
        return worst([1, result.status])
    return result.status


def _written(arguments: argparse.Namespace, comparisons: Sequence[Comparison]) -> Iterator[Path]:
    """Write what was asked for; the paths."""
    if arguments.json is not None:
        yield write_documents([comparison.to_json() for comparison in comparisons], arguments.json)
    if arguments.html is not None:
        for comparison, target in zip(comparisons, _numbered(arguments.html, len(comparisons)), strict=True):
            yield write_comparison_page(comparison, target)
    if arguments.junit is not None:
        yield write_comparison_junit(comparisons, arguments.junit)


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def _numbered(target: Path, count: int) -> Iterator[Path]:
    yield target
    for number in range(2, count + 1):
        yield target.with_name(f"{target.stem}-{number}{target.suffix}")


def tell(result: Compared) -> None:
    """The comparisons on stdout; a store without an older certificate on stderr."""
    for comparison in result.comparisons:
        print_lines(comparison_lines(comparison), sys.stdout)
    for name in result.only_new:
        print(f"harness: there is no earlier certificate of {visible(name)}: it is not compared.", file=sys.stderr)


# --- harness certify --baseline -----------------------------------------------------------------


def read_baseline(path: Path, specs: Sequence[str]) -> list[Certificate]:
    """The baseline for these adapters. Raises `UsageError`, before a long run, if it is of none of their stores."""
    baseline = read_certificate(path)
    stores = {certificate.store for certificate in baseline}
    names = [name for spec in specs if (name := _name(spec)) is not None]
    if names and not stores.intersection(names):
        raise UsageError(
            f"{path} is a certificate of {_names(baseline)}, and not of {', '.join(map(repr, names))}: "
            "name the baseline of this store."
        )
    return baseline


def _name(spec: str) -> str | None:
    """The name of the store; `None` for an adapter that can't be loaded, which is told when its turn comes."""
    try:
        name: str = load_adapter(resolved_spec(spec)).name
    except UsageError:
        return None
    return name
