"""Several writers of one file: real processes and threads, locks, dead writers, forks."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from store_under_test.structured_log import EventType, LogBusyError, LogError, StructuredLogger, read_log
from store_under_test.structured_log.forking import _forget_in_child
from store_under_test.structured_log.logfile import MAX_DELAY_S, LogFile
from tests.unit.structured_log.kit import numbers, writes

ROOT = Path(__file__).resolve().parents[3]
BODY = b'{"event":"record","fields":{"n":1}}'


def started(log: Path, name: str, threads: int, count: int | str) -> subprocess.Popen[str]:
    """A writer that is ready and waits for a line."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("writer.py")), str(log), name, str(threads), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def finished(*processes: subprocess.Popen[str]) -> list[int]:
    """Lets all of them go at once; their exit statuses."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=100)
    return [process.returncode for process in processes]


def test_threads_of_processes_lose_and_mix_nothing(tmp_path: Path) -> None:
    """Large lines and small ones; those of one thread are in its order."""
    log = tmp_path / "log"
    assert finished(*(started(log, name, threads=2, count=20) for name in "ab")) == [0, 0]
    contents = read_log(log)
    assert (contents.malformed, contents.damaged, contents.torn) == (0, (), None)
    for name in ("a-0", "a-1", "b-0", "b-1"):
        fields = [it["fields"] for it in contents.records if it["fields"]["name"] == name]
        assert [it["n"] for it in fields] == list(range(20))
        assert all(len(it["text"]) in (it["n"], 200_000) for it in fields)


def test_a_writer_that_died_in_a_line_stops_nobody(tmp_path: Path) -> None:
    """The lock is free, and the next line is a fresh one."""
    log = tmp_path / "log"
    assert finished(started(log, "dead", 1, "die")) == [9]
    assert (numbers(read_log(log)), read_log(log).torn is not None) == ([], True)
    assert StructuredLogger(log).log_event(EventType.RECORD, n=1)
    contents = read_log(log)
    assert (numbers(contents), contents.malformed, contents.damaged) == ([1], 1, ())


def test_a_fork_has_a_lock_of_its_own(tmp_path: Path) -> None:
    """Parent and child, who would share it with the open file, write at the same time through what was one logger."""
    log = tmp_path / "log"
    assert finished(started(log, "p", 1, "fork")) == [0]
    contents = read_log(log)
    names = Counter(record["fields"]["name"] for record in contents.records)
    assert names == {"p": 5, "p-parent": 20, "p-child": 20}
    assert contents.malformed == 0


def test_what_a_child_forgets(tmp_path: Path) -> None:
    """Locks that its parent's threads held, the open file, and what its parent has yet to tell."""
    logger = StructuredLogger(tmp_path / "log")
    logger.log_event(EventType.RECORD, n=1)
    with patch.object(sys, "stderr", None), writes(lambda original, descriptor, data: 0):
        logger.log_event(EventType.RECORD, n=2)
    logger.file._lock.acquire()
    logger._counting.acquire()
    _forget_in_child()
    assert logger.log_event(EventType.RECORD, n=3)
    assert (numbers(read_log(tmp_path / "log")), read_log(tmp_path / "log").lost) == ([1, 3], 0)


def test_waiting_for_others_ends_at_the_time_limit(tmp_path: Path) -> None:
    """On the clock given, with growing but bounded pauses; when they are gone it goes on."""
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    file = LogFile(tmp_path / "log", lock_timeout_s=1.5, clock=lambda: now[0], sleep=sleep)
    assert file.append(BODY) == 0
    with open(tmp_path / "log") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LogBusyError, match=r"other processes were writing to .*log for 1\.5 s"):
            file.append(BODY)
        assert now[0] == pytest.approx(101.5)
        assert slept[0] < slept[1] <= max(slept) <= MAX_DELAY_S
    file.append(BODY)
    assert len(read_log(tmp_path / "log").records) == 2


def test_a_thread_that_writes_already_is_told_so(tmp_path: Path) -> None:
    """A signal handler or a finalizer that logs in the middle of a line must not wait for itself; it is counted."""
    logger = StructuredLogger(tmp_path / "log")
    inside: list[bool] = []

    def log_meanwhile(original: Any, descriptor: int, data: Any) -> int:
        if not inside:
            inside.append(True)
            with patch.object(sys, "stderr", None):
                inside.append(logger.log_event(EventType.RECORD, n=2))
        return int(original(descriptor, data))

    with writes(log_meanwhile):
        assert logger.log_event(EventType.RECORD, n=1)
    logger.log_event(EventType.RECORD, n=3)
    contents = read_log(tmp_path / "log")
    assert (numbers(contents), contents.lost, inside) == ([1, 3], 1, [True, False])


def test_other_threads_are_waited_for(tmp_path: Path) -> None:
    """As long as they may take."""
    file = LogFile(tmp_path / "log", lock_timeout_s=0)
    with file._lock, pytest.raises(LogBusyError, match="other threads were writing"):
        file.append(BODY)
    assert file.append(BODY) == 0


def test_a_removed_file_is_made_anew(tmp_path: Path) -> None:
    """What would be written to the old one, nobody could read."""
    logger = StructuredLogger(tmp_path / "log")
    logger.log_event(EventType.RECORD, n=1)
    (tmp_path / "log").unlink()
    assert logger.log_event(EventType.RECORD, n=2)
    assert numbers(read_log(tmp_path / "log")) == [2]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_only_a_regular_file_is_a_log(tmp_path: Path) -> None:
    """No symbolic link, and no pipe that would be waited for."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError, match=r"Too many levels|not a regular file"):
            LogFile(tmp_path / name).append(BODY)
    assert not (tmp_path / "elsewhere").exists()


def test_a_closed_file_takes_nothing(tmp_path: Path) -> None:
    """Closing it again is no error."""
    file = LogFile(tmp_path / "log")
    file.append(BODY)
    file.close()
    file.close()
    with pytest.raises(LogError, match="was closed"):
        file.append(BODY)


def test_a_write_without_progress_is_an_error(tmp_path: Path) -> None:
    """Not an endless loop."""
    with writes(lambda original, descriptor, data: 0), pytest.raises(OSError, match="no progress"):
        LogFile(tmp_path / "log").append(BODY)


def test_the_last_sound_line_is_found_behind_much_that_is_not(tmp_path: Path) -> None:
    """Long lines, no line break at all, several bad lines, and a file with nothing sound."""
    for number, rubbish in enumerate((b"x" * 3_000_000, b"a\nb\n" * 3000, b"\n", b"\x00" * 5000 + b"\n\x00")):
        for sound in (True, False):
            path = tmp_path / f"log{number}{sound}"
            if sound:
                LogFile(path).append(BODY)
            before = path.stat().st_size if sound else 0
            with path.open("ab") as file:
                file.write(rubbish)
            LogFile(path).append(BODY)
            contents = read_log(path)
            assert contents.records[-1]["void"][:2] == [before, len(rubbish)]
            assert (len(contents.records), contents.damaged, contents.torn) == (1 + sound, (), None)
