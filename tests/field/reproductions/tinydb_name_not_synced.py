"""TinyDB fsyncs its file and never the directory: after a loss of power the new file may not be there at all."""

import os
import stat
import tempfile

from tinydb import TinyDB

synced = []
fsync = os.fsync


def noting(descriptor):
    synced.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
    fsync(descriptor)


os.fsync = noting
database = TinyDB(os.path.join(tempfile.mkdtemp(), "db.json"))
database.insert({"name": "acknowledged"})
print("synced before insert returned:", sorted(set(synced)))
