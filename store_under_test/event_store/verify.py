"""Is every byte of a log what it should be, and if not, which events does it cost?

`verify` reads everything and changes nothing. It goes from the newest segment to the oldest, because a segment's header
says where the one before it ends. What mirror and parity know is laid over what is read, in memory: an extent that they
make right is damaged and `restorable`; a sequence number is lost only if no copy has its event.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from store_under_test.event_store import copies, files, mirror, parity, sealed, segment
from store_under_test.event_store.codec import decode_control
from store_under_test.event_store.copies import opened, reader
from store_under_test.event_store.derived_checks import DERIVED, Check
from store_under_test.event_store.parity import BLOCK_BYTES, Read
from store_under_test.event_store.reports import Extent, Lost, Report
from store_under_test.event_store.segment import (
    ALIGNMENT,
    CONTROL,
    DATA_OFFSET,
    FRAME_HEADER_BYTES,
    FRAME_MAGIC,
    MARK_OFFSET,
    FrameHeader,
    Header,
    Previous,
)
from store_under_test.event_store.twins import Comparison, compare, frame_at, mark_of, sound_header


@dataclass(slots=True)
class _Findings:
    """What was found so far, the newest segment first."""

    extents: list[Extent] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    retained_from: int = 1

    def report(self) -> Report:
        extents = sorted(self.extents, key=lambda extent: (extent.name, extent.start, extent.end))
        return Report(tuple(extents), tuple(sorted(self.lost, key=lambda lost: lost.first)))


def verify(directory: str | os.PathLike[str], checks: Iterable[Check] = DERIVED) -> Report:
    """What is damaged in the log in `directory`, which nobody writes to. Changes nothing.

    `checks` look at the files that are no segments and are made from them.

    Raises `ForeignFormatError`, or the `OSError` of a read that failed.
    """
    path = os.path.abspath(os.fspath(directory))
    findings = _Findings()
    oldest = None
    for place in walk(path):
        if place.following is not None and place.following <= findings.retained_from:
            break  # all events of this one and those before are gone on purpose
        place.header = _Segment(path, place, findings).check()
        oldest = place
    if oldest is not None and oldest.first > findings.retained_from:
        findings.lost.append(Lost(findings.retained_from, oldest.first - 1))
    findings.extents += [extent for check in checks for extent in check(path)]
    return findings.report()


# --- the segments of a directory ----------------------------------------------------------------


@dataclass(slots=True)
class Place:
    """A segment's place in the log. Whoever gets one says what its `header` is, if any copy has it."""

    first: int
    epoch: int
    end_offset: int | None  # of a sealed one, if the header after it is known
    following: int | None  # the first sequence after the segment, `None` for the active one
    header: Header | None = None

    @property
    def name(self) -> str:
        return Header(b"", self.epoch, self.first, Previous()).name


def walk(directory: str) -> Iterator[Place]:
    """The segments, the newest first: by their headers, and by the names of files where a header is not known."""
    names = _names(directory)
    place = Place(*names[0], None, None) if names else None
    while place is not None:
        yield place
        older = None
        if place.header is None:
            older = next((numbers for numbers in names if numbers[0] < place.first), None)
        elif place.header.previous.first_sequence:
            before = place.header.previous
            older = before.first_sequence, before.epoch
        end = None if place.header is None else place.header.previous.end_offset
        place = None if older is None else Place(*older, end, place.first)


def _names(directory: str) -> list[tuple[int, int]]:
    """First sequence and epoch, the newest segment first; also of one of which there is only a mirror with frames."""
    newest: dict[int, int] = {}
    for name in os.listdir(directory):
        base, suffix = os.path.splitext(name)
        numbers = segment.parsed_name(base + segment.SUFFIX)
        if numbers and (suffix == segment.SUFFIX or (suffix == mirror.SUFFIX and _has_frames(directory, name))):
            newest[numbers[0]] = max(numbers[1], newest.get(numbers[0], 0))
    return sorted(newest.items(), reverse=True)


def _has_frames(directory: str, name: str) -> bool:
    path = os.path.join(directory, name)
    with opened(path) as descriptor:
        header = sound_header(reader(descriptor), path.removesuffix(mirror.SUFFIX) + segment.SUFFIX)
        return header is not None and frame_at(reader(descriptor), header, DATA_OFFSET) is not None


# --- one segment --------------------------------------------------------------------------------


class _Segment:
    """One segment with what stands beside it."""

    def __init__(self, directory: str, place: Place, findings: _Findings) -> None:
        self.place = place
        self.findings = findings
        self.name = place.name
        self.path = os.path.join(directory, self.name)
        self.extents: list[tuple[int, int, str]] = []  # of the segment
        self.lost: list[Lost] = []

    def check(self) -> Header | None:
        """Report what is wrong with it; its header, if any copy has it."""
        with ExitStack() as stack:
            descriptor = _open(stack, self.path)
            read: Read = _nothing if descriptor is None else reader(descriptor)
            size = 0 if descriptor is None else files.size_of(descriptor)
            known = self._with_parity(self._with_mirror(stack, read, size))
            header = sound_header(known, self.path)
            if descriptor is None:
                self.extents.append((0, self.place.end_offset or 0, "the file is missing"))
            if header is None:
                self._damaged(0, BLOCK_BYTES, "header")
                self._lose(self.place.first, self.place.following)
            else:
                self._chain(known, header, size)
        restorable = not self.lost
        self.findings.extents += [Extent(self.name, *extent, restorable=restorable) for extent in self.extents]
        self.findings.lost += self.lost
        return header

    def _lose(self, first: int, following: int | None) -> None:
        if following is None or first < following:
            self.lost.append(Lost(first, None if following is None else following - 1))

    def _damaged(self, start: int, end: int, what: str) -> None:
        """Note an extent, unless one that was noted holds it."""
        if not any(start >= first and end <= last for first, last, _ in self.extents):
            self.extents.append((start, end, what))

    # --- copies ----------------------------------------------------------------------------

    def _with_mirror(self, stack: ExitStack, read: Read, size: int) -> Read:
        """What the segment reads as once its mirror has stood in; reports where the two differ."""
        descriptor = _open(stack, mirror.path_of(self.path))
        if descriptor is None:
            return read
        comparison = compare((read, reader(descriptor)), self.path)
        if comparison is None:
            self._note_beside(mirror.SUFFIX, 0, BLOCK_BYTES, "header", restorable=False)
            return read
        for fix in comparison.fixes:
            if fix.copy == 0:
                self.extents.append((fix.start, fix.end, _place(fix.start)))
            else:
                self._note_beside(mirror.SUFFIX, fix.start, fix.end, _place(fix.start), restorable=True)
        if self.place.following is None:
            self._end_of_mirror(reader(descriptor), comparison, files.size_of(descriptor), size)
        return _overlaid(read, _pieces(comparison))

    def _end_of_mirror(self, read: Read, comparison: Comparison, mirror_bytes: int, segment_bytes: int) -> None:
        """What stands in the mirror after the last event that is sound in either, and how much room there is."""
        _, frame = _next_frame(read, comparison.header, comparison.end, mirror_bytes)
        what = "after the last event" if frame is None else "events"
        for first, last in _dirty(read, comparison.end, mirror_bytes):
            self._note_beside(mirror.SUFFIX, first, last, what, restorable=frame is None)
        if mirror_bytes < segment_bytes:
            self._note_beside(mirror.SUFFIX, mirror_bytes, segment_bytes, "the file was cut", restorable=True)

    def _with_parity(self, read: Read) -> Read:
        """What the segment reads as once its parity has restored what it can; reports what it had to."""
        content = copies.content_of(sealed.path_of(self.path))
        if content is None:
            return read
        table = parity.find_table(content)
        if table is None:
            self._note_beside(sealed.SUFFIX, 0, len(content), "parity", restorable=True)
            return read
        for start, end in parity.unsound_parts(content, table):
            self._note_beside(sealed.SUFFIX, start, end, "parity", restorable=True)
        mended = parity.mend(read, content, table)
        for block in mended.damaged:
            start = block * BLOCK_BYTES
            self.extents.append((start, start + table.layout.length(block), _place(start)))
        return _overlaid(read, [(block * BLOCK_BYTES, data) for block, data in mended.restored.items()])

    def _note_beside(self, suffix: str, start: int, end: int, what: str, *, restorable: bool) -> None:
        name = self.name.removesuffix(segment.SUFFIX) + suffix
        self.findings.extents.append(Extent(name, start, end, what, restorable))

    # --- the chain -------------------------------------------------------------------------

    def _chain(self, known: Read, header: Header, size: int) -> None:
        """Go through the frames that are known, and what stands between them."""
        self.findings.retained_from = max(self.findings.retained_from, header.retained_from)
        least = max(header.size_bytes, self.place.end_offset or 0)
        limit = self.place.end_offset or max(size, least)
        offset, following = DATA_OFFSET, header.first_sequence
        while offset < limit:
            start, found = _next_frame(known, header, offset, limit)
            if found is None:
                break
            frame, data = found
            if start > offset:
                self._damaged(offset, start, "events")
                self._lose(following, frame.first_sequence)
            self._look_at(known, start, frame, data)
            offset, following = start + len(data), frame.first_sequence + frame.count
        self._finish(known, header, offset, following, limit)
        if size < least:
            self._damaged(size, least, "the file was cut")

    def _look_at(self, known: Read, offset: int, frame: FrameHeader, data: bytes) -> None:
        end = FRAME_HEADER_BYTES + frame.payload_bytes
        if known(offset + end, len(data) - end) != data[end:]:
            self._damaged(offset + end, offset + len(data), "between events")
        if frame.kind == CONTROL:
            retained_from = decode_control(data[FRAME_HEADER_BYTES:end]).get("retained_from", 1)
            self.findings.retained_from = max(self.findings.retained_from, retained_from)

    def _finish(self, known: Read, header: Header, offset: int, following: int, limit: int) -> None:
        """What is missing at the end, and what stands there that should not."""
        block = known(MARK_OFFSET, BLOCK_BYTES)
        marked = segment.decode_mark(header, block)
        if block != mark_of(header, marked):
            self._damaged(MARK_OFFSET, DATA_OFFSET, "mark")
        if self.place.following is not None:
            if offset < (self.place.end_offset or 0):
                self._damaged(offset, limit, "events")
            self._lose(following, self.place.following)
        elif offset < marked:
            self._damaged(offset, marked, "events that were durable")
            self._lose(following, None)
        else:  # an interrupted write, which opening cuts off, or damage
            for first, last in _dirty(known, offset, limit):
                self._damaged(first, last, "after the last event")


def _open(stack: ExitStack, path: str) -> int | None:
    try:
        return stack.enter_context(opened(path))
    except FileNotFoundError:
        return None


def _nothing(offset: int, length: int) -> bytes:
    """A read of a file that is not there."""
    return b""


def _place(offset: int) -> str:
    return "header" if offset < MARK_OFFSET else "mark" if offset < DATA_OFFSET else "events"


def _pieces(comparison: Comparison) -> list[tuple[int, bytes]]:
    return [(fix.start, fix.data) for fix in comparison.fixes if fix.copy == 0]


def _overlaid(read: Read, pieces: list[tuple[int, bytes]]) -> Read:
    """`read`, with these pieces (offset, bytes) over what it reads, also past the end of its file."""
    if not pieces:
        return read

    def overlaid(offset: int, length: int) -> bytes:
        data = bytearray(read(offset, length))
        for start, piece in pieces:
            first, last = max(start, offset), min(start + len(piece), offset + length)
            if first < last:
                data.extend(bytes(max(0, last - offset - len(data))))
                data[first - offset : last - offset] = piece[first - start : last - start]
        return bytes(data)

    return overlaid


def _dirty(read: Read, start: int, end: int) -> Iterator[tuple[int, int]]:
    """What is not zero from `start` to `end`."""
    for base, length in copies.strides(start, end):
        rest = read(base, length)
        if any(rest):
            yield base + len(rest) - len(rest.lstrip(b"\0")), base + len(rest.rstrip(b"\0"))


def _next_frame(read: Read, header: Header, start: int, end: int) -> tuple[int, tuple[FrameHeader, bytes] | None]:
    """The first frame from `start` on that verifies, and where it is."""
    found = frame_at(read, header, start)
    if found is not None:
        return start, found
    for base, length in copies.strides(start, end):
        for position in _aligned(read(base, length), base):
            found = frame_at(read, header, base + position)
            if found is not None:
                return base + position, found
    return end, None


def _aligned(data: bytes, base: int) -> Iterator[int]:
    position = data.find(FRAME_MAGIC)
    while position >= 0:
        if (base + position) % ALIGNMENT == 0:
            yield position
        position = data.find(FRAME_MAGIC, position + 1)
