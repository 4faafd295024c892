"""What workers do that try live faults: prepare as all do, then one job after another."""

from __future__ import annotations

from harness.run import measuring, tasks
from harness.run.live import steppedlocks
from harness.run.live.explorer import TrialExplorer
from harness.run.live.values import TrialsJob, Tried
from harness.run.recovering import Board
from harness.run.tasks import Context
from harness.run.worker_main import Setup


def prepare(setup: Setup) -> Context:
    steppedlocks.get_ready()
    return tasks.prepare(setup)


def try_faults(context: Context, job: TrialsJob, board: Board) -> Tried:
    tried = TrialExplorer(context.adapter, context.directory, context.materializer, board, job).run()
    measuring.save()
    return tried
