"""Descriptors of a worker: which are open in a directory, letting go of what a store forgot, and waiting for one."""

from __future__ import annotations

import gc
import os
import select
from collections.abc import Iterable
from typing import Any


def heard(descriptor: int, seconds: float) -> bool:
    """Whether there is something to read, or the end, within so many seconds."""
    return bool(which_heard((descriptor,), seconds))


def which_heard(descriptors: Iterable[int], seconds: float) -> set[int]:
    """Those with something to read, or at their end, as soon as there is one; none after so many seconds.

    By poll(2), because select(2) knows no descriptors above 1023, and a store that forgets to close leaves many.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(seconds * 1000)}


def descriptors(directory: Any) -> set[int]:
    """The open descriptors of this process that are files below `directory`, or itself."""
    root = os.path.realpath(directory)
    return {number for number in map(int, os.listdir("/proc/self/fd")) if _target(number).startswith(root)}


def _target(number: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""


def close_leaked(directory: Any, before: set[int]) -> None:
    """What a failed close or open left open: a client that starts anew has none of it, and its locks are gone."""
    if not descriptors(directory) - before:
        return
    gc.collect()
    for number in descriptors(directory) - before:
        os.close(number)
