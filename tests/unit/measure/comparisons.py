"""Jobs without any process: pairs that are drawn from a distribution, seeded."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

from harness.measure.comparison import Comparison, Metric, Side
from harness.measure.pairs import Groups
from harness.measure.stages import STAGES, Course, Decision, Draw, Family, Stage, run_stages

Noise = Callable[[random.Random], float]

#: Standard deviation of a pair of samples of about 10 ms, as measured on a virtual machine with two cores: computing,
#: and writing with fsync. In the second most pairs are close and one in ten is far off, as where a disk stands still.
CPU_DEVIATION = 0.17
DISK_DEVIATION = 0.41
_FAR, _SHARE_FAR = 7.0, 0.1


def steady(deviation: float) -> Noise:
    """Normal noise."""
    return lambda source: source.gauss(0, deviation)


def jumpy(deviation: float) -> Noise:
    """Noise with the same standard deviation, most of it in a tenth of the pairs."""
    close = deviation / math.sqrt(1 - _SHARE_FAR + _SHARE_FAR * _FAR**2)
    return lambda source: source.gauss(0, close * (_FAR if source.random() < _SHARE_FAR else 1.0))


def drawing(
    source: random.Random,
    slower: Mapping[str, float],
    noise: Noise,
    *,
    unlike: float = 0.0,
    luck: float = 0.0,
) -> Draw:
    """Pairs in which the new version is slower by so much for each metric (0.05: by 5 %).

    The old version differs from itself by `unlike`, and pairs of processes differ with the standard deviation `luck`.
    """

    def group(effect: float, pairs: int) -> tuple[float, ...]:
        centre = math.log1p(effect) + source.gauss(0, luck)
        return tuple(centre + noise(source) for _ in range(pairs))

    def draw(new: bool, stage: Stage, before: Stage | None) -> Family:
        pairs = stage.pairs - (before.pairs if before else 0)
        processes = stage.processes - (before.processes if before else 0)
        sizes = [pairs // processes + (number < pairs % processes) for number in range(processes)]
        effects = slower if new else dict.fromkeys(slower, unlike)
        return {name: tuple(group(effect, size) for size in sizes) for name, effect in effects.items()}

    return draw


def job(seed: int, slower: Mapping[str, float], noise: Noise, *, unlike: float = 0.0, luck: float = 0.0) -> Course:
    """One job from its first stage to its last."""
    return run_stages(drawing(random.Random(seed), slower, noise, unlike=unlike, luck=luck), tuple(slower))


def shares(
    jobs: int, slower: Mapping[str, float], noise: Noise, *, unlike: float = 0.0, luck: float = 0.0
) -> dict[Decision, float]:
    """Which share of so many jobs ends with each decision."""
    ends = [job(seed, slower, noise, unlike=unlike, luck=luck).decision for seed in range(jobs)]
    return {decision: ends.count(decision) / jobs for decision in Decision}


def compared(course: Course, *, store: str = "mystore", notes: tuple[str, ...] = ()) -> Comparison:
    """A whole comparison around a course, with times that fit its pairs."""
    return Comparison(
        store=store,
        adapter="mystore/adapter.py:Adapter",
        old=Side("../old", "3.11.7", 3),
        new=Side(".", "3.12.1", 2),
        seed=7,
        issued_at="2026-01-02T03:04:05+00:00",
        seconds=34.5,
        operations=120,
        metrics=tuple(_metric(name, course) for name in course.steps),
        not_tested=("Compact",),
        notes=notes,
        environment={"harness": "0.1.0", "file_system": "ext4"},
        stages=STAGES,
    )


def _metric(name: str, course: Course) -> Metric:
    groups: Groups = course.steps[name][-1].versions or ()
    ratios = [ratio for group in groups for ratio in group]
    old = tuple(12_000 * math.exp(0.1 * math.sin(number)) for number in range(len(ratios)))
    return Metric(name, course.steps[name], old, tuple(a * math.exp(b) for a, b in zip(old, ratios, strict=True)))
