"""What to do about a finding where no change of the trace mends it: advice, which nobody has tried.

A fix was tried on the trace and helps (`harness.run.fixing`). Advice is what the kind of a violation and the call that
led to it suggest; it says so by `works` being false.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.core.evidence import Fix
from harness.core.trace import CallSite, InodeKind, NewInode, SetSize, Trace, WriteData
from harness.crash.losses import last_begun
from harness.run.exploring import Found
from harness.run.live.values import Struck, Trial

TORN_APPEND = (
    "A crash may keep any part of an append: give each record its length and a checksum, and cut the damaged tail off "
    "when the store is opened."
)
ORDER = (
    "Nothing that was written is lost, so no sync helps: let no moment be without a state that opening understands. "
    "Make the change in one step (os.replace), or have opening finish or undo what was begun."
)


def of_crash(found: Found, trace: Trace) -> str:
    """What to do about a crash state; empty where nothing is known. `trace` is that of the run which crashed."""
    if tears_an_append(found, trace):
        return TORN_APPEND
    return "" if found.losses.damaged or (found.outer and found.outer.losses.damaged) else ORDER


# --- appends --------------------------------------------------------------------------------


def tears_an_append(found: Found, trace: Trace) -> bool:
    """Whether the crash left part of what one operation adds at the end of a file, and harmed nothing else."""
    appends = _Appends.of(trace)
    damaged = found.losses.damaged
    if damaged:
        return bool(found.losses.torn) and all(event in appends.inodes for event in damaged)
    begun = last_begun(trace, found.event)
    node = found.image.nodes.get(appends.inodes.get(begun, -1))
    return node is not None and len(node.content) < appends.ends[begun]


@dataclass(slots=True)
class _Appends:
    """The calls of a trace that add to the end of a file which an earlier operation made: their inode, and where the
    operation that they are part of ends the file."""

    inodes: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, trace: Trace) -> _Appends:
        found, sizes = cls(), {n: len(node.content) for n, node in trace.base.nodes.items()}
        fresh: set[int] = set()
        members: list[int] = []
        for number, event in enumerate(trace.events):
            if event.marker is not None:
                fresh.clear()
                members.clear()
            for effect in event.effects:
                match effect:
                    case NewInode(inode, InodeKind.FILE):
                        fresh.add(inode)
                        sizes[inode] = 0
                    case SetSize(inode, size):
                        fresh |= {inode} if size < sizes.get(inode, 0) else set()
                        sizes[inode] = size
                    case WriteData(inode, offset, data):
                        if inode not in fresh and offset == sizes.get(inode, 0):
                            found.inodes[number] = inode
                            members.append(number)
                        sizes[inode] = max(sizes.get(inode, 0), offset + len(data))
                        found.ends.update((one, sizes[inode]) for one in members if found.inodes[one] == inode)
        return found


# --- failing calls --------------------------------------------------------------------------

#: By kind of violation; `{call}` is the call that failed, with its line.
_FAILURES = {
    "hang": "Try a failing call again only so often, and give back every lock: it was {call}.",
    "cannot_open": "What {call} leaves behind when it fails has to be readable: clean it up there, give back locks and "
    "descriptors, or have opening cope with it.",
    "not_idempotent": "What {call} leaves behind when it fails has to be settled by the first opening, and then stay.",
    "not_writable": "When {call} fails, give back locks and descriptors, so that the store, or its next opening, takes "
    "further operations.",
    "torn_operation": "When {call} fails, take back what it has done by half before anything else is written: cut the "
    "file back to where it ended, or write beside it and rename.",
    "phantom": "When {call} fails, memory and disk have to agree: change what the store shows only after the call has "
    "succeeded, and take back what was done by half.",
    "swallowed_error": "Let the error of {call} leave the operation as an exception; what is not safely written must "
    "not be acknowledged.",
    "lost_acknowledged": "When {call} fails, what was acknowledged before must stay: write beside it, and replace it "
    "only when all has succeeded.",
}
_SHORT_WRITE = (
    "A write may take less than it was given, without any error: compare what {call} returns with the length, and "
    "write the rest."
)
#: And then the power was lost.
_FAILED_SYNC = (
    "What {call} could not write may be gone for good, even if the next sync succeeds: write it all again, or refuse "
    "to go on until the store was opened anew."
)
_SYNCS = ("fsync", "fdatasync")


def of_failure(trial: Trial) -> Fix | None:
    """What to do about a violation that a failing call led to; `None` where there is nothing to say."""
    assert trial.violation is not None
    if trial.site is None:
        return None
    struck = [item for item in trial.struck if item.site == trial.site]
    if struck and all(item.fault == "short write" for item in struck):
        sentence = _SHORT_WRITE
    elif struck and struck[0].call in _SYNCS and trial.models:
        sentence = _FAILED_SYNC
    else:
        sentence = _FAILURES.get(trial.violation.kind, "")
    return Fix(sentence.format(call=_call(struck, trial.site)), False, 0) if sentence else None


def _call(struck: list[Struck], site: CallSite) -> str:
    name = struck[0].call if struck else "call"
    return f"the {name} in line {site.line} of {Path(site.file).name}"
