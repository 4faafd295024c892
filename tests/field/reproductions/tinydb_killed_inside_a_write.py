"""The process dies while TinyDB overwrites its only file; afterwards the database can't be read."""

import os
import resource
import signal
import tempfile

from tinydb import TinyDB

path = os.path.join(tempfile.mkdtemp(), "db.json")
with TinyDB(path) as database:
    database.insert({"name": "kept", "text": "x" * 100})

if os.fork() == 0:  # this process may write 40 bytes to a file, and dies at the next one
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))
    database = TinyDB(path)
    database.update({"name": "changed to something longer"})
    os._exit(0)
_, status = os.wait()
print("the writer was ended by", signal.Signals(os.WTERMSIG(status)).name)

try:
    print(TinyDB(path).all())
except ValueError as error:
    print("reading raises", type(error).__name__)
