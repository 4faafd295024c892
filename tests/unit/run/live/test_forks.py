"""Children that tell what happens through a pipe: nothing is missed, and nothing is left of them."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness.core.errors import HarnessFault
from harness.inject.kills import Called, Settled
from harness.run import containment
from harness.run.containment import subreaping
from harness.run.live.forks import Child, SpokenBoard, Told, Voice, Word
from tests.stores.local import Diary


def told(work: Callable[[Voice], None]) -> Told:
    return Child(Diary(), work).listen()


def test_everything_said_before_a_kill_is_heard() -> None:
    """Also much more than a pipe holds."""
    payload = b"x" * 100_000

    def work(voice: Voice) -> None:
        for number in range(20):
            voice.say(Word.FAILED, number, payload)
        os.kill(os.getpid(), signal.SIGKILL)

    heard = told(work)

    assert heard.errors == dict.fromkeys(range(20), payload.decode())
    assert (heard.killed, heard.done, heard.ending) == (True, False, "SIGKILL")


def test_half_a_message_is_none() -> None:
    """What was cut by the kill was not said."""

    def work(voice: Voice) -> None:
        voice.say(Word.ACKNOWLEDGED, 0, b"synced")
        os.write(voice._descriptor, b"\x03\x01")
        os.kill(os.getpid(), signal.SIGKILL)

    heard = told(work)

    assert (heard.settled, heard.synced, heard.acknowledged) == (1, 1, {0})


def test_what_is_said_counts_as_an_oracle_wants_it() -> None:
    def work(voice: Voice) -> None:
        voice.say(Word.STEP, payload=b"an operation")
        for number in range(3):
            voice.say(Word.BEGUN, number)
            if number == 1:
                voice.say(Word.STRUCK, 7, pickle.dumps("details"))
                voice.say(Word.FAILED, 1, b"OSError")
            elif number == 0:
                voice.say(Word.CALLED, 1, pickle.dumps(Called("write", None)))
                voice.say(Word.ACKNOWLEDGED, 0)
        voice.say(Word.STRUCK, 9, pickle.dumps("more"))
        voice.say(Word.TROUBLE, payload=b"close raised")
        voice.say(Word.UNSUPPORTED, 5)
        voice.say(Word.ANSWER, payload=pickle.dumps([1]))

    heard = told(work)

    assert (heard.begun, heard.settled, heard.synced, heard.acknowledged) == (3, 2, 0, {0})
    assert heard.course == [Called("write", None), Settled(0), Settled(1, acknowledged=False)]
    assert heard.struck == [(7, "details", 1), (9, "more", 2)]
    assert (heard.troubles, heard.unsupported, heard.answer, heard.step) == (["close raised"], {5}, [1], "an operation")
    assert (heard.done, heard.ending) == (True, "exit status 0")


def test_a_fault_of_the_harness_in_a_child_is_one() -> None:
    """With its traceback; the child is gone."""

    def work(voice: Voice) -> None:
        raise ZeroDivisionError("ours")

    child = Child(Diary(), work)
    with pytest.raises(HarnessFault, match="ZeroDivisionError: ours"):
        child.listen()
    assert not psutil.pid_exists(child.pid)


def test_a_child_that_stops_goes_on_when_the_parent_has_looked() -> None:
    looked: list[str] = []

    def work(voice: Voice) -> None:
        voice.say(Word.STALLED)
        os.kill(os.getpid(), signal.SIGSTOP)
        voice.say(Word.BEGUN, 0)

    child = Child(Diary(), work, unit=3)
    heard = child.listen(stalled=lambda: looked.append(psutil.Process(child.pid).status()))

    assert looked == [psutil.STATUS_STOPPED]
    assert (heard.begun, heard.done) == (1, True)


def test_a_child_that_ends_instead_of_stopping_is_no_riddle() -> None:
    def work(voice: Voice) -> None:
        voice.say(Word.STALLED)
        os.kill(os.getpid(), signal.SIGKILL)

    assert told(work).killed


def test_when_the_time_is_over_it_is_killed() -> None:
    """In the middle of whatever it does."""

    def work(voice: Voice) -> None:
        voice.say(Word.BEGUN, 0)
        threading.Event().wait()

    heard = Child(Diary(), work).listen(kill_after_s=0.2)

    assert (heard.killed, heard.done) == (True, False)


def test_what_a_store_forks_has_no_voice_and_is_ended() -> None:
    """Even if it left the session, or was forked twice; the pipe does not wait for it."""

    def work(voice: Voice) -> None:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                voice.say(Word.BEGUN, 5)
                threading.Event().wait()
            os._exit(0)
        os.wait()
        voice.say(Word.BEGUN, 0)

    with subreaping():
        before = psutil.Process().children(recursive=True)
        heard = told(work)
        assert psutil.Process().children(recursive=True) == before
    assert (heard.begun, heard.orphans) == (1, 1)


def test_a_pipe_that_somebody_else_holds_is_not_waited_for(tmp_path: Path) -> None:
    """A process that was not forked by Python keeps the descriptor."""

    def work(voice: Voice) -> None:
        os.set_inheritable(voice._descriptor, True)
        os.posix_spawn("/bin/sleep", ["sleep", "60"], {}, setsid=True)

    with subreaping():
        heard = told(work)
    assert (heard.done, heard.orphans) == (True, 1)


def test_what_was_said_right_before_the_end_is_heard() -> None:
    """Also if the pipe was empty when the parent looked, and the child gone when it looked again."""
    looks: list[float] = []

    class Late(Child):
        def _speaks(self, seconds: float) -> bool:
            looks.append(seconds)
            if len(looks) > 1:
                return super()._speaks(seconds)
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            return False

    heard = Late(Diary(), lambda voice: voice.say(Word.BEGUN, 4)).listen()

    assert (heard.begun, heard.done, looks[1]) == (5, True, 0.0)


def test_two_children_at_once_do_not_end_each_other() -> None:
    def wait(voice: Voice) -> None:
        voice.say(Word.BEGUN, 0)
        voice.say(Word.STALLED)
        os.kill(os.getpid(), signal.SIGSTOP)

    second: list[Child] = []

    def look() -> None:
        child = Child(Diary(), wait)
        child.hear_until_it_waits(0.0)
        second.append(child)

    assert Child(Diary(), wait).listen(stalled=look).orphans == 0
    assert second[0].listen().done


def test_who_is_not_listened_to_may_say_what_it_likes() -> None:
    """Much more than a pipe holds, while somebody else is listened to who waits for it."""
    reader, writer = os.pipe()

    def talk(voice: Voice) -> None:
        for number in range(20):
            voice.say(Word.FAILED, number, b"x" * 100_000)
        os.write(writer, b"x")

    def wait(voice: Voice) -> None:
        os.read(reader, 1)

    talking, waiting = Child(Diary(), talk), Child(Diary(), wait)
    first = waiting.listen(kill_after_s=20.0)
    second = talking.listen()
    os.close(reader)
    os.close(writer)

    assert (first.done, second.done, len(second.errors)) == (True, True, 20)


def test_a_child_that_waits_is_told_from_one_that_has_not_had_its_turn(tmp_path: Path) -> None:
    """At a lock it stands still; what it said before has been heard, and it ends when the lock is free."""
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)

    def wait(voice: Voice) -> None:
        voice.say(Word.BEGUN, 4)
        fcntl.flock(os.open(tmp_path / "lock", os.O_RDWR), fcntl.LOCK_EX)

    child = Child(Diary(), wait)
    child.hear_until_it_waits(60.0)
    assert (child.told.begun, child.told.done) == (5, False)

    fcntl.flock(lock, fcntl.LOCK_UN)
    assert child.listen().done
    os.close(lock)


def test_a_child_that_does_not_wait_is_heard_to_its_end() -> None:
    child = Child(Diary(), lambda voice: voice.say(Word.BEGUN, 4))
    child.hear_until_it_waits(60.0)
    assert child.told.done
    assert child.listen().status == 0


def test_what_has_ended_is_not_asleep() -> None:
    assert not containment.is_asleep(2**22 + 1)  # above any number of a process: proc(5), pid_max


def test_nothing_is_left_where_a_process_cannot_be_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refuse)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(BlockingIOError):
        told(lambda voice: None)
    assert set(os.listdir("/proc/self/fd")) == before


def test_no_descriptor_is_left_of_a_child() -> None:
    before = set(os.listdir("/proc/self/fd"))
    told(lambda voice: None)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_board_that_speaks_passes_everything_on() -> None:
    diary, said = Diary(), []

    class Mouth:
        def say(self, word: Word, number: int = -1, payload: bytes = b"") -> None:
            said.append((word, payload))

    board = SpokenBoard(diary, Mouth())  # type: ignore[arg-type]
    board.enter(2, "opening")
    board.leave()
    board.adopt()

    assert (diary.calls, said) == ([(2, "opening")], [(Word.STEP, b"opening")])
