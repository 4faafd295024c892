"""Extended attributes (xattr(7)): a trace does not tell of them, so a store that sets any is noticed.

An image holds those of files, by which a directory can be copied. Names outside of "user." and "trusted." are set by
the system, or say who may use a file: a copy by `shutil.copy2` takes them along, and they are no data.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from harness.core.trace import Blindness
from harness.record import originals as real
from harness.record.audit import WITNESS, site_text
from harness.record.callsite import caller, store_frame
from harness.record.tap import TAP, disguise

# Kept as names of this module: `rebind` leaves the namespaces of this package alone, but not other dictionaries.
_setxattr: Any = getattr(os, "setxattr", None)
_removexattr: Any = getattr(os, "removexattr", None)
_NAMES = ("setxattr", "removexattr")
_DATA = ("user.", "trusted.")


class Attributes:
    """Bound methods that do the call and note it; see `Tap` for why they are methods."""

    def setxattr(self, path: Any, attribute: Any, value: Any, flags: Any = 0, *, follow_symlinks: Any = True) -> None:
        _setxattr(path, attribute, value, flags, follow_symlinks=follow_symlinks)
        _note("os.setxattr", path, attribute, follow_symlinks)

    def removexattr(self, path: Any, attribute: Any, *, follow_symlinks: Any = True) -> None:
        _removexattr(path, attribute, follow_symlinks=follow_symlinks)
        _note("os.removexattr", path, attribute, follow_symlinks)


_ATTRIBUTES = Attributes()


def patched_attributes() -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    """Name -> (original, patched), for the functions of `os` that this platform has."""
    present = (name for name in _NAMES if globals()[f"_{name}"] is not None)
    return {name: disguise(globals()[f"_{name}"], _ATTRIBUTES, name) for name in present}


def _note(what: str, path: Any, attribute: Any, follow_symlinks: bool) -> None:
    session = TAP.session
    if session is None or not os.fsdecode(attribute).startswith(_DATA):
        return
    try:
        status = real.stat(path) if isinstance(path, int) else real.stat(path, follow_symlinks=follow_symlinks)
    except OSError:  # gone already
        return
    if session.ids.number_of(status) in session.ids.known:
        detail = f"{what} was called at {site_text(store_frame(caller(2)))}"
        WITNESS.incidents[(Blindness.EXTENDED_ATTRIBUTES, detail)] = None
