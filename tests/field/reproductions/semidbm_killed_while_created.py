"""semidbm takes a file without a header for a foreign one: who dies while creating it locks everybody out."""

import os
import resource
import signal
import tempfile

import semidbm

path = os.path.join(tempfile.mkdtemp(), "db")

if os.fork() == 0:  # this process dies at the first byte that it writes to a file
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    semidbm.open(path, "c")
    os._exit(0)
_, status = os.wait()
print("the writer was ended by", signal.Signals(os.WTERMSIG(status)).name)

try:
    semidbm.open(path, "c")
except semidbm.DBMLoadError as error:
    print("opening raises", type(error).__name__, "-", error)
