"""Resources that run out while a store works: a clean error, nothing acknowledged lost, and afterwards it works again.

Limits of descriptors are real ones, set for a step and taken back. Memory runs out in a forked child, which may die of
it; what it had acknowledged is known through a pipe. A directory that cannot be written, or is gone, is played by the
gate below the recorder, because a privileged process may write anywhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from harness.core.trace import CallSite, Trace, empty_image
from harness.core.workload import Reopen, Workload
from harness.inject.resources import Needs, Resource, ResourceFault, resource_faults
from harness.judge.classify import Violation
from harness.judge.shortage import judge_shortage, owed
from harness.record import kernel
from harness.record import originals as real
from harness.record.callsite import CallSites
from harness.record.scan import scan
from harness.run import containment
from harness.run.exploring import spare_operations
from harness.run.live.bench import Bench, Client, NoBoard
from harness.run.live.damage import oracle_for
from harness.run.live.shortages import Hit, Refusing, short_of, starting_threads
from harness.run.live.values import Exhibit, Struck, Trial
from harness.run.recovering import Step

_COMPONENT_BYTES = 200
_MOVED = "moved"


@dataclass(slots=True)
class Told:
    """What a client knows after a run with a shortage."""

    operations: tuple[Any, ...] = ()
    errors: dict[int, str] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    hits: tuple[Hit, ...] = ()
    last: CallSite | None = None  # the call before the end of the step
    died: bool = False

    @property
    def absent(self) -> set[int]:
        """Operations that found nothing of that name, and may have been content: a deletion is, if the file is gone."""
        return {hit.operation for hit in self.hits if hit.absent} - {
            hit.operation for hit in self.hits if not hit.absent
        }

    @classmethod
    def of(cls, client: Client, gate: Refusing) -> Told:
        return cls(
            tuple(client.operations),
            dict(client.errors),
            tuple(client.elsewhere),
            tuple(client.lines),
            tuple(gate.hits),
            None if gate.last is None else CallSites().resolve(*gate.last),
        )


def _may_strike(resource: Resource, *, opens: bool) -> bool:
    """Whether this shortage can begin with a step."""
    return resource is not Resource.PATH and not (opens and resource is Resource.GONE)


class ResourceEngine:
    """Tries shortages on one workload."""

    fault_types = (ResourceFault, Resource)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        self.bench = bench
        self.workload = workload
        self.promise = promise
        self.client = Client(bench)
        self.needs = Needs(len(workload.steps), 0, 0)

    def rehearse(self) -> str:
        """Run the workload with enough of everything; why nothing can be tried, or nothing."""
        self.bench.materializer.place(empty_image())
        gate = self._gate(self.bench)
        starts: list[int] = []
        gate.count()
        with kernel.engage(gate), starting_threads(starts.append):
            self.client.run(self.workload)
        self.needs = Needs(len(self.workload.steps), gate.most, len(starts))
        told = Told.of(self.client, gate)
        violation = self._judged(told, self.bench)
        if violation is not None:
            return f"{violation.sentence}, without any fault"
        return next(iter([*told.elsewhere, *told.errors.values()]), "")

    @property
    def operations(self) -> int:
        return len(self.client.operations)

    def faults(self) -> Iterator[ResourceFault]:
        every = resource_faults(self.needs)
        yield from every if containment.CAN_FORK else (item for item in every if item.resource is not Resource.MEMORY)

    # --- one fault -----------------------------------------------------------------------------

    def attempt(self, fault: ResourceFault) -> Trial:
        self.bench.materializer.place(empty_image())
        bench = self.bench
        with contextlib.ExitStack() as stack:
            if fault.resource is Resource.PATH:
                bench = dataclasses.replace(bench, directory=stack.enter_context(deep(bench.directory, fault.amount)))
            told = self._in_child(fault) if fault.resource is Resource.MEMORY else self._here(fault, bench)
            if fault.resource is Resource.PATH:  # it is gone when the directory has been moved to a shorter one
                bench = dataclasses.replace(bench, directory=moved(bench.directory, self.bench.directory))
            violation = self._judged(told, bench)
            left = None if violation is None else scan(bench.directory)
        self.bench.surroundings.restore()
        fired = len(told.hits) or int(told.died or bool(told.errors or told.elsewhere))
        struck = tuple(_struck(told, fault))
        if violation is None:
            return Trial(fired, struck=struck, promise=self.promise)
        site = _site(told, struck)
        return Trial(fired, violation, site, self._exhibit(fault, told, violation, left), struck, self.promise)

    def ended(self, fault: ResourceFault, violation: Violation) -> Trial:
        lines = (*self.workload.describe(), f"<{fault.describe()}>")
        told = "The operations before were acknowledged."
        expected = "It should have raised an exception."
        exhibit = Exhibit(lines, told, "", f"{_capital(fault.describe())}.", violation.sentence, expected)
        return Trial(1, violation, None, exhibit, (), self.promise)

    def _here(self, fault: ResourceFault, bench: Bench, tell: Callable[[Told], None] = lambda told: None) -> Told:
        """The workload with the shortage in it, in this process; `tell` is told after each step."""
        gate, client = self._gate(bench), Client(bench)
        with kernel.engage(gate), contextlib.ExitStack() as lasting:
            for index, step in enumerate((None, *self.workload.steps)):
                opens = step is None or isinstance(step, Reopen)
                if opens and fault.resource is Resource.GONE:
                    lasting.close()  # whoever opens a store says that its directory is there
                with contextlib.ExitStack() as brief:
                    if index == fault.index and _may_strike(fault.resource, opens=opens):
                        (lasting if fault.lasting else brief).enter_context(short_of(fault, gate))
                    gate.operation = len(client.operations)
                    if step is None:
                        client.open()
                    else:
                        client.step(step)
                tell(Told.of(client, gate))
            client.close()
        return Told.of(client, gate)

    def _gate(self, bench: Bench) -> Refusing:
        return Refusing(os.path.abspath(bench.directory))

    # --- in a child ----------------------------------------------------------------------------

    def _in_child(self, fault: ResourceFault) -> Told:
        """The same in a process that may die of it."""
        news, tell = os.pipe()
        parent = os.getpid()
        process = os.fork()
        if process == 0:
            self._live(fault, tell, parent)
        real.close(tell)
        try:
            return self.bench.call(Step.OPERATION, _heard, news)  # type: ignore[no-any-return]
        finally:
            real.close(news)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process, 0)

    def _live(self, fault: ResourceFault, tell: int, parent: int) -> NoReturn:
        """What the child does; it never returns into the code of its parent."""
        try:
            containment.die_with_parent(parent)
            bench = dataclasses.replace(self.bench, board=NoBoard())
            told = self._here(fault, bench, lambda news: _say(tell, dataclasses.replace(news, died=True, hits=())))
            _say(tell, dataclasses.replace(told, hits=()))
        finally:
            os._exit(0)

    # --- is it right? --------------------------------------------------------------------------

    def _judged(self, told: Told, bench: Bench) -> Violation | None:
        """Whether everything acknowledged is there, and it works, once there is enough of everything again."""
        unsure = told.errors.keys() | told.absent
        oracle = oracle_for(bench.adapter, told.operations, unsure)
        if told.died:  # a step may have been on its way; operations are as those after a kill
            oracle = oracle_for(bench.adapter, (*told.operations, *self._next(told)), unsure)
        spare = spare_operations(bench.adapter.model, Trace(empty_image(), (), told.operations, "", 0, told.errors))
        recovery = bench.recoverer().recover(oracle, spare)
        admissible = owed(bench.contract, told.operations)
        if told.died:
            admissible = dataclasses.replace(admissible, highest=len(oracle.operations))
        return judge_shortage(oracle, recovery, admissible, [hit.operation for hit in told.hits])

    def _next(self, told: Told) -> tuple[Any, ...]:
        done = len(told.operations)
        return self.workload.operations[done : done + 1]

    def _exhibit(self, fault: ResourceFault, told: Told, violation: Violation, left: Any) -> Exhibit:
        done = len(told.operations) - len(told.errors)
        failed = f", {len(told.errors)} raised an exception" if told.errors else ""
        called = ", ".join(dict.fromkeys(f"{hit.call} ({os.strerror(hit.error)})" for hit in told.hits))
        return Exhibit(
            lines=(*told.lines, "close()", f"<{fault.describe()}>"),
            told=f"{done} operations were acknowledged{failed}.",
            called=f"What failed: {called}." if called else "No failed call was seen.",
            reached=f"{_capital(fault.describe())}.",
            found=f"{_capital(violation.sentence)}.",
            expected="It should have raised an exception, kept what it had acknowledged, and worked again afterwards.",
            recovered=left,
        )


def _say(tell: int, told: Told) -> None:
    message = pickle.dumps(told)
    real.write(tell, len(message).to_bytes(8, "big"))
    rest = memoryview(message)
    while rest:
        rest = rest[real.write(tell, rest) :]


def _heard(news: int) -> Told:
    """The last that the child said whole."""
    parts = []
    while part := real.read(news, 1 << 16):
        parts.append(part)
    text = b"".join(parts)
    last = Told(died=True)
    while len(text) >= 8:
        size = int.from_bytes(text[:8], "big")
        if len(text) < 8 + size:
            break
        last = pickle.loads(text[8 : 8 + size])
        text = text[8 + size :]
    return last


def _site(told: Told, struck: tuple[Struck, ...]) -> CallSite | None:
    """The last failed call of the first operation that said nothing of it; else the first failed call."""
    silent = [hit.operation for hit in told.hits if hit.operation not in told.errors]
    sites = [row.site for row, hit in zip(struck, told.hits, strict=True) if row.site is not None]
    hushed = [row.site for row, hit in zip(struck, told.hits, strict=True) if silent and hit.operation == silent[0]]
    return next((site for site in [*reversed(hushed), *sites] if site is not None), told.last)


def _struck(told: Told, fault: ResourceFault) -> Iterator[Struck]:
    known = CallSites()
    for hit in told.hits:
        site: CallSite | None = None if hit.where is None else known.resolve(*hit.where)
        yield Struck(site, hit.call, fault.resource.name.lower().replace("_", " "))


@contextlib.contextmanager
def deep(directory: Path, size_bytes: int) -> Iterator[Path]:
    """A directory below `directory` whose path has just so many bytes, removed afterwards."""
    path = os.fsencode(os.path.abspath(directory))
    first = path + b"/" + b"d" * min(_COMPONENT_BYTES, size_bytes - len(path) - 1)
    path = first
    while size_bytes - len(path) > 1:
        left = size_bytes - len(path) - 1
        path += b"/" + b"d" * (left if left <= _COMPONENT_BYTES else min(_COMPONENT_BYTES, left - 2))
    try:
        os.makedirs(path)
        yield Path(os.fsdecode(path))
    finally:
        for rest in (first, os.fsencode(directory / _MOVED)):
            shutil.rmtree(rest, ignore_errors=True)


def moved(deep_directory: Path, directory: Path) -> Path:
    """Move the innermost directory up; where it is then."""
    short = directory / _MOVED
    os.rename(deep_directory, short)
    return short


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
