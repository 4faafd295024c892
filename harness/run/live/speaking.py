"""A client that tells what becomes of its operations, each before and after it is carried out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from harness.core.operations import Sync
from harness.core.workload import Reopen
from harness.run.live.bench import Bench, Client
from harness.run.live.forks import SpokenBoard, Voice, Word

_LONGEST_TEXT = 1000


class SpeakingClient(Client):
    """Goes through a workload in a child, and says what a user would have been told.

    `first` is the index of the first operation; `acknowledged` is called after every acknowledgement.
    """

    def __init__(
        self,
        bench: Bench,
        voice: Voice,
        *,
        first: int = 0,
        acknowledged: Callable[[int], None] = lambda operation: None,
    ) -> None:
        super().__init__(dataclasses.replace(bench, board=SpokenBoard(bench.board, voice)))
        self.voice = voice
        self.first = first
        self.acknowledged = acknowledged

    def step(self, step: Any) -> None:
        if isinstance(step, Reopen) or self.is_open or self.open():
            super().step(step)
        else:  # a user would have tried it, and learned that there is no store
            self.voice.say(Word.FAILED, self.first + len(self.operations), b"the store could not be opened")
            self.operations.append(step)

    def _apply(self, operation: Any) -> None:
        done = len(self.operations)
        index = self.first + done
        self.voice.say(Word.BEGUN, index)
        super()._apply(operation)
        if len(self.operations) == done:
            self.voice.say(Word.UNSUPPORTED, index + self.unsupported - 1)
        elif done in self.errors:
            self.voice.say(Word.FAILED, index, _text(self.errors[done]))
        else:
            self.voice.say(Word.ACKNOWLEDGED, index, b"synced" if isinstance(operation, Sync) else b"")
            self.acknowledged(index)

    def _failed(self, what: str, error: BaseException) -> None:
        super()._failed(what, error)
        self.voice.say(Word.TROUBLE, payload=_text(self.elsewhere[-1]))


def _text(text: str) -> bytes:
    return text[:_LONGEST_TEXT].encode(errors="replace")
