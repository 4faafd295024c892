"""Evidence that says less than before, scenarios that are gone, and states and faults that became fewer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.core.comparison import Change, Weight
from harness.core.evidence import Certificate, Evidence
from harness.core.verdict import Verdict, merge
from harness.judge.comparing.pair import Pair
from harness.judge.comparing.promises import weight_of


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What a piece of evidence is about."""

    scenario: str
    claim: str
    model: str

    def __str__(self) -> str:
        return f"{self.scenario} for {self.claim}" + (f" under {self.model}" if self.model else "")


@dataclass(frozen=True, slots=True)
class Row:
    """All evidence of one key together."""

    verdict: Verdict
    workloads: int
    states: int
    faults: int
    exhausted: bool
    deterministic: bool
    reasons: tuple[str, ...]


def rows(certificate: Certificate) -> dict[Key, Row]:
    groups: dict[Key, list[Evidence]] = {}
    for item in certificate.evidence:
        groups.setdefault(Key(item.scenario, item.claim, item.persistence_model), []).append(item)
    return {key: _row(items) for key, items in groups.items()}


def _row(items: list[Evidence]) -> Row:
    return Row(
        merge(item.verdict for item in items),
        sum(item.workloads for item in items),
        sum(item.states_judged for item in items),
        sum(item.faults_fired for item in items),
        all(item.exhausted for item in items),
        all(item.deterministic for item in items),
        tuple(reason for item in items for reason in item.reasons),
    )


def effort_changes(pair: Pair) -> Iterator[Change]:
    """Everything that the old certificate has evidence for, against what the new one has."""
    old, new = rows(pair.old), rows(pair.new)
    told: set[str] = set()
    for key, before in old.items():
        now = new.get(key)
        if now is not None:
            yield from _verdicts(key, before, now)
            yield from _counts(key, before, now, pair)
        elif key.scenario not in told and _still_promised(key, pair.new):
            told.add(key.scenario)
            yield _gone(key, pair, any(other.scenario == key.scenario for other in new))
    for key in new:
        if all(other.scenario != key.scenario for other in old) and key.scenario not in told:
            told.add(key.scenario)
            sentence = f"{key.scenario} was not exercised before."
            yield Change("scenarios", Weight.IMPROVEMENT, key.scenario, sentence, "", key.scenario)
    yield from _mechanisms(pair, told)


def _still_promised(key: Key, new: Certificate) -> bool:
    """Whether there is anything left to try: what is promised no longer is told as such."""
    if new.contract.get(key.claim, "") is None:
        return False
    models = new.contract.get("power_loss_models")
    return not (key.claim == "power_loss" and isinstance(models, list) and key.model and key.model not in models)


def _gone(key: Key, pair: Pair, elsewhere: bool) -> Change:
    reasons = [text for text in pair.new.not_exercised if text.startswith(f"{key.scenario}:")]
    what = str(key) if elsewhere else key.scenario
    why = f" ({'; '.join(reasons)})" if reasons else ""
    weight = Weight.REGRESSION if pair.same_search else Weight.UNDECIDED
    return Change("scenarios", weight, what, f"{what} is no longer exercised{why}.", what, "")


def _mechanisms(pair: Pair, told: set[str]) -> Iterator[Change]:
    for text in pair.new.not_exercised:
        name = text.partition(":")[0]
        known = any(other.partition(":")[0] == name for other in pair.old.not_exercised)
        if not known and name not in told:
            yield Change("scenarios", Weight.NOTE, name, f"Not exercised now: {text.rstrip('.')}.", "", text)


def _verdicts(key: Key, before: Row, now: Row) -> Iterator[Change]:
    if before.verdict is now.verdict:
        return
    reasons = f": {'; '.join(now.reasons)}" if now.reasons and now.verdict is not Verdict.PASS else ""
    sentence = f"{key} was {before.verdict.name} and is {now.verdict.name}{reasons}."
    weight = weight_of(before.verdict, now.verdict)
    yield Change("evidence", weight, str(key), sentence, before.verdict.value, now.verdict.value)


def _counts(key: Key, before: Row, now: Row, pair: Pair) -> Iterator[Change]:
    """Fewer than before, of what is the same in every run of the same search.

    After a violation a search ends early, so there the counts say nothing, and where it came to no result that is told.
    Where everything was tried, fewer states and faults are no less: the store makes fewer calls.
    """
    without = Verdict.FAIL in (before.verdict, now.verdict) or now.verdict is Verdict.UNKNOWN
    if without or not pair.same_search or not (before.deterministic and now.deterministic):
        return
    shrinking = (
        ("workloads", before.workloads, now.workloads, False),
        ("states judged", before.states, now.states, now.exhausted),
        ("faults fired", before.faults, now.faults, now.exhausted),
    )
    least = 1 - pair.tolerance.effort_percent / 100
    for what, old, new, all_of_them in shrinking:
        if new >= old * least:
            continue
        lost = f"{key}: {what} fell from {old:,} to {new:,} ({100 * (new - old) / old:+.1f} %)"
        weight = Weight.NOTE if all_of_them else Weight.REGRESSION
        sentence = f"{lost}; these are all there are." if all_of_them else f"{lost}."
        yield Change("states and faults", weight, f"{what}, {key}", sentence, f"{old:,}", f"{new:,}")
    if before.exhausted and not now.exhausted:
        sentence = f"{key} tried everything within its bounds before, and no longer does."
        yield Change("states and faults", Weight.NOTE, str(key), sentence, "exhausted", "not exhausted")
