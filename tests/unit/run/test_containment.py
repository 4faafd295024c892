"""A contained process does no harm, and a killed one leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.run import containment
from harness.run.containment import (
    MARKER_VARIABLE,
    fresh_interpreter,
    kill_orphans,
    kill_tree,
    neutral_environment,
    subreaping,
)

IMPORTS = "import os, resource, signal, subprocess, sys, warnings; from harness.run import containment"


def start(code: str, marker: str = "unmarked") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        fresh_interpreter(f"\n{IMPORTS}\n{code}"),
        stdout=subprocess.PIPE,
        env=neutral_environment(marker),
        start_new_session=True,
    )


def line_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def close(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    process.stdout.close()
    return process.wait()


def test_what_descends_from_a_dead_run_is_found_by_its_directory() -> None:
    """Also what leads a session of its own; others' processes are left alone."""
    code = "import time; print('here', flush=True); time.sleep(60)"
    mine = start(code, containment.new_marker("/run/one"))
    others = start(code, containment.new_marker("/run/two"))
    assert line_of(mine) == line_of(others) == "here"

    containment.kill_family("/run/one")

    close(mine)
    assert not psutil.pid_exists(mine.pid)
    assert others.poll() is None
    others.kill()
    close(others)
    assert containment.new_marker("/run/one") != containment.new_marker("/run/one")


# --- in the child ---------------------------------------------------------------------------


def test_a_contained_process_cannot_take_all_memory() -> None:
    """Beyond the limit there is a MemoryError, and the machine lives."""
    process = start("""
out = os.dup(1)
containment.contain(1 << 29)
try:
    hoard = bytearray(1 << 30)
except MemoryError:
    os.write(out, b"MemoryError")
""")
    assert line_of(process) == "MemoryError"
    assert close(process) == 0


def test_a_contained_process_is_quiet_and_neutral() -> None:
    """No terminal, no core, a session of its own, no arguments; every warning is issued."""
    process = start("""
out = os.dup(1)
containment.contain(0)
print("noise", flush=True)
os.write(2, b"noise")
with warnings.catch_warnings(record=True) as caught:
    for _ in range(2):
        warnings.warn("damaged")
facts = (
    [os.readlink(f"/proc/self/fd/{number}") for number in range(3)] == [os.devnull] * 3,
    os.getsid(0) == os.getpid(),
    resource.getrlimit(resource.RLIMIT_CORE) == (0, 0),
    sys.argv == [""] and sys.orig_argv == [sys.executable],
    len(caught) == 2,
)
os.write(out, repr(facts).encode())
""")
    assert line_of(process) == "(True, True, True, True, True)"
    assert close(process) == 0


def test_without_standard_streams_there_are_some_afterwards() -> None:
    """Closed streams are replaced too: else the store's first file would be its standard input."""
    process = start("""
out = os.dup(1)
os.closerange(0, 3)
containment.contain(0)
names = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
os.write(out, b"yes" if names == [os.devnull] * 3 else b"no")
""")
    assert line_of(process) == "yes"
    assert close(process) == 0


def test_a_limit_is_never_raised() -> None:
    """A hard limit of the machine that is lower than ours stays."""
    process = start("""
resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))
out = os.dup(1)
containment.contain(1 << 40)
os.write(out, str(resource.getrlimit(resource.RLIMIT_AS)).encode())
""")
    assert line_of(process) == str((1 << 31, 1 << 31))
    assert close(process) == 0


def test_a_child_dies_with_its_parent() -> None:
    """kill -9 of the parent ends the child, without anybody asking it to."""
    waits = "print(os.getpid(), flush=True); signal.pause()"
    child = f"{IMPORTS}; containment.die_with_parent(os.getppid()); {waits}"
    with subreaping():
        process = start(f"subprocess.Popen({fresh_interpreter(child)!r}).wait()")
        orphan = int(line_of(process))
        process.kill()
        assert close(process) == -signal.SIGKILL
        assert os.waitstatus_to_exitcode(os.waitpid(orphan, 0)[1]) == -signal.SIGKILL


def test_a_child_whose_parent_is_already_dead_ends() -> None:
    """The signal is only sent at a death to come; an earlier one is told by the parent's id."""
    process = start("containment.die_with_parent(os.getppid() + 1)")
    assert close(process) == 1


def test_children_and_their_orphans_are_killed_but_spared_ones() -> None:
    """A subreaper kills what it started, and what that started; helpers stay."""
    process = start("""
assert containment.become_subreaper()
helper = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
spared = containment.child_ids()
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        signal.pause()
    signal.pause()
containment.kill_children(spared)
print(containment.child_ids() == spared == {helper.pid}, flush=True)
containment.kill_children()
print(containment.child_ids(), flush=True)
containment.kill_children()
""")
    assert line_of(process) == "True"
    assert line_of(process) == "frozenset()"
    assert close(process) == 0


def test_ended_children_are_reaped() -> None:
    """Zombies go, the living stay."""
    process = start("""
ended = [subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) for _ in range(2)]
living = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
for child in ended:
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
containment.reap_children()
print(containment.child_ids() == {living.pid}, flush=True)
containment.kill_children()
containment.reap_children()
""")
    assert line_of(process) == "True"
    assert close(process) == 0


def test_systems_without_these_calls_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on Linux nothing raises."""
    monkeypatch.setattr(containment, "_libc", object())
    assert not containment.become_subreaper()
    containment.die_with_parent(os.getppid())
    with subreaping():
        pass


def test_a_system_that_lists_no_children_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without proc(5) there is nothing to kill, and no error."""

    def missing(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "listdir", missing)
    assert containment.child_ids() == frozenset()
    containment.kill_children()


# --- the environment ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "PYTEST_CURRENT_TEST",
        "_PYTEST_RAISE",
        "MY_PYTEST",
        "pytest_mark",
        "TOX_ENV_NAME",
        "__TOX_ENVIRONMENT_VARIABLE_ORIGINAL_CI",
        "HYPOTHESIS_STORAGE_DIRECTORY",
        "DURABILITY_HARNESS_X",
        "CI_HARNESS",
    ],
)
def test_the_environment_does_not_name_a_test_tool(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with the word anywhere between its underscores goes, in capitals or not."""
    monkeypatch.setenv(name, "x")
    assert name not in neutral_environment("marker")


@pytest.mark.parametrize("name", ["COVERAGE_PROCESS_START", "COVERAGE_TOX", "MINE", "DETOXED", "PYTESTING", "_"])
def test_the_environment_keeps_the_rest(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of coverage and of the user stay, also where a word only looks like such a name."""
    monkeypatch.setenv(name, "x")
    environment = neutral_environment("marker")
    assert (environment[name], environment[MARKER_VARIABLE]) == ("x", "marker")


def test_the_order_of_sets_is_fixed_unless_the_user_fixed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed gives the same run; a user's own choice stays."""
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    assert neutral_environment("")["PYTHONHASHSEED"] == "0"
    monkeypatch.setenv("PYTHONHASHSEED", "17")
    assert neutral_environment("")["PYTHONHASHSEED"] == "17"


def test_a_fresh_interpreter_imports_as_we_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What we can import, it can; a relative place means the same to it."""
    (tmp_path / "only_here.py").write_text("value = 5")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    command = fresh_interpreter("import only_here; print(only_here.value)")
    ended = subprocess.run(command, capture_output=True, cwd="/", check=True)
    assert ended.stdout.strip() == b"5"


# --- in the parent --------------------------------------------------------------------------

FAMILY = """
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(1, f"{os.getpid()}\\n".encode())
            signal.pause()
        os._exit(0)
def child():
    child = os.fork()
    if child == 0:
        os.write(1, f"{os.getpid()}\\n".encode())
        signal.pause()
daemon()
child()
"""


@pytest.mark.parametrize("subreaper", ["containment.become_subreaper()", ""])
def test_a_tree_is_killed_with_its_daemons(subreaper: str) -> None:
    """Children, and daemons that have left the session, die with a worker that lives, whoever they go to."""
    with subreaping():
        process = start(f"{subreaper}\n{FAMILY}\nsignal.pause()", "mark-of-a-living-worker")
        family = {int(line_of(process)), int(line_of(process))}
        kill_tree(process, "mark-of-a-living-worker")
        assert close(process) == -signal.SIGKILL
        assert not [pid for pid in family if psutil.pid_exists(pid)]


def test_what_a_dead_worker_left_is_killed() -> None:
    """A worker that died by itself leaves orphans, told by its session and its marker."""
    with subreaping():
        process = start(FAMILY, "mark-of-a-dead-worker")
        family = {int(line_of(process)), int(line_of(process))}
        assert close(process) == 0
        kill_tree(process, "mark-of-a-dead-worker")
        assert not [pid for pid in family if psutil.pid_exists(pid)]


def test_other_children_of_ours_are_spared() -> None:
    """The user's own children, and orphans of theirs that came to us, live on."""
    with subreaping():
        ours = start("print('ready', flush=True); signal.pause()")
        foreign = start(FAMILY, "mark-of-the-user")
        family = {int(line_of(foreign)), int(line_of(foreign))}
        line_of(ours)
        worker = start("signal.pause()", "mark-of-a-worker")
        kill_tree(worker, "mark-of-a-worker")
        close(worker)
        assert ours.poll() is None
        assert all(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in family)
        assert close(foreign) == 0
        kill_orphans(foreign.pid, "mark-of-the-user")
        assert not [pid for pid in family if psutil.pid_exists(pid)]
        kill_tree(ours, "unmarked")
        assert close(ours) == -signal.SIGKILL


def test_killing_twice_is_harmless() -> None:
    """The second time there is nobody left."""
    process = start("signal.pause()")
    kill_tree(process, "x")
    kill_tree(process, "x")
    assert close(process) == -signal.SIGKILL


def test_processes_that_vanish_meanwhile_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between listing and looking a process may end."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    gone = psutil.Process(ended.pid)
    ended.wait()
    assert containment._descendants(ended.pid) == []
    assert not containment._kill(gone)
    assert containment._environment_marker(gone) is None
    assert containment._session_of(ended.pid) is None
    monkeypatch.setattr(psutil, "pids", lambda: [ended.pid])
    monkeypatch.setattr(containment, "_session_of", lambda pid: 5)
    assert containment._left_behind(5, "no such marker") == []


def test_what_cannot_be_killed_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in uninterruptible sleep does not hang the harness."""
    monkeypatch.setattr(containment, "_KILL_LIMIT_S", 0.05)
    monkeypatch.setattr(containment, "_kill", lambda process: True)
    me = psutil.Process()
    assert containment._kill_until_none(lambda: [me]) == {me.pid}
