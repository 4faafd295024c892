"""Two versions in processes of their own: which code runs in which, and what comes of it."""

from __future__ import annotations

import random
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from harness import UsageError, Verdict
from harness.cli import main
from harness.core.errors import HarnessError
from harness.measure.stages import Decision
from harness.run.campaign import Silent
from harness.run.pace.comparing import pace
from harness.run.pace.pairing import Loaded, Pairing, Work
from harness.run.pace.session import Session, _folders, version
from harness.run.pace.values import PaceOptions, Pair, Sample
from tests.unit.run.pace.versions import FEW, adapter_in, store_in


@pytest.fixture
def options(tmp_path: Path) -> PaceOptions:
    return PaceOptions(directory=tmp_path / "reports", stages=FEW, sample_ms=0.5, warm_up=1)


def test_a_version_that_is_much_slower_is_a_regression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line to the files: status 1, the kind of operation, and nothing is left of the stores."""
    old, new = store_in(tmp_path / "old"), store_in(tmp_path / "new", put_ns=22_000)
    adapter = adapter_in(tmp_path / "adapter.py")
    reports, file = tmp_path / "reports", tmp_path / "out" / "pace.json"
    few = PaceOptions(directory=reports, stages=FEW, sample_ms=0.5, warm_up=1)
    monkeypatch.setattr("harness.cli.PaceOptions", lambda **given: few)

    status = main(["pace", str(old), str(new), "--adapter", adapter, "--reports", str(reports), "--json", str(file)])

    out = capsys.readouterr().out
    assert status == 1, out
    assert "dictionary: slower than before" in out
    assert "Put: regression\n      new against old     +10.0 % (+10.0 % to +10.0 %)" in out
    assert "old against itself  +0.0 % (+0.0 % to +0.0 %)" in out
    assert {path.name for path in reports.iterdir()} == {"pace-dictionary.json", "pace-dictionary.html"}
    assert file.read_text() == (reports / "pace-dictionary.json").read_text()


def test_each_version_brings_its_own_adapter(tmp_path: Path, options: PaceOptions) -> None:
    """By `module:Class`, with a virtual environment on one side; both do the same, which is said."""
    old = store_in(tmp_path / "old")
    new = store_in(tmp_path / "env" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages")
    venv.create(tmp_path / "env", with_pip=False)
    for folder in (old, new):
        adapter_in(folder / "dictstore" / "adapter.py", imports="from .store import Store")

    comparison = pace(str(old), str(tmp_path / "env"), "dictstore.adapter:Adapter", options, Silent())

    assert comparison.decision is Decision.NO_REGRESSION
    assert comparison.notes and "same source" in comparison.notes[0]
    assert (comparison.old.files, comparison.new.files) == (3, 3)
    assert {metric.name for metric in comparison.metrics} == {"Put", "Delete"}
    assert all(len(metric.old_ns) == len(metric.new_ns) for metric in comparison.metrics)
    assert comparison.environment["file_system"]
    assert not list(options.directory.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("old", "old", "run the same files, so there is nothing to compare"),
        ("old", "empty", "nothing that .* imports is in .*empty: name the folder above the package"),
        ("old", "nowhere", "nowhere is no version to run: name a folder"),
        ("nowhere", "old", "nowhere is no version to run: name a folder"),
        ("old", "failing", "failing: the adapter can't run: every operation raised OSError: full"),
        ("old", "false", "the process that ran it ended with status 1"),
        ("old", "noise", "the process that ran it ended with status 3: something is wrong"),
        ("old", "text", "text can't be started as a Python"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    old: str, new: str, message: str, tmp_path: Path, options: PaceOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence, and exit status 2: two names for one version, no version, or one that does not work."""
    store_in(tmp_path / "old")
    store_in(tmp_path / "failing", failing="raise OSError('full')")
    (tmp_path / "empty").mkdir()
    _program(tmp_path / "false", "#!/bin/sh\nexit 1\n")
    _program(tmp_path / "noise", "#!/bin/sh\necho something is wrong >&2\nexit 3\n")
    _program(tmp_path / "text", "no program\n")
    installed = adapter_in(tmp_path / "adapter.py", opening="pass")
    monkeypatch.syspath_prepend(str(tmp_path / "old"))  # as an installed version would be
    monkeypatch.syspath_prepend(str(store_in(tmp_path / "installed")))

    with pytest.raises(UsageError, match=message) as raised:
        pace(str(tmp_path / old), str(tmp_path / new), installed, options, Silent())
    assert raised.value.exit_status == 2
    assert "\n" not in str(raised.value)


def _program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


@pytest.mark.parametrize("spec", ["adapter", "adapter.py:", ":Adapter", "adapter.py:not a name"])
def test_what_names_no_adapter_is_refused(spec: str, tmp_path: Path, options: PaceOptions) -> None:
    """Before anything is started."""
    with pytest.raises(UsageError, match="does not name an adapter"):
        pace(str(tmp_path), str(tmp_path), spec, options, Silent())


def test_a_store_that_hangs_is_given_up(tmp_path: Path) -> None:
    """After the limit of one request; the process is gone."""
    store_in(tmp_path / "old", failing="time.sleep(60)")
    adapter = adapter_in(tmp_path / "adapter.py")
    with Session(
        version(str(tmp_path / "old")), adapter, directory=tmp_path, luck=random.Random(1), limit_s=60.0
    ) as session:
        session.ask("files")
        session._limit_s = 0.0
        with pytest.raises(UsageError, match=r"a sample took longer than 0 s"):
            session.ask("calibrate", seed="s", directory=str(tmp_path / "store"), sample_ns=1)
    assert session._process.poll() is not None


# --- pairs ---------------------------------------------------------------------------------


def sample(**spent_ns: int) -> Sample:
    return Sample(dict.fromkeys(spent_ns, (2, 0, 0)), spent_ns)


def test_a_pair_is_a_log_ratio_where_both_did_the_same() -> None:
    """What one of them did not do has none; work that differs is noticed."""
    pair = Pair(sample(Put=100, Get=5), sample(Put=200, Delete=0))

    assert pair.difference("Put") == pytest.approx(0.6931, abs=1e-4)
    assert pair.difference("Get") is None and pair.difference("Delete") is None
    assert pair.unequal() == ["Delete", "Get"]
    assert Pair(sample(Put=0), sample(Put=0)).difference("Put") == 0.0
    refused = Sample.from_answer({"done": {"Put": [1, 1, 0]}, "spent_ns": {"Put": 90}})
    assert Pair(sample(Put=100), refused).unequal() == ["Put"]
    assert refused.per_operation_ns("Put") == 45


def test_a_version_that_refuses_more_is_not_compared(tmp_path: Path, options: PaceOptions) -> None:
    """Work that was left out is not faster: UNKNOWN, with the reason."""
    old = store_in(tmp_path / "old")
    new = store_in(tmp_path / "new", failing="if key.endswith('7'): raise ValueError(key)")

    comparison = pace(str(old), str(new), adapter_in(tmp_path / "adapter.py"), options, Silent())

    put = next(metric for metric in comparison.metrics if metric.name == "Put")
    assert put.reason == "one version refused or failed operations that the other one took"
    assert put.verdict is Verdict.UNKNOWN
    assert comparison.verdict is Verdict.UNKNOWN


class Scripted(Pairing):
    """Sessions that answer at once, and write down who was asked."""

    def _session(self, version: object, name: str) -> Session:  # type: ignore[override]
        return Answering(name)  # type: ignore[return-value]


class Answering:
    """In the place of a process: its n-th sample takes n nanoseconds."""

    asked: ClassVar[list[str]] = []

    def __init__(self, name: str) -> None:
        self._name = name
        self._samples = 0

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def send(self, do: str, **details: object) -> None:
        self.asked.append(f"{do} {self._name}")

    def receive(self) -> dict[str, object]:
        return {}

    def ask(self, do: str, **details: object) -> dict[str, object]:
        self.asked.append(self._name.rpartition(" ")[2])
        self._samples += 1
        return {"done": {"Put": [1, 0, 0]}, "spent_ns": {"Put": self._samples}}


@pytest.fixture
def scripted(tmp_path: Path, options: PaceOptions) -> Iterator[Pairing]:
    Answering.asked.clear()
    (tmp_path / "stores").mkdir()
    old = version(str(tmp_path))
    yield Scripted("a.py:A", old, old, tmp_path / "stores", options, Work(1, ("Put",), ()))


def test_pairs_are_interleaved_in_random_order_and_the_first_dropped(scripted: Pairing) -> None:
    """Never twice the same side in one pair; both orders occur; the warm-up is asked for and not kept."""
    family = scripted.draw(True, FEW[0], None)
    asked = [name for name in Answering.asked if " " not in name]

    assert [len(group) for group in family["Put"]] == [6]
    assert len(scripted.pairs) == 6
    assert [pair.first.spent_ns["Put"] for pair in scripted.pairs] == [2, 3, 4, 5, 6, 7]
    taken = list(zip(asked[::2], asked[1::2], strict=True))
    assert len(taken) == 7 and set(taken) == {("first", "second"), ("second", "first")}


def test_a_later_stage_adds_what_is_missing(scripted: Pairing) -> None:
    """In new processes; pairs of the old version with itself are no samples of the new one."""
    assert [len(group) for group in scripted.draw(False, FEW[1], FEW[0])["Put"]] == [4]
    assert scripted.pairs == []
    begun = [name for name in Answering.asked if name.startswith("begin")]
    scripted.draw(True, FEW[1], FEW[0])
    assert len(begun) == 2
    assert not set(begun) & set([name for name in Answering.asked if name.startswith("begin")][2:])


def test_the_order_is_that_of_the_seed(scripted: Pairing) -> None:
    """The same seed asks in the same order."""
    scripted.draw(True, FEW[0], None)
    first = [name for name in Answering.asked if " " not in name]
    Answering.asked.clear()
    scripted._made = 0
    scripted.draw(True, FEW[0], None)

    assert [name for name in Answering.asked if " " not in name] == first


def test_kinds_that_are_all_rare_are_nothing_to_compare(scripted: Pairing) -> None:
    """There would be no pair of any of them."""
    with pytest.raises(UsageError, match="no kind of operation is in every sample"):
        scripted._work({"operations": 1, "kinds": ["Put"], "every": []})
    assert scripted._work({"operations": 9, "kinds": ["Put", "Get"], "every": ["Put"]}) == Work(9, ("Put",), ("Get",))


def test_the_folders_of_an_adapter_come_last(tmp_path: Path) -> None:
    """That of its file, and those up to the one that holds its package; a module's is the working directory."""
    store_in(tmp_path)

    assert _folders(f"{tmp_path}/dictstore/adapter.py:A") == [str(tmp_path / "dictstore"), str(tmp_path)]
    assert _folders(f"{tmp_path}/adapter.py:A") == [str(tmp_path)]
    assert _folders("package.module:A") == [str(Path.cwd())]


def test_files_of_one_s_own() -> None:
    """What the other one imported too is nobody's."""
    old = Loaded("s", "3.11", (("/both.py", "a"), ("/old/store.py", "b")))
    new = Loaded("s", "3.11", (("/both.py", "a"), ("/new/store.py", "b")))

    assert old.own(new) == ("/old/store.py",)
    assert old.contents(new) == new.contents(old) == ["b"]
    assert issubclass(UsageError, HarnessError)
