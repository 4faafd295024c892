"""What reports say in words: verdicts, promises, kinds, fates, and the sentence of a certificate.

One place, so that the page, the console and CI say the same. Nothing here ever says more than
the certificate does: a PASS is "no violation found".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.evidence import Certificate, ClaimResult, Finding, Story, TimelineItem
from harness.core.limits import LIMITS_CLAIM
from harness.core.persistence import PROCESS_CRASH
from harness.core.trace import MarkerKind
from harness.core.verdict import Verdict
from harness.report.text import count, listed


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """A verdict for a reader: an icon and a word, so that nothing depends on colour."""

    icon: str
    word: str
    heading: str


VERDICTS = {
    Verdict.PASS: VerdictWords("\u2713", "no violation", "No violation found"),
    Verdict.FAIL: VerdictWords("\u2717", "broken", "Broken"),
    Verdict.UNKNOWN: VerdictWords("?", "undecided", "Undecided"),
}

PROMISES = {
    ("process_crash", "acknowledged"): "What was acknowledged survives the death of the process.",
    ("process_crash", "synced"): "What a completed sync covers survives the death of the process.",
    (
        "process_crash",
        "prefix",
    ): "After the death of the process some first operations are there, without holes.",
    ("power_loss", "acknowledged"): "What was acknowledged survives a power cut.",
    ("power_loss", "synced"): "What a completed sync covers survives a power cut.",
    ("power_loss", "prefix"): "After a power cut some first operations are there, without holes.",
    (
        "io_error",
        "fails_cleanly",
    ): "A failing system call is reported, and costs nothing that was acknowledged.",
    ("corruption", "detected"): "Damaged files never yield a wrong state without a signal.",
    ("corruption", "repaired"): "Damage to any one block of a file is repaired.",
    ("rollback", "detected"): "A file that was removed or set back to an older version is noticed.",
    ("writers", "one"): "One writer uses the directory at a time.",
    ("writers", "threads"): "Threads may share it, with results as if one acted after another.",
    ("writers", "processes"): "Processes may share it, with results as if one acted after another.",
}

KINDS = {
    "hang": "Hangs",
    "deadlock": "Deadlock",
    "cannot_open": "Cannot be opened",
    "undeclared_error": "Undeclared error",
    "not_idempotent": "Reads differ between openings",
    "not_writable": "Not writable after recovery",
    "torn_operation": "Torn operation",
    "phantom": "Phantom data",
    "swallowed_error": "Swallowed error",
    "lost_acknowledged": "Acknowledged data lost",
    "silent_corruption": "Silent corruption",
    "lost_update": "Lost update",
    "not_linearizable": "Not linearizable",
    "over_limit": "Over a limit",
    "leak": "Leak",
}

#: What the crash left of a call: the word shown beside it, and its meaning.
FATES = {
    "durable": ("durable", "synced before the crash"),
    "sync": ("sync", "makes earlier calls durable"),
    "kept": ("kept", "not synced, but it reached the disk"),
    "lost": ("LOST", "not synced, and it never reached the disk"),
    "torn": ("TORN", "only part of it reached the disk"),
    "none": ("no effect", "nothing for the disk to keep"),
    "after": ("not run", "the crash came first"),
}

#: The claim that needs no persistence model: whatever was written is there.
KILL = "process_crash"

_CRASHES = {
    KILL: "process dies here",
    "power_loss": "power lost here",
    "io_error": "fault strikes here",
    "corruption": "files damaged here",
    "rollback": "files set back here",
    LIMITS_CLAIM: "more than promised",
}

#: The marker of a crash that is followed by another one, during recovery.
FIRST_CRASH = "crash"

#: Operations that had not ended when the crash came, by what the client and others knew of them.
NOT_ACKNOWLEDGED = "not acknowledged"
READ_EARLY = "not acknowledged, but read by another client"

_ENDINGS = {
    MarkerKind.ACKNOWLEDGE: "acknowledged",
    MarkerKind.FAIL: "raised",
    MarkerKind.BEGIN: NOT_ACKNOWLEDGED,
    MarkerKind.OBSERVE: READ_EARLY,
}


def promise(claim: ClaimResult) -> str:
    """What the store promised, as a sentence; the words of the contract where we have none."""
    if claim.claim == "endurance":
        return "It keeps working, and holds what it must, after as long a time under load."
    if claim.claim == LIMITS_CLAIM:
        return "What is measured stays within the limits that the adapter declares."
    return PROMISES.get((claim.claim, claim.promised), f"{claim.claim}: {claim.promised}")


def kind_words(kind: str) -> str:
    """The kind of a finding for a reader."""
    return KINDS.get(kind, f"Finding of kind {kind}")


def crash_words(claim: str) -> str:
    """What happens at the crash point of a story about `claim`."""
    return _CRASHES.get(claim, "it goes wrong here")


def marker_kind(item: TimelineItem) -> MarkerKind | None:
    """Which moment of the client this line is, if any; markers are known by value or by name."""
    for kind in MarkerKind:
        if item.marker in (kind.value, kind.name, kind.name.lower()):
            return kind
    return None


def endings(story: Story) -> dict[int, str]:
    """For each operation that began before the first crash: acknowledged, raised, or neither."""
    found: dict[int, str] = {}
    last = last_before_crash(story)
    for item in story.timeline:
        kind = marker_kind(item)
        if kind in _ENDINGS and item.operation >= 0 and item.index <= last:
            found[item.operation] = _ENDINGS[kind]
    return found


def last_before_crash(story: Story) -> int:
    """The index of the last line before the first crash. Behind it, operations are counted anew."""
    first = (item.index - 1 for item in story.timeline if item.marker == FIRST_CRASH)
    return min(story.crash_after, next(first, story.crash_after))


def headline(certificate: Certificate) -> str:
    """The verdict in a few words."""
    total = len(certificate.claims)
    broken = sum(claim.verdict is Verdict.FAIL for claim in certificate.claims)
    open_ = sum(claim.verdict is Verdict.UNKNOWN for claim in certificate.claims)
    if broken:
        return f"{broken} of {count(total, 'promise')} broken"
    if open_ or not total:
        return f"{open_} of {count(total, 'promise')} undecided"
    return "No violation found"


def statement(certificate: Certificate) -> str:
    """The sentence that the certificate makes; made from its claims where it carries none."""
    if certificate.statement:
        return certificate.statement
    open_ = [c.claim for c in certificate.claims if c.verdict is Verdict.UNKNOWN]
    broken = [_broken(c, certificate) for c in certificate.claims if c.verdict is Verdict.FAIL]
    models = sorted({e.persistence_model for e in certificate.evidence if e.persistence_model})
    bounds = f"{f'under {listed(models)}, ' if models else ''}within the bounds listed below"
    if broken:
        searched = f"Searched within the bounds listed below, {_by_harness(certificate.zoo)}."
        return f"Broken: {'; '.join(broken)}. {searched}"
    if open_ or not certificate.claims:
        return f"Nothing found broken, but {listed(open_, 'everything')} stayed undecided {bounds}."
    return f"No violation found {bounds}, {_by_harness(certificate.zoo)}."


def _broken(claim: ClaimResult, certificate: Certificate) -> str:
    """A broken claim and the models under which a finding or a piece of evidence breaks it."""
    if claim.claim == KILL:
        return claim.claim
    failed = [item for item in certificate.evidence if item.verdict is Verdict.FAIL]
    models = {item.persistence_model for item in failed if item.claim == claim.claim}
    for finding in certificate.findings:
        models |= set(finding.persistence_models) if claim.claim in finding.claims else set()
    known = sorted(models - {"", PROCESS_CRASH.name})
    return f"{claim.claim} under {listed(known)}" if known else claim.claim


def _by_harness(zoo: Mapping[str, Any]) -> str:
    if not has_zoo(zoo):
        return "by a harness without a stamped zoo run of this version"
    return f"by a harness that catches {zoo['caught']} of {zoo['planted']} planted defects"


def has_zoo(zoo: Mapping[str, Any]) -> bool:
    """Whether a stamped zoo run stands behind the certificate."""
    return isinstance(zoo.get("caught"), int) and isinstance(zoo.get("planted"), int)


def zoo_sentence(zoo: Mapping[str, Any]) -> str:
    """How well the harness sees, measured on planted defects; never typed, only read."""
    if not has_zoo(zoo):
        return (
            "No stamped zoo run of this version was found: "
            "how many planted defects this harness catches is not known."
        )
    caught = f"This harness catches {zoo['caught']} of {zoo['planted']} planted defects"
    if isinstance(zoo.get("sound"), int) and isinstance(zoo.get("false_alarms"), int):
        alarms = count(zoo["false_alarms"], "false alarm") if zoo["false_alarms"] else "no false alarm"
        caught += f", and raises {alarms} on {count(zoo['sound'], 'sound store')}"
    return f"{caught} (version {zoo.get('version', 'not stamped')})."


def happens_under(finding: Finding) -> str:
    """The claim that is broken and the models under which it is."""
    if not finding.persistence_models:
        return finding.claim
    others = [name for name in finding.persistence_models if name != PROCESS_CRASH.name]
    if finding.claim == KILL:  # no file system has a part in it
        return f"{KILL}; a power loss leaves the same under {listed(others)}" if others else KILL
    killing = "; killing the process is enough" if len(others) < len(finding.persistence_models) else ""
    return f"{finding.claim} under {listed(others)}{killing}"
