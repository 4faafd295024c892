"""Call sites that faults struck before and do not now, new blind spots, and branch coverage.

A call site is known again by the name of its file and the text of its line: lines move. What was deleted is no loss.
A site that a fault struck once or twice may have been struck by chance, so its loss is undecided where evidence depends
on chance.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.core.comparison import Change, Weight
from harness.core.coverage import FaultCoverage, SiteCoverage
from harness.judge.comparing.findings import base_name
from harness.judge.comparing.pair import Pair

BY_CHANCE = 2
#: File and text of the line.
_Line = tuple[str, str]


@dataclass(slots=True)
class _Lines:
    """The call sites of one certificate by what their lines say."""

    struck: dict[_Line, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))  # line -> how often
    blind: dict[_Line, set[int]] = field(default_factory=lambda: defaultdict(set))
    present: Counter[_Line] = field(default_factory=Counter)
    functions: dict[_Line, str] = field(default_factory=dict)
    untold: Counter[str] = field(default_factory=Counter)  # struck sites of files whose text is not there


def _lines(coverage: FaultCoverage) -> _Lines:
    texts = {source.file: source.lines for source in coverage.sources}
    found = _Lines()
    for file, lines in texts.items():
        found.present.update((base_name(file), line.strip()) for line in lines)
    for site in coverage.sites:
        line = _line(site, texts)
        if line is None:
            found.untold[base_name(site.site.file)] += 1
            continue
        known = found.struck[line]
        known[site.site.line] = known.get(site.site.line, 0) + site.struck
        found.functions[line] = site.site.function
    for site in coverage.blind:
        line = _line(site, texts)
        if line is not None:
            found.blind[line].add(site.site.line)
            found.functions[line] = site.site.function
    return found


def _line(site: SiteCoverage, texts: dict[str, tuple[str, ...]]) -> _Line | None:
    lines, number = texts.get(site.site.file, ()), site.site.line
    return (base_name(site.site.file), lines[number - 1].strip()) if 1 <= number <= len(lines) else None


def coverage_changes(pair: Pair) -> Iterator[Change]:
    """Fault coverage and branch coverage; nothing about runs that searched in another way."""
    if not pair.same_search:
        return
    yield from _faults(pair)
    yield from _branches(pair)


def _faults(pair: Pair) -> Iterator[Change]:
    old, new = pair.old.fault_coverage, pair.new.fault_coverage
    if old is None or not (old.sites or old.blind):
        return
    if new is None:
        sentence = "Where faults struck is not known now, and was known before."
        yield Change("fault coverage", Weight.UNDECIDED, "call sites", sentence)
        return
    before, now = _lines(old), _lines(new)
    lost = list(_lost(before, now, chance=not _all_deterministic(pair)))
    yield from lost
    gone = {change.subject for change in lost}
    yield from (change for change in _blind(before, now) if change.subject not in gone)
    yield from _untold(before, now)
    yield from _thorough(old, new)


def _all_deterministic(pair: Pair) -> bool:
    return all(row.deterministic for certificate in (pair.old, pair.new) for row in certificate.evidence)


def _lost(before: _Lines, now: _Lines, *, chance: bool) -> Iterator[Change]:
    """Lines that are still there, and fewer of them are struck; of equal lines the one struck least counts as lost."""
    for line, counts in before.struck.items():
        kept = len(now.struck.get(line, ()))
        missing = min(len(counts), now.present[line]) - kept
        if missing <= 0:
            continue
        doubtful = chance and sorted(counts.values())[missing - 1] <= BY_CHANCE
        weight = Weight.UNDECIDED if doubtful else Weight.REGRESSION
        remark = ", which only chance may have done" if doubtful else ""
        sentence = f"A fault struck {_called(line, before)} before{remark}, and none does now."
        yield Change("fault coverage", weight, _called(line, before), sentence, "struck", "not struck")


def _blind(before: _Lines, now: _Lines) -> Iterator[Change]:
    for line, numbers in now.blind.items():
        if len(numbers) > len(before.blind.get(line, ())):
            where = ", ".join(map(str, sorted(numbers)))
            sentence = f"A new blind spot: no fault struck {_called(line, now)} (line {where})."
            yield Change("fault coverage", Weight.REGRESSION, _called(line, now), sentence, "", "not struck")


def _called(line: _Line, lines: _Lines) -> str:
    return f"`{line[1]}` in {lines.functions[line]} of {line[0]}"


def _untold(before: _Lines, now: _Lines) -> Iterator[Change]:
    for file in sorted({*before.untold, *now.untold}):
        had, has = before.untold[file], now.untold[file]
        if had > has:
            sentence = f"Faults struck {had} call sites of {file} and strike {has}; the certificate lacks its text."
            yield Change("fault coverage", Weight.UNDECIDED, file, sentence, str(had), str(has))


def _thorough(old: FaultCoverage, new: FaultCoverage) -> Iterator[Change]:
    shares = [_share(item) for item in (old, new)]
    if shares[0] != shares[1] and None not in shares:
        sentence = f"Struck by every fault that applies: {shares[1]} call sites, before {shares[0]}."
        yield Change("fault coverage", Weight.NOTE, "every fault", sentence, str(shares[0]), str(shares[1]))


def _share(coverage: FaultCoverage) -> str | None:
    return None if coverage.struck_by_all is None else f"{coverage.struck_by_all} of {coverage.call_sites}"


def _branches(pair: Pair) -> Iterator[Change]:
    old, new = (_percent(item) for item in (pair.old.coverage, pair.new.coverage))
    if old is None:
        return
    if new is None:
        sentence = f"Branch coverage was {old:g} % and was not measured now: certify with --coverage."
        yield Change("branch coverage", Weight.UNDECIDED, "percent", sentence, f"{old:g} %", "")
    elif new != old:
        lower = new < old - pair.tolerance.coverage_points
        weight = Weight.REGRESSION if lower else Weight.IMPROVEMENT if new > old else Weight.NOTE
        sentence = f"Branch coverage was {old:g} % and is {new:g} %."
        yield Change("branch coverage", weight, "percent", sentence, f"{old:g} %", f"{new:g} %")


def _percent(coverage: dict[str, object]) -> float | None:
    value = coverage.get("percent")
    return float(value) if isinstance(value, int | float) else None


def struck_percent(coverage: FaultCoverage | None) -> float | None:
    """Call sites that some fault struck, in percent of all; `None` if that is not known."""
    if coverage is None or not (coverage.sites or coverage.blind):
        return None
    places = _places(coverage.sites), _places([*coverage.sites, *coverage.blind])
    return 100 * len(places[0]) / len(places[1])


def _places(sites: Iterable[SiteCoverage]) -> set[tuple[str, int]]:
    return {(site.site.file, site.site.line) for site in sites}
