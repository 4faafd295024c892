"""The small tree of exceptions that the harness itself raises.

A store's failure is never one of these: it is a verdict. An exception from this tree means
that the harness was misused (`UsageError`) or could not do its own work (`HarnessFault`).
"""

from __future__ import annotations


class HarnessError(Exception):
    """Base of all exceptions of the harness; `exit_status` is what the command line returns."""

    exit_status = 4


class UsageError(HarnessError):
    """Wrong input. The message is one sentence that says what to do instead."""

    exit_status = 2


class HarnessFault(HarnessError):
    """The harness could not do its work (a worker could not be started, ...)."""

    exit_status = 4


class Unsupported(Exception):
    """Raised by an adapter's `apply`, before any effect, for a key or value that its store cannot take.

    The operation leaves the workload, and the certificate counts how many did. It is not a
    `HarnessError`: it is part of the conversation between the harness and an adapter.
    """
