"""Puts the patches in, finds references that were made before, and takes everything out again."""

from __future__ import annotations

import builtins
import fcntl
import io
import os
import sys
import tempfile
from dataclasses import dataclass, field
from typing import Any

from harness.record import attributes, audit, children, files, reads, tap
from harness.record.references import Rebinding, describe

_SUPPORT_SETS = ("supports_dir_fd", "supports_fd", "supports_follow_symlinks", "supports_effective_ids")


@dataclass(slots=True)
class _Installation:
    """What is patched in this process. `hooked`: what can't be undone was done already."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list)
    hooked: bool = False
    left: list[str] = field(default_factory=list)
    modules_seen: int = 0


_INSTALLED = _Installation()


def install(*, reading: bool = False) -> None:
    """Patch Python's file functions in this process, once; call it before the store is imported.

    While nothing is recorded and no gate is engaged (`kernel`), a patched function just calls the original. With
    `reading` also the functions that only read or look.
    """
    if _INSTALLED.pairs:
        return
    tempfile.gettempdir()  # its first call writes a test file, which is not the store's
    pairs = _pairs()
    looking = reads.patched_reads() if reading else {}
    _hook_process()
    _INSTALLED.pairs = [*pairs.values(), *looking.values()]
    _extend_support_sets(_INSTALLED.pairs)
    _assign(pairs)
    if reading:
        reads.assign(looking)
    audit.IMPORT_WATCH.begin()
    rebind()


def uninstall() -> None:
    """Put the originals back, everywhere. For tests: one process can then go on without the patches."""
    tap.TAP.session = None
    audit.IMPORT_WATCH.end()
    files.unroute_reads()
    back = [(patched, original) for original, patched in _INSTALLED.pairs]
    _INSTALLED.pairs, _INSTALLED.left, _INSTALLED.modules_seen = [], [], 0
    for patched, _ in back:
        for name in _SUPPORT_SETS:
            if patched in getattr(os, name):
                getattr(os, name).discard(patched)
    if back:
        Rebinding(back).run()


def has_new_modules() -> bool:
    """Whether modules were imported since `rebind` has last looked for references."""
    return len(sys.modules) != _INSTALLED.modules_seen


def rebind() -> list[str]:
    """Replace references that were made before `install` (`from os import fsync`).

    Returns in words what still refers to an original and belongs to a store. Nothing is searched
    while no module was imported since the last time: new references are to the patched functions.
    """
    if _INSTALLED.pairs and has_new_modules():
        rebinding = Rebinding(_INSTALLED.pairs)
        rebinding.run()
        originals = tuple(original for original, _ in _INSTALLED.pairs)
        found = (describe(holder, originals) for holder in rebinding.left)
        _INSTALLED.left = sorted({text for text in found if text is not None})
        _INSTALLED.modules_seen = len(sys.modules)
    return list(_INSTALLED.left)


def _pairs() -> dict[str, tuple[Any, Any]]:
    return {
        **tap.patched_os_calls(),
        **children.patched_children(),
        **attributes.patched_attributes(),
        "fork_exec": children.patched_fork_exec(),
        "fcntl": tap.patched_fcntl(),
        "io.open": files.patched_open(),
        "FileIO": files.patched_file_io(),
    }


def _assign(pairs: dict[str, tuple[Any, Any]]) -> None:
    """The modules that define the names. Everything else is found by its reference."""
    system = sys.modules[os.open.__module__]
    for name in (*tap.patched_os_calls(), *children.patched_children(), *attributes.patched_attributes()):
        for module in (os, system):
            setattr(module, name, pairs[name][1])
    sys.modules["_posixsubprocess"].fork_exec = pairs["fork_exec"][1]  # type: ignore[attr-defined]
    fcntl.fcntl = pairs["fcntl"][1]
    for module in (builtins, io, sys.modules["_io"]):
        setattr(module, "open", pairs["io.open"][1])  # noqa: B010 - mypy knows that it is no plain attribute
    for module in (io, sys.modules["_io"]):
        setattr(module, "FileIO", pairs["FileIO"][1])  # noqa: B010


def _extend_support_sets(pairs: list[tuple[Any, Any]]) -> None:
    """`os.open in os.supports_dir_fd` and the like go on answering as before."""
    for name in _SUPPORT_SETS:
        supported = getattr(os, name)
        supported.update(patched for original, patched in pairs if original in supported)


def _hook_process() -> None:
    if not _INSTALLED.hooked and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_session)
        _INSTALLED.hooked = True


def _forget_session() -> None:
    """A forked child does not record: its log would be lost, and its descriptors are its own."""
    tap.TAP.session = None
