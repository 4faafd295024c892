"""How often `harness pace` finds a slow-down that is there, and how often it sees one that is not.

Two versions of a store differ by a busy loop that takes a share of each operation: 0, 5, 10 or 20 per cent. Two
stores: one computes, the other one writes and syncs. Each share is tried twice over:

- by real jobs, from beginning to end, as `harness pace` runs them: slow, so few;
- by simulated ones, many: pairs of the equal version with itself are recorded, and a job draws pairs of processes
from these records, with replacement, each the right way round or the other (the two sides are the same code), adds
the log of the share, and goes through the very same stages.

A share of jobs stands with the bound of its one-sided 95 % interval (Clopper and Pearson, Biometrika 26, 1934).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path

from benchmarks.table import Column, Table
from harness.measure.pairs import Groups
from harness.measure.stages import STAGES, Course, Decision, Family, Stage, run_stages
from harness.run.campaign import Silent
from harness.run.directories import run_directory
from harness.run.pace.comparing import pace
from harness.run.pace.pairing import Pairing
from harness.run.pace.session import version
from harness.run.pace.values import PaceOptions

SHARES = (0.0, 0.05, 0.1, 0.2)
_CONFIDENCE = 0.95

_STORE = '''
import json
import os
import time

SHARE = {share}
SYNCS = {syncs}


class Log:
    """A log of JSON lines."""

    def __init__(self, directory):
        self._file = os.open(directory / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.records = []

    def append(self, record):
        start = time.perf_counter_ns()
        line = json.dumps([json.loads(json.dumps({{"record": record, "number": n}})) for n in range(20)])
        os.write(self._file, (line if not SYNCS else json.dumps(record)).encode() + b"\\n")
        if SYNCS:
            os.fdatasync(self._file)
        self.records.append(record)
        end = time.perf_counter_ns() + round((time.perf_counter_ns() - start) * SHARE)
        while time.perf_counter_ns() < end:
            pass

    def close(self):
        os.close(self._file)
'''

_ADAPTER = """
from harness import LOG, Contract

from planted import Log


class Adapter:
    name = "planted"
    model = LOG
    contract = Contract(process_crash=None, power_loss=None, io_error=None, corruption=None)

    def open(self, directory):
        return Log(directory)

    def apply(self, store, operation):
        store.append(operation.record)

    def snapshot(self, store):
        return list(store.records)

    def close(self, store):
        store.close()
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How many jobs for each share, real and simulated; `recorded` are the pairs that simulated ones draw from."""

    real_jobs: int
    simulated_jobs: int
    recorded: Stage
    stages: tuple[Stage, ...] = STAGES
    sample_ms: float = 10.0
    stores: tuple[str, ...] = ("computes", "syncs")


FULL = Size(real_jobs=6, simulated_jobs=2_000, recorded=Stage(800, 40, 0.05, 0.05))
QUICK = Size(
    real_jobs=0,
    simulated_jobs=20,
    recorded=Stage(12, 2, 0.05, 0.05),
    stages=(Stage(20, 4, 0.05, 0.02), Stage(40, 8, 0.05, 0.02)),
    sample_ms=1.0,
    stores=("computes",),
)


def run(size: Size) -> tuple[Table, ...]:
    """Plant, record, simulate, and run real jobs."""
    base = Path("reports")  # on a disk, most probably, which the directory for temporary files need not be
    base.mkdir(exist_ok=True)
    with run_directory(base.resolve()) as folder:
        rows = []
        for store in size.stores:
            record = recorded(folder, store, size)
            for share in SHARES:
                rows.append(_row(f"{store}, simulated", share, simulated(record, share, size), record))
            for share in SHARES if size.real_jobs else ():
                rows.append(_row(f"{store}, real", share, real(folder, store, share, size), None))
    return (_table(rows, size),)


def _table(rows: list[tuple[object, ...]], size: Size) -> Table:
    stages = ", ".join(str(stage.pairs) for stage in size.stages)
    return Table(
        "power",
        "How often a planted slow-down is found, and one that is not there is seen",
        (
            Column("store and jobs"),
            Column("slower by", ".0%"),
            Column("jobs", ",d"),
            Column("regression", ".1%"),
            Column("at least", ".1%"),
            Column("at most", ".1%"),
            Column("no regression", ".1%"),
            Column("unknown", ".1%"),
            Column("pairs, mean", ".0f"),
            Column("deviation of a pair", ".2f"),
        ),
        tuple(rows),
        (
            f"Stages of {stages} pairs of {size.sample_ms:g} ms. Each bound of the share of regressions holds with "
            "95 %. Where nothing is slower a regression is a false alarm. Unknown: undecided, or an unfit machine.",
        ),
    )


def _row(label: str, share: float, courses: list[Course], record: Groups | None) -> tuple[object, ...]:
    ends = [course.decision for course in courses]
    found, jobs = ends.count(Decision.REGRESSION), len(ends)
    passed = ends.count(Decision.NO_REGRESSION)
    pairs = sum(next(iter(course.steps.values()))[-1].stage.pairs for course in courses) / jobs
    return (
        label,
        share,
        jobs,
        found / jobs,
        lower_share(found, jobs),
        1 - lower_share(jobs - found, jobs),
        passed / jobs,
        (jobs - found - passed) / jobs,
        pairs,
        math.nan if record is None else _deviation(record),
    )


def _deviation(groups: Groups) -> float:
    """The root of the mean square: two equal sides differ by nothing on average."""
    known = [value for group in groups for value in group]
    return math.sqrt(sum(value * value for value in known) / len(known))


def lower_share(found: int, jobs: int) -> float:
    """The smallest share of jobs that gives `found` or more of them with at least 5 %; by bisection."""
    if found == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_least(found, jobs, middle) < 1 - _CONFIDENCE else (low, middle)
    return low


def _at_least(found: int, jobs: int, share: float) -> float:
    """The probability of `found` or more of `jobs`."""
    if share <= 0 or share >= 1:
        return float(share >= 1)
    logs = math.log(share), math.log1p(-share)
    terms = (
        math.lgamma(jobs + 1) - math.lgamma(k + 1) - math.lgamma(jobs - k + 1) + k * logs[0] + (jobs - k) * logs[1]
        for k in range(found, jobs + 1)
    )
    return math.fsum(map(math.exp, terms))


# --- planted versions ----------------------------------------------------------------------


def planted(folder: Path, store: str, share: float, name: str) -> Path:
    """A folder with a version that takes a share longer than the plain one."""
    place = folder / f"{store}-{name}"
    place.mkdir(exist_ok=True)
    (place / "planted.py").write_text(_STORE.format(share=share, syncs=store == "syncs"), encoding="utf-8")
    return place


def _adapter(folder: Path) -> str:
    file = folder / "adapter.py"
    file.write_text(_ADAPTER, encoding="utf-8")
    return f"{file}:Adapter"


def recorded(folder: Path, store: str, size: Size) -> Groups:
    """Pairs of the plain version with itself."""
    directory = folder / f"{store}-stores"
    directory.mkdir()
    old, new = (version(str(planted(folder, store, 0.0, name))) for name in ("old", "new"))
    pairing = Pairing(_adapter(folder), old, new, directory, PaceOptions(sample_ms=size.sample_ms))
    pairing.rehearse()
    return next(iter(pairing.draw(False, size.recorded, None).values()))


def real(folder: Path, store: str, share: float, size: Size) -> list[Course]:
    """Whole jobs against a version that is slower by `share`."""
    old, new = planted(folder, store, 0.0, "old"), planted(folder, store, share, "new")
    courses = []
    for seed in range(size.real_jobs):
        options = PaceOptions(seed, folder, size.stages, size.sample_ms)
        comparison = pace(str(old), str(new), _adapter(folder), options, Silent())
        courses.append(Course({metric.name: metric.steps for metric in comparison.metrics}))
    return courses


# --- simulated jobs ------------------------------------------------------------------------


def simulated(record: Groups, share: float, size: Size) -> list[Course]:
    """Jobs whose pairs come from the record."""
    return [_simulated(record, share, size.stages, seed) for seed in range(size.simulated_jobs)]


def _simulated(record: Groups, share: float, stages: tuple[Stage, ...], seed: int) -> Course:
    source = random.Random(f"{seed} {share}")

    def draw(new: bool, stage: Stage, before: Stage | None) -> Family:
        pairs = stage.pairs - (before.pairs if before else 0)
        processes = stage.processes - (before.processes if before else 0)
        sizes = [pairs // processes + (number < pairs % processes) for number in range(processes)]
        effect = math.log1p(share) if new else 0.0
        return {"Append": tuple(_drawn(record, size, effect, source) for size in sizes)}

    return run_stages(draw, ("Append",), stages)


def _drawn(record: Groups, pairs: int, effect: float, source: random.Random) -> tuple[float, ...]:
    """Pairs of one recorded pair of processes, all of them the same way round."""
    group, sign = source.choice(record), source.choice((1.0, -1.0))
    return tuple(sign * source.choice(group) + effect for _ in range(pairs))
