"""What a structured log must do. Each check takes the parts under test; an `AssertionError` says what is wrong."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from store_under_test.structured_log import EventType
from tests.unit.structured_log.kit import Kit, numbers, others_run, strict_lines, writes

Check = Callable[[Kit, Path], None]


class Spiteful:
    """Everything about it raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")


class Rude:
    """Its repr ends the program."""

    def __repr__(self) -> str:
        raise SystemExit("now")


class SubText(str):
    """Text that lies about itself."""

    def __str__(self) -> str:
        return "\udc80"

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise RuntimeError("no")


def endless() -> list[Any]:
    """A list that contains itself."""
    found: list[Any] = [1]
    found.append({"inside": found})
    return found


def deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(100_000):
        found = [found]
    return found


NASTY: list[Any] = [
    *("", "\x00\n\r\t\"\\", "\u2028 \u0085 é 漢 \U0001f600", "\ud800", "a\udc80b", SubText("text")),
    *(math.nan, math.inf, -math.inf, -0.0, 1e308, 5e-324, 2**63, 2**64, -(2**70), 10**5000, True, None),
    *(b"\xff\x00", bytearray(b"a"), memoryview(b"ab")),
    *({1: "a", "1": "b", None: "c", (1, 2): "d", math.nan: "e", b"k": "f", "\udc80": "g"}, {Spiteful(): Spiteful()}),
    *(Spiteful(), Rude(), object(), Spiteful, KeyError("\udc80"), EventType.RECORD, {3, 1, 2}, frozenset(["b", "a"])),
    *(endless(), deep(), range(3), iter([1]), sys, lambda: 0),
]


def every_line_is_json(kit: Kit, folder: Path) -> None:
    """One line for each value, with whatever keys the caller gives."""
    logger = kit.logger(folder / "log")
    for value in NASTY:
        assert logger.log_event(EventType.RECORD, value=value, **{"type": 1, "self": 2, "crc": 3, "\ud800": 4, "": 5})
    lines = strict_lines(folder / "log")
    assert len(lines) == len(NASTY)
    assert all({"type", "self", "crc", ""} <= set(line["fields"]) for line in lines)
    assert len(kit.read(folder / "log").records) == len(NASTY)


def contexts_unwind(kit: Kit, folder: Path) -> None:
    """Nested blocks add and hide fields, and take them away again, also on exceptions."""
    logger = kit.logger(folder / "log")
    with kit.context(a=1, b=1):
        try:
            with kit.context(b=2, c=2):
                logger.log_event(EventType.RECORD)
                raise KeyError
        except KeyError:
            logger.log_event(EventType.RECORD)
    logger.log_event(EventType.RECORD)
    seen = [line["context"] for line in strict_lines(folder / "log")]
    assert seen == [{"a": 1, "b": 2, "c": 2}, {"a": 1, "b": 1}, {}], f"the contexts were {seen}"


def contexts_stay_in_their_task(kit: Kit, folder: Path) -> None:
    """Tasks that take turns inside their blocks see their own fields, and those around the place that made them."""
    logger = kit.logger(folder / "log")

    async def one(number: int) -> None:
        with kit.context(**{f"only{number}": number}):
            for _ in range(3):
                await others_run()
                logger.log_event(EventType.RECORD, n=number)

    async def main() -> None:
        with kit.context(all=0):
            await asyncio.gather(*(one(number) for number in range(3)))
            logger.log_event(EventType.RECORD, n=9)

    asyncio.run(main())
    for line in strict_lines(folder / "log"):
        number = line["fields"]["n"]
        expected = {"all": 0} if number == 9 else {"all": 0, f"only{number}": number}
        assert line["context"] == expected, f"the context of task {number} was {line['context']}"


def contexts_stay_in_their_thread(kit: Kit, folder: Path) -> None:
    """Threads that are in their blocks at the same time, and one that has none."""
    logger = kit.logger(folder / "log")
    barrier = threading.Barrier(3)

    def one(number: int) -> None:
        with kit.context(only=number):
            barrier.wait(60)
            logger.log_event(EventType.RECORD, n=number)
            barrier.wait(60)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(3)]
    with kit.context(outside=1):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    seen = {line["fields"]["n"]: line["context"] for line in strict_lines(folder / "log")}
    assert seen == {number: {"only": number} for number in range(3)}, f"the contexts were {seen}"


def nothing_is_raised(kit: Kit, folder: Path) -> None:
    """Whatever fails: the file, stderr, the clock, the type, the stack."""
    quiet: Any = kit.logger(folder / "missing" / "log")
    timeless: Any = kit.logger(folder / "log", wall=lambda: math.nan)
    try:
        with patch.object(sys, "stderr", None):
            assert not quiet.log_event(EventType.RECORD, n=1)
        for type in ("text", Spiteful(), None):
            assert timeless.log_event(type, n=1)
        _at_the_end_of_the_stack(lambda: timeless.log_event(EventType.RECORD, n=1))
    except (OSError, ValueError, AttributeError, TypeError, RuntimeError) as error:
        raise AssertionError(f"the caller got {error!r}") from error
    lines = strict_lines(folder / "log")
    assert [line["event"] for line in lines[:3]] == ["unknown"] * 3
    assert lines[0]["time"] is None


def _at_the_end_of_the_stack(function: Callable[[], object]) -> None:
    """Calls with ever less room, until there is none for the call itself."""
    try:
        _at_the_end_of_the_stack(function)
    except RecursionError:
        return
    function()


def writers_do_not_mix(kit: Kit, folder: Path) -> None:
    """Another writer comes between any two writes of one record."""
    first, second = kit.logger(folder / "log", lock_timeout_s=0), kit.logger(folder / "log", lock_timeout_s=0)
    second.log_event(EventType.RECORD, n=0)
    inside: list[int] = []
    written = [0]

    def and_then_another(original: Callable[..., int], descriptor: int, data: Any) -> int:
        count = original(descriptor, bytes(data[:50]) if not inside else data)
        if not inside:
            inside.append(1)
            if second.log_event(EventType.RECORD, n=2):
                written.append(2)
        return count

    with writes(and_then_another), patch.object(sys, "stderr", None):
        if first.log_event(EventType.RECORD, n=1):
            written.append(1)
    contents = kit.read(folder / "log")
    assert inside and sorted(numbers(contents)) == sorted(written), f"{numbers(contents)} are left of {written}"
    assert contents.malformed == 0


def writers_append(kit: Kit, folder: Path) -> None:
    """Two writers in turn: nobody writes over what the other has written."""
    writers = [kit.logger(folder / "log") for _ in range(2)]
    for number in range(6):
        assert writers[number % 2].log_event(EventType.RECORD, n=number, text="x" * (1000 * number))
    assert numbers(kit.read(folder / "log")) == list(range(6))


def short_writes_are_continued(kit: Kit, folder: Path) -> None:
    """The kernel may take any part of a line."""
    logger = kit.logger(folder / "log")
    with writes(lambda original, descriptor, data: original(descriptor, data[:50])):
        assert all(logger.log_event(EventType.RECORD, n=number) for number in range(3))
    assert numbers(kit.read(folder / "log")) == [0, 1, 2]


def a_malformed_line_is_passed_over(kit: Kit, folder: Path) -> None:
    """It is counted, and what comes after it is read."""
    path = folder / "log"
    kit.logger(path).log_event(EventType.RECORD, n=1)
    with path.open("ab") as other:
        other.write(b'{"not": "ours"}\n\xff\xfe\n')
    kit.logger(path).log_event(EventType.RECORD, n=2)
    contents = kit.read(path)
    assert (numbers(contents), contents.malformed) == ([1, 2], 2)


def a_torn_line_stays_gone(kit: Kit, folder: Path) -> None:
    """Cut anywhere: the next writer starts on a fresh line, and the rest of the cut one is no record and no damage."""
    whole = folder / "whole"
    kit.logger(whole).log_event(EventType.RECORD, n=1)
    length = len(whole.read_bytes())
    kit.logger(whole).log_event(EventType.RECORD, n=2)
    data = whole.read_bytes()
    for cut in sorted({*range(length + 1, length + 20), *range(length + 20, len(data), 17), len(data) - 1}):
        path = folder / f"cut{cut}"
        path.write_bytes(data[:cut])
        torn = kit.read(path)
        assert (numbers(torn), torn.torn is not None) == ([1], True), f"cut at {cut}: {torn}"
        for number in (3, 4):
            kit.logger(path).log_event(EventType.RECORD, n=number)
        contents = kit.read(path)
        told = (numbers(contents), contents.malformed, contents.damaged, contents.torn)
        assert told == ([1, 3, 4], 1, (), None), f"cut at {cut}: {told}"


def what_was_lost_is_told(kit: Kit, folder: Path) -> None:
    """How many there were, and where they went, in the next record that is written."""
    logger = kit.logger(folder / "log")

    def full(original: Callable[..., int], descriptor: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    logger.log_event(EventType.RECORD, n=0)
    with writes(full), open(folder / "stderr", "w") as stderr:
        with patch.object(sys, "stderr", stderr):
            assert not logger.log_event(EventType.RECORD, n=1)
            assert not logger.log_event(EventType.RECORD, n=2)
        with patch.object(sys, "stderr", None):
            assert not logger.log_event(EventType.RECORD, n=3)
    assert [line["fields"]["n"] for line in strict_lines(folder / "stderr")] == [1, 2]
    assert logger.stats().untold == 3
    for number in (4, 5):
        logger.log_event(EventType.RECORD, n=number)
    contents = kit.read(folder / "log")
    assert (numbers(contents), contents.lost) == ([0, 4, 5], 3), f"{contents.lost} were told to be lost"
    assert [record.get("lost") for record in contents.records] == [None, {"stderr": 2, "nowhere": 1}, None]


def damage_is_noticed(kit: Kit, folder: Path) -> None:
    """A changed byte in a line, lines that were copied, and a line that is gone, each with sound lines around it."""
    path = folder / "log"
    for number in range(3):
        kit.logger(path).log_event(EventType.RECORD, n=number, text="some text")
    lines = path.read_bytes().splitlines(keepends=True)
    text_at = lines[1].index(b"some") + 1
    changed = [lines[1][:at] + bytes((lines[1][at] ^ 1,)) + lines[1][at + 1 :] for at in (0, 9, text_at, 60)]
    for line in (*changed, lines[1].upper(), lines[0]):
        path.write_bytes(lines[0] + line + lines[2])
        found = kit.read(path)
        assert found.damaged, f"{line!r} was not noticed"
        assert set(numbers(found)) <= {0, 2}
    for copied in (lines[0] + lines[2], b"".join(lines) + lines[2]):
        path.write_bytes(copied)
        found = kit.read(path)
        assert found.damaged or found.torn, "a line in another place was not noticed"


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        *(every_line_is_json, contexts_unwind, contexts_stay_in_their_task, contexts_stay_in_their_thread),
        *(nothing_is_raised, writers_do_not_mix, writers_append, short_writes_are_continued),
        *(a_malformed_line_is_passed_over, a_torn_line_stays_gone, what_was_lost_is_told, damage_is_noticed),
    )
}
