"""A small log damaged everywhere: never silently wrong; with parity right, whatever is done to any one block.

Every byte that is not zero is flipped, and so are the one after it and every 151st of the long runs of zeros; each file
is cut to such lengths; each block is filled with zeros. `benchmarks/damage_sweep.py` leaves out no byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store_under_test.event_store import EventStoreError
from store_under_test.event_store.verify import verify
from tests.unit.event_store.small_logs import contents, flipped, names, put, read, write, zeroed

TEXTS = ["one", "two", "|", "three", "four"]
EVENTS = [text for text in TEXTS if text != "|"]


def places(content: bytes) -> list[int]:
    """Offsets of a file where something stands or stood, and some where nothing ever did."""
    near = {place + step for place, byte in enumerate(content) if byte for step in (0, 1)}
    return sorted((near | set(range(0, len(content), 151))) & set(range(len(content))))


def flips(content: bytes) -> Iterator[bytes]:
    """The file with one bit of one byte changed."""
    return (flipped(content, place, 1 << place % 8) for place in places(content))


def cuts(content: bytes) -> Iterator[bytes]:
    """The file with its end gone."""
    return (content[:place] for place in places(content)[::3])


def zeros(content: bytes) -> Iterator[bytes]:
    """The file with one of its blocks gone."""
    blocks = (zeroed(content, start) for start in range(0, len(content), 4096))
    return (damaged for damaged in blocks if damaged != content)


def outcome(directory: Path, redundancy: str | None, caplog: pytest.LogCaptureFixture) -> str:
    """What an opening makes of it, told as short as can be: "right", "earlier", "refused", or what is wrong."""
    caplog.clear()
    try:
        found = read(directory, redundancy)
    except EventStoreError:
        return "refused"
    if found == EVENTS:
        return "right"
    earlier = found == EVENTS[: len(found)] and bool(caplog.records)
    return "earlier" if earlier else f"{found} with {len(caplog.records)} warnings"


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("damages", [flips, cuts, zeros])
def test_without_redundancy_damage_is_never_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: int, damages: object
) -> None:
    """The right events; or an exception; or, with a warning, those before the damage: and then again the same."""
    write(tmp_path, TEXTS, None)
    whole, name = contents(tmp_path), f"{names(tmp_path, '.log')[number]}.log"
    found: set[str] = set()
    for damaged in damages(whole[name]):  # type: ignore[operator]
        put(tmp_path, whole | {name: damaged})
        report = verify(tmp_path)
        first = outcome(tmp_path, None, caplog)
        found.add(first)
        if first == "right":
            assert report.is_complete
        if first == "earlier":
            assert outcome(tmp_path, None, caplog) == "earlier"
    assert found <= {"right", "refused", "earlier"}
    assert "refused" in found


@pytest.mark.parametrize(("number", "suffix"), [(0, ".log"), (0, ".par"), (1, ".log"), (1, ".mir")])
@pytest.mark.parametrize("damages", [flips, zeros])
def test_with_parity_any_one_block_is_repaired(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: int, suffix: str, damages: object
) -> None:
    """One block of one file: every event is there. What was damaged in use is noticed by verify before."""
    write(tmp_path, TEXTS)
    whole, name = contents(tmp_path), f"{names(tmp_path, '.log')[number]}{suffix}"
    for damaged in damages(whole[name]):  # type: ignore[operator]
        put(tmp_path, whole | {name: damaged})
        report = verify(tmp_path)
        assert outcome(tmp_path, "parity", caplog) == "right"
        assert report.is_complete
        changed = next(place for place, byte in enumerate(damaged) if byte != whole[name][place])
        in_use = suffix != ".log" or number == 1 or changed < len(whole[name].rstrip(b"\0"))
        assert bool(report.extents) == in_use


@pytest.mark.parametrize("suffix", [".log", ".mir"])
def test_with_a_mirror_a_cut_copy_is_whole_again(tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str) -> None:
    """Of the active segment either file may be cut to any length: more than a block is restored."""
    write(tmp_path, TEXTS)
    whole, name = contents(tmp_path), f"{names(tmp_path, '.log')[1]}{suffix}"
    for damaged in cuts(whole[name]):
        put(tmp_path, whole | {name: damaged})
        assert outcome(tmp_path, "parity", caplog) == "right"
