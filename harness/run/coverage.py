"""Fault coverage of a store: the sites that were struck, and those that its source has besides.

Sites are found in the source by what calls are named: functions of `os`, `shutil` and `fcntl`, `open`, and the methods
of file objects and paths. A method of that name on another object counts as well, but for the store's own; a site
behind `getattr` is missed. What only asks for the status of a file is no site, because no fault strikes there.

Which faults apply to a call is what `failing-calls` says: its errors, not crashes and kills, which apply anywhere.
"""

from __future__ import annotations

import ast
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.coverage import FaultCount, FaultCoverage, SiteCoverage, SourceFile
from harness.core.trace import CallSite, Trace
from harness.inject.calls import ever_fails
from harness.record.callsite import is_store_file
from harness.record.kernel import GROUPS
from harness.run.live.values import Applicable, StruckKey

CRASH = "crash"
SOURCE_LINES_MOST = 1_500
_MODULES = ("os", "shutil", "fcntl", "io", "tempfile")
_FUNCTIONS = frozenset(
    (
        *("open", "read", "readv", "pread", "preadv", "write", "writev", "pwrite", "pwritev", "sendfile"),
        *("copy_file_range", "truncate", "ftruncate", "posix_fallocate", "fsync", "fdatasync", "sync", "close"),
        *("rename", "replace", "link", "symlink", "unlink", "remove", "rmdir", "mkdir", "makedirs", "listdir"),
        *("scandir", "chmod", "fchmod", "utime", "flock", "lockf"),
        *("copyfile", "copyfileobj", "copy", "copy2", "move", "rmtree"),
        *("mkstemp", "NamedTemporaryFile", "TemporaryFile", "fdopen"),
    )
)
_METHODS = frozenset(
    (
        *("write", "writelines", "read", "readline", "readlines", "readinto", "flush", "truncate", "close"),
        *("read_bytes", "read_text", "write_bytes", "write_text", "unlink", "rename", "touch", "mkdir", "rmdir"),
        *("iterdir", "open", "symlink_to", "hardlink_to"),
    )
)


@dataclass(frozen=True, slots=True)
class _Place:
    file: str
    line: int


def fault_coverage(
    struck: Counter[StruckKey],
    traces: Iterable[Trace],
    broken: Iterable[CallSite | None],
    adapter: Any,
    applicable: Iterable[Applicable] = (),
) -> FaultCoverage:
    """What struck: live faults, and a crash after each recorded call; `broken` are the sites that crashes broke."""
    counts: dict[_Place, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    calls: dict[_Place, dict[str, None]] = defaultdict(dict)
    functions: dict[_Place, str] = {}
    broken_places = {_Place(site.file, site.line) for site in broken if site is not None}
    for (file, line, function, call, fault, outcome), number in sorted(struck.items()):
        place = _Place(file, line)
        counts[place][fault][outcome == "broke"] += number
        calls[place][call], functions[place] = None, function
    for site, call in _crash_sites(traces):
        place = _Place(site.file, site.line)
        counts[place][CRASH][place in broken_places] += 1
        calls[place][call], functions[place] = None, site.function
    counts.pop(_Place("", 0), None)
    files = {place.file for place in counts} | _files_of(adapter)
    hit = {(place.file, place.line) for place in counts}
    sources = tuple(SourceFile(file, lines) for file in sorted(files) if (lines := _lines(file)))
    blind = [site for source in sources for site in static_sites(source) if not _is_hit(site, hit)]
    missed = _missed(counts, calls, struck, applicable)
    sites = [
        SiteCoverage(
            CallSite(place.file, place.line, functions[place]),
            tuple(calls[place]),
            _counts(counts[place]),
            missed.get(place, ()),
        )
        for place in sorted(counts, key=lambda place: (place.file, place.line))
    ]
    every = hit | {(site.site.file, site.site.line) for site, _ in blind}
    thorough = len(hit) - sum(map(bool, missed.values())) if missed else None
    return FaultCoverage(tuple(sites), tuple(site for site, _ in blind), sources, len(every), thorough)


def _missed(
    counts: Iterable[_Place],
    calls: dict[_Place, dict[str, None]],
    struck: Counter[StruckKey],
    applicable: Iterable[Applicable],
) -> dict[_Place, tuple[str, ...]]:
    """The faults that apply at a place and did not strike there; nothing at all if it is not known which apply."""
    left: dict[_Place, dict[str, None]] = defaultdict(dict)
    called: dict[_Place, set[str]] = defaultdict(set)
    were = {(file, line, call, fault) for file, line, _, call, fault, _ in struck}
    known = sorted(applicable)
    for file, line, _, call, _ in known:
        called[_Place(file, line)].add(call)
    for file, line, _, call, fault in known:
        if (file, line, call, fault) not in were:
            place = _Place(file, line)
            left[place][fault if len(called[place]) == 1 else f"{call}: {fault}"] = None
    if not known:
        return {}
    return {place: tuple(left[place]) if place in called else _unknown(calls[place]) for place in counts}


def _unknown(calls: Iterable[str]) -> tuple[str, ...]:
    """Of calls that no failing call went to: asking for a file's status never fails, all else might have."""
    plain = {name.rpartition(".")[2] for name in calls}
    return ("any failing call",) if any(ever_fails(name, GROUPS.get(name, "")) for name in plain) else ()


def _counts(faults: dict[str, list[int]]) -> tuple[FaultCount, ...]:
    return tuple(FaultCount(fault, held, broke) for fault, (held, broke) in sorted(faults.items()))


def _crash_sites(traces: Iterable[Trace]) -> Iterator[tuple[CallSite, str]]:
    """A crash was tried after every call that had an effect."""
    for trace in traces:
        for event in trace.events:
            if event.effects and event.site is not None:
                yield event.site, event.call


def _files_of(adapter: Any) -> set[str]:
    """The adapter's module, and what was loaded from its folder."""
    own = getattr(sys.modules.get(adapter.__module__), "__file__", None)
    if not own or not is_store_file(own):
        return set()
    folder = os.path.dirname(os.path.abspath(own)) + os.sep
    loaded = {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
    beside = os.path.isfile(os.path.join(folder, "__init__.py"))  # of a package the whole, else this file alone
    return {own} | {file for file in loaded if beside and file.startswith(folder) and file.endswith(".py")}


def _lines(file: str) -> tuple[str, ...]:
    try:
        lines = tuple(Path(file).read_text(encoding="utf-8", errors="replace").splitlines())
    except OSError:
        return ()
    return lines if len(lines) <= SOURCE_LINES_MOST else ()


# --- what the source has ------------------------------------------------------------------------


def static_sites(source: SourceFile) -> Iterator[tuple[SiteCoverage, range]]:
    """Calls that look like file-system calls, with the lines that each extends over."""
    try:
        tree = ast.parse("\n".join(source.lines))
    except SyntaxError:
        return
    imported = _imported(tree)
    for function, node in _calls(tree):
        name = _name(node, imported)
        if name:
            site = CallSite(source.file, node.lineno, function)
            yield SiteCoverage(site, (name,), ()), range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _calls(tree: ast.AST, function: str = "<module>") -> Iterator[tuple[str, ast.Call]]:
    for node in ast.iter_child_nodes(tree):
        inner = function
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = node.name if function == "<module>" else f"{function}.{node.name}"
        if isinstance(node, ast.Call):
            yield function, node
        yield from _calls(node, inner)


def _imported(tree: ast.AST) -> frozenset[str]:
    """Functions that are called by their bare names: `open`, and what was imported from the modules."""
    froms = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module in _MODULES)
    names = {alias.asname or alias.name: alias.name for node in froms for alias in node.names}
    return frozenset({"open", *(name for name, original in names.items() if original in _FUNCTIONS)})


def _name(node: ast.Call, imported: frozenset[str]) -> str:
    called = node.func
    if isinstance(called, ast.Name):
        return called.id if called.id in imported else ""
    if not isinstance(called, ast.Attribute) or _is_own(called.value):
        return ""
    if isinstance(called.value, ast.Name) and called.value.id in _MODULES:
        return f"{called.value.id}.{called.attr}" if called.attr in _FUNCTIONS else ""
    if called.attr == "replace":  # of a path; that of a string has two arguments
        return "replace" if len(node.args) == 1 else ""
    return called.attr if called.attr in _METHODS else ""


def _is_own(value: ast.expr) -> bool:
    """A method of the store itself or of its parent class: what it does shows where it does it."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls", "store")


def _is_hit(found: tuple[SiteCoverage, range], hit: set[tuple[str, int]]) -> bool:
    site, lines = found
    return any((site.site.file, line) in hit for line in lines)
