"""The operations of one caller in an endurance run, and what the store owes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.core.operations import Sync
from harness.judge.ledger import Ledger, Standing, standing
from harness.measure.operations import Stream
from harness.run.enduring_files import LeftOut, Progress


@dataclass(slots=True)
class Lane:
    """`progress` counts what has begun and ended, `left_out` has the numbers of what had no effect."""

    adapter: Any
    stream: Stream
    progress: Progress
    left_out: LeftOut
    ledger: Ledger = field(init=False)

    def standing(self, snapshot: Any, *, closed: bool, owed: int | None = None) -> Standing | None:
        """Which of the operations so far `snapshot` shows, if it shows all that it owes. `closed`: in order, not by
        a kill.
        """
        operations = self.stream.before(self.progress.begun, self.left_out.all())
        return standing(self.adapter.model, operations, self._owed(closed) if owed is None else owed, snapshot)

    def _owed(self, closed: bool) -> int:
        """How many operations must be there, counting those that were not left out."""
        begun, left_out = self.progress.begun, set(self.left_out.all())
        unsettled = self.progress.in_flight and begun - 1 not in left_out
        acknowledged = begun - len(left_out) - unsettled
        promised = self.adapter.contract.process_crash
        if closed or promised == "acknowledged":
            return acknowledged
        if promised != "synced":
            return 0
        counted = enumerate(self.stream.before(begun, sorted(left_out)), 1)
        synced = [number for number, operation in counted if isinstance(operation, Sync) and number <= acknowledged]
        return synced[-1] if synced else 0

    def go_on_from(self, stands: Standing) -> None:
        """What did not survive the kill, and was not owed, is no part of the run any more."""
        begun, left_out = self.progress.begun, set(self.left_out.all())
        if not begun:
            return
        counted = [index for index in range(begun) if index not in left_out]
        if counted[stands.operations :]:
            self.left_out.add(*counted[stands.operations :])
        self.progress.end(begun - 1, self.progress.elapsed_ns)
