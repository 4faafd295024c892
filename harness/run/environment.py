"""The machine that a certificate was issued on, and what it allows."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Any

import psutil

import harness


def environment() -> dict[str, Any]:
    """Facts that a reader needs to judge a certificate; nothing that names the machine."""
    return {
        "harness": harness.__version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "kernel": platform.release(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mib": psutil.virtual_memory().total >> 20,
        "root": os.geteuid() == 0,
    }


def file_system_of(path: Path) -> str:
    """The type of the file system that holds `path`."""
    best, kind = "", "unknown"
    for partition in psutil.disk_partitions(all=True):
        mount = partition.mountpoint
        if (str(path) == mount or str(path).startswith(mount.rstrip("/") + "/")) and len(mount) > len(best):
            best, kind = mount, partition.fstype
    return kind


def tool(name: str) -> str | None:
    return shutil.which(name)
