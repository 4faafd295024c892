"""Fault coverage: where faults struck, what the source has besides, and coverage.py's view of the store."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.cli import main
from harness.core.coverage import SourceFile
from harness.core.errors import UsageError
from harness.core.trace import CallSite, IoEvent, SyncAll, Trace, empty_image
from harness.run import store_coverage
from harness.run.coverage import CRASH, fault_coverage, static_sites

STORE = '''
import os
from harness import DOCUMENT, Contract, Save

class Adapter:
    name = "half-covered"
    model = DOCUMENT
    contract = Contract(process_crash=None, power_loss=None, io_error=None)

    def open(self, directory):
        self.path = directory / "document"
        return self

    def apply(self, store, operation):
        self.path.write_text(repr(operation.document))

    def snapshot(self, store):
        return eval(self.path.read_text()) if self.path.exists() else None

    def close(self, store):
        pass

    def never(self):
        os.replace("a", "b")
        "text".replace("a", "b")
'''


class Anywhere:
    """An adapter that lies in no file."""


Anywhere.__module__ = "builtins"


def names(text: str) -> list[tuple[int, str]]:
    source = SourceFile("store.py", tuple(text.splitlines()))
    return [(site.site.line, site.calls[0]) for site, _ in static_sites(source)]


def test_calls_are_found_by_their_names() -> None:
    """Functions of modules, `open`, methods of files and paths; not what only sounds like them."""
    text = "import os\nos.fsync(f)\nopen(p)\npath.write_bytes(b)\npath.replace(q)\n"
    assert names(text) == [(2, "os.fsync"), (3, "open"), (4, "write_bytes"), (5, "replace")]
    assert names("text.replace('a', 'b')\ncopy(x)\nos.getpid()\nlist.append(1)\n") == []


def test_names_count_where_they_were_imported() -> None:
    """`from os import replace as move`, but not `dataclasses.replace`."""
    text = "from os import fsync, replace as move\nfsync(f)\nmove(a, b)\nreplace(x)\n"
    assert names(text) == [(2, "fsync"), (3, "move")]


def test_methods_of_the_store_itself_are_no_calls() -> None:
    assert names("self.close()\nsuper().read()\nstore.write(x)\nself.file.close()\n") == [(4, "close")]


def test_what_is_no_python_has_no_sites() -> None:
    assert names("def (") == []


HERE = "/nowhere/store.py"
KNOWN = (HERE, 7, "save", "write", "EIO"), (HERE, 7, "save", "write", "short write")


def test_a_site_misses_what_applies_and_did_not_strike() -> None:
    struck = Counter({(HERE, 7, "save", "write", "EIO", "held"): 3})
    found = fault_coverage(struck, (), (), Anywhere, KNOWN)
    assert [site.missed for site in found.sites] == [("short write",)]
    assert (found.call_sites, found.struck_by_all) == (1, 0)
    struck[HERE, 7, "save", "write", "short write", "broke"] = 1
    found = fault_coverage(struck, (), (), Anywhere, KNOWN)
    assert [site.missed for site in found.sites] == [()]
    assert (found.call_sites, found.struck_by_all) == (1, 1)


def test_of_a_line_with_two_calls_each_has_its_own_faults() -> None:
    struck = Counter({(HERE, 7, "save", "write", "EIO", "held"): 3})
    both = (*KNOWN[:1], (HERE, 7, "save", "close", "EIO"))
    assert [site.missed for site in fault_coverage(struck, (), (), Anywhere, both).sites] == [("close: EIO",)]


def test_a_site_that_no_failing_call_went_to_misses_them_all() -> None:
    """Unless nothing applies there: a killed process may have asked for the status of a file."""
    struck = Counter({(HERE, 8, "load", call, "kill", "held"): 1 for call in ("fstat", "sync")})
    struck[HERE, 9, "load", "read", "kill", "held"] = 1
    struck[HERE, 7, "save", "write", "EIO", "held"] = 1
    found = fault_coverage(struck, (), (), Anywhere, KNOWN[:1])
    assert {site.site.line: site.missed for site in found.sites} == {7: (), 8: (), 9: ("any failing call",)}
    assert found.struck_by_all == 2


def test_it_is_not_known_what_applies_where_no_calls_were_let_fail() -> None:
    struck = Counter({(HERE, 9, "load", "read", "kill", "held"): 1})
    found = fault_coverage(struck, (), (), Anywhere)
    assert (found.call_sites, found.struck_by_all, found.sites[0].missed) == (1, None, ())


def test_functions_are_named_with_their_classes() -> None:
    source = SourceFile("s.py", ("class A:", "    def b(self):", "        open(1)"))
    assert [site.site.function for site, _ in static_sites(source)] == ["A.b"]


def test_a_struck_line_is_no_blind_spot(tmp_path: Path) -> None:
    """Also where the call extends over several lines, and the fault is noted at another of them."""
    file = tmp_path / "s.py"
    file.write_text("import os\nos.rename(\n    'a',\n    'b')\nos.fsync(3)\n")
    at = (str(file), 3, "f", "rename", "EIO")
    struck = Counter({(*at, "broke"): 2, (*at, "held"): 1})

    found = fault_coverage(struck, (), (), Anywhere)

    assert [(site.site.line, site.struck, site.broke) for site in found.sites] == [(3, 3, 2)]
    assert [site.site.line for site in found.blind] == [5]
    assert found.sources[0].file == str(file)


def test_crashes_count_where_they_came_after_a_call(tmp_path: Path) -> None:
    """A line that a crash broke is marked so."""
    file = tmp_path / "s.py"
    file.write_text("import os\nos.sync()\n")
    site = CallSite(str(file), 2, "f")
    event = IoEvent("os.sync", site, 0, 0, (SyncAll(),))
    trace = Trace(empty_image(), (event, IoEvent("stat", site, 0, 0)), (), "")

    found = fault_coverage(Counter(), [trace], [site, None], Anywhere)

    assert [(fault.fault, fault.held, fault.broke) for fault in found.sites[0].faults] == [(CRASH, 0, 1)]


def test_what_can_t_be_read_has_no_source() -> None:
    struck = Counter({("/nowhere/s.py", 3, "f", "open", "EIO", "held"): 1, ("", 0, "", "open", "EIO", "held"): 1})

    found = fault_coverage(struck, (), (), Anywhere)

    assert len(found.sites) == 1 and not found.sources and not found.blind


# --- coverage.py ------------------------------------------------------------------------------


def test_coverage_of_the_store_is_measured_in_a_run_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page is written, the certificate says how much, and what never ran is not covered."""
    (tmp_path / "store.py").write_text(STORE)
    arguments = ["--profile", "quick", "--jobs", "1", "--coverage", "--scenario", "damage"]

    status = main(["certify", f"{tmp_path}/store.py:Adapter", *arguments, "--reports", str(tmp_path / "out")])

    certificate = json.loads((tmp_path / "out" / "half-covered.json").read_text())
    assert status in (0, 1)
    assert 50 < certificate["coverage"]["percent"] < 100
    page = tmp_path / "out" / certificate["coverage"]["html"]
    assert "store.py" in page.read_text()
    assert certificate["coverage"]["html"] in (tmp_path / "out" / "half-covered.html").read_text()
    assert any(site["site"]["function"] == "Adapter.never" for site in certificate["fault_coverage"]["blind"])
    capsys.readouterr()


def test_without_coverage_py_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coverage", None)
    with pytest.raises(UsageError, match="pip install"):
        store_coverage.require_coverage()
