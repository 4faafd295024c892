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


class TakesBack(Grouped):
    """Sound: what could not be synced is taken out of the log again, and nobody who waits for it is answered."""

    name = "takes-back"
    contract = Contract(io_error="fails_cleanly", corruption=None, writers="threads")

    def open(self, directory: Any) -> Grouped:
        opened = super().open(directory)
        self.synced_bytes = os.fstat(self.file).st_size
        self.is_broken = False
        return opened

    def append(self, record: str) -> None:
        with self.turn:
            self.require_whole()
            self.write(record)
            self.records.append(record)
            mine = len(self.records)
            while self.durable < mine:
                if self.is_syncing:
                    self.waits()
                    self.require_whole()
                else:
                    self.commit()

    def commit(self) -> None:
        size = os.fstat(self.file).st_size
        try:
            super().commit()
        except OSError:
            self.is_broken = True
            del self.records[self.durable :]
            os.ftruncate(self.file, self.synced_bytes)
            self.after_failure()
            self.turn.notify_all()
            raise
        self.synced_bytes = size

    def after_failure(self) -> None:
        """Nothing more is durable."""

    def require_whole(self) -> None:
        if self.is_broken:
            raise OSError("a sync failed: open the log again")


class AnswersTheOthers(TakesBack):
    """Only the thread whose sync failed is told."""

    name = "answers-the-others"

    def after_failure(self) -> None:
        self.durable = 1_000_000

    def require_whole(self) -> None:
        if self.is_broken and self.durable < 1_000_000:
            super().require_whole()


class LetsThemWait(TakesBack):
    """Who waits for a sync that fails waits for ever."""

    name = "lets-them-wait"

    def after_failure(self) -> None:
        self.turn.notify_all = lambda: None  # type: ignore[method-assign]
