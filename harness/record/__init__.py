"""Records what a store does to its directory, by interposing on Python's own file functions.

`install` patches the process; a `Recorder` turns a workload into a `Trace`. What Python's
functions do not do themselves (mmap, sqlite3, C extensions, child processes) is not seen; the
trace then says so in `Trace.unseen`, and never keeps quiet about it: replaying all recorded
effects must give exactly the directory that the store left behind.
"""

from harness.record.patches import install, rebind, uninstall
from harness.record.recorder import Recorder, get_ready
from harness.record.replay import replay, same_image
from harness.record.scan import scan

__all__ = ["Recorder", "get_ready", "install", "rebind", "replay", "same_image", "scan", "uninstall"]
