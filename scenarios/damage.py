"""Files are damaged at rest: bits flip, blocks are lost, stale or misplaced, tails cut, files go or are set back."""

from harness.core.scenario import Scenario

SCENARIOS = (
    Scenario(
        name="damage",
        claim="corruption",
        tries="damage every file of a closed store, byte by byte and page by page, and open it again",
        faults=("bit flips", "cut files", "zeroed pages", "stale pages", "misplaced blocks", "duplicated tails"),
        family="short",
        minimum_operations=2,
        engine="damage",
    ),
    Scenario(
        name="rollback",
        claim="rollback",
        tries="remove files, set them back to an earlier version, or cut them where an operation ended",
        faults=("files removed", "files set back"),
        family="short",
        minimum_operations=2,
        engine="damage",
    ),
)
