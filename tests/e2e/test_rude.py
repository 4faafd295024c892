"""A store that prints, logs and changes its process: nothing of it reaches us, and no later trial suffers from it."""

from __future__ import annotations

import logging
import os
import signal

import pytest

from harness.core.verdict import Verdict
from tests.stores.conduct import certified, small_runs, spec


def test_bad_behaviour_is_contained(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    small_runs(monkeypatch)
    before = os.getcwd(), dict(os.environ), signal.getsignal(signal.SIGTERM), logging.getLogger().handlers[:]

    certificate = certified(spec("Rude", "rude.py"), "clocks", "resources", "leaks", "process-crash")

    assert certificate.findings == ()
    assert {item.scenario: item.verdict for item in certificate.evidence} == dict.fromkeys(
        ("clocks", "resources", "leaks", "process-crash"), Verdict.PASS
    )
    assert all(item.faults_fired for item in certificate.evidence)
    assert capfd.readouterr() == ("", "")
    assert before == (os.getcwd(), dict(os.environ), signal.getsignal(signal.SIGTERM), logging.getLogger().handlers)
