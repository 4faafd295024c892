"""A store in a process of its own: what it answers, how it ends, and what a disk may hold then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import PRESETS, Put
from harness.core.errors import HarnessFault, Unsupported
from harness.core.persistence import PROCESS_CRASH
from harness.core.trace import Blindness, Unseen, empty_image
from harness.record import install, kernel, uninstall
from harness.run.containment import child_ids
from harness.run.live import holder
from harness.run.live.holder import Died, Holder, Hung, blindness, crashed
from tests.stores.machined import Careful, NoDirectorySync


@pytest.fixture(autouse=True)
def reading() -> Iterator[None]:
    uninstall()
    install(reading=True)
    yield
    uninstall()


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
