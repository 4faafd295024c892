"""The libraries that are judged in the field, and what shows their losses without this project."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ADAPTERS = ROOT / "store_under_test" / "field"
REPRODUCTIONS = HERE / "reproductions"
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Library:
    """`package` is its name on PyPI; `shown` maps a reproduction to a text that it must print."""

    name: str
    package: str
    shown: dict[str, str]

    @property
    def adapter(self) -> Path:
        return ADAPTERS / f"{self.name}_store.py"

    @property
    def spec(self) -> str:
        return f"store_under_test.field.{self.name}_store:Adapter"


LIBRARIES: tuple[Library, ...] = (
    Library("atomicwrites", "atomicwrites", {}),
    Library(
        "klepto",
        "klepto",
        {"klepto_killed_before_the_rename": "after reopening: {}"},
    ),
    Library("pickledb", "pickleDB", {"pickledb_never_synced": "before save returned: ['rename']"}),
    Library("pupdb", "pupdb", {"pupdb_killed_inside_a_write": "reading raises JSONDecodeError"}),
    Library(
        "semidbm",
        "semidbm",
        {
            "semidbm_killed_while_created": "opening raises DBMLoadError",
            "semidbm_torn_record": "opening raises DBMLoadError",
            "semidbm_name_not_synced": "synced when sync returned: ['file']",
        },
    ),
    Library(
        "tinydb",
        "tinydb",
        {
            "tinydb_killed_inside_a_write": "reading raises JSONDecodeError",
            "tinydb_name_not_synced": "synced before insert returned: ['file']",
        },
    ),
)


def source(reproduction: str) -> str:
    """The text of a reproduction: plain Python that imports nothing of this project."""
    return (REPRODUCTIONS / f"{reproduction}.py").read_text(encoding="utf-8")


def reproduce(reproduction: str) -> str:
    """What a reproduction prints, run from a directory in which nothing of this project can be imported."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", source(reproduction)],
            cwd=folder,
            env={**os.environ, "TMPDIR": folder, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
        )
    return done.stdout
