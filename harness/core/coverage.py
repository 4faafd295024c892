"""Fault coverage: where in a store's source faults struck, and where none did."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.trace import CallSite


@dataclass(frozen=True, slots=True)
class FaultCount:
    """How often one fault struck at a call site, and what came of it: the promise held, or a finding was made."""

    fault: str
    held: int
    broke: int


@dataclass(frozen=True, slots=True)
class SiteCoverage:
    """One line of a store that makes file-system calls, and the faults that struck there.

    `missed` are the faults that apply to one of its calls, and did not strike it.
    """

    site: CallSite
    calls: tuple[str, ...]
    faults: tuple[FaultCount, ...]
    missed: tuple[str, ...] = ()

    @property
    def struck(self) -> int:
        return sum(fault.held + fault.broke for fault in self.faults)

    @property
    def broke(self) -> int:
        return sum(fault.broke for fault in self.faults)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """Source of the store for the heat map; `lines` are all of the file."""

    file: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FaultCoverage:
    """Every call site of a store that makes file-system calls.

    `sites` were struck by some fault. `blind` were found in the source, and no fault ever struck there: either no
    workload goes that way, or the call is one that a recorder does not see. `call_sites` counts the lines of both, and
    `struck_by_all` those that every fault struck which applies to their calls; `None` if it is not known what applies,
    because no calls were let fail.
    """

    sites: tuple[SiteCoverage, ...]
    blind: tuple[SiteCoverage, ...]
    sources: tuple[SourceFile, ...]
    call_sites: int = 0
    struck_by_all: int | None = None
