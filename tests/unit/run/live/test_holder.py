"""A store in a process of its own: what it answers, how it ends, and what a disk may hold then."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from harness import PRESETS, Append, Put
from harness.core.errors import HarnessFault, Unsupported
from harness.core.persistence import PROCESS_CRASH, STRICT
from harness.core.program import TurnClock
from harness.core.trace import Blindness, Unseen, empty_image
from harness.record import kernel
from harness.run.containment import child_ids
from harness.run.live import holder, timepiece
from harness.run.live.holder import Died, Holder, Hung, blindness, crashed
from harness.run.live.syncs import Synced
from tests.stores import skewed
from tests.stores.machined import Careful, NoDirectorySync


class Odd(Careful):
    """Ends its process, never returns, or can't take it, as it is told."""

    def apply(self, store: Path, operation: Put) -> None:
        if operation.key == "end":
            os._exit(7)
        if operation.key == "wait":
            os.read(os.pipe()[0], 1)
        if operation.key == "other":
            raise Unsupported
        super().apply(store, operation)


def test_a_tenant_does_what_it_is_asked(tmp_path: Path) -> None:
    """In this process: open, write with and without an error, read, close, and tell what a crash leaves."""
    tenant = holder._Tenant(Odd, tmp_path, empty_image())
    tenant.recorder.start()
    with kernel.engage(tenant.saboteur):
        assert not tenant.open().error
        assert not tenant.apply(Put("k", "1")).error
        assert tenant.apply(Put("other", "1")).unsupported
        tenant.arm("EIO", 1)
        failed = tenant.apply(Put("k", "2"))
        assert "OSError" in failed.error and failed.declared and failed.struck[0].fault == "EIO"
        tenant.disarm()
        tenant.fill(0)
        assert "No space left" in tenant.apply(Put("k", "3")).error
        tenant.fill(None)
        assert tenant.snapshot().value == {"k": "1"}
        site = tenant.watched_opening(str(tmp_path / "pairs"), 0, 10)
        assert site is not None and site.function == "Careful.read"
        assert not tenant.apply(Put("k", "4")).error
        assert not tenant.close().error
        crash = tenant.crash(PROCESS_CRASH, 0, 0)
    assert crash.image is not None and crash.of >= 1
    assert (crash.knowledge.acknowledged, crash.knowledge.begun) == (3, 4)  # closing did nothing to the disk


def test_a_crash_state_of_the_last_step_only(tmp_path: Path) -> None:
    """What was acknowledged before it counts as such in every choice; choices wrap around; equal ones are equal."""
    tenant = holder._Tenant(NoDirectorySync, tmp_path, empty_image())
    tenant.recorder.start()
    for number in range(3):
        if number == 0:
            tenant.open()
        tenant.apply(Put("k", str(number)))
    trace = tenant.recorder.finish(tenant.operations, 0, tenant.errors)
    strict = PRESETS["strict"]
    count = crashed(trace, strict, 0, 0).of
    known = {crashed(trace, strict, choice, 0).knowledge.acknowledged for choice in range(count)}
    assert known == {2, 3} and count > 3
    assert crashed(trace, strict, 1, 0) == crashed(trace, strict, 1 + count, 0)
    lossy = [crashed(trace, strict, choice, 0) for choice in range(count)]
    assert any(item.lost and item.site is not None and item.site.function == "Careful.write" for item in lossy)
    most = crashed(trace, PRESETS["max-loss"], 0, 0)
    assert most.lost and most.image is not None


def test_a_recording_with_gaps_is_not_trusted(tmp_path: Path) -> None:
    """A sync that may have gone unseen makes a power cut worth nothing, and a kill no less."""
    import dataclasses

    tenant = holder._Tenant(Careful, tmp_path, empty_image())
    tenant.recorder.start()
    tenant.open()
    trace = tenant.recorder.finish((), 0, {})
    hidden = dataclasses.replace(trace, unseen=(Unseen(Blindness.HIDDEN_SYNC, "a library", "use another"),))
    assert blindness(hidden, PRESETS["strict"]) == "a library; use another" and not blindness(hidden, PROCESS_CRASH)
    assert crashed(hidden, PRESETS["strict"], 0, 0).image is None
    mapped = dataclasses.replace(trace, unseen=(Unseen(Blindness.WRITABLE_MAPPING, "mmap", "none"),))
    assert blindness(mapped, PROCESS_CRASH)


def test_how_a_process_ends(tmp_path: Path) -> None:
    """By itself, by the time limit, by being told to; each leaves no child."""
    before = child_ids()
    for key, error, message in (("end", Died, "exit status 7"), ("wait", Hung, "0.3 s")):
        held = Holder(Odd, tmp_path, empty_image(), 0.3 if key == "wait" else 20.0)
        if key == "end":
            held.ask("open")
        else:
            held.time_limit_s = 20.0
            held.ask("open")
            held.time_limit_s = 0.3
        with pytest.raises(error, match=message):
            held.ask("apply", Put(key, ""))
        assert held.process == 0
        held.kill()
    held = Holder(Odd, tmp_path, empty_image(), 20.0)
    with pytest.raises(HarnessFault, match="AttributeError"):
        held.ask("dance")
    assert child_ids() <= before


class Silent(NoDirectorySync):
    """Takes a failed fsync of its file for a good one."""

    def sync(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)


@pytest.mark.parametrize("aftermath", ["clean", "reverted", "late"])
@pytest.mark.parametrize("adapter", [Careful, Silent])
def test_a_tenant_whose_sync_fails(tmp_path: Path, adapter: Any, aftermath: str) -> None:
    """It says so, and knows which disks only the failure explains; what nobody reported is not owed."""
    tenant = holder._Tenant(adapter, tmp_path, empty_image(), fails_syncs=True)
    tenant.recorder.start()
    with holder._engaged(tenant.syncs), kernel.engage(tenant.saboteur):
        assert not tenant.open().unsynced
        assert not tenant.apply(Put("k1", "one")).unsynced
        tenant.fail_sync(1, aftermath)
        failed = tenant.apply(Put("k1", "two"))
        tenant.disarm()
        tenant.apply(Put("k2", "three"))
    assert failed.unsynced and bool(failed.error) == (adapter is Careful and aftermath != "late")
    crash = tenant.crash_unsynced(STRICT, 0, 0, "acknowledged")
    assert not crash.blind
    if aftermath == "late":  # each version of the file is a new one: no later sync of the same file tells
        assert crash.image is None and crash.whole
        return
    assert crash.image is not None and crash.word == f"failed sync ({aftermath})" and crash.of
    assert crash.whole == (aftermath == "clean")
    assert crash.ledger.swallowed == ({1} if adapter is Silent and len(crash.ledger.operations) > 1 else set())
    assert crash.site is not None and crash.site.function == f"{adapter.__name__}.sync"


def test_a_sync_that_was_not_recorded(tmp_path: Path) -> None:
    """Nothing can be concluded then."""
    tenant = holder._Tenant(Careful, tmp_path, empty_image(), fails_syncs=True)
    assert tenant.syncs is not None
    tenant.syncs.gate.syncs.append(Synced(None, 0, "failed"))
    tenant.recorder.start()
    assert "was not recorded" in tenant.crash_unsynced(STRICT, 0, 0, "acknowledged").blind


def test_the_clocks_of_a_tenant(tmp_path: Path) -> None:
    """Calls into the store go by them; the line that read them is told."""
    tenant = holder._Tenant(skewed.Stamped, tmp_path, empty_image())
    try:
        tenant.recorder.start()
        tenant.open()
        assert tenant.turned() is None
        tenant.turn(TurnClock("set", -3_600.0))
        outcome = tenant.apply(Append("one"))
        assert outcome.reader is not None and outcome.reader.function == "Stamped.stamp" and not outcome.overdue
        turned = tenant.turned()
        other = holder._Tenant(skewed.Stamped, tmp_path, empty_image())
        other.resume(turned)
        assert other.turned() is not None
        [[stamp, record]] = skewed.Stamped().rows(tmp_path / "log")
        assert record == "one" and 3_000 < time.time() - stamp < 4_200
    finally:
        tenant.recorder.stop()
        timepiece.uninstall()
