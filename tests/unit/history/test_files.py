"""Histories as files: what is written is read again, and what is no history is told in one sentence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import Append, Called, Disturbance, Get, History, Outcome, Put, PutMany, Save, UsageError
from harness.history.files import HistoryWriter, read_history, write_history

HEADER = '{"format_version": 1, "model": "KEY_VALUE"}'
PUT = '{"client": 1, "op": {"type": "Put", "key": "k", "value": "v"}, "invoke": 1, "complete": 2, "outcome": "ok"}'


@dataclass(frozen=True)
class Move:
    path: tuple[tuple[int, int], ...]
    note: list[str]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Tuples, nulls, errors, faults and a snapshot come back as they were."""
    history = History(
        (
            Called(0, 1, PutMany((("a", "1"), ("b", "\u2603"))), 5, 9, Outcome.OK),
            Called(1, 2, Get("a"), 6, 7, Outcome.OK, None),
            Called(2, 3, Save({"list": [1, {"x": None}]}), 7, None, Outcome.INFO),
            Called(3, 4, Append("r"), 8, 8, Outcome.FAIL, None, "refused"),
            Called(4, 4, Move(((1, 2), (3, 4)), ["a"]), 9, 10, Outcome.OK, {"at": [3, 4]}),
        ),
        (Disturbance("kill", 3, 6),),
        None,
        True,
    )
    file = tmp_path / "h.jsonl"
    write_history(history, "KEY_VALUE", file)
    recorded = read_history(file, {"Move": Move})
    assert recorded.history == history and recorded.model == "KEY_VALUE" and not recorded.cut
    assert len(file.read_text().splitlines()) == 8


def test_a_history_without_a_snapshot_has_none(tmp_path: Path) -> None:
    file = tmp_path / "h.jsonl"
    write_history(History(()), "LOG", file)
    assert read_history(file).history == History(())


def test_an_operation_is_kept_when_it_is_called(tmp_path: Path) -> None:
    """The second line with a number replaces the first; a writer that begins again goes on with the file."""
    file = tmp_path / "h.jsonl"
    with HistoryWriter(file, "KEY_VALUE") as writer:
        writer.write(Called(0, 1, Put("k", "a"), 1))
        writer.write(Called(1, 2, Put("k", "b"), 2))
    with HistoryWriter(file, "KEY_VALUE") as writer:
        writer.write(Called(1, 2, Put("k", "b"), 2, 3, Outcome.OK))
    outcomes = [called.outcome for called in read_history(file).history]
    assert outcomes == [Outcome.INFO, Outcome.OK]


@pytest.mark.parametrize("length", range(len(HEADER) + 2, len(HEADER) + len(PUT)))
def test_a_cut_line_is_told(tmp_path: Path, length: int) -> None:
    """Wherever the last line ends, the lines before it are read."""
    file = tmp_path / "h.jsonl"
    file.write_text(f"{HEADER}\n{PUT}\n{PUT}"[: length + len(PUT) + 1])
    recorded = read_history(file)
    assert recorded.cut and len(recorded.history) == 1


def test_a_last_line_without_an_end_is_whole(tmp_path: Path) -> None:
    """Other tools leave the last newline out; empty lines mean nothing."""
    file = tmp_path / "h.jsonl"
    file.write_text(f"{HEADER}\n\n{PUT}")
    assert len(read_history(file).history) == 1 and not read_history(file).cut


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", ("line 2 of", "is no JSON.")),
        ("[1]", ("line 2 of", "is no JSON object.")),
        ("[" * 100_000, ("line 2 of", "is no JSON.")),
        ("{}", ("line 2 of", 'has neither "op" nor "disturbance" nor "final".')),
        ('{"op": {"type": "Put"}}', ("line 2 of", 'has no "outcome" out of ok, fail, info.')),
        ('{"op": 7, "outcome": "ok"}', ("line 2 of", 'has no "op" with a "type".')),
        ('{"op": {"type": "Pot"}, "outcome": "ok"}', ("line 2 of", "an operation Pot that this model does not know.")),
        ('{"op": {"type": "Put", "x": 1}, "outcome": "ok"}', ("line 2 of", "has a Put of x: it takes key, value.")),
        ('{"op": {"type": "Load", "x": 1}, "outcome": "ok"}', ("line 2 of", "has a Load of x: it takes nothing.")),
        (PUT.replace('"client": 1', '"client": true'), ("line 2 of", 'has no whole number as "client".')),
        (PUT.replace('"invoke": 1', '"invoke": 1.5'), ("line 2 of", 'has no whole number as "invoke".')),
        (PUT.replace('"complete": 2', '"complete": 0'), ("line 2 of", "ends before it begins.")),
        (PUT.replace('"complete": 2', '"complete": null'), ("line 2 of", "has an outcome and no completion.")),
        ('{"disturbance": "kill", "began": 1}', ("line 2 of", 'has no whole number as "ended".')),
        ('{"final": 1}\n{"final": 1}', ("line 3 of", "is a second snapshot.")),
    ],
)
def test_a_wrong_line_is_told_in_one_sentence(tmp_path: Path, line: str, words: tuple[str, ...]) -> None:
    file = tmp_path / "h.jsonl"
    file.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(UsageError) as error:
        read_history(file)
    assert all(part in str(error.value) for part in words)


def test_a_wrong_header_is_told(tmp_path: Path) -> None:
    file = tmp_path / "h.jsonl"
    for text, words in (
        ("", "is empty, so there is no history to judge: write a first line like {"),
        (PUT + "\n", "line 1 of"),
        ('{"format_version": 2, "model": "LOG"}\n', "has format_version 2, and this harness reads 1."),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=words):
            read_history(file)
    with pytest.raises(UsageError, match="can't be read"):
        read_history(tmp_path)


def test_what_is_no_json_is_not_written(tmp_path: Path) -> None:
    """Neither a set nor a place that is none; what was written before stays whole."""
    file = tmp_path / "h.jsonl"
    with HistoryWriter(file, "LOG") as writer, pytest.raises(UsageError, match="is no JSON"):
        writer.final({1, 2})
    assert [json.loads(line)["model"] for line in file.read_text().splitlines()] == ["LOG"]
    with pytest.raises(UsageError, match="can't be written"):
        HistoryWriter(tmp_path, "LOG")
