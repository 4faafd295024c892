"""Every kind of damage: noticed, kept aside, and recovered from as far as possible."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from store_under_test.metrics_store import DashboardState, MetricsStore
from store_under_test.metrics_store.codec import encode
from tests.unit.metrics_store.helpers import raw_state, saved, state_of


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def reformatted(data: bytes) -> bytes:
    return json.dumps(json.loads(data), indent=1).encode()


def encoded_without_events(data: bytes) -> bytes:
    state = raw_state("changed")
    del state["events"]
    return encode(cast(DashboardState, state))


def encoded_with_wrong_type(data: bytes) -> bytes:
    return encode(cast(DashboardState, raw_state("changed", agents=[])))


Damage = Callable[[bytes], bytes]
DAMAGES: dict[str, Damage] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "longer": lambda data: data + b"\n",
    "zeros": lambda data: bytes(len(data)),
    "garbage": lambda data: b"\xff\x00" * 200,
    "invalid JSON": lambda data: b"{not json",
    "other JSON": lambda data: b"{}",
    "bare scalar": lambda data: b"1",
    "bit flip": flipped,
    "edited by hand": reformatted,
    "missing field": encoded_without_events,
    "wrong type": encoded_with_wrong_type,
}
EACH_DAMAGE = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.json"


def spoil(path: Path, damage: Damage) -> bytes:
    """Damage the file in place; its new content."""
    data = damage(path.read_bytes())
    path.write_bytes(data)
    return data


def quarantined(path: Path) -> list[bytes]:
    return sorted(entry.read_bytes() for entry in path.parent.glob("m.json.damaged-*"))


@EACH_DAMAGE
def test_a_damaged_primary_is_recovered_from_the_backup(
    path: Path, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    """With warnings, one count, the damaged bytes kept, and the primary restored for all later openings."""
    saved(path, "one", "two")
    data = spoil(path, damage)
    store = MetricsStore(path)
    assert store.load()["project"] == "one"
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert quarantined(path) == [data]
    stats = store.get_stats()
    assert (stats.recoveries, stats.quarantined_files) == (1, 1)
    caplog.clear()
    assert MetricsStore(path).load()["project"] == "one"
    assert not caplog.records


@EACH_DAMAGE
def test_a_damaged_backup_does_no_harm_and_is_kept_aside_before_it_is_replaced(
    path: Path, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    """A load does not even look at it; the next save warns."""
    store = saved(path, "one", "two")
    data = spoil(path.with_name("m.json.bak"), damage)
    assert store.load()["project"] == "two"
    assert not caplog.records
    store.save(state_of("three"))
    assert caplog.records
    assert quarantined(path) == [data]
    spoil(path, damage)
    assert MetricsStore(path).load()["project"] == "two"


def test_both_damaged_is_a_fresh_state_but_never_silently(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both contents are kept; every later opening finds the same fresh state."""
    saved(path, "one", "two")
    path.write_bytes(b"first")
    path.with_name("m.json.bak").write_bytes(b"second")
    state = MetricsStore(path, project="fresh").load()
    assert state["project"] == "fresh"
    assert "a fresh state" in caplog.text
    assert quarantined(path) == [b"first", b"second"]
    assert MetricsStore(path).load() == state


def test_damage_after_the_first_save_is_a_fresh_state_with_a_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no backup yet."""
    saved(path, "one")
    data = spoil(path, flipped)
    assert MetricsStore(path).load()["project"] == ""
    assert caplog.records
    assert quarantined(path) == [data]


def test_a_missing_primary_is_recovered_with_a_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From the backup, whose permissions it takes."""
    saved(path, "one", "two")
    path.with_name("m.json.bak").chmod(0o640)
    path.unlink()
    assert MetricsStore(path).load()["project"] == "one"
    assert "damaged or missing" in caplog.text
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert quarantined(path) == []


def test_a_missing_primary_with_a_damaged_backup_is_not_silent(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Something was saved once: the fresh state comes with warnings."""
    saved(path, "one", "two")
    path.unlink()
    data = spoil(path.with_name("m.json.bak"), flipped)
    assert MetricsStore(path).load()["project"] == ""
    assert len(caplog.records) == 2
    assert quarantined(path) == [data]


def test_a_save_or_update_on_a_damaged_store_recovers_first(path: Path) -> None:
    """The damaged primary never becomes the backup, and an update goes on from the backup's state."""
    store = saved(path, "one", "two")
    spoil(path, flipped)
    store.save(state_of("three"))
    spoil(path, flipped)
    seen: list[str] = []
    store.update(lambda state: seen.append(state["project"]))
    assert seen == ["one"]
    assert store.get_stats().recoveries == 2


def test_the_permissions_of_a_damaged_primary_are_kept(path: Path) -> None:
    """By the restored file, and by the copy in quarantine."""
    saved(path, "one", "two")
    path.chmod(0o640)
    spoil(path, flipped)
    MetricsStore(path).load()
    (copy,) = path.parent.glob("m.json.damaged-*")
    assert [stat.S_IMODE(file.stat().st_mode) for file in (path, copy)] == [0o640, 0o640]


def test_the_same_damage_twice_is_kept_once(path: Path) -> None:
    """Names are made of contents, so a recovery that is cut and repeated does not fill the disk."""
    for _ in range(2):
        saved(path, "one", "two")
        path.write_bytes(b"damaged")
        MetricsStore(path).load()
    path.write_bytes(b"damaged otherwise")
    MetricsStore(path).load()
    assert quarantined(path) == [b"damaged", b"damaged otherwise"]
