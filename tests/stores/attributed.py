"""A store that needs extended attributes, which tmpfs has since Linux 6.6."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from tests.stores.honest import Sound


class Attributed(Sound):
    """Keeps the checksum of its file in an extended attribute of it."""

    name = "attributed"

    def read(self, path: Path) -> dict[str, str]:
        if path.exists() and os.getxattr(path, "user.sum") != _sum(path.read_bytes()):
            raise ValueError("the checksum is wrong")
        return super().read(path)

    def sync(self, descriptor: int) -> None:
        os.setxattr(descriptor, "user.sum", _sum(Path(f"/proc/self/fd/{descriptor}").read_bytes()))
        super().sync(descriptor)


def _sum(data: bytes) -> bytes:
    return str(zlib.crc32(data)).encode()
