"""What the interpreter's audit events tell about I/O that patched calls cannot see.

One audit hook for the process. It can't be removed (PEP 578), and it costs: every look at a frame
(`sys._getframe`, `f_code`) is audited too, and so becomes three times slower. So it is added only
when one of the modules is imported that it is for: ctypes, mmap, sqlite3.

Symbols looked up and databases opened count from `install` on, because a store does it while it is
imported; children and mappings count while a recording runs.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any
from urllib.parse import unquote

from harness.core.trace import Blindness, CallSite, Unseen
from harness.record import originals as real
from harness.record.callsite import STORE_FILES, caller, in_standard_library, store_frame
from harness.record.native import SYNC_NAMES
from harness.record.tap import TAP

NOT_RECORDED = "only Python's own file functions, in the process of the store, are recorded; real kills do without"
NO_PAGES = "what is written through a mapping is not recorded; real kills do without"
NOBODY_SEES = "no recorder tells crash states of them; real kills keep them"

_WRITING_NAMES = frozenset(
    (
        *("write", "pwrite", "pwrite64", "writev", "pwritev", "pwritev2", "fwrite", "fputs", "fflush"),
        *("open", "open64", "openat", "creat", "fopen", "fopen64", "fdopen", "truncate", "ftruncate"),
        *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat"),
        *("remove", "mkdir", "mkdirat", "rmdir", "fallocate", "posix_fallocate", "mmap", "mmap64"),
        *("sendfile", "copy_file_range", "splice", "syscall"),
        *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
    )
)
_SHARED_FOR_WRITING = (0, 2)  # ACCESS_DEFAULT, ACCESS_WRITE of mmap
_WATCHED_MODULES = frozenset(("_ctypes", "_sqlite3", "mmap"))


class Witness:
    """Facts from audit events, each once, in order of appearance."""

    def __init__(self) -> None:
        self.active = False
        self.lookups: dict[tuple[Blindness, str], None] = {}
        self.databases: dict[str, None] = {}
        self.incidents: dict[tuple[Blindness, str], None] = {}

    def clear(self) -> None:
        """Forget everything, as before the first `install`."""
        self.lookups.clear()
        self.databases.clear()
        self.incidents.clear()


WITNESS = Witness()


class ImportWatch:
    """A finder that finds nothing: it adds the audit hook just before a module needs it."""

    hooked = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """See `importlib.abc.MetaPathFinder`."""
        if name in _WATCHED_MODULES:
            self.hook_once()

    def hook_once(self) -> None:
        """Add the hook, the first time only."""
        if not self.hooked:
            self.hooked = True
            sys.addaudithook(hook)

    def begin(self) -> None:
        """Watch from now on; modules that are there already count."""
        WITNESS.active = True
        if not _WATCHED_MODULES.isdisjoint(sys.modules):
            self.hook_once()
        sys.meta_path.insert(0, self)

    def end(self) -> None:
        """Watch no more, and forget what was seen."""
        WITNESS.active = False
        WITNESS.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)


IMPORT_WATCH = ImportWatch()


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook. It is called for every audited action of the process, so it decides at once."""
    if event in _HANDLERS and WITNESS.active:
        try:
            _HANDLERS[event](event, arguments)
        except Exception:  # an exception here would make the audited call fail
            WITNESS.incidents[(Blindness.FOREIGN_IO, f"{event} could not be judged")] = None


def _on_symbol(event: str, arguments: tuple[Any, ...]) -> None:
    name = arguments[1]
    if isinstance(name, bytes):
        name = name.decode(errors="replace")
    if name in SYNC_NAMES:
        _note_lookup(Blindness.HIDDEN_SYNC, name)
    elif name in _WRITING_NAMES:
        _note_lookup(Blindness.FOREIGN_IO, name)


def _note_lookup(what: Blindness, name: str) -> None:
    frame = caller(2)
    while frame is not None and _is_ctypes(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is not None and STORE_FILES[frame.f_code.co_filename]:
        WITNESS.lookups[(what, f"ctypes: the C function {name} was looked up by {site_text(frame)}")] = None


def _is_ctypes(path: str) -> bool:
    return in_standard_library(path) and os.path.basename(os.path.dirname(path)) == "ctypes"


def _on_database(event: str, arguments: tuple[Any, ...]) -> None:
    path = os.fsdecode(arguments[0])
    if path.startswith("file:"):
        path, _, options = path.removeprefix("file:").partition("?")
        if "mode=memory" in options.split("&"):
            return
        path = unquote(path)
        if path.startswith("//"):
            path = path[path.find("/", 2) :]
    if path not in ("", ":memory:"):
        WITNESS.databases[os.path.realpath(path)] = None


def _on_mapping(event: str, arguments: tuple[Any, ...]) -> None:
    session = TAP.session
    descriptor, _, access, _ = arguments
    if session is None or descriptor < 0 or access not in _SHARED_FOR_WRITING:
        return
    if real.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        return  # a shared mapping of it cannot be written (EACCES in mmap(2))
    number = session.ids.number_of(real.fstat(descriptor))
    if number in session.ids.known:
        site = site_text(store_frame(sys._getframe(1)))
        WITNESS.incidents[(Blindness.WRITABLE_MAPPING, f"a file was mapped for writing at {site}")] = None


def site_text(frame: FrameType | None) -> str:
    """A call site for the middle of a sentence."""
    if frame is None:
        return "an unknown place"
    code = frame.f_code
    return str(CallSite(os.path.basename(code.co_filename), frame.f_lineno, code.co_qualname))


_HANDLERS: dict[str, Callable[[str, tuple[Any, ...]], None]] = {
    "ctypes.dlsym": _on_symbol,
    "ctypes.dlsym/handle": _on_symbol,
    "sqlite3.connect": _on_database,
    "mmap.__new__": _on_mapping,
}

_REMEDIES = {
    Blindness.CHILD_PROCESS: NOT_RECORDED,
    Blindness.WRITABLE_MAPPING: NO_PAGES,
    Blindness.EXTENDED_ATTRIBUTES: NOBODY_SEES,
    Blindness.FOREIGN_IO: NOT_RECORDED,
    Blindness.HIDDEN_SYNC: NOT_RECORDED,
}


def testimony(root: str) -> list[Unseen]:
    """What was witnessed about the directory with the real path `root`."""
    facts = [*WITNESS.lookups, *WITNESS.incidents]
    found = [Unseen(what, detail, _REMEDIES[what]) for what, detail in facts]
    for path in databases_inside(root):
        detail = f"sqlite3 has the database {os.path.relpath(path, root)} open"
        found.append(Unseen(Blindness.FOREIGN_IO, detail, NOT_RECORDED))
    return found


def databases_inside(root: str) -> list[str]:
    """The databases that were opened with sqlite3 below `root`."""
    return [path for path in WITNESS.databases if path.startswith(root + os.sep)]


def databases_outside(root: str) -> list[str]:
    """The databases that were opened with sqlite3 elsewhere."""
    return [path for path in WITNESS.databases if not path.startswith(root + os.sep)]
