"""What a machine runs out of: descriptors, memory, threads, the right to write, the directory itself, room for a path.

The limits are those of setrlimit(2) and path_resolution(7). A read-only directory refuses new entries (EACCES), a
read-only file system every change (EROFS, also what ext4 turns into after an error), a directory that is gone refuses
every path below it (ENOENT), while open descriptors go on working.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

#: The longest path that the kernel takes, without the final NUL (limits.h, PATH_MAX).
PATH_MAX_BYTES = 4095
#: How much shorter than that the path of the directory is: a name, a name with a suffix, names in a subdirectory.
_SHORTER = (2, 8, 16, 24, 48, 120, 400)
_MEMORY_BYTES = (0, 1 << 16, 1 << 20)
_MOST_DESCRIPTORS = 6
_PLACES = 4


class Resource(Enum):
    """What is short. `amount` of a `ResourceFault` means what is said here."""

    DESCRIPTORS = "no descriptor is left"  # after `amount` more
    MEMORY = "no memory is left"  # after `amount` more bytes
    THREADS = "no thread can be started"  # after `amount` more
    DIRECTORY = "the directory is read-only"
    FILE_SYSTEM = "the file system is read-only"
    GONE = "the directory is gone"
    PATH = "the path of the directory is long"  # `amount` bytes


#: The error of each refusal that a gate stands in for.
ERRORS = {Resource.DIRECTORY: errno.EACCES, Resource.FILE_SYSTEM: errno.EROFS, Resource.GONE: errno.ENOENT}


@dataclass(frozen=True, slots=True)
class ResourceFault:
    """One shortage, from step `index` on (0 is the opening), during that step or, `lasting`, to the end."""

    resource: Resource
    amount: int = 0
    index: int = 0
    lasting: bool = False

    def describe(self) -> str:
        if self.resource is Resource.PATH:
            return f"{self.resource.value} ({self.amount} bytes)"
        where = "opening" if self.index == 0 else f"step {self.index}"
        more = f" after {self.amount} more" if self.amount else ""
        return f"{self.resource.value}{more}, {'from' if self.lasting else 'during'} {where}{' on' * self.lasting}"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a workload needs without any shortage: `steps`, at most so many descriptors at once, and thread starts."""

    steps: int
    descriptors: int
    threads: int


def resource_faults(needs: Needs) -> Iterator[ResourceFault]:
    """Every shortage of a workload, those that strike most first."""
    places = range(needs.steps + 1)
    few = [places[number * len(places) // _PLACES] for number in range(_PLACES)] if needs.steps >= _PLACES else places
    for amount in range(min(needs.descriptors, _MOST_DESCRIPTORS)):
        for index in places:
            yield ResourceFault(Resource.DESCRIPTORS, amount, index)
        for index in few:
            yield ResourceFault(Resource.DESCRIPTORS, amount, index, lasting=True)
    for amount in range(needs.threads):
        for lasting in (False, True):
            yield ResourceFault(Resource.THREADS, amount, 0, lasting)
    for resource in (Resource.DIRECTORY, Resource.FILE_SYSTEM):
        for index in few:
            for lasting in (False, True):
                yield ResourceFault(resource, 0, index, lasting)
    for index in few:
        if index > 0:  # a directory that is empty when a store is opened is a new store
            yield ResourceFault(Resource.GONE, 0, index, lasting=True)
    for shorter in _SHORTER:
        yield ResourceFault(Resource.PATH, PATH_MAX_BYTES - shorter)
    if not needs.threads:  # a thread that finds no memory never tells Python's Thread.start that it runs
        for amount in _MEMORY_BYTES:
            for index in few:
                yield ResourceFault(Resource.MEMORY, amount, index)
