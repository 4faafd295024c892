"""Mutants of a sound store: one call or check that keeps data safe is deleted, moved or doubled.

What is looked for, by the names that such code gives things: syncs, renames, removals and locks that
are statements of their own or a `with`; comparisons of checksums; and tests of what a call on a file
or lock returned. A move swaps a statement with the next one, or with the one before where it is the
last. Mutation testing goes back to DeMillo, Lipton and Sayward, "Hints on Test Data Selection", 1978.

A mutant has a key that outlives edits elsewhere: file, function, statement and operator, and a
number where the same statement stands more than once in a function.
"""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import cast

ROOT = Path(__file__).parents[2]
PACKAGE = "store_under_test.metrics_store"
#: The adapter that drives a function; most are driven by both.
ADAPTER = "adapter.py:MetricsStoreAdapter"
ADAPTERS = {"MetricsStore.update": "adapter.py:MetricsUpdateAdapter"}
#: Modules of the package that are not the store: its harness adapter, and the front that only passes calls on.
NOT_MUTATED = ("adapter.py", "aio.py", "__init__.py")


class Operator(StrEnum):
    """What is done to a statement."""

    DELETE = "delete"
    MOVE = "move"
    DUPLICATE = "duplicate"


class Family(StrEnum):
    """What a statement is for; a family has the faults that can show its absence."""

    SYNC = "sync"
    RENAME = "rename"
    REMOVAL = "removal"
    LOCK = "lock"
    CHECKSUM = "checksum"
    CHECK = "return value"


#: Tried in this order on the name of a called function.
_CALLED = (
    (Family.SYNC, re.compile(r"fsync|fdatasync|flush|(^|_)sync(_|$)")),
    (Family.LOCK, re.compile(r"flock|lockf|^(un)?lock$|_unlock$|acquire$|^release$|^held$")),
    (Family.REMOVAL, re.compile(r"^(unlink|remove|remove_quietly|rmtree)$")),
)
_RENAMING = ("os.replace", "os.rename", "os.link")
_CHECKSUM = re.compile(r"digest|checksum|crc|sha\d+")
#: Calls whose answers tell whether something worked, or what is there.
_ANSWERING = re.compile(
    r"^os\.(open|read|write|pread|pwrite|fstat|stat)$|(^|\.)(try_)?acquire$|(^|\.)is_mine$"
)

Step = tuple[str, int]  # a field of a node that is a list, and a place in it


@dataclass(frozen=True, slots=True)
class Key:
    """What a mutant is called in the table of survivors. `occurrence` counts equal statements of a function."""

    file: str
    function: str
    statement: str
    operator: Operator
    occurrence: int = 1

    def __str__(self) -> str:
        where = f"{self.file} {self.function}: {self.statement}"
        return f"{self.operator} {where}" + (f" (number {self.occurrence})" if self.occurrence > 1 else "")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed module: `line` and `text` are those of the statement in the sound source."""

    key: Key
    family: Family
    line: int
    text: str
    source: str

    @property
    def package(self) -> str:
        """A name that no other mutant has, because Python imports a name once."""
        return f"mutant_{hashlib.sha256(str(self.key).encode()).hexdigest()[:12]}"


def mutants() -> list[Mutant]:
    """All mutants of the reference store, in the order of its modules and lines."""
    return [
        mutant
        for path in sorted(_folder().glob("*.py"))
        if path.name not in NOT_MUTATED
        for mutant in mutants_of(path.name, path.read_text(encoding="utf-8"))
    ]


def mutants_of(file: str, source: str) -> Iterator[Mutant]:
    """The mutants of one module."""
    seen: Counter[tuple[str, str]] = Counter()
    lines = source.splitlines()
    for site in _sites(ast.parse(source)):
        seen[site.function, site.statement] += 1
        for operator in Operator:
            changed = _changed(source, site, operator)
            if changed is not None:
                key = Key(file, site.function, site.statement, operator, seen[site.function, site.statement])
                yield Mutant(key, site.family, site.line, lines[site.line - 1].strip(), changed)


def write(mutant: Mutant, folder: Path) -> str:
    """Put a copy of the package with the mutant's module under `folder`; returns the adapter to certify."""
    package = folder / mutant.package
    shutil.copytree(_folder(), package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / mutant.key.file).write_text(mutant.source, encoding="utf-8")
    for path in package.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(PACKAGE, mutant.package), encoding="utf-8")
    return f"{package}/{ADAPTERS.get(mutant.key.function, ADAPTER)}"


def _folder() -> Path:
    return ROOT / PACKAGE.replace(".", "/")


# --- what is changed -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Site:
    path: tuple[Step, ...]
    function: str
    statement: str
    family: Family
    line: int


def _sites(tree: ast.Module) -> Iterator[_Site]:
    for path, function, names, statement in _statements(tree, (), "", frozenset()):
        family = _family(statement, names) if function else None
        if family is not None:
            yield _Site(path, function, _head(statement), family, statement.lineno)


def _statements(
    node: ast.AST, path: tuple[Step, ...], function: str, names: frozenset[str]
) -> Iterator[tuple[tuple[Step, ...], str, frozenset[str], ast.stmt]]:
    """Every statement below `node`, with its function, and the names there that hold answers of calls."""
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        block = getattr(node, field, None)
        for index, child in enumerate(block if isinstance(block, list) else ()):
            here, inner, known = (*path, (field, index)), function, names
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = f"{function}.{child.name}" if function else child.name
                known = frozenset(_answers(child))
            elif isinstance(child, ast.stmt):
                yield here, function, names, child
            yield from _statements(child, here, inner, known)


def _answers(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _answering(node.value):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _answering(call: ast.Call) -> bool:
    return _ANSWERING.search(ast.unparse(call.func)) is not None


def _family(statement: ast.stmt, names: frozenset[str]) -> Family | None:
    match statement:
        case ast.Expr(value=ast.Call() as call):
            return _family_of_call(call)
        case ast.With(items=[ast.withitem(context_expr=ast.Call() as call)]):
            return Family.LOCK if _family_of_call(call) is Family.LOCK else None
        case ast.If(test=test) | ast.While(test=test):
            return _family_of_test(test, names)
    return None


def _family_of_call(call: ast.Call) -> Family | None:
    called = ast.unparse(call.func)
    if called in _RENAMING:
        return Family.RENAME
    last = called.rpartition(".")[2]
    return next((family for family, pattern in _CALLED if pattern.search(last)), None)


def _family_of_test(test: ast.expr, names: frozenset[str]) -> Family | None:
    if isinstance(test, ast.Compare) and _CHECKSUM.search(ast.unparse(test)):
        return Family.CHECKSUM
    asks = any(
        (isinstance(node, ast.Call) and _answering(node)) or (isinstance(node, ast.Name) and node.id in names)
        for node in ast.walk(test)
    )
    return Family.CHECK if asks and not isinstance(test, ast.NamedExpr) else None


def _head(statement: ast.stmt) -> str:
    """The statement, or the first line of one that has a body."""
    return ast.unparse(statement).partition("\n")[0]


# --- how it is changed ---------------------------------------------------------------------


def _changed(source: str, site: _Site, operator: Operator) -> str | None:
    """The source with the operator applied at the site; `None` where it can't be."""
    tree = ast.parse(source)
    parent: ast.AST = tree
    for field, index in site.path[:-1]:
        parent = getattr(parent, field)[index]
    field, index = site.path[-1]
    block = cast(list[ast.stmt], getattr(parent, field))
    new = _APPLIED[operator](block, index)
    if new is None:
        return None
    setattr(parent, field, new)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _deleted(block: list[ast.stmt], index: int) -> list[ast.stmt]:
    """A `with` leaves its body, and an `if` its `else`."""
    statement = block[index]
    left: list[ast.stmt] = []
    if isinstance(statement, ast.With):
        left = statement.body
    elif isinstance(statement, ast.If | ast.While):
        left = statement.orelse
    rest = [*block[:index], *left, *block[index + 1 :]]
    return rest or [ast.Pass()]


def _moved(block: list[ast.stmt], index: int) -> list[ast.stmt] | None:
    """Behind the next statement; behind a `return` it would be a deletion, so there it goes to the front."""
    ends = (ast.Return, ast.Raise, ast.Continue, ast.Break)
    other = index + 1
    if other == len(block) or isinstance(block[other], ends):
        other = index - 1
    if other < 0 or _is_text(block[other]):
        return None
    swapped = list(block)
    swapped[index], swapped[other] = swapped[other], swapped[index]
    return swapped


def _doubled(block: list[ast.stmt], index: int) -> list[ast.stmt] | None:
    if isinstance(block[index], ast.With):
        return None  # every path through it returns: the second would never run
    return [*block[: index + 1], block[index], *block[index + 1 :]]


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


_APPLIED = {Operator.DELETE: _deleted, Operator.MOVE: _moved, Operator.DUPLICATE: _doubled}


def by_key(found: Iterable[Mutant]) -> dict[Key, Mutant]:
    """Mutants by their keys, of which no two are equal."""
    table: dict[Key, Mutant] = {}
    for mutant in found:
        assert mutant.key not in table, mutant.key
        table[mutant.key] = mutant
    return table
