"""Small stores of one file each, and what they make of it when it was damaged."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import warnings
import zlib
from pathlib import Path
from typing import Any

from harness import KEY_VALUE, LOG, Append, Contract, Delete, Get, Put, Read

CORRUPTION = Contract(process_crash=None, power_loss=None, io_error=None, corruption="detected")


class Trusting:
    """Pairs as JSON; what parses is believed."""

    name = "trusting"
    model: Any = KEY_VALUE
    contract = CORRUPTION
    operations: tuple[type, ...] = (Put, Delete, Get)
    file = "pairs"

    def open(self, directory: Path) -> Any:
        return directory / self.file

    def apply(self, store: Any, operation: Any) -> Any:
        pairs = self.snapshot(store)
        match operation:
            case Get(key):
                return pairs.get(key)
            case _:
                changed, _ = KEY_VALUE.step(pairs, operation)
                store.write_bytes(self.encoded(json.dumps(changed).encode()))
        return None

    def snapshot(self, store: Any) -> dict[str, str]:
        try:
            data = store.read_bytes()
        except FileNotFoundError:
            return {}
        pairs: dict[str, str] = json.loads(self.decoded(data))
        return pairs

    def close(self, store: Any) -> None:
        return None

    def encoded(self, body: bytes) -> bytes:
        return body

    def decoded(self, data: bytes) -> bytes:
        return data


class Checking(Trusting):
    """Compares a checksum, and raises what the contract names."""

    name = "checking"
    contract = Contract(process_crash=None, power_loss=None, io_error=None, errors=(ValueError,))

    def encoded(self, body: bytes) -> bytes:
        return zlib.crc32(body).to_bytes(4, "big") + body

    def decoded(self, data: bytes) -> bytes:
        if self.encoded(data[4:]) != data:
            raise self.complaint()
        return data[4:]

    def complaint(self) -> Exception:
        return ValueError("damaged")


class Locking(Checking):
    """Holds a lock while it is open, or half open; another opening meanwhile is refused."""

    name = "locking"
    early = False

    def open(self, directory: Path) -> Any:
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise
        path = super().open(directory)
        if self.early:
            self.snapshot((path, lock))
        return path, lock

    def apply(self, store: Any, operation: Any) -> Any:
        return Checking.apply(_Unlocked(), store[0], operation)

    def snapshot(self, store: Any) -> dict[str, str]:
        return super().snapshot(store[0])

    def close(self, store: Any) -> None:
        os.close(store[1])


class LockingEarly(Locking):
    """Reads when it is opened, and forgets the descriptor where that fails."""

    name = "locking early"
    early = True


class _Unlocked(Checking):
    """What works on the file itself."""


class Surprising(Checking):
    """Raises what the contract does not name."""

    name = "surprising"

    def complaint(self) -> Exception:
        return LookupError("damaged")


class NothingVerifies(Trusting):
    """A mark of eight bytes, a checksum, the pairs: cut behind the mark, both what is missing and its sum are zero."""

    name = "nothing-verifies"
    contract = Contract(
        process_crash=None, power_loss=None, io_error=None, corruption="detected", errors=(ValueError,)
    )
    mark = b"pairs 01"

    def encoded(self, body: bytes) -> bytes:
        return self.mark + zlib.crc32(body).to_bytes(4, "little") + body

    def decoded(self, data: bytes) -> bytes:
        start = len(self.mark)
        checksum, body = int.from_bytes(data[start : start + 4], "little"), data[start + 4 :]
        if data[:start] != self.mark or zlib.crc32(body) != checksum:
            raise ValueError("damaged")
        return body or b"{}"


class Promising(Checking):
    """Promises to repair, and can't."""

    name = "promising"
    contract = Contract(process_crash=None, power_loss=None, io_error=None, corruption="repaired")


class Mirrored(Checking):
    """Two numbered copies in one file, each in a block of its own: any one damaged block is repaired."""

    name = "mirrored"
    contract = Contract(process_crash=None, power_loss=None, io_error=None, corruption="repaired")
    writes = 0

    def encoded(self, body: bytes) -> bytes:
        Mirrored.writes += 1
        sealed = super().encoded(Mirrored.writes.to_bytes(4, "big") + body)
        copy = (len(sealed).to_bytes(4, "big") + sealed).ljust(4096, b"\0")
        return copy + copy

    def decoded(self, data: bytes) -> bytes:
        copies = []
        for start in (0, 4096):
            length = int.from_bytes(data[start : start + 4], "big")
            copy = data[start + 4 : start + 4 + length]
            if length and len(copy) == length and Checking.encoded(self, copy[4:]) == copy:
                copies.append(copy[4:])
        if not copies:
            raise self.complaint()
        return max(copies)[4:]


class Resetting(Checking):
    """Says that something is wrong, and goes on with nothing at all: an earlier state, which stays."""

    name = "resetting"

    def decoded(self, data: bytes) -> bytes:
        try:
            return super().decoded(data)
        except ValueError:
            logging.getLogger("resetting").warning("%s was damaged", self.file)
            return b"{}"


class Guessing(Checking):
    """Says that something is wrong, and invents a state."""

    name = "guessing"

    def decoded(self, data: bytes) -> bytes:
        try:
            return super().decoded(data)
        except ValueError:
            warnings.warn("was damaged", stacklevel=2)
            return b'{"nobody": "wrote this"}'


class Contradicting(Trusting):
    """The snapshot comes from one copy, single reads from the other."""

    name = "contradicting"

    def encoded(self, body: bytes) -> bytes:
        return body + b"\n" + body

    def decoded(self, data: bytes) -> bytes:
        return data.partition(b"\n")[0]

    def apply(self, store: Any, operation: Any) -> Any:
        if isinstance(operation, Get):
            return json.loads(store.read_bytes().partition(b"\n")[2] or b"{}").get(operation.key)
        return super().apply(store, operation)


class Forgetful(Checking):
    """Falls back to an empty state with a warning, once; and what is written afterwards goes elsewhere."""

    name = "forgetful"

    def open(self, directory: Path) -> Any:
        path = directory / self.file
        try:
            self.snapshot(path)
        except ValueError:
            warnings.warn("was damaged", stacklevel=2)
            path.rename(directory / "read-only")
        if (directory / "read-only").exists():
            return directory / "nowhere" / "at all"
        return path

    def apply(self, store: Any, operation: Any) -> Any:
        if store.parent.name == "nowhere":
            return None
        return super().apply(store, operation)


class Buffering:
    """A log that is written when it is closed; a line that is not whole is dropped with a warning."""

    name = "buffering"
    model = LOG
    contract = CORRUPTION
    operations: tuple[type, ...] = (Append, Read)

    def open(self, directory: Path) -> tuple[Path, list[str]]:
        path = directory / "log"
        data = path.read_bytes() if path.exists() else b""
        whole = []
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n") or line[:8] != b"%08x" % zlib.crc32(line[8:], len(whole)):
                warnings.warn("a line is not whole", stacklevel=2)
                break
            whole.append(line)
        path.write_bytes(b"".join(whole))
        return path, [json.loads(line[8:]) for line in whole]

    def apply(self, store: tuple[Path, list[str]], operation: Any) -> Any:
        match operation:
            case Append(record):
                store[1].append(record)
            case Read(start):
                return store[1][start:]
        return None

    def snapshot(self, store: tuple[Path, list[str]]) -> list[str]:
        return list(store[1])

    def close(self, store: tuple[Path, list[str]]) -> None:
        lines = []
        for number, record in enumerate(store[1]):
            body = json.dumps(record).encode() + b"\n"
            lines.append(b"%08x" % zlib.crc32(body, number) + body)
        store[0].write_bytes(b"".join(lines))


class Filing:
    """A log with a file for each record; an empty last one was made and never written."""

    name = "filing"
    model = LOG
    contract = CORRUPTION

    def open(self, directory: Path) -> Path:
        return directory

    def apply(self, store: Path, operation: Append) -> None:
        body = json.dumps(operation.record).encode()
        path = store / f"{len(self.snapshot(store)):04d}"
        path.write_bytes(zlib.crc32(body).to_bytes(4, "big") + body)

    def snapshot(self, store: Path) -> list[str]:
        contents = [path.read_bytes() for path in sorted(store.iterdir())]
        if contents and contents[-1] == b"":
            contents.pop()
        if any(zlib.crc32(data[4:]).to_bytes(4, "big") != data[:4] for data in contents):
            raise ValueError("damaged")
        return [json.loads(data[4:]) for data in contents]

    def close(self, store: Path) -> None:
        return None


class Anew(Checking):
    """Its file has another name in each process and is as long as it likes."""

    name = "anew"

    def open(self, directory: Path) -> Any:
        known = sorted(directory.iterdir())
        return known[0] if known else directory / f"pairs-{id(self):x}"


class Amnesiac(Trusting):
    """Forgets everything when it is closed, damage or not."""

    name = "amnesiac"

    def close(self, store: Any) -> None:
        store.unlink(missing_ok=True)
        store.write_bytes(b"{}")


class Refusing(Trusting):
    """Can't carry out the second operation."""

    name = "refusing"

    def apply(self, store: Any, operation: Any) -> Any:
        if operation == Put("b", "2"):
            raise OSError("no")
        return super().apply(store, operation)


class Placed:
    """Records in blocks of their own, behind one that counts them; each checksum covers the place of its block."""

    name = "placed"
    model = LOG
    contract = CORRUPTION
    block = 4096

    def open(self, directory: Path) -> Path:
        return directory / "blocks"

    def apply(self, store: Path, operation: Append) -> None:
        bodies = [*map(str.encode, self.snapshot(store)), operation.record.encode()]
        blocks = [str(len(bodies)).encode(), *bodies]
        store.write_bytes(b"".join(self.sealed(number, body) for number, body in enumerate(blocks)))

    def snapshot(self, store: Path) -> list[str]:
        if not store.exists():
            return []
        content = store.read_bytes()
        blocks = [content[start : start + self.block] for start in range(0, len(content), self.block)]
        bodies = [self.opened(number, block) for number, block in enumerate(blocks)]
        if not bodies or int(bodies[0]) != len(bodies) - 1:
            raise ValueError("some blocks are missing, or too many")
        return [body.decode() for body in bodies[1:]]

    def close(self, store: Path) -> None:
        return None

    def sealed(self, number: int, body: bytes) -> bytes:
        head = len(body).to_bytes(2, "big")
        return (self.checksum(number, head + body) + head + body).ljust(self.block, b"\0")

    def opened(self, number: int, block: bytes) -> bytes:
        body = block[6 : 6 + int.from_bytes(block[4:6], "big")]
        if self.sealed(number, body) != block:
            raise ValueError("a block is damaged")
        return body

    def checksum(self, number: int, content: bytes) -> bytes:
        return zlib.crc32(number.to_bytes(4, "big") + content).to_bytes(4, "big")


class Placeless(Placed):
    """The checksum of a block says nothing of its place."""

    name = "placeless"

    def checksum(self, number: int, content: bytes) -> bytes:
        return zlib.crc32(content).to_bytes(4, "big")


class PlacedInSectors(Placed):
    name = "placed in sectors"
    block = 512


class PlacelessInSectors(Placeless):
    name = "placeless in sectors"
    block = 512
