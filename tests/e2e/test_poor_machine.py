"""Where a machine allows less - no namespaces, no privileges, little memory file system - a run says so and goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stores.conduct import spec

# As an ordinary user, with no more user namespaces to be had, and 64 MB of /dev/shm.
POOR = """
echo 0 > /proc/sys/user/max_user_namespaces && mount -t tmpfs -o size=64m tmpfs /dev/shm || exit 99
exec setpriv --ambient-caps=-all --inh-caps=-all -- "$@"
"""
CANNOT = 99
AS_USER = ["unshare", "--user", "--mount", "--map-user=1000", "--map-group=1000", "--keep-caps"]


def on_a_poor_machine(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line there. Skips where this machine can't even pretend."""
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("unshare(1) and setpriv(1) are needed to take privileges away")
    command = [*AS_USER, "sh", "-c", POOR, "sh", sys.executable, "-m", "tests.stores.tiny", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    if ended.returncode == CANNOT or "unshare failed" in ended.stderr:
        pytest.skip(f"no namespace to take privileges away in: {ended.stderr.strip()}")
    return ended


def test_the_doctor_names_what_is_missing() -> None:
    ended = on_a_poor_machine("doctor")
    assert ended.returncode == 0
    assert "no  private mounts" in ended.stdout
    assert "no  memory file system: the temporary directory, because /dev/shm has 64 MiB" in ended.stdout


@pytest.mark.parametrize(("store", "status"), [("Sound", 0), ("InPlace", 1)])
def test_a_run_goes_on_and_says_what_it_could_not_do(tmp_path: Path, store: str, status: int) -> None:
    """The same verdicts; equal paths are listed as not exercised."""
    tmp_path.chmod(0o777)
    adapter, out = spec(store, "honest.py"), tmp_path / "certificate.json"
    arguments = ["--profile", "tiny", "--jobs", "1", "--reports", str(tmp_path / "reports"), "--json", str(out)]

    ended = on_a_poor_machine("certify", adapter, *arguments, "--scenario", "process-crash", "--scenario", "power-loss")

    assert ended.returncode == status, ended.stderr
    certificate = json.loads(out.read_text())
    assert any("equal paths" in text for text in certificate["not_exercised"])
    assert certificate["environment"]["namespaces"] != "private mounts in use"


# --- without fork(2) --------------------------------------------------------------------------

NO_FORK = 'import os\nfor name in ("fork", "forkpty"):\n    delattr(os, name)\n'


def without_fork(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line, and its workers, where Python has no `os.fork`."""
    (folder / "sitecustomize.py").write_text(NO_FORK)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "tests.stores.tiny", *arguments]
    root = Path(__file__).parents[2]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=environment)


def test_the_doctor_names_a_missing_fork(tmp_path: Path) -> None:
    assert "no  fork: missing" in without_fork(tmp_path, "doctor").stdout


@pytest.mark.parametrize(("store", "status"), [("Sound", 0), ("InPlace", 1)])
def test_a_run_without_fork_leaves_out_what_needs_it(tmp_path: Path, store: str, status: int) -> None:
    """Recoveries are not crashed in turn, and that is said; the rest is tried all the same."""
    out = tmp_path / "certificate.json"
    given = ["--profile", "tiny", "--jobs", "1", "--reports", str(tmp_path / "reports"), "--json", str(out)]
    chosen = [f"--scenario={name}" for name in ("process-crash", "process-crash-recovery", "power-loss", "kills")]

    ended = without_fork(tmp_path, "certify", spec(store, "honest.py"), *given, *chosen)

    assert ended.returncode == status, ended.stderr
    certificate = json.loads(out.read_text())
    assert {"process-crash-recovery", "kills"}.isdisjoint(row["scenario"] for row in certificate["evidence"])
    assert "process-crash" in {row["scenario"] for row in certificate["evidence"]}
    assert any("no fork(2)" in text and "during recovery" in text for text in certificate["not_exercised"])
