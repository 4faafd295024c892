"""A private mount hides a path from everybody else, or the process is left as it was."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.run import namespaces
from harness.run.containment import fresh_interpreter

PREAMBLE = """
import ctypes, os, sys
from pathlib import Path
from harness.run import namespaces
from harness.run.namespaces import enter_private_mount, refusal
directory = Path({directory!r})
def namespace(kind): return os.readlink(f"/proc/self/ns/{{kind}}")
def drop(bit):
    effective, permitted = namespaces._capabilities()
    namespaces.set_capabilities(effective & ~(1 << bit), permitted & ~(1 << bit))
"""


def in_child(directory: Path, code: str, unmeasured: str = "-") -> str:
    """The output of code, run in an interpreter with one thread, without variables named `unmeasured`..."""
    command = fresh_interpreter(f"\n{PREAMBLE.format(directory=str(directory))}\n{code}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unmeasured)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def allowed() -> bool:
    """Whether this machine allows what is tested; if not, the refusal is tested."""
    return namespaces.probe() is None


ENTER = """
(directory / "below").write_text("x")
entered = enter_private_mount(directory, 1 << 20)
print(entered, sorted(os.listdir(directory)))
(directory / "private").write_text("x")
"""


def test_two_processes_have_their_own_contents_at_one_path(tmp_path: Path, allowed: bool) -> None:
    """Each sees an empty directory of its own, and nothing of it stays."""
    if not allowed:
        assert in_child(tmp_path, "print(enter_private_mount(directory, 1 << 20))") == "False"
        return
    assert in_child(tmp_path, ENTER) == "True []"
    assert in_child(tmp_path, ENTER) == "True []"
    assert os.listdir(tmp_path) == ["below"]


def test_a_refusal_changes_nothing(tmp_path: Path) -> None:
    """Where the mount fails half-way, the process keeps its namespaces, its user and its capabilities."""
    code = """
def look(): return namespace("mnt"), namespace("user"), os.getuid(), namespaces._capabilities()
before = look()
print(enter_private_mount(directory / "missing", 1 << 20), look() == before)
"""
    assert in_child(tmp_path, code) == "False True"


def test_a_refusal_says_why(tmp_path: Path) -> None:
    """The step that failed is named."""
    assert in_child(tmp_path, "print(refusal(directory / 'missing', 4096))") != "None"


def test_without_privileges_a_user_namespace_does_it(tmp_path: Path, allowed: bool) -> None:
    """Without CAP_SYS_ADMIN the same works, and user and capabilities are afterwards what they were."""
    code = """
drop(21)
before = os.getuid(), os.getgid(), namespaces._capabilities()
entered = enter_private_mount(directory, 1 << 20)
(directory / "private").write_text("x")
after = os.getuid(), os.getgid(), namespaces._capabilities()
print(entered, before == after)
"""
    assert in_child(tmp_path, code) == f"{allowed} True"


def test_another_user_can_do_it_too(allowed: bool) -> None:
    """An ordinary user owns what it makes in its private mount, and still cannot read what it may not."""
    code = """
if os.getuid() == 0:
    os.chown(directory, 65534, 65534)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # dumpable again: else /proc/self is root's
user = os.getuid()
entered = enter_private_mount(directory, 1 << 20)
secret = directory / "secret"
secret.write_text("x")
secret.chmod(0)
print(entered, os.getuid() == user == secret.stat().st_uid, os.access(secret, os.R_OK))
secret.unlink()
"""
    directory = Path(tempfile.mkdtemp())  # `tmp_path` is out of the reach of others
    try:
        # Coverage's data file is out of reach too.
        assert in_child(directory, code, unmeasured="COVERAGE") == f"{allowed} True False"
    finally:
        directory.rmdir()


def test_the_size_is_a_limit(tmp_path: Path, allowed: bool) -> None:
    """More than the size does not fit; a size below a page is one page, not none at all."""
    code = """
entered = enter_private_mount(directory, 0)
try:
    (directory / "file").write_bytes(bytes(1 << 20))
    print("fits")
except OSError as error:
    print(error.strerror)
"""
    assert in_child(tmp_path, code) == ("No space left on device" if allowed else "fits")


def test_a_process_with_threads_is_refused_and_stays_usable(tmp_path: Path) -> None:
    """A user namespace takes a process with one thread; with more nothing happens."""
    code = """
import threading, warnings
warnings.simplefilter("ignore")
drop(21)
end = threading.Event()
thread = threading.Thread(target=end.wait)
thread.start()
before = namespace("mnt"), namespace("user")
print(enter_private_mount(directory, 1 << 20), before == (namespace("mnt"), namespace("user")))
end.set()
"""
    assert in_child(tmp_path, code) == "False True"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("namespaces._libc = object()", "this system has no unshare(2)"),
        ("namespaces._enter = lambda path, size: 1 / 0", "ZeroDivisionError('division by zero')"),
        ("namespaces._enter = lambda path, size: os._exit(3)", "the rehearsal ended with status 3"),
        ("namespaces._mount = lambda path, size: 'mount: no'", "mount: no"),
        ("namespaces._write = lambda path, text: 'map: no'; drop(21)", "map: no"),
    ],
)
def test_a_failed_rehearsal_is_a_refusal(tmp_path: Path, allowed: bool, fault: str, reason: str) -> None:
    """Whatever goes wrong in the rehearsal is told, and does not go wrong in the process itself."""
    told = in_child(tmp_path, f"{fault}\nprint(refusal(directory, 4096))")
    assert told == reason or not allowed


def test_a_file_that_cannot_be_written_is_named() -> None:
    """A refused id map names the file."""
    assert namespaces._write("/proc/self/missing", "x") == "/proc/self/missing: No such file or directory"


def test_the_probe_reports_a_broken_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that does not even run is a reason too."""
    broken = fresh_interpreter("raise SystemExit('broken')")
    monkeypatch.setattr(namespaces, "fresh_interpreter", lambda code: broken)
    assert namespaces.probe() == "the probe ended with status 1: broken"


def test_the_probe_reports_what_its_child_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of the child is the reason."""
    monkeypatch.setattr(namespaces, "fresh_interpreter", lambda code: fresh_interpreter("print('EPERM')"))
    assert namespaces.probe() == "EPERM"
