"""Finds references to functions in a running program and rebinds them.

`from os import fsync`, done before the patch, leaves the original in a module. The garbage
collector knows who refers to an object (`gc.get_referrers`), so names in modules, classes,
instances, closures, default arguments, lists and sets can be rebound. What cannot be changed in
place (tuples, `functools.partial`, other objects made in C) is reported if the store owns it.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterable, Iterator
from types import (
    BuiltinFunctionType,
    CellType,
    FrameType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from harness.record import originals as real
from harness.record.callsite import is_store_file

_OWNER_DEPTH = 4
_MOST_REPORTED = 20
# On a stack, or related to the object without using it. (Since 3.12 a file refers to its class.)
_PASSING = (
    FrameType,
    BuiltinFunctionType,
    MethodType,
    MethodDescriptorType,
    WrapperDescriptorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    real.FileIO,
)


@contextlib.contextmanager
def _nothing_frozen() -> Iterator[None]:
    """The collector does not tell who refers to an object where that is frozen (`gc.freeze`)."""
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    try:
        yield
    finally:
        if frozen:
            gc.freeze()


class Rebinding:
    """One replacement of objects by others, everywhere that it can be done.

    `left` holds, after `run`, the containers that still refer to an old object.
    """

    def __init__(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        pairs = list(pairs)
        self._old = tuple(old for old, _ in pairs)
        self._new = {id(old): new for old, new in pairs}
        self._own = {id(self._old), id(pairs), *map(id, pairs)}
        self.left: list[Any] = []

    def run(self) -> None:
        """Replace; the originals that this package keeps stay as they are."""
        with _nothing_frozen():
            unsettled = [
                holder
                for holder in gc.get_referrers(*self._old)
                if id(holder) not in self._own and not self._rebind(holder)
            ]
            if unsettled:
                self._rebind_owned(unsettled)

    def _rebind(self, holder: Any) -> bool:
        """Replace in a holder that can be changed in place. False: its owner has to be asked."""
        if isinstance(holder, dict):
            return self._rebind_dict(holder)
        if isinstance(holder, CellType):
            holder.cell_contents = self._new[id(holder.cell_contents)]
        elif isinstance(holder, list):
            holder[:] = [self._new.get(id(item), item) for item in holder]
        elif isinstance(holder, set):
            for item in [item for item in holder if id(item) in self._new]:
                holder.add(self._new[id(item)])  # the old one stays: a set asks "is it supported?"
        elif isinstance(holder, _PASSING) or holder is self.__dict__:
            return True
        else:
            return self._rebind_attributes(holder)
        return True

    def _rebind_dict(self, names: dict[Any, Any]) -> bool:
        if _is_ours(names):
            return True
        if dict.__contains__(names, "__module__"):
            return False  # of a class: those are changed through the class
        for name, value in list(dict.items(names)):  # a subclass may have methods of its own for all of this
            if id(value) in self._new:
                dict.__setitem__(names, name, self._new[id(value)])
        return True

    def _rebind_attributes(self, holder: Any) -> bool:
        """Instances may hold their attributes without a dict (since 3.13), or in slots."""
        if isinstance(holder, type):
            return not _is_store_module(holder.__module__)  # a class of the store derives from FileIO
        if isinstance(holder, tuple):
            return all(isinstance(item, type) for item in holder)  # the bases or the order of a class
        if type(holder).__module__.startswith("harness."):
            return True
        changed = False
        for name in _attribute_names(holder):
            value = getattr(holder, name, None)
            if id(value) in self._new:
                object.__setattr__(holder, name, self._new[id(value)])  # frozen values too
                changed = True
        return changed

    def _rebind_owned(self, holders: list[Any]) -> None:
        """Class namespaces and default arguments are changed through the class and the function."""
        settled: set[int] = set()
        for owner in gc.get_referrers(*holders):
            if isinstance(owner, type):
                settled |= self._rebind_class(owner, holders)
            elif isinstance(owner, FunctionType) and any(owner.__defaults__ is held for held in holders):
                settled.add(id(owner.__defaults__))
                assert owner.__defaults__ is not None
                owner.__defaults__ = tuple(self._new.get(id(value), value) for value in owner.__defaults__)
        self.left = [holder for holder in holders if id(holder) not in settled]

    def _rebind_class(self, owner: type, holders: list[Any]) -> set[int]:
        held = [(name, value) for name, value in vars(owner).items() if id(value) in self._new]
        for name, value in held:
            try:
                setattr(owner, name, self._new[id(value)])
            except (AttributeError, TypeError):  # the metaclass does not want it
                return set()
        if not held:
            return set()
        return {id(holder) for holder in holders if isinstance(holder, dict) and held[0][0] in holder}


def _is_ours(names: dict[Any, Any]) -> bool:
    """True for the namespaces of this package, which keep the originals, and for the import system's."""
    module = dict.get(names, "__name__")
    return isinstance(module, str) and (module == "harness" or module.startswith("harness."))


def _attribute_names(holder: Any) -> list[str]:
    names = list(getattr(holder, "__dict__", ()))
    for kind in type(holder).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names.extend((slots,) if isinstance(slots, str) else slots)
    return names


def owner_of(holder: Any, ignored: Iterable[Any] = ()) -> str | None:
    """The module of a store that owns `holder`, a few references away; `None` if no store does."""
    seen = {id(holder), *map(id, ignored)}
    layer = [holder]
    for _ in range(_OWNER_DEPTH):
        following: list[Any] = []
        for owner in gc.get_referrers(*layer):
            if id(owner) in seen or owner is layer or isinstance(owner, FrameType):
                continue
            seen.add(id(owner))
            name = _module_name(owner)
            if name is None:
                following.append(owner)
            elif _is_store_module(name):
                return name
        layer = following[:_MOST_REPORTED]
        if not layer:
            break
    return None


def _module_name(owner: Any) -> str | None:
    if isinstance(owner, dict):
        name = owner.get("__name__") if "__spec__" in owner else None
        return name if isinstance(name, str) else None
    if isinstance(owner, ModuleType):
        return owner.__name__
    if isinstance(owner, FunctionType | type):
        return owner.__module__
    return None


def _is_store_module(name: str) -> bool:
    path = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(path, str) and is_store_file(path)


def describe(holder: Any, originals: Iterable[Any]) -> str | None:
    """What is wrong with a holder that could not be changed, if a store owns it."""
    owner = holder.__module__ if isinstance(holder, type) else owner_of(holder, (originals,))
    if owner is None:
        return None
    held = gc.get_referents(holder)
    names = sorted({original.__name__ for original in originals if any(original is item for item in held)})
    return f"a {type(holder).__name__} of {owner} keeps the original {', '.join(names)}"
