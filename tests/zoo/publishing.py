"""What is told of a zoo run: the stamped record, `docs/ZOO.md`, and a block of the README."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
from harness.run.zoo import RECORD
from store_under_test.defective.catalogue import Row, rows
from tests.zoo.detection import Detection, is_sound, marked_lines
from tests.zoo.hunting import Hunt, Survivor
from tests.zoo.mutants import ROOT, Key

RECORD_FILE = ROOT / "harness" / "run" / RECORD
DOCUMENT = ROOT / "docs" / "ZOO.md"
README = ROOT / "README.md"
#: A result for each row: everything that is published is made of these, and the short tests ask what they name.
RESULTS_FILE = ROOT / "tests" / "zoo" / "results.json"

_HEAD = """# The zoo

Stores that prove the harness can see. Rows with a letter of D, L or M hold one planted defect each; those with N or S
are sound, though they look suspicious. They are in `store_under_test/defective/`, one module each.

A defect counts as caught if its claims fail and a confirmed finding of an expected kind names a line that the module
marks as the place of the defect. A sound store counts as quiet if every claim passes under every preset and there is
no finding. Seconds are those from the start of a workload's exploration to the first such finding, on the machine of
the run.

`python -m tests.zoo.run_zoo` writes this page from a real run, with `--row D42` one row of it anew; with `--mutants` it
makes mutants of the MetricsStore, and adds what became of them.
"""


def source_digest(root: Path = ROOT) -> str:
    """SHA-256 over the names and contents of all modules of the harness, in hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted((root / "harness").rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


# --- what became of each row ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """What one certification said about one row, by the code with this digest.

    `kind` and `source` are those of the finding that names the defect, found `seconds_to_find` after its workload was
    begun; `scenarios` refuted the claims of the row in `profile`. `seconds` is the time of the whole certification.
    """

    right: bool
    kind: str
    source: str
    seconds_to_find: float
    seconds: float
    profile: str
    scenarios: tuple[str, ...]
    source_digest: str

    @classmethod
    def of(cls, found: Detection, digest: str) -> Result:
        """`digest` is that of the code which found it."""
        kind, source, seconds = "", "", 0.0
        if (hit := found.hit) is not None and hit.call_site is not None:
            kind, source = hit.kind, marked_lines(found.row.module)[hit.call_site.line]
            seconds = hit.seconds_to_find
        return cls(found.right, kind, source, seconds, found.seconds, found.profile, found.refuted_by, digest)


def read_results() -> dict[str, Result]:
    """The results as they are on the disk, by the id of the row."""
    if not RESULTS_FILE.exists():
        return {}
    found = json.loads(RESULTS_FILE.read_text(encoding="utf-8"))
    return {id: Result(**{**row, "scenarios": tuple(row["scenarios"])}) for id, row in found.items()}


def write_results(results: dict[str, Result]) -> None:
    """All results, in the order of the catalogue."""
    found = {row.id: asdict(results[row.id]) for row in rows()}
    RESULTS_FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


# --- the record ----------------------------------------------------------------------------


def rows_record(results: Mapping[str, Result]) -> dict[str, Any]:
    """The numbers of the results of all rows.

    `median_seconds_to_find` is over the defects caught; `slowest_seconds` is the longest certification.
    `source_digest` is that of the code that most rows were run by; the others are named in `run_again`.
    """
    planted = [results[row.id] for row in rows() if not is_sound(row)]
    sound = [results[row.id] for row in rows() if is_sound(row)]
    times = [item.seconds_to_find for item in planted if item.kind]
    digest = statistics.mode(item.source_digest for item in results.values())
    return {
        "version": harness.__version__,
        "planted": len(planted),
        "caught": sum(item.right for item in planted),
        "sound": len(sound),
        "false_alarms": sum(not item.right for item in sound),
        "median_seconds_to_find": round(statistics.median(times), 3) if times else None,
        "slowest_seconds": round(max(item.seconds for item in results.values()), 1),
        "source_digest": digest,
        "run_again": [row.id for row in rows() if results[row.id].source_digest != digest],
    }


def read_record() -> dict[str, Any]:
    """The record as it is on the disk, of whatever version; empty if there is none."""
    if not RECORD_FILE.exists():
        return {}
    record: dict[str, Any] = json.loads(RECORD_FILE.read_text(encoding="utf-8"))
    return record


def write_record(parts: dict[str, Any]) -> dict[str, Any]:
    """Put `parts` into the record; what it does not name stays. Returns the whole."""
    record = {**read_record(), **parts}
    RECORD_FILE.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


# --- the document --------------------------------------------------------------------------


def document_of_rows(results: Mapping[str, Result], record: dict[str, Any]) -> str:
    """The page without its last part."""
    planted = [row for row in rows() if not is_sound(row)]
    sound = [row for row in rows() if is_sound(row)]
    lines = [
        _HEAD,
        f"Version {record['version']}: {record['caught']} of {record['planted']} planted defects caught, "
        f"{record['false_alarms']} false alarms on {record['sound']} sound stores.{_run_again(record)}\n",
        "## Planted defects\n",
        *markdown_table(
            ("row", "defect", "caught", "kind", "call site", "scenario", "seconds"),
            (_planted_row(row, results[row.id]) for row in planted),
        ),
        "",
        "## Sound stores\n",
        *markdown_table(("row", "behaviour", "quiet"), (_sound_row(row, results[row.id]) for row in sound)),
    ]
    return "\n".join(lines) + "\n"


def _run_again(record: dict[str, Any]) -> str:
    names = record["run_again"]
    return f"\nRun again by themselves, after the code had changed: {', '.join(names)}." if names else ""


def document_of_mutants(hunts: list[Hunt], table: dict[Key, Survivor], counts: dict[str, Any]) -> str:
    """The last part of the page: what became of the mutants, and why each survivor survives."""
    lines = [
        "## Mutants\n",
        "Of the reference store `store_under_test/metrics_store`, one statement at a time: each sync, rename,",
        "removal and lock, each comparison of a checksum and each test of what a call returned is deleted, moved",
        "or doubled. `cannot_run` and `not_certified`: it fails without any fault, always or mostly.\n",
        *markdown_table(
            ("generated", "caught", "equivalent", "need other faults", "blind spots"),
            [[str(counts[name]) for name in _COUNTS]],
        ),
        "",
        "### Caught\n",
        *markdown_table(
            ("mutant", "line", "kind", "profile"), (_caught_row(found) for found in hunts if found.caught)
        ),
        "",
        "### Survivors\n",
        *markdown_table(
            ("mutant", "line", "reading"),
            (_survivor_row(found, table) for found in hunts if not found.caught),
        ),
    ]
    return "\n".join(lines) + "\n"


_COUNTS = ("generated", "caught", "equivalent", "not_applicable", "blind_spots")


def _planted_row(row: Row, found: Result) -> list[str]:
    if not found.kind:
        return [row.id, row.defect, "no", "", "", "", ""]
    caught = "yes" if found.right else "in part"
    where = [found.kind, _code(found.source), found.scenarios[0]]
    return [row.id, row.defect, caught, *where, f"{found.seconds_to_find:.2f}"]


def _sound_row(row: Row, found: Result) -> list[str]:
    return [row.id, row.defect.removeprefix("none: "), "yes" if found.right else "no"]


def _caught_row(found: Hunt) -> list[str]:
    return [*_mutant_cells(found), found.kind, found.profile]


def _survivor_row(found: Hunt, table: dict[Key, Survivor]) -> list[str]:
    survivor = table.get(found.mutant.key)
    reading = "not explained yet" if survivor is None else f"{survivor.reading}: {survivor.because}"
    return [*_mutant_cells(found), reading]


def _mutant_cells(found: Hunt) -> list[str]:
    key = found.mutant.key
    number = f", number {key.occurrence}" if key.occurrence > 1 else ""
    return [
        f"{key.operator}{number} {_code(found.mutant.text)}",
        f"{key.file}:{found.mutant.line} in {key.function}",
    ]


def markdown_table(heads: tuple[str, ...], rows: Iterable[list[str]]) -> list[str]:
    """The lines of a table."""
    return [
        f"| {' | '.join(heads)} |",
        f"| {' | '.join('---' for _ in heads)} |",
        *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows),
    ]


def _code(text: str) -> str:
    return f"`{text}`"


# --- writing -------------------------------------------------------------------------------


def write_document(*, rows: str | None = None, series: str | None = None, mutants: str | None = None) -> None:
    """Replace the parts of the page that are given."""
    old = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else _HEAD
    head, mark, old_mutants = old.partition("## Mutants\n")
    old_rows, begin, rest = head.partition("<!-- series:begin -->")
    first = old_rows.rstrip("\n") + "\n" if rows is None else rows
    middle = f"{begin}{rest}".rstrip("\n") if series is None else with_block("", "series", series)
    last = f"{mark}{old_mutants}" if mutants is None else mutants
    parts = (first, f"{middle}\n" if middle else "", last)
    DOCUMENT.write_text("\n".join(part for part in parts if part), encoding="utf-8")


def write_readme(record: dict[str, Any]) -> None:
    """Fill the block of the README."""
    text = README.read_text(encoding="utf-8")
    README.write_text(with_block(text, "zoo", readme_block(record)), encoding="utf-8")


def with_block(text: str, name: str, content: str) -> str:
    """`text` with `content` between the two comments that mark the block `name`."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def readme_block(record: dict[str, Any]) -> str:
    """The numbers of a record as a table."""
    profiles = ", then ".join(record.get("profiles", ["standard"]))
    rows = [
        ["planted defects caught, at the line that holds them", f"{record['caught']} of {record['planted']}"],
        ["false alarms on sound stores", f"{record['false_alarms']} of {record['sound']}"],
        [
            "from the start of a workload's exploration to the finding, median",
            f"{record['median_seconds_to_find']:.2f} s",
        ],
        [f"longest certification of one store, profile {profiles}", f"{record['slowest_seconds']:.1f} s"],
    ]
    if "mutants" in record:
        rows.append(["mutants of a sound store", _mutant_sentence(record["mutants"])])
    lines = markdown_table((f"version {record['version']}", "result"), rows)
    return "\n".join([*lines, "", "[The zoo](docs/ZOO.md) lists every one of them."])


def _mutant_sentence(counts: dict[str, Any]) -> str:
    return (
        f"{counts['caught']} of {counts['generated']} caught; {counts['equivalent']} equivalent, "
        f"{counts['not_applicable']} need other faults than that run's, "
        f"{counts['blind_spots']} blind spots"
    )
