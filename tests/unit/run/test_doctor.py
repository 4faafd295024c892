"""What a machine allows, and what is lost without it."""

from __future__ import annotations

import pytest

from harness.run import doctor, namespaces


def test_what_is_missing_says_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Namespaces that are refused, programs that are not there, a system without fork."""
    monkeypatch.setattr(namespaces, "probe", lambda: "the kernel says no")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(doctor, "CAN_FORK", False)

    missing = {check.name: check for check in doctor.checks() if not check.available}

    assert {"private mounts (user and mount namespaces)", "strace", "fusermount3", "fork"} <= missing.keys()
    assert missing["private mounts (user and mount namespaces)"].detail == "the kernel says no"
    assert all(check.without for check in missing.values())


def test_what_is_there_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its version or its place."""
    monkeypatch.setattr(namespaces, "probe", lambda: None)

    found = {check.name: check for check in doctor.checks() if check.available}

    assert {"harness", "Python", "fork", "private mounts (user and mount namespaces)"} <= found.keys()
    assert found["harness"].detail.endswith("harness")
