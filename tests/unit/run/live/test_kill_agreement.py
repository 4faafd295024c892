"""Real kills against the persistence model "process-crash": no kill leaves what the model does not know.

The same workload is recorded and enumerated, and killed for real at every moment that the engine knows; the contents
found after a kill, with what the client had been told, must be among the crash states.
"""

from __future__ import annotations

import functools
import json
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest

from harness import Append, Delete, Put
from harness.core.persistence import PROCESS_CRASH
from harness.core.trace import Image, InodeKind
from harness.core.workload import Reopen, Workload
from harness.crash.states import Enumerator
from harness.inject.kills import Kill, kills
from harness.record import scan
from harness.run.live.kills import KillEngine
from harness.run.recording import record_workload
from store_under_test.metrics_store.adapter import MetricsStoreAdapter
from tests.stores import killed
from tests.stores.honest import InPlace, Sound, Tidy
from tests.stores.local import Diary
from tests.unit.run.live.benches import bench, rehearsed, steps

#: A state: what is at each path, and how many operations were answered and begun.
State = tuple[tuple[Any, ...], int, int]
#: What differs from run to run: process ids in names of temporary files; time stamps in contents, and their checksums.
_VOLATILE = re.compile(rb'\d{4}-\d\d-\d\dT[0-9:.]+(\+00:00|Z)?|"checksum":"[0-9a-f]+"')
_NUMBERS = re.compile(r"\.\d+(\.\d+)*\.")


class Rewriter(Sound):
    """Names, links, sizes and overwritten pages, all in one operation."""

    name = "rewriter"

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        data = json.dumps(pairs).encode()
        folder = path.parent / "versions"
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder / "next", os.O_CREAT | os.O_RDWR)
        os.ftruncate(descriptor, 0)
        os.pwritev(descriptor, [b" ", b" " * 4095], 0)
        os.pwrite(descriptor, data, 100)
        os.posix_fallocate(descriptor, 0, 9000)
        os.ftruncate(descriptor, 100 + len(data))
        os.close(descriptor)
        os.link(folder / "next", folder / "linked")
        os.rename(folder / "linked", path)
        os.unlink(folder / "next")


LARGE = "x" * 9000
CASES: list[tuple[Any, Workload]] = [
    (killed.Buffered, steps(Append("one"), Append("two" * 5000), Reopen(), Append("three"))),
    (killed.Lines, steps(Append("one"), Append(LARGE), Append("two"))),
    (killed.Vectored, steps(Append("one"), Append(LARGE), Append("two"))),
    (Sound, steps(Put("a", "1"), Put("b", LARGE), Reopen(), Delete("a"))),
    (InPlace, steps(Put("a", LARGE), Put("b", "2"))),
    (Tidy, steps(Put("a", "1"), Delete("a"))),
    (killed.PidLock, steps(Put("a", "1"), Reopen(), Put("b", "2"))),
    (Rewriter, steps(Put("a", "1"), Put("b", LARGE), Delete("a"))),
    (MetricsStoreAdapter, Workload("m", tuple(MetricsStoreAdapter.model.example_operations(random.Random(5), 2)))),
]


def contents(image: Image) -> tuple[Any, ...]:
    """What is at each path; hard links are the same file."""
    paths = image.paths()
    found = []
    for path, number in paths.items():
        node = image.nodes[number]
        first = next(other for other, same in paths.items() if same == number)
        content = _VOLATILE.sub(b"<of this run>", node.content)
        kind = node.kind.name if node.kind is not InodeKind.FILE else "file"
        found.append((_NUMBERS.sub(".n.", path), _NUMBERS.sub(".n.", first), kind, content, node.target))
    return tuple(sorted(found))


def modelled(adapter: Any, workload: Workload, folder: Path) -> set[State]:
    folder.mkdir()
    trace, _ = record_workload(adapter, folder, Diary(), workload)
    assert not trace.unseen
    states = set()
    for state in Enumerator(trace, PROCESS_CRASH):
        states.add((contents(state.image()), state.knowledge.acknowledged, state.knowledge.begun))
    return states


def killed_for_real(adapter: Any, workload: Workload, folder: Path) -> dict[State, Kill]:
    engine = rehearsed(KillEngine(bench(adapter, folder), workload, "process_crash", "acknowledged"))
    states: dict[State, Kill] = {}
    for kill in kills(engine.course, 0):
        told = engine._run(functools.partial(engine._until, kill))
        assert told.struck, kill
        states[(contents(scan(engine.bench.directory)), told.settled, told.begun)] = kill
    return states


def admitted(state: State, states: set[State]) -> bool:
    """Whether the model has it. It leaves out a point where an operation has only begun: that admits more, and what
    is judged there is judged at the next change too."""
    content, settled, begun = state
    return state in states or (begun == settled + 1 and (content, settled, settled) in states)


@pytest.mark.parametrize(("adapter", "workload"), CASES, ids=[adapter.name for adapter, _ in CASES])
def test_a_kill_leaves_nothing_that_the_model_does_not_know(adapter: Any, workload: Workload, tmp_path: Path) -> None:
    """Nor does the model know contents that no kill leaves: both have seen every change."""
    states = modelled(adapter, workload, tmp_path / "model")
    real = killed_for_real(adapter, workload, tmp_path / "real")

    assert [kill.describe() for state, kill in real.items() if not admitted(state, states)] == []
    assert {state[0] for state in real} == {state[0] for state in states}


def test_a_state_that_the_model_does_not_know_would_be_seen(tmp_path: Path) -> None:
    """The comparison can fail: half a page, or an operation acknowledged that was not."""
    states = modelled(killed.Lines, steps(Append(LARGE)), tmp_path / "model")
    real = killed_for_real(killed.Lines, steps(Append(LARGE)), tmp_path / "real")
    whole = max(real, key=lambda state: state[1])
    path, first, kind, content, target = whole[0][0]

    assert admitted(whole, states)
    assert not admitted((((path, first, kind, content[:100], target),), *whole[1:]), states)
    assert not admitted((whole[0], 2, 2), states)
