"""One process that works for one version, seen from the parent: requests, answers, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import selectors
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.core.errors import UsageError
from harness.run import containment
from harness.run.loading import resolved_spec
from harness.run.pace.values import Version

#: The harness from its own folder, whatever else of this name is on the path.
_BOOT = """
import importlib.util, sys
folder, arguments = sys.argv[1:]
found = importlib.util.spec_from_file_location("harness", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["harness"] = module = importlib.util.module_from_spec(found)
found.loader.exec_module(module)
from harness.run.pace.worker import main
main(arguments)
"""
_HARNESS = Path(__file__).parents[2]
#: The place of the stack, and with it how fast some code runs, depends on the size of the environment (Mytkowicz et
#: al., "Producing wrong data without doing anything obviously wrong", ASPLOS 2009). So it is drawn anew for each
#: process.
_PADDING = "LAYOUT_PADDING"
_MOST_PADDING = 4096
_RECEIVE_BYTES = 1 << 16
_FAREWELL_LIMIT_S = 5.0


def version(given: str) -> Version:
    """What a user named: a folder to stand first on the path, a virtual environment, or its Python.

    Raises `UsageError` if it is none of these.
    """
    path = Path(given)
    if path.is_dir():
        python = path / "bin" / "python"
        if (path / "pyvenv.cfg").is_file() and python.is_file():
            return Version(given, str(python.absolute()), None)
        return Version(given, sys.executable, str(path.resolve()))
    if path.is_file() and os.access(path, os.X_OK):
        return Version(given, str(path.absolute()), None)  # not resolved: a link tells an environment from its base
    raise UsageError(
        f"{given} is no version to run: name a folder that Python imports from, a virtual environment, or its Python."
    )


class Session:
    """A process that has a version of the store. Use it as a context manager: after it the process is gone."""

    def __init__(self, version: Version, spec: str, *, directory: Path, luck: random.Random, limit_s: float) -> None:
        self._version = version
        self._limit_s = limit_s
        self._marker = containment.new_marker(str(directory))
        self._rest = b""
        command = [version.python, "-P", "-c", _BOOT, str(_HARNESS), json.dumps(_arguments(version, spec))]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(self._marker, luck),
            )
        except OSError as error:
            raise UsageError(f"{version.given} can't be started as a Python ({error.strerror}).") from None

    def ask(self, do: str, **details: Any) -> dict[str, Any]:
        """Send a request and wait for its answer. Raises `UsageError` if the version can't do it."""
        self.send(do, **details)
        return self.receive()

    def send(self, do: str, **details: Any) -> None:
        """Send a request; `receive` gets the answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: `receive` tells how
            self._process.stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """The next answer."""
        answer: dict[str, Any] = json.loads(self._line())
        if "misuse" in answer:
            raise UsageError(f"{self._version.given}: {answer['misuse']}")
        return answer

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + self._limit_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise UsageError(
                        f"{self._version.given}: the adapter can't run: a sample took longer than {self._limit_s:g} s."
                    )
                received = os.read(self._process.stdout.fileno(), _RECEIVE_BYTES)
                if not received:
                    raise UsageError(f"{self._version.given}: {self._end()}")
                self._rest += received
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _end(self) -> str:
        """Why there is no answer: what the interpreter said last, or how it ended."""
        assert self._process.stderr is not None
        status = self._process.wait()
        said = self._process.stderr.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "")
        return f"the process that ran it ended with status {status}{': ' if last else ''}{last[:300]}."

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._dismiss()
        containment.kill_tree(self._process, self._marker)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _dismiss(self) -> None:
        """Without further requests the process ends by itself."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.stdin.close()
            self._process.wait(_FAREWELL_LIMIT_S)


def _arguments(version: Version, spec: str) -> dict[str, Any]:
    ours = [os.path.abspath(path) for path in sys.path if isinstance(path, str)]
    return {
        "spec": resolved_spec(spec),
        "parent": os.getpid(),
        "first": None if version.folder is None else [version.folder, *ours],
        "last": _folders(spec),
    }


def _folders(spec: str) -> list[str]:
    """Where the adapter's file is, and the folder above its package; known beforehand, they stay behind the version."""
    place = spec.rpartition(":")[0]
    if not (place.endswith(".py") or "/" in place):
        return [os.getcwd()]
    folder = Path(place).resolve().parent
    folders = [folder]
    while (folder / "__init__.py").is_file():
        folder = folder.parent
        folders.append(folder)
    return [str(folder) for folder in folders]


def _environment(marker: str, luck: random.Random) -> dict[str, str]:
    drawn = {"PYTHONHASHSEED": str(luck.randrange(2**32)), _PADDING: "x" * luck.randrange(_MOST_PADDING)}
    return {**containment.neutral_environment(marker), **drawn}
