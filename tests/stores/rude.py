"""A store that behaves badly and loses nothing."""

from __future__ import annotations

import locale
import logging
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import Contract
from tests.stores.honest import Sound


class Rude(Sound):
    """Prints, logs, and changes everything that its process shares with others, each time."""

    name = "rude"
    contract = Contract(power_loss=None, corruption=None)

    def open(self, directory: Path) -> Path:
        os.chdir(tempfile.gettempdir())
        os.umask(0o777)
        os.environ["TZ"] = "XYZ+9"
        os.environ.pop("HOME", None)
        time.tzset()
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, lambda received, frame: None)
        sys.setrecursionlimit(300)
        logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, force=True)
        os.umask(0o022)
        return super().open(directory)

    def apply(self, store: Path, operation: Any) -> None:
        for stream in (sys.stdout, sys.stderr):
            print("noise " * 200, file=stream, flush=True)
        os.write(1, b"noise\n")
        os.write(2, b"noise\n")
        logging.getLogger("rude").error("noise")
        super().apply(store, operation)
