"""Fault coverage arranged for the page: a table of call sites, and a heat map over the source."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.core.coverage import FaultCoverage, SiteCoverage, SourceFile

#: Lines shown around a call site in the heat map.
AROUND = 2
HEAT_STEPS = 5


@dataclass(frozen=True, slots=True)
class HeatLine:
    """One line of source. `heat` is 0 where no fault struck, else 1 (few) to `HEAT_STEPS` (most).

    `state` is "broke", "held", "blind" or "" for a line without calls; `gap` tells that lines are left out before it.
    """

    number: int
    text: str
    heat: int
    state: str
    struck: int
    note: str
    gap: bool


@dataclass(frozen=True, slots=True)
class HeatFile:
    """One file of the heat map; `struck` and `blind` count its call sites."""

    file: str
    lines: tuple[HeatLine, ...]
    struck: int
    blind: int


def summary(coverage: FaultCoverage) -> tuple[int, int]:
    """Call sites that were struck, and all that there are."""
    blind = {(site.site.file, site.site.line) for site in coverage.blind}
    struck = {(site.site.file, site.site.line) for site in coverage.sites}
    return len(struck), len(struck | blind)


def thorough(coverage: FaultCoverage | None) -> str:
    """How many call sites met every fault that applies to them, in words; nothing where that is not known."""
    if coverage is None or coverage.struck_by_all is None:
        return ""
    sites = f"{coverage.call_sites:,} call site{'' if coverage.call_sites == 1 else 's'}"
    return f"{coverage.struck_by_all:,} of {sites} struck by every fault that applies"


def heat_files(coverage: FaultCoverage) -> tuple[HeatFile, ...]:
    """The files that have call sites."""
    return tuple(heat for source in coverage.sources if (heat := _heat_file(coverage, source)).lines)


def _heat_file(coverage: FaultCoverage, source: SourceFile) -> HeatFile:
    struck = _by_line(coverage.sites, source.file)
    blind = {line: sites for line, sites in _by_line(coverage.blind, source.file).items() if line not in struck}
    most = max((sum(site.struck for site in sites) for sites in struck.values()), default=1)
    shown = sorted({line + step for line in (*struck, *blind) for step in range(-AROUND, AROUND + 1)})
    lines, before = [], 0
    for number in shown:
        if 1 <= number <= len(source.lines):
            text = source.lines[number - 1]
            lines.append(_line(number, text, struck.get(number), blind.get(number), most, gap=number > before + 1))
            before = number
    return HeatFile(source.file, tuple(lines), len(struck), len(blind))


def _by_line(sites: Iterable[SiteCoverage], file: str) -> dict[int, list[SiteCoverage]]:
    found: dict[int, list[SiteCoverage]] = {}
    for site in sites:
        if site.site.file == file:
            found.setdefault(site.site.line, []).append(site)
    return found


def _line(
    number: int, text: str, struck: list[SiteCoverage] | None, blind: list[SiteCoverage] | None, most: int, *, gap: bool
) -> HeatLine:
    if struck:
        count = sum(site.struck for site in struck)
        state = "broke" if any(site.broke for site in struck) else "held"
        faults = dict.fromkeys(fault.fault for site in struck for fault in site.faults)
        missed = dict.fromkeys(fault for site in struck for fault in site.missed)
        note = ", ".join(faults) + (f"; not {', '.join(missed)}" if missed else "")
        return HeatLine(number, text, heat(count, most), state, count, note, gap)
    if blind:
        calls = dict.fromkeys(call for site in blind for call in site.calls)
        return HeatLine(number, text, 0, "blind", 0, f"no fault struck {', '.join(calls)}", gap)
    return HeatLine(number, text, 0, "", 0, "", gap)


def heat(count: int, most: int) -> int:
    """From 1 to `HEAT_STEPS`, on a logarithmic scale: counts differ by orders of magnitude."""
    if most <= 1:
        return HEAT_STEPS
    return 1 + round((HEAT_STEPS - 1) * math.log(max(count, 1)) / math.log(most))
