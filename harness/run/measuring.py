"""Branch coverage of a store inside a worker; imported by workers that are asked to measure.

coverage.py keeps what it measures in memory here, and `save` writes all of it to a new file: so a process that was
forked, or is about to be killed, can do the same without touching its parent's file.
"""

from __future__ import annotations

import os
import uuid
from typing import Any

_measured: list[tuple[Any, str]] = []


def begin(folder: str, files: tuple[str, ...]) -> None:
    """Measure `files` in this process from now on; `save` writes to `folder`."""
    import coverage

    measured = coverage.Coverage(data_file=None, branch=True, include=list(files), config_file=False)
    measured.start()
    _measured.append((measured, folder))


def save() -> None:
    """Write what was measured so far, and go on measuring; nothing where nobody measures.

    A process that is about to be killed calls it right before, for nobody could ask it afterwards.
    """
    for measured, folder in _measured:
        from coverage import CoverageData

        measured.stop()
        written = CoverageData(basename=os.path.join(folder, f"data.{uuid.uuid4().hex}"))
        written.update(measured.get_data())
        written.write()
        written.close()
        measured.start()
