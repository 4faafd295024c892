"""Histories as files: one JSON object a line (docs/HISTORIES.md).

The first line is the header; then come operations, faults and at most one snapshot, in any order. An operation may
stand in two lines with one number, first when it is called and again when it has ended: the last one counts. So nothing
that may have had an effect is missing when the process that writes is killed.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.core import operations
from harness.core.errors import UsageError
from harness.core.history import Called, Disturbance, History, Outcome, history_of

FORMAT_VERSION = 1
_OPERATIONS: dict[str, type] = {
    name: kind for name, kind in vars(operations).items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)
}
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


@dataclass(frozen=True, slots=True)
class Recorded:
    """A history from a file, the name of the model in its header, and whether its last line was cut."""

    history: History
    model: str
    cut: bool = False


# --- writing --------------------------------------------------------------------------------------


class HistoryWriter:
    """Appends to a file, a line at a time, each in one call: a kill costs the line that is being written at most.

    A file that has something in it is gone on with. Raises `UsageError` where it can't be written, and for what is no
    JSON.
    """

    def __init__(self, path: Path, model: str) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise UsageError(f"{path} can't be written ({error.strerror}): name another file.") from None
        if os.fstat(self._file).st_size == 0:
            self._line({"format_version": FORMAT_VERSION, "model": model})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, called: Called) -> None:
        """An operation that was called, or that has ended."""
        self._line(
            {
                "number": called.number,
                "client": called.client,
                "op": _encoded(called.operation),
                "invoke": called.invoked_ns,
                "complete": called.completed_ns,
                "outcome": called.outcome.value,
                "answer": called.answer,
                **({"error": called.error} if called.error else {}),
            }
        )

    def disturb(self, disturbance: Disturbance) -> None:
        """A fault that struck meanwhile."""
        self._line({"disturbance": disturbance.what, "began": disturbance.began_ns, "ended": disturbance.ended_ns})

    def final(self, snapshot: Any) -> None:
        """The snapshot after everything else."""
        self._line({"final": snapshot})

    def close(self) -> None:
        os.close(self._file)

    def _line(self, document: dict[str, Any]) -> None:
        try:
            text = json.dumps(document, separators=(",", ":"))
        except (TypeError, ValueError):
            raise UsageError(f"{document} is no JSON: a history keeps what JSON has.") from None
        data = text.encode() + b"\n"
        while data:
            data = data[os.write(self._file, data) :]


def write_history(history: History, model: str, path: Path) -> None:
    """Write all of a history to a new file."""
    path.unlink(missing_ok=True)
    with HistoryWriter(path, model) as writer:
        for called in history:
            writer.write(called)
        for disturbance in history.disturbances:
            writer.disturb(disturbance)
        if history.has_final:
            writer.final(history.final)


def _encoded(operation: Any) -> dict[str, Any]:
    fields = {field.name: getattr(operation, field.name) for field in dataclasses.fields(operation)}
    return {"type": type(operation).__name__, **fields}


# --- reading --------------------------------------------------------------------------------------


def read_history(path: Path, types: Mapping[str, type] | None = None) -> Recorded:
    """The history in a file; `types` are the operations of a user's model by name.

    A last line that has no end is left out, and told by `cut`. Raises `UsageError`, with the number of the line, for
    anything that is not as docs/HISTORIES.md says.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}): name the file of a history.") from None
    *lines, rest = data.split(b"\n")
    reader = _Reader(path, {**_OPERATIONS, **(types or {})})
    cut = False
    for number, line in enumerate(lines, 1):
        reader.take(number, line)
    if rest.strip():
        if _is_document(rest):  # another tool that ends no line
            reader.take(len(lines) + 1, rest)
        else:
            cut = True
    return Recorded(reader.history(), reader.model(), cut)


def _is_document(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


class _Reader:
    """Lines become a history, one after another."""

    def __init__(self, path: Path, types: Mapping[str, type]) -> None:
        self._path = path
        self._types = types
        self._model: str | None = None
        self._called: dict[int, Called] = {}
        self._disturbances: list[Disturbance] = []
        self._finals: list[Any] = []
        self._line = 0

    def history(self) -> History:
        return history_of(
            self._called.values(),
            disturbances=tuple(self._disturbances),
            final=self._finals[0] if self._finals else None,
            has_final=bool(self._finals),
        )

    def model(self) -> str:
        if self._model is None:
            raise UsageError(
                f"{self._path} is empty, so there is no history to judge: write a first line like {_HEADER}, and then "
                "a line for each operation, as docs/HISTORIES.md describes it."
            )
        return self._model

    def take(self, number: int, line: bytes) -> None:
        self._line = number
        if not line.strip():
            return
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            raise self._wrong("is no JSON") from None
        if not isinstance(document, dict):
            raise self._wrong("is no JSON object")
        if self._model is None:
            self._model = self._header(document)
        elif "op" in document:
            self._operation(document)
        elif "disturbance" in document:
            self._disturb(document)
        elif "final" in document:
            if self._finals:
                raise self._wrong("is a second snapshot")
            self._finals.append(document["final"])
        else:
            raise self._wrong('has neither "op" nor "disturbance" nor "final"')

    def _header(self, document: dict[str, Any]) -> str:
        if type(document.get("format_version")) is not int or not isinstance(document.get("model"), str):
            raise self._wrong(f"is no header: a history begins with a line like {_HEADER}")
        if document["format_version"] != FORMAT_VERSION:
            version = document["format_version"]
            raise self._wrong(f"has format_version {version}, and this harness reads {FORMAT_VERSION}")
        model: str = document["model"]
        return model

    def _operation(self, document: dict[str, Any]) -> None:
        number = self._integer(document, "number", len(self._called))
        outcome = _OUTCOMES.get(str(document.get("outcome")))
        if outcome is None:
            raise self._wrong(f'has no "outcome" out of {", ".join(_OUTCOMES)}')
        completed = None if document.get("complete") is None else self._integer(document, "complete")
        operation = self._decoded(document["op"])
        try:
            self._called[number] = Called(
                number,
                self._integer(document, "client"),
                operation,
                self._integer(document, "invoke"),
                completed,
                outcome,
                document.get("answer"),
                str(document.get("error", "")),
            )
        except ValueError as error:
            raise self._wrong(f"is no operation: {str(error).rstrip('.')}") from None

    def _disturb(self, document: dict[str, Any]) -> None:
        began, ended = self._integer(document, "began"), self._integer(document, "ended")
        self._disturbances.append(Disturbance(str(document["disturbance"]), began, ended))

    def _integer(self, document: dict[str, Any], name: str, otherwise: int | None = None) -> int:
        value = document.get(name, otherwise)
        if type(value) is not int:
            raise self._wrong(f'has no whole number as "{name}"')
        return value

    def _decoded(self, fields: Any) -> Any:
        """An operation; lists become tuples where its class says so."""
        if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
            raise self._wrong('has no "op" with a "type"')
        kind = self._types.get(fields["type"])
        if kind is None:
            raise self._wrong(f"has an operation {fields['type']} that this model does not know")
        known = {field.name: str(field.type) for field in dataclasses.fields(kind)}
        given = {name: value for name, value in fields.items() if name != "type"}
        try:
            return kind(**{name: _tupled(value, known.get(name, "")) for name, value in given.items()})
        except (TypeError, ValueError):
            wanted = ", ".join(known) or "nothing"
            raise self._wrong(f"has a {fields['type']} of {', '.join(given) or 'nothing'}: it takes {wanted}") from None

    def _wrong(self, what: str) -> UsageError:
        return UsageError(f"line {self._line} of {self._path} {what}.")


_HEADER = f'{{"format_version": {FORMAT_VERSION}, "model": "KEY_VALUE"}}'


def _tupled(value: Any, annotation: str) -> Any:
    if not annotation.startswith(("tuple", "typing.Tuple", "Tuple", "<class 'tuple'>")):
        return value
    return _deep(value)


def _deep(value: Any) -> Any:
    return tuple(map(_deep, value)) if isinstance(value, list) else value
