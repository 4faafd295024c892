"""A process that appends: `python writer.py LOG NAME THREADS COUNT`, as soon as it reads a line from its input.

COUNT "die": it dies in the middle of a line. COUNT "fork": its child writes too, through the same logger.
"""

from __future__ import annotations

import os
import sys
import threading

from store_under_test.structured_log import EventType, StructuredLogger

LARGE = 200_000  # characters: more than any pipe or page holds


def write(log: StructuredLogger, name: str, count: int) -> None:
    for number in range(count):
        text = "x" * (LARGE if number % 5 == 0 else number)
        assert log.log_event(EventType.RECORD, name=name, n=number, text=text)


def die_in_a_line(log: StructuredLogger) -> None:
    original = os.write

    def half(descriptor: int, data: memoryview) -> int:
        original(descriptor, data[: len(data) // 2])
        os._exit(9)

    os.write = half  # type: ignore[assignment]
    log.log_event(EventType.RECORD, name="dead", n=0)


def main(path: str, name: str, threads: str, count: str) -> None:
    log = StructuredLogger(path, lock_timeout_s=60)
    print("ready", flush=True)
    sys.stdin.readline()
    if count == "die":
        die_in_a_line(log)
    if count == "fork":
        write(log, name, 5)
        child = os.fork()
        write(log, f"{name}-{'child' if child == 0 else 'parent'}", 20)
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        return
    workers = [threading.Thread(target=write, args=(log, f"{name}-{it}", int(count))) for it in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert log.stats().written == int(threads) * int(count)


if __name__ == "__main__":
    main(*sys.argv[1:])
