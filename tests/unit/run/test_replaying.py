"""A finding rebuilt from its certificate alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import UsageError
from harness.core.trace import empty_image
from harness.judge.recovery import Recovery
from harness.run.campaign import Campaign
from harness.run.judging import Judged
from harness.run.options import Options
from harness.run.pool import Interrupted
from harness.run.replaying import find, read_certificate, replay
from tests.golden.sample import failing, passing
from tests.stores.conduct import LIMIT_S, certified, small_runs, spec

OPTIONS = Options(jobs=1, time_limit_s=LIMIT_S)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The certificate of a store that loses data, as JSON."""
    with pytest.MonkeyPatch.context() as patch:
        small_runs(patch)
        return certified(spec("InPlace", "honest.py"), "process-crash").to_json()


@pytest.fixture
def file(document: dict[str, Any], tmp_path: Path) -> Path:
    (tmp_path / "c.json").write_text(json.dumps(document))
    return tmp_path / "c.json"


def identity(document: dict[str, Any]) -> str:
    name: str = document["findings"][0]["id"]
    return name


def test_what_cannot_be_replayed_is_told_so(document: dict[str, Any], file: Path, tmp_path: Path) -> None:
    """A finding without a counterexample, or with one that somebody edited."""
    example = document["findings"][0]["counterexample"]
    for edited, told in (
        ({}, "has no counterexample to replay"),
        ({**example, "image": {"0": {}}}, r"is damaged \(KeyError: 'kind'\): certify the store again"),
        ({**example, "promise": "eternal"}, "is damaged"),
        ({**example, "adapter": 3}, "'3' does not name an adapter"),
    ):
        finding = {**document["findings"][0], "counterexample": edited}
        file.write_text(json.dumps({**document, "findings": [finding]}))
        with pytest.raises(UsageError, match=told):
            replay(file, identity(document), tmp_path / "state", OPTIONS)
        assert not (tmp_path / "state").exists()


def test_a_finding_happens_again(document: dict[str, Any], file: Path, tmp_path: Path) -> None:
    """And its crash state is there to look into, untouched by the recovery."""
    result = replay(file, identity(document), tmp_path / "state", OPTIONS)

    assert result.again and result.seen.startswith("cannot_open: reading the store raised JSONDecodeError")
    assert (tmp_path / "state" / "pairs.json").read_bytes() == b""


@pytest.mark.parametrize(
    ("judged", "again", "seen"),
    [
        (Judged(Recovery("", "", {}, (0,)), empty_image()), False, "the recovered state is admissible"),
        (Judged(Recovery("not_writable", "it refuses"), empty_image()), False, "not_writable: it refuses"),
        (Interrupted(1, "opening the store", "died", "SIGKILL", ""), True, "opening the store: died (SIGKILL)"),
        (Interrupted(1, "opening the store", "hang", "too long", ""), False, "opening the store: hang (too long)"),
    ],
)
def test_what_became_of_a_replay_is_told(
    judged: Any,
    again: bool,
    seen: str,
    document: dict[str, Any],
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same kind of violation, another one, or none."""
    monkeypatch.setattr(Campaign, "judge_again", lambda self, jobs: [judged])

    result = replay(file, identity(document), tmp_path / "state", OPTIONS)

    assert (result.again, result.seen) == (again, seen)


def test_a_directory_in_use_stays_as_it_is(document: dict[str, Any], file: Path, tmp_path: Path) -> None:
    """An empty one is taken."""
    with pytest.raises(UsageError, match="is in use: name an empty directory"):
        replay(file, identity(document), tmp_path, OPTIONS)
    with pytest.raises(UsageError, match="can't be written to"):
        replay(file, identity(document), file, OPTIONS)
    (tmp_path / "empty").mkdir()
    assert replay(file, identity(document), tmp_path / "empty", OPTIONS).again


def test_a_finding_is_named_by_the_beginning_of_its_name() -> None:
    """If that is enough to tell it from the others."""
    certificates = [passing(), failing()]
    names = [finding.id for finding in certificates[1].findings]

    assert find(certificates, names[0]).id == names[0]
    assert find(certificates, names[0][:-2]).id == names[0]
    with pytest.raises(UsageError, match="there is no single finding ''.*it has " + names[0]):
        find(certificates, "")
    with pytest.raises(UsageError, match="it has none at all"):
        find([passing()], names[0])


def test_a_file_may_hold_several_certificates(tmp_path: Path) -> None:
    """As --json writes them for several adapters."""
    (tmp_path / "all.json").write_text(json.dumps([passing().to_json(), failing().to_json()]))

    assert [item.store for item in read_certificate(tmp_path / "all.json")] == [passing().store, failing().store]
