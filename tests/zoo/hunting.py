"""Mutants under the harness: caught or not, and how each survivor is explained.

The explanations are written by hand (`survivors.toml`), one for each survivor, by the key of the mutant.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.evidence import Certificate
from harness.core.verdict import Verdict
from harness.run.certify import certify_adapter
from harness.run.options import Options
from tests.zoo.detection import TIME_LIMIT_S, by_time
from tests.zoo.mutants import Family, Key, Mutant, Operator, write

TABLE = Path(__file__).with_name("survivors.toml")
#: Locks, checksums and checks of answers wait for other faults than crashes: more crash states don't show them.
PROFILES = {
    family: ("quick", "standard") if family in (Family.SYNC, Family.RENAME, Family.REMOVAL) else ("quick",)
    for family in Family
}
#: A mutant that cannot even run is found by any use of it; nor is one certified that does too little to be judged.
CANNOT_RUN, NOT_CERTIFIED = "cannot_run", "not_certified"


class Reading(StrEnum):
    """Why a mutant survives."""

    EQUIVALENT = "equivalent"
    NOT_APPLICABLE = "needs faults that this version does not have"
    BLIND_SPOT = "blind spot"


@dataclass(frozen=True, slots=True)
class Survivor:
    """An entry of the table: why the mutant `key` is not caught."""

    key: Key
    reading: Reading
    because: str


@dataclass(frozen=True, slots=True)
class Hunt:
    """What became of a mutant: the kind of the first finding and the profile that made it, or "" for both."""

    mutant: Mutant
    kind: str
    profile: str

    @property
    def caught(self) -> bool:
        return bool(self.kind)


def hunt(
    mutant: Mutant, folder: Path, *, jobs: int, profiles: tuple[str, ...], scenarios: tuple[str, ...] = ()
) -> Hunt:
    """Certify the mutant, with a copy under `folder`, in one profile after the other until it is caught."""
    spec = write(mutant, folder)
    for profile in profiles:
        kind = _kind(spec, Options(profile=profile, jobs=jobs, time_limit_s=TIME_LIMIT_S, scenarios=scenarios))
        if kind:
            return Hunt(mutant, kind, profile)
    return Hunt(mutant, "", "")


def _kind(spec: str, options: Options) -> str:
    try:
        certificate = certify_adapter(spec, options)
    except UsageError:
        return CANNOT_RUN
    return first_kind(certificate)


def first_kind(certificate: Certificate) -> str:
    """The kind of the confirmed finding that came first; "" for a store that is certified."""
    if certificate.verdict is Verdict.PASS:
        return ""
    kinds = [finding.kind for finding in by_time(certificate) if finding.confirmed]
    return kinds[0] if kinds else NOT_CERTIFIED


def survivors(text: str) -> dict[Key, Survivor]:
    """The entries of a table of survivors. Raises `ValueError` for one that is there twice or is unclear."""
    table: dict[Key, Survivor] = {}
    for entry in tomllib.loads(text).get("survivor", ()):
        survivor = _survivor(entry)
        if survivor.key in table:
            raise ValueError(f"{survivor.key} is there twice")
        table[survivor.key] = survivor
    return table


def _survivor(entry: dict[str, Any]) -> Survivor:
    key = Key(
        entry["file"],
        entry["function"],
        entry["statement"],
        Operator(entry["operator"]),
        entry.get("occurrence", 1),
    )
    survivor = Survivor(key, Reading(entry["reading"]), entry["because"])
    if not survivor.because:
        raise ValueError(f"{key} has no explanation")
    return survivor


def known_survivors() -> dict[Key, Survivor]:
    """The table that stands beside this module."""
    return survivors(TABLE.read_text(encoding="utf-8"))


def unexplained(hunts: Iterable[Hunt], table: dict[Key, Survivor]) -> list[Key]:
    """Survivors without an entry."""
    return [found.mutant.key for found in hunts if not found.caught and found.mutant.key not in table]


def refuted(hunts: Iterable[Hunt], table: dict[Key, Survivor]) -> list[Key]:
    """Entries for mutants that are caught after all."""
    return [found.mutant.key for found in hunts if found.caught and found.mutant.key in table]


def counted(hunts: list[Hunt], table: dict[Key, Survivor]) -> dict[str, Any]:
    """The numbers for the record. A survivor without an explanation is a blind spot until someone has read it."""
    readings = Counter(
        table[found.mutant.key].reading if found.mutant.key in table else Reading.BLIND_SPOT
        for found in hunts
        if not found.caught
    )
    return {
        "generated": len(hunts),
        "caught": sum(found.caught for found in hunts),
        "equivalent": readings[Reading.EQUIVALENT],
        "not_applicable": readings[Reading.NOT_APPLICABLE],
        "blind_spots": readings[Reading.BLIND_SPOT],
        "by_kind": dict(sorted(Counter(found.kind for found in hunts if found.caught).items())),
    }
