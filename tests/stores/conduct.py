"""Certify a small store of this folder, with just enough work to show what it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.core.evidence import Certificate
from harness.core.verdict import Verdict
from harness.run.certify import certify_adapter
from harness.run.options import PROFILES, Options
from harness.run.replaying import replay
from tests.stores.tiny import TINY

FOLDER = Path(__file__).parent
LIMIT_S = 20.0  # for what must not be taken for a hang on a busy machine


def spec(store: str, file: str = "hostile.py") -> str:
    """What the command line calls the adapter `store` of this folder."""
    return f"{FOLDER / file}:{store}"


def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the profile "tiny" known."""
    monkeypatch.setitem(PROFILES, TINY.name, TINY)


def certified(adapter: str, *scenarios: str, **options: Any) -> Certificate:
    """The certificate of a tiny run with one worker."""
    given = {"profile": TINY.name, "jobs": 1, "time_limit_s": LIMIT_S, **options}
    return certify_adapter(adapter, Options(scenarios=scenarios, **given))


def verdicts(certificate: Certificate) -> dict[str, Verdict]:
    return {claim.claim: claim.verdict for claim in certificate.claims}


def reasons(certificate: Certificate) -> str:
    return "\n".join(reason for claim in certificate.claims for reason in claim.reasons)


def happens_again(certificate: Certificate, folder: Path) -> bool:
    """Whether the first finding is seen by a replay of the certificate."""
    file = folder / "certificate.json"
    file.write_text(json.dumps(certificate.to_json()), encoding="utf-8")
    return replay(file, certificate.findings[0].id, folder / "state", Options(jobs=1, time_limit_s=LIMIT_S)).again
