"""What reading a log, or writing to its file, raises. `log_event` raises none of it."""

from __future__ import annotations


class LogError(Exception):
    """Base of the log's own exceptions."""


class LogBusyError(LogError, TimeoutError):
    """Others kept the file locked for longer than the writer would wait, or it is this very thread that writes."""


class LogDamagedError(LogError):
    """Bytes `start` to `end` of `path` are not what was written, and no writer that died explains them."""

    def __init__(self, path: str, start: int, end: int) -> None:
        super().__init__(path, start, end)
        self.path = path
        self.start = start
        self.end = end

    def __str__(self) -> str:
        return f"{self.path}, bytes {self.start} to {self.end}: these are not the lines that were written"
