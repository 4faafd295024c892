"""The log: segments in a directory, one writer, many readers in its process.

An append returns when its events are durable; all events of a batch are in one frame, so they are there together or not
at all. Sequence numbers start at 1 and have no gap. What is not acknowledged may be there after a crash, and
is then the newest of all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from store_under_test.event_store import codec, files, lease, writer
from store_under_test.event_store.codec import Batch
from store_under_test.event_store.commit import GroupCommit, Request
from store_under_test.event_store.errors import (
    DamagedError,
    InvalidEventError,
    LeaseLostError,
    ReadOnlyError,
    StoreClosedError,
    WrongVersionError,
)
from store_under_test.event_store.event import Event
from store_under_test.event_store.failures import Failure, classify
from store_under_test.event_store.lease import Patience
from store_under_test.event_store.reading import Frame, Reader
from store_under_test.event_store.recovery import Recovered, SegmentInfo, check_directory, recover
from store_under_test.event_store.redundancy import Redundancy
from store_under_test.event_store.segment import CONTROL, EVENTS, MARK_OFFSET, NONCE_BYTES, Header, Previous
from store_under_test.event_store.writer import SegmentWriter, Sizes

MAX_REPAIRS = 1000  # of one opening or one reading

Expected = int | Mapping[str, int] | None
Watcher = Callable[[list[Event], SegmentInfo, int], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How a log is kept. `probe_s`: seconds after which a store that found the disk full tries again."""

    sizes: Sizes = field(default_factory=Sizes)
    patience: Patience = field(default_factory=Patience)
    probe_s: float = 1.0
    clock: Callable[[], float] = time.monotonic
    random_bytes: Callable[[int], bytes] = os.urandom


@dataclass(frozen=True, slots=True)
class LogState:
    """Whether the log takes events: "ok", "degraded" (for now not) or "failed" (not before it is opened again)."""

    kind: str
    reason: str = ""


_OK = LogState("ok")


class Log:
    """Made by `Log.open`. All methods may be called from many threads."""

    def __init__(
        self, directory: str, descriptor: int, held: lease.Lease, options: Options, redundancy: Redundancy | None
    ) -> None:
        self.directory = directory
        self.versions: dict[str, int] = {}  # of each aggregate, those that are queued included; see `restore_versions`
        self.retained_from = 1
        self.last_sequence = 0
        self._descriptor = descriptor
        self._lease = held
        self._options = options
        self._redundancy = redundancy
        self._reader = Reader(self, redundancy)
        self._epoch = 0
        self._process = os.getpid()
        self._state = _OK
        self._retry_at = 0.0
        self._is_closed = False
        self._is_lost = False
        self._was_written = False
        self._sealed: tuple[SegmentInfo, ...] = ()
        self._writer: SegmentWriter
        self._active = SegmentInfo(1, 0, "", 0, False, b"")  # what readers may see of the last segment
        self._on_durable: list[Watcher] = []
        self._on_sealed: list[Callable[[SegmentInfo], None]] = []
        self._commit = GroupCommit(self._admit, self._write, self._reject)

    # --- opening and closing ---------------------------------------------------------------

    @classmethod
    def open(
        cls, directory: str | os.PathLike[str], options: Options | None = None, *, redundancy: Redundancy | None = None
    ) -> Log:
        """Open the log in `directory`, which exists; a new one if it is empty.

        Raises `ForeignFormatError`, `LockedError`, `DamagedError`, or an `OSError`.
        """
        options = options or Options()
        path = os.path.abspath(os.fspath(directory))
        check_directory(path, os.listdir(path))
        descriptor = files.open_directory(path)
        try:
            held = lease.acquire(path, descriptor, options.patience)
        except BaseException:
            files.close_quietly(descriptor)
            raise
        log = cls(path, descriptor, held, options, redundancy)
        try:
            log._start()
        except BaseException:
            if redundancy is not None:
                redundancy.close()
            held.release()
            files.close_quietly(descriptor)
            raise
        return log

    def close(self) -> None:
        """Wait for what is being written, and release the files and the lock. Nothing becomes durable by it."""
        if os.getpid() != self._process:
            self._is_closed = True  # the files are the parent's; the lock was let go when this process was forked
        elif not self._is_closed:
            self._commit.run(Request(None, action=self._shut, expected=_CLOSING))

    def _start(self) -> None:
        for name in os.listdir(self.directory):
            if name.endswith(".tmp") and not name.startswith(lease.NAME):
                files.remove_quietly(os.path.join(self.directory, name))
        found = self._recovered()
        seen = 0 if found is None else max(found.scan.epoch, found.writer.header.epoch)
        self._epoch = 1 + max(self._lease.epoch, seen)
        self._lease.grant(self._epoch)
        if found is None:
            self._writer = self._created(Header(self._nonce(), self._epoch, 1, Previous()), 0)
        else:
            self._take_up(found)
        if self._lease.is_fenced:
            self._lease.settle()
        self._publish()

    def _recovered(self) -> Recovered | None:
        if self._redundancy is not None:
            self._redundancy.opening()
        for _ in range(MAX_REPAIRS):
            try:
                return recover(self.directory, self._options.sizes, is_fenced=self._lease.is_fenced)
            except DamagedError as damage:
                if self._redundancy is None or not self._redundancy.repair(damage):
                    raise
        raise AssertionError(f"{MAX_REPAIRS} repairs did not help")

    def _take_up(self, found: Recovered) -> None:
        self._writer = found.writer
        try:
            self._sealed = found.sealed
            self.last_sequence = found.scan.next_sequence - 1
            self.retained_from = found.scan.retained_from
            files.sync(self._descriptor, self.directory)
            if self._redundancy is not None:
                self._redundancy.recovered(self._sealed)
                self._redundancy.resumed(self._writer.path)
            if self._lease.is_fenced:
                self._start_segment(0)
        except BaseException:
            self._writer.close()
            raise
        for path in found.stale:
            if self._redundancy is not None:
                self._redundancy.removed(path)
            files.remove_quietly(path)

    def _mark(self) -> None:
        """Say that the last segment is durable up to its end. Failing to is no loss."""
        try:
            mark = self._writer.mark()
            if mark and self._redundancy is not None:
                self._redundancy.wrote(self._writer.path, MARK_OFFSET, mark)
        except Exception as error:
            files.logger.info("could not mark the end of %s: %s", self._writer.path, error)

    def _shut(self) -> None:
        if self._state.kind != "failed" and not self._is_lost:
            self._mark()
        self._writer.close()
        self._reader.close()
        if self._redundancy is not None:
            self._redundancy.close()
        self._lease.release()
        files.close_quietly(self._descriptor)

    # --- appending -------------------------------------------------------------------------

    def append(self, batch: Batch, expected_version: Expected = None) -> list[Event]:
        """Append the events of `batch`, all or none; they are durable when this returns.

        `expected_version`: the version that the aggregate must have before (0: it has no event); a dictionary
        for several aggregates. Raises `WrongVersionError`, `ReadOnlyError`, `LeaseLostError`, `StoreClosedError`,
        `SyncFailedError`, or the `OSError` of a call that failed.
        """
        events: list[Event] = self._run(Request(batch, expected_version))
        return events

    def submit(self, request: Request) -> bool:
        """Queue a request of an own kind. True if the caller must see to it that `lead` is called, in a thread."""
        self._check_process()
        return self._commit.enqueue(request)

    def lead(self) -> None:
        """Write what is queued until nothing is."""
        self._commit.lead()

    def exclusive(self, action: Callable[[], Any]) -> Any:
        """Do `action` while nothing is being written; its result. It must not append."""
        return self._run(Request(None, action=action))

    def rotate(self) -> None:
        """Seal the last segment, if it has events, and start a new one."""
        self.exclusive(self._rotate)

    def retain_from(self, sequence: int) -> tuple[SegmentInfo, ...]:
        """Remove the sealed segments all of whose events are before `sequence`; those that were removed.

        What is removed was said to be, durably, before.
        """
        removed: tuple[SegmentInfo, ...] = self.exclusive(lambda: self._retain_from(sequence))
        return removed

    def restore_versions(self, versions: Mapping[str, int]) -> None:
        """Say what version each aggregate is at. To be called once, before the first append."""
        self.versions.update(versions)

    def forget_versions(self, versions: Mapping[str, int]) -> None:
        """Let aggregates of which nothing is left start anew, those that are still at the given version."""
        self._commit.locked(lambda: self._forget_versions(versions))

    def on_durable(self, watcher: Watcher) -> None:
        """Have `watcher(events, segment, offset of the frame)` called after each fsync.

        By the thread that wrote, before the appends return. If it raises, the log takes no more events.
        """
        self._on_durable.append(watcher)

    def on_sealed(self, watcher: Callable[[SegmentInfo], None]) -> None:
        """Have `watcher` called when a segment was sealed; like `on_durable`."""
        self._on_sealed.append(watcher)

    @property
    def state(self) -> LogState:
        """Whether the log takes events, and why not."""
        if self._is_closed:
            return LogState("failed", "closed")
        return LogState("failed", "the lease was lost") if self._is_lost else self._state

    @property
    def epoch(self) -> int:
        """The number of this opening: higher than that of all before."""
        return self._epoch

    def _run(self, request: Request) -> Any:
        self._check_process()
        return self._commit.run(request)

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise StoreClosedError("the store belongs to the process that this one was forked from")

    def _admit(self, request: Request) -> None:
        """Raise if the request can't be queued; give out versions if it can. Under the lock of the queue."""
        if self._is_closed:
            raise StoreClosedError("the store is closed")
        if request.expected is _CLOSING:
            self._is_closed = True
            return
        if self._is_lost:
            raise LeaseLostError("the lease was lost; open the store again")
        state = self._state
        if state is not _OK and (state.kind == "failed" or self._refuses_for_now(request)):
            raise ReadOnlyError(state.reason)
        if request.batch is not None:
            self._give_versions(request, request.batch.aggregates)

    def _refuses_for_now(self, request: Request) -> bool:
        return request.batch is not None and self._options.clock() < self._retry_at

    def _give_versions(self, request: Request, aggregates: Sequence[str]) -> None:
        versions = self.versions
        if request.expected is not None:
            _check_expected(request.expected, aggregates, versions)
        for aggregate in aggregates:
            version = versions.get(aggregate, 0)
            request.before.append((aggregate, version))
            request.versions.append(version + 1)
            versions[aggregate] = version + 1

    def _reject(self, requests: Sequence[Request]) -> None:
        """Take back what `_admit` gave, newest first."""
        for request in requests:
            for aggregate, version in reversed(request.before):
                if version:
                    self.versions[aggregate] = version
                else:
                    self.versions.pop(aggregate, None)

    def _forget_versions(self, versions: Mapping[str, int]) -> None:
        for aggregate, version in versions.items():
            if self.versions.get(aggregate) == version:
                del self.versions[aggregate]

    def _write(self, group: Sequence[Request]) -> None:
        """Make the group durable, as one frame, and set the results. On an error nothing of it counts."""
        self._was_written = False
        batches: list[Batch] = [request.batch for request in group if request.batch is not None]
        if len(group) == 1:
            versions, parts, fields = group[0].versions, batches[0].parts, batches[0].fields
        else:
            versions = [version for request in group for version in request.versions]
            parts = [part for batch in batches for part in batch.parts]
            fields = [decoded for batch in batches for decoded in batch.fields]
        payload = codec.encode_frame(versions, parts)
        events = codec.join(self.last_sequence + 1, versions, fields)
        position = 0
        for request in group:
            end = position + len(request.versions)
            request.result = events[position:end]
            position = end
        try:
            offset = self._store(payload, len(events), EVENTS)
            self.last_sequence += len(events)
            self._publish()
            self._tell(events, offset)
        except BaseException as error:
            if self._was_written:  # an interrupt, say: what is in the file is not what this object believes
                self._state = LogState("failed", str(error) or repr(error))
            raise

    def _tell(self, events: list[Event], offset: int) -> None:
        try:
            for watcher in self._on_durable:
                watcher(events, self._active, offset)
        except Exception as error:
            # The events are durable and will be acknowledged; whoever keeps an index must build it anew.
            files.logger.exception("a view of the log failed")
            self._state = LogState("failed", f"a view of the log failed: {error}")

    def _store(self, payload: bytes, count: int, kind: int) -> int:
        """Write a frame and make it durable; its offset. Decides what a failure means to the store."""
        self._was_written = False
        try:
            if kind == EVENTS:
                if self._writer.is_full_for(len(payload)) and self._has_events():
                    self._start_segment(len(payload))
                self._make_room(self._writer.size_for(len(payload)))
            else:
                self._make_room(self._writer.size_for(len(payload), 0))
            self._lease.check()
            offset = self._writer.end_offset
            data = self._writer.write(
                payload, first_sequence=self.last_sequence + 1, count=count, epoch=self._epoch, kind=kind
            )
            self._was_written = True
            self._writer.sync()
            if self._redundancy is not None:
                self._redundancy.wrote(self._writer.path, offset, data)
            self._lease.check()
        except BaseException as error:
            self._failed(error)
            raise
        if self._state is not _OK and self._state.kind == "degraded":
            files.logger.warning("%s takes events again", self.directory)
            self._state = _OK
        return offset

    def _make_room(self, size: int | None) -> None:
        if size is not None:
            if self._redundancy is not None:
                self._redundancy.make_room(self._writer.path, size)
            self._writer.grow(size)

    def _failed(self, error: BaseException) -> None:
        match classify(error, was_written=self._was_written):
            case Failure.FATAL:
                self._is_lost = isinstance(error, LeaseLostError)
                self._state = LogState("failed", str(error))
            case Failure.DEGRADED:
                if self._state is _OK:
                    files.logger.warning("%s takes no events for now: %s", self.directory, error)
                self._state = LogState("degraded", str(error))
                self._retry_at = self._options.clock() + self._options.probe_s

    # --- segments --------------------------------------------------------------------------

    def _has_events(self) -> bool:
        return self.last_sequence >= self._writer.header.first_sequence

    def _nonce(self) -> bytes:
        return self._options.random_bytes(NONCE_BYTES)

    def _created(self, header: Header, payload_bytes: int) -> SegmentWriter:
        size = writer.first_size(self._options.sizes, payload_bytes)
        header = replace(header, size_bytes=size)
        if self._redundancy is not None:
            self._redundancy.started(os.path.join(self.directory, header.name), header.encoded(), size)
        return writer.create(self.directory, self._descriptor, header, self._options.sizes, size)

    def _start_segment(self, payload_bytes: int) -> None:
        """Put a new segment, with room for a frame, after the last one. Without events, that one is forgotten."""
        old = self._writer
        before = old.header.previous
        if self._has_events():
            before = Previous(old.header.first_sequence, old.header.epoch, old.end_offset, old.checksum)
        header = Header(self._nonce(), self._epoch, self.last_sequence + 1, before, self.retained_from)
        self._lease.check()
        self._writer = self._created(header, payload_bytes)
        old.close()
        if not self._has_events() and before.first_sequence != old.header.first_sequence:
            self._publish()
            return
        last, nonce = self.last_sequence, old.header.nonce
        info = SegmentInfo(before.first_sequence, last, old.path, before.end_offset, True, nonce)
        self._sealed = (*self._sealed, info)
        self._publish()
        self._seal(info)

    def _seal(self, info: SegmentInfo) -> None:
        if self._redundancy is not None:
            self._redundancy.sealed(info.path, info.end_offset)
        try:
            for watcher in self._on_sealed:
                watcher(info)
        except Exception as error:
            files.logger.exception("a view of the log failed")
            self._state = LogState("failed", f"a view of the log failed: {error}")

    def _rotate(self) -> None:
        if not self._has_events():
            return
        self._was_written = False
        try:
            self._start_segment(0)
        except BaseException as error:
            self._failed(error)
            raise

    def _retain_from(self, sequence: int) -> tuple[SegmentInfo, ...]:
        removed = tuple(info for info in self._sealed if info.last_sequence < sequence)
        if not removed:
            return ()
        retained_from = removed[-1].last_sequence + 1
        self._store(codec.encode_control({"retained_from": retained_from}), 0, CONTROL)
        self.retained_from = retained_from
        self._sealed = self._sealed[len(removed) :]
        self._publish()
        for info in removed:
            if self._redundancy is not None:
                self._redundancy.removed(info.path)
            files.remove_quietly(info.path)
            self._reader.forget(info.path)
        self._retry_at = 0.0  # there may be room now
        return removed

    def _publish(self) -> None:
        """Let readers see what is durable."""
        current = self._writer
        first = current.header.first_sequence
        end, nonce = current.end_offset, current.header.nonce
        self._active = SegmentInfo(first, self.last_sequence, current.path, end, False, nonce)

    # --- reading ---------------------------------------------------------------------------

    def segments(self) -> tuple[SegmentInfo, ...]:
        """The segments, oldest first; the last one is not sealed."""
        while True:
            active = self._active
            sealed = self._sealed
            # A rotation between the two reads has put the active one among the sealed.
            if not sealed or sealed[-1].path != active.path:
                return (*sealed, active)

    def frames(self, first_sequence: int = 1, *, offset: int | None = None) -> Iterator[Frame]:
        """The durable frames from the one with event `first_sequence` on, also those that come while this goes on.

        `offset`: where that frame is in its segment, if it is known. Raises `DamagedError`, and
        `CursorExpiredError` if retention has removed the event.
        """
        return self._reader.frames(first_sequence, offset)

    def frame_at(
        self, segment: SegmentInfo, offset: int, end_offset: int | None = None, wanted: Sequence[int] | None = None
    ) -> list[Event]:
        """The events of the frame at `offset` of `segment`, which ends at `end_offset`, or those `wanted` of them.

        Raises as `frames` does.
        """
        return self._reader.frame_at(segment, offset, end_offset, wanted)


_CLOSING = object()


def _check_expected(expected: Any, aggregates: Sequence[str], versions: Mapping[str, int]) -> None:
    if isinstance(expected, int):
        if len(set(aggregates)) > 1:
            raise InvalidEventError("expected_version", "must be a dictionary for events of several aggregates")
        expected = {aggregates[0]: expected}
    for aggregate, version in expected.items():
        if (actual := versions.get(aggregate, 0)) != version:
            raise WrongVersionError(aggregate, version, actual)
