"""Descriptors that a store forgot, and waiting for one."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from harness.run.descriptors import close_leaked, descriptors, heard

_ABOVE_SELECT = 1100


def test_a_descriptor_of_any_number_is_waited_for() -> None:
    """One above 1023 is beyond select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, _ABOVE_SELECT + 1), hard))
    reader, writer = os.pipe()
    high = os.dup2(reader, _ABOVE_SELECT)
    try:
        assert not heard(high, 0.0)
        os.write(writer, b"x")
        assert heard(high, 0.0)
        os.read(high, 1)
        os.close(writer)
        assert heard(high, 0.0)
    finally:
        os.close(high)
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_was_left_open_is_closed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    kept = os.open(tmp_path / "in" / "kept", os.O_CREAT | os.O_WRONLY)
    outside = os.open(tmp_path / "outside", os.O_CREAT | os.O_WRONLY)
    before = descriptors(tmp_path / "in")
    left = os.open(tmp_path / "in" / "left", os.O_CREAT | os.O_WRONLY)
    assert descriptors(tmp_path / "in") - before == {left}
    close_leaked(tmp_path / "in", before)
    assert descriptors(tmp_path / "in") == before == {kept}
    os.close(kept)
    os.close(outside)
