"""The command line: what it says where, and with which exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness import cli
from harness.core.errors import HarnessFault
from harness.core.evidence import Certificate
from harness.run.scenarios import scenario_names
from tests.golden.sample import failing, hostile, passing, unknown
from tests.stores.conduct import small_runs, spec
from tests.stores.tiny import TINY

ROOT = Path(__file__).parents[2]
SOUND = spec("Sound", "honest.py")
IN_PLACE = spec("InPlace", "honest.py")
DATABASE = spec("Database")
KILL = ("--scenario", "process-crash", "--profile", TINY.name, "--jobs", "1")


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tiny runs, in a folder of their own, on no build server."""
    small_runs(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str | Path) -> int:
    return cli.main([str(argument) for argument in arguments])


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """What stands on stderr: one line, no traceback; and nothing on stdout."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("harness: ") and captured.err.count("\n") == 1, captured.err
    assert "Traceback" not in captured.err
    return captured.err


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of a store that loses data."""
    folder = tmp_path_factory.mktemp("broken")
    with pytest.MonkeyPatch.context() as patch:
        small_runs(patch)
        patch.chdir(folder)
        assert run("certify", IN_PLACE, *KILL, "--reports", folder, "--json", folder / "c.json") == 1
    return folder / "c.json"


# --- verdicts and files -----------------------------------------------------------------------


def test_a_broken_store_gives_1_and_its_story(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The story of each finding is on stdout; page, JSON and JUnit are in the report directory."""
    assert run("certify", IN_PLACE, *KILL, "--json", "new/c.json") == 1

    captured = capsys.readouterr()
    assert captured.err == ""
    assert "in-place" in captured.out and "replay" in captured.out and "\x1b" not in captured.out + captured.err
    [written] = [line for line in captured.out.splitlines() if line.startswith("written: ")]
    assert written.endswith("reports/junit.xml, new/c.json")
    assert json.loads(Path("new/c.json").read_text())["digest"] == json.loads(broken.read_text())["digest"]
    assert "<html" in Path("reports/in-place.html").read_text()
    assert json.loads(Path("reports/in-place.json").read_text())["verdict"] == "fail"
    assert ElementTree.parse("reports/junit.xml").getroot().find(".//failure") is not None


def test_several_adapters_give_the_worst_status_and_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    """One that cannot run costs the others nothing; 2 is worse than 3, and 3 than 0."""
    status = run("certify", SOUND, DATABASE, spec("TakesNothing"), *KILL, "--json", "all.json")

    captured = capsys.readouterr()
    assert status == 2
    assert [item["verdict"] for item in json.loads(Path("all.json").read_text())] == ["pass", "unknown"]
    assert {path.name for path in Path("reports").glob("*.*")} >= {"sound.html", "database.html", "junit.xml"}
    assert captured.err.count("\n") == 1 and "can't run" in captured.err


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (["pass"], 0),
        (["fail"], 1),
        (["usage"], 2),
        (["unknown"], 3),
        (["fault"], 4),
        (["bug"], 4),
        (["pass", "unknown"], 3),
        (["unknown", "fail", "pass"], 1),
        (["fail", "usage"], 2),
        (["usage", "fault", "fail"], 4),
        (["hostile"], 1),
    ],
)
def test_exit_statuses(
    outcomes: list[str], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 certified, 1 broken, 2 usage, 3 unknown, 4 our fault; of several the worst, in the order 4, 2, 1, 3, 0."""
    monkeypatch.setattr(cli, "certify_adapter", _stand_in(outcomes))

    assert run("certify", *outcomes) == status

    errors = capsys.readouterr().err
    assert ("please report it" in errors) == ("bug" in outcomes)
    assert Path("reports/junit.xml").exists() == bool(SAMPLES.keys() & set(outcomes))


def _stand_in(outcomes: list[str]) -> Callable[..., Certificate]:
    """Issues what the name of the adapter says."""

    def certify(spec: str, *rest: object) -> Certificate:
        match spec:
            case "usage":
                raise harness.UsageError("no such thing.")
            case "fault":
                raise HarnessFault("no worker.")
            case "bug":
                raise ZeroDivisionError("ours")
        return SAMPLES[spec]()

    return certify


def test_an_interruption_gives_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What was certified before it has been written."""

    def certify(spec: str, *rest: object) -> Certificate:
        if spec == "second":
            os.kill(os.getpid(), signal.SIGTERM)
        return failing()

    monkeypatch.setattr(cli, "certify_adapter", certify)
    before = signal.getsignal(signal.SIGTERM)

    assert run("certify", "first", "second") == 130

    assert capsys.readouterr().err == "harness: interrupted; go on with --resume\n"
    assert Path("reports/junit.xml").exists()
    assert signal.getsignal(signal.SIGTERM) is before


# --- bad input --------------------------------------------------------------------------------

SAMPLES = {"pass": passing, "fail": failing, "unknown": unknown, "hostile": hostile}
MODULES = {
    "raises": "raise LookupError('no\\nluck')",
    "exits": "import sys; sys.exit('bye')",
    "wrong_syntax": "def open(:\n",
    "outcome": "import pytest; pytest." "skip('not here', allow_module_level=True)",
    "empty": "",
    "lacks": "class Store:\n    name = 'x'\n    def open(self, directory): ...\n"
    "    def apply(self, store, operation): ...\n",
    "word": "from harness import Contract\nContract(process_crash='sometimes')\n",
    "function": "def Store(): ...\n",
    "misses_arguments": (
        "class Store:\n    name = 'x'\n    def open(self): ...\n    def apply(self, store, operation): ...\n"
        "    def snapshot(self, store): ...\n    def close(self, store): ...\n"
    ),
}


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("raises", "can't be imported (line 1 of "),
        ("exits", "it called sys.exit('bye')"),
        ("wrong_syntax", "SyntaxError"),
        ("outcome", "Skipped: not here"),
        ("empty", "has no class Store: it has no adapter at all."),
        ("lacks", "lacks the method snapshot"),
        ("word", "say one of 'acknowledged', 'synced', 'prefix', None."),
        ("function", "is not a class"),
        ("misses_arguments", "takes other arguments than an adapter's: write def open(self, directory)."),
    ],
)
def test_a_module_without_an_adapter_is_told_so(
    module: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence that says what is wrong and where, exit status 2."""
    (tmp_path / f"{module}.py").write_text(MODULES[module])

    assert run("certify", f"{module}.py:Store") == 2
    assert told in complaint(capsys)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("certify", "missing.py:Store"), "/missing.py: write package.module:Class or "),
        (("certify", "no.such.module:Store"), "No module named 'no'"),
        (("certify", "nothing"), "'nothing' does not name an adapter"),
        (("certify", ":Store"), "':Store' does not name an adapter"),
        (("certify", "a.py:not a name"), "does not name an adapter"),
        (("certify", "tests:"), "does not name an adapter"),
        (("certify", SOUND.replace("Sound", "Sund")), "has no class Sund: it has InPlace, NoSync, "),
        (("certify", SOUND, "--scenario", "typo"), "there is no scenario 'typo': say one of process-crash,"),
        (("certify", SOUND, "--jobs", "0"), "--jobs 0 leaves nobody to work"),
        (("certify", SOUND, "--jobs", "-1"), "leaves nobody to work"),
        (("certify", SOUND, "--jobs", "two"), "invalid int value: 'two'"),
        (("certify", SOUND, "--time-limit", "0"), "--time-limit 0 leaves no time"),
        (("certify", SOUND, "--time-limit", "nan"), "--time-limit nan leaves no time"),
        (("certify", SOUND, "--time-limit", "-1"), "--time-limit -1 leaves no time"),
        (("certify", SOUND, "--seed", "1.5"), "invalid int value: '1.5'"),
        (("certify", SOUND, "--profile", "slow"), "invalid choice: 'slow'"),
        (("certify", SOUND, "--nonsense"), "unrecognized arguments: --nonsense"),
        (("survey",), "the following arguments are required: ADAPTER"),
        (("survey", "missing.py:Store"), "/missing.py: write package.module:Class or "),
        (("frobnicate",), "invalid choice: 'frobnicate'"),
        ((), "COMMAND"),
        (("replay", "missing.json", "x"), "missing.json can't be read (No such file or directory)"),
        (("replay", ".", "x"), "can't be read (Is a directory)"),
    ],
)
def test_wrong_arguments_are_told_so(arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, exit status 2, and nothing is run."""
    assert run(*arguments) == 2
    assert told in complaint(capsys)


@pytest.mark.parametrize("place", ["file/below", "/proc/reports", "/dev/null", "file"])
def test_a_report_directory_that_cannot_be_written_is_told_so(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the run, and whoever asks: not even root can write there."""
    (tmp_path / "file").write_text("")

    assert run("certify", SOUND, "--reports", place) == 2
    assert "can't be written to" in complaint(capsys)


@pytest.mark.parametrize("place", ["file/below.json", "/proc/c.json", "folder"])
def test_a_json_file_that_cannot_be_written_is_told_so(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the run, not after it."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()

    assert run("certify", SOUND, "--json", place) == 2
    assert "name another file with --json" in complaint(capsys)


def test_reports_that_are_in_the_way_are_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file where the journal's folder should be is no fault of the harness."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / ".resume").write_text("")

    assert run("certify", SOUND, *KILL) == 2
    assert "name another directory with --reports" in complaint(capsys)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is not a certificate"),
        ("no JSON", "is not a certificate"),
        ("[]", "is not a certificate"),
        ("{}", "is not a certificate"),
        ("3", "is not a certificate"),
        ("[1, 2]", "is not a certificate"),
        ("[" * 100_000, "is not a certificate"),
        ('{"format_version": 99, "claims": []}', "has format version 99"),
        ('{"format_version": 1, "claims": []}', "is a damaged certificate"),
        ("\udcff", "is not a certificate"),
    ],
    ids=range(10),
)
def test_what_is_no_certificate_is_told_so(
    content: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON or not, one sentence."""
    (tmp_path / "c.json").write_bytes(content.encode(errors="surrogateescape"))

    assert run("replay", "c.json", "x") == 2
    assert told in complaint(capsys)


def test_a_truncated_certificate_is_told_so(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half a certificate is none."""
    text = broken.read_text()
    (tmp_path / "half.json").write_text(text[: len(text) // 2])

    assert run("replay", "half.json", "x") == 2
    assert "is not a certificate" in complaint(capsys)


# --- replay -----------------------------------------------------------------------------------


def finding_of(certificate: Path) -> str:
    identity: str = json.loads(certificate.read_text())["findings"][0]["id"]
    return identity


def test_replay_rebuilds_the_state_and_shows_the_story(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a new directory below the working directory; a second replay takes another one."""
    identity = finding_of(broken)

    assert run("replay", broken, identity) == 0
    told = capsys.readouterr()
    assert run("replay", broken, identity[:12]) == 0

    assert told.err == "" and "recovered again: the same" in told.out and "pairs.json" in told.out
    assert Path(f"replay-{identity}", "pairs.json").exists()
    assert Path(f"replay-{identity[:12]}").is_dir()


def test_replay_takes_no_directory_in_use(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is overwritten, and what is no directory is none."""
    (tmp_path / "mine").write_text("precious")

    for directory in (tmp_path, tmp_path / "mine", tmp_path / "mine" / "below"):
        assert run("replay", broken, finding_of(broken), "--directory", directory) == 2
        assert "name an empty directory with --directory." in complaint(capsys)
    assert (tmp_path / "mine").read_text() == "precious"


def test_replay_of_an_unknown_finding_lists_the_known(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence names the findings that there are."""
    assert run("replay", broken, "nothing-of-that-kind") == 2
    assert finding_of(broken) in complaint(capsys)


def test_replay_of_a_damaged_counterexample_is_told_so(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A certificate that somebody edited is bad input, no fault of the harness."""
    for name, value in (
        ("image", {"0": {}}),
        ("image", None),
        ("promise", "eternal"),
        ("knowledge", {"a": 1}),
        ("operations", [{"@": "Nonsense"}]),
        ("adapter", "missing.py:Store"),
    ):
        document = json.loads(broken.read_text())
        document["findings"][0]["counterexample"][name] = value
        (tmp_path / "edited.json").write_text(json.dumps(document))
        assert run("replay", "edited.json", finding_of(broken)) == 2, name
        complaint(capsys)
    assert not list(tmp_path.glob("replay-*"))


# --- the other commands -----------------------------------------------------------------------


def test_survey_prints_the_strongest_contract(capsys: pytest.CaptureFixture[str]) -> None:
    """As a line of Python that a contract can be made of."""
    assert run("survey", spec("NoSync", "honest.py"), "--profile", TINY.name, "--jobs", "2") == 0

    captured = capsys.readouterr()
    [line] = [line.strip() for line in captured.out.splitlines() if line.strip().startswith("Contract(")]
    contract = eval(line, {"Contract": harness.Contract})
    assert contract.process_crash == "acknowledged"
    assert contract.power_loss != "acknowledged" or "strict" not in contract.power_loss_models
    assert captured.err == ""


@pytest.mark.parametrize("option", ["--reports", "--json", "--policy", "--scenario"])
def test_survey_says_why_it_writes_no_reports(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever is used to `certify` learns what to do instead of that the option is unknown."""
    assert run("survey", SOUND, option, "somewhere") == 2
    assert f"survey takes no {option}, because it tries everything and prints a contract" in complaint(capsys)


def test_list_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each: name, claim, and what it tries."""
    assert run("list") == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == scenario_names()


def test_doctor_says_what_is_lost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every mechanism, and what a machine without it lacks."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(cli, "sweep", lambda: [Path("/left/behind")])

    assert run("doctor") == 0

    out = capsys.readouterr().out
    assert "ok  Python" in out and "no  strace: not installed\n     without it: " in out
    assert "removed 1 director" in out


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_go_to_stdout(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With exit status 0."""
    assert run(option) == 0
    assert capsys.readouterr().out != ""


# --- streams ----------------------------------------------------------------------------------


def test_annotations_and_summary_on_github(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Findings as workflow commands on stdout, the job summary appended to its file."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setattr(cli, "certify_adapter", _stand_in([]))

    assert run("certify", "fail") == 1

    assert "\n::error " in capsys.readouterr().out
    assert (tmp_path / "summary.md").read_text().startswith("## ")


def test_a_summary_that_cannot_be_written_changes_no_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told on stderr, and the status stays."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    monkeypatch.setattr(cli, "certify_adapter", _stand_in([]))

    assert run("certify", "pass") == 0
    assert "no job summary" in capsys.readouterr().err


def command(*arguments: str, **options: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options}
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def test_a_pipe_that_nobody_reads_makes_no_noise() -> None:
    """`harness list | head -1` ends without a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        child = subprocess.run(
            [sys.executable, "-m", "harness", "list"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)
    assert child.stderr == b""
    assert child.returncode == 4


def test_output_is_possible_in_any_encoding(broken: Path, tmp_path: Path) -> None:
    """An ASCII terminal gets escapes, not a traceback."""
    document = json.loads(broken.read_text())
    document["findings"][0]["summary"] = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    (tmp_path / "c.json").write_text(json.dumps(document))

    done = command("replay", "c.json", finding_of(broken), PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"caf\\xe9" in done.stdout


@pytest.mark.parametrize(("no_color", "colour"), [("", True), ("1", False)])
def test_colour_only_on_a_terminal_and_where_it_is_wanted(no_color: str, colour: bool, tmp_path: Path) -> None:
    """Progress on the terminal of stderr, the verdict on that of stdout; NO_COLOR keeps both plain."""
    leader, follower = os.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": no_color, "TERM": "xterm", "COLUMNS": "200"}
    child = subprocess.Popen(
        [sys.executable, "-m", "harness", "certify", SOUND, "--scenario", "process-crash-long", "--profile", "quick"],
        env=environment,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    shown = _everything(leader).decode()
    assert child.wait() == 0
    assert ("\x1b[32m" in shown) == colour
    assert "Sound: recording" in shown and "no violation" in shown.lower()


def _everything(descriptor: int) -> bytes:
    """What is written to a terminal until it is closed on the other side (EIO)."""
    parts = []
    try:
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
    except OSError:
        pass
    os.close(descriptor)
    return b"".join(parts)


# --- schedules ------------------------------------------------------------------------------------

QUICKLY = ("--profile", TINY.name, "--jobs", "1")


def test_a_schedule_of_the_users_is_tried_alone_found_and_replayed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """No other, in the scenario that it is about; what it finds is such a schedule, and happens again."""
    schedules = [f"stall@2, kill@{call}" for call in range(9, 15)]
    given = [word for schedule in schedules for word in ("--schedule", schedule)]
    assert run("certify", IN_PLACE, *QUICKLY, "--json", "c.json", *given) == 1
    certificate = json.loads(Path("c.json").read_text())

    assert [evidence["scenario"] for evidence in certificate["evidence"]] == ["nemesis"]
    [finding] = certificate["findings"]
    assert finding["operations"][-1] in [f"<schedule: {schedule}>" for schedule in schedules]
    capsys.readouterr()
    assert run("replay", "c.json", finding["id"], "--directory", "again") == 0
    assert "recovered again: the same" in capsys.readouterr().out


def test_several_schedules_run_where_each_belongs_beside_a_scenario_that_is_named(tmp_path: Path) -> None:
    store = spec("Checked", "scheduled.py")
    schedules = ("--schedule", "kill@9, damage@9", "--schedule", "clock-back@2-30, kill@8")
    assert run("certify", store, *QUICKLY, "--json", "c.json", *schedules, "--scenario", "kills") == 0
    evidence = json.loads(Path("c.json").read_text())["evidence"]

    assert {row["scenario"]: row["states_judged"] > 2 for row in evidence} == {
        "kills": True,
        "nemesis": False,
        "nemesis-damage": False,
    }


def test_a_schedule_alone_leaves_open_no_promise_that_it_is_not_about() -> None:
    store = spec("Checked", "scheduled.py")
    assert run("certify", store, *QUICKLY, "--json", "c.json", "--schedule", "clock-back@2-30, kill@8") == 0
    claims = json.loads(Path("c.json").read_text())["claims"]
    assert [(item["claim"], item["verdict"]) for item in claims] == [("process_crash", "pass")]


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        ("flood@3", "there is no fault 'flood'"),
        ("kill@", "'kill@' is no strike"),
        ("kill@3000", "the schedule 'kill@3000' never fired: the workload made "),
        ("eio@3", "the schedule 'eio@3' puts io_error to the test, and the contract promises nothing about it"),
        ("kill@2, damage@2", "the schedule 'kill@2, damage@2' puts corruption to the test"),
    ],
)
def test_a_schedule_that_says_nothing_is_refused_in_one_sentence(
    schedule: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("certify", IN_PLACE, *QUICKLY, "--schedule", schedule) == 2
    assert complaint(capsys).startswith(f"harness: {sentence}")
