"""Failing calls: run a workload while a call of the store fails, go on with the same handle, and see what is left.

The store is opened, goes through its workload, is read, closed, opened and written to again, all while the fault may
strike. Then the fault is lifted, the store is written to once more, closed, opened and judged: everything acknowledged
is there, and it works.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import itertools
import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from harness.core.adapter import supported_operations
from harness.core.models import DOCUMENT, KEY_VALUE, LOG
from harness.core.operations import READS, Append, Get, Put, Save, describe
from harness.core.trace import CallSite, Image, empty_image
from harness.core.workload import Reopen, Workload
from harness.inject import calls as failing
from harness.inject.calls import CallFault, CallLasting, CallWay, Seen
from harness.inject.pairs import CallPair, Reached
from harness.judge.choices import Answer, Settled, of_key, outcomes
from harness.judge.classify import Violation
from harness.judge.failing import Ledger, judge_read, judge_shown, promise_without_crash, worse
from harness.record import kernel
from harness.record.callsite import CallSites, call_site
from harness.record.kernel import Call, exists
from harness.record.scan import scan
from harness.run.containment import CAN_FORK
from harness.run.descriptors import close_leaked, descriptors
from harness.run.live.aftermath import Aftermath, LocksHeld, Taken, forked, no_waiting, reads_outside
from harness.run.live.bench import Bench, Client
from harness.run.live.damage import probes
from harness.run.live.values import Applicable, Exhibit, Struck, Trial
from harness.run.recovering import StoreFailed, TolerantModel, is_built_in

_PROBES = 3
#: Single failures tried to find the one that a lasting fault's damage is due to.
_SIMPLER = 24


class Look:
    """A step of a script: read the store in every way that it offers."""


@dataclass(frozen=True, slots=True)
class Act:
    """A step of a script: something that is done to the store's surroundings."""

    run: Callable[[], None]


class Stop(Enum):
    """When a session ends that goes no further than the fault."""

    AT_ONCE = "when it has struck"
    ONCE_READ = "when the store has been read since"


@dataclass(frozen=True, slots=True)
class Fired:
    """A call that was struck, while the client was in this operation; by which fault, in a word."""

    site: CallSite | None
    call: str
    operation: int
    word: str = ""


class Injector:
    """A gate that strikes one call of the store, or that one and those like it after it.

    Only calls on the store's directory, and on files in it, count, and what the store itself reads elsewhere: never
    Python's own. Without a fault it only lists what it sees. `after` hears of the calls that come after the one that
    was struck, and may have another one struck.
    """

    def __init__(self, directory: str, fault: CallFault | None = None, after: Aftermath | None = None) -> None:
        self._roots = tuple({os.path.abspath(directory), os.path.realpath(directory)})
        self._inside = tuple(root + os.sep for root in self._roots)
        self.fault = fault
        self.seen: list[Seen] = []
        self.fired: list[Fired] = []
        self.operation = -1
        self._counts: dict[str, int] = {}
        self._after = after
        self._first: Seen | None = None
        self._rest: CallFault | None = None
        self._locks = LocksHeld()
        self._taken = Taken()
        self._steps_left = -1
        self._lifted = False
        self._sites = CallSites()

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        path = call.path()
        if not (path.startswith(self._inside) or path in self._roots) and not reads_outside(call, path):
            return make()
        seen = Seen(call.name, call.group, _creates(call), call.size_bytes, "", self._locks.is_tried(call))
        if call.group in (kernel.LOCK, kernel.CLOSE):
            make = partial(self._locks.make, call, make)
        if self.fault is None and not self._lifted:
            self.seen.append(dataclasses.replace(seen, site=str(self._site()), locked=self._locks.held))
            return make()
        fault = self._striking(seen)
        return make() if fault is None else self._strike(fault, seen, call, make)

    def step_ended(self) -> None:
        """The client has ended a step: a fault that stays for a while ends with the second one after it struck."""
        if self._first is not None and self._steps_left < 0:
            self._steps_left = 2
        elif self._steps_left > 0:
            self._steps_left -= 1

    def lift(self) -> None:
        """From now on nothing fails any more."""
        self._lifted = True

    @contextlib.contextmanager
    def looking_away(self) -> Iterator[None]:
        """Calls in the block are the harness's own."""
        before, self._lifted = self._lifted, True
        try:
            yield
        finally:
            self._lifted = before

    def _striking(self, seen: Seen) -> CallFault | None:
        """The fault that strikes this call, if one does."""
        if self._lifted or self.fault is None:
            return None
        if self._first is None:
            count = self._counts[seen.name] = self._counts.get(seen.name, 0) + 1
            return self.fault if seen.name == self.fault.name and count == self.fault.number else None
        if self._rest is not None and seen.group == kernel.WRITE:
            return self._rest
        if self._lasts(self.fault, self._first, seen):
            return self.fault
        return None if self._after is None else self._after.meets(seen, self._site, len(self.fired))

    def _lasts(self, fault: CallFault, first: Seen, seen: Seen) -> bool:
        match fault.lasting:
            case CallLasting.ONCE:
                return False
            case CallLasting.A_WHILE if self._steps_left == 0:
                return False
            case CallLasting.HELD if seen.tries and self._taken.is_over():
                return False
        return failing.strikes_too(fault, seen, first)

    def _strike(self, fault: CallFault, seen: Seen, call: Call, make: Callable[..., Any]) -> Any:
        resting = fault is self._rest
        shortens = fault.way is CallWay.SHORT or (fault.way is CallWay.SHORT_THEN_FULL and not resting)
        if shortens and seen.size_bytes < 2:
            return make()  # nothing to cut short
        self._rest = fault if fault.way is CallWay.SHORT_THEN_FULL and shortens else None
        self._first = self._first or seen
        self.fired.append(Fired(self._site(), call.name.removeprefix("file_"), self.operation, fault.word))
        if fault.way is CallWay.FORKED:
            self._fork()
            return make()
        if shortens:
            return make(seen.size_bytes // 2)
        if fault.way is CallWay.DONE:
            make()
        raise failing.os_error(fault.error, call.paths[0] if call.paths else "")

    def _fork(self) -> None:
        """What the store wants done in every child is done, and struck, in one; what follows here is not."""
        known, after = len(self.fired), self._after
        told = forked(lambda: (self.fired[known:], after))
        if told is not None and after is not None:
            struck, theirs = told
            self.fired.extend(struck)
            after.end(theirs)

    def _site(self) -> CallSite | None:
        return self._sites.resolve(*call_site(3))


def _creates(call: Call) -> bool:
    """Whether an open makes a file: it may, and there is none."""
    return call.group == kernel.OPEN and bool(call.flags & os.O_CREAT) and not exists(call.path())


class Session:
    """One run of the script, with or without a fault.

    `silent` are the calls that failed without a word from the store. `left` is the directory as it was after the step
    in which the fault struck first, `then` what the client knew at that moment, `looked` what it knew once it had read.
    """

    def __init__(self, bench: Bench, gate: Injector) -> None:
        self.gate = gate
        self.directory = bench.directory
        self.client = Client(bench)
        self.ledger = Ledger(promise_without_crash(bench.contract))
        self.model = bench.adapter.model if is_built_in(bench.adapter.model) else TolerantModel(bench.adapter.model)
        self.probed = bench.adapter
        self.violation: Violation | None = None
        self.silent: list[Fired] = []
        self.left: Image | None = None
        self.then = self.looked = self.ledger

    def play(self, steps: Iterable[Any], last: Iterable[Any], stop: Stop | None = None) -> None:
        """Go through `steps`, then without the fault through the `last` ones, and close; with `stop` only through those
        up to the one in which the fault strikes."""
        with kernel.engage(self.gate):
            self._watched(self.client.open)
            for step in steps:
                if stop is not None and self.gate.fired:
                    break
                self._step(step, last=stop is not None)
            if stop is Stop.ONCE_READ:
                self._look()
            self._end(last if stop is None else ())

    def _end(self, last: Iterable[Any]) -> None:
        self.gate.lift()
        elsewhere = self.client.elsewhere
        failed = len(elsewhere)
        if failed:
            gc.collect()  # files that an exception left behind are closed by now
        for step in last:
            self._step(step)
        self._note_locked_out(elsewhere[:failed], elsewhere[failed:])
        before = len(elsewhere)
        self._watched(self.client.close)
        self.ledger.closed(failed=_close_failed(elsewhere[before:]))

    def _note_locked_out(self, failed: list[str], since: list[str]) -> None:
        """Whoever was given no handle has nothing to close, and must be given one now that nothing fails.

        Only where opening alone has failed. A failed close may have kept what the next process will not have.
        """
        again = next((text for text in since if text.startswith("open ")), "")
        if again and failed and self.violation is None and all(text.startswith("open ") for text in failed):
            self.violation = Violation("cannot_open", f"once the fault was gone, in the same process {again}")

    def _step(self, step: Any, *, last: bool = False) -> None:
        struck, elsewhere = len(self.gate.fired), len(self.client.elsewhere)
        if isinstance(step, Act):
            step.run()
        elif isinstance(step, Look):
            self._look()
        else:
            self._watched(lambda: self.client.step(step))
        if isinstance(step, Reopen):
            self.ledger.closed(failed=_close_failed(self.client.elsewhere[elsewhere:]))
        if len(self.gate.fired) > struck == 0 and not last:
            with self.gate.looking_away():
                self.left, self.then = scan(self.directory), self.ledger.copy()
            self._look()
            self.looked = self.ledger.copy()
        self.gate.step_ended()

    def _watched(self, action: Callable[[], Any]) -> None:
        """Do it, and write down what came of it."""
        client, gate, ledger = self.client, self.gate, self.ledger
        gate.operation = before = len(client.operations)
        struck, elsewhere = len(gate.fired), len(client.elsewhere)
        action()
        fired = len(gate.fired) > struck
        raised = len(client.elsewhere) > elsewhere or before in client.errors
        if fired and not raised:
            self.silent.extend(gate.fired[struck:])
        if len(client.elsewhere) > elsewhere:
            ledger.surfaced()
        elif fired and len(client.operations) == before:
            ledger.hidden = True
        for index in range(before, len(client.operations)):
            ledger.add(client.operations[index], raised=index in client.errors, struck=fired)
        gate.operation = -1

    # --- reading while calls fail ----------------------------------------------------------------

    def _look(self) -> None:
        """What the store shows now must be true; it may as well raise."""
        if not self.client.is_open:
            return
        self._judge("the snapshot", self.client.snapshot, None)
        for probe in list(probes(self.probed, self.ledger.operations))[:_PROBES]:
            self._judge(describe(probe), partial(self.client.ask, probe), probe)

    def _judge(self, what: str, read: Callable[[], Any], probe: Any) -> None:
        struck = len(self.gate.fired)
        try:
            shown = read()
        except BaseException:
            self.ledger.surfaced()
            return
        if len(self.gate.fired) > struck:
            self.silent.extend(self.gate.fired[struck:])
            violation = self._of_answer(shown, probe, dataclasses.replace(self.ledger, hidden=True, outcomes={}))
        else:
            violation = self._of_answer(shown, probe, self.ledger)
            self.ledger.showed(self._outcomes(shown, probe))
        if violation is not None and self.violation is None:
            sentence = f"while the store was open, {what} gave {describe(shown)}: {violation.sentence}"
            self.violation = Violation(violation.kind, sentence, violation.operations)

    def _of_answer(self, shown: Any, probe: Any, ledger: Ledger) -> Violation | None:
        if isinstance(probe, Get):
            return judge_read(ledger, probe.key, shown)
        return judge_shown(self.model, ledger, shown)

    def _outcomes(self, shown: Any, probe: Any) -> dict[int, bool]:
        account = self.ledger.account()
        if isinstance(probe, Get):
            return outcomes(KEY_VALUE, of_key(account, probe.key), {} if shown is None else {probe.key: shown})
        return outcomes(self.model, account, shown)


class CallsEngine:
    """Strikes the calls of one workload, one after another."""

    fault_types: tuple[type, ...] = (CallFault, CallWay, CallLasting, CallPair)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        self.bench = bench
        self.workload = workload
        self.claim = claim
        self.promise = promise
        during, self.spare = more_operations(bench.adapter, bench.seed)
        self.steps = (*workload.steps, Look(), during[0], Reopen(), Look(), during[1])
        self.last = (during[2], Look())
        self.known: dict[CallFault, Trial] = {}
        self.reached = Reached()

    def rehearse(self) -> str:
        """Run the script without any fault; why nothing can be tried, or nothing."""
        gate = Injector(str(self.bench.directory))
        session = self._session(gate)
        self.calls = gate.seen
        self.reached.rehearsed(gate.seen)
        self.count = len(session.client.operations)
        errors = [*session.client.elsewhere, *session.client.errors.values()]
        if errors:
            return errors[0]
        violation = session.violation or self._recovered(session)[0]
        return "" if violation is None else f"without any fault {violation.sentence}"

    @property
    def operations(self) -> int:
        return self.count

    def faults(self) -> Iterator[CallFault]:
        return failing.faults(self.calls)

    def afterwards(self) -> Iterator[CallFault | CallPair]:
        """What is tried when single failures have been: forks, and calls that only an earlier failure leads to."""
        if CAN_FORK:
            yield from failing.forks(self.calls)
        # Forks have been tried by now, because the explorer takes one after the other.
        yield from self.reached.pairs()

    def applicable(self) -> set[Applicable]:
        """Which faults apply to which calls, of all that were seen: file, line, function, call, fault in a word."""
        found: set[Applicable] = set()
        for call in (*self.calls, *self.reached.calls):
            site = _site_of(call.site)
            if site is not None:
                place = (site.file, site.line, site.function, call.name.removeprefix("file_"))
                found.update((*place, word) for word in failing.words(call))
        return found

    def attempt(self, fault: CallFault | CallPair) -> Trial:
        trial = self._tried(fault)
        if isinstance(fault, CallPair):
            return trial if trial.violation is None else self._one_of(fault, trial)
        if trial.violation is None or fault.lasting is CallLasting.ONCE:
            return trial
        return self._simpler(fault, trial)

    def _one_of(self, pair: CallPair, trial: Trial) -> Trial:
        """The first failure alone, if that does harm too."""
        if pair.first not in self.known:
            self.known[pair.first] = self._tried(pair.first)
        alone = self.known[pair.first]
        return trial if alone.violation is None else dataclasses.replace(alone, struck=trial.struck, instead=pair.first)

    def _simpler(self, fault: CallFault, trial: Trial) -> Trial:
        """A violation by one such call that fails once, if there is one: that tells which call is to blame."""
        assert trial.violation is not None
        simpler = []
        for once in itertools.islice(self._each_once(fault), _SIMPLER + 1):
            if once not in self.known:
                self.known[once] = self._tried(once)
            found = self.known[once].violation
            if found is not None:
                simpler.append(self.known[once])
            if found is not None and found.kind == trial.violation.kind:
                return dataclasses.replace(self.known[once], struck=trial.struck)
        return dataclasses.replace(simpler[0], struck=trial.struck) if simpler else trial

    def _each_once(self, fault: CallFault) -> Iterator[CallFault]:
        """Each call of its group that a lasting fault strikes, failing alone: not only those of the same name."""
        numbers: dict[str, int] = {}
        struck: Seen | None = None
        for call in self.calls:
            numbers[call.name] = number = numbers.get(call.name, 0) + 1
            if struck is None and (call.name, number) == (fault.name, fault.number):
                struck = call
            if struck is None or call.group != struck.group:
                continue
            if call is struck or failing.strikes_too(fault, call, struck):
                yield dataclasses.replace(fault, name=call.name, number=number, lasting=CallLasting.ONCE)

    def _tried(self, fault: CallFault | CallPair) -> Trial:
        first = fault.first if isinstance(fault, CallPair) else fault
        after = Aftermath(fault.then if isinstance(fault, CallPair) else None)
        gate = Injector(str(self.bench.directory), first, after)
        with no_waiting(first.way is CallWay.TAKEN):
            session = self._session(gate)
            if not gate.fired:
                return Trial(0, promise=self.promise)
            if after.then is not None and after.place < 0:
                return Trial(0, promise=self.promise, idle=f"{fault.describe()}: the second was not met")
            violation, unknown = self._recovered(session)
            violation = worse(violation, session.violation)
            once = violation is None and first.lasting is CallLasting.ONCE
            if once and (stop := self._suspicion(session)) is not None:
                after = after.again()
                gate = Injector(str(self.bench.directory), first, after)
                session = self._session(gate, stop)
                violation, unknown = self._recovered(session)
        struck = tuple(Struck(fired.site, fired.call, fired.word) for fired in each_site(gate.fired))
        if violation is None:
            if after.then is None:
                self.reached.after(first, str(gate.fired[0].site), after.found)
            return Trial(strikes(first, gate.fired), struck=struck, promise=self.promise, unknown=unknown)
        fired = blamed(session, violation) if after.then is None else gate.fired[after.place]
        exhibit = self._exhibit(fault, session.client.lines, violation)
        return Trial(strikes(first, gate.fired), violation, fired.site, exhibit, struck, self.promise)

    def _suspicion(self, session: Session) -> Stop | None:
        """Where to stop because the directory was not right when the fault had struck, or not what the store then
        showed, though later operations have mended it."""
        if session.left is None:
            return None
        self.bench.materializer.place(session.left)
        try:
            shown = self.bench.recoverer().read()
        except StoreFailed:
            return Stop.AT_ONCE
        if judge_shown(session.model, session.then, shown) is not None:
            return Stop.AT_ONCE
        return None if judge_shown(session.model, session.looked, shown) is None else Stop.ONCE_READ

    def ended(self, fault: CallFault | CallPair, violation: Violation) -> Trial:
        last = fault.then if isinstance(fault, CallPair) else fault
        site = _site_of(fault.site) if isinstance(fault, CallPair) else _place_of(self.calls, fault)
        struck = (Struck(site, last.name.removeprefix("file_"), last.word),)
        return Trial(1, violation, site, self._exhibit(fault, [], violation), struck, self.promise)

    def _session(self, gate: Injector, stop: Stop | None = None) -> Session:
        self.bench.materializer.place(empty_image())
        before = descriptors(self.bench.directory)
        session = Session(self.bench, gate)
        session.play(self.steps, self.last, stop)
        close_leaked(self.bench.directory, before)
        return session

    def _recovered(self, session: Session) -> tuple[Violation | None, str]:
        """The violation that a reopened store shows; and why it may not be known, if that is so."""
        oracle = Settled(session.model, session.ledger.account())
        again = tuple(session.ledger.operations[index] for index in sorted(session.ledger.failed)[:1])
        recovery = self.bench.recoverer().recover(oracle, (*again, *self.spare))
        if recovery.problem:
            return Violation(recovery.problem, recovery.detail), ""
        if oracle.answer is Answer.UNKNOWN:
            return None, "more operations failed than the possible states of this model can be followed for"
        return judge_shown(session.model, session.ledger, recovery.recovered, oracle.answer), ""

    def _exhibit(self, fault: CallFault | CallPair, lines: list[str], violation: Violation) -> Exhibit:
        return self._told(fault.describe(), lines, violation)

    def _told(self, sentence: str, lines: list[str], violation: Violation) -> Exhibit:
        return Exhibit(
            lines=(*lines, f"<fault: {sentence}>"),
            told="What each operation returned or raised stands beside it in the program.",
            called=f"In this run {sentence}.",
            reached=f"{sentence[:1].upper()}{sentence[1:]}",
            found=f"{violation.sentence[:1].upper()}{violation.sentence[1:]}.",
            expected="An error that surfaces as an exception, everything acknowledged, and a store that works again.",
        )


# --- small things ---------------------------------------------------------------------------------


def more_operations(adapter: Any, seed: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Three operations to go on with after a workload, and two for after a recovery."""
    model = adapter.model
    words = ("more", "while it lasted", "afterwards", "after the recovery", "and one more")
    if model is KEY_VALUE:
        made: tuple[Any, ...] = tuple(Put(f"k{1 + number % 2}", word) for number, word in enumerate(words))
    elif model is LOG:
        made = tuple(Append(word) for word in words)
    elif model is DOCUMENT:
        made = tuple(Save({"said": word}) for word in words)
    else:
        made = _examples(adapter, seed)
    return made[:3], made[3:5]


def _examples(adapter: Any, seed: int) -> tuple[Any, ...]:
    """Five operations of a user's own model, the last of its examples: the first may be in the workload already."""
    supported = supported_operations(adapter)
    examples = adapter.model.example_operations(random.Random(f"more {seed}"), 24)
    fitting = [item for item in examples if supported is None or isinstance(item, supported)]
    changing = [item for item in fitting if not isinstance(item, READS)]
    return tuple((changing or fitting)[-5:])


def each_site(fired: list[Fired]) -> Iterator[Fired]:
    """Each place once: a fault that stays strikes the same ones over and over."""
    yield from {(str(item.site), item.call, item.word): item for item in fired}.values()


def strikes(fault: CallFault, fired: list[Fired]) -> int:
    """How often it struck. A lock that stays taken counts once for each operation: how often depends on the clock."""
    if fault.lasting is not CallLasting.HELD:
        return len(fired)
    return len({(str(item.site), item.call, item.operation) for item in fired})


def blamed(session: Session, violation: Violation) -> Fired:
    """The call that failed in the operation that is gone, or else the first that failed unseen, or at all."""
    fired = session.gate.fired
    return next((item for item in fired if item.operation in violation.operations), (*session.silent, *fired)[0])


def _close_failed(texts: list[str]) -> bool:
    """Whether one of these errors, which came out of opening and closing, came out of closing."""
    return any(text.startswith("close ") for text in texts)


def _place_of(calls: list[Seen], fault: CallFault) -> CallSite | None:
    """Where a call of the rehearsal was made, as far as that was written down."""
    named = [call for call in calls if call.name == fault.name]
    if len(named) < fault.number:
        return None
    return _site_of(named[fault.number - 1].site)


def _site_of(text: str) -> CallSite | None:
    """The place that `text` was made of."""
    file, _, rest = text.rpartition(":")
    line, _, function = rest.partition(" in ")
    return CallSite(file, int(line), function) if file else None
