"""Random small programs, as Hypothesis strategies that shrink to fewer and simpler calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.litmus.programs import Program

NAMES = ("a", "b", "t", "d/c")


@dataclass(frozen=True)
class Scale:
    """How long things are, in bytes: small enough to try all subsets, odd enough to cross boundaries."""

    short: int
    long: int
    durable: int
    hole: int


#: Writes of one and of two sectors; the durable file ends near the end of its first page.
SECTORS = Scale(short=90, long=600, durable=4000, hole=5000)
#: For tears at every byte.
BYTES = Scale(short=2, long=3, durable=5, hole=8)

#: A kind, and two numbers that choose among the names that there are.
Call = tuple[str, int, int]
KINDS = (
    "append",
    "append_long",
    "overwrite",
    "overwrite_long",
    "create",
    "rename",
    "write_durably",
    "fsync",
    "fdatasync",
    "fsync_directory",
    "truncate",
    "grow",
    "unlink",
    "link",
    "hole",
    "sync",
)


def calls(most: int, kinds: tuple[str, ...] = KINDS) -> st.SearchStrategy[list[Call]]:
    number = st.integers(0, len(NAMES) - 1)
    call = st.tuples(st.sampled_from(kinds), number, number)
    return st.lists(call, min_size=1, max_size=most)


def build(program_calls: list[Call], scale: Scale = SECTORS) -> Program:
    """The calls that make sense, one after another; each writes a letter of its own."""
    program = Program("d", a=b"a" * scale.durable, b=b"b" * scale.short)
    for number, (kind, first, second) in enumerate(program_calls):
        perform(program, kind, first, second, chr(ord("A") + number).encode(), scale)
    return program


def perform(program: Program, kind: str, first: int, second: int, letter: bytes, scale: Scale) -> None:
    present = [name for name in NAMES if name in program.names]
    absent = [name for name in NAMES if name not in program.names]
    if kind == "sync":
        program.sync()
    elif kind == "fsync_directory":
        program.fsync_directory("d" if first % 2 else "")
    elif kind == "create":
        if absent:
            program.create(absent[first % len(absent)])
    elif present:
        name = present[first % len(present)]
        if kind in TWO_NAMES:
            TWO_NAMES[kind](program, name, NAMES[second])
        else:
            ONE_NAME[kind](program, name, letter, scale)


def _link(program: Program, first: str, second: str) -> None:
    if second not in program.names:
        program.link(first, second)


def _rename(program: Program, first: str, second: str) -> None:
    if program.names.get(second) != program.names[first]:  # two names of one file: rename does nothing
        program.rename(first, second)


def _size(program: Program, name: str) -> int:
    return program.sizes[program.handles[name]]


TWO_NAMES: dict[str, Callable[[Program, str, str], object]] = {"link": _link, "rename": _rename}
ONE_NAME: dict[str, Callable[[Program, str, bytes, Scale], object]] = {
    "append": lambda p, name, letter, scale: p.append(name, letter * scale.short),
    "append_long": lambda p, name, letter, scale: p.append(name, letter * scale.long),
    "overwrite": lambda p, name, letter, scale: p.write(name, 1, letter * scale.short),
    "overwrite_long": lambda p, name, letter, scale: p.write(name, 0, letter * scale.long),
    "write_durably": lambda p, name, letter, scale: p.write_durably(name, scale.short, letter * scale.short),
    "truncate": lambda p, name, letter, scale: p.truncate(name, min(_size(p, name), scale.short - 1)),
    "grow": lambda p, name, letter, scale: p.truncate(name, _size(p, name) + scale.short),
    "hole": lambda p, name, letter, scale: p.write(name, _size(p, name) + scale.hole, letter * scale.short),
    "unlink": lambda p, name, letter, scale: p.unlink(name),
    "fsync": lambda p, name, letter, scale: p.fsync(name),
    "fdatasync": lambda p, name, letter, scale: p.fdatasync(name),
}
