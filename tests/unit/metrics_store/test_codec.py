"""Bytes of a state: any damage is noticed, and what was written is read."""

from __future__ import annotations

import hashlib
import json
import random
import zlib

import pytest

from store_under_test.metrics_store import DamagedFileError, InvalidStateError, UnsupportedVersionError, codec
from store_under_test.metrics_store.codec import MAGIC, decode, encode
from tests.unit.metrics_store.helpers import event, state_of

STATE = state_of("Grüße 🚀", events=[event(1, "x" * 50)])
FORMS = pytest.mark.parametrize("data", [encode(STATE), encode(STATE, 0)], ids=["text", "compressed"])


@FORMS
def test_any_flipped_bit_is_damage(data: bytes) -> None:
    """In the data, the checksum, the frame and the magic alike."""
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(DamagedFileError):
                decode(bytes(damaged))


@FORMS
def test_any_truncation_or_extension_is_damage(data: bytes) -> None:
    """Every shorter file, the empty one included, and every longer one."""
    for length in range(len(data)):
        with pytest.raises(DamagedFileError):
            decode(data[:length])
    for more in (b"\0", b"\n", b"}\n", data):
        with pytest.raises(DamagedFileError):
            decode(data + more)


@FORMS
def test_what_was_encoded_is_decoded(data: bytes) -> None:
    """Either form holds the whole state."""
    assert decode(data) == STATE


@pytest.mark.parametrize("seed", range(5))
def test_any_unicode_round_trips(seed: int) -> None:
    """Every character but surrogates, in values and names."""
    characters = random.Random(seed).choices([*range(0xD800), *range(0xE000, 0x110000)], k=2000)
    text = "".join(map(chr, characters))
    state = state_of(text, events=[{**event(0), "details": {text: [text]}}])
    assert decode(encode(state)) == state


def test_the_text_form_is_one_json_object() -> None:
    """Any other program can read it."""
    assert json.loads(encode(STATE))["state"] == STATE


def test_only_states_above_the_threshold_are_compressed() -> None:
    """The threshold counts bytes of the text form, and compression pays."""
    text = encode(STATE)
    assert encode(STATE, len(text)) == text
    large = state_of(events=[event(number) for number in range(500)])
    assert encode(large, 1000).startswith(MAGIC)
    assert len(encode(large, 1000)) < len(encode(large)) / 5


def frame(body: bytes) -> bytes:
    """A file with a right checksum, whatever is in it."""
    digest = hashlib.sha256(b'{"checksum":"' + b'","state":' + body + b"}\n").hexdigest()
    return b'{"checksum":"' + digest.encode() + b'","state":' + body + b"}\n"


def compressed(stream: bytes) -> bytes:
    return MAGIC + hashlib.sha256(MAGIC + stream).digest() + stream


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, json.dumps({**STATE, "events": 3}).encode()],
    ids=["no fields", "list", "null", "no JSON", "no text", "deep", "wrong type"],
)
def test_a_right_checksum_over_no_state_is_damage(body: bytes) -> None:
    """Invalid JSON, missing fields and wrong types."""
    with pytest.raises(DamagedFileError, match="not a valid state"):
        decode(frame(body))


def test_a_newer_version_is_not_damage() -> None:
    """It must not be quarantined by an older program."""
    with pytest.raises(UnsupportedVersionError):
        decode(frame(b'{"version":2}'))


WHOLE = zlib.compress(encode(STATE))


@pytest.mark.parametrize(
    "stream",
    [b"", b"no zlib", WHOLE[:-1], WHOLE + b"x", zlib.compress(b"")],
)
def test_a_right_checksum_over_no_whole_stream_is_damage(stream: bytes) -> None:
    """The stream must end where the file ends, and hold the text form."""
    with pytest.raises(DamagedFileError):
        decode(compressed(stream))


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state beyond the limit is refused, and a small file cannot unpack to more."""
    monkeypatch.setattr(codec, "MAX_BYTES", 1000)
    with pytest.raises(InvalidStateError, match="the limit is 1000"):
        encode(state_of("x" * 1000))
    with pytest.raises(DamagedFileError, match="too long"):
        decode(compressed(zlib.compress(b"x" * 10_000)))
