"""Helpers: run something under the recorder, and take the trace apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.core.trace import Effect, IoEvent, Trace
from harness.record import Recorder


class Recording:
    """A recorder that runs while its `with` block does; afterwards `trace` holds what it saw."""

    trace: Trace

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recorder = Recorder(root)

    @property
    def events(self) -> list[IoEvent]:
        return [event for event in self.trace.events if event.marker is None]

    @property
    def effects(self) -> list[Effect]:
        return [effect for event in self.trace.events for effect in event.effects]

    @property
    def calls(self) -> list[str]:
        return [event.call for event in self.events]


@contextmanager
def recorded(root: Path, *, complete: bool = True) -> Iterator[Recording]:
    """Record the block; unless told otherwise, nothing may have been missed."""
    recording = Recording(root)
    recording.recorder.start()
    try:
        yield recording
    finally:
        recording.recorder.stop()
    recording.trace = recording.recorder.finish(())
    if complete:
        assert not recording.trace.unseen, recording.trace.unseen


def opened(path: Path | str, flags: int, *writes: bytes) -> None:
    """Open, write, close, with the calls of `os`."""
    descriptor = os.open(path, flags, 0o644)
    for data in writes:
        os.write(descriptor, data)
    os.close(descriptor)


def effects_of(root: Path, action: Callable[[], Any]) -> list[Effect]:
    """The effects of `action`, all in one list."""
    with recorded(root) as recording:
        action()
    return recording.effects
