"""The active segment: the file that frames are appended to.

Its room is written with zeros, and synced, before frames go there: an append changes neither size nor allocation,
and all that fdatasync has to do is the data. A little room is kept for control frames, so that retention
can say what it removes while the disk is full.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from store_under_test.event_store import files
from store_under_test.event_store.errors import UnknownOutcomeError
from store_under_test.event_store.segment import (
    DATA_OFFSET,
    EVENTS,
    MARK_OFFSET,
    Header,
    encode_frame,
    encode_mark,
    frame_bytes,
)

RESERVE_BYTES = 1024  # for control frames


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a segment gets, and by how much it grows at a time, in bytes."""

    segment_bytes: int = 64 << 20
    step_bytes: int = 4 << 20


class SegmentWriter:
    """One open segment. Not for several threads at once."""

    def __init__(self, path: str, header: Header, descriptor: int, size: int, sizes: Sizes) -> None:
        self.path = path
        self.header = header
        self.end_offset = DATA_OFFSET
        self.checksum = 0  # of the last frame
        self._seed = header.seed
        self._descriptor = descriptor
        self._size = size  # what is surely there
        self._sizes = sizes
        self._dirty_end = DATA_OFFSET  # up to where a write that failed may have left something
        self._written_end = DATA_OFFSET
        self._written_checksum = 0

    @property
    def descriptor(self) -> int:
        """The open file, for reading; another thread may be appending to it."""
        return self._descriptor

    def resume(self, end_offset: int, checksum: int) -> None:
        """Go on after what recovery found."""
        self.end_offset, self.checksum = end_offset, checksum

    def is_full_for(self, payload_bytes: int) -> bool:
        """Whether such a frame would make the segment larger than it should get."""
        return self.end_offset + frame_bytes(payload_bytes) + RESERVE_BYTES > self._sizes.segment_bytes

    def size_for(self, payload_bytes: int, reserve_bytes: int = RESERVE_BYTES) -> int | None:
        """The size to `grow` to if such a frame does not fit; `None` if it does."""
        needed = self.end_offset + frame_bytes(payload_bytes) + reserve_bytes
        if needed <= self._size:
            return None
        return max(needed, min(self._size + self._sizes.step_bytes, self._sizes.segment_bytes))

    def grow(self, size: int) -> None:
        """Make the file larger, by zeros. On an error nothing is changed, unless it is a `SyncFailedError`."""
        files.write_zeros(self._descriptor, self._size, size)
        files.sync(self._descriptor, self.path)
        self._size = size

    def write(self, payload: bytes, *, first_sequence: int, count: int, epoch: int, kind: int = EVENTS) -> bytes:
        """Write a frame after the last one; what was written. It counts from `sync` on; after an error it does not."""
        offset = self.end_offset
        frame, checksum = encode_frame(
            self._seed, offset, payload, kind=kind, first_sequence=first_sequence, count=count, epoch=epoch
        )
        end = offset + len(frame)
        # What a failed write left behind must not stand after this frame.
        data = frame if end >= self._dirty_end else frame.ljust(self._dirty_end - offset, b"\0")
        self._dirty_end = offset + len(data)
        files.write_at(self._descriptor, data, offset)
        self._written_end, self._written_checksum = end, checksum
        return data

    def sync(self) -> None:
        """Make the frame that was written durable. Raises `SyncFailedError`; then this object is of no more use."""
        files.sync_data(self._descriptor, self.path)
        self.end_offset, self.checksum = self._written_end, self._written_checksum

    def mark(self) -> None:
        """Say that the segment is durable up to its end. Failing to is no loss."""
        if self.end_offset == DATA_OFFSET:
            return
        try:
            files.write_at(self._descriptor, encode_mark(self.header, self.end_offset), MARK_OFFSET)
            files.sync_data(self._descriptor, self.path)
        except Exception as error:
            files.logger.info("could not mark the end of %s: %s", self.path, error)

    def close(self) -> None:
        """Release the file."""
        files.close_quietly(self._descriptor)


def first_size(sizes: Sizes, payload_bytes: int) -> int:
    """The size of a new segment with room for a frame."""
    needed = DATA_OFFSET + frame_bytes(payload_bytes) + RESERVE_BYTES
    return max(needed, min(DATA_OFFSET + sizes.step_bytes, sizes.segment_bytes))


def create(directory: str, directory_descriptor: int, header: Header, sizes: Sizes, size: int) -> SegmentWriter:
    """A new segment of `size` bytes: durable, with its name, when this returns.

    On an error it is not there, unless the error is a `SyncFailedError` or `UnknownOutcomeError`.
    """
    path = os.path.join(directory, header.name)
    temporary = f"{path}.tmp"
    descriptor = files.open_file(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        # Synced twice, once for a segment: the less is under way at a time, the fewer states a crash can leave.
        files.write_at(descriptor, header.encoded().ljust(DATA_OFFSET, b"\0"), 0)
        files.sync(descriptor, temporary)
        files.write_zeros(descriptor, DATA_OFFSET, size)
        files.sync(descriptor, temporary)
        _rename(temporary, path)
        files.sync(directory_descriptor, directory)
    except BaseException:
        files.close_quietly(descriptor)
        files.remove_quietly(temporary)
        raise
    return SegmentWriter(path, header, descriptor, size, sizes)


def _rename(temporary: str, path: str) -> None:
    # The epoch in the name is this holder's alone: no other segment can be replaced.
    try:
        os.rename(temporary, path)
    except OSError as error:
        if not os.path.exists(temporary) or os.path.exists(path):
            raise UnknownOutcomeError(f"renaming to {path} failed: {error}") from error
        raise
