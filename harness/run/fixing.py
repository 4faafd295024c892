"""The cheapest fix, found by trying it on the trace.

A change - a sync added after a line, a call moved behind the next one, a file written beside and renamed
instead of overwritten - is made wherever that line ran, and all crash states of the changed trace are
recovered and judged again. It is a fix if the finding is gone. Nothing is matched by pattern.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.evidence import Fix
from harness.core.persistence import Survival
from harness.core.trace import (
    ROOT,
    AddEntry,
    CallSite,
    Effect,
    InodeKind,
    IoEvent,
    NewInode,
    RemoveEntry,
    RenameEntry,
    SetSize,
    SyncDirectory,
    SyncFile,
    SyncRange,
    Trace,
    WriteData,
)
from harness.run.advising import of_crash, tears_an_append
from harness.run.campaign import Campaign
from harness.run.exploring import ExploreJob, Found
from harness.run.findings import Case, easiest, job_for

#: Calls that a call is tried to be moved behind.
MOVES = 4


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a trace, in words, and the lines where it would be made."""

    sentence: str
    trace: Trace
    sites: tuple[CallSite, ...]


def find_fixes(campaign: Campaign, cases: list[Case]) -> list[Fix]:
    """For each case the first of the changes, from the cheapest on, after which the finding is gone."""
    changes = [list(_changes(case, case.found.inner or campaign.trace(case.trace_file))) for case in cases]
    jobs = [[_job(campaign, case, change) for change in tried] for case, tried in zip(cases, changes, strict=True)]
    explored = {result.name: result for result in campaign.explore([job for some in jobs for job in some])}
    gone = [
        [not _shows(case, explored[job.name].found) for job in some]
        for case, some in zip(cases, jobs, strict=True)
    ]
    advice = [of_crash(case.found, case.found.inner or campaign.trace(case.trace_file)) for case in cases]
    return [_fix(*item) for item in zip(changes, gone, advice, strict=True)]


def _shows(case: Case, found: list[Found]) -> bool:
    """Whether the finding is still there; the first hang at any call ends the job, so that it counts as this one."""
    if case.found.violation.kind == "hang":
        return any(item.violation.kind == "hang" for item in found)
    return easiest(found, case.key) is not None


def _fix(changes: list[Change], gone: list[bool], advice: str) -> Fix:
    """The first change that works; where none does `advice`, if there is any."""
    for change, works in zip(changes, gone, strict=True):
        if works:
            return Fix(change.sentence, True, len(changes), change.sites)
    if not changes:
        return Fix(advice or "No call could be named where a change would help.", False, 0)
    count = f"{len(changes)} {'changes were' if len(changes) > 1 else 'change was'} tried on the trace"
    if advice:
        return Fix(f"{advice} {count}; none is enough.", False, len(changes))
    return Fix(
        f"{count} (syncs added, calls moved, a file written beside and renamed); "
        "none is enough: the protocol itself needs another step.",
        False,
        len(changes),
    )


def _job(campaign: Campaign, case: Case, change: Change) -> ExploreJob:
    """Explore the changed trace until the finding shows again."""
    file = campaign.keep_trace(change.trace)
    job = dataclasses.replace(job_for(campaign, case, file), stop_at_first=case.key, depth=0)
    if case.found.violation.kind == "hang":
        job = dataclasses.replace(job, interruptions=1)
    if case.found.inner is None:
        return job
    return dataclasses.replace(job, trace_file=case.trace_file, inner_file=file, start=case.found.knowledge)


def _changes(case: Case, trace: Trace) -> Iterator[Change]:
    damaged = sorted(case.found.losses.damaged)
    if case.plan.model.survival is not Survival.ALL_COMPLETED and damaged:
        syncs = [sync for event in damaged for sync in _syncs(trace, event)]
        distinct = list({sync.sentence: sync for sync in syncs}.values())[:6]
        for sync in distinct:
            yield Change(sync.sentence, _inserted(trace, [sync]), (sync.site,))
        for number, first in enumerate(distinct):
            for second in distinct[number + 1 :]:
                sentence = f"{first.sentence[:-1]}, and {second.sentence[0].lower()}{second.sentence[1:]}"
                yield Change(sentence, _inserted(trace, [first, second]), (first.site, second.site))
    yield from _moves(trace, case.found.site, case.found.event)
    if not tears_an_append(case.found, trace):  # it would mean to write all of a log anew for each record
        yield from _beside(trace, case.found.site)


# --- a sync added --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sync:
    """A sync after every run of a line; `make` gives the sync for one event there."""

    sentence: str
    site: CallSite
    make: Callable[[IoEvent], tuple[Effect, ...]]


def _syncs(trace: Trace, event: int) -> Iterator[_Sync]:
    call = trace.events[event]
    if call.site is None:
        return
    where = f"after the {call.call} in line {call.site.line} of {Path(call.site.file).name}"
    if any(isinstance(effect, WriteData | SetSize) for effect in call.effects):
        yield _Sync(f"Call fsync on the file {where}.", call.site, _file_syncs)
    if any(isinstance(effect, AddEntry | RemoveEntry | RenameEntry) for effect in call.effects):
        yield _Sync(f"Call fsync on the directory {where}.", call.site, _directory_syncs)


def _file_syncs(event: IoEvent) -> tuple[Effect, ...]:
    inodes = [effect.inode for effect in event.effects if isinstance(effect, WriteData | SetSize)]
    return tuple(SyncFile(inode, entries=True) for inode in dict.fromkeys(inodes))


def _directory_syncs(event: IoEvent) -> tuple[Effect, ...]:
    inodes: list[int] = []
    for effect in event.effects:
        if isinstance(effect, AddEntry | RemoveEntry | RenameEntry):
            inodes.append(effect.directory)
        if isinstance(effect, RenameEntry):
            inodes.append(effect.source_directory)
    return tuple(SyncDirectory(inode) for inode in dict.fromkeys(inodes))


def _inserted(trace: Trace, syncs: list[_Sync]) -> Trace:
    events: list[IoEvent] = []
    for event in trace.events:
        events.append(event)
        for sync in syncs:
            effects = sync.make(event) if event.site == sync.site else ()
            if effects:
                events.append(dataclasses.replace(event, call="fsync", effects=effects, detail="added"))
    return dataclasses.replace(trace, events=tuple(events))


# --- a call moved --------------------------------------------------------------------------


def _moves(trace: Trace, site: CallSite | None, event: int) -> Iterator[Change]:
    """The call at fault made later: after the first, second, ... of the calls that follow it in its operation."""
    followers: list[CallSite] = []
    for later in trace.events[event + 1 :]:
        if later.marker is not None or len(followers) == MOVES:
            break
        if later.site is not None and later.site != site and later.site not in followers:
            followers.append(later.site)
    if site is None:
        return
    name = next((item.call for item in trace.events if item.site == site), "call")
    for follower in followers:
        call = next(item.call for item in trace.events if item.site == follower)
        sentence = (
            f"Make the {name} of line {site.line} only after the {call} of line {follower.line} "
            f"of {Path(follower.file).name}."
        )
        changed = _moved(trace, site, follower)
        if _names_agree(changed):
            yield Change(sentence, changed, (site, follower))


def _moved(trace: Trace, site: CallSite, behind: CallSite) -> Trace:
    events: list[IoEvent] = []
    held: list[IoEvent] = []
    for event in trace.events:
        if event.marker is not None:
            events.extend(held)
            held = []
        if event.site == site and event.effects:
            held.append(event)
            continue
        events.append(event)
        if event.site == behind:
            events.extend(held)
            held = []
    return dataclasses.replace(trace, events=(*events, *held))


def _names_agree(trace: Trace) -> bool:
    """Whether every name still means the file that it meant when the call was recorded.

    Otherwise the program would do something else after the change, and its trace can't be told from this one.
    """
    known = set(trace.base.nodes)
    nameless: set[int] = set()  # had a name and lost the last one: nothing can link to them any more
    meant = {
        (number, name): child
        for number, node in trace.base.nodes.items()
        for name, child in node.entries.items()
    }
    for event in trace.events:
        for effect in event.effects:
            match effect:
                case NewInode(inode):
                    known.add(inode)
                case WriteData(inode) | SetSize(inode) | SyncFile(inode) | SyncRange(inode):
                    if inode not in known:
                        return False
                case AddEntry(directory, name, inode):
                    if (directory, name) in meant or inode not in known - nameless:
                        return False
                    meant[directory, name] = inode
                case RemoveEntry(directory, name):
                    child = meant.pop((directory, name), None)
                    if child is None:
                        return False
                    nameless |= {child} - set(meant.values())
                case RenameEntry(old_directory, old_name, directory, name, inode, replaced):
                    if (
                        meant.get((directory, name)) != replaced
                        or meant.pop((old_directory, old_name), None) != inode
                    ):
                        return False
                    meant[directory, name] = inode
                    if replaced is not None and replaced not in meant.values():
                        nameless.add(replaced)
    return True


# --- a file written beside and renamed ------------------------------------------------------


def _beside(trace: Trace, site: CallSite | None) -> Iterator[Change]:
    """Every file that is overwritten in place is written to a temporary file, synced and renamed over the old one."""
    names = _names(trace)
    changed = _Beside(names).rewritten(trace)
    if changed is not None and site is not None:
        yield Change(
            f"Write the new content to a temporary file, fsync it, os.replace it over the old file and fsync the "
            f"directory, instead of writing to it in place (line {site.line} of {Path(site.file).name}).",
            changed,
            (site,),
        )


def _names(trace: Trace) -> dict[int, tuple[int, str]]:
    """The last name of each inode."""
    names = {
        child: (number, name)
        for number, node in trace.base.nodes.items()
        for name, child in node.entries.items()
    }
    for event in trace.events:
        for effect in event.effects:
            if isinstance(effect, AddEntry | RenameEntry):
                names[effect.inode] = (effect.directory, effect.name)
    return names


class _Beside:
    """Rewrites a trace; each in-place rewriting of a file becomes a new inode that is renamed over it."""

    def __init__(self, names: dict[int, tuple[int, str]]) -> None:
        self.names = names
        self.next = max([ROOT, *names], default=ROOT) + 1_000
        self.current: dict[int, int] = {}  # inode in the recorded trace -> inode that has its name now
        self.contents: dict[int, bytearray] = {}
        self.open: dict[int, IoEvent] = {}
        self.new: set[int] = set()  # made in this operation: perhaps written beside already
        self.changed = False

    def rewritten(self, trace: Trace) -> Trace | None:
        for number, node in trace.base.nodes.items():
            if node.kind is InodeKind.FILE:
                self.contents[number] = bytearray(node.content)
        events: list[IoEvent] = []
        for event in trace.events:
            if event.marker is not None:
                events.extend(self._flushed())
                self.new.clear()
            events.append(self._event(event))
        events.extend(self._flushed())
        return dataclasses.replace(trace, events=tuple(events)) if self.changed else None

    def _event(self, event: IoEvent) -> IoEvent:
        kept: list[Effect] = []
        for effect in event.effects:
            match effect:
                case SetSize(inode, size):
                    content = self.contents.setdefault(inode, bytearray())
                    if len(content) > size:
                        del content[size:]
                    else:
                        content.extend(bytes(size - len(content)))
                    self.open[inode] = event
                case NewInode(inode):
                    self.new.add(inode)
                    kept.append(effect)
                case WriteData(inode, offset, data) if inode in self.open or self._in_place(inode, offset):
                    self._put(inode, offset, data)
                    self.open[inode] = event
                case WriteData(inode, offset, data):
                    self._put(inode, offset, data)
                    kept.append(dataclasses.replace(effect, inode=self.current.get(inode, inode)))
                case SyncFile(inode, entries):
                    kept.append(SyncFile(self.current.get(inode, inode), entries))
                case _:
                    kept.append(effect)
        return dataclasses.replace(event, effects=tuple(kept))

    def _in_place(self, inode: int, offset: int) -> bool:
        """Over what is there; or the first content of a file that has been empty since an earlier operation."""
        size = len(self.contents.get(inode, b""))
        return offset < size or (size == 0 and inode not in self.new)

    def _put(self, inode: int, offset: int, data: bytes) -> None:
        content = self.contents.setdefault(inode, bytearray())
        if len(content) < offset:
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data

    def _flushed(self) -> Iterator[IoEvent]:
        for inode, event in self.open.items():
            if inode not in self.names:
                continue
            directory, name = self.names[inode]
            new, self.next = self.next, self.next + 1
            beside = f"{name}.beside"
            effects: tuple[tuple[Effect, ...], ...] = (
                (NewInode(new, InodeKind.FILE, 0o644), AddEntry(directory, beside, new)),
                (WriteData(new, 0, bytes(self.contents[inode])),),
                (SyncFile(new, entries=True),),
                (RenameEntry(directory, beside, directory, name, new, self.current.get(inode, inode)),),
                (SyncDirectory(directory),),
            )
            self.current[inode] = new
            self.changed = True
            for step in effects:
                yield dataclasses.replace(event, effects=step, detail="instead")
        self.open.clear()
