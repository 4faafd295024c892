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

ROOT = Path(__file__).parents[2]
ADAPTER = "store_under_test.metrics_store.adapter:MetricsStoreAdapter"
DEADLINE_S = 60.0
LOOK_S = 0.02
VARIABLE = "ONE_ENDURANCE_RUN"


def command(reports: Path, *more: str) -> list[str]:
    run = [sys.executable, "-m", "harness", "endure", ADAPTER, "--duration", "4s", "--rate", "25"]
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


def test_a_run_killed_in_its_middle_goes_on(tmp_path: Path) -> None:
    """All operations of the schedule begin exactly once; the kill is on the certificate; the directory is gone."""
    mark = uuid.uuid4().hex
    environment = {**os.environ, VARIABLE: mark}
    first = subprocess.Popen(command(tmp_path), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: windows(tmp_path) >= 1, "no window was written")
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    wait_for(lambda: not processes(mark), "something goes on after the kill")

    again = subprocess.run(command(tmp_path, "--resume"), cwd=ROOT, env=environment, capture_output=True, text=True)

    assert again.returncode == 0, again.stderr
    assert processes(mark) == []
    certificate = json.loads((tmp_path / "metrics-store-endurance.json").read_text())
    assert certificate["verdict"] == "pass"
    assert len(certificate["series"]["killed_at_s"]) == 1
    assert 1 <= certificate["evidence"][0]["bounds"]["operations"] <= 100
    assert list((tmp_path / ".endure").iterdir()) == []
