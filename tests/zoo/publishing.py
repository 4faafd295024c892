"""What is told of a zoo run: the stamped record, `docs/ZOO.md`, and a block of the README."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import harness
from harness.run.zoo import RECORD
from tests.zoo.detection import Detection, is_sound, marked_lines
from tests.zoo.hunting import Hunt, Survivor
from tests.zoo.mutants import ROOT, Key

RECORD_FILE = ROOT / "harness" / "run" / RECORD
DOCUMENT = ROOT / "docs" / "ZOO.md"
README = ROOT / "README.md"
#: By which scenarios, in which profile, each row was found: the short tests ask just these.
FOUND_BY = ROOT / "tests" / "zoo" / "found_by.json"

_HEAD = """# The zoo

Stores that prove the harness can see. Rows with a letter of D, L or M hold one planted defect each; those with N or S
are sound, though they look suspicious. They are in `store_under_test/defective/`, one module each.

A defect counts as caught if its claims fail and a confirmed finding of an expected kind names a line that the module
marks as the place of the defect. A sound store counts as quiet if every claim passes under every preset and there is
no finding. Seconds are those from the start of a workload's exploration to the first such finding, on the machine of
the run.

`python -m tests.zoo.run_zoo` writes this page from a real run; `python -m tests.zoo.run_zoo --mutants` its last part.
"""


def source_digest(root: Path = ROOT) -> str:
    """SHA-256 over the names and contents of all modules of the harness, in hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted((root / "harness").rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


# --- the record ----------------------------------------------------------------------------


def rows_record(detections: list[Detection]) -> dict[str, Any]:
    """The numbers of a run over all rows.

    `median_seconds_to_find` is over the defects caught; `slowest_seconds` is the longest certification.
    """
    planted = [item for item in detections if not is_sound(item.row)]
    sound = [item for item in detections if is_sound(item.row)]
    times = [item.hit.seconds_to_find for item in planted if item.hit is not None]
    return {
        "version": harness.__version__,
        "planted": len(planted),
        "caught": sum(item.right for item in planted),
        "sound": len(sound),
        "false_alarms": sum(not item.right for item in sound),
        "median_seconds_to_find": round(statistics.median(times), 3) if times else None,
        "slowest_seconds": round(max(item.seconds for item in detections), 1),
        "source_digest": source_digest(),
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


def found_by_record(detections: Iterable[Detection]) -> dict[str, dict[str, Any]]:
    """For each defect that was caught, the profile and the scenarios that caught it."""
    return {
        item.row.id: {"profile": item.profile, "scenarios": list(item.refuted_by)}
        for item in detections
        if item.refuted_by
    }


def read_found_by() -> dict[str, dict[str, Any]]:
    """What `write_found_by` wrote."""
    found: dict[str, dict[str, Any]] = json.loads(FOUND_BY.read_text(encoding="utf-8"))
    return found


def write_found_by(found: dict[str, dict[str, Any]]) -> None:
    """For the short tests."""
    FOUND_BY.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


# --- the document --------------------------------------------------------------------------


def document_of_rows(detections: list[Detection], record: dict[str, Any]) -> str:
    """The page without its last part."""
    planted = [item for item in detections if not is_sound(item.row)]
    sound = [item for item in detections if is_sound(item.row)]
    lines = [
        _HEAD,
        f"Version {record['version']}: {record['caught']} of {record['planted']} planted defects caught, "
        f"{record['false_alarms']} false alarms on {record['sound']} sound stores.\n",
        "## Planted defects\n",
        *_table(("row", "defect", "caught", "kind", "call site", "seconds"), map(_planted_row, planted)),
        "",
        "## Sound stores\n",
        *_table(("row", "behaviour", "quiet"), map(_sound_row, sound)),
    ]
    return "\n".join(lines) + "\n"


def document_of_mutants(hunts: list[Hunt], table: dict[Key, Survivor], counts: dict[str, Any]) -> str:
    """The last part of the page: what became of the mutants, and why each survivor survives."""
    lines = [
        "## Mutants\n",
        "Of the reference store `store_under_test/metrics_store`, one statement at a time: each sync, rename,",
        "removal and lock, each comparison of a checksum and each test of what a call returned is deleted, moved",
        "or doubled. `cannot_run` and `not_certified`: it fails without any fault, always or mostly.\n",
        *_table(
            ("generated", "caught", "equivalent", "need other faults", "blind spots"),
            [[str(counts[name]) for name in _COUNTS]],
        ),
        "",
        "### Caught\n",
        *_table(
            ("mutant", "line", "kind", "profile"), (_caught_row(found) for found in hunts if found.caught)
        ),
        "",
        "### Survivors\n",
        *_table(
            ("mutant", "line", "reading"),
            (_survivor_row(found, table) for found in hunts if not found.caught),
        ),
    ]
    return "\n".join(lines) + "\n"


_COUNTS = ("generated", "caught", "equivalent", "not_applicable", "blind_spots")


def _planted_row(item: Detection) -> list[str]:
    hit = item.hit
    if hit is None or hit.call_site is None:
        return [item.row.id, item.row.defect, "no", "", "", ""]
    source = marked_lines(item.row.module)[hit.call_site.line]
    caught = "yes" if item.right else "in part"
    return [item.row.id, item.row.defect, caught, hit.kind, _code(source), f"{hit.seconds_to_find:.2f}"]


def _sound_row(item: Detection) -> list[str]:
    return [item.row.id, item.row.defect.removeprefix("none: "), "yes" if item.right else "no"]


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


def _table(heads: tuple[str, ...], rows: Iterable[list[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"| {' | '.join('---' for _ in heads)} |",
        *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows),
    ]


def _code(text: str) -> str:
    return f"`{text}`"


# --- writing -------------------------------------------------------------------------------


def write_document(*, rows: str | None = None, mutants: str | None = None) -> None:
    """Replace the parts of the page that are given."""
    old = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else _HEAD
    old_rows, mark, old_mutants = old.partition("## Mutants\n")
    first = old_rows.rstrip("\n") + "\n" if rows is None else rows
    last = f"{mark}{old_mutants}" if mutants is None else mutants
    DOCUMENT.write_text(f"{first}\n{last}" if last else first, encoding="utf-8")


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
    lines = _table((f"version {record['version']}", "result"), rows)
    return "\n".join([*lines, "", "[The zoo](docs/ZOO.md) lists every one of them."])


def _mutant_sentence(counts: dict[str, Any]) -> str:
    return (
        f"{counts['caught']} of {counts['generated']} caught; {counts['equivalent']} equivalent, "
        f"{counts['not_applicable']} need other faults than that run's, "
        f"{counts['blind_spots']} blind spots"
    )
