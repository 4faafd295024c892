"""`harness endure`: a store under load for as long as one likes, in a process of its own, on a real directory.

The store and all that is needed to go on stand below `.endure` in the report directory, one directory for each adapter,
which is locked while a run uses it. A run that was killed leaves them, and `--resume` goes on; a start without it
removes them. So does the end of a run in which nothing was found.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import harness
from harness.core.errors import UsageError
from harness.core.evidence import Certificate
from harness.core.limits import declared_limits
from harness.core.models import require_pure
from harness.measure.arrivals import Schedule
from harness.measure.lanes import can_be_shared
from harness.measure.latencies import require_library
from harness.measure.operations import Stream
from harness.measure.windows import Held, Window, coalesced
from harness.observe.spans import NO_SPAN, Apart, Span
from harness.run import containment
from harness.run.directories import remove_tree, sweep
from harness.run.endured import Result, certificate
from harness.run.enduring_child import Endured, EndureJob
from harness.run.enduring_files import Place, boot_id
from harness.run.journal import Journal
from harness.run.loading import load_adapter, resolved_spec
from harness.run.pool import Done, Interrupted, Pool
from harness.run.recovering import place_of_error, text_of_error
from harness.run.worker_main import Setup

FOLDER = ".endure"
#: A window is a hundredth of the run, but no shorter and no longer than this.
SHORTEST_WINDOW_S = 1.0
LONGEST_WINDOW_S = 60.0
_WINDOWS = 100
#: So many operations a window should have, unless that leaves fewer windows than these.
_OPERATIONS = 50
_LEAST_WINDOWS = 24
MOST_CALLERS = 256
#: The first operations of a run, by which the model is looked at.
_LOOKED_AT = 50
#: Between two calls into the store a worker may have to step through the whole run so far.
_STEPPING_S = 6 * 3_600.0


@dataclass(frozen=True, slots=True)
class EndureOptions:
    """Options of `harness endure`; `time_limit_s` is for one call into the store, `callers` share its handle."""

    duration_s: float
    schedule: Schedule
    reports: Path
    resume: bool = False
    closed_loop: bool = False
    time_limit_s: float = 10.0
    callers: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.callers <= MOST_CALLERS:
            raise UsageError(f"--callers {self.callers} can't be: say 1 to {MOST_CALLERS}.")
        if not self.time_limit_s > 0:
            raise UsageError(f"--time-limit {self.time_limit_s:g} leaves no time: say how many seconds, above 0.")

    @property
    def window_s(self) -> float:
        """The length of a window: long enough for a median, where that leaves windows enough."""
        dense_s = min(_OPERATIONS / self.schedule.rate, self.duration_s / _LEAST_WINDOWS)
        return min(max(self.duration_s / _WINDOWS, SHORTEST_WINDOW_S, dense_s), max(LONGEST_WINDOW_S, dense_s))


def endure(spec: str, options: EndureOptions, span: Span = NO_SPAN) -> Certificate:
    """Run, or go on with a run, to its end; what is done are parts of `span`. Raises `UsageError` if the adapter or the
    options can't run."""
    require_library()
    spec = resolved_spec(spec)
    adapter = load_adapter(spec)
    declared_limits(adapter)
    _require_callers(adapter, options.callers)
    _require_load(adapter, options.schedule)
    sweep()
    root = options.reports.absolute() / FOLDER / hashlib.sha256(spec.encode()).hexdigest()[:16]
    with _locked(root):
        containment.kill_family(str(root))
        place = Place(root)
        _begin(place, spec, options)
        result = _run(place, spec, options, span)
        issued = certificate(adapter, spec, options, result)
        if not result.keep:
            remove_tree(root)
        return issued


def _require_load(adapter: Any, schedule: Schedule) -> None:
    """Raise `UsageError`, in one sentence, where adapter and model give no operations to run."""
    try:
        made = adapter()
        operations = list(Stream(made, schedule.seed).before(_LOOKED_AT))
        made.model.step(made.model.initial(), operations[0])
        require_pure(made.model, operations)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"the adapter gives no load{place_of_error(error)}: {text_of_error(error)}.") from None


def _require_callers(adapter: Any, callers: int) -> None:
    """Raise `UsageError` where several callers are not promised, or what they do can't be told apart."""
    if callers == 1:
        return
    writers = adapter.contract.writers
    if writers not in ("threads", "processes"):
        raise UsageError(
            f"--callers {callers} needs a store that threads may share, and its contract says writers={writers!r}."
        )
    if not can_be_shared(adapter.model):
        model = getattr(adapter.model, "name", "of this adapter")
        raise UsageError(
            f"--callers {callers} can't be compared with the model {model}: "
            "in which order several callers come nobody knows, and only keys and records can be kept apart."
        )


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """The directory of a run, which nobody else uses meanwhile."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        message = f"{root} can't be written ({error.strerror}): name another directory with --reports."
        raise UsageError(message) from None
    try:
        if not _taken(descriptor):
            raise UsageError(f"{root} is in use by another run: wait for it, or choose another --reports.")
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Whether the directory is ours now, and has not been removed by the run that had it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _begin(place: Place, spec: str, options: EndureOptions) -> None:
    """Make the directory ready for a run, or for going on with one."""
    if not options.resume:
        _clear(place.root)
    with Journal(place.journal, _fingerprint(spec, options)) as journal:
        entries = journal.load()
        if not entries and place.progress.exists():
            raise UsageError("the run to go on with had other options or another version: start without --resume.")
        if entries and entries["boot"] != boot_id():
            raise UsageError("the machine was started again since that run was killed: start without --resume.")
        journal.append("boot", boot_id())
    place.store.mkdir(exist_ok=True)


def _clear(root: Path) -> None:
    """Remove what is in the directory, which itself is locked and stays."""
    for path in sorted(root.iterdir()):
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink()


def _fingerprint(spec: str, options: EndureOptions) -> str:
    parts = (harness.__version__, spec, options.schedule, options.duration_s, options.closed_loop, options.callers)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _run(place: Place, spec: str, options: EndureOptions, span: Span) -> Result:
    job = EndureJob(
        schedule=options.schedule,
        root=str(place.root),
        fingerprint=_fingerprint(spec, options),
        until_ns=round(options.duration_s * 1e9),
        window_ns=round(options.window_s * 1e9),
        closed_loop=options.closed_loop,
        callers=options.callers,
    )
    outcome = _done(place, spec, options, job, span)
    confirmed = True
    if _harmed(outcome):
        if isinstance(outcome, Endured) and not outcome.operations:
            raise UsageError(f"the adapter can't run: {outcome.wrong}.")
        confirmed = _harmed(_done(place, spec, options, _looking(job), span))
    with Journal(place.journal, job.fingerprint) as journal:
        entries = journal.load()
    names = sorted(name for name in entries if name.startswith("window/"))
    held = [Held.from_json(entries[name]) for name in names]
    windows = coalesced(Window.from_json(entries.pop(name)) for name in names)
    parts = sorted(entries[name] / 1e9 for name in entries if name.startswith("part/"))
    return Result(outcome, windows, held, parts[1:], confirmed, place.root)


def _harmed(outcome: Endured | Interrupted) -> bool:
    """Whether the store hung, or showed what it must not."""
    return outcome.how == "hang" if isinstance(outcome, Interrupted) else bool(outcome.wrong)


def _looking(job: EndureJob) -> EndureJob:
    return dataclasses.replace(job, only_look=True)


def _apart(whole: Span, name: str, job: EndureJob) -> Span:
    return Apart(whole.child(name))


def _done(place: Place, spec: str, options: EndureOptions, job: EndureJob, span: Span) -> Endured | Interrupted:
    """Do one job in a fresh interpreter. The store, which is measured, gets to know nothing of `span`."""
    task = "harness.run.enduring_child:endure" if job.callers == 1 else "harness.run.enduring_callers:endure"
    setup = Setup(task, adapter=spec, directory=str(place.store))
    between_s = options.duration_s + _STEPPING_S
    name = "looking at the store again" if job.only_look else "keeping it under load"
    begin = partial(_apart, span, name)
    with Pool(setup, 1, options.time_limit_s, between_limit_s=between_s, begin=begin) as pool:
        outcome: Any = next(found for _, _, found in pool.run([job]))
    if isinstance(outcome, Done):
        endured: Endured = outcome.result
        return endured
    interrupted: Interrupted = outcome
    return interrupted
