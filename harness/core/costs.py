"""What a fixed workload costs a store, as counts that are the same in every run: system calls, bytes, Python calls.

No times: those of two runs can't be compared (docs/CI.md).
"""

from __future__ import annotations

from dataclasses import dataclass

#: Raised by one whenever the harness counts in another way: then old and new counts say nothing about each other.
COSTING = 1

PYTHON_CALLS = "Python calls"
BLOCKS = "allocated blocks"
WRITTEN = "bytes written"
READ = "bytes read"
#: All calls to the operating system together, the bytes included, where none of them can be counted.
SYSTEM_CALLS = "system calls"
#: The interpreter keeps some dozens of blocks for later, and not the same in every run: fewer than these are no change.
BLOCKS_SLACK = 100
#: Units that belong to the interpreter: those of another version of Python are other ones.
OF_PYTHON = (PYTHON_CALLS, BLOCKS)


@dataclass(frozen=True, slots=True)
class Cost:
    """`amount` of one unit ("sync calls", "bytes written", "Python calls", ...) over all operations of one kind.

    `operation` is the name of the operation's class, or "open" and "close"; for `BLOCKS` it is "everything".
    """

    operation: str
    unit: str
    amount: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A unit that is not counted, or that was not the same in every run, and why."""

    unit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs of one workload. `operations` says how many of each kind it has.

    `workload` is a digest of it: costs of different workloads are not compared, nor are those of different `costing`.
    Everything here was the same in each of `runs` runs, each in a process of its own.
    """

    costing: int
    workload: str
    python: str
    runs: int
    operations: dict[str, int]
    amounts: tuple[Cost, ...]
    left_out: tuple[LeftOut, ...] = ()
