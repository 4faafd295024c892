"""How much memory a process had at its peak."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any


def peak_bytes() -> int:
    """The most memory that this process had resident.

    Linux counts what a process had before execve(2) into ru_maxrss of getrusage(2), here that of the process
    that started us; VmHWM of proc(5) begins anew.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        fields: dict[str, Any] = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(fields["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
