"""semidbm can't open a file whose last record is incomplete, though everything before it was synced."""

import os
import tempfile

import semidbm

path = os.path.join(tempfile.mkdtemp(), "db")
database = semidbm.open(path, "c")
database["synced"] = "value"
database.sync()
database["last"] = "a value that was on its way when the power failed"
database.close()

data = os.path.join(path, "data")
os.truncate(data, os.path.getsize(data) - 60)  # as much as had arrived

try:
    print(semidbm.open(path, "r")["synced"])
except Exception as error:
    print("opening raises", type(error).__name__)
