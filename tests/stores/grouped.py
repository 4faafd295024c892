"""Logs that threads share, in which one thread syncs for those that wrote meanwhile: who may answer when?"""

from __future__ import annotations

import os
import threading
from typing import Any

from harness import Append, Contract
from tests.stores.followed import Followed


class Grouped(Followed):
    """Sound: a sync answers for what was written before it began."""

    name = "grouped"
    contract = Contract(io_error=None, corruption=None, writers="threads")
    operations = (Append,)

    def open(self, directory: Any) -> Grouped:
        super().open(directory)
        self.turn = threading.Condition()
        self.durable = len(self.records)
        self.is_syncing = False
        return self

    def append(self, record: str) -> None:
        with self.turn:
            self.write(record)
            self.records.append(record)
            mine = len(self.records)
            while self.durable < mine:
                if self.is_syncing:
                    self.waits()
                else:
                    self.commit()

    def waits(self) -> None:
        self.turn.wait()

    def commit(self) -> None:
        """The caller has the lock, and has it again afterwards."""
        self.is_syncing, written = True, len(self.records)
        self.turn.release()
        try:
            os.fsync(self.file)
        finally:
            self.turn.acquire()
            self.is_syncing = False
        self.durable = self.reached(written)
        self.turn.notify_all()

    def reached(self, written: int) -> int:
        """How many records are durable after a sync at whose beginning so many had been written."""
        return written


class AnswersForLater(Grouped):
    """Takes what was written while the sync went on for durable as well."""

    name = "answers-for-later"

    def reached(self, written: int) -> int:
        return len(self.records)


class DoesNotWait(Grouped):
    """Leaves the sync to a thread that has begun one, and does not wait for it."""

    name = "does-not-wait"

    def append(self, record: str) -> None:
        with self.turn:
            self.write(record)
            self.records.append(record)
            if not self.is_syncing:
                self.commit()


class UnlockedCount(Grouped):
    """As `AnswersForLater`; notes how far the log is durable outside of the lock, in the very line after the sync."""

    name = "unlocked-count"

    def commit(self) -> None:
        self.is_syncing = True
        self.turn.release()
        try:
            os.fsync(self.file)
            self.durable = len(self.records)
        finally:
            self.turn.acquire()
            self.is_syncing = False
        self.turn.notify_all()
