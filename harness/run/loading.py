"""Adapters by name: `package.module:Class` or `path/to/file.py:Class`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from harness.core.adapter import validate_adapter
from harness.core.errors import UsageError
from harness.run.recovering import place_of_error, text_of_error

T = TypeVar("T")

_FORM = "write package.module:Class or path/to/file.py:Class"


def load_adapter(spec: str) -> Any:
    """The adapter class that `spec` names, validated.

    Raises `UsageError`, in one sentence, where there is none or it is no adapter.
    """
    candidate = _named(spec, "an adapter", lambda module, name: f"has no class {name}: {_listed(module)}")
    validate_adapter(candidate, spec)
    _require_no_arguments(candidate, spec)
    return candidate


def load_model(spec: str) -> Any:
    """The sequential model that `spec` names: an object, a class of such, or the model of an adapter.

    Raises `UsageError`, in one sentence, where there is none.
    """
    found = _named(spec, "a model", lambda module, name: f"has no {name}")
    found = getattr(found, "model", found)
    if isinstance(found, type):
        _require_no_arguments(found, spec)
        found = _run(spec, found)
    missing = [name for name in ("initial", "step", "equal") if not callable(getattr(found, name, None))]
    if missing:
        raise UsageError(f"{spec} is no model: it has no {missing[0]}.")
    return found


def _named(spec: str, what: str, missing: Callable[[ModuleType, str], str]) -> Any:
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise UsageError(f"{spec!r} does not name {what}: {_FORM}.")
    module = _from_file(place) if _is_path(place) else _from_module(place)
    try:
        return getattr(module, name)
    except AttributeError:
        raise UsageError(f"{place} {missing(module, name)}.") from None


def _require_no_arguments(candidate: Any, label: str) -> None:
    try:
        inspect.signature(candidate).bind()
    except TypeError:
        raise UsageError(
            f"{label} can't be constructed without arguments: give those of __init__ defaults."
        ) from None
    except ValueError:  # no signature to look at: constructing it will tell
        return


def resolved_spec(spec: str) -> str:
    """`spec` with an absolute path, so that it means the same in another working directory."""
    place, colon, name = spec.rpartition(":")
    if colon and _is_path(place):
        return f"{Path(place).resolve()}:{name}"
    return spec


def _is_path(place: str) -> bool:
    return place.endswith(".py") or "/" in place


def _from_file(place: str) -> ModuleType:
    """A file is loaded under a private name with its folder on the path, as `python file.py` would."""
    path = Path(place).resolve()
    if not path.is_file():
        raise UsageError(f"there is no file {place}: {_FORM}.")
    _put_on_path(str(path.parent))
    package = _package_of(path)
    if package is not None:
        return _from_module(package)
    name = f"_store_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise UsageError(f"{place} can't be loaded as Python: {_FORM}.")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    loader = specification.loader
    _run(place, lambda: loader.exec_module(module))
    return module


def _package_of(path: Path) -> str | None:
    """The module name of a file inside a package, with the folder above the package put on the path."""
    parts = [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.append(folder.name)
        folder = folder.parent
    if len(parts) == 1:
        return None
    _put_on_path(str(folder))
    name = ".".join(reversed(parts))
    return name if importlib.util.find_spec(name) is not None else None


def _put_on_path(folder: str) -> None:
    """In front, as `python file.py` does; but behind everything else where workers would take it for ours."""
    if folder in sys.path:
        return
    if any(Path(folder, name).exists() for name in ("harness", "harness.py")):
        sys.path.append(folder)
    else:
        sys.path.insert(0, folder)


def _from_module(place: str) -> ModuleType:
    """From the working directory too: the console script, other than `python -m`, does not have it on the path."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return _run(place, lambda: importlib.import_module(place))


def _run(place: str, load: Callable[[], T]) -> T:
    """Import errors of a user's module are the user's: one sentence, with where it happened."""
    try:
        return load()
    except UsageError:
        raise
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        raise UsageError(f"{place} can't be imported: it called sys.exit({error.code!r}).") from None
    except BaseException as error:  # pytest.skip() in a module is none of Exception
        text = text_of_error(error)
        raise UsageError(f"{place} can't be imported{place_of_error(error)}: {text}.") from None


def _listed(module: ModuleType) -> str:
    names = sorted(
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and callable(getattr(value, "snapshot", None))
    )
    return f"it has {', '.join(names)}" if names else "it has no adapter at all"
