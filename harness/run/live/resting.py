"""Damage at rest on a schedule: a file is damaged after a kill, before anybody opens the store again.

Which file, and how, follows from the seed, the schedule and what is on the disk. One bit is flipped or one page filled
with zeros, so that no file is set back to what it once was. A file that holds a number and nothing else is left alone:
it may name the process that holds a lock, and another number would name another one.

The store is then opened and read twice. What is owed after that depends on what it made of the damage, so the run ends.
"""

from __future__ import annotations

import pickle
import random
from dataclasses import dataclass
from typing import Any

from harness.core.trace import CallSite, Image
from harness.core.workload import Workload
from harness.crash.materialize import Materializer
from harness.inject import damage as injury
from harness.inject.damage import Damage, DamageKind, Versions
from harness.judge.classify import Violation
from harness.judge.damage import Opening, after_kill, judge_openings
from harness.judge.oracle import BRANCH_LIMIT, Oracle, Window
from harness.judge.recovery import Recovery, judge
from harness.record import kernel
from harness.record.scan import scan
from harness.run.live.bench import Bench, Client
from harness.run.live.forks import Voice, Word
from harness.run.live.openings import Opener, ReadWatch
from harness.run.recovering import Step

_KINDS = (DamageKind.FLIP, DamageKind.ZERO_PAGE)
#: The number of an earlier state that is not among those of the oracle.
EARLIER = -1


@dataclass(frozen=True, slots=True)
class Wound:
    """A damage that was chosen: to which file, and what the file holds then."""

    file: Versions
    damage: Damage
    content: bytes

    @property
    def one_block(self) -> bool:
        return injury.is_one_block(self.file, self.content)


def choose(images: list[Image], seed: str) -> Wound | None:
    """A damage to a file of the last image; `None` where there is nothing to damage. Earlier images tell what would
    only set a file back."""
    chosen = random.Random(f"damage at rest {seed}")
    files = [file for file in injury.versions(images) if file.now and not file.now.strip().isdigit()]
    for file in chosen.sample(files, len(files)):
        found = [damage for damage in injury.damages(file, 0) if damage.kind in _KINDS]
        places = {(damage.kind, damage.where): damage for damage in chosen.sample(found, len(found))}
        for damage in places.values():
            content = injury.damaged_content(file, damage)
            if content is not None and not injury.sets_back(file, content):
                return Wound(file, damage, content)
    return None


class DamagingAtRest:
    """An injector that damages a file of the directory, and puts it back."""

    def __init__(self, materializer: Materializer, image: Image, wound: Wound) -> None:
        self.fired = 0
        self._materializer = materializer
        self._image = image
        self._wound = wound
        self._started = False

    @property
    def image(self) -> Image:
        """The directory with the damage."""
        return injury.damaged(self._image, self._wound.file.path, self._wound.content)

    def start(self) -> None:
        self._materializer.place(self.image)
        self.fired += 1
        self._started = True

    def stop(self) -> None:
        if self._started:
            self._materializer.place(self._image)
            self._started = False

    def describe(self) -> str:
        return self._wound.damage.describe()


# --- in a process of its own --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """What two openings of a damaged store showed, and the line that read the damage last, with the call.

    If they ended their process, only how it `died`.
    """

    openings: tuple[Opening, ...] = ()
    site: CallSite | None = None
    call: str = ""
    died: Recovery | None = None


def look_back(bench: Bench, workload: Workload, voice: Voice) -> None:
    """Say what is on the disk after each step of a workload without faults."""
    images: list[Image] = []
    Client(bench).run(workload, after=lambda: images.append(scan(bench.directory)))
    voice.say(Word.ANSWER, payload=pickle.dumps([*images, scan(bench.directory)]))


def open_twice(bench: Bench, oracle: Oracle, wound: Wound, voice: Voice) -> None:
    """Open and read what is there, twice, and say what it shows."""
    start, end = injury.extent(wound.file, wound.content)
    watch = ReadWatch(str(bench.directory / wound.file.path), start, end)
    opener = Opener(bench, oracle)
    with kernel.engage(watch):
        first = opener.opened(Step.OPEN, Step.SNAPSHOT, Step.CLOSE)
    second = opener.opened(Step.SECOND_OPEN, Step.SECOND_SNAPSHOT, Step.SECOND_CLOSE)
    voice.say(Word.ANSWER, payload=pickle.dumps(Shown((first, second), watch.site(), watch.call)))


# --- judging ------------------------------------------------------------------------------------


def judge_damaged(
    oracle: Oracle, shown: Shown, owed: Window, earlier: tuple[Any, ...], *, repaired: bool
) -> Violation | None:
    """The broken promise, or `None`. `owed` is what would be correct without the damage; `earlier` are states from
    before the first operation that the oracle knows."""
    if shown.died is not None:
        return judge(oracle, shown.died, owed)
    openings = [_placed(oracle, opening, earlier) for opening in shown.openings]
    return judge_openings(oracle, openings, repaired=repaired, correct=after_kill(owed))


def _placed(oracle: Oracle, opening: Opening, earlier: tuple[Any, ...]) -> Opening:
    """The opening, knowing also the states from before the oracle's own."""
    if opening.error or opening.matches or not _is_among(earlier, oracle, opening.state):
        return opening
    return Opening(opening.state, (EARLIER,), opening.signal, answer=opening.answer)


def _is_among(states: tuple[Any, ...], oracle: Oracle, state: Any) -> bool:
    parts = (states[start : start + BRANCH_LIMIT] for start in range(0, len(states), BRANCH_LIMIT))
    return any(Oracle(oracle.model, (), starts=part).matches(state) for part in parts)
