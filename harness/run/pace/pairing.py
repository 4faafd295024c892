"""Pairs of samples from pairs of processes.

Both processes of a pair do the same operations in stores of their own, sample by sample, one right after the other,
in an order that is drawn for each sample. The first samples of a process are dropped. After some pairs both processes
end and two new ones take over, with another layout in memory, another hash seed and other operations.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.measure.stages import Family, Stage
from harness.run.campaign import Progress, Silent
from harness.run.pace.session import Session
from harness.run.pace.values import PaceOptions, Pair, Sample, Version


@dataclass(frozen=True, slots=True)
class Work:
    """What a sample is: so many operations. `metrics` are the kinds that every sample has, `rare` the others."""

    operations: int
    metrics: tuple[str, ...]
    rare: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a version runs: the store's name, its Python, and the files that it imported with their SHA-256."""

    store: str
    python: str
    files: tuple[tuple[str, str], ...]

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(path for path, _ in self.files)

    def own(self, other: Loaded) -> tuple[str, ...]:
        """The files that the other one does not have."""
        return tuple(sorted(self.paths - other.paths))

    def contents(self, other: Loaded) -> list[str]:
        """The digests of the files that the other one does not have."""
        return sorted(digest for path, digest in self.files if path not in other.paths)


@dataclass(slots=True)
class Pairing:
    """Draws pairs of `old` and `new`, or of `old` and itself. `spec` is the adapter, `directory` holds the stores."""

    spec: str
    old: Version
    new: Version
    directory: Path
    options: PaceOptions
    work: Work = Work(1, (), ())
    progress: Progress = field(default_factory=Silent)
    #: All pairs of the two versions so far.
    pairs: list[Pair] = field(default_factory=list)
    #: Kinds of operation of which one version took, refused or failed others than the other one.
    unequal: set[str] = field(default_factory=set)
    _made: int = 0
    _places: Iterator[int] = field(default_factory=itertools.count)

    def rehearse(self) -> tuple[Loaded, Loaded]:
        """Find out how large a sample is, and what each version imports. Raises `UsageError` if that is the same."""
        with self._session(self.old, "rehearsal") as session:
            answer = session.ask(
                "calibrate", seed=self._seed("rehearsal"), directory=self._place(), sample_ns=self._sample_ns()
            )
            old = self._loaded(session)
            self.work = self._work(answer)
            first = self._rehearsed(session)
        with self._session(self.new, "rehearsal") as session:
            self.unequal.update(Pair(first, self._rehearsed(session)).unequal())
            new = self._loaded(session)
        self._require_two(old, new)
        return old, new

    def _work(self, answer: dict[str, Any]) -> Work:
        if not answer["every"]:
            raise UsageError("there is nothing to compare: no kind of operation is in every sample.")
        rare = tuple(sorted({*answer["kinds"]} - {*answer["every"]}))
        return Work(answer["operations"], tuple(answer["every"]), rare)

    def _rehearsed(self, session: Session) -> Sample:
        self._send_begin(session, "rehearsal", 1)
        session.receive()
        return Sample.from_answer(session.ask("sample"))

    def _sample_ns(self) -> int:
        return round(self.options.sample_ms * 1e6)

    def _loaded(self, session: Session) -> Loaded:
        answer = session.ask("files")
        files = tuple((path, digest) for path, digest in answer["files"])
        return Loaded(answer["store"], answer["python"], files)

    def _require_two(self, old: Loaded, new: Loaded) -> None:
        """Two names for the same code would always compare well."""
        if not old.own(new) and not new.own(old):
            raise UsageError(
                f"{self.old.given} and {self.new.given} run the same files, so there is nothing to compare: "
                "name two folders or environments that each hold a version."
            )
        for version, loaded in ((self.old, old), (self.new, new)):
            if version.folder and not any(Path(path).is_relative_to(version.folder) for path in loaded.paths):
                raise UsageError(
                    f"nothing that {self.spec} imports is in {version.given}: name the folder above the package."
                )

    # --- stages ------------------------------------------------------------------------------

    def draw(self, new: bool, stage: Stage, before: Stage | None) -> Family:
        """The pairs that `stage` adds to those of the stage before it."""
        pairs = stage.pairs - (before.pairs if before else 0)
        processes = stage.processes - (before.processes if before else 0)
        name = f"{'new against old' if new else 'old against itself'}, {stage.pairs} pairs"
        self.progress.phase(name, processes)
        groups: list[list[Pair]] = []
        for number in range(processes):
            groups.append(self._group(new, pairs // processes + (number < pairs % processes)))
            self.progress.advance("")
        if new:
            self.pairs.extend(pair for group in groups for pair in group)
            self.unequal.update(kind for group in groups for pair in group for kind in pair.unequal())
        return {metric: tuple(_differences(group, metric) for group in groups) for metric in self.work.metrics}

    def _group(self, new: bool, pairs: int) -> list[Pair]:
        """Two fresh processes and `pairs` pairs of their samples, after those that are dropped."""
        self._made += 1
        name = f"pair of processes {self._made}"
        order = random.Random(self._seed(f"order of {name}"))
        with contextlib.ExitStack() as stack:
            sides = [
                self._session(self.old, f"{name} first"),
                self._session(self.new if new else self.old, f"{name} second"),
            ]
            for side in sides:
                stack.enter_context(side)
            for side in order.sample(sides, 2):  # both start at once, and nothing is measured yet
                self._send_begin(side, name, self.options.warm_up + pairs)
            for side in sides:
                side.receive()
            made = [self._pair(sides, order) for _ in range(self.options.warm_up + pairs)]
        shutil.rmtree(self.directory)
        self.directory.mkdir()
        return made[self.options.warm_up :]

    def _pair(self, sides: list[Session], order: random.Random) -> Pair:
        taken: dict[int, Sample] = {}
        for index in order.sample((0, 1), 2):
            taken[index] = Sample.from_answer(sides[index].ask("sample"))
        return Pair(taken[0], taken[1])

    # --- processes ---------------------------------------------------------------------------

    def _session(self, version: Version, name: str) -> Session:
        luck = random.Random(self._seed(f"luck of {name}"))
        limit_s = self.options.request_limit_s
        return Session(version, self.spec, directory=self.directory, luck=luck, limit_s=limit_s)

    def _send_begin(self, session: Session, name: str, samples: int) -> None:
        details: dict[str, Any] = {"operations": self.work.operations, "samples": samples}
        session.send("begin", seed=self._seed(name), directory=self._place(), **details)

    def _place(self) -> str:
        """A directory that does not exist yet, for one store. All names have the same length."""
        return str(self.directory / f"{next(self._places):06d}")

    def _seed(self, what: str) -> str:
        return f"{self.options.seed} {what}"


def _differences(group: list[Pair], metric: str) -> tuple[float, ...]:
    return tuple(known for pair in group if (known := pair.difference(metric)) is not None)
