"""The story of a finding: what the client was told, what the store had called, what reached the disk,
what recovery found there, and what it should have found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.core.evidence import FileView, Fix, SourceView, Story, TimelineItem
from harness.core.operations import describe, safe_repr
from harness.core.persistence import PRESETS, PersistenceModel, Survival
from harness.core.trace import (
    Image,
    InodeKind,
    IoEvent,
    MarkerKind,
    Node,
    SyncAll,
    SyncDirectory,
    SyncFile,
    SyncRange,
    Trace,
)
from harness.crash.disk import Disk
from harness.crash.losses import Losses, last_call
from harness.crash.pending import FileState
from harness.judge.oracle import Oracle, Window
from harness.run.exploring import Found
from harness.run.findings import Case, Confirmation, admissible

PREVIEW_BYTES = 1200
SOURCE_LINES = 6
_STATE_LIMIT = 240


def tell(case: Case, trace: Trace, oracle: Oracle, confirmation: Confirmation, fix: Fix | None) -> Story:
    """The story of one counterexample."""
    found = case.found
    crashing = found.inner or trace
    return Story(
        told=_told(found, trace),
        called=_called(found, crashing),
        reached=_reached(found, crashing, case.plan.model),
        found=_found(found),
        expected=_expected(oracle, admissible(found)),
        timeline=_timeline(found, trace),
        crash_after=_crash_after(found, trace),
        lost=tuple(_lost(found, crashing)),
        files_written=views(_written(found, crashing)),
        files_after_crash=views(found.image),
        files_recovered=() if confirmation.judged is None else views(confirmation.judged.after),
        source=None if found.site is None else source_view(found.site.file, found.site.line),
        fix=fix,
    )


# --- sentences -----------------------------------------------------------------------------


def _told(found: Found, trace: Trace) -> str:
    known = found.knowledge
    operations = trace.operations
    read = read_early(found, trace)
    told = known.acknowledged if read is None else read
    parts = []
    if told:
        last = [describe(operation) for operation in operations[max(0, told - 3) : told]]
        more = "" if told <= 3 else f"{told - 3} operations and then "
        parts.append(f"The client had been told that {more}{', '.join(last)} succeeded")
    else:
        parts.append("The client had not been told of any success yet")
    if read is not None:
        name = describe(operations[read])
        parts.append(f"{name} had not returned, but another client had read it, and will act on it")
    elif known.begun > known.acknowledged:
        parts.append(f"{describe(operations[known.begun - 1])} had begun")
    if known.synced:
        parts.append(f"the last completed Sync was operation {known.synced}")
    return "; ".join(parts) + "."


def read_early(found: Found, trace: Trace) -> int | None:
    """The operation that is owed only because another client had read what it wrote, if there is one."""
    last = found.event if found.outer is None else found.outer.event
    markers = [event.marker for event in trace.events[: last + 1] if event.marker is not None]
    for marker in reversed(markers):
        if marker.operation == found.knowledge.acknowledged - 1:
            return marker.operation if marker.kind is MarkerKind.OBSERVE else None
    return None


def _called(found: Found, trace: Trace) -> str:
    event = last_call(trace, found.event)
    if event < 0:
        return "The store had made no file-system call."
    call = trace.events[event]
    where = f" in line {call.site.line} of {Path(call.site.file).name}" if call.site else ""
    first = "While it recovered from a first crash, the" if found.inner is not None else "The"
    return f"{first} last call that the store had begun was {text_of(call)}{where}."


def _reached(found: Found, trace: Trace, model: PersistenceModel) -> str:
    if model.survival is Survival.ALL_COMPLETED:
        return "The process was killed there; everything that it had written by then is on the disk."
    lost = list(_lost(found, trace))
    if not lost:
        return "Everything that the store had written was on the disk."
    return f"Everything was on the disk but for {'; and '.join(lost)}, which had not been synced."


def _lost(found: Found, trace: Trace) -> list[str]:
    lines = []
    for event in sorted(found.losses.damaged):
        call = trace.events[event]
        how = "only part of " if event in found.losses.torn else ""
        where = f" (line {call.site.line} of {Path(call.site.file).name})" if call.site else ""
        lines.append(f"{how}{text_of(call)}{where}")
    return lines


def _found(found: Found) -> str:
    if found.violation.kind in ("cannot_open", "hang") and found.recovered is None:
        return f"After the restart, {found.violation.sentence}."
    state = _short(found.recovered)
    return f"After the restart the store read {state}; {found.violation.sentence}."


def _expected(oracle: Oracle, window: Window) -> str:
    states: list[str] = []
    for count in range(window.lowest, window.highest + 1):
        states.extend(_short(state) for state in oracle.states[count])
    distinct = list(dict.fromkeys(states))
    shown = " or ".join(distinct[:4]) + (f" or {len(distinct) - 4} more" if len(distinct) > 4 else "")
    return f"It should have read {shown}, and gone on working."


def _short(value: Any) -> str:
    text = safe_repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= _STATE_LIMIT else f"{text[:_STATE_LIMIT]}... ({len(text)} characters)"


def text_of(event: IoEvent) -> str:
    """One call for a reader."""
    if event.marker is not None:
        return event.marker.kind.value
    return f"{event.call}({event.detail})"


# --- the timeline --------------------------------------------------------------------------


def _timeline(found: Found, trace: Trace) -> tuple[TimelineItem, ...]:
    if found.inner is None or found.outer is None:
        return tuple(_items(trace, found.event, found.losses, found, 0))
    first = _items(trace, found.outer.event, found.outer.losses, found, 0, after=False)
    crash = TimelineItem(len(first), "the first crash; the store is opened again", "none", -1, marker="crash")
    return (*first, crash, *_items(found.inner, found.event, found.losses, found, len(first) + 1))


def _crash_after(found: Found, trace: Trace) -> int:
    if found.outer is None:
        return found.event
    return found.outer.event + 2 + found.event


def _items(
    trace: Trace, crash: int, losses: Losses, found: Found, first: int, *, after: bool = True
) -> list[TimelineItem]:
    kills = PRESETS.get(found.model) is not None and PRESETS[found.model].survival is Survival.ALL_COMPLETED
    pending = losses.lost | losses.torn | losses.kept
    items = []
    for number, event in enumerate(trace.events):
        if number > crash and (not after or number > crash + 8):
            break
        if number > crash:
            fate = "none" if event.marker else "after"
        elif event.marker or not event.effects:
            fate = "none"
        elif all(
            isinstance(effect, SyncFile | SyncRange | SyncDirectory | SyncAll) for effect in event.effects
        ):
            fate = "sync"
        elif kills:
            fate = "kept"
        else:
            fate = _fate(number, losses, pending)
        items.append(_item(trace, event, first + number, fate))
    return items


def _fate(number: int, losses: Losses, pending: frozenset[int]) -> str:
    if number in losses.lost:
        return "lost"
    if number in losses.torn:
        return "torn"
    return "kept" if number in pending else "durable"


def _item(trace: Trace, event: IoEvent, index: int, fate: str) -> TimelineItem:
    marker = event.marker
    if marker is None:
        return TimelineItem(index, text_of(event), fate, event.operation, event.call, "", event.site)
    text = marker.kind.value
    if marker.operation >= 0:
        text = f"{describe(trace.operations[marker.operation])}: {text}"
    return TimelineItem(index, text, "none", marker.operation, "", marker.kind.name.lower(), None)


# --- files and source ----------------------------------------------------------------------


def _written(found: Found, trace: Trace) -> Image:
    """What the running system saw at the moment of the crash."""
    disk = Disk(trace.base, PRESETS["process-crash"], 0)
    for number, event in enumerate(trace.events[: found.event + 1]):
        for effect in event.effects:
            disk.apply(effect, number, event.time_ns, event.operation)
            disk.apply(SyncAll(), number, event.time_ns, event.operation)
    nodes = dict(disk.others)
    entries: dict[int, dict[str, int]] = {}
    for (directory, name), inode in disk.durable.items():
        entries.setdefault(directory, {})[name] = inode
    return Image(
        {
            **{number: _with_entries(node, entries.get(number, {})) for number, node in nodes.items()},
            **{number: _file_node(file) for number, file in disk.files.items()},
        }
    )


def _with_entries(node: Node, entries: dict[str, int]) -> Node:
    return Node(node.kind, node.mode, node.mtime_ns, node.content, node.target, entries)


def _file_node(file: FileState) -> Node:
    return Node(InodeKind.FILE, file.mode, file.base_mtime_ns, bytes(file.base))


def views(image: Image) -> tuple[FileView, ...]:
    views = []
    for path, number in image.paths().items():
        node = image.nodes[number]
        if node.kind is InodeKind.FILE:
            views.append(_view(path, node.content))
        elif node.kind is InodeKind.SYMLINK:
            views.append(FileView(path, 0, node.target, True, "symbolic link"))
    return tuple(views)


def _view(path: str, content: bytes) -> FileView:
    """Text as text, anything else with escapes."""
    start = content[:PREVIEW_BYTES]
    text = start.decode("utf-8", errors="backslashreplace")
    note = "empty" if not content else "NUL bytes only" if not content.strip(b"\0") else ""
    return FileView(path, len(content), text, len(content) <= PREVIEW_BYTES, note)


def source_view(file: str, line: int) -> SourceView | None:
    """The source around a line, if it can be read."""
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    first = max(1, line - SOURCE_LINES)
    return SourceView(file, line, first, tuple(lines[first - 1 : line + SOURCE_LINES]))
