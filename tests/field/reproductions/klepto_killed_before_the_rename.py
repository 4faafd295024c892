"""klepto removes the archive before it renames the new one into its place; who dies in between loses everything."""

import os
import signal
import sys
import tempfile

from klepto.archives import file_archive

path = os.path.join(tempfile.mkdtemp(), "archive.pkl")
archive = file_archive(path, cached=False)
archive["key"] = "value"

if os.fork() == 0:  # this process is killed when it is about to rename
    sys.addaudithook(lambda event, _: os.kill(os.getpid(), signal.SIGKILL) if event == "os.rename" else None)
    archive["another"] = "value"
    os._exit(0)
_, status = os.wait()
print("the writer was ended by", signal.Signals(os.WTERMSIG(status)).name)
print("after reopening:", dict(file_archive(path, cached=False).items()))
