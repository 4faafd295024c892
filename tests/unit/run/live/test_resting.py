"""Damage at rest on a schedule: what is chosen, that it is put back, and how what the store shows is judged."""

from __future__ import annotations

from pathlib import Path

from harness import KEY_VALUE, Put
from harness.core.trace import Image
from harness.crash.materialize import Materializer
from harness.inject.damage import Damage, DamageKind, Versions
from harness.inject.nemesis import Injector
from harness.judge.damage import Opening
from harness.judge.oracle import Oracle, Window
from harness.judge.recovery import Recovery
from harness.record.scan import scan
from harness.run.live.resting import DamagingAtRest, Shown, Wound, choose, judge_damaged

ORACLE = Oracle(KEY_VALUE, (Put("a", "3"),), starts=[{"a": "2"}])
EARLIER = ({}, {"a": "1"})
OWED = Window(1, 1)


def image(folder: Path, **files: bytes) -> Image:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return scan(folder)


def test_a_damage_sets_no_file_back_and_leaves_numbers_alone(tmp_path: Path) -> None:
    before = image(tmp_path / "before", log=bytes([0]))
    now = image(tmp_path / "now", log=bytes([4]), lock=b"1234\n", empty=b"")
    wounds = [choose([before, now], f"{number}") for number in range(40)]

    assert {wound.file.path for wound in wounds if wound} == {"log"}
    assert {wound.content for wound in wounds if wound} == {bytes([4 ^ 1 << bit]) for bit in range(8)} - {bytes([0])}
    assert wounds == [choose([before, now], f"{number}") for number in range(40)]
    assert choose([image(tmp_path / "other", lock=b"77")], "") is None


def test_a_damage_is_taken_back_however_often(tmp_path: Path) -> None:
    whole = image(tmp_path / "data", log=b"abc")
    wound = Wound(Versions("log", b"abc", ()), Damage("log", DamageKind.FLIP, 0, 1), b"cbc")
    injector: Injector = DamagingAtRest(Materializer(tmp_path / "data"), whole, wound)
    injector.stop()
    assert (injector.fired, (tmp_path / "data" / "log").read_bytes()) == (0, b"abc")

    injector.start()
    assert (injector.fired, (tmp_path / "data" / "log").read_bytes()) == (1, b"cbc")
    assert injector.describe() == "bit 1 of byte 0 of log flipped"
    injector.stop()
    injector.stop()
    assert scan(tmp_path / "data").paths().keys() == whole.paths().keys()
    assert (tmp_path / "data" / "log").read_bytes() == b"abc"


def kind(*openings: Opening, repaired: bool = False, died: Recovery | None = None) -> str:
    violation = judge_damaged(ORACLE, Shown(openings, died=died), OWED, EARLIER, repaired=repaired)
    return "" if violation is None else violation.kind


def test_what_a_damaged_store_may_show() -> None:
    """What is owed, or all but the last operation of it; an earlier state only with a signal; an exception."""
    right, last = Opening({"a": "3"}, (1,)), Opening({"a": "2"}, (0,))

    assert kind(right, right) == kind(last, last) == ""
    assert kind(Opening(error="ValueError: no"), Opening(error="ValueError: no")) == ""
    assert kind(Opening({"a": "1"}, (), signal=True), Opening({"a": "1"}, ())) == ""


def test_what_a_damaged_store_may_not_show() -> None:
    assert kind(Opening({"a": "1"})) == "silent_corruption", "two operations are missing, without a word"
    assert kind(Opening({"b": "9"})) == "silent_corruption", "nobody wrote that"
    assert kind(Opening({"b": "9"}, (), signal=True)) == "phantom", "nor may a signal excuse it"
    assert kind(Opening({"a": "1"}, (), signal=True), repaired=True) != ""
    assert kind(Opening(error="KeyError: 1", declared=False)) == "undeclared_error"
    assert kind(died=Recovery("cannot_open", "opening ended its process")) == "cannot_open"
