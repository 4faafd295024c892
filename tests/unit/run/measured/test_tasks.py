"""One measurement of a store, in this process and on a clock that stands still."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from harness.measure.closed_loop import Measured
from harness.measure.floor import Durable, SyncCall
from harness.measure.load import load_of, write_load
from harness.run.measured.meter import ProcessMeter
from harness.run.measured.tasks import OPENINGS, Context, MeasureJob, Measurement, measure, prepare
from harness.run.worker_main import Setup
from tests.stores import limited
from tests.stores.conduct import spec
from tests.unit.measure.clocks import Diary

SYNCS = ((SyncCall(Durable.BYTES, 100),),)


def job(folder: Path, adapter: Any, **more: Any) -> MeasureJob:
    path = str(folder / "load")
    write_load(load_of(adapter, 0, 600), path)
    return MeasureJob(path, **{"operations": 300, "warm_up": 30, "disk_every": 10, "seconds": 20.0, **more})


def measured(adapter: Any, folder: Path, **more: Any) -> Measured:
    return Measurement(adapter, folder / "data", job(folder, adapter, **more), limited.METER, Diary()).run()


def test_everything_is_measured(tmp_path: Path) -> None:
    """Operations, reads, the bare disk between them, snapshots, openings, what is held and what is allocated."""
    found = measured(
        *(limited.Steady, tmp_path),
        operation_syncs=SYNCS,
        opening_syncs=SYNCS,
        snapshots=40,
        held=400,
        allocated=True,
    )

    assert not found.trouble
    assert (len(found.sampled.apply), len(found.sampled.read), len(found.sampled.disk)) == (270, 30, 30)
    assert set(found.sampled.apply.service) == {1_000_000}
    assert len(found.snapshots) == 40 and found.held == 400
    assert len(found.openings) == len(found.replays) == len(found.opening_disk) == OPENINGS
    assert found.allocated is not None and found.descriptors is not None


def test_a_load_that_is_too_short_holds_less(tmp_path: Path) -> None:
    """And says how much."""
    assert measured(limited.Steady, tmp_path, held=5_000).held == 600


def test_backstops_end_each_part(tmp_path: Path) -> None:
    """A store that takes a second for everything gets no further than the time that there is."""

    class Slow(limited.Kept):
        def apply(self, store: Any, operation: Any) -> Any:
            limited.METER.pass_ms(1_000)
            return super().apply(store, operation)

        def snapshot(self, store: Any) -> list[str]:
            limited.METER.pass_ms(1_000)
            return super().snapshot(store)

    found = measured(Slow, tmp_path, snapshots=300, held=600)

    assert not found.sampled.complete and 0 < found.sampled.done < 30
    assert 0 < len(found.snapshots) < 10 and found.held < 600


@pytest.mark.parametrize(
    ("adapter", "sentence"),
    [
        (limited.Failing, "operations failed without any fault: "),
        (limited.Unreadable, "open failed without any fault: ValueError: too many records"),
    ],
)
def test_a_store_that_fails_is_not_measured(adapter: Any, sentence: str, tmp_path: Path) -> None:
    """There is nothing to compare with a limit."""
    assert measured(adapter, tmp_path).trouble.startswith(sentence)


def test_an_error_of_ours_is_not_the_stores(tmp_path: Path) -> None:
    """It is raised, and not taken for an undecided limit."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "store").write_text("in the way")
    with pytest.raises(FileExistsError):
        measured(limited.Steady, tmp_path)


def test_the_process_has_real_clocks(tmp_path: Path) -> None:
    """The same with the clocks of this process: they go on, and memory is counted."""
    context = prepare(Setup(task="", adapter=spec("Kept", "limited.py"), directory=str(tmp_path / "data")))
    gc.collect()  # what other tests of this process have left open is closed now, and not meanwhile
    found = measure(context, job(tmp_path, limited.Kept), Diary())  # type: ignore[arg-type]

    assert found.descriptors == 1 and all(took > 0 for took in found.sampled.apply.service)
    assert min(found.sampled.resident) > 1 << 20


def test_an_adapter_that_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    """As trouble, because another process could load it."""
    context = prepare(Setup(task="", adapter=spec("Missing", "limited.py"), directory=str(tmp_path)))

    assert isinstance(context, Context)
    assert "has no class Missing" in measure(context, MeasureJob("", 1, 1, 1, 1.0), Diary()).trouble  # type: ignore[arg-type]


def test_clocks_that_the_system_does_not_have_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is then asked for in another way."""
    monkeypatch.setattr("harness.run.measured.meter._descriptor", lambda path: -1)
    meter = ProcessMeter()

    assert meter.waited_ns() == 0 and meter.resident_bytes() > 1 << 20
    meter.settle()
    meter.close()


def test_real_clocks_do_not_go_back() -> None:
    """Each of them counts on."""
    meter = ProcessMeter()
    for read in (meter.now_ns, meter.processor_ns, meter.waited_ns):
        assert read() <= read()
    meter.close()
