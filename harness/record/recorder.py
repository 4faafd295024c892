"""The recorder: from a running store to a `Trace`."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.trace import Blindness, Image, MarkerKind, Trace, Unseen
from harness.record import audit, native, patches
from harness.record.identity import neutral_path
from harness.record.replay import replay, same_image
from harness.record.resolve import Resolver
from harness.record.scan import scan
from harness.record.session import Session
from harness.record.tap import TAP

_STARTING = threading.Lock()
#: Threads that a store leaves running get so long to show that they go on; what they write then is not in the trace.
GOES_ON_S = 0.02


def get_ready() -> None:
    """Look up now what a recorder asks about this process: the children that are forked to record know it then.

    Cheap, unless modules were imported since the last time.
    """
    patches.install()
    if patches.has_new_modules():
        native.libraries_that_sync()
        patches.rebind()


class Recorder:
    """Records what this process does to the directory `root`, between `start` and `stop`.

    `base` is the image that the directory was made from: then the trace speaks of its inode
    numbers. Without it the directory is read at `start`. One recorder at a time in a process.

    `before_sync` is called right before each call that makes data durable while an operation is in
    progress, in the thread that is about to make it: the last moment at which others may see too much.

    `lock` is what calls that change something are made under, one at a time: it is re-entrant, and a caller's own
    may let threads take turns where they ask for it.
    """

    def __init__(
        self,
        root: Path,
        base: Image | None = None,
        *,
        before_sync: Callable[[], None] | None = None,
        lock: Any = None,
    ) -> None:
        self._directory = os.path.abspath(root)
        self._root = os.path.realpath(root)
        self._base = base
        self._before_sync = before_sync
        self._lock = lock
        self._session: Session | None = None
        self._unpatched: list[str] = []
        self._threads_before = 0

    def start(self) -> None:
        """Begin. Patches the process if `install` was not called.

        Raises `UsageError` if a recording is in progress or the directory is missing, and
        `HarnessFault` if `base` names other files than the directory holds.
        """
        if not os.path.isdir(self._root):
            raise UsageError(f"There is no directory {self._directory} to record: create it first.")
        patches.install()
        self._unpatched = patches.rebind()
        session = Session(self._root, self._base, self._before_sync, self._lock)
        self._threads_before = threading.active_count()
        with _STARTING:
            if TAP.session is not None:
                raise UsageError("Another recorder is active in this process: stop it first.")
            audit.WITNESS.incidents.clear()
            self._session = session
            TAP.session = session

    def stop(self) -> None:
        """End, after the calls that other threads are in. Calling it again does nothing."""
        if self._session is not None and TAP.session is self._session:
            TAP.session = None
            with self._session.lock:  # who holds it has made its call and not logged it yet
                return

    def mark(self, kind: MarkerKind, operation: int = -1) -> None:
        """Put a moment of the client into the trace.

        `operation` is an index into `Trace.operations`. Calls of this thread belong to the
        operation that it has begun and not ended; those of a thread that began none belong to the
        one begun last by any thread.
        """
        self._recorded().mark(kind, operation)

    def finish(
        self, operations: Iterable[Any], unsupported: int = 0, errors: Mapping[int, str] | None = None
    ) -> Trace:
        """Stop, and turn the log into a trace that has checked itself against the directory.

        What the recorder may have missed is in `Trace.unseen`.
        """
        self.stop()
        session = self._recorded()
        self._let_threads_go_on(session)
        records, session.log = session.log, []
        events = tuple(Resolver(session.ids.base).events(records))
        trace = Trace(
            base=session.ids.base,
            events=events,
            operations=tuple(operations),
            directory=self._directory,
            unsupported=unsupported,
            errors=dict(errors or {}),
            outside=self._outside(session),
            threads=max(session.threads, 1),
        )
        return dataclasses.replace(trace, unseen=self._unseen(trace, session))

    def _let_threads_go_on(self, session: Session) -> None:
        """Those that have written already, or have been started and may not have got as far."""
        alive = threading.active_count()
        if alive > self._threads_before or (alive > 1 and session.threads > 1):
            time.sleep(GOES_ON_S)

    def _recorded(self) -> Session:
        if self._session is None:
            raise UsageError("Nothing was recorded: call start() first.")
        return self._session

    def _outside(self, session: Session) -> tuple[str, ...]:
        paths = {*session.ids.outside, *audit.databases_outside(self._root)}
        return tuple(sorted({neutral_path(path, self._root) for path in paths}))

    def _unseen(self, trace: Trace, session: Session) -> tuple[Unseen, ...]:
        found = [*self._unpatched_references(), *audit.testimony(self._root), *_native_syncs()]
        for path in sorted(set(session.ids.strangers.values())):
            detail = f"{path} appeared without a recorded call"
            found.append(Unseen(Blindness.REPLAY_DIFFERS, detail, audit.NOT_RECORDED))
        found.extend(_attributes(trace.base))
        difference = _difference(trace, self._root)
        if difference is not None:
            found.append(Unseen(Blindness.REPLAY_DIFFERS, difference, audit.NOT_RECORDED))
        return tuple(found)

    def _unpatched_references(self) -> list[Unseen]:
        remedy = "call install() before the module is imported; " + audit.NOT_RECORDED
        return [Unseen(Blindness.UNPATCHED_REFERENCE, text, remedy) for text in self._unpatched]


def _attributes(base: Image) -> list[Unseen]:
    """The files of `base` whose extended attributes no crash state will have."""
    paths = (path for path, number in base.paths().items() if base.nodes[number].attributes)
    return [
        Unseen(Blindness.EXTENDED_ATTRIBUTES, f"{path} has extended attributes", audit.NOBODY_SEES) for path in paths
    ]


def _native_syncs() -> list[Unseen]:
    return [
        Unseen(
            Blindness.HIDDEN_SYNC,
            f"the native library {'/'.join(path.split(os.sep)[-2:])} can call {', '.join(names)}",
            audit.NOT_RECORDED,
        )
        for path, names in native.libraries_that_sync().items()
    ]


def _difference(trace: Trace, root: str) -> str | None:
    """How the directory differs from the replayed trace, in words."""
    try:
        left_behind = scan(Path(root))
    except OSError as error:
        return f"the directory cannot be read afterwards: {error.strerror}"
    try:
        replayed = replay(trace)
    except KeyError as missing:
        return f"the recorded calls do not fit together (at {missing}): others have changed the directory"
    difference = same_image(replayed, left_behind)
    return None if difference is None else f"replayed (first) against left behind (second): {difference}"


