"""An endurance run that is killed with SIGKILL in its middle: nothing keeps running, and it goes on to its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
ADAPTER = "store_under_test.metrics_store.adapter:MetricsStoreAdapter"
SHARED = "tests.unit.run.enduring_stores:SharedMap"
DEADLINE_S = 60.0
LOOK_S = 0.02
VARIABLE = "ONE_ENDURANCE_RUN"


def command(reports: Path, adapter: str, *more: str) -> list[str]:
    run = [sys.executable, "-m", "harness", "endure", adapter, "--duration", "4s", "--rate", "25"]
    return [*run, "--arrivals", "uniform", "--reports", str(reports), *more]


def wait_for(condition: object, what: str) -> None:
    assert callable(condition)
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(LOOK_S)


def processes(mark: str) -> list[int]:
    """The living processes that carry the mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(VARIABLE) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def windows(reports: Path) -> int:
    journals = list((reports / ".endure").glob("*/journal"))
    return journals[0].read_bytes().count(b'"window/') if journals else 0


@pytest.mark.parametrize(
    ("adapter", "name", "more"), [(ADAPTER, "metrics-store", ()), (SHARED, "shared-map", ("--callers", "3"))]
)
def test_a_run_killed_in_its_middle_goes_on(tmp_path: Path, adapter: str, name: str, more: tuple[str, ...]) -> None:
    """With one caller and with several. All operations of the schedule begin exactly once; the kill is on the
    certificate; the directory is gone.
    """
    mark = uuid.uuid4().hex
    environment = {**os.environ, VARIABLE: mark}
    first = subprocess.Popen(
        command(tmp_path, adapter, *more), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: windows(tmp_path) >= 1, "no window was written")
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    wait_for(lambda: not processes(mark), "something goes on after the kill")

    again = subprocess.run(
        command(tmp_path, adapter, *more, "--resume"), cwd=ROOT, env=environment, capture_output=True, text=True
    )

    assert again.returncode == 0, again.stderr
    assert processes(mark) == []
    certificate = json.loads((tmp_path / f"{name}-endurance.json").read_text())
    assert certificate["verdict"] == "pass"
    assert len(certificate["series"]["killed_at_s"]) == 1
    assert 1 <= certificate["evidence"][0]["bounds"]["operations"] <= 100
    assert list((tmp_path / ".endure").iterdir()) == []
