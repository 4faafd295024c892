"""Leaks: what a store does not let go of grows over clean reopenings.

A forked child opens, reads and closes the store again and again, and counts: descriptors, threads, processes, files,
bytes in use. Where a fault says how many cycles it takes, all of them are made, and what goes on growing to the last is
a leak, however seldom it grows; bytes only if they are many, because an allocator is never quite at rest. Where the
same value is written again and again, files are a leak that the store does not open any more; those that it reads
whenever it is opened are what it keeps its data in. Otherwise
it ends as soon as nothing grows any more, and what still grows after `CYCLES` is a leak. A slow store gets no further
than its time allows; how far that was, the evidence says. Whatever the store leaks is gone with the child.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import pickle
import time
import tracemalloc
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from harness.core.models import DOCUMENT, KEY_VALUE
from harness.core.operations import Put, Save, for_store
from harness.core.trace import CallSite, Image, empty_image
from harness.core.workload import Workload
from harness.inject.leaks import Cycle, LeakFault
from harness.judge.classify import Violation
from harness.judge.growth import creeps, grows, settled
from harness.record import kernel
from harness.record import originals as real
from harness.record.callsite import CallSites, call_site, is_store_file
from harness.record.kernel import Call
from harness.record.scan import scan
from harness.run import containment
from harness.run.live.bench import Bench, Client, NoBoard
from harness.run.live.shortages import open_descriptors, starting_threads
from harness.run.live.values import Exhibit, Struck, Trial
from harness.run.recovering import Step, read_state, text_of_error

#: Cycles at most where it ends early, between two counts, and before nothing can be said.
CYCLES = 256
_DISTANCE = 8
_LEAST_COUNTS = 8
#: A child that takes longer is asked for no more than the counts that nothing can be said without.
_SECONDS = 4.0
#: The same where a number of cycles was asked for.
_PATIENT_SECONDS = 30.0
#: Bytes that a cycle may leave behind for good.
LEAST_BYTES = 256
_FRAMES = 12
#: Cycles after which what is filled once has been filled.
_SNAPSHOT_AT = 2 * _DISTANCE

_NAMES = {
    "descriptors": "open descriptors",
    "threads": "threads",
    "processes": "child processes",
    "files": "files in the directory",
    "memory": "bytes of memory",
}


@dataclass(slots=True)
class Counts:
    """What was counted, every `_DISTANCE` cycles; `sites` names the line to blame where something grew."""

    cycles: int = 0
    samples: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in _NAMES})
    sites: dict[str, CallSite | None] = field(default_factory=dict)
    error: str = ""

    def growing(self, least: dict[str, int]) -> list[str]:
        return [name for name, amount in least.items() if self._grows(name, amount)]

    def _grows(self, name: str, amount: int) -> bool:
        """Things that are counted one by one may also come seldom."""
        samples = self.samples[name]
        return grows(samples, least=amount) or (amount == 1 and creeps(samples))

    def are_settled(self, least: dict[str, int]) -> bool:
        return all(settled(self.samples[name], least=amount) for name, amount in least.items())


class LeakEngine:
    """Counts what is left over after clean cycles on one workload."""

    fault_types = (LeakFault, Cycle)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        self.bench = bench
        self.workload = workload
        self.promise = promise
        self.client = Client(bench)
        self.image: Image = empty_image()

    def rehearse(self) -> str:
        """Run the workload once; why nothing can be tried, or nothing."""
        if not containment.CAN_FORK:
            return "what leaks would stay in this process: this system has no fork(2)"
        self.bench.materializer.place(empty_image())
        self.client.run(self.workload)
        self.image = scan(self.bench.directory)
        return next(iter([*self.client.elsewhere, *self.client.errors.values()]), "")

    @property
    def operations(self) -> int:
        return len(self.client.operations)

    def faults(self) -> Iterator[LeakFault]:
        yield LeakFault(Cycle.REOPEN, self.bench.extra.get("reopenings", 0))
        if self._same_again() is not None:
            yield LeakFault(Cycle.OVERWRITE)

    def _same_again(self) -> Any:
        """An operation that changes nothing when it is repeated; `None` if that can't be told for a model."""
        model = self.bench.adapter.model
        if model is KEY_VALUE:
            return Put("k1", "the same again")
        return Save({"the same": "again"}) if model is DOCUMENT else None

    def attempt(self, fault: LeakFault) -> Trial:
        self.bench.materializer.place(self.image)
        counts = self._counted(fault)
        least = _least(fault)
        growing = counts.growing(least)
        self.bench.surroundings.restore()
        if not growing:
            short = counts.cycles < _LEAST_COUNTS * _DISTANCE and not counts.are_settled(least)
            return Trial(int(not short), promise=self.promise, cycles=counts.cycles)
        name = growing[0]
        first, last = counts.samples[name][0], counts.samples[name][-1]
        sentence = f"after {counts.cycles} cycles there are {last} {_NAMES[name]}"
        violation = Violation("leak", f"{sentence}, and there were {first} after the first {_DISTANCE}")
        site = counts.sites.get(name)
        exhibit = self._exhibit(fault, counts, violation)
        struck = (Struck(site, "a call that leaks", name),) if site else ()
        return Trial(1, violation, site, exhibit, struck, self.promise, cycles=counts.cycles)

    def ended(self, fault: LeakFault, violation: Violation) -> Trial:
        exhibit = self._exhibit(fault, Counts(), violation)
        return Trial(1, violation, None, exhibit, (), self.promise)

    def _exhibit(self, fault: LeakFault, counts: Counts, violation: Violation) -> Exhibit:
        return Exhibit(
            lines=(*self.client.lines, "close()", f"<{fault.describe()}>"),
            told="All operations were acknowledged, and the store was closed.",
            called=f"At last a call raised {counts.error}." if counts.error else "No call failed.",
            reached=f"{fault.describe()[:1].upper()}{fault.describe()[1:]}.",
            found=f"{violation.sentence[:1].upper()}{violation.sentence[1:]}.",
            expected="A store that was closed should have let go of everything.",
        )

    # --- the child -----------------------------------------------------------------------------

    def _counted(self, fault: LeakFault) -> Counts:
        """All counts of a child, which is watched from one count to the next."""
        news, tell = os.pipe()
        parent = os.getpid()
        process = os.fork()
        if process == 0:
            self._live(fault, tell, parent)
        real.close(tell)
        counts = Counts()
        try:
            while (message := self.bench.call(Step.OPEN, _heard, news)) is not None:
                counts = message
        finally:
            real.close(news)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, 9)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process, 0)
        return counts

    def _live(self, fault: LeakFault, tell: int, parent: int) -> NoReturn:
        """What the child does; it never returns into the code of its parent."""
        try:
            containment.die_with_parent(parent)
            gc.freeze()  # collections are many, and only what comes from now on matters
            bench = dataclasses.replace(self.bench, board=NoBoard())
            again = self._same_again() if fault.cycle is Cycle.OVERWRITE else None
            counting = Counting(bench, _least(fault), fault.cycles, writes=again is not None)
            for counts in counting.run(lambda: _cycle(bench, again)):
                _say(tell, counts)
        finally:
            os._exit(0)


def _least(fault: LeakFault) -> dict[str, int]:
    """By how much each counter has to grow from one count to the next. Whoever keeps a log in memory or in segments may
    grow as it is written to, so there only a file for each operation counts."""
    if fault.cycle is Cycle.OVERWRITE:
        return {"files": _DISTANCE}
    return {**dict.fromkeys(_NAMES, 1), "memory": LEAST_BYTES * _DISTANCE}


def _cycle(bench: Bench, again: Any) -> None:
    """Open, read or write, close."""
    adapter = bench.adapter()
    store = adapter.open(bench.directory)
    if again is None:
        read_state(adapter, store)
    else:
        adapter.apply(store, for_store(again))
    adapter.close(store)


class Counting:
    """Runs cycles and counts, with an eye on who opens and starts what. Where the store `writes` in them, files count
    only if it did not open them in the last one."""

    def __init__(self, bench: Bench, least: dict[str, int], cycles: int, *, writes: bool = False) -> None:
        self.directory = bench.directory
        self.writes = writes
        self.used: set[str] = set()
        self.least = least
        self.cycles = cycles
        self.counts = Counts()
        self.opened: dict[int, Any] = {}
        self.created: dict[str, Any] = {}
        self.started: deque[Any] = deque(maxlen=1)
        self.before: tuple[set[int], set[str]] = (set(), set())
        self.early: tracemalloc.Snapshot | None = None

    def run(self, cycle: Callable[[], None]) -> Iterator[Counts]:
        """The counts after each count, until there were enough cycles, or nothing grows and none were asked for."""
        ends = time.monotonic() + (_PATIENT_SECONDS if self.cycles else _SECONDS)
        self.before = open_descriptors(), self._files()
        tracemalloc.start(_FRAMES)
        with kernel.engage(self._watch), starting_threads(lambda number: self.started.append(call_site(3))):
            while not self._is_over(late=time.monotonic() > ends):
                try:
                    for _ in range(_DISTANCE):
                        self.used.clear()
                        cycle()
                except BaseException as error:
                    self.counts.error = text_of_error(error)
                self._count()
                yield self.counts
        if self.counts.growing(self.least):
            self._blame()
            yield self.counts

    def _is_over(self, *, late: bool) -> bool:
        counts = self.counts
        enough = len(counts.samples["memory"]) > _LEAST_COUNTS
        if counts.error or (late and enough) or counts.cycles >= (self.cycles or CYCLES):
            return True
        return not self.cycles and counts.are_settled(self.least)

    def _count(self) -> None:
        gc.collect()
        counts, samples = self.counts, self.counts.samples
        counts.cycles += _DISTANCE
        samples["descriptors"].append(len(open_descriptors()))
        samples["threads"].append(len(real.listdir("/proc/self/task")))
        samples["processes"].append(len(containment.child_ids()))
        files = self._files()
        samples["files"].append(len(files))
        # What is gone is nobody's leak; remembered, it would be one of ours.
        self.created = {path: place for path, place in self.created.items() if path in files}
        samples["memory"].append(tracemalloc.get_traced_memory()[0])
        if counts.cycles == _SNAPSHOT_AT:
            self.early = tracemalloc.take_snapshot()

    def _files(self) -> set[str]:
        every = {os.path.join(folder, name) for folder, _, names in os.walk(self.directory) for name in names}
        return every - self.used if self.writes else every

    def _watch(self, call: Call, make: Callable[..., Any]) -> Any:
        """A gate that lets everything through and remembers who opens and makes what."""
        if call.group not in (kernel.OPEN, kernel.NAME):
            return make()
        place, number = call_site(2), _lowest_free() if call.group == kernel.OPEN else -1
        result = make()
        self.created[call.path()] = place
        if call.group == kernel.OPEN:
            self.used.add(call.path())
        self.opened[result if isinstance(result, int) else number] = place
        return result

    # --- who is to blame -----------------------------------------------------------------------

    def _blame(self) -> None:
        known = CallSites()
        descriptors, files = self.before
        guilty: dict[str, Iterable[Any]] = {
            "descriptors": [self.opened.get(number) for number in open_descriptors() - descriptors],
            "files": [self.created.get(path) for path in self._files() - files],
            "threads": self.started,
        }
        for name, places in guilty.items():
            common = Counter(place for place in places if place is not None).most_common(1)
            self.counts.sites[name] = known.resolve(*common[0][0]) if common else None
        self.counts.sites["memory"] = self._memory_site()

    def _memory_site(self) -> CallSite | None:
        """The innermost line of the store behind most of what has been added since the early snapshot."""
        if self.early is None:
            return None
        added: Counter[tuple[str, int]] = Counter()
        for statistic in tracemalloc.take_snapshot().compare_to(self.early, "traceback"):
            for frame in reversed(statistic.traceback):
                if is_store_file(frame.filename):
                    added[frame.filename, frame.lineno] += statistic.size_diff
                    break
        [((file, line), size)] = added.most_common(1) or [(("", 0), 0)]
        return CallSite(file, line, _function(file, line)) if size > 0 else None


def _lowest_free() -> int:
    """The number that the next descriptor will have: always the lowest that is free (open(2))."""
    number: int = real.dup(0)
    real.close(number)
    return number


def _function(file: str, line: int) -> str:
    """The name of the innermost function around a line."""
    import ast

    best = ""
    with contextlib.suppress(OSError, SyntaxError, ValueError), open(file, encoding="utf-8") as stream:
        for node in ast.walk(ast.parse(stream.read())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if node.lineno <= line <= (node.end_lineno or node.lineno):
                    best = f"{best}.{node.name}" if best else node.name
    return best


def _say(tell: int, counts: Counts) -> None:
    message = pickle.dumps(counts)
    rest = memoryview(len(message).to_bytes(8, "big") + message)
    while rest:
        rest = rest[real.write(tell, rest) :]


def _heard(news: int) -> Counts | None:
    """The next counts; `None` when the child has ended."""
    header = _read(news, 8)
    text = _read(news, int.from_bytes(header, "big")) if header else b""
    counts: Counts | None = pickle.loads(text) if text else None
    return counts


def _read(news: int, size: int) -> bytes:
    """So many bytes; nothing if the child ends before."""
    parts = []
    while size:
        part = real.read(news, size)
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
