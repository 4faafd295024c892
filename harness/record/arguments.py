"""What the arguments of a call mean, and what is there before it."""

from __future__ import annotations

import operator
import os
from typing import Any

from harness.record import originals as real
from harness.record.identity import Status, text_of
from harness.record.scan import kind_of

CREATING = os.O_CREAT | os.O_TRUNC
#: Flags of an open that may change a file.
MAY_CHANGE = CREATING | os.O_WRONLY | os.O_RDWR
_READ_BYTES = 1 << 20


def descriptor_of(target: Any) -> int:
    """The descriptor that a call means by a number or an object with `fileno`; -1 for neither."""
    if type(target) is int:
        return target
    try:
        return operator.index(target if hasattr(target, "__index__") else target.fileno())
    except (AttributeError, TypeError, ValueError):
        return -1  # the real call says what is wrong


def exact_bytes(data: Any, count: int) -> bytes:
    """The first `count` bytes of a buffer; the object itself where that is the same."""
    if type(data) is bytes and len(data) == count:
        return data
    return bytes(memoryview(data).cast("B")[:count])


def may_block(status: Status | None) -> bool:
    """FIFOs and terminals are opened without the lock; they are not recorded anyway."""
    return status is not None and kind_of(status.st_mode) is None


def attributes(path: Any, dir_fd: int | None, follow: bool) -> Status | None:
    try:
        status: Status = real.stat(path, dir_fd=dir_fd, follow_symlinks=follow)
    except (OSError, ValueError):
        return None
    return status


def look_before(path: Any, flags: int, dir_fd: int | None) -> tuple[str, Status | None]:
    """The path as text, and what is there before the call, symlinks followed; not asked with O_EXCL."""
    if not flags & MAY_CHANGE:
        return "", None
    try:
        text = text_of(path)
        if flags & os.O_EXCL or not real.access(path, os.F_OK, dir_fd=dir_fd):  # cheaper than an exception
            return text, None
        status: Status = real.stat(path, dir_fd=dir_fd)
    except (OSError, TypeError, ValueError):  # the real call will say so
        return "", None
    return text, status


def read_back(descriptor: int, offset: int, count: int) -> bytes:
    """What a call that takes its data from another descriptor has written."""
    own = real.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts: list[bytes] = []
        while count > 0 and (part := real.pread(own, min(count, _READ_BYTES), offset)):
            parts.append(part)
            offset += len(part)
            count -= len(part)
        return b"".join(parts)
    finally:
        real.close(own)
