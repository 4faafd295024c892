"""Persistence models: which DiskOps may be lost or reordered when power fails.

A model is a value: eleven knobs and the assumptions behind them. `harness.crash` derives the
legal crash states from it. The presets and what distinguishes them come from Pillai et al.,
"All File Systems Are Not Created Equal" (OSDI 2014), and Bornholt et al., "Specifying and
Checking File System Crash-Consistency Models" (ASPLOS 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

PAGE_BYTES = 4096
SECTOR_BYTES = 512


class Survival(Enum):
    """How much of what was not synced a crash may leave."""

    ANY_LEGAL_SUBSET = "any legal subset of what was not synced"
    ONLY_SYNCED = "exactly what was synced"
    ALL_COMPLETED = "every completed call"


class Torn(Enum):
    """The unit in which data of one write can be kept or lost."""

    WRITE = "whole write"
    PAGE = "page"
    SECTOR = "sector"
    BYTE_PREFIX = "byte prefix"


class Growth(Enum):
    """What a file that grew shows where its data is missing."""

    DATA_FIRST = "data before size"
    SIZE_FIRST_ZEROS = "size before data, gaps read as zeros"
    SIZE_FIRST_GARBAGE = "size before data, gaps read as zeros or garbage"


class LastPage(Enum):
    """Whether filling up the old last page needs its data before its size."""

    JOINED = "joined with the append"
    SEPARATE = "separate: an append may leave NUL bytes at the old tail"


class Rename(Enum):
    """Whether a rename can be seen half done."""

    ATOMIC = "atomic"
    DESTINATION_GONE = "destination gone for a moment"
    BOTH_GONE = "both names gone for a moment"


class EntryOrder(Enum):
    """In which order directory entries reach the disk."""

    TOTAL = "total order"
    PER_DIRECTORY = "ordered per directory"
    FREE = "free"


class DataAgainstEntries(Enum):
    """Whether an entry waits for the data issued before it."""

    ORDERED = "ordered"
    FREE = "free"


class ReplaceFlush(Enum):
    """What a rename over an existing file does for the data of the new one."""

    WAITS = "flushes its data first and waits"
    STARTS = "starts to flush but does not wait"
    NOTHING = "does nothing"


class FileSync(Enum):
    """What fsync of a file covers."""

    DATA_AND_SIZE = "data and size"
    OWN_ENTRY = "data, size and its own entry"
    ANCESTORS = "data, size, its own entry and those of its ancestors"
    WHOLE_JOURNAL = "the whole journal"


class Overwrite(Enum):
    """What an interrupted overwrite of a sector leaves."""

    OLD_OR_NEW = "old or new"
    NEIGHBOURS = "old or new, and neighbouring bytes of the sector may be damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistenceModel:
    """Which DiskOps may be lost or reordered when power fails.

    `assumptions` are sentences for the reader of a certificate. fdatasync covers data and
    size, never entries; sync covers everything; fsync of a directory covers its entries.
    """

    name: str
    summary: str
    survival: Survival = Survival.ANY_LEGAL_SUBSET
    torn: Torn = Torn.SECTOR
    growth: Growth = Growth.SIZE_FIRST_GARBAGE
    last_page: LastPage = LastPage.SEPARATE
    rename: Rename = Rename.ATOMIC
    entries: EntryOrder = EntryOrder.FREE
    data_against_entries: DataAgainstEntries = DataAgainstEntries.FREE
    replace_flush: ReplaceFlush = ReplaceFlush.NOTHING
    file_sync: FileSync = FileSync.DATA_AND_SIZE
    overwrite: Overwrite = Overwrite.OLD_OR_NEW
    assumptions: tuple[str, ...] = ()


COMMON_ASSUMPTIONS = (
    "What fsync reported as written is on the medium.",
    "A sector of 512 bytes is written whole or not at all.",
    "A rename is one step.",
)

PROCESS_CRASH = PersistenceModel(
    name="process-crash",
    summary="the process dies, the kernel lives",
    survival=Survival.ALL_COMPLETED,
    assumptions=(
        "Every completed call persists.",
        "A write in progress may be cut at a page boundary of the file.",
    ),
)
MAX_LOSS = PersistenceModel(
    name="max-loss",
    summary="exactly what was synced survives, nothing else",
    survival=Survival.ONLY_SYNCED,
    assumptions=COMMON_ASSUMPTIONS,
)
STRICT = PersistenceModel(
    name="strict",
    summary="the weakest of the file systems in common use, taken together",
    assumptions=(
        *COMMON_ASSUMPTIONS,
        "Anything that was not synced may be there or not, in any order.",
        "A file that grew may show zeros or garbage where its data is missing.",
        "fsync of a file says nothing about its directory entry.",
    ),
)
EXT4 = PersistenceModel(
    name="ext4",
    summary="ext4, data=ordered, delayed allocation",
    growth=Growth.DATA_FIRST,
    entries=EntryOrder.TOTAL,
    replace_flush=ReplaceFlush.STARTS,
    file_sync=FileSync.WHOLE_JOURNAL,
    assumptions=(
        *COMMON_ASSUMPTIONS,
        "Directory entries reach the disk in the order of the calls.",
        "A new page is never shown before its data; filling up an old page may show NUL bytes.",
        "fsync commits the whole journal.",
    ),
)
BTRFS = PersistenceModel(
    name="btrfs",
    summary="Btrfs",
    torn=Torn.PAGE,
    growth=Growth.DATA_FIRST,
    last_page=LastPage.JOINED,
    replace_flush=ReplaceFlush.WAITS,
    file_sync=FileSync.ANCESTORS,
    assumptions=(
        *COMMON_ASSUMPTIONS,
        "Pages are copied on write: a page is old or new.",
        "A rename over an existing file waits for the data of the new one.",
        "fsync of a file makes its name durable too.",
    ),
)
EXT3_ORDERED = PersistenceModel(
    name="ext3-ordered",
    summary="the strongest ordering of the common ones",
    growth=Growth.DATA_FIRST,
    last_page=LastPage.JOINED,
    entries=EntryOrder.TOTAL,
    data_against_entries=DataAgainstEntries.ORDERED,
    replace_flush=ReplaceFlush.WAITS,
    file_sync=FileSync.WHOLE_JOURNAL,
    assumptions=(
        *COMMON_ASSUMPTIONS,
        "Data is on the disk before any later directory entry or file size.",
        "fsync commits the whole journal.",
    ),
)

PRESETS: dict[str, PersistenceModel] = {
    model.name: model for model in (PROCESS_CRASH, MAX_LOSS, STRICT, EXT4, BTRFS, EXT3_ORDERED)
}
POWER_LOSS_PRESETS = ("max-loss", "ext3-ordered", "btrfs", "ext4", "strict")
