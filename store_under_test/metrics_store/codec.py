"""A state as bytes, with a checksum over every other byte of the file.

Text form, one JSON object that any reader understands:

    {"checksum":"<64 hexadecimal digits>","state":{...}}

The digest is SHA-256 of the file without those 64 digits, so that no byte is left out: not the
key names, not the closing brace, not the length. It is compared before anything is parsed.

Compressed form, for large states: `MAGIC`, the 32 bytes of a SHA-256 over the magic and the
stream, the zlib stream of the text form.
"""

from __future__ import annotations

import hashlib
import json
import zlib

from store_under_test.metrics_store.errors import DamagedFileError, InvalidStateError
from store_under_test.metrics_store.state import DashboardState, validate

MAGIC = b"\x89MSZ\r\n\x1a\n"
MAX_BYTES = 256 * 2**20  # of the text form; bounds what a forged stream can make us allocate

_HEAD = b'{"checksum":"'
_BODY = b'","state":'
_TAIL = b"}\n"
_DIGITS = 64
_DIGEST_BYTES = 32


def encode(state: DashboardState, compress_above_bytes: int | None = None) -> bytes:
    """The bytes of a file that holds `state`, compressed if the text form is longer than given.

    `state` must be valid. Raises `InvalidStateError` if the text form exceeds `MAX_BYTES`.
    """
    text = _encode_text(state)
    if len(text) > MAX_BYTES:
        raise InvalidStateError("", f"takes {len(text)} bytes: the limit is {MAX_BYTES}")
    if compress_above_bytes is None or len(text) <= compress_above_bytes:
        return text
    return _compress(text)


def decode(data: bytes) -> DashboardState:
    """The state that `data` holds.

    Raises `DamagedFileError` if any byte differs from what `encode` made, and
    `UnsupportedVersionError` for sound data of a newer version.
    """
    text = _decompress(data) if data.startswith(MAGIC) else data
    body = _verified_body(text)
    try:
        return validate(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"not a valid state: {error}") from error


def _encode_text(state: DashboardState) -> bytes:
    text = json.dumps(state, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    body = text.encode()
    return b"".join((_HEAD, _digest(body), _BODY, body, _TAIL))


def _digest(body: bytes) -> bytes:
    digest = hashlib.sha256(_HEAD + _BODY)
    digest.update(body)
    digest.update(_TAIL)
    return digest.hexdigest().encode()


def _verified_body(text: bytes) -> bytes:
    start = len(_HEAD) + _DIGITS + len(_BODY)
    if not text.startswith(_HEAD):
        raise DamagedFileError("empty" if not text else "does not begin as a state file")
    if text[start - len(_BODY) : start] != _BODY or not text.endswith(_TAIL):
        raise DamagedFileError("truncated, or its frame is damaged")
    body = text[start : -len(_TAIL)]
    if _digest(body) != text[len(_HEAD) : len(_HEAD) + _DIGITS]:
        raise DamagedFileError("checksum mismatch")
    return body


def _compress(text: bytes) -> bytes:
    stream = zlib.compress(text)
    return b"".join((MAGIC, hashlib.sha256(MAGIC + stream).digest(), stream))


def _decompress(data: bytes) -> bytes:
    start = len(MAGIC) + _DIGEST_BYTES
    stream = data[start:]
    if hashlib.sha256(MAGIC + stream).digest() != data[len(MAGIC) : start]:
        raise DamagedFileError("checksum mismatch of the compressed form")
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(stream, MAX_BYTES)
    except zlib.error as error:
        raise DamagedFileError(f"not a zlib stream: {error}") from error
    if not decompressor.eof or decompressor.unused_data:
        raise DamagedFileError("the zlib stream is incomplete, too long, or followed by something else")
    return text
