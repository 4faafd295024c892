"""One register whose values tell who wrote them: decided by sorting, after Gibbons and Korach.

A write and all reads of its value are a cluster: nothing else may come in between. `first_end` is the first answer in
it, `last_begin` the last call; of two clusters one has to come before the other if its first answer came before the
last call of the other, and the register is sound if, and only if, no two have to come before each other. That is the
case where two forward zones (`first_end < last_begin`) overlap, or a backward one lies within a forward one.

It takes that each value that is read has one writer. Where a value has several - absence is written by every `Delete`
and there from the beginning - its clusters are left out; what is left may be found wrong, which is a proof because
leaving out all writes and reads of a value breaks no sound history, but it may not be found sound. A write that was
not answered and not read is left out as well: nothing needs it.

Source: Gibbons and Korach, "Testing Shared Memories", SIAM Journal on Computing 26 (1997).
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from harness.history.decided import OPEN, Decided
from harness.history.events import Event
from harness.history.registers import ABSENT, Access

_BEFORE_ALL = -math.inf


class _Cluster:
    """A write and the reads of its value; the write of what was there at the beginning is `None`."""

    __slots__ = ("begins_last", "ends_first", "first_end", "last_begin", "reads", "write")

    def __init__(self, write: Event | None) -> None:
        self.write = self.ends_first = self.begins_last = write
        self.first_end: float = _BEFORE_ALL if write is None else write.completed
        self.last_begin: float = _BEFORE_ALL if write is None else write.invoked
        self.reads: list[Event] = []

    def add(self, read: Event) -> None:
        self.reads.append(read)
        if read.completed < self.first_end:
            self.first_end, self.ends_first = read.completed, read
        if read.invoked > self.last_begin:
            self.last_begin, self.begins_last = read.invoked, read

    def witnesses(self) -> Iterable[Event]:
        return (event for event in (self.write, self.ends_first, self.begins_last) if event is not None)


def decide(accesses: Sequence[Access]) -> Decided:
    """Whether the accesses to one register are linearizable; open where a value that is read has several writers."""
    writes, reads = _by_value(accesses)
    clusters: list[_Cluster] = []
    ambiguous = False
    for value, readers in reads.items():
        writers = [*([None] if value == ABSENT else []), *writes.pop(value, ())]
        if not writers:
            return Decided(False, against=(readers[0],))
        if len(writers) > 1:
            ambiguous = True
            continue
        cluster = _Cluster(writers[0])
        for read in readers:
            if writers[0] is not None and read.completed < writers[0].invoked:
                return Decided(False, against=(read, writers[0]))
            cluster.add(read)
        clusters.append(cluster)
    clusters += [_Cluster(write) for unread in writes.values() for write in unread if write.answered]
    against = _contradiction(clusters)
    if against is not None:
        return Decided(False, against=_distinct(against))
    return OPEN if ambiguous else Decided(True, tuple(_order(clusters)))


def _by_value(accesses: Sequence[Access]) -> tuple[dict[int, list[Event]], dict[int, list[Event]]]:
    writes: dict[int, list[Event]] = {}
    reads: dict[int, list[Event]] = {}
    for event, _, value, is_write in accesses:
        (writes if is_write else reads).setdefault(value, []).append(event)
    return writes, reads


def _contradiction(clusters: list[_Cluster]) -> tuple[_Cluster, _Cluster] | None:
    """Two clusters that have to come before each other."""
    forward = [cluster for cluster in clusters if cluster.first_end < cluster.last_begin]
    forward.sort(key=lambda cluster: cluster.first_end)
    for one, other in itertools.pairwise(forward):
        if other.first_end < one.last_begin:
            return one, other
    starts = [cluster.first_end for cluster in forward]
    for cluster in clusters:
        if cluster.first_end >= cluster.last_begin:
            place = bisect_left(starts, cluster.last_begin) - 1
            if place >= 0 and cluster.first_end < forward[place].last_begin:
                return forward[place], cluster
    return None


def _distinct(clusters: Iterable[_Cluster]) -> tuple[Event, ...]:
    events = (event for cluster in clusters for event in cluster.witnesses())
    return tuple(sorted(dict.fromkeys(events), key=lambda event: (event.invoked, event.number)))


def _order(clusters: list[_Cluster]) -> Iterable[Event]:
    """Clusters one after another. Where `a` has to come before `b`, and `b` not before `a`, `a.first_end <
    b.last_begin` and `a.last_begin <= b.first_end`: the sum of both is smaller for `a`."""
    clusters.sort(key=lambda cluster: cluster.first_end + cluster.last_begin)
    for cluster in clusters:
        if cluster.write is not None:
            yield cluster.write
        yield from sorted(cluster.reads, key=lambda read: read.invoked)
