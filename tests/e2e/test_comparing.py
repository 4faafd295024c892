"""`harness compare`, `harness decide`, and `harness certify` with a baseline and a policy."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import cli
from harness.core.evidence import Certificate, certificate_from_json
from harness.core.verdict import Verdict
from harness.run.deciding import decided
from harness.run.options import Options
from tests.golden.sample import failing, hostile, passing, unknown
from tests.stores.conduct import small_runs, spec
from tests.stores.tiny import TINY

SOUND = spec("Sound", "honest.py")


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tiny runs, in a folder of their own, on no build server."""
    small_runs(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str | Path) -> int:
    return cli.main([str(argument) for argument in arguments])


def write(name: str, *certificates: Certificate) -> Path:
    """A file as `--json` writes it."""
    documents = [certificate.to_json() for certificate in certificates]
    path = Path(name)
    path.write_text(json.dumps(documents[0] if len(documents) == 1 else documents))
    return path


def as_store(certificate: Certificate, store: str = "metrics") -> Certificate:
    return dataclasses.replace(certificate, store=store)


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """One line on stderr, and nothing on stdout."""
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("harness: ") and captured.err.count("\n") == 1, captured
    return captured.err


# --- compare ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "status", "told"),
    [
        (passing(), 0, "\u2713 metrics: No regression"),
        (as_store(failing()), 1, "\u2717 claims"),
        (as_store(unknown()), 1, "no longer exercised"),
        (dataclasses.replace(passing(), seed=5), 3, "? metrics: Undecided: 1 point can't be compared"),
    ],
)
def test_compare_says_what_changed(
    new: Certificate, status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 nothing got worse, 1 a regression, 3 something can't be compared."""
    assert run("compare", write("old.json", passing()), write("new.json", new)) == status

    captured = capsys.readouterr()
    assert told in captured.out and captured.err == "" and "\x1b" not in captured.out


def test_compare_writes_json_page_and_junit(capsys: pytest.CaptureFixture[str]) -> None:
    """Where they are asked for, in folders that need not exist."""
    files = ("--json", "out/c.json", "--html", "out/c.html", "--junit", "out/c.xml")
    assert run("compare", write("old.json", passing()), write("new.json", as_store(failing())), *files) == 1

    captured = capsys.readouterr()
    assert "written: out/c.json, out/c.html, out/c.xml\n" in captured.out
    assert captured.err == ""
    assert json.loads(Path("out/c.json").read_text())["verdict"] == "fail"
    page = Path("out/c.html").read_text()
    assert "Content-Security-Policy" in page and "<script" not in page and "2 findings" not in page
    suite = ElementTree.parse("out/c.xml").getroot().find("testsuite")
    assert suite is not None and suite.get("failures") == "3" and suite.get("errors") == "0"


def test_several_stores_are_matched_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """In any order; a store that is certified no longer is a regression, a new one is not."""
    old = write("old.json", passing(), unknown())
    assert run("compare", old, write("new.json", unknown(), passing()), "--json", "c.json", "--html", "c.html") == 0
    assert [item["store"] for item in json.loads(Path("c.json").read_text())] == ["lmdb", "metrics"]
    assert Path("c.html").exists() and Path("c-2.html").exists()

    assert run("compare", old, write("fewer.json", passing())) == 1
    assert "certified no longer: lmdb" in capsys.readouterr().out

    assert run("compare", write("one.json", passing()), write("two.json", passing(), unknown())) == 0
    assert "no earlier certificate of lmdb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("absent.json", "good.json", "can't be read"),
        ("good.json", "text.json", "is not a certificate"),
        ("list.json", "good.json", "is not a certificate"),
        ("good.json", "format.json", "has format version 99"),
        ("good.json", "other.json", "no store is on both sides: one has 'metrics', and the other 'lmdb'"),
    ],
)
def test_what_is_no_pair_of_certificates(
    old: str, new: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, exit status 2."""
    write("good.json", passing())
    write("other.json", unknown())
    Path("text.json").write_text("no json")
    Path("list.json").write_text('["a", "b"]')
    Path("format.json").write_text(json.dumps({**passing().to_json(), "format_version": 99}))

    assert run("compare", old, new) == 2
    assert told in complaint(capsys)


@pytest.mark.parametrize("tolerance", ["-1", "101", "nan"])
def test_a_tolerance_is_a_percentage(tolerance: str, capsys: pytest.CaptureFixture[str]) -> None:
    old = write("old.json", passing())
    assert run("compare", old, old, "--tolerance", tolerance) == 2
    assert "no percentage" in complaint(capsys)


def test_a_tolerance_lets_more_pass() -> None:
    """Eight workloads, and now seven."""
    fewer = tuple(dataclasses.replace(row, workloads=7) for row in passing().evidence)
    old, new = write("old.json", passing()), write("new.json", dataclasses.replace(passing(), evidence=fewer))
    assert run("compare", old, new) == 1
    assert run("compare", old, new, "--tolerance", "20") == 0


# --- certify --baseline and --policy ------------------------------------------------------------

SAMPLES = {"pass": passing(), "fail": as_store(failing()), "unknown": as_store(unknown()), "hostile": hostile()}


@pytest.fixture
def issued(monkeypatch: pytest.MonkeyPatch) -> None:
    """`certify` issues what the name of the adapter says, with the decision that the policy makes of it."""

    def certify(spec: str, options: Options, progress: object, span: object) -> Certificate:
        return decided(SAMPLES[spec], options.policy)

    monkeypatch.setattr(cli, "certify_adapter", certify)


@pytest.mark.usefixtures("issued")
@pytest.mark.parametrize(
    ("before", "specs", "status"),
    [
        (["pass"], ["pass"], 0),
        (["fail"], ["pass"], 0),
        (["pass"], ["fail"], 1),
        (["fail"], ["fail"], 1),
        (["unknown"], ["unknown"], 3),
        (["pass"], ["unknown"], 1),
        (["hostile"], ["hostile"], 1),
    ],
)
def test_the_worst_of_certificate_and_comparison(
    before: Sequence[str], specs: Sequence[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The comparison lies beside the certificate."""
    baseline = write("baseline.json", *(SAMPLES[name] for name in before))

    assert run("certify", *specs, "--baseline", baseline) == status

    out = capsys.readouterr().out
    [page] = Path("reports").glob("*-comparison.html")
    assert str(page) in out and Path("reports/comparison.xml").exists()
    assert page.with_suffix(".json").exists()
    assert Path("reports", page.name.replace("-comparison", "")).exists()


@pytest.mark.usefixtures("issued")
def test_a_baseline_of_none_of_the_stores_that_were_certified(capsys: pytest.CaptureFixture[str]) -> None:
    """The names of these adapters are only known afterwards."""
    assert run("certify", "pass", "--baseline", write("other.json", unknown())) == 2
    assert "no store is on both sides" in capsys.readouterr().err


def test_a_wrong_baseline_costs_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    """It is read, and held against the names of the stores, before anything is tried."""
    assert run("certify", SOUND, "--baseline", "absent.json") == 2
    assert "can't be read" in complaint(capsys)
    assert run("certify", SOUND, "--baseline", write("other.json", unknown())) == 2
    assert "is a certificate of 'lmdb', and not of 'sound'" in complaint(capsys)


@pytest.mark.usefixtures("issued")
@pytest.mark.parametrize(
    ("adapter", "policy", "status", "told"),
    [
        ("pass", "zoo = true\nscenarios = []", 0, "decision: ready (policy: policy.toml)"),
        ("pass", 'profile = "exhaustive"', 1, "missing: The profile has to be at least exhaustive"),
        ("pass", "fault_coverage_percent = 90", 3, "decision: undecided"),
        ("unknown", 'allowed_unknown = ["power_loss"]', 3, "decision: ready"),
        ("fail", "", 1, "decision: not ready"),
    ],
)
def test_a_policy_decides(
    adapter: str, policy: str, status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In console, page and JSON. It makes the exit status worse, never better."""
    Path("policy.toml").write_text(policy)

    assert run("certify", adapter, "--policy", "policy.toml", "--json", "c.json") == status

    assert told in capsys.readouterr().out
    decision = json.loads(Path("c.json").read_text())["decision"]
    assert (decision["policy"] == "policy.toml" and f"decision: {decision['decision']}" in told) or "missing" in told
    [page] = Path("reports").glob("*.html")
    assert f"{decision['decision']}</span> by the policy <strong>policy.toml" in page.read_text()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "can't be read"),
        ("zoo = ", "is no policy in TOML"),
        (b"\xff\xfe", "is no policy in TOML"),
        ('scenarios = ["no-such"]', "names 'no-such': say one of process-crash"),
    ],
)
def test_a_policy_that_is_none_costs_no_run(
    content: str | bytes | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        Path("p.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert run("certify", SOUND, "--policy", "p.toml") == 2
    assert told in complaint(capsys)


# --- decide -------------------------------------------------------------------------------------


def test_decide_judges_an_old_certificate(capsys: pytest.CaptureFixture[str]) -> None:
    """By its age too; the certificate with its decision can be written."""
    both = write("c.json", passing(), unknown())
    Path("old.toml").write_text('maximum_age_days = 1\nallowed_unknown = ["power_loss"]')

    assert run("decide", both) == 3
    assert run("decide", both, "--policy", "old.toml", "--json", "out/d.json") == 1

    out = capsys.readouterr().out
    assert "decision: undecided (policy: every promise is kept)" in out and "may be 1 days old" in out
    made = [certificate_from_json(item, "it") for item in json.loads(Path("out/d.json").read_text())]
    assert [item.decision.decision for item in made if item.decision] == ["not ready", "not ready"]
    assert made[0].digest() == passing().digest()


# --- for real -----------------------------------------------------------------------------------


def test_a_store_against_its_own_baseline_and_a_worse_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real store, twice: no regression. Then with a sync less: its claim no longer holds, and costs are said."""
    given = ("--profile", TINY.name, "--jobs", "1")
    scenario = ("--scenario", "power-loss")
    assert run("certify", SOUND, *given, *scenario, "--json", "base.json") == 0
    assert run("certify", SOUND, *given, *scenario, "--baseline", "base.json") == 0

    (tmp_path / "worse.py").write_text(
        "from tests.stores.honest import *\nclass Sound(NoSync):\n    name = 'sound'\n    contract = CRASHES\n"
    )
    assert run("certify", "worse.py:Sound", *given, *scenario, "--baseline", "base.json", "--json", "new.json") == 1

    out = capsys.readouterr().out
    assert "power_loss was kept and is broken" in out
    made = certificate_from_json(json.loads(Path("new.json").read_text()), "it")
    assert made.verdict is Verdict.FAIL and made.costs is None and made.decision is not None
