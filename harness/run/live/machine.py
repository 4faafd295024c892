"""A store that takes part in a program of operations and faults, judged after each step.

The store is open in a process of its own (`Holder`). What it should show follows from its history: the operations
that survived up to now, and those since the disk was last known whole. A fault is only injected where the contract
promises something about it, and each violation belongs to the promise about the fault that came last:

- after a power cut or a kill the store must show what the promise about that crash admits, twice the same;
- after a call that failed, and on a full disk, operations may raise until the fault is gone and the store was opened
  again; what was acknowledged must be there then, what raised may be there or not;
- after a failed sync a power cut is judged by what `harness.run.live.unsynced` says;
- while a clock is off the store may refuse whatever it is asked for, but what it shows must be right; once the clock is
  right and the store was opened again, it has to work;
- damaged files are judged by `harness.judge.damage`, and restored afterwards.

After a crash everything that the disk holds counts as durable: a kernel may write back at any time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.core.contract import Contract
from harness.core.models import BUILT_IN_MODELS
from harness.core.persistence import PRESETS, PROCESS_CRASH, PersistenceModel
from harness.core.program import (
    DamageFile,
    FailNextCall,
    FailSync,
    FillDisk,
    FreeDisk,
    KillWriter,
    PowerCut,
    Program,
    TurnClock,
    claim_of,
    promises_of,
    require_model,
    source,
)
from harness.core.trace import CallSite, Image, empty_image
from harness.core.workload import Reopen
from harness.crash.materialize import Materializer
from harness.crash.states import Knowledge
from harness.inject import damage as injury
from harness.inject.clocks import PATIENCE_S
from harness.inject.damage import Damage, Versions
from harness.judge.damage import Opening, judge_openings
from harness.judge.failing import Ledger, judge_shown
from harness.judge.oracle import Window, window
from harness.record.scan import scan
from harness.run.live.breaking import Blame, Broken, Hanging, Segment
from harness.run.live.fairness import fairly, without, without_failed_sync
from harness.run.live.holder import TIME_LIMIT_S, Crashed, Died, Holder, Hung, Outcome
from harness.run.live.judged import JudgedProgram, short
from harness.run.live.turning import Turned
from harness.run.live.unsynced import UnsyncedCrash
from harness.run.live.values import Struck

_SYNCS = ("fsync", "fdatasync", "sync")


class StoreStage(JudgedProgram):
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
        super().__init__(adapter, directory)
        self.contract: Contract = adapter.contract
        self.materializer = materializer or Materializer(directory)
        self.seed = seed
        self.promises = promises_of(self.contract) if promises is None else promises
        self.time_limit_s = time_limit_s
        self.models = {model.name: model for model in self.contract.models()}
        self.holder: Holder | None = None
        self.clocks: Turned | None = None
        self.fired = 0
        self.struck: list[Struck] = []
        self.refused: set[str] = set()

    # --- for the machine -------------------------------------------------------------------------

    def begin(self, *, looking: bool = False) -> None:
        """An empty directory and an open store."""
        self.end()
        self._reset(looking=looking)
        self.clocks = None
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
        except Broken as broken:
            self.over = True
            raise self._fairly(broken) from None
        except Hung as hung:
            raise Hanging(self._broken("hang", f"a call of the step {source(step)[:80]} {hung}")) from None
        except Died as died:
            raise self._fairly(self._broken("cannot_open", f"the store ended its process ({died})")) from None

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
        if self.over or self.blame is None or self.segment.unsynced:
            return
        try:
            if self.full:
                self._act(FreeDisk())
            self._set_clock_right()
            self._ask("disarm")
            self._reopen()
        except Broken as broken:
            raise self._fairly(broken) from None
        except Hung as hung:
            raise Hanging(self._broken("hang", f"opening the store at the end {hung}")) from None
        except Died as died:
            raise self._fairly(self._broken("cannot_open", f"the store ended its process ({died})")) from None

    # --- one fault or the other ------------------------------------------------------------------

    def _fairly(self, broken: Broken) -> Broken:
        return fairly(broken, self._instead)

    def _instead(self, steps: tuple[Any, ...]) -> Broken | None:
        """How another program breaks a promise, if it does. The directory is no longer ours afterwards."""
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
            control.play(Program(steps, self.looking))
        except Broken as broken:
            return broken
        return None

    # --- steps -----------------------------------------------------------------------------------

    def _act(self, step: Any) -> None:
        if self.segment.unsynced and (isinstance(step, Reopen | KillWriter | DamageFile) or not self.is_open):
            if not isinstance(step, PowerCut):
                self.over = True
                return
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
            case FailSync(nth, aftermath):
                if claim_of("failed_sync", self.promises) is not None:
                    self._ask("fail_sync", nth, aftermath)
                    return
            case TurnClock():
                self._turn(step)
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
        fails_syncs = claim_of("failed_sync", self.promises) is not None
        self.holder = Holder(self.adapter, self.directory, image, self.time_limit_s, fails_syncs=fails_syncs)
        self.is_open = self.full = False
        if self.clocks is not None:
            self._ask("resume", self.clocks)

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
        if outcome.unsynced:
            self.segment.unsynced = self.segment.suspect = True
        if outcome.reader is not None:
            self._note_reader(outcome.reader)
        if outcome.overdue:
            raise self._broken("hang", f"a call waited for more than {PATIENCE_S:g} seconds by the monotonic clock")
        return outcome

    def _turn(self, turn: TurnClock) -> None:
        claim = claim_of("clock", self.promises)
        if claim is None:
            return
        self._ask("turn", turn)
        self.fired += 1
        self.blame = Blame(claim, cause="the clock had been turned")
        self.clock_off = turn.turn != "right"
        self.segment.turned = self.segment.uneasy = True
        self.lines.append(f"<{source(turn)}>")

    def _note_reader(self, reader: CallSite) -> None:
        """The last line that read a turned clock is to blame for what comes of it."""
        if self.blame is not None and self.blame.cause and self.blame.site != reader:
            self.struck.append(Struck(reader, "reading the clock", "turned clock"))
            self.blame = Blame(self.blame.claim, reader, (), self.blame.cause)

    def _set_clock_right(self) -> None:
        if self.clock_off:
            self._ask("turn", TurnClock("right"))
            self.clock_off = False

    def _open(self) -> Outcome:
        self.segment.uneasy = self.clock_off
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
        if outcome.error and (self.clock_off or segment.uneasy):
            segment.suspect = True
        elif outcome.error and not segment.suspect:
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
        outcome = self._open()
        unhindered = not (self.full or outcome.struck or outcome.unsynced)
        if outcome.error and unhindered:
            self._cannot_open("opening the store", outcome.error)
        elif unhindered:
            self._settle_handle()
        return outcome

    def _reopen(self) -> None:
        if self.is_open:
            closed = self._call("close")
            self.is_open = False
            self._note_text("close()", closed)
            if closed.unsynced:
                self.over = True
                return
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
        self.clocks = self._ask("turned")
        if self.segment.unsynced:
            self._cut_unsynced(model, choice, promise)
            return
        crash: Crashed | None = self._left("crash", model, choice, self.seed)
        if crash is None:
            return
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
        self.lines.append(f"<{source(self.steps[-1])}: {crash.told()}>")
        self.before, self.after = scan(self.directory), crash.image
        self._recover(crash.image, self._admissible(promise, crash.knowledge))

    def _left(self, command: str, *arguments: Any) -> Any:
        """What a crash leaves; the process is gone. If that takes too long to find out, the store can't help it."""
        try:
            return self._ask(command, *arguments)
        except Hung:
            self._inconclusive("it took too long to find out what a crash may leave")
            return None
        finally:
            self.end()

    def _cut_unsynced(self, model: PersistenceModel, choice: int, promise: str) -> None:
        """The power fails after a sync has."""
        whole = scan(self.directory)
        crash: UnsyncedCrash | None = self._left("crash_unsynced", model, choice, self.seed, promise)
        if crash is None:
            return
        if crash.blind:
            self._inconclusive(crash.blind)
        elif crash.image is not None:
            self.fired += 1
            self.struck.append(Struck(crash.site, "fsync", crash.word))
            self.blame = Blame("io_error", crash.site, (model.name,))
            self.lines.append(f"<{source(self.steps[-1])}: after a {crash.word}, one of {crash.of} legal states>")
            self.before, self.after = whole, crash.image
            ledger = crash.ledger.after(self.history, self.dubious)
            self.segment.failed |= crash.ledger.failed
            try:
                self._recover(crash.image, Window(0, len(ledger.operations)), ledger)
            except Broken as broken:
                raise without_failed_sync(tuple(self.steps[:-1]), model.name, self._instead) or broken from None
        elif crash.whole:  # no crash says anything, so there is none
            self._restore(whole)
        else:
            self.over = True

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

    def _recover(self, image: Image, admissible: Window, ledger: Ledger | None = None) -> None:
        """Open twice what the crash left, and go on from there. If it shows what an earlier fault did, opening the
        store again shows as much, and that is told instead."""
        before = self.segment.recovered or self.segment.struck
        try:
            self._recover_now(image, admissible, ledger)
        except Broken as broken:
            kept = without((FailSync,), tuple(self.steps[:-1]))
            raise (before and self._instead((*kept, Reopen()))) or broken from None

    def _recover_now(self, image: Image, admissible: Window, ledger: Ledger | None) -> None:
        self._start(image)
        first = self._recovered("opening the store", "reading the store")
        if first is None:
            return
        oracle = self._oracle()
        if ledger is None:
            self._judge(first.value, admissible, recovering=True)
        else:
            self._judge_unsynced(first.value, ledger)
        matches = [count for count in oracle.matches(first.value) if admissible.lowest <= count <= admissible.highest]
        if not matches:  # it may have lost what was not promised to be kept
            self.over = True
            return
        self._call("close")
        second = self._recovered("opening the store a second time", "reading the store a second time")
        if second is None:
            return
        if not set(oracle.matches(second.value)) & set(matches):
            sentence = f"the second opening reads {short(second.value)}, the first read {short(first.value)}"
            raise self._broken("not_idempotent", sentence)
        self._survived(max(matches), ambiguous=len(matches) > 1)

    def _judge_unsynced(self, state: Any, ledger: Ledger) -> None:
        violation = judge_shown(self._oracle().model, ledger, state)
        if violation is not None:
            raise self._broken(violation.kind, f"{violation.sentence}; it reads {short(state)}")

    def _recovered(self, opening: str, reading: str) -> Outcome | None:
        during, outcome = self._opened_and_read(opening, reading)
        if outcome.error and self.clock_off:
            self._set_clock_right()
            during, outcome = self._opened_and_read(opening, reading)
        if outcome.error:
            self._cannot_open(during, outcome.error)
            return None
        return outcome

    def _opened_and_read(self, opening: str, reading: str) -> tuple[str, Outcome]:
        outcome = self._open()
        return (opening, outcome) if outcome.error else (reading, self._call("snapshot"))

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
        self._set_clock_right()
        self._reopen()
        if self.over or not self.is_open or self._call("close").error:
            self.over = True
            return
        self.clocks = self._ask("turned")
        whole = scan(self.directory)
        picked = injury.pick([*self.images, whole], self.seed, choice)
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
