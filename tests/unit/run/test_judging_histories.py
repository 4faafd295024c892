"""`harness check-history`: exit statuses, one sentence for bad input, and a page."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness import KEY_VALUE, LOG, Append, Called, Disturbance, Get, History, Outcome, Put
from harness.cli import main
from harness.core.history import history_of
from harness.history.files import write_history

OK = Outcome.OK
PUT = Called(0, 1, Put("k", "a"), 0, 10, OK)
LOST = Called(1, 2, Put("k", "b"), 20, 30, OK)
STALE = Called(2, 3, Get("k"), 40, 50, OK, "a")
OWN = '''
from dataclasses import dataclass

@dataclass(frozen=True)
class Add:
    amounts: tuple[int, ...]

class Counter:
    def initial(self): return 0
    def step(self, state, operation): return state + sum(operation.amounts), state
    def equal(self, recovered, state): return recovered == state
    def example_operations(self, random, count): return [Add((1, 2))] * count

class Demanding(Counter):
    def __init__(self, size): ...

class Adapter:
    model = Counter()

counter = Counter()
nothing = 7
'''


def written(directory: Path, *called: Called, model: str = KEY_VALUE.name, **rest: object) -> str:
    file = directory / "h.jsonl"
    write_history(history_of(called, **rest), model, file)
    return str(file)


def test_statuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0, 1 and 3, with what was found on standard output."""
    assert main(["check-history", written(tmp_path, PUT, LOST)]) == 0
    assert ": linearizable\n  One order of 2 operations explains every answer." in capsys.readouterr().out
    file = written(tmp_path, PUT, LOST, STALE)
    assert main(["check-history", file, "--model", "KEY_VALUE"]) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"\u2717 {file}: an update was lost\n  Get('k') by client 3 (40-50 ns) returned 'a', but ")
    assert "    client 2: Put('k', 'b') -> None\n" in told
    assert "3 operations of 3 clients, model KEY_VALUE, by zones" in told
    hard = [Called(n, n, Put("k", f"v{n % 3}"), 0, 99, OK) for n in range(6)]
    hard += [Called(n, n, Get("k"), n, n + 1, OK, f"v{n % 2}") for n in range(10, 20, 3)]
    assert main(["check-history", written(tmp_path, *hard), "--steps", "1"]) == 3
    told = capsys.readouterr().out
    assert ": undecided\n  The search did not end within 1 step: 'k' has 10 operations, " in told
    assert "To decide it: let fewer clients" in told


def test_a_cut_file_proves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is missing may explain a contradiction; a sound history stays sound."""
    file = Path(written(tmp_path, PUT, LOST, STALE, dataclasses.replace(PUT, number=7, invoked_ns=60, completed_ns=70)))
    file.write_bytes(file.read_bytes()[:-9])
    assert main(["check-history", str(file)]) == 3
    told = capsys.readouterr().out
    assert "The last line of the file is cut" in told and "  found: Get('k') by client 3" in told
    file = Path(written(tmp_path, PUT, LOST, dataclasses.replace(PUT, number=7, invoked_ns=60, completed_ns=70)))
    file.write_bytes(file.read_bytes()[:-9])
    assert main(["check-history", str(file)]) == 0


def test_a_model_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An object, a class or an adapter of a file; its operations are known by name, with tuples."""
    module = tmp_path / "own.py"
    module.write_text(OWN)
    file = tmp_path / "h.jsonl"
    file.write_text(
        '{"format_version": 1, "model": "counter"}\n'
        '{"client": 1, "op": {"type": "Add", "amounts": [1, 2]}, "invoke": 0, "complete": 1, "outcome": "ok", '
        '"answer": 0}\n'
        '{"client": 1, "op": {"type": "Add", "amounts": [3]}, "invoke": 2, "complete": 3, "outcome": "ok", '
        '"answer": 3}\n'
    )
    for name in ("counter", "Counter", "Adapter"):
        assert main(["check-history", str(file), "--model", f"{module}:{name}"]) == 0
    file.write_text(file.read_text().replace('"answer": 3', '"answer": 2'))
    assert main(["check-history", str(file), "--model", f"{module}:counter"]) == 1
    assert "Add((3,)) by client 1 (2-3 ns) returned 2, which no order of these explains" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("own.py:nothing", "own.py:nothing is no model: it has no initial."),
        ("own.py:missing", "own.py has no missing."),
        ("own.py:Demanding", "can't be constructed without arguments"),
        ("KEYVALUE", "'KEYVALUE' does not name a model: write package.module:Class or path/to/file.py:Class."),
        (None, "is a history of 'mine': say --model path/to/file.py:object."),
        ("LOG", "Put('k', 'a') is no operation of LOG: name the model it is of."),
    ],
)
def test_a_wrong_model_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str | None,
    words: str,
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    given = [] if model is None else ["--model", model]
    assert main(["check-history", written(tmp_path, PUT, model="mine"), *given]) == 2
    told = capsys.readouterr().err
    assert words in told and len(told.splitlines()) == 1


def test_other_bad_input_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file, no budget, no place for the page: one sentence each, before anything is judged."""
    file = written(tmp_path, PUT)
    for arguments, words in (
        ([str(tmp_path / "none")], "can't be read (No such file or directory)"),
        ([file, "--steps", "0"], "a budget of 0 steps allows nothing"),
        ([file, "--seconds", "nan"], "a budget of nan seconds allows nothing"),
        ([file, "--html", str(tmp_path)], "can't be written"),
    ):
        assert main(["check-history", *arguments]) == 2
        told = capsys.readouterr()
        assert words in told.err and len(told.err.splitlines()) == 1 and not told.out


def test_a_page_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "new" / "page.html"
    disturbances = (Disturbance("kill", 5, 6),)
    file = written(tmp_path, PUT, LOST, STALE, disturbances=disturbances)
    assert main(["check-history", file, "--html", str(page)]) == 1
    assert f"written: {page}" in capsys.readouterr().out
    assert "An update was lost" in page.read_text() and "kill, 5 ns to 6 ns" in page.read_text()


def test_a_log_from_a_file(tmp_path: Path) -> None:
    called = [Called(n, n % 3, Append(f"r{n}"), 10 * n, 10 * n + 15, OK, n) for n in range(9)]
    file = written(tmp_path, *called, model=LOG.name, final=[f"r{n}" for n in range(9)], has_final=True)
    assert main(["check-history", file]) == 0
    file = written(tmp_path, *called, model=LOG.name, final=[f"r{n}" for n in range(8)], has_final=True)
    assert main(["check-history", file]) == 1


def test_an_empty_history_is_sound(tmp_path: Path) -> None:
    file = tmp_path / "h.jsonl"
    write_history(History(()), "DOCUMENT", file)
    assert main(["check-history", str(file), "--html", str(tmp_path / "p.html")]) == 0
    assert "Nobody called anything." in (tmp_path / "p.html").read_text()
