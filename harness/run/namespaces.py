"""A private file system over a directory, so that several workers can use one path at the same time.

A recovered store should find its files where the recorded one left them. A worker therefore enters a mount
namespace of its own (unshare(2)) and mounts a tmpfs over the path: nobody else sees what is in it, and it
is gone with the worker. Without privileges that takes a user namespace (user_namespaces(7)), which many
machines refuse: Docker by seccomp, Ubuntu 24.04 by AppArmor, others by sysctl.

Pitfalls, and what is done about them:

- A refusal can come half-way, after unshare(2) and before the ids are mapped, and leaves a process
  without a name (uid 65534). So all is rehearsed in a forked child first.
- unshare(CLONE_NEWUSER) fails in a process with several threads: enter before any is started.
- Who creates a user namespace has every capability in it, among them CAP_DAC_OVERRIDE: a store could read
  what it may not. So the capabilities are set back to those that the process had.
- setgroups(2) must be given up before a group can be mapped.
- Supplementary groups stay, and show as unmapped.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.run.containment import CAN_FORK, fresh_interpreter

PAGE_BYTES = 4096
#: A file system up to this size is there to be filled, so it has few inodes too.
SMALL_BYTES = 16 * 2**20
SMALL_INODES = 256

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_NOSUID = 2
_MS_NODEV = 4
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18
_CAP_SYS_ADMIN = 21
_CAPABILITY_VERSION_3 = 0x20080522
_PROBE_LIMIT_S = 30.0

_libc = ctypes.CDLL(None, use_errno=True)


def enter_private_mount(path: Path, size_bytes: int) -> bool:
    """Mount an empty tmpfs of `size_bytes` over the directory `path`, for this process and its children only.

    For a process with one thread. `False`, and nothing has changed, where the machine refuses.
    A working directory below `path` stays on the file system that was there before.
    """
    return _rehearse(path, size_bytes) is None and _enter(path, size_bytes) is None


def refusal(path: Path, size_bytes: int) -> str | None:
    """Why `enter_private_mount` would return `False`; `None` if it would not. Changes nothing."""
    return _rehearse(path, size_bytes)


def probe() -> str | None:
    """Why this machine refuses private mounts; `None` if it allows them. Tried in a process of its own."""
    code = "from harness.run.namespaces import report; report()"
    ended = subprocess.run(
        fresh_interpreter(code), capture_output=True, text=True, timeout=_PROBE_LIMIT_S, check=False
    )
    if ended.returncode:
        return f"the probe ended with status {ended.returncode}: {ended.stderr.strip()[-200:]}"
    return ended.stdout.strip() or None


def report() -> None:
    """What `probe` runs in its child: print the refusal, or nothing."""
    with tempfile.TemporaryDirectory() as directory:
        sys.stdout.write(refusal(Path(directory), 16 * PAGE_BYTES) or "")


def _rehearse(path: Path, size_bytes: int) -> str | None:
    """`_enter` in a forked child; its answer comes back through a pipe."""
    if not hasattr(_libc, "unshare"):
        return "this system has no unshare(2)"
    if not CAN_FORK:
        return "this system has no fork(2) to rehearse it in"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer_and_exit(writer, path, size_bytes)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return answer or (f"the rehearsal ended with status {status}" if status else None)


def _answer_and_exit(writer: int, path: Path, size_bytes: int) -> None:
    try:
        answer = _enter(path, size_bytes) or ""
    except Exception as error:
        answer = repr(error)
    os.write(writer, answer.encode())
    os._exit(0)


def _enter(path: Path, size_bytes: int) -> str | None:
    """Do it; the step that failed, with its reason, or `None`."""
    before = _capabilities()
    if before[0] >> _CAP_SYS_ADMIN & 1 and _call("unshare", _CLONE_NEWNS) is None:
        return _mount(path, size_bytes)
    user, group = os.geteuid(), os.getegid()
    return (
        _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
        or _write("/proc/self/setgroups", "deny")
        or _write("/proc/self/uid_map", f"{user} {user} 1")
        or _write("/proc/self/gid_map", f"{group} {group} 1")
        or _mount(path, size_bytes)
        or set_capabilities(*before)
    )


def _mount(path: Path, size_bytes: int) -> str | None:
    inodes = f",nr_inodes={SMALL_INODES}" if size_bytes <= SMALL_BYTES else ""
    options = f"size={max(size_bytes, PAGE_BYTES)}{inodes},mode=0700".encode()  # size=0 would be no limit
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV)
    return _call("mount", b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None) or _call(
        "mount", b"tmpfs", os.fsencode(path), b"tmpfs", flags, options
    )


def _write(path: str, content: str) -> str | None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, content.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None


def _call(name: str, *arguments: object) -> str | None:
    """Call a function of the C library; `None`, or why it failed."""
    if getattr(_libc, name)(*arguments) == 0:
        return None
    number = ctypes.get_errno()
    return f"{name}: {os.strerror(number)} ({errno.errorcode.get(number, number)})"


# --- capabilities(7) ------------------------------------------------------------------------


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


def _capabilities() -> tuple[int, int]:
    """The effective and the permitted capabilities of this process, as bit sets."""
    sets = (_Sets * 2)()
    _call("capget", ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), ctypes.byref(sets))
    return sets[0].effective | sets[1].effective << 32, sets[0].permitted | sets[1].permitted << 32


def set_capabilities(effective: int, permitted: int) -> str | None:
    """Reduce the capabilities of this process to these bit sets, for good; `None`, or why it failed."""
    low = 0xFFFFFFFF
    first = _Sets(effective & low, permitted & low, 0)
    sets = (_Sets * 2)(first, _Sets(effective >> 32, permitted >> 32, 0))
    return _call("capset", ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), ctypes.byref(sets))
