"""Runs small stores in fresh interpreters, so that what they import and look up is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[3]

_DRIVER = """
import importlib, json, sys
from pathlib import Path
early = [name for name in sys.argv[2].split(",") if name]
for name in early:
    importlib.import_module(name)
from harness.record import Recorder, install
install()
import store
root = Path(sys.argv[1])
recorder = Recorder(root)
recorder.start()
store.run(root)
trace = recorder.finish(())
print(json.dumps({
    "unseen": [[unseen.what.name, unseen.detail, unseen.remedy] for unseen in trace.unseen],
    "events": [[event.call, event.detail] for event in trace.events],
    "outside": trace.outside,
}))
"""


def run_store(tmp_path: Path, source: str, *, early: str = "", options: tuple[str, ...] = ()) -> dict[str, Any]:
    """Record `run(root)` of a module `store` with the text `source`; `early` are modules imported before `install`."""
    project = tmp_path / "project"
    root = tmp_path / "root"
    project.mkdir(exist_ok=True)
    root.mkdir(exist_ok=True)
    (project / "store.py").write_text(source)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(project), str(PROJECT)))}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [sys.executable, *options, "-c", _DRIVER, str(root), early]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def kinds(found: dict[str, Any]) -> list[str]:
    """Why the recorder may have missed something, in order."""
    return [what for what, _, _ in found["unseen"]]
