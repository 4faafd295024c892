"""The measured series for several clients: `python -m tests.zoo.run_series detection | quiet | replays`.

`detection`: each planted defect that needs several clients, or belongs to the breaker or the log, is searched for
with one seed after the other. `quiet`: four clients work on sound stores, again and again. `replays`: a finding of each
defect is done again, in fresh interpreters. What is found goes to `tests/zoo/series.json`, after each defect and store,
and from there to `docs/ZOO.md`. `--only D42 detection` runs a part of a series; the rest stays as it was found. The
exit status is 0 if every defect was caught with every seed, nothing was found in a sound store, and every replay was
the same.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from harness.core.evidence import Certificate, Finding
from harness.run.certify import certify_adapter
from harness.run.options import PROFILES, Options
from harness.run.replaying import replay
from tests.zoo import publishing
from tests.zoo.detection import TIME_LIMIT_S, by_time
from tests.zoo.planted import Check, Sought, checks
from tests.zoo.quiet import Quiet, Subject, run_quiet, subjects
from tests.zoo.searching import Case, cases, searches, told
from tests.zoo.series import Hushed, Repeated, Searched, Series, block, changing, hushed

SEEDS, RUNS, TIMES = 50, 1_000, 20
#: Runs over one store before the next has its turn: each mode as often.
BLOCK = 8
T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    names = (*(one.id for one in (*cases(), *checks())), *(one.name for one in subjects()))
    if unknown := [text for text in given.only or () if not any(text in name for name in names)]:
        parser.error(f"nothing has {unknown[0]!r} in its name: there are {', '.join(names)}")
    status: int = given.command(given)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.zoo.run_series", description=__doc__)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (all cores)")
    parser.add_argument("--only", action="append", metavar="TEXT", help="what has this in its name (repeatable)")
    parser.add_argument("--profile", choices=tuple(PROFILES), default="standard")
    commands = parser.add_subparsers(required=True)
    detect = commands.add_parser("detection", help="each planted defect, with many seeds")
    detect.add_argument("--seeds", type=int, default=SEEDS, metavar="N")
    detect.add_argument("--first-seed", type=int, default=0, metavar="N")
    detect.set_defaults(command=run_detection)
    quiet = commands.add_parser("quiet", help="sound stores, many times")
    quiet.add_argument("--runs", type=int, default=RUNS, metavar="N", help="over all stores together")
    quiet.add_argument("--first-seed", type=int, default=0, metavar="N")
    quiet.set_defaults(command=run_quiet_runs)
    replays = commands.add_parser("replays", help="findings, done again")
    replays.add_argument("--times", type=int, default=TIMES, metavar="N")
    replays.add_argument("--seed", type=int, default=0, metavar="N")
    replays.set_defaults(command=run_replays)
    return parser


def _named(things: Iterable[T], only: Sequence[str] | None, name: Callable[[T], str]) -> list[T]:
    return [thing for thing in things if not only or any(text in name(thing) for text in only)]


# --- detection ----------------------------------------------------------------------------------


def run_detection(given: argparse.Namespace) -> int:
    """Every chosen defect with every seed; 0 if all were caught."""
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    wrong = 0
    with fresh_processes(given.jobs) as pool:
        for planted in _named((*cases(), *checks()), given.only, lambda one: one.id):
            shares = [seeds[number :: given.jobs] for number in range(given.jobs)]
            found = pool.map(partial(_searches, planted, profile=given.profile), shares)
            searched = _searched(planted, sorted(itertools.chain(*found), key=lambda one: one.seed), given.profile)
            with _publishing() as series:
                series.detection[planted.id] = searched
            missed = [one.seed for one in searched.sought if not one.caught]
            elsewhere = {text for one in searched.sought for text in one.elsewhere}
            wrong += bool(missed)
            _say(f"{planted.id}: {searched.caught} of {len(seeds)}; missed {missed}; elsewhere {sorted(elsewhere)}")
    return 1 if wrong else 0


def _searches(planted: Case | Check, seeds: Sequence[int], profile: str) -> list[Sought]:
    if isinstance(planted, Case):
        return list(searches(planted, seeds, profile))
    return [planted.search(seed) for seed in seeds]


def _searched(planted: Case | Check, sought: Sequence[Sought], profile: str) -> Searched:
    defect = planted.defect if isinstance(planted, Case) else planted.name
    budget = f"profile {profile}" if isinstance(planted, Case) else planted.budget
    return Searched(defect, budget, tuple(sought), publishing.source_digest())


# --- quiet --------------------------------------------------------------------------------------


def run_quiet_runs(given: argparse.Namespace) -> int:
    """So many runs over the chosen stores; 0 if nothing was found, and each had its operations."""
    chosen = _named(subjects(), given.only, lambda one: one.name)
    runs: dict[str, list[Quiet]] = {subject.name: [] for subject in chosen}
    rows: dict[str, Hushed] = {}
    with fresh_processes(given.jobs) as pool:
        for number, subject, seeds in _blocks(chosen, given.runs, given.first_seed):
            runs[subject.name] += pool.map(partial(run_quiet, subject), seeds)
            row = rows[subject.name] = hushed(runs[subject.name], publishing.source_digest())
            with _publishing() as series:
                series.quiet[subject.name] = row
            _say("\n    ".join((f"{number} runs; {_quiet_line(subject, row)}", *row.alarms, *row.unknown, *row.idle)))
    return 1 if any(row.alarms or row.unknown for row in rows.values()) else 0


def _blocks(chosen: list[Subject], runs: int, first: int) -> Iterator[tuple[int, Subject, range]]:
    """All stores in turn, some seeds each time: who stops the series has some of every store. With the number of runs
    so far."""
    done = 0
    for seed in itertools.count(first, BLOCK):
        for subject in chosen:
            count = min(BLOCK, runs - done)
            if count <= 0:
                return
            done += count
            yield done, subject, range(seed, seed + count)


def _quiet_line(subject: Subject, row: Hushed) -> str:
    each = row.seconds / max(1, row.runs + len(row.idle))
    return f"{subject.name}: {row.runs}, {row.fewest} operations in the least, {each:.2f} s each"


# --- replays ------------------------------------------------------------------------------------


def run_replays(given: argparse.Namespace) -> int:
    """One finding of each chosen defect, so many times; 0 if all were the same."""
    wrong = 0
    for name, repeated in _all_repeated(given):
        if repeated is not None:
            with _publishing() as series:
                series.replays[name] = repeated
        wrong += repeated is None or bool(repeated.others)
        _say(f"{name}: {'nothing was found' if repeated is None else _replayed_line(repeated)}")
    return 1 if wrong else 0


def _all_repeated(given: argparse.Namespace) -> Iterator[tuple[str, Repeated | None]]:
    for case in _named(cases(), given.only, lambda one: one.id):
        yield case.id, _again_by_certificate(case, given)
    yield from _again_by_seed(_named(checks(), given.only, lambda one: one.id), given)


def _replayed_line(row: Repeated) -> str:
    return f"{row.times - len(row.others)} of {row.times} the same: {row.finding}" + "".join(
        f"\n    {text}" for text in dict.fromkeys(row.others)
    )


def _again_by_certificate(case: Case, given: argparse.Namespace) -> Repeated | None:
    """As a user does: certify, and replay what the certificate holds."""
    [sought] = searches(case, [given.seed], given.profile)
    scenarios = (sought.scenario,) if sought.caught else case.scenarios
    options = Options(
        profile=given.profile, seed=given.seed, jobs=given.jobs, time_limit_s=TIME_LIMIT_S, scenarios=scenarios
    )
    certificate = certify_adapter(case.spec, options)
    finding = _right(case, certificate)
    if finding is None:
        return None
    expected = told(finding.kind, finding.call_site)
    with tempfile.TemporaryDirectory() as folder, fresh_processes(given.jobs) as pool:
        file = Path(folder, "certificate.json")
        file.write_text(json.dumps(certificate.to_json()), encoding="utf-8")
        seen = list(pool.map(partial(_replayed, file, finding.id), range(given.times)))
    return _repeated(expected, seen, given.seed)


def _right(case: Case, certificate: Certificate) -> Finding | None:
    return next((one for one in by_time(certificate) if case.is_right(one.kind, one.call_site)), None)


def _replayed(file: Path, identity: str, number: int) -> str:
    target = file.with_name(f"state-{number}")
    replayed = replay(file, identity, target, Options(jobs=1, time_limit_s=TIME_LIMIT_S))
    return told(replayed.finding.kind, replayed.call_site) if replayed.again else replayed.seen


def _again_by_seed(planted: list[Check], given: argparse.Namespace) -> Iterator[tuple[str, Repeated | None]]:
    """All checks in one fresh interpreter after the other; what the first one says is held against the others."""
    if not planted:
        return
    with fresh_processes(given.jobs, each=1) as pool:
        first, *others = pool.map(partial(_said, planted), [given.seed] * (given.times + 1))
    for number, check in enumerate(planted):
        seen = [said[number] for said in others]
        yield check.id, _repeated(first[number], seen, given.seed) if first[number] else None


def _said(planted: list[Check], seed: int) -> list[str]:
    return [check.run(seed) for check in planted]


def _repeated(expected: str, seen: list[str], seed: int) -> Repeated:
    others = tuple(text or "nothing" for text in seen if text != expected)
    return Repeated(expected, seed, len(seen), others, publishing.source_digest())


# --- helpers ------------------------------------------------------------------------------------


@contextmanager
def fresh_processes(jobs: int, *, each: int | None = None) -> Iterator[ProcessPoolExecutor]:
    """Fresh interpreters, each for so many tasks: in none of them has a store run."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, max_tasks_per_child=each) as pool:
        yield pool


@contextmanager
def _publishing() -> Iterator[Series]:
    """The series on the disk, to be changed; then the page is written anew."""
    with changing() as series:
        yield series
        publishing.write_document(series=block(series))


def _say(text: Any) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
