"""Workers that deal with long traces, and look at how much memory that takes."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

from benchmarks.measuring import Spent, now, since
from benchmarks.peak import peak_bytes
from harness.core.models import KEY_VALUE
from harness.core.persistence import STRICT
from harness.core.trace import Trace
from harness.crash.states import Enumerator, Limits
from harness.judge.oracle import Oracle
from harness.run.recording import RecordJob, record
from harness.run.recovering import Board
from harness.run.tasks import Context, prepare

__all__ = ["Lengthy", "admit", "enumerate_states", "prepare", "record_workload"]

LIMITS = Limits(states_per_point=8_000, bounded_per_point=120, states=10_000_000)


@dataclass(frozen=True, slots=True)
class Lengthy:
    """What a stage dealt with, what it took, and the memory of its process before it and at its peak."""

    events: int
    items: int
    spent: Spent
    before_bytes: int
    peak_bytes: int


def record_workload(context: Context, job: RecordJob, board: Board) -> Lengthy:
    """Record, check and store the trace of a workload."""
    before, start = peak_bytes(), now()
    recorded = record(context.adapter, context.directory, board, job)
    spent = since(start)
    if recorded.unseen:
        raise RuntimeError(f"not all was seen: {recorded.unseen[0]}")
    return Lengthy(recorded.events, recorded.operations, spent, before, peak_bytes())


def enumerate_states(context: Context, trace_file: str, board: Board) -> Lengthy:
    """Enumerate all states of a trace under the model with the most."""
    before, start = peak_bytes(), now()
    trace = _load(trace_file)
    enumerator = Enumerator(trace, STRICT, limits=LIMITS)
    for _ in enumerator:
        pass
    return Lengthy(len(trace.events), enumerator.counts.distinct, since(start), before, peak_bytes())


def admit(context: Context, trace_file: str, board: Board) -> Lengthy:
    """Work out which states are admissible after each operation."""
    before, start = peak_bytes(), now()
    trace = _load(trace_file)
    oracle = Oracle(KEY_VALUE, trace.operations, trace.errors)
    return Lengthy(len(trace.events), len(oracle.states), since(start), before, peak_bytes())


def _load(file: str) -> Trace:
    with open(file, "rb") as stream:
        trace: Trace = pickle.load(stream)
    return trace
