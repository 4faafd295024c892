"""How long a whole certification takes, and how soon it finds what there is to find."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.measuring import Spent, middle, now, ratio, since
from benchmarks.stores import METRICS_STORE, RECORD_LOG, Subject
from benchmarks.table import Column, Table
from harness.core.evidence import Certificate
from harness.run.certify import certify_adapter
from harness.run.options import Options
from store_under_test.defective.catalogue import PACKAGE


def _zoo(name: str, module: str) -> Subject:
    return Subject(f"zoo {name}", f"{PACKAGE}.{module}:Adapter")


ZOO = (
    _zoo("D02, rename without fsync", "d02_rename_without_fsync"),
    _zoo("L04, no checksum", "l04_no_checksum"),
    _zoo("L17, deleted before the manifest", "l17_segment_deleted_before_manifest"),
    _zoo("S2, sound", "s2_write_ahead_log"),
)


@dataclass(frozen=True, slots=True)
class Size:
    """Which stores, under which profile, and how often."""

    subjects: tuple[Subject, ...]
    profile: str
    repetitions: int


FULL = Size((RECORD_LOG, METRICS_STORE, *ZOO), "quick", 2)
QUICK = Size(ZOO[:1], "quick", 1)


def run(size: Size) -> tuple[Table, ...]:
    """All stores, in turns."""
    turns: dict[str, list[tuple[Certificate, Spent]]] = {one.name: [] for one in size.subjects}
    options = Options(profile=size.profile)
    for _ in range(size.repetitions):
        for subject in size.subjects:
            start = now()
            certificate = certify_adapter(subject.spec, options)
            turns[subject.name].append((certificate, since(start)))
    columns = (
        Column("store"),
        Column("verdict"),
        Column("states judged", ",d"),
        Column("findings", ",d"),
        Column("first finding, s", ".1f"),
        Column("wall, s", ".1f"),
        Column("cpu, s", ".1f"),
        Column("states/s", ",.0f"),
        Column("cores at work", ".2f"),
    )
    rows = tuple(_row(name, found) for name, found in turns.items())
    notes = (f"Profile {size.profile}, {options.jobs} workers; with reducing, explaining and confirming.",)
    return (Table("detection", "Certifying, from start to end", columns, rows, notes),)


def _row(name: str, turns: list[tuple[Certificate, Spent]]) -> tuple[object, ...]:
    certificate = turns[0][0]
    states = sum(evidence.states_judged for evidence in certificate.evidence)
    times = [finding.seconds_to_find for finding in certificate.findings]
    wall_s = middle([spent.wall_s for _, spent in turns])
    return (
        name,
        certificate.verdict.value,
        states,
        len(certificate.findings),
        min(times, default=None),
        wall_s,
        middle([spent.cpu_s for _, spent in turns]),
        ratio(states, wall_s),
        middle([ratio(spent.cpu_s, spent.wall_s) for _, spent in turns]),
    )
