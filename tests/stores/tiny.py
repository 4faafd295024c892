"""A profile with just enough work to show what a small store does. Run as a module it is the command line with it."""

from __future__ import annotations

import sys

from harness.crash.states import Limits
from harness.explore.workloads import Extent
from harness.run.options import PROFILES, Profile

TINY = Profile("tiny", Extent(4, (6,), large=False), Limits(400, 20, 2_000), 1, 1, 120.0)

if __name__ == "__main__":
    from harness.cli import main

    PROFILES[TINY.name] = TINY
    sys.exit(main())
