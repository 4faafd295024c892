"""PupDB empties its only file before it writes; a process that dies in between leaves nothing."""

import os
import resource
import signal
import tempfile

from pupdb.core import PupDB

path = os.path.join(tempfile.mkdtemp(), "db.json")
PupDB(path).set("key", "value")

if os.fork() == 0:  # this process dies at the first byte that it writes to a file
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    PupDB(path).set("another", "value")
    os._exit(0)
_, status = os.wait()
print("the writer was ended by", signal.Signals(os.WTERMSIG(status)).name)
print("bytes left:", os.path.getsize(path))

try:
    print(PupDB(path).get("key"))
except ValueError as error:
    print("reading raises", type(error).__name__)
