"""What a child has to forget after a fork: locks that threads of its parent hold, and files that both would share."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forgets(Protocol):
    """Something that a fork must not inherit as it is."""

    def forget(self) -> None:
        """Called in the child, once, before anything else runs."""


_living: weakref.WeakSet[Forgets] = weakref.WeakSet()


def remember_to_forget(it: Forgets) -> None:
    """From now on each child forgets it."""
    _living.add(it)


def _forget_in_child() -> None:
    for it in list(_living):
        it.forget()


os.register_at_fork(after_in_child=_forget_in_child)
