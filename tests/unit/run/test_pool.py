"""Whatever a store does to the process that it runs in, its job gets an outcome and nothing is left."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness.core.errors import HarnessFault
from harness.run import containment, namespaces, pool
from harness.run.containment import fresh_interpreter, subreaping
from harness.run.pool import Done, Interrupted, Outcome, Pool, run_once
from harness.run.worker_main import BoardState, Setup

TASKS = "tests.unit.run.hostile_tasks"
LIMIT_S = 0.3
AMPLE_S = 30.0  # for what must not be taken for a hang on a busy machine
ISOLATIONS = ("warm", "fork")


@pytest.fixture(params=ISOLATIONS)
def isolation(request: pytest.FixtureRequest) -> Any:
    return request.param


def setup_for(task: str = "one_call", **fields: Any) -> Setup:
    return Setup(f"{TASKS}:{task}", **fields)


def interrupted(outcome: Outcome) -> Interrupted:
    assert isinstance(outcome, Interrupted), outcome
    return outcome


def results(jobs: list[Any], task: str = "tell", **fields: Any) -> list[Any]:
    with Pool(setup_for(task, **fields), 1, AMPLE_S) as workers:
        return [outcome.result for _, _, outcome in workers.run(jobs) if isinstance(outcome, Done)]


# --- hangs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["spin", "wait"])
def test_a_call_that_does_not_return_is_a_hang(call: str, isolation: Any) -> None:
    """The outcome names the call, and shows where it hangs."""
    outcome = interrupted(run_once(setup_for(isolation=isolation), (call,), LIMIT_S))
    assert (outcome.unit, outcome.phase, outcome.how) == (7, call, "hang")
    assert f"in {call}\n" in outcome.stacks
    assert "no return within" in outcome.detail and "MiB resident" in outcome.detail


@pytest.mark.parametrize("call", ["stop", "close_and_hang"])
def test_a_hang_that_cannot_show_its_stacks_is_one_too(
    call: str, isolation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is stopped, or has closed everything, is killed without."""
    monkeypatch.setattr(pool, "_STACKS_LIMIT_S", 0.05)
    outcome = interrupted(run_once(setup_for(isolation=isolation), (call,), LIMIT_S))
    assert (outcome.phase, outcome.how, outcome.stacks) == (call, "hang", "")


def test_many_short_calls_are_no_hang() -> None:
    """The limit is for one call: what all of them take together does not matter."""
    jobs = [(3000, -1)] * 20
    assert results(jobs, "many_units") == [list(range(3000))] * 20


# --- deaths ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "ending"),
    [
        (("exit_at_once", "0"), "exit status 0"),
        (("exit_at_once", "3"), "exit status 3"),
        (("kill_myself", "9"), "SIGKILL"),
        (("kill_myself", str(signal.SIGRTMIN + 5)), f"signal {signal.SIGRTMIN + 5}"),
        (("crash",), "SIGSEGV"),
        (("close_descriptors", "3", "65536"), "the store closed descriptors"),
        (("reuse_descriptors",), "the store closed descriptors"),
    ],
)
def test_a_process_that_ends_in_a_call_died_of_it(job: tuple[str, ...], ending: str, isolation: Any) -> None:
    """The outcome names the call and the end, whatever the end was."""
    outcome = interrupted(run_once(setup_for(isolation=isolation), job, AMPLE_S))
    assert (outcome.unit, outcome.phase, outcome.how) == (7, job[0], "died")
    assert outcome.detail.startswith(ending)


def test_a_crash_in_c_shows_its_stack() -> None:
    """The fatal signal is reported with the line of Python that it happened in."""
    outcome = interrupted(run_once(setup_for(), ("crash",), AMPLE_S))
    assert "Segmentation fault" in outcome.stacks and "in crash\n" in outcome.stacks


def test_the_unit_that_died_is_named(isolation: Any) -> None:
    """Of many units in a job the outcome names the one; without it the job goes through."""
    with Pool(setup_for("many_units", isolation=isolation), 1, AMPLE_S) as workers:
        queue = [(20, 13)]
        outcomes = []
        for _, job, outcome in workers.run(Queue(queue)):
            outcomes.append(outcome)
            if isinstance(outcome, Interrupted):
                queue.append((job[0], -1))
    assert (interrupted(outcomes[0]).unit, interrupted(outcomes[0]).phase) == (13, "open")
    assert outcomes[1:] == [Done(list(range(20)))]


class Queue:
    """An iterator over a list that may grow after it was empty."""

    def __init__(self, queue: list[Any]) -> None:
        self.queue = queue

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self.queue:
            raise StopIteration
        return self.queue.pop(0)


def test_a_fresh_worker_takes_over(isolation: Any) -> None:
    """After each interruption the remaining jobs are done, each with its own outcome."""
    jobs = [("echo", 0), ("exit_at_once", "1"), ("echo", 2), ("wait",), ("echo", 4)]
    with Pool(setup_for(isolation=isolation), 2, 1.0) as workers:
        outcomes = {index: (job, outcome) for index, job, outcome in workers.run(jobs)}
    assert [outcomes[index][0] for index in range(5)] == jobs
    assert [outcomes[index][1] for index in (0, 2, 4)] == [Done(0), Done(2), Done(4)]
    assert [interrupted(outcomes[index][1]).how for index in (1, 3)] == ["died", "hang"]


# --- nuisances ------------------------------------------------------------------------------


def test_forks_that_return_are_ended(isolation: Any) -> None:
    """Where a call returns in two processes, only the one that was asked answers."""
    with Pool(setup_for(isolation=isolation), 1, AMPLE_S) as workers:
        jobs = [("fork_and_return",), ("fork_behind_our_back",), ("echo", "still here")]
        outcomes = [outcome for _, _, outcome in workers.run(jobs)]
    assert outcomes[2] == Done("still here")
    children = [outcome.result for outcome in outcomes[:2] if isinstance(outcome, Done)]
    assert all(children) and len(children) == 2
    assert not [pid for pid in children if psutil.pid_exists(pid)]


def test_a_fork_outside_of_calls_is_ended_too() -> None:
    """Also where the board was not told, and in `prepare`, the copy does not answer."""
    assert all(results([("fork_and_return",)] * 2, "no_call"))
    assert results(["directory"], extra={"prepare": "fork"}) == [os.getcwd()]


def test_children_that_nobody_waits_for_do_not_pile_up() -> None:
    """Ended children of a warm worker go off the process table after each job."""
    with Pool(setup_for("no_call"), 1, AMPLE_S) as workers:
        list(workers.run([("zombies",)] * 3))
        list(workers.run([("echo", 1)]))
        assert psutil.Process(workers._workers[0].process.pid).children() == []


def test_memory_has_a_limit(isolation: Any) -> None:
    """Who wants all memory gets a MemoryError, and the next job is not disturbed."""
    fields: dict[str, Any] = {"memory_bytes": 400 << 20, "isolation": isolation}
    answers = results([("hog",), ("echo", "fine")], "one_call", **fields)
    assert answers[0].startswith("MemoryError after") and answers[1] == "fine"


def test_gigabytes_of_output_go_nowhere() -> None:
    """Output of a store blocks nothing and fills nothing."""
    assert results([("shout",)], "one_call") == [1024]


def test_low_descriptors_may_be_closed(isolation: Any) -> None:
    """Ours lie higher than a store usually reaches."""
    answers = results([("close_descriptors", "3", "256"), ("echo", "fine")], "one_call", isolation=isolation)
    assert answers == ["closed", "fine"]


def test_a_store_that_goes_elsewhere_is_brought_back() -> None:
    """The next job finds the working directory where it was."""
    assert results([("go_elsewhere",)], "one_call") == [None]
    with Pool(setup_for("no_call"), 1, AMPLE_S) as workers:
        list(workers.run([("go_elsewhere",)]))
        pid = workers._workers[0].process.pid
        list(workers.run([("echo", 1)]))
        assert os.readlink(f"/proc/{pid}/cwd") == os.getcwd()


def test_a_call_that_is_not_left_ends_with_its_job(isolation: Any) -> None:
    """A task that forgets `leave` does not make the idle worker hang."""
    assert results(["a", "b"], "forgetful", isolation=isolation) == ["a", "b"]


def test_large_jobs_and_results_pass(isolation: Any) -> None:
    """Megabytes in both directions at the same time block nobody."""
    big = b"j" * (20 << 20)
    with Pool(setup_for(isolation=isolation), 2, AMPLE_S) as workers:
        outcomes = [outcome for _, _, outcome in workers.run([("echo", big)] * 4)]
    assert outcomes == [Done(big)] * 4


@pytest.mark.parametrize("kind", ["daemon", "executed_daemon"])
@pytest.mark.parametrize("then", ["stay", "hang", "die"])
def test_daemons_of_a_store_end(kind: str, then: str, isolation: Any, tmp_path: Path) -> None:
    """A process that left the session is found and killed, however its worker ended."""
    file = tmp_path / "daemon"
    limit_s = 3.0 if then == "hang" else AMPLE_S
    outcome = run_once(setup_for(isolation=isolation), (kind, str(file), then), limit_s)
    assert isinstance(outcome, Done) == (then == "stay")
    assert not psutil.pid_exists(int(file.read_text()))


# --- faults of our own ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "job", "message"),
    [
        ("one_call", ("fail",), "KeyError: 'the task is wrong'"),
        ("one_call", ("system_exit",), "SystemExit: 4"),
        ("one_call", ("unpicklable",), "pickle"),
        ("one_call", ("unreadable",), "cannot be read here: ValueError"),
        ("no_call", ("exit_at_once", "3"), "died outside of any call into the store: exit status 3"),
        ("after_call", ("kill_myself", "9"), "died outside of any call into the store: SIGKILL"),
        ("no_call", ("close_descriptors", "3", "65536"), "outside of any call .*: exit status 70"),
        ("missing", (), "has no attribute 'missing'"),
    ],
)
def test_what_no_store_did_is_a_fault(task: str, job: tuple[str, ...], message: str, isolation: Any) -> None:
    """Errors of the task, and deaths outside of calls, are not blamed on a store."""
    with pytest.raises(HarnessFault, match=message):
        run_once(setup_for(task, isolation=isolation), job, AMPLE_S)


@pytest.mark.parametrize("task", ["no_call", "after_call"])
def test_being_stuck_outside_of_calls_is_a_fault(task: str) -> None:
    """It has a limit too, and shows the stacks."""
    with Pool(setup_for(task), 1, AMPLE_S, between_limit_s=1.0) as workers:
        run = workers.run([("wait",)])
        with pytest.raises(HarnessFault, match=r"(?s)is stuck outside of any call.*in wait\n"):
            list(run)


def test_a_preparation_that_fails_is_a_fault() -> None:
    """The traceback of `prepare` comes with it."""
    with pytest.raises(HarnessFault, match="ValueError: prepare cannot"):
        run_once(setup_for(extra={"prepare": "raise"}), ("echo", 1), AMPLE_S)


def test_a_job_that_cannot_be_pickled_is_a_fault_of_the_caller() -> None:
    """It is raised where it was made, and the pool still closes."""
    with Pool(setup_for(), 1, AMPLE_S) as workers, pytest.raises((AttributeError, pickle.PicklingError)):
        list(workers.run([lambda: None]))


def test_an_interpreter_that_does_not_start_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is missing or breaks down, it is said."""
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(HarnessFault, match="could not be started"):
            run_once(setup_for(), (), AMPLE_S)
    broken = fresh_interpreter("raise OSError('broken')")
    monkeypatch.setattr(containment, "fresh_interpreter", lambda code: broken)
    with pytest.raises(HarnessFault, match="OSError: broken"):
        run_once(setup_for(), (), AMPLE_S)


# --- order and life -------------------------------------------------------------------------


def test_jobs_are_taken_when_a_worker_is_free() -> None:
    """An endless iterator of jobs is no problem; leaving early ends the run."""
    with Pool(setup_for(), 1, AMPLE_S) as workers:
        taken = []
        for index, job, outcome in workers.run(("echo", number) for number in iter(int, 1)):
            taken.append((index, job, outcome))
            if len(taken) == 3:
                break
        assert [index for index, _, _ in taken] == [0, 1, 2]
        again = list(workers.run([("echo", "again")]))
        assert [outcome for _, _, outcome in again] == [Done("again")]
        assert again[0][0] > 2


def test_a_warm_worker_keeps_its_context_and_a_forked_job_does_not() -> None:
    """Warm jobs see what earlier ones left in the process; forked ones see what `prepare` made."""
    assert results(["jobs", "jobs", "process"])[:2] == [1, 2]
    forked = results(["jobs", "jobs", "process", "process"], isolation="fork")
    assert forked[:2] == [1, 1]
    assert forked[2] != forked[3]


def test_a_fresh_job_prepares_by_itself() -> None:
    """Nothing of the store has run in its process, not even its import."""
    jobs = ["prepared here", "jobs", "jobs"]
    assert results(jobs, isolation="warm") == [True, 1, 2]
    assert results(jobs, isolation="fork") == [False, 1, 1]
    assert results(jobs, isolation="fresh") == [True, 1, 1]
    with pytest.raises(HarnessFault, match="prepare cannot"):
        results(["jobs"], isolation="fresh", extra={"prepare": "raise"})


@pytest.mark.parametrize("isolation", ["fork", "fresh"])
def test_a_worker_outlives_the_child_that_died_over_a_job(isolation: Any) -> None:
    """The next child comes from the same worker, which cost a start; the outcome is that of the one that died."""
    with Pool(setup_for(isolation=isolation), 1, AMPLE_S) as workers:
        before, died, after = (
            outcome for _, _, outcome in workers.run([("forked_by",), ("kill_myself", "9"), ("forked_by",)])
        )
    assert isinstance(before, Done) and before == after
    assert (interrupted(died).phase, interrupted(died).how, interrupted(died).unit) == ("kill_myself", "died", 7)
    assert interrupted(died).detail.startswith("SIGKILL")


def test_a_worker_ends_with_the_child_that_died_over_its_answer() -> None:
    """Half an answer can't be told from a whole one, so nothing more is read from that worker."""
    with Pool(setup_for("dies_answering", isolation="fork"), 1, AMPLE_S) as workers:
        before, died, after = (outcome for _, _, outcome in workers.run(["tell", "die", "tell"]))
    assert isinstance(before, Done) and isinstance(after, Done) and before != after
    assert interrupted(died).detail.startswith("exit status 7")


def test_helpers_that_prepare_started_live_as_long_as_the_worker() -> None:
    """Between forked jobs everything is killed but those."""
    assert results(["helper", "helper"], isolation="fork", extra={"prepare": "helper"}) == ["alive"] * 2


def test_the_setup_arrives() -> None:
    """The task sees what its caller wrote."""
    setup = setup_for("tell", adapter="a:B", directory="/d", extra={"x": [1]})
    assert run_once(setup, "setup", AMPLE_S) == Done(setup)


def test_a_worker_tells_nothing_about_the_harness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments, environment and streams are those of any program; warnings are all issued."""
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "x")
    arguments, environment, streams, warned = results(["arguments", "environment", "streams", "warnings"])
    assert (arguments, streams, warned) == ([""], [os.devnull] * 3, 2)
    assert not [name for name in environment if "PYTEST" in name or "HARNESS" in name]


def test_private_mounts_hide_workers_from_each_other(tmp_path: Path) -> None:
    """Workers use the same path with contents of their own; where that is refused, it is a fault."""
    setup = setup_for("tell", directory=str(tmp_path), private_mount=True)
    if namespaces.probe() is not None:
        with pytest.raises(HarnessFault, match="No private mount"):
            run_once(setup, "a", AMPLE_S)
        return
    assert run_once(setup, "a", AMPLE_S) == Done(["a"])
    assert run_once(setup, "b", AMPLE_S) == Done(["b"])
    assert os.listdir(tmp_path) == []


def test_a_private_mount_over_nothing_is_a_fault(tmp_path: Path) -> None:
    """Workers never share a directory that they believe to be their own."""
    setup = setup_for("tell", directory=str(tmp_path / "missing"), private_mount=True)
    with pytest.raises(HarnessFault, match="No private mount over"):
        run_once(setup, "a", AMPLE_S)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_behind(error: type[BaseException], isolation: Any, tmp_path: Path) -> None:
    """Leaving the block in any way ends workers that are at work, and idle ones."""
    os.mkfifo(pipe := tmp_path / "pipe")
    started: list[int] = []
    with pytest.raises(error), Pool(setup_for(isolation=isolation), 2, AMPLE_S) as workers:
        jobs = [("echo", 1), ("announce_and_wait", str(pipe))]
        for _ in workers.run(jobs):
            started.append(int(pipe.read_text()))
            started += [worker.process.pid for worker in workers._workers]
            raise error
    assert len(started) >= 2
    assert not [pid for pid in started if psutil.pid_exists(pid)]


def test_closing_kills_what_is_at_work(tmp_path: Path) -> None:
    """A pool that is closed in the middle of a run does not wait for it."""
    os.mkfifo(pipe := tmp_path / "pipe")
    workers = Pool(setup_for(), 2, AMPLE_S)
    run = workers.run([("echo", 1), ("announce_and_wait", str(pipe))])
    next(run)
    pid = int(pipe.read_text())
    workers.close()
    workers.close()
    assert not psutil.pid_exists(pid)
    assert list(run) == []


def test_a_worker_that_ended_while_idle_is_replaced() -> None:
    """What a store left behind may end its process later: the next job gets a fresh worker."""
    with Pool(setup_for("tell"), 1, AMPLE_S) as workers:
        [(_, _, first)] = workers.run(["process"])
        workers._workers[0].process.kill()
        workers._workers[0].process.wait()
        [(_, _, second)] = workers.run(["process"])
        assert first != second


def test_a_worker_that_does_not_say_goodbye_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing waits for a while only."""
    monkeypatch.setattr(pool, "_FAREWELL_LIMIT_S", 0.0)
    with Pool(setup_for("tell"), 1, AMPLE_S) as workers:
        [(_, _, outcome)] = workers.run(["process"])
        workers._workers[0].process.send_signal(signal.SIGSTOP)
    assert isinstance(outcome, Done)
    assert not psutil.pid_exists(outcome.result)


PARENT = """
from harness.run.pool import Pool, Setup
with Pool(Setup("{tasks}:one_call", isolation="{isolation}"), 2, 100.0) as workers:
    list(workers.run([("announce_and_wait", "{pipe}")] * 2))
"""


def test_workers_die_with_a_killed_parent(isolation: Any, tmp_path: Path) -> None:
    """kill -9 of the harness leaves no worker, and no forked job of one."""
    os.mkfifo(pipe := tmp_path / "pipe")
    code = PARENT.format(tasks=TASKS, isolation=isolation, pipe=pipe)
    with subreaping():
        parent = subprocess.Popen(fresh_interpreter(f"\n{code}"))
        assert pipe.read_text()  # blocks until a job is at work
        below = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
        parent.wait()
        for process in below:  # first the workers, then what they forked: so the orphans come to us
            os.waitpid(process.pid, 0)  # returns only when it has ended
        assert len(below) >= (2 if isolation == "fork" else 1)


# --- the watch ------------------------------------------------------------------------------


class Machine:
    """A process of one status, that has used so much of the processor at each look."""

    def __init__(self, status: str, cpu_s: list[float]) -> None:
        self._status = status
        self._cpu_s = iter(cpu_s)

    def __call__(self, pid: int) -> Machine:
        return self

    def oneshot(self) -> Any:
        return contextlib.nullcontext()

    def ppid(self) -> int:
        return 0

    def status(self) -> str:
        return self._status

    def cpu_times(self) -> Any:
        return SimpleNamespace(user=next(self._cpu_s), system=0.0)

    def memory_info(self) -> Any:
        return SimpleNamespace(rss=5 << 20)


IN_CALL = BoardState(1, 1, "open", 1, 0, False)


def watched(monkeypatch: pytest.MonkeyPatch, status: str, cpu_s: list[float]) -> Any:
    """A watch that has looked once a second at a process in one and the same call."""
    monkeypatch.setattr(psutil, "Process", Machine(status, cpu_s))
    watch = pool._Watch(IN_CALL)
    for _ in cpu_s:
        watch.look(IN_CALL, 1.0, 1)
    return watch


@pytest.mark.parametrize(
    ("status", "cpu_s", "overdue"),
    [
        (psutil.STATUS_SLEEPING, [0.0] * 10, True),  # waits for something that does not come
        (psutil.STATUS_RUNNING, [float(second) for second in range(11)], True),  # was let run
        (psutil.STATUS_RUNNING, [0.0] * 10, False),  # could run, but was not let
        (psutil.STATUS_DISK_SLEEP, [0.0] * 10, False),  # the disk is busy
        (psutil.STATUS_RUNNING, [0.0] * 40, True),  # there is an end to patience
        (psutil.STATUS_SLEEPING, [0.0] * 9, False),  # within the limit
    ],
)
def test_a_busy_machine_makes_no_hangs(
    monkeypatch: pytest.MonkeyPatch, status: str, cpu_s: list[float], overdue: bool
) -> None:
    """The limit is ten seconds; who got no chance to use them gets more."""
    assert watched(monkeypatch, status, cpu_s).is_overdue(10.0) == overdue


def test_the_time_of_a_call_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another call starts from nothing, also as far as memory is concerned."""
    watch = watched(monkeypatch, psutil.STATUS_SLEEPING, [0.0] * 10)
    assert watch.memory(10 << 20) == ", 5 MiB resident, limit 10 MiB"
    watch.look(BoardState(3, 2, "open", 1, 0, False), 1.0, 1)
    assert not watch.is_overdue(0.1)
    assert (watch.memory(0), watch.condition()) == ("", "not seen, 0.0 s of processor time")


def test_a_board_that_names_another_process_is_not_believed() -> None:
    """Only a child of the worker is taken for the process at work."""
    here = os.getpid()
    for claimed in (1, os.getppid(), -5, 1 << 62):
        state = BoardState(1, 1, "open", claimed, 0, False)
        assert pool._process_at_work(state, here) == here


def test_a_system_without_anonymous_memory_uses_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on Linux a temporary file without a name does."""
    monkeypatch.delattr(os, "memfd_create")
    assert run_once(setup_for(), ("echo", 1), AMPLE_S) == Done(1)
