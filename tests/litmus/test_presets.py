"""The litmus table: small traces with the exact set of directories that each preset allows."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from tests.litmus.programs import Outcome, Program, files

PRESET_NAMES = ("strict", "ext4", "btrfs", "ext3-ordered", "process-crash", "max-loss")
#: What the models list as garbage, besides zeros: seeded bytes.
NOISE = Random("garbage 0").randbytes(16 * 1024)
A, B, C = (letter * 512 for letter in (b"A", b"B", b"C"))
ZERO, P, Q = bytes(512), b"P" * 4096, b"Q" * 4096


def of_file(*contents: bytes) -> set[Outcome]:
    return {files(a=content) for content in contents}


# --- an append keeps the earlier bytes and adds a prefix of the new ------------------------

SMALL_APPEND = {
    "strict": of_file(b"old", b"oldnew", b"old\0\0\0", b"old" + NOISE[:3]),
    "ext4": of_file(b"old", b"oldnew", b"old\0\0\0"),
    "btrfs": of_file(b"old", b"oldnew"),
    "ext3-ordered": of_file(b"old", b"oldnew"),
    "process-crash": of_file(b"old", b"oldnew"),
    "max-loss": of_file(b"old"),
}

SECTORS_APPEND = {
    "strict": of_file(
        A,
        A + B + C,
        A + B + ZERO,
        A + ZERO + C,
        A + ZERO + ZERO,
        A + B + NOISE[:512],
        A + NOISE[:512] + C,
        A + NOISE[:1024],
    ),
    "ext4": of_file(A, A + B + C, A + B + ZERO, A + ZERO + C, A + ZERO + ZERO),
    "btrfs": of_file(A, A + B + C),
    "ext3-ordered": of_file(A, A + B + C),
    "process-crash": of_file(A, A + B + C),
    "max-loss": of_file(A),
}


@pytest.mark.parametrize("model", PRESET_NAMES)
def test_small_append(model: str) -> None:
    """Within one sector: NUL bytes where the size may come first, garbage under `strict` alone."""
    program = Program(a=b"old").append("a", b"new")
    assert program.outcomes(model) == SMALL_APPEND[model]


@pytest.mark.parametrize("model", PRESET_NAMES)
def test_append_of_two_sectors(model: str) -> None:
    """Filling up the old last page: sector by sector, unless the file system joins it with the append."""
    program = Program(a=A).append("a", B + C)
    assert program.outcomes(model) == SECTORS_APPEND[model]


# --- replace by rename without fsync of the new file ---------------------------------------


def replacing(*new: bytes) -> set[Outcome]:
    """The old file alone; or with a temporary file; or replaced: each with any of these contents."""
    beside = {files(f=b"old", t=content) for content in new}
    return {files(f=b"old"), *beside, *({files(f=content) for content in new})}


REPLACE = {
    "strict": replacing(b"", b"new", b"\0\0\0", NOISE[:3]),
    "ext4": replacing(b"", b"new"),
    "btrfs": replacing(b"", b"new") - {files(f=b"")},
    "ext3-ordered": replacing(b"", b"new") - {files(f=b"")},
    "process-crash": replacing(b"", b"new") - {files(f=b"")},
    "max-loss": {files(f=b"old")},
}


@pytest.mark.parametrize("model", PRESET_NAMES)
def test_replace_by_rename_without_fsync(model: str) -> None:
    """The name may show a file whose data is missing, unless the rename waits for it."""
    program = Program(f=b"old").create("t").append("t", b"new").rename("t", "f")
    assert program.outcomes(model) == REPLACE[model]


# --- create by rename without fsync --------------------------------------------------------


def creating(*new: bytes) -> set[Outcome]:
    return {files(), *({files(t=content) for content in new}), *({files(f=content) for content in new})}


CREATE = {
    "strict": creating(b"", b"new", b"\0\0\0", NOISE[:3]),
    "ext4": creating(b"", b"new"),
    "btrfs": creating(b"", b"new"),
    "ext3-ordered": creating(b"", b"new") - {files(f=b"")},
    "process-crash": creating(b"", b"new") - {files(f=b"")},
    "max-loss": {files()},
}


@pytest.mark.parametrize("model", PRESET_NAMES)
def test_create_by_rename_without_fsync(model: str) -> None:
    """A rename to a new name waits for data only where all entries do."""
    program = Program().create("t").append("t", b"new").rename("t", "f")
    assert program.outcomes(model) == CREATE[model]


# --- fsync of a new file, its directory entry missing --------------------------------------

SYNCED_NEW_FILE = {
    "strict": {files(), files(a=b"x")},
    "ext4": {files(a=b"x")},
    "btrfs": {files(a=b"x")},
    "ext3-ordered": {files(a=b"x")},
    "process-crash": {files(a=b"x")},
    "max-loss": {files()},
}


@pytest.mark.parametrize("model", PRESET_NAMES)
def test_fsync_of_a_new_file(model: str) -> None:
    """Whether the name is durable with the file depends on what fsync covers."""
    program = Program().create("a").append("a", b"x").fsync("a")
    assert program.final(model) == SYNCED_NEW_FILE[model]


@pytest.mark.parametrize("model", PRESET_NAMES)
def test_fsync_of_a_new_file_and_its_directory(model: str) -> None:
    """What every model must keep."""
    program = Program().create("a").append("a", b"x").fsync("a").fsync_directory()
    assert program.final(model) == {files(a=b"x")}


# --- overwrites of two files seen in the other order ---------------------------------------

OLD_OR_NEW = {files(a=one, b=other) for one in (b"old", b"new") for other in (b"old", b"new")}
OVERWRITES = dict.fromkeys(("strict", "ext4", "btrfs", "ext3-ordered"), OLD_OR_NEW) | {
    "process-crash": OLD_OR_NEW - {files(a=b"old", b=b"new")},
    "max-loss": {files(a=b"old", b=b"old")},
}


@pytest.mark.parametrize("model", PRESET_NAMES)
def test_overwrites_of_two_files(model: str) -> None:
    """No file system orders overwrites of different files."""
    program = Program(a=b"old", b=b"old").write("a", 0, b"new").write("b", 0, b"new")
    assert program.outcomes(model) == OVERWRITES[model]


# --- a multi-page append is atomic ---------------------------------------------------------


def listed_tears(units: int) -> set[tuple[bool, ...]]:
    """All, none, each prefix, each suffix, each single unit missing."""
    numbers = range(units)
    prefixes = {tuple(number < cut for number in numbers) for cut in range(units + 1)}
    suffixes = {tuple(number >= cut for number in numbers) for cut in range(units + 1)}
    return prefixes | suffixes | {tuple(number != gap for number in numbers) for gap in numbers}


def strict_append_of_two_pages() -> set[Outcome]:
    found = set(of_file(b""))
    for kept in listed_tears(16):
        for pages in (1, 2):
            for garbage in (b"", NOISE):
                found.add(files(a=_with_gaps(P + Q, kept[: 8 * pages], garbage)))
    return found


def _with_gaps(data: bytes, kept: tuple[bool, ...], garbage: bytes) -> bytes:
    """The sectors of `data` that were kept; each run of lost ones shows the beginning of `garbage`, or zeros."""
    content, gap = bytearray(), 0
    for number, present in enumerate(kept):
        gap = 0 if present else gap + 512
        fill = garbage[gap - 512 : gap] if garbage and gap else ZERO
        content += data[number * 512 : number * 512 + 512] if present else fill
    return bytes(content)


PAGE_BY_PAGE = of_file(b"", P, P + Q)
TWO_PAGES = {
    "strict": strict_append_of_two_pages(),
    "ext4": PAGE_BY_PAGE,
    "btrfs": PAGE_BY_PAGE,
    "ext3-ordered": PAGE_BY_PAGE,
    "process-crash": PAGE_BY_PAGE,
    "max-loss": of_file(b""),
}


@pytest.mark.parametrize("model", PRESET_NAMES)
def test_append_of_two_pages(model: str) -> None:
    """An append of several pages can be cut between them under every model but `max-loss`."""
    program = Program(a=b"").append("a", P + Q)
    assert program.outcomes(model) == TWO_PAGES[model]


def test_a_write_in_progress_is_cut_at_pages_of_the_file() -> None:
    """Not of the buffer: the first piece fills up the page in which the write begins."""
    program = Program(a=P[:4000]).append("a", b"x" * 200)
    cut = of_file(P[:4000], P[:4000] + b"x" * 96, P[:4000] + b"x" * 200)
    assert program.outcomes("process-crash") == cut


# --- the table itself ----------------------------------------------------------------------


def _is_prefix_append(outcome: Outcome) -> bool:
    return dict(outcome)["a"] in (b"old", b"oldn", b"oldne", b"oldnew")


VIOLATIONS: dict[str, tuple[dict[str, set[Outcome]], Callable[[Outcome], bool], set[str]]] = {
    "prefix append": (SMALL_APPEND, lambda seen: not _is_prefix_append(seen), {"strict", "ext4"}),
    "replace by rename": (
        REPLACE,
        lambda seen: dict(seen)["f"] not in (b"old", b"new"),
        {"strict", "ext4"},
    ),
    "create by rename": (
        CREATE,
        lambda seen: dict(seen).get("f", b"new") != b"new",
        {"strict", "ext4", "btrfs"},
    ),
    "entry of a synced file": (SYNCED_NEW_FILE, lambda seen: not seen, {"strict", "max-loss"}),
    "order of overwrites": (
        OVERWRITES,
        lambda seen: seen == files(a=b"old", b=b"new"),
        {"strict", "ext4", "btrfs", "ext3-ordered"},
    ),
    "append of several pages": (
        TWO_PAGES,
        lambda seen: dict(seen)["a"] not in (b"", P + Q),
        set(PRESET_NAMES) - {"max-loss"},
    ),
}


@pytest.mark.parametrize("row", VIOLATIONS)
def test_which_models_allow_which_violation(row: str) -> None:
    """The table of reachable violations, computed from the exact sets above."""
    sets, is_violation, expected = VIOLATIONS[row]
    assert {model for model, outcomes in sets.items() if any(map(is_violation, outcomes))} == expected
