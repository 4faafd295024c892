"""Run the harness over the zoo and publish how well it sees: `python -m tests.zoo.run_zoo [--mutants]`.

Without options: every row of the catalogue in profile quick, and in standard what that does not get right; then the
stamped record in the package, `docs/ZOO.md`, the block of the README, and what the short tests ask. `--profile
standard` goes to all lengths at once. With `--mutants`: the mutants of the reference store instead, added to the same
places. `--row D42` runs one row again; the others stay as they were found. The exit status is 0 if everything is as
expected.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import harness
from store_under_test.defective.catalogue import Row, rows
from tests.zoo import hunting, publishing
from tests.zoo.detection import Detection, certify, detection
from tests.zoo.mutants import Key, mutants


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.zoo.run_zoo", description=__doc__)
    parser.add_argument("--mutants", action="store_true", help="the mutants of the reference store instead")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="workers (all cores)")
    parser.add_argument("--profile", action="append", help="for the rows, one after the other: quick, then standard")
    parser.add_argument("--row", action="append", choices=[row.id for row in rows()], help="only this row (repeatable)")
    options = parser.parse_args(arguments)
    profiles = tuple(options.profile or ("quick", "standard"))
    return run_mutants(options.jobs) if options.mutants else run_rows(options.jobs, profiles, options.row or ())


def run_rows(jobs: int, profiles: tuple[str, ...], only: Sequence[str] = ()) -> int:
    """All rows, or some of them; 0 if every defect was caught and every sound store left alone."""
    results = publishing.read_results() if only else {}
    if only and (missing := {row.id for row in rows()} - {*results, *only}):
        print(f"there is no result of {', '.join(sorted(missing))}: run without --row first", file=sys.stderr)
        return 2
    digest = publishing.source_digest()
    for row in rows():
        if not only or row.id in only:
            found = _detected(row, jobs, profiles)
            results[row.id] = publishing.Result.of(found, digest)
            _say(_line(found))
    publishing.write_results(results)
    record = publishing.write_record({**publishing.rows_record(results), "profiles": list(profiles)})
    publishing.write_document(rows=publishing.document_of_rows(results, record))
    publishing.write_readme(record)
    print(
        f"{record['caught']} of {record['planted']} caught, "
        f"{record['false_alarms']} false alarms on {record['sound']} sound stores"
    )
    return 0 if all(result.right for result in results.values()) else 1


def _detected(row: Row, jobs: int, profiles: tuple[str, ...]) -> Detection:
    """In one profile after the other, until everything is right."""
    for profile in profiles:
        found = detection(row, certify(row, profile=profile, seed=0, jobs=jobs))
        if found.right:
            break
    return found


def run_mutants(jobs: int) -> int:
    """All mutants; 0 if each is caught, or explained in the table of survivors."""
    if publishing.read_record().get("version") != harness.__version__:
        print("there is no record of this version: run without --mutants first", file=sys.stderr)
        return 2
    hunts, table = [], hunting.known_survivors()
    with tempfile.TemporaryDirectory() as folder:
        for mutant in mutants():
            known = any(key == mutant.key for key in table)  # explained already: the quick profile may still refute it
            profiles = ("quick",) if known else hunting.PROFILES[mutant.family]
            found = hunting.hunt(mutant, Path(folder), jobs=jobs, profiles=profiles)
            hunts.append(found)
            _say(f"{found.kind or 'survives':20} {mutant.key} (line {mutant.line})")
    counts = hunting.counted(hunts, table)
    record = publishing.write_record(
        {"mutants": {**counts, "source_digest": publishing.source_digest()}},
    )
    publishing.write_document(mutants=publishing.document_of_mutants(hunts, table, counts))
    publishing.write_readme(record)
    return _account(hunts, table)


def _account(hunts: list[hunting.Hunt], table: dict[Key, hunting.Survivor]) -> int:
    missing, wrong = hunting.unexplained(hunts, table), hunting.refuted(hunts, table)
    for key in missing:
        print(f"not caught and not explained: {key}")
    for key in wrong:
        print(f"caught, though the table says that it survives: {key}")
    counts = hunting.counted(hunts, table)
    print(f"{counts['caught']} of {counts['generated']} mutants caught")
    return 1 if missing or wrong else 0


def _line(found: Detection) -> str:
    state = "right" if found.right else "WRONG"
    first = f", {found.hit.kind} after {found.hit.seconds_to_find:.2f} s" if found.hit else ""
    lines = [f"{state} {found.row.id} in {found.seconds:.1f} s{first}", *found.objections]
    return "\n    ".join(lines)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
