"""Which errors a call may give, and the order in which they are tried."""

from __future__ import annotations

import errno

import pytest

from harness.inject.calls import CallFault, CallLasting, CallWay, Seen, faults, kinds, os_error, strikes_too

WRITE = Seen("write", "write", False, 100, "store:1")
FSYNC = Seen("fsync", "sync", False, -1, "store:2")
CREATE = Seen("open", "open", True, -1, "store:3")
READ = Seen("read", "read", False, 100, "store:4")


def errors(call: Seen) -> set[str]:
    return {error for error, _, _ in kinds(call)}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (READ, {"EIO"}),
        (Seen("open", "open", False, -1, ""), {"EIO", "EMFILE", "EACCES"}),
        (CREATE, {"EIO", "EMFILE", "EACCES", "ENOSPC", "EDQUOT"}),
        (WRITE, {"EIO", "ENOSPC", "EDQUOT", ""}),
        (Seen("pwrite", "write", False, 1, ""), {"EIO", "ENOSPC", "EDQUOT"}),
        (FSYNC, {"EIO", "ENOSPC", "EDQUOT"}),
        (Seen("ftruncate", "size", False, -1, ""), {"EIO", "ENOSPC", "EDQUOT"}),
        (Seen("replace", "name", False, -1, ""), {"EIO", "ENOSPC", "EDQUOT", "EACCES"}),
        (Seen("unlink", "name", False, -1, ""), {"EIO", "EACCES"}),
        (Seen("listdir", "list", False, -1, ""), {"EIO", "EMFILE"}),
        (Seen("stat", "status", False, -1, ""), set()),
        (Seen("fstat", "status", False, -1, ""), set()),
        (Seen("flock", "lock", False, -1, ""), {"ENOLCK"}),
        (Seen("access", "status", False, -1, ""), set()),
        (Seen("sync", "sync", False, -1, ""), set()),
    ],
)
def test_a_call_gives_the_errors_that_its_manual_page_names(call: Seen, expected: set[str]) -> None:
    assert errors(call) == expected


def test_a_close_that_fails_has_closed() -> None:
    close = Seen("close", "close", False, -1, "")
    assert {way for _, way, _ in kinds(close)} == {CallWay.DONE}


def test_every_site_is_struck_by_every_kind_before_any_is_struck_twice() -> None:
    calls = [WRITE, FSYNC, WRITE, WRITE, READ, FSYNC]
    found = list(faults(calls))
    first = found[: sum(len(kinds(call)) for call in (WRITE, FSYNC, READ))]
    struck = [(fault.name, fault.error, fault.way, fault.lasting) for fault in first]
    assert len(set(struck)) == len(struck)
    assert set(struck) == {(call.name, *kind) for call in (WRITE, FSYNC, READ) for kind in kinds(call)}
    assert [fault.name for fault in found[:3]] == ["write", "fsync", "read"]


def test_in_the_end_every_call_has_met_every_kind() -> None:
    calls = [WRITE, FSYNC, WRITE, WRITE, READ, FSYNC]
    found = list(faults(calls))
    assert len(found) == len(set(found)) == sum(len(kinds(call)) for call in calls)
    assert {fault.number for fault in found if fault.name == "write"} == {1, 2, 3}


def test_one_function_called_from_two_places_is_two_sites_with_one_count() -> None:
    other = Seen("write", "write", False, 100, "store:9")
    firsts = [fault for fault in faults([WRITE, other, WRITE]) if (fault.error, fault.way) == ("", CallWay.SHORT)]
    assert {fault.number for fault in firsts if fault.lasting is CallLasting.ONCE} == {1, 2, 3}


def test_without_calls_there_are_no_faults() -> None:
    assert list(faults([])) == []


@pytest.mark.parametrize(
    ("error", "call", "expected"),
    [
        ("ENOSPC", WRITE, True),
        ("ENOSPC", CREATE, True),
        ("ENOSPC", READ, False),
        ("ENOSPC", Seen("open", "open", False, -1, ""), False),
        ("ENOSPC", Seen("mkdir", "name", False, -1, ""), True),
        ("ENOSPC", Seen("unlink", "name", False, -1, ""), False),
        ("EMFILE", CREATE, True),
        ("EMFILE", Seen("scandir", "list", False, -1, ""), True),
        ("EMFILE", WRITE, False),
        ("EIO", WRITE, True),
        ("EIO", FSYNC, False),
        ("EIO", Seen("access", "status", False, -1, ""), False),
    ],
)
def test_what_stays_broken_after_a_write(error: str, call: Seen, expected: bool) -> None:
    fault = CallFault("write", 1, error, CallWay.FAILS, CallLasting.FROM_THEN_ON)
    assert strikes_too(fault, call, WRITE) is expected


def test_a_disk_without_room_for_a_sync_refuses_later_syncs_too() -> None:
    assert strikes_too(CallFault("fsync", 1, "ENOSPC"), FSYNC, FSYNC)


def test_faults_tell_what_they_do() -> None:
    assert CallFault("fsync", 2, "EIO").describe() == "the 2nd fsync gives EIO"
    assert "half of its bytes" in CallFault("file_write", 11, "", CallWay.SHORT).describe()
    assert "the 11th write" in CallFault("file_write", 11, "", CallWay.SHORT).describe()
    assert "the next gives ENOSPC" in CallFault("write", 3, "ENOSPC", CallWay.SHORT_THEN_FULL).describe()
    assert "carried out" in CallFault("close", 1, "EIO", CallWay.DONE).describe()
    lasting = CallFault("write", 1, "EIO", lasting=CallLasting.FROM_THEN_ON)
    assert lasting.describe().endswith("from then on")
    words = {CallFault("write", 1, "EIO", way).word for way in CallWay}
    assert words == {"EIO", "EIO after effect", "short write", "short write, then EIO", "lock taken", "fork"}


def test_the_exception_is_the_one_that_python_raises() -> None:
    assert isinstance(os_error("EACCES", "/x"), PermissionError)
    assert os_error("EACCES", "/x").filename == "/x"
    assert os_error("ENOSPC").errno == errno.ENOSPC
