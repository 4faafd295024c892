"""One recording in progress: every patched call comes here, does the real call and logs what it did.

All calls that may change a file run under one re-entrant lock, so that the order of the log is
the order of the effects, and the position of a write can be read from its descriptor afterwards
(`lseek` minus the bytes written; right for O_APPEND and for shared descriptors too). Calls on
pipes, sockets and terminals run without the lock, because they may block.

The log is kept lean on the hot path (`write`); see `log` for its format.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from harness.core.trace import Image, MarkerKind
from harness.record import kernel, log
from harness.record import originals as real
from harness.record.arguments import (
    MAY_CHANGE,
    attributes,
    descriptor_of,
    exact_bytes,
    look_before,
    may_block,
    read_back,
)
from harness.record.callsite import call_site
from harness.record.identity import (
    Identities,
    Status,
    full_path,
    key_of,
    path_of_descriptor,
    status_of,
    text_of,
)
from harness.record.log import Handle, Place, Record
from harness.record.scan import kind_of

_TEMPORARY = getattr(os, "O_TMPFILE", 0)
_APPEND_FLAG = getattr(os, "RWF_APPEND", 0)
_DURABLE_FLAGS = getattr(os, "RWF_DSYNC", 0) | getattr(os, "RWF_SYNC", 0)
_DUPLICATING = (fcntl.F_DUPFD, getattr(fcntl, "F_DUPFD_CLOEXEC", fcntl.F_DUPFD))
_FULL_SYNC = getattr(fcntl, "F_FULLFSYNC", None)
_HANDLE_LENGTH = 3

Subject = tuple[Any, int | None]  # a path as it was given, and its directory descriptor


_lseek = real.lseek  # the hot path saves what it can
_time_ns = real.time_ns
_fcntl = real.fcntl
_GET_FLAGS = fcntl.F_GETFL
_APPENDING = os.O_APPEND if sys.platform == "linux" else 0  # for positioned writes: BUGS in pwrite(2)
_WRITE = log.WRITE


class _Current(threading.local):
    """The number of a thread, in order of appearance, and the operation that it has begun."""

    state: tuple[int, int] | None = None

#: How long a sync in the background gives way to the operations that are running.
BACKGROUND_SYNC_DELAY_S = 0.005
_YIELD = time.sleep


class Session:
    """What is known while a recording runs."""

    def __init__(
        self,
        root: str,
        base: Image | None,
        before_sync: Callable[[], None] | None = None,
        lock: Any = None,
    ) -> None:
        self.ids = Identities(root, base)
        self.lock = real.RLock() if lock is None else lock
        self._acquire, self._release = self.lock.acquire, self.lock.release
        self.handles: dict[int, Handle] = {}
        self.log: list[Record] = []
        self.threads = 0
        self._current = _Current()
        self._running: list[int] = []
        self._latest = -1
        self._notify = before_sync

    # --- the log ---------------------------------------------------------------------------

    def _enter_thread(self) -> tuple[int, int]:
        state = self._current.state = (self.threads, -1)
        self.threads += 1
        return state

    def stamp(self, depth: int = 4) -> tuple[Any, int, int, int, int]:
        """Code, instruction, time, operation and thread of the call that is being made.

        The call site is at least `depth` frames up; looking closer than necessary only costs time.
        """
        thread, operation = self._current.state or self._enter_thread()
        code, instruction = call_site(depth)
        return code, instruction, _time_ns(), operation if operation >= 0 else self._latest, thread

    def note(self, call: str, text: str, number: int | None = None) -> None:
        """Log a call without effects, on the file `number` if that is given."""
        self.log.append((log.NOTE, call, *self.stamp(), text, number))

    def _attempt(self, call: str, subject: Any, do: Any, *arguments: Any, **keywords: Any) -> Any:
        """The real call. One that raises has no effects, but a reader wants to see it."""
        try:
            return do(*arguments, **keywords)
        except BaseException as error:
            self._failed(call, subject, error)
            raise

    def _failed(self, call: str, subject: Any, error: BaseException) -> None:
        """Log a call that raised, if it was about the recorded directory; `subject` is a handle or a path."""
        if len(subject) == _HANDLE_LENGTH:
            if subject[0] in self.ids.known:
                self.note(call, type(error).__name__, subject[0])
            return
        try:
            path = os.path.realpath(full_path(text_of(subject[0]), subject[1]))
        except (TypeError, ValueError, OSError):
            return
        if path.startswith(self.ids.root + os.sep):
            self.note(call, f"{path[len(self.ids.root) + 1 :]}: {type(error).__name__}")

    def mark(self, kind: MarkerKind, operation: int) -> None:
        """Log a moment of the client; calls of this thread belong to the operation that it has begun."""
        with self.lock:
            thread, _ = self._current.state or self._enter_thread()
            if kind is MarkerKind.BEGIN:
                self._running.append(operation)
                self._current.state = (thread, operation)
            elif kind in (MarkerKind.ACKNOWLEDGE, MarkerKind.FAIL):
                self._running = [running for running in self._running if running != operation]
                self._current.state = (thread, -1)
            self._latest = self._running[-1] if self._running else -1
            self.log.append((log.MARK, "mark", None, 0, real.time_ns(), operation, thread, kind))

    # --- descriptors -----------------------------------------------------------------------

    def describe(self, descriptor: int) -> Handle | None:
        """What a descriptor refers to, as far as it is recorded."""
        handle = self.handles.get(descriptor)
        if handle is None:
            try:
                handle = self.ids.describe_descriptor(descriptor)
            except OSError:  # closed, or never open: the real call will say so
                return None
            if handle is not None:  # others are not remembered: sockets are closed unseen
                self.handles[descriptor] = handle
        return handle

    def copied(self, old: int, new: int) -> None:
        """A descriptor now refers to what another does."""
        with self.lock:
            handle = self.handles.get(old)
            if handle is None:
                self.handles.pop(new, None)
            else:
                self.handles[new] = handle

    def close_range(self, low: int, high: int) -> None:
        """Descriptors from `low` to below `high` are about to be closed."""
        with self.lock:
            for descriptor in [known for known in self.handles if low <= known < high]:
                self.handles.pop(descriptor, None)

    def fcntl(self, target: Any, command: int, argument: Any) -> Any:
        """Duplicates a descriptor, or is macOS's full fsync; nothing else concerns the recorder."""
        descriptor = descriptor_of(target)
        if command in _DUPLICATING:
            new = real.fcntl(target, command, argument)
            self.copied(descriptor, new)
            return new
        if command == _FULL_SYNC:
            return self.sync_descriptor("fcntl.fcntl", True, real.fcntl, target, command, argument)
        return real.fcntl(target, command, argument)

    # --- data ------------------------------------------------------------------------------

    def write(self, call: str, descriptor: int, do: Any, target: Any, data: Any) -> Any:
        """`do(target, data)` writes to `descriptor`, at its position."""
        if self._notify is not None:
            self._before_durable_write(descriptor)
        self._acquire()  # as a `with` it would take twice as long
        try:
            handle = self.handles.get(descriptor) or self.describe(descriptor)
            if handle is not None:
                try:
                    count = do(target, data)
                except BaseException as error:
                    self._failed(call, handle, error)
                    raise
                number, durable, kept = handle
                if count and kept:  # `None` where a non-blocking descriptor took nothing
                    at = _lseek(descriptor, 0, 1) - count
                    if type(data) is memoryview and data.nbytes == count:
                        data = data.tobytes()
                    elif type(data) is not bytes or len(data) != count:
                        data = exact_bytes(data, count)
                    code, where = call_site(3)
                    thread, operation = self._current.state or self._enter_thread()
                    if operation < 0:
                        operation = self._latest
                    self.log.append(
                        (_WRITE, call, code, where, _time_ns(), operation, thread, number, at, data, durable)
                    )
                return count
        finally:
            self._release()
        return do(target, data)

    def pwrite(self, do: Any, descriptor: int, data: Any, offset: int) -> Any:
        """`write_vector` for the one call that databases make as often as `write`."""
        if self._notify is not None:
            self._before_durable_write(descriptor)
        self._acquire()
        try:
            handle = self.handles.get(descriptor) or self.describe(descriptor)
            if handle is not None:
                try:
                    count = do(descriptor, data, offset)
                except BaseException as error:
                    self._failed("os.pwrite", handle, error)
                    raise
                number, durable, kept = handle
                if count and kept:
                    if _fcntl(descriptor, _GET_FLAGS) & _APPENDING:  # Linux appends, whatever the offset says
                        offset = real.fstat(descriptor).st_size - count
                    data = exact_bytes(data, count)
                    self.log.append((_WRITE, "os.pwrite", *self.stamp(), number, offset, data, durable))
                return count
        finally:
            self._release()
        return do(descriptor, data, offset)

    def write_vector(self, call: str, do: Any, arguments: tuple[Any, ...]) -> Any:
        """writev or pwritev: `arguments` are those of the call, descriptor first."""
        descriptor = arguments[0]
        if self._notify is not None:
            self._before_durable_write(descriptor, arguments[3] if len(arguments) > 3 else 0)
        with self.lock:
            handle = self.describe(descriptor)
            if handle is not None:
                count = self._attempt(call, handle, do, *arguments)
                if count > 0 and handle[2]:
                    self._log_vector(call, handle, arguments, count)
                return count
        return do(*arguments)

    def _log_vector(self, call: str, handle: Handle, arguments: tuple[Any, ...], count: int) -> None:
        descriptor, data = arguments[:2]
        data = b"".join(bytes(memoryview(part).cast("B")) for part in data)
        at = arguments[2] if len(arguments) > 2 else -1
        flags = arguments[3] if len(arguments) > 3 else 0
        if at >= 0 and _appends(descriptor, flags):  # Linux appends, whatever the offset says
            at = real.fstat(descriptor).st_size - count
        elif at < 0:
            at = real.lseek(descriptor, 0, os.SEEK_CUR) - count
        durable = handle[1] or bool(flags & _DURABLE_FLAGS)
        self._log_write(call, handle[0], at, exact_bytes(data, count), durable)

    def _log_write(self, call: str, number: int, offset: int, data: bytes, durable: bool) -> None:
        self.log.append((log.WRITE, call, *self.stamp(), number, offset, data, durable))

    def copy(self, call: str, target: int, offset: int | None, do: Any, arguments: tuple[Any, ...]) -> Any:
        """sendfile, copy_file_range or splice into `target`; what was written is read back."""
        with self.lock:
            handle = self.describe(target)
            if handle is not None:
                count = self._attempt(call, handle, do, *arguments)
                if count and handle[2]:
                    at = real.lseek(target, 0, os.SEEK_CUR) - count if offset is None else offset
                    self._log_write(call, handle[0], at, read_back(target, at, count), handle[1])
                return count
        return do(*arguments)

    def resize(self, call: str, descriptor: int, do: Any, arguments: tuple[Any, ...]) -> Any:
        """ftruncate, posix_fallocate or a truncation of a file object; the size is read afterwards."""
        with self.lock:
            handle = self.describe(descriptor)
            if handle is None or not handle[2]:
                return do(*arguments)
            before = real.fstat(descriptor).st_size
            result = self._attempt(call, handle, do, *arguments)
            size = real.fstat(descriptor).st_size
            if size != before or call != "os.posix_fallocate":
                self.log.append((log.SIZE, call, *self.stamp(), handle[0], size))
            return result

    def truncate_path(self, path: Any, length: int) -> None:
        """os.truncate of a path."""
        with self.lock:
            self._attempt("os.truncate", (path, None), kernel.truncate, path, length)
            status = attributes(path, None, follow=True)
            if status is not None and stat.S_ISREG(status.st_mode):
                real_path = os.path.realpath(full_path(text_of(path), None))
                number = self.ids.meet(status, real_path, writing=True)
                self.log.append((log.SIZE, "os.truncate", *self.stamp(), number, status.st_size))

    # --- syncs -----------------------------------------------------------------------------

    def _before_sync(self) -> None:
        """Before a sync or a durable write, without the lock: a reader may need it."""
        if self._running and self._notify is not None:
            self._notify()

    def _before_durable_write(self, descriptor: int, flags: int = 0) -> None:
        handle = self.handles.get(descriptor)
        if handle is not None and (handle[1] or flags & _DURABLE_FLAGS):
            self._before_sync()

    def _let_others_go_first(self) -> None:
        """Before a sync by a thread that runs no operation itself, while another thread runs one.

        Who waits for such a sync goes on waiting; who does not, returns first. Both schedules are legal,
        and only this one shows an acknowledgement that came too early.
        """
        if self._running and (self._current.state is None or self._current.state[1] < 0):
            _YIELD(BACKGROUND_SYNC_DELAY_S)

    def sync_descriptor(self, call: str, entries: bool, do: Any, *arguments: Any) -> Any:
        """fsync or fdatasync. The lock is held, so that no write slips in before it is logged."""
        target = arguments[0]
        descriptor = target if type(target) is int else descriptor_of(target)
        self._before_sync()
        self._let_others_go_first()
        self._acquire()
        try:
            handle = self.handles.get(descriptor) or self.describe(descriptor)
            if handle is not None:
                try:
                    result = do(*arguments)
                except BaseException as error:
                    self.log.append((log.FAILED_SYNC, call, *self.stamp(), handle[0], type(error).__name__))
                    raise
                self.log.append((log.SYNC, call, *self.stamp(), handle[0], entries))
                return result
        finally:
            self._release()
        return do(*arguments)

    def sync_all(self) -> None:
        """os.sync."""
        self._before_sync()
        with self.lock:
            kernel.sync()
            self.log.append((log.SYNC_ALL, "os.sync", *self.stamp()))

    # --- opening ---------------------------------------------------------------------------

    def open_descriptor(self, path: Any, flags: int, mode: int, dir_fd: int | None) -> int:
        """os.open."""
        text, before = look_before(path, flags, dir_fd)
        if not flags & MAY_CHANGE or may_block(before):
            descriptor: int = kernel.open(path, flags, mode, dir_fd=dir_fd)
            self.handles.pop(descriptor, None)
            return descriptor
        with self.lock:
            descriptor = self._attempt("os.open", (path, dir_fd), kernel.open, path, flags, mode, dir_fd=dir_fd)
            self._opened("os.open", descriptor, text, flags, dir_fd, before)
            return descriptor

    def open_object(self, file: Any, flags: int, path: Any, *arguments: Any) -> None:
        """`FileIO(path, ...)` without an opener; `arguments` are the rest of its constructor's."""
        text, before = look_before(path, flags, None)
        if not flags & MAY_CHANGE or may_block(before):
            kernel.file_open(file, path, *arguments)
            self.handles.pop(file.fileno(), None)
            return
        with self.lock:
            self._attempt("open", (path, None), kernel.file_open, file, path, *arguments)
            self._opened("open", file.fileno(), text, flags, None, before)

    def _opened(
        self, call: str, descriptor: int, path: str, flags: int, dir_fd: int | None, before: Status | None
    ) -> None:
        """A file was opened for a change; `before` is what was there, where that was asked."""
        self.handles.pop(descriptor, None)
        if flags & os.O_CREAT and before is None and self._created(call, descriptor, path, flags, dir_fd):
            return
        status: Status = real.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return
        if _TEMPORARY and flags & _TEMPORARY == _TEMPORARY:
            parent, _ = self.ids.place(os.path.join(path, "_"), dir_fd)
            number = self._create(call, status, (parent, ""))
        else:
            number = self._met(descriptor, status)
            if flags & os.O_TRUNC:
                self.log.append((log.SIZE, call, *self.stamp(), number, 0))
        self.handles[descriptor] = self.ids.handle(number, status, flags)

    def _met(self, descriptor: int, status: Status) -> int:
        number = self.ids.number_of(status)
        if number is None or number not in self.ids.known:
            number = self.ids.meet(status, path_of_descriptor(descriptor), writing=True)
        return number

    def _created(self, call: str, descriptor: int, path: str, flags: int, dir_fd: int | None) -> bool:
        """A file that was not there before. False if there is none now that could have been created."""
        place = self.ids.place(path, dir_fd)
        status = status_of(path, dir_fd)
        if status is None or not stat.S_ISREG(status.st_mode):
            status = real.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return False
            # The path is a symlink that dangled, and the file was created where it points.
            place = self.ids.place(path_of_descriptor(descriptor), None)
        if place[0] is None:
            self.ids.note_outside(path_of_descriptor(descriptor))
        number = self._create(call, status, place, depth=7)
        self.handles[descriptor] = self.ids.handle(number, status, flags)
        return True

    def _create(self, call: str, status: Status, place: Place, target: str = "", depth: int = 5) -> int:
        number = self.ids.new(status)
        if place[0] is not None:
            self.ids.known.add(number)
        kind, mode = kind_of(status.st_mode), stat.S_IMODE(status.st_mode)
        self.log.append((log.CREATE, call, *self.stamp(depth), number, kind, mode, *place, target))
        return number

    # --- names -----------------------------------------------------------------------------

    def make(
        self, call: str, path: Any, dir_fd: int | None, do: Any, *arguments: Any, target: Any = ""
    ) -> None:
        """mkdir, mkfifo, mknod or symlink, of which `path` is the new name and `target` where it points."""
        with self.lock:
            self._attempt(call, (path, dir_fd), do, *arguments, dir_fd=dir_fd)
            status = status_of(path, dir_fd)
            if status is None:  # gone already
                return
            self.ids.paths_changed(status.st_mode)
            text = text_of(path)
            place = self.ids.place(text, dir_fd)
            if place[0] is None:
                if stat.S_ISREG(status.st_mode):
                    self.ids.note_outside(full_path(text, dir_fd))
                    self._create(call, status, place)
            elif kind_of(status.st_mode) is None:
                self.note(call, f"{place[1]} (no file, directory or symlink: not in the image)")
            else:
                self._create(call, status, place, text_of(target))

    def remove(self, call: str, path: Any, dir_fd: int | None, do: Any) -> None:
        """unlink, remove or rmdir."""
        with self.lock:
            status = status_of(path, dir_fd)
            place = None if status is None else self.ids.place(text_of(path), dir_fd)
            self._attempt(call, (path, dir_fd), do, path, dir_fd=dir_fd)
            if status is not None and place is not None:
                self.ids.paths_changed(status.st_mode)
                self._log_removal(call, place, status)
                self.ids.forget(status)

    def _log_removal(self, call: str, place: Place, status: Status) -> None:
        if place[0] is not None and kind_of(status.st_mode) is not None:
            number = self.ids.meet_inside(status, place[1])
            if number in self.ids.known:
                self.log.append((log.REMOVE, call, *self.stamp(), *place, number))

    def rename(
        self, call: str, do: Any, source: Any, target: Any, source_dir: int | None, target_dir: int | None
    ) -> None:
        """rename or replace."""
        with self.lock:
            moved, replaced = status_of(source, source_dir), status_of(target, target_dir)
            origin = None if moved is None else self.ids.place(text_of(source), source_dir)
            try:
                do(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir)
            except BaseException as error:
                self._failed(call, (target, target_dir), error)
                raise
            if moved is None or origin is None or (replaced and key_of(moved) == key_of(replaced)):
                return  # two names of one file: rename does nothing
            place = self.ids.place(text_of(target), target_dir)
            self.ids.paths_changed(moved.st_mode)
            if replaced is not None:
                self.ids.paths_changed(replaced.st_mode)
            if kind_of(moved.st_mode) is not None:
                self._log_move(call, origin, place, moved, replaced, (target, target_dir))
            elif replaced is not None:
                self._log_removal(call, place, replaced)
            if replaced is not None:
                self.ids.forget(replaced)

    def _log_move(
        self, call: str, origin: Place, place: Place, moved: Status, replaced: Status | None, target: Subject
    ) -> None:
        number = self.ids.number_of(moved)
        if number is None and origin[0] is not None:
            number = self.ids.meet_inside(moved, origin[1])
        if number not in self.ids.known:
            if place[0] is not None:
                self._arrive(call, number, place, target)
        elif place[0] is None:
            if origin[0] is not None:
                self.log.append((log.REMOVE, call, *self.stamp(), *origin, number))
        elif origin[0] is None:
            self.log.append((log.LINK, call, *self.stamp(), *place, number))
        else:
            old = None if replaced is None else self.ids.number_of(replaced)
            self.log.append((log.RENAME, call, *self.stamp(5), *origin, *place, number, old))

    def _arrive(self, call: str, number: int | None, place: Place, target: Subject) -> None:
        stamp = self.stamp()
        arrivals = self.ids.capture(number, full_path(text_of(target[0]), target[1]))
        self.log.append((log.ARRIVE, call, *stamp, *place, arrivals[0].number, arrivals))

    def link(self, source: Any, target: Any, target_dir: int | None, do: Any, **keywords: Any) -> None:
        """os.link. Which inode it was is read from the new name."""
        with self.lock:
            self._attempt("os.link", (target, target_dir), do, source, target, **keywords)
            status = status_of(target, target_dir)
            self.ids.paths_changed(0 if status is None else status.st_mode)
            place = self.ids.place(text_of(target), target_dir)
            if status is None or place[0] is None or kind_of(status.st_mode) is None:
                return
            number = self.ids.number_of(status)
            if number in self.ids.known:
                self.log.append((log.LINK, "os.link", *self.stamp(), *place, number))
            else:
                self._arrive("os.link", number, place, (target, target_dir))

    # --- attributes ------------------------------------------------------------------------

    def change_mode(self, call: str, do: Any, path: Any, mode: Any, where: dict[str, Any]) -> None:
        """chmod or fchmod; `where` holds `dir_fd` and `follow_symlinks`, if the call takes them."""
        dir_fd = where.get("dir_fd")
        with self.lock:
            self._attempt(call, (path, dir_fd), do, path, mode, **where)
            status = attributes(path, dir_fd, where.get("follow_symlinks", True))
            number = None if status is None else self.ids.number_of(status)
            if status is not None and number is not None:
                self.log.append((log.MODE, call, *self.stamp(), number, stat.S_IMODE(status.st_mode)))

    def change_times(self, path: Any, times: Any, keywords: dict[str, Any]) -> None:
        """utime; `keywords` are its other arguments."""
        dir_fd = keywords["dir_fd"]
        with self.lock:
            self._attempt("os.utime", (path, dir_fd), kernel.utime, path, times, **keywords)
            status = attributes(path, dir_fd, keywords["follow_symlinks"])
            number = None if status is None else self.ids.number_of(status)
            if status is not None and number is not None:
                self.log.append((log.TIMES, "os.utime", *self.stamp(), number, status.st_mtime_ns))


def _appends(descriptor: int, flags: int) -> bool:
    """True where a positioned write goes to the end (BUGS in pwrite(2); RWF_APPEND in pwritev2(2))."""
    return bool(flags & _APPEND_FLAG or _fcntl(descriptor, _GET_FLAGS) & _APPENDING)
