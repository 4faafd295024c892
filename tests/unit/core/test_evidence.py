"""Certificates: JSON and back, a digest of what can be reproduced, and one sentence for damaged ones."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import UsageError, Verdict
from harness.core.evidence import (
    FORMAT_VERSION,
    Certificate,
    ClaimResult,
    Evidence,
    FileView,
    Finding,
    Fix,
    SourceView,
    Story,
    TimelineItem,
    certificate_from_json,
)
from harness.core.trace import CallSite
from tests.unit.core.strategies import instances, json_values, patient

SITE = CallSite("store.py", 61, "_write")
FILE = FileView("db.json", 5, "alpha", True)
STORY = Story(
    told="Put('k1', 'alpha') returned.",
    called="os.replace was called.",
    reached="The new name reached the disk.",
    found="An empty file.",
    expected="alpha",
    timeline=(TimelineItem(0, "write", "lost", 0, call="write", site=SITE),),
    crash_after=3,
    lost=("write of 5 bytes",),
    files_written=(FILE,),
    files_after_crash=(FILE,),
    files_recovered=(),
    source=SourceView("store.py", 61, 60, ("def _write():", "    pass")),
    fix=Fix("fsync the file", True, 4, (SITE,)),
)
FINDING = Finding(
    id="f1",
    scenario="power-loss",
    claim="power_loss",
    summary="what was acknowledged is gone",
    kind="lost_acknowledged",
    persistence_models=("strict", "ext4"),
    operations=("Put('k1', 'alpha')",),
    call_site=SITE,
    replay="harness replay certificate.json f1",
    seconds_to_find=1.5,
    story=STORY,
    counterexample={"image": {"0": [1, {"deep": None}]}},
)
EVIDENCE = Evidence(
    scenario="power-loss",
    claim="power_loss",
    verdict=Verdict.FAIL,
    persistence_model="strict",
    states_generated=9,
    states_distinct=8,
    states_judged=7,
    exhausted=True,
    faults_fired=7,
    seconds=2.5,
    seed=0,
    reasons=("budget",),
    bounds={"operations": 3},
)
CERTIFICATE = Certificate(
    store="my store!",
    adapter="my.module:Store",
    claims=(ClaimResult("power_loss", "acknowledged", Verdict.FAIL, ("power-loss",)),),
    evidence=(EVIDENCE,),
    findings=(FINDING,),
    seed=0,
    profile="quick",
    issued_at="2024-02-29T12:00:00Z",
    environment={"python": "3.12"},
    contract={"power_loss": "acknowledged"},
    notes=("note",),
    not_exercised=("FUSE",),
    zoo={"planted": 3},
)

certificates = instances(Certificate)


def changed(field: str, **values: Any) -> Certificate:
    """`CERTIFICATE` with other values in itself, or in the first item of one of its lists."""
    if not field:
        return dataclasses.replace(CERTIFICATE, **values)
    items: Any = (dataclasses.replace(getattr(CERTIFICATE, field)[0], **values),)
    return dataclasses.replace(CERTIFICATE, **{field: items})


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, item in items for place in places(item, (*path, key))]


def within(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def refused(data: Any) -> str:
    """The sentence with which `data` is refused."""
    with pytest.raises(UsageError) as error:
        certificate_from_json(data, "old.json")
    message = str(error.value)
    assert message.startswith("old.json ") and message.endswith(".") and "\n" not in message
    return message


# --- damage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [None, [], [1], "text", 5, {}, {"claims": []}, {"format_version": 1}])
def test_what_is_no_certificate_is_refused(data: Any) -> None:
    """The sentence says which file is one."""
    assert "is not a certificate: give a JSON file" in refused(data)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_version_is_refused(version: Any) -> None:
    """Both versions are named; nothing is guessed."""
    assert f"format version {version!r}" in refused({**CERTIFICATE.to_json(), "format_version": version})


@pytest.mark.parametrize(
    ("path", "junk"),
    [
        (("claims",), None),
        (("claims",), {}),
        (("claims",), "text"),
        (("claims", 0), None),
        (("claims", 0), "claim"),
        (("claims", 0, "verdict"), "good"),
        (("claims", 0, "verdict"), []),
        (("claims", 0, "verdict"), None),
        (("claims", 0, "scenarios"), "power-loss"),
        (("evidence",), 3),
        (("evidence", 0, "states_judged"), "many"),
        (("evidence", 0, "states_judged"), True),
        (("evidence", 0, "exhausted"), 1),
        (("evidence", 0, "seconds"), None),
        (("evidence", 0, "bounds"), []),
        (("findings", 0, "call_site"), "store.py:61"),
        (("findings", 0, "call_site"), {"file": "store.py"}),
        (("findings", 0, "call_site", "line"), "61"),
        (("findings", 0, "story"), "once upon a time"),
        (("findings", 0, "story", "timeline"), None),
        (("findings", 0, "story", "fix"), []),
        (("findings", 0, "story", "fix", "sites"), [None]),
        (("findings", 0, "story", "source", "lines"), [1]),
        (("store",), None),
        (("store",), 5),
        (("notes",), "note"),
        (("environment",), []),
    ],
)
def test_a_damaged_field_is_refused_in_one_sentence(path: tuple[Any, ...], junk: Any) -> None:
    """Wherever the damage is, it is found while reading and not by whoever uses the value."""
    data = CERTIFICATE.to_json()
    within(data, path[:-1])[path[-1]] = junk
    assert "is a damaged certificate" in refused(data)


@pytest.mark.parametrize("field", ["store", "evidence", "findings", "contract", "seed"])
def test_a_missing_field_is_named(field: str) -> None:
    """What has no default must be there."""
    data = CERTIFICATE.to_json()
    del data[field]
    assert repr(field) in refused(data)


@given(st.data())
@settings(patient, max_examples=150)
def test_any_damage_is_noticed_or_harmless(data: st.DataObject) -> None:
    """One node replaced by arbitrary JSON or removed: a sentence, or a certificate that is whole."""
    document = copy.deepcopy(CERTIFICATE.to_json())
    path = data.draw(st.sampled_from(places(document)))
    parent = within(document, path[:-1])
    if data.draw(st.booleans()):
        del parent[path[-1]]
    else:
        parent[path[-1]] = data.draw(json_values)
    try:
        found = certificate_from_json(document, "old.json")
    except UsageError as error:
        assert re.fullmatch(r"old\.json [^\n]*\.", str(error))
    else:
        assert json.loads(json.dumps(found.to_json()))["verdict"] == found.verdict.value


# --- JSON and back -------------------------------------------------------------------------------


@given(certificates)
@settings(patient, max_examples=25)
def test_json_gives_back_the_same_certificate(certificate: Certificate) -> None:
    """Nothing is lost on the way through a file."""
    data = json.loads(json.dumps(certificate.to_json()))
    again = certificate_from_json(data, "c.json")
    assert again == certificate
    assert again.to_json() == data


def test_the_full_story_survives() -> None:
    """Nested values come back as the same types, tuples included."""
    again = certificate_from_json(json.loads(json.dumps(CERTIFICATE.to_json())), "c.json")
    assert again == CERTIFICATE
    assert again.findings[0].story == STORY


def test_the_promised_fields_are_there() -> None:
    """The format is public: other programs read these."""
    data = CERTIFICATE.to_json()
    assert data["format_version"] == FORMAT_VERSION == 1
    assert set(data) >= {
        *("format_version", "store", "verdict", "claims", "evidence", "findings", "id", "issued_at"),
        *("digest", "environment", "seed"),
    }
    assert set(data["claims"][0]) >= {"claim", "promised", "verdict", "scenarios"}
    assert set(data["evidence"][0]) >= {
        *("scenario", "claim", "verdict", "persistence_model", "states_generated", "states_distinct"),
        *("states_judged", "exhausted", "faults_fired", "seconds", "seed"),
    }
    assert set(data["findings"][0]) >= {
        *("id", "scenario", "claim", "summary", "kind", "persistence_models", "operations", "call_site"),
        "replay",
    }
    assert data["findings"][0]["call_site"] == {"file": "store.py", "line": 61, "function": "_write"}


def test_unknown_fields_are_left_alone() -> None:
    """A later version of the format may say more, at every level."""
    data = CERTIFICATE.to_json()
    for path in [(), ("claims", 0), ("evidence", 0), ("findings", 0), ("findings", 0, "call_site")]:
        within(data, path)["later"] = {"more": []}
    assert certificate_from_json(data, "c.json") == CERTIFICATE


def test_whole_seconds_are_seconds() -> None:
    """JSON of another writer may say 2 where this one says 2.0."""
    data = CERTIFICATE.to_json()
    data["evidence"][0]["seconds"] = 2
    assert certificate_from_json(data, "c.json").evidence[0].seconds == 2


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ([Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN], Verdict.FAIL),
        ([Verdict.PASS, Verdict.UNKNOWN], Verdict.UNKNOWN),
        ([], Verdict.UNKNOWN),
        ([Verdict.PASS], Verdict.PASS),
    ],
)
def test_the_verdict_is_the_worst_of_all_claims(verdicts: list[Verdict], whole: Verdict) -> None:
    """A certificate without claims certifies nothing."""
    claims = tuple(ClaimResult("power_loss", "prefix", verdict, ()) for verdict in verdicts)
    certificate = changed("", claims=claims)
    assert certificate.verdict is whole
    assert certificate.to_json()["verdict"] == whole.value


# --- digest --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        changed("", seed=1),
        changed("", store="another"),
        changed("", profile="standard"),
        changed("", contract={"power_loss": "prefix"}),
        changed("", claims=()),
        changed("", evidence=()),
        changed("", findings=()),
        changed("", findings=(FINDING, FINDING)),
        changed("claims", verdict=Verdict.UNKNOWN),
        changed("claims", promised="synced"),
        changed("evidence", verdict=Verdict.PASS),
        changed("evidence", states_generated=10),
        changed("evidence", states_distinct=9),
        changed("evidence", states_judged=8),
        changed("evidence", faults_fired=8),
        changed("evidence", exhausted=False),
        changed("evidence", persistence_model="ext4"),
        changed("evidence", bounds={"operations": 4}),
        changed("findings", kind="phantom"),
        changed("findings", call_site=dataclasses.replace(SITE, line=62)),
        changed("findings", call_site=None),
        changed("findings", confirmed=False),
        changed("findings", persistence_models=("strict",)),
        changed("findings", operations=()),
    ],
)
def test_the_digest_tells_results_apart(other: Certificate) -> None:
    """Another verdict, count, kind or place is another result."""
    assert other.digest() != CERTIFICATE.digest()


@pytest.mark.parametrize(
    "other",
    [
        changed("", issued_at="2031-01-01T00:00:00Z"),
        changed("", environment={"python": "3.13", "host": "another"}),
        changed("", seconds=99.0),
        changed("", adapter="/another/place/store.py:Store"),
        changed("", zoo={}),
        changed("", notes=()),
        changed("", not_exercised=()),
        changed("evidence", seconds=77.0),
        changed("findings", seconds_to_find=0.1),
        changed("findings", story=None),
        changed("findings", summary="/tmp/abc is gone"),
        changed("findings", counterexample={}),
        changed("findings", replay=""),
    ],
)
def test_the_digest_ignores_times_and_machines(other: Certificate) -> None:
    """The same seed gives the same digest, on any day and machine."""
    assert other.digest() == CERTIFICATE.digest()


@pytest.mark.parametrize("count", ["states_generated", "states_judged", "faults_fired", "crash_points"])
def test_the_digest_ignores_counts_that_a_clock_decides(count: str) -> None:
    """But not the verdict, nor that they were decided so."""
    by_chance = changed("evidence", deterministic=False)
    row = dataclasses.replace(by_chance.evidence[0], **{count: 12345})
    worse = dataclasses.replace(by_chance.evidence[0], verdict=Verdict.UNKNOWN)

    assert dataclasses.replace(by_chance, evidence=(row,)).digest() == by_chance.digest() != CERTIFICATE.digest()
    assert dataclasses.replace(by_chance, evidence=(worse,)).digest() != by_chance.digest()


def test_the_id_is_the_store_and_the_digest() -> None:
    """It can be a file name, whatever the store is called."""
    digest = CERTIFICATE.digest()
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert CERTIFICATE.to_json()["id"] == f"my-store--{digest[:12]}"
    assert changed("", store="").to_json()["id"].startswith("store-")
    assert re.fullmatch("-+[0-9a-f]{12}", changed("", store="äß").to_json()["id"])
