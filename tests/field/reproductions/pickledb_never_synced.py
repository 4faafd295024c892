"""pickleDB renames a file over the old one that was never fsynced: a file system may make the rename durable first."""

import os
import sys
import tempfile

from pickledb import PickleDB

calls = []
fsync, fdatasync = os.fsync, os.fdatasync
os.fsync = lambda descriptor: (calls.append("fsync"), fsync(descriptor))
os.fdatasync = lambda descriptor: (calls.append("fdatasync"), fdatasync(descriptor))
sys.addaudithook(lambda event, arguments: calls.append("rename") if event == "os.rename" else None)

database = PickleDB(os.path.join(tempfile.mkdtemp(), "db.json")).load()
database.set("key", "value")
database.save()
print("before save returned:", calls)
