"""A store that takes part in a program of operations and faults, judged after each step.

The store is open in a process of its own (`Holder`). What it should show follows from its history: the operations
that survived up to now, and those since the disk was last known whole. A fault is only injected where the contract
promises something about it, and each violation belongs to the promise about the fault that came last:

- after a power cut or a kill the store must show what the promise about that crash admits, twice the same;
- after a call that failed, and on a full disk, operations may raise until the fault is gone and the store was opened
  again; what was acknowledged must be there then, what raised may be there or not;
- damaged files are judged by `harness.judge.damage`, and restored afterwards.

After a crash everything that the disk holds counts as durable: a kernel may write back at any time.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from harness.core.contract import Contract
from harness.core.models import BUILT_IN_MODELS
from harness.core.persistence import PRESETS, PROCESS_CRASH, PersistenceModel
from harness.core.program import (
    DamageFile,
    FailNextCall,
    FillDisk,
    FreeDisk,
    KillWriter,
    PowerCut,
    Program,
    require_model,
    source,
)
from harness.core.trace import CallSite, Image, empty_image
from harness.core.workload import Reopen
from harness.crash.materialize import Materializer
from harness.crash.states import Knowledge
from harness.inject import damage as injury
from harness.inject.damage import Damage, Versions
from harness.judge.classify import Violation, classify
from harness.judge.damage import Opening, judge_openings
from harness.judge.oracle import Oracle, Window, window
from harness.record.scan import scan
from harness.run.live.breaking import Blame, Broken, Hanging, Segment, promises_of
from harness.run.live.damage import oracle_for
from harness.run.live.holder import TIME_LIMIT_S, Crashed, Died, Holder, Hung, Outcome
from harness.run.live.values import Struck

_SYNCS = ("fsync", "fdatasync", "sync")


class StoreStage:
    """Carries out programs on one adapter in one directory. Reusable: `begin` starts afresh.

    `promises` are what to judge by; without it those of the contract.
    """

    def __init__(
        self,
        adapter: Any,
        directory: Path,
        materializer: Materializer | None = None,
        *,
        seed: int = 0,
        promises: dict[str, str | None] | None = None,
        time_limit_s: float = TIME_LIMIT_S,
    ) -> None:
        self.adapter = adapter
        self.contract: Contract = adapter.contract
        self.directory = directory
        self.materializer = materializer or Materializer(directory)
        self.seed = seed
        self.promises = promises_of(self.contract) if promises is None else promises
        self.time_limit_s = time_limit_s
        self.models = {model.name: model for model in self.contract.models()}
        self.holder: Holder | None = None
        self.fired = 0
        self.struck: list[Struck] = []
        self.unknown: list[str] = []
        self.refused: set[str] = set()
        self._reset(looking=False)

    def _reset(self, *, looking: bool) -> None:
        self.steps: list[Any] = []
        self.lines: list[str] = []
        self.looking = looking
        self.over = False
        self.is_open = False
        self.full = False
        self.blame: Blame | None = None
        self.history: tuple[Any, ...] = ()
        self.dubious: frozenset[int] = frozenset()
        self.segment = Segment()
        self.images: list[Image] = []
        self.before: Image | None = None
        self.after: Image | None = None

    # --- for the machine -------------------------------------------------------------------------

    def begin(self, *, looking: bool = False) -> None:
        """An empty directory and an open store."""
        self.end()
        self._reset(looking=looking)
        self._start(empty_image())
        opened = self._open()
        if opened.error:
            self._inconclusive(f"without any fault, opening a new store raised {opened.error}")
        self.images.append(scan(self.directory))

    def act(self, step: Any) -> None:
        """Carry out one step. Raises `Broken`, or `Hanging`, if it shows that a promise is broken."""
        if self.over:
            return
        self.steps.append(step)
        try:
            self._act(step)
        except Broken:
            self.over = True
            raise
        except Hung as hung:
            broken = self._broken("hang", f"a call of the step {source(step)[:80]} {hung}")
            raise Hanging(broken) from None
        except Died as died:
            raise self._broken("cannot_open", f"the store ended its process ({died})") from None

    def end(self) -> None:
        """Let go of the store; nothing is left running."""
        if self.holder is not None:
            self.holder.kill()
            self.holder = None

    def play(self, program: Program) -> None:
        """A whole program. Raises `Broken` or `Hanging`."""
        try:
            self.begin(looking=program.looking)
            for step in program.steps:
                self.act(step)
            if program.steps and not self.over:
                self.finish()
        finally:
            self.end()

    def finish(self) -> None:
        """The last look: with nothing in its way the store opens and shows what it owes."""
        if not self.over and self.blame is not None:
            try:
                if self.full:
                    self._act(FreeDisk())
                self._ask("disarm")
                self._reopen()
            except Hung as hung:
                raise Hanging(self._broken("hang", f"opening the store at the end {hung}")) from None
            except Died as died:
                raise self._broken("cannot_open", f"the store ended its process ({died})") from None

    # --- steps -----------------------------------------------------------------------------------

    def _act(self, step: Any) -> None:
        match step:
            case Reopen():
                self._reopen()
            case PowerCut(model, choice):
                self._crash("power_loss", self._model(model), choice)
            case KillWriter(choice):
                self._crash("process_crash", PROCESS_CRASH, choice)
            case FailNextCall(error, nth):
                if self._promised("io_error"):
                    self._ask("arm", error, nth)
                    return
            case FillDisk():
                if self._promised("io_error"):
                    self.full = True
                    self._ask("fill", 0)
            case FreeDisk():
                self.full = False
                self._ask("fill", None)
            case DamageFile(choice):
                self._damage(choice)
            case _:
                self._apply(step)
        if self.looking and not isinstance(step, FillDisk | FreeDisk | DamageFile):
            self._look()

    def _promised(self, claim: str) -> bool:
        return self.promises.get(claim) is not None

    def _model(self, name: str) -> PersistenceModel:
        if name not in self.models:
            require_model(name)
        return self.models.get(name) or PRESETS[name]

    def _ask(self, command: str, *arguments: Any) -> Any:
        assert self.holder is not None
        return self.holder.ask(command, *arguments)

    def _start(self, image: Image) -> None:
        """A new process for the store, on a disk that holds `image`."""
        self.end()
        self.materializer.place(image)
        self.holder = Holder(self.adapter, self.directory, image, self.time_limit_s)
        self.is_open = self.full = False

    def _call(self, command: str, *arguments: Any) -> Outcome:
        """A call into the store, and what failed meanwhile."""
        outcome: Outcome = self._ask(command, *arguments)
        if outcome.struck:
            self.fired += len(outcome.struck)
            self.struck.extend(outcome.struck)
            self.blame = Blame("io_error", outcome.struck[-1].site, ())
            self.segment.struck = self.segment.suspect = True
            if not outcome.error:
                self.segment.swallowed = outcome.struck[-1]
        return outcome

    def _open(self) -> Outcome:
        outcome = self._call("open")
        self.is_open = not outcome.error
        return outcome

    def _apply(self, operation: Any) -> None:
        if not self.is_open and self._open_again().error:
            self._ask("disarm")
            return
        segment = self.segment
        outcome = self._call("apply", operation)
        self._ask("disarm")
        if outcome.unsupported:
            self.steps.pop()
            return
        segment.operations.append(operation)
        if outcome.error:
            segment.failed.add(len(segment.operations) - 1)
        elif type(operation).__name__ == "Sync":
            segment.synced = len(segment.operations)
        self._note(operation, outcome)
        if outcome.error and not segment.suspect:
            self._refusal(operation, outcome.error)
        self.images.append(scan(self.directory))

    def _refusal(self, operation: Any, error: str) -> None:
        """A recovered store refuses an operation: does one that was never crashed take it?"""
        if self.blame is None or source(operation) in self.refused:
            return
        if self._refused_anyway(operation):
            self.refused.add(source(operation))
            return
        raise self._broken("not_writable", f"{source(operation)[:80]} raised {error} after {self._cause()}")

    def _refused_anyway(self, operation: Any) -> bool:
        """Whether the store refuses an operation after the same ones without any fault."""
        control = StoreStage(self.adapter, self.directory, self.materializer, promises={})
        self.end()
        try:
            control.begin()
            for done in (*self.history, *self.segment.operations):
                control.act(done)
            return control.over or len(control.segment.operations) - 1 in control.segment.failed
        finally:
            control.end()
            self.over = True  # the directory is no longer ours

    def _open_again(self) -> Outcome:
        """After a failed opening: once nothing is in its way it must work."""
        unhindered = not self.full
        outcome = self._open()
        if outcome.error and unhindered and not outcome.struck:
            self._cannot_open("opening the store", outcome.error)
        elif not outcome.error and unhindered and not outcome.struck:
            self._settle_handle()
        return outcome

    def _reopen(self) -> None:
        if self.is_open:
            closed = self._call("close")
            self.is_open = False
            self._note_text("close()", closed)
        outcome = self._open_again()
        self._ask("disarm")
        self._note_text("open()", outcome)

    def _settle_handle(self) -> None:
        """The store is open and nothing is in its way: read it, and judge what all since the last crash led to."""
        read = self._call("snapshot")
        if read.struck or self.full:
            return
        if read.error:
            self._cannot_open("reading the store", read.error)
            return
        done = len(self.segment.operations)
        owed = self._owed_after_closing()
        self._judge(read.value, Window(len(self.history) + owed, len(self.history) + done))
        self.segment.suspect = False
        if max(self._oracle().matches(read.value), default=-1) < len(self.history) + done:
            self.over = True  # less than all was owed, and less is there: what follows can't be told
        self.images.append(scan(self.directory))

    def _owed_after_closing(self) -> int:
        """Closing is no sync point, so what is owed after it is what the crash promises say."""
        made = {self.contract.process_crash, self.contract.power_loss} - {None}
        if not made or "acknowledged" in made:
            return len(self.segment.operations)
        return self.segment.synced if "synced" in made else 0

    def _look(self) -> None:
        """Read the open store, unless a fault is in its way or was since it was opened."""
        if not self.is_open or self.segment.suspect or self.full or self.blame is None or self.over:
            return
        read = self._call("snapshot")
        if read.struck:
            return
        if read.error:
            self._cannot_open("reading the store", read.error)
            return
        count = len(self.history) + len(self.segment.operations)
        self._judge(read.value, Window(count, count))

    # --- crashes ---------------------------------------------------------------------------------

    def _crash(self, claim: str, model: PersistenceModel, choice: int) -> None:
        promise = self.promises.get(claim)
        if promise is None:
            return
        crash: Crashed = self._ask("crash", model, choice, self.seed)
        self.end()
        if crash.image is None:
            self._inconclusive(crash.blind)
            return
        self.fired += 1
        name = "power cut" if claim == "power_loss" else "killed"
        self.struck.append(Struck(crash.site, "", name))
        swallowed = self._swallowed(claim)
        self.blame = Blame(claim, crash.site, (model.name,))
        if swallowed is not None:
            self.blame = Blame("io_error", swallowed, (model.name,))
        self.lines.append(f"<{source(self.steps[-1])}: {_told(crash)}>")
        self.before, self.after = scan(self.directory), crash.image
        before = self.segment.recovered or self.segment.struck
        try:
            self._recover(crash.image, self._admissible(promise, crash.knowledge))
        except Broken as broken:
            raise (before and self._broken_before()) or broken from None

    def _broken_before(self) -> Broken | None:
        """Whether an earlier fault is to blame: then opening the store again shows as much as this crash did."""
        self.end()
        control = StoreStage(
            self.adapter,
            self.directory,
            self.materializer,
            seed=self.seed,
            promises=self.promises,
            time_limit_s=self.time_limit_s,
        )
        try:
            control.play(Program((*self.steps[:-1], Reopen()), self.looking))
        except Broken as broken:
            return broken
        return None

    def _swallowed(self, claim: str) -> CallSite | None:
        """The failed call behind an acknowledgement that this crash may disprove: a power cut, only a failed sync."""
        struck = self.segment.swallowed
        if struck is None or (claim == "power_loss" and struck.call not in _SYNCS):
            return None
        return struck.site

    def _admissible(self, promise: str, known: Knowledge) -> Window:
        inside = window(promise, acknowledged=known.acknowledged, begun=known.begun, synced=known.synced)
        start = len(self.history)
        return Window(start + inside.lowest, start + inside.highest)

    def _recover(self, image: Image, admissible: Window) -> None:
        """Open twice what the crash left, and go on from there."""
        self._start(image)
        first = self._recovered("opening the store", "reading the store")
        if first is None:
            return
        oracle = self._oracle()
        self._judge(first.value, admissible, recovering=True)
        matches = [count for count in oracle.matches(first.value) if admissible.lowest <= count <= admissible.highest]
        self._call("close")
        second = self._recovered("opening the store a second time", "reading the store a second time")
        if second is None:
            return
        if not set(oracle.matches(second.value)) & set(matches):
            sentence = f"the second opening reads {_short(second.value)}, the first read {_short(first.value)}"
            raise self._broken("not_idempotent", sentence)
        self._survived(max(matches), ambiguous=len(matches) > 1)

    def _recovered(self, opening: str, reading: str) -> Outcome | None:
        outcome = self._open()
        if outcome.error:
            self._cannot_open(opening, outcome.error)
            return None
        read = self._call("snapshot")
        if read.error:
            self._cannot_open(reading, read.error)
            return None
        return read

    def _survived(self, count: int, *, ambiguous: bool) -> None:
        """The first `count` operations of all are history now."""
        if ambiguous and not self._is_built_in():
            self.over = True  # a model of the user's own may tell states apart that its `equal` does not
        failed = {len(self.history) + index for index in self.segment.failed}
        self.history = (*self.history, *self.segment.operations)[:count]
        self.dubious = frozenset(index for index in self.dubious | failed if index < count)
        self.segment = Segment(recovered=True)
        self.images.append(scan(self.directory))

    def _is_built_in(self) -> bool:
        return any(self.adapter.model is model for model in BUILT_IN_MODELS)

    # --- damage ----------------------------------------------------------------------------------

    def _damage(self, choice: int) -> None:
        promise = self.promises.get("corruption")
        if promise is None or self.full or not self.is_open:
            return
        self._ask("disarm")
        self._reopen()
        if self.over or not self.is_open or self._call("close").error:
            self.over = True
            return
        whole = scan(self.directory)
        picked = _picked([*self.images, whole], self.seed, choice)
        self.end()
        if picked is not None:
            self._open_damaged(whole, *picked, repaired=promise == "repaired")
        self._restore(whole)

    def _open_damaged(self, whole: Image, file: Versions, damage: Damage, *, repaired: bool) -> None:
        content = injury.damaged_content(file, damage)
        image = injury.damaged(whole, file.path, content)
        self.fired += 1
        self.blame = Blame("corruption")
        self.lines.append(f"<{source(self.steps[-1])}: {damage.describe()}>")
        self.before, self.after = whole, image
        self._start(image)
        openings = [self._opening(), self._opening()]
        repaired = repaired and injury.is_one_block(file, content)
        violation = judge_openings(self._oracle(), openings, repaired=repaired)
        site = None
        if violation is not None:
            site = self._last_read(image, file, content)
            self.blame = Blame("corruption", site)
        self.struck.append(Struck(site, "", damage.kind.value))
        if violation is not None:
            raise self._broken(violation.kind, violation.sentence)

    def _opening(self) -> Opening:
        opened = self._open()
        if opened.error:
            return Opening(error=opened.error, declared=opened.declared, during="opening the store")
        read = self._call("snapshot")
        if read.error:
            self._call("close")
            return Opening(error=read.error, declared=read.declared, during="reading the store")
        matches = self._oracle().matches(read.value)
        closed = self._call("close")
        signal = opened.signal or read.signal or closed.signal
        if closed.error:
            return Opening(error=closed.error, declared=closed.declared, during="closing the store", signal=signal)
        return Opening(read.value, matches, signal)

    def _last_read(self, image: Image, file: Versions, content: bytes | None) -> CallSite | None:
        self._start(image)
        path = str(self.directory / file.path)
        found: CallSite | None = self._ask("watched_opening", path, *injury.extent(file, content))
        return found

    def _restore(self, whole: Image) -> None:
        """The files from before the damage, as from a backup."""
        self._start(whole)
        count = len(self.history) + len(self.segment.operations)
        if self._open().error:
            self.over = True
            return
        self._survived(count, ambiguous=False)
        self.segment.recovered = False

    # --- judging ---------------------------------------------------------------------------------

    def _oracle(self) -> Oracle:
        failed = {len(self.history) + index for index in self.segment.failed}
        return oracle_for(self.adapter, (*self.history, *self.segment.operations), self.dubious | failed)

    def _judge(self, state: Any, admissible: Window, *, recovering: bool = False) -> None:
        """Raises `Broken` unless `state` is what some admissible number of operations leads to."""
        oracle = self._oracle()
        if any(admissible.lowest <= count <= admissible.highest for count in oracle.matches(state)):
            return
        violation = classify(oracle, state, admissible)
        if self.blame is None:
            self._inconclusive(f"without any fault, {violation.sentence}")
            return
        kind = violation.kind
        if not recovering and self.segment.recovered and not self.segment.struck:
            kind = "not_writable"
        elif kind == "lost_acknowledged" and self.segment.swallowed is not None and self.blame.claim == "io_error":
            kind = "swallowed_error"
            self.blame = dataclasses.replace(self.blame, site=self.segment.swallowed.site)
        raise self._broken(kind, f"{violation.sentence}; it reads {_short(state)}")

    def _cannot_open(self, during: str, error: str) -> None:
        if self.blame is None:
            self._inconclusive(f"without any fault, {during} raised {error}")
            return
        raise self._broken("cannot_open", f"{during} raised {error} after {self._cause()}")

    def _inconclusive(self, reason: str) -> None:
        self.over = True
        if reason not in self.unknown:
            self.unknown.append(reason)

    def _cause(self) -> str:
        assert self.blame is not None
        words = {
            "power_loss": "the power had failed",
            "process_crash": "the process had been killed",
            "io_error": "a call had failed",
            "corruption": "a file had been damaged and restored",
        }
        return words[self.blame.claim]

    def _broken(self, kind: str, sentence: str) -> Broken:
        blame = self.blame or Blame("process_crash")
        program = Program(tuple(self.steps), self.looking)
        broken = Broken(self.adapter, blame, Violation(kind, sentence), program, tuple(self.lines))
        broken.before, broken.after = self.before, self.after
        return broken

    # --- the program with what became of it ---------------------------------------------------------

    def _note(self, operation: Any, outcome: Outcome) -> None:
        self._note_text(source(operation)[:160], outcome)

    def _note_text(self, call: str, outcome: Outcome) -> None:
        became = f"raised {outcome.error}" if outcome.error else "acknowledged"
        faults = "".join(f"; {item.fault} in {item.call} ({item.site})" for item in outcome.struck[:3])
        self.lines.append(f"{call}  # {became}{faults}")


def _picked(images: list[Image], seed: int, choice: int) -> tuple[Versions, Damage] | None:
    """The `choice`-th damage that leaves a trace in its file, counted around."""
    all_damages = [
        (file, damage) for file in injury.versions(images) if file.now for damage in injury.damages(file, seed)
    ]
    for number in range(len(all_damages)):
        file, damage = all_damages[(choice + number) % len(all_damages)]
        if not injury.sets_back(file, injury.damaged_content(file, damage)):
            return file, damage
    return None


def _told(crash: Crashed) -> str:
    lost = f"lost {'; '.join(crash.lost[:3])}" if crash.lost else f"the last call was made at {crash.site}"
    return f"{lost} (one of {crash.of} legal states)"


def _short(value: Any, limit: int = 160) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
