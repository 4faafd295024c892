"""The one place that says whether a recording is in progress, and the patched `os` functions.

A patched function is a bound method of the one `Tap`. Like the built-in function that it replaces,
and unlike a plain Python function, a bound method that is stored in a class stays as it is:
`class Store: _sync = os.fsync` goes on working. While nothing is recorded each of them just calls
the original.
"""

from __future__ import annotations

from typing import Any

from harness.record import kernel
from harness.record import originals as real
from harness.record.arguments import descriptor_of
from harness.record.session import Session

_UNSET: Any = object()


class Tap:
    """Patched calls. The signatures are those of `os`; see there."""

    session: Session | None = None

    def __reduce__(self) -> str:
        return "TAP"  # so that a pickled reference to os.fsync comes back as what os.fsync is then

    # --- data ------------------------------------------------------------------------------

    def write(self, fd: Any, data: Any, /) -> Any:
        session = self.session
        if session is None:
            return kernel.write(fd, data)
        return session.write("os.write", fd, kernel.write, fd, data)

    def writev(self, fd: Any, buffers: Any, /) -> Any:
        session = self.session
        if session is None:
            return kernel.writev(fd, buffers)
        return session.write_vector("os.writev", kernel.writev, (fd, buffers))

    def pwrite(self, fd: Any, buffer: Any, offset: Any, /) -> Any:
        session = self.session
        if session is None:
            return kernel.pwrite(fd, buffer, offset)
        return session.pwrite(kernel.pwrite, fd, buffer, offset)

    def pwritev(self, fd: Any, buffers: Any, offset: Any, flags: Any = 0, /) -> Any:
        session = self.session
        if session is None:
            return kernel.pwritev(fd, buffers, offset, flags)
        return session.write_vector("os.pwritev", kernel.pwritev, (fd, buffers, offset, flags))

    def sendfile(self, out_fd: Any, in_fd: Any, offset: Any, count: Any, *more: Any, **others: Any) -> Any:
        session = self.session
        if session is None or more or others:  # headers, trailers, flags: macOS and BSD, to sockets only
            return kernel.sendfile(out_fd, in_fd, offset, count, *more, **others)
        arguments = (out_fd, in_fd, offset, count)
        return session.copy("os.sendfile", descriptor_of(out_fd), None, kernel.sendfile, arguments)

    def copy_file_range(
        self, src: Any, dst: Any, count: Any, offset_src: Any = None, offset_dst: Any = None
    ) -> Any:
        session = self.session
        arguments = (src, dst, count, offset_src, offset_dst)
        if session is None:
            return kernel.copy_file_range(*arguments)
        return session.copy("os.copy_file_range", dst, offset_dst, kernel.copy_file_range, arguments)

    def splice(
        self, src: Any, dst: Any, count: Any, offset_src: Any = None, offset_dst: Any = None, flags: Any = 0
    ) -> Any:
        session = self.session
        arguments = (src, dst, count, offset_src, offset_dst, flags)
        if session is None:
            return kernel.splice(*arguments)
        return session.copy("os.splice", dst, offset_dst, kernel.splice, arguments)

    def truncate(self, path: Any, length: Any) -> None:
        session = self.session
        if session is None:
            kernel.truncate(path, length)
        elif isinstance(path, int):
            session.resize("os.truncate", path, kernel.truncate, (path, length))
        else:
            session.truncate_path(path, length)

    def ftruncate(self, fd: Any, length: Any, /) -> None:
        session = self.session
        if session is None:
            kernel.ftruncate(fd, length)
        else:
            session.resize("os.ftruncate", fd, kernel.ftruncate, (fd, length))

    def posix_fallocate(self, fd: Any, offset: Any, length: Any, /) -> None:
        session = self.session
        if session is None:
            kernel.posix_fallocate(fd, offset, length)
        else:
            session.resize("os.posix_fallocate", fd, kernel.posix_fallocate, (fd, offset, length))

    # --- syncs -----------------------------------------------------------------------------

    def fsync(self, fd: Any) -> None:
        session = self.session
        if session is None:
            kernel.fsync(fd)
        else:
            session.sync_descriptor("os.fsync", True, kernel.fsync, fd)

    def fdatasync(self, fd: Any) -> None:
        session = self.session
        if session is None:
            kernel.fdatasync(fd)
        else:
            session.sync_descriptor("os.fdatasync", False, kernel.fdatasync, fd)

    def sync(self) -> None:
        session = self.session
        if session is None:
            kernel.sync()
        else:
            session.sync_all()

    # --- descriptors -----------------------------------------------------------------------

    def open(self, path: Any, flags: Any, mode: Any = 0o777, *, dir_fd: Any = None) -> Any:
        session = self.session
        if session is None:
            return kernel.open(path, flags, mode, dir_fd=dir_fd)
        return session.open_descriptor(path, flags, mode, dir_fd)

    def close(self, fd: Any) -> None:
        session = self.session
        if session is not None:
            session.handles.pop(fd, None)  # before the call: another thread may get the number right after
        kernel.close(fd)

    def closerange(self, fd_low: Any, fd_high: Any, /) -> None:
        session = self.session
        if session is not None:
            session.close_range(fd_low, fd_high)
        real.closerange(fd_low, fd_high)

    def dup(self, fd: Any, /) -> Any:
        session = self.session
        new = real.dup(fd)
        if session is not None:
            session.copied(fd, new)
        return new

    def dup2(self, fd: Any, fd2: Any, inheritable: Any = True) -> Any:
        session = self.session
        new = real.dup2(fd, fd2, inheritable)
        if session is not None:
            session.copied(fd, new)
        return new

    # --- names -----------------------------------------------------------------------------

    def rename(self, src: Any, dst: Any, *, src_dir_fd: Any = None, dst_dir_fd: Any = None) -> None:
        session = self.session
        if session is None:
            kernel.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        else:
            session.rename("os.rename", kernel.rename, src, dst, src_dir_fd, dst_dir_fd)

    def replace(self, src: Any, dst: Any, *, src_dir_fd: Any = None, dst_dir_fd: Any = None) -> None:
        session = self.session
        if session is None:
            kernel.replace(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        else:
            session.rename("os.replace", kernel.replace, src, dst, src_dir_fd, dst_dir_fd)

    def link(
        self,
        src: Any,
        dst: Any,
        *,
        src_dir_fd: Any = None,
        dst_dir_fd: Any = None,
        follow_symlinks: Any = _UNSET,
    ) -> None:
        session = self.session
        keywords: dict[str, Any] = {"src_dir_fd": src_dir_fd, "dst_dir_fd": dst_dir_fd}
        if follow_symlinks is not _UNSET:
            keywords["follow_symlinks"] = follow_symlinks
        if session is None:
            kernel.link(src, dst, **keywords)
        else:
            session.link(src, dst, dst_dir_fd, kernel.link, **keywords)

    def symlink(self, src: Any, dst: Any, target_is_directory: Any = False, *, dir_fd: Any = None) -> None:
        session = self.session
        arguments = (src, dst, target_is_directory)
        if session is None:
            kernel.symlink(*arguments, dir_fd=dir_fd)
        else:
            session.make("os.symlink", dst, dir_fd, kernel.symlink, *arguments, target=src)

    def unlink(self, path: Any, *, dir_fd: Any = None) -> None:
        session = self.session
        if session is None:
            kernel.unlink(path, dir_fd=dir_fd)
        else:
            session.remove("os.unlink", path, dir_fd, kernel.unlink)

    def remove(self, path: Any, *, dir_fd: Any = None) -> None:
        session = self.session
        if session is None:
            kernel.remove(path, dir_fd=dir_fd)
        else:
            session.remove("os.remove", path, dir_fd, kernel.remove)

    def rmdir(self, path: Any, *, dir_fd: Any = None) -> None:
        session = self.session
        if session is None:
            kernel.rmdir(path, dir_fd=dir_fd)
        else:
            session.remove("os.rmdir", path, dir_fd, kernel.rmdir)

    def mkdir(self, path: Any, mode: Any = 0o777, *, dir_fd: Any = None) -> None:
        session = self.session
        if session is None:
            kernel.mkdir(path, mode, dir_fd=dir_fd)
        else:
            session.make("os.mkdir", path, dir_fd, kernel.mkdir, path, mode)

    def mkfifo(self, path: Any, mode: Any = 0o666, *, dir_fd: Any = None) -> None:
        session = self.session
        if session is None:
            real.mkfifo(path, mode, dir_fd=dir_fd)
        else:
            session.make("os.mkfifo", path, dir_fd, real.mkfifo, path, mode)

    def mknod(self, path: Any, mode: Any = 0o600, device: Any = 0, *, dir_fd: Any = None) -> None:
        session = self.session
        if session is None:
            real.mknod(path, mode, device, dir_fd=dir_fd)
        else:
            session.make("os.mknod", path, dir_fd, real.mknod, path, mode, device)

    # --- attributes ------------------------------------------------------------------------

    def chmod(self, path: Any, mode: Any, *, dir_fd: Any = None, follow_symlinks: Any = True) -> None:
        session = self.session
        where = {"dir_fd": dir_fd, "follow_symlinks": follow_symlinks}
        if session is None:
            kernel.chmod(path, mode, **where)
        else:
            session.change_mode("os.chmod", kernel.chmod, path, mode, where)

    def fchmod(self, fd: Any, mode: Any) -> None:
        session = self.session
        if session is None:
            kernel.fchmod(fd, mode)
        else:
            session.change_mode("os.fchmod", kernel.fchmod, fd, mode, {})

    def utime(
        self,
        path: Any,
        times: Any = None,
        *,
        ns: Any = _UNSET,
        dir_fd: Any = None,
        follow_symlinks: Any = True,
    ) -> None:
        session = self.session
        keywords = {"dir_fd": dir_fd, "follow_symlinks": follow_symlinks}
        if ns is not _UNSET:
            keywords["ns"] = ns
        if session is None:
            kernel.utime(path, times, **keywords)
        else:
            session.change_times(path, times, keywords)

    def fcntl(self, fd: Any, cmd: Any, arg: Any = 0, /) -> Any:
        session = self.session
        if session is None:
            return real.fcntl(fd, cmd, arg)
        return session.fcntl(fd, cmd, arg)


TAP = Tap()
OS_CALLS = (
    *("write", "writev", "pwrite", "pwritev", "sendfile", "copy_file_range", "splice"),
    *("truncate", "ftruncate", "posix_fallocate", "fsync", "fdatasync", "sync"),
    *("open", "close", "closerange", "dup", "dup2"),
    *("rename", "replace", "link", "symlink", "unlink", "remove", "rmdir", "mkdir", "mkfifo", "mknod"),
    *("chmod", "fchmod", "utime"),
)


def patched_os_calls() -> dict[str, tuple[Any, Any]]:
    """Name -> (original, patched) for the calls of this platform; the texts are the original's."""
    present = (name for name in OS_CALLS if getattr(real, name) is not None)
    return {name: disguise(getattr(real, name), TAP, name) for name in present}


def patched_fcntl() -> tuple[Any, Any]:
    """The original and the patched `fcntl.fcntl`."""
    return disguise(real.fcntl, TAP, "fcntl")


def disguise(original: Any, holder: Any, name: str) -> tuple[Any, Any]:
    """`original`, and the method `name` of `holder` with its names and its text."""
    function = getattr(type(holder), name)
    function.__module__ = original.__module__
    function.__qualname__ = original.__qualname__
    function.__doc__ = original.__doc__
    return original, getattr(holder, name)
