"""Calls of the store fail: reading, writing, opening, syncing, and all others, once or from then on."""

from harness.core.scenario import Scenario

SCENARIOS = (
    Scenario(
        name="failing-calls",
        claim="io_error",
        tries="let each file-system call of a store fail, also those that only a failure leads to, cut its writes "
        "short, have its locks taken, and go on with the same handle",
        faults=(
            *("EIO", "ENOSPC", "EDQUOT", "EMFILE", "EACCES", "ENOLCK", "short writes", "errors after effect"),
            *("second failures", "locks taken", "forks"),
        ),
        family="short",
        minimum_operations=2,
        engine="failing-calls",
    ),
    Scenario(
        name="failing-syncs",
        claim="io_error",
        tries="let an fsync fail, go on, and cut the power: what was not made durable may not be relied upon",
        faults=("failed fsync", "loss of power"),
        family="short",
        minimum_operations=2,
        engine="failing-syncs",
    ),
    Scenario(
        name="full-disk",
        claim="io_error",
        tries="fill a small file system at every amount of room, go on, and free it again",
        faults=("full disk", "no inodes"),
        family="short",
        minimum_operations=2,
        engine="full-disk",
    ),
    Scenario(
        name="fake-disk",
        claim="io_error",
        tries="fill a disk in memory at every byte, go on, and free it again",
        faults=("full disk",),
        family="short",
        minimum_operations=2,
        engine="fake-disk",
    ),
    Scenario(
        name="failing-threads",
        claim="io_error",
        tries="let threads that share one handle take turns, and fail a write or a sync of the first",
        faults=("switch of threads", "EIO"),
        family="pairs",
        minimum_operations=3,
        engine="failing-threads",
    ),
)
