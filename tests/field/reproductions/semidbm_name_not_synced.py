"""semidbm's `sync` fsyncs the data and never the directory: the file may be gone after a loss of power."""

import os
import stat
import tempfile

import semidbm

synced = []
fsync = os.fsync


def noting(descriptor):
    synced.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
    fsync(descriptor)


os.fsync = noting
database = semidbm.open(os.path.join(tempfile.mkdtemp(), "db"), "c")
database["key"] = "value"
database.sync()
print("synced when sync returned:", sorted(set(synced)))
