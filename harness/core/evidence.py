"""What a run found, as values: evidence, findings, the certificate, and their JSON form.

`Certificate.to_json` and `certificate_from_json` are inverse to each other. Reports read
nothing but certificates.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any

from harness.core.costs import Costs
from harness.core.coverage import FaultCoverage
from harness.core.decision import Decision
from harness.core.errors import UsageError
from harness.core.persistence import PROCESS_CRASH
from harness.core.trace import CallSite
from harness.core.verdict import Verdict, merge

FORMAT_VERSION = 1
#: History of the format. 1: first.

#: In the environment of a certificate: the profile's seconds, which are only a backstop, ended the search.
OUT_OF_TIME = "out_of_time"


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """One line of a story: a marker of the client or a call of the store.

    `fate` says what the crash left of the call: "durable" (synced), "kept" (not synced, but it
    reached the disk), "lost", "torn" (part of it), "sync" (a sync itself), "none" (no effect on the
    disk, or a marker), "after" (the crash came before it). `operation` is -1 outside operations.
    """

    index: int
    text: str
    fate: str
    operation: int
    call: str = ""
    marker: str = ""
    site: CallSite | None = None


@dataclass(frozen=True, slots=True)
class FileView:
    """One file for a reader: its size, the start of its content as text, and whether that is all of it."""

    path: str
    size: int
    preview: str
    complete: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class SourceView:
    """Lines of source around a call site; `first` is the number of the first one, from 1."""

    file: str
    line: int
    first: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fix:
    """The cheapest change of the trace after which no state of this finding is legal, or why there is none.

    `tried` counts the changes that were tried, `works` tells whether one helped.
    """

    sentence: str
    works: bool
    tried: int
    sites: tuple[CallSite, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """How the data was lost: five sentences, a timeline, and the files."""

    told: str
    called: str
    reached: str
    found: str
    expected: str
    timeline: tuple[TimelineItem, ...]
    crash_after: int
    lost: tuple[str, ...]
    files_written: tuple[FileView, ...]
    files_after_crash: tuple[FileView, ...]
    files_recovered: tuple[FileView, ...]
    source: SourceView | None = None
    fix: Fix | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect: a broken claim with the shortest story of how it breaks.

    `counterexample` is all that `harness replay` needs to rebuild the crash state.
    `confirmed` is true if it happened again in a fresh interpreter; otherwise it is flaky.
    """

    id: str
    scenario: str
    claim: str
    summary: str
    kind: str
    persistence_models: tuple[str, ...]
    operations: tuple[str, ...]
    call_site: CallSite | None
    replay: str
    confirmed: bool = True
    seconds_to_find: float = 0.0
    story: Story | None = None
    counterexample: dict[str, Any] = field(default_factory=dict)

    @property
    def claims(self) -> tuple[str, ...]:
        """All that it breaks. Where killing the process is enough, a power cut that happens to lose nothing is too."""
        by_power = self.claim == "process_crash" and any(name != PROCESS_CRASH.name for name in self.persistence_models)
        return (self.claim, "power_loss") if by_power else (self.claim,)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one scenario tried for one claim under one persistence model, and what came of it.

    `states_generated` counts crash states before deduplication, `states_distinct` those that
    recovery or the oracle can tell apart, `states_judged` those that were recovered and judged.
    `exhausted` holds with respect to the lists of the model; `bounds` says within which bounds.
    """

    scenario: str
    claim: str
    verdict: Verdict
    persistence_model: str
    states_generated: int
    states_distinct: int
    states_judged: int
    exhausted: bool
    faults_fired: int
    seconds: float
    seed: int
    reasons: tuple[str, ...] = ()
    bounds: dict[str, Any] = field(default_factory=dict)
    crash_points: int = 0
    workloads: int = 0
    deterministic: bool = True


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """What became of one promise of the contract."""

    claim: str
    promised: str
    verdict: Verdict
    scenarios: tuple[str, ...]
    reasons: tuple[str, ...] = ()


#: Fields that depend on the machine or the moment, or repeat what the evidence says.
_NOT_REPRODUCIBLE = (
    *("issued_at", "environment", "seconds", "zoo", "adapter", "notes", "not_exercised"),
    *("fault_coverage", "coverage", "measurements", "series"),
    *("costs", "decision"),
)

#: Fields of evidence that are not the same twice where real races or a real clock decide.
_OF_CHANCE = (
    *("states_generated", "states_distinct", "states_judged", "exhausted", "faults_fired"),
    *("crash_points", "bounds", "reasons"),
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """All evidence about one store, and what follows from it. It never says "safe"."""

    store: str
    adapter: str
    claims: tuple[ClaimResult, ...]
    evidence: tuple[Evidence, ...]
    findings: tuple[Finding, ...]
    seed: int
    profile: str
    issued_at: str
    environment: dict[str, Any]
    contract: dict[str, Any]
    statement: str = ""
    notes: tuple[str, ...] = ()
    not_exercised: tuple[str, ...] = ()
    models: dict[str, Any] = field(default_factory=dict)
    zoo: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    fault_coverage: FaultCoverage | None = None
    coverage: dict[str, Any] = field(default_factory=dict)
    measurements: dict[str, Any] = field(default_factory=dict)
    costs: Costs | None = None
    decision: Decision | None = None
    series: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all claims."""
        return merge(claim.verdict for claim in self.claims)

    def reproducible(self) -> dict[str, Any]:
        """The part that the same seed, store and version give again.

        Without times and environment, without counts that a clock or a race decides, and without what a store may draw
        from the clock or at random: names of temporary files in a story, time stamps in contents, the path of the
        adapter.
        """
        document = self._document()
        for name in _NOT_REPRODUCIBLE:
            document.pop(name)
        for finding in document["findings"]:
            for name in ("story", "counterexample", "summary", "replay"):
                finding.pop(name)
        for row in document["evidence"]:
            if not row["deterministic"]:  # what a clock or a race decides is not the same twice
                for name in _OF_CHANCE:
                    row.pop(name)
        return _without_times(document)  # type: ignore[no-any-return]

    def digest(self) -> str:
        """SHA-256 of the reproducible part, in hexadecimal."""
        text = json.dumps(self.reproducible(), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The certificate as JSON types."""
        digest = self.digest()
        return {
            "format_version": FORMAT_VERSION,
            "store": self.store,
            "verdict": self.verdict.value,
            **self._document(),
            "id": f"{_slug(self.store)}-{digest[:12]}",
            "digest": digest,
        }

    def _document(self) -> dict[str, Any]:
        return _plain({f.name: getattr(self, f.name) for f in dataclasses.fields(self)})  # type: ignore[no-any-return]


def _slug(text: str) -> str:
    return "".join(char if char.isascii() and char.isalnum() else "-" for char in text) or "store"


def _plain(value: Any) -> Any:
    if isinstance(value, Verdict):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in ("seconds", "seconds_to_find")}
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    return value


def certificate_from_json(data: Any, label: str) -> Certificate:
    """The certificate in `data`, which came from `label`; `UsageError` in one sentence if it is none."""
    if not isinstance(data, dict) or "format_version" not in data or "claims" not in data:
        raise UsageError(f"{label} is not a certificate: give a JSON file that harness certify --json wrote.")
    if data["format_version"] != FORMAT_VERSION:
        raise UsageError(
            f"{label} has format version {data['format_version']!r}, and this harness reads {FORMAT_VERSION}."
        )
    try:
        return _decoded(Certificate, data, "it")  # type: ignore[no-any-return]
    except (TypeError, ValueError) as error:
        raise UsageError(f"{label} is a damaged certificate ({type(error).__name__}: {error}).") from None


def _decoded(hint: Any, item: Any, place: str) -> Any:
    """`item`, which stands at `place`, as a value of the annotated type `hint`; `TypeError` if it is none."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):  # X | None; from 3.14 on they are one
        return None if item is None else _decoded(arguments[0], item, place)
    if typing.get_origin(hint) is tuple:
        _require(list, item, place)
        return tuple(_decoded(arguments[0], entry, f"{place}[{n}]") for n, entry in enumerate(item))
    if hint is Verdict:
        return Verdict(item)
    if dataclasses.is_dataclass(hint):
        return _record(hint, item, place)
    _require(typing.get_origin(hint) or hint, item, place)
    return item


def _record(kind: Any, item: Any, place: str) -> Any:
    _require(dict, item, place)
    given = {name: hint for name, hint in _fields(kind) if name in item}
    return kind(**{name: _decoded(hint, item[name], name) for name, hint in given.items()})


@functools.cache
def _fields(kind: Any) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((f.name, hints[f.name]) for f in dataclasses.fields(kind))


def _require(kind: type, item: Any, place: str) -> None:
    accepted = (int, float) if kind is float else (kind,)
    if type(item) not in accepted:
        raise TypeError(f"{place} is a {type(item).__name__}, not a {kind.__name__}")
