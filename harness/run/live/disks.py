"""Full disks: a small file system of the worker's own is filled while the store works, and later there is room again.

The directory of the store is the root of that file system. What fills it is a file without a name: it takes room, and
nobody sees it. Pages and inodes are what a tmpfs counts.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.core.trace import empty_image
from harness.core.workload import Reopen, Workload
from harness.inject.disks import FullDisk, Room, full_disks
from harness.judge.classify import Violation
from harness.judge.failing import worse
from harness.record import kernel
from harness.record import originals as real
from harness.record.kernel import Call
from harness.run.descriptors import close_leaked, descriptors
from harness.run.live.bench import Bench
from harness.run.live.calls import (
    Act,
    CallsEngine,
    Fired,
    Injector,
    Look,
    Session,
    Stop,
    blamed,
    each_site,
)
from harness.run.live.values import Exhibit, Struck, Trial

#: The size of the private file system. Enough for every workload, and little enough to fill page by page.
MOUNT_BYTES = 8 * 2**20
_PAGE_BYTES = 4096


class Filler:
    """Files without a name that fill the file system of a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = str(directory)
        self._files: list[int] = []

    def fill(self, fault: FullDisk) -> None:
        """Leave as many free pages, or inodes, as the fault says; what is not free already can't be left."""
        if fault.room is Room.INODES:
            while os.statvfs(self.directory).f_ffree > fault.left:
                self._files.append(self._file())
            return
        own = self._file()
        self._files.append(own)
        size = 0
        while (surplus := os.statvfs(self.directory).f_bfree - fault.left) > 0:
            real.posix_fallocate(own, size, surplus * _PAGE_BYTES)
            size += surplus * _PAGE_BYTES

    def release(self) -> None:
        """There is room again."""
        while self._files:
            real.close(self._files.pop())

    def _file(self) -> int:
        descriptor: int = real.open(self.directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC)
        return descriptor


class Witness(Injector):
    """A gate that lets everything through and notes what a full disk refuses, or takes in part only."""

    def __init__(self, directory: Path, filler: Filler) -> None:
        super().__init__(str(directory))
        self._filler = filler
        self.least_pages = self.least_inodes = 1 << 60

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        try:
            result = make()
        except OSError as error:
            if error.errno in _FULL:
                self._note(call)
            raise
        if call.group == kernel.WRITE and isinstance(result, int) and 0 <= result < call.size_bytes:
            self._note(call)
        return result

    def lift(self) -> None:
        self._filler.release()

    def measure(self) -> None:
        """Write down how much room there is."""
        status = os.statvfs(self._filler.directory)
        self.least_pages = min(self.least_pages, status.f_bfree)
        self.least_inodes = min(self.least_inodes, status.f_ffree)

    def _note(self, call: Call) -> None:
        self.fired.append(Fired(self._site(), call.name.removeprefix("file_"), self.operation))


_FULL = (28, 122)  # ENOSPC, EDQUOT


class DisksEngine(CallsEngine):
    """Fills the disk while one workload runs, at every amount of room."""

    fault_types = (FullDisk, Room)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        super().__init__(bench, workload, claim, promise)
        self.steps = (*workload.steps, Look(), Reopen(), *self.steps[-1:])

    def rehearse(self) -> str:
        """Run the script with room enough; why nothing can be tried, or nothing."""
        status = os.statvfs(self.bench.directory)
        if not os.path.ismount(self.bench.directory) or status.f_blocks * status.f_frsize > MOUNT_BYTES:
            return "there is no small file system of its own for the store"
        self.bench.materializer.place(empty_image())
        empty = os.statvfs(self.bench.directory)
        witness, session = self._played(None)
        self.count = len(session.client.operations)
        self.pages = empty.f_bfree - witness.least_pages + 1
        self.inodes = empty.f_ffree - witness.least_inodes + 1
        errors = [*session.client.elsewhere, *session.client.errors.values()]
        if errors:
            return errors[0]
        violation = session.violation or self._recovered(session)[0]
        return "" if violation is None else f"without any fault {violation.sentence}"

    def faults(self) -> Iterator[FullDisk]:  # type: ignore[override]
        return full_disks(len(self.steps), self.pages, self.inodes)

    def attempt(self, fault: FullDisk) -> Trial:  # type: ignore[override]
        witness, session = self._played(fault)
        if not witness.fired:
            return Trial(0, promise=self.promise)
        violation, unknown = self._recovered(session)
        violation = worse(violation, session.violation)
        if violation is None and (stop := self._suspicion(session)) is not None:
            witness, session = self._played(fault, stop)
            violation, unknown = self._recovered(session)
        struck = tuple(Struck(fired.site, fired.call, fault.word) for fired in each_site(witness.fired))
        if violation is None:
            return Trial(len(witness.fired), struck=struck, promise=self.promise, unknown=unknown)
        exhibit = self._story(fault, session.client.lines, violation)
        site = blamed(session, violation).site
        return Trial(len(witness.fired), violation, site, exhibit, struck, self.promise)

    def ended(self, fault: FullDisk, violation: Violation) -> Trial:  # type: ignore[override]
        return Trial(1, violation, None, self._story(fault, [], violation), (), self.promise)

    def _played(self, fault: FullDisk | None, stop: Stop | None = None) -> tuple[Witness, Session]:
        self.bench.materializer.place(empty_image())
        before = descriptors(self.bench.directory)
        filler = Filler(self.bench.directory)
        witness = Witness(self.bench.directory, filler)
        session = Session(self.bench, witness)
        steps = self._script(fault, filler, witness)
        try:
            session.play(steps, self.last, stop)
        finally:
            filler.release()
        close_leaked(self.bench.directory, before)
        return witness, session

    def _script(self, fault: FullDisk | None, filler: Filler, witness: Witness) -> tuple[Any, ...]:
        if fault is None:
            return tuple(part for step in self.steps for part in (step, Act(witness.measure)))
        fill = Act(lambda: filler.fill(fault))
        return (*self.steps[: fault.step], fill, *self.steps[fault.step :])

    def _story(self, fault: FullDisk, lines: list[str], violation: Violation) -> Exhibit:
        sentence = fault.describe()
        return dataclasses.replace(
            self._told(sentence, lines, violation),
            expected="An error that says so, everything acknowledged, and a store that works once there is room again.",
        )
