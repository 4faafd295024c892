"""The real functions, captured before anything is patched.

Everything in this package that touches the file system itself goes through these names, so that
the recorder never records itself. `None` stands for a call that this platform lacks.
"""

from __future__ import annotations

import _io
import fcntl as _fcntl_module
import os
import threading
import time
from typing import Any

open_file: Any = _io.open
FileIO: Any = _io.FileIO

file_open: Any = _io.FileIO.__init__
file_read: Any = _io.FileIO.read
file_readinto: Any = _io.FileIO.readinto
file_readall: Any = _io.FileIO.readall
file_write: Any = _io.FileIO.write
file_truncate: Any = _io.FileIO.truncate
file_close: Any = _io.FileIO.close

fcntl: Any = _fcntl_module.fcntl
flock: Any = _fcntl_module.flock
lockf: Any = _fcntl_module.lockf

open: Any = os.open
close: Any = os.close
closerange: Any = os.closerange
dup: Any = os.dup
dup2: Any = os.dup2
write: Any = os.write
writev: Any = getattr(os, "writev", None)
pwrite: Any = getattr(os, "pwrite", None)
pwritev: Any = getattr(os, "pwritev", None)
sendfile: Any = getattr(os, "sendfile", None)
copy_file_range: Any = getattr(os, "copy_file_range", None)
splice: Any = getattr(os, "splice", None)
truncate: Any = os.truncate
ftruncate: Any = os.ftruncate
posix_fallocate: Any = getattr(os, "posix_fallocate", None)
rename: Any = os.rename
replace: Any = os.replace
link: Any = os.link
symlink: Any = os.symlink
unlink: Any = os.unlink
remove: Any = os.remove
mkdir: Any = os.mkdir
rmdir: Any = os.rmdir
mkfifo: Any = os.mkfifo
mknod: Any = getattr(os, "mknod", None)
fsync: Any = os.fsync
fdatasync: Any = getattr(os, "fdatasync", None)
sync: Any = os.sync
chmod: Any = os.chmod
fchmod: Any = os.fchmod
utime: Any = os.utime

access: Any = os.access
fstat: Any = os.fstat
lseek: Any = os.lseek
lstat: Any = os.lstat
listdir: Any = os.listdir
getxattr: Any = getattr(os, "getxattr", None)
listxattr: Any = getattr(os, "listxattr", None)
pread: Any = os.pread
preadv: Any = getattr(os, "preadv", None)
read: Any = os.read
readlink: Any = os.readlink
readv: Any = getattr(os, "readv", None)
scandir: Any = os.scandir
stat: Any = os.stat

time_ns: Any = time.time_ns
RLock: Any = threading.RLock
