"""Promises that were weakened, and claims that no longer hold."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.comparison import Change, Weight
from harness.core.evidence import Certificate, ClaimResult
from harness.core.verdict import Verdict
from harness.judge.comparing.pair import Pair

#: The words of each promise, the strongest first; `None` is "not promised".
STRENGTH: dict[str, tuple[str | None, ...]] = {
    "process_crash": ("acknowledged", "synced", "prefix", None),
    "power_loss": ("acknowledged", "synced", "prefix", None),
    "io_error": ("fails_cleanly", None),
    "corruption": ("repaired", "detected", None),
    "rollback": ("detected", None),
    "writers": ("processes", "threads", "one"),
}


def at_least(claim: str, promised: str | None, wanted: str | None) -> bool | None:
    """Whether `promised` is as strong as `wanted`; `None` if these words can't be ranked."""
    words = STRENGTH.get(claim, ())
    if promised == wanted:
        return True
    if promised not in words or wanted not in words:
        return None
    return words.index(promised) <= words.index(wanted)


# --- the contract -------------------------------------------------------------------------------


def contract_changes(pair: Pair) -> Iterator[Change]:
    """Promises that both certificates record, and that differ."""
    old, new = pair.old.contract, pair.new.contract
    for name in STRENGTH:
        if name in old and name in new and old[name] != new[name]:
            yield _promise_change(name, old[name], new[name])
    if new.get("power_loss", "") is not None and old.get("power_loss", "") is not None:
        yield from _model_changes(pair)
    yield from _error_changes(old.get("errors"), new.get("errors"))


def _promise_change(name: str, before: Any, now: Any) -> Change:
    stronger = at_least(name, now, before)
    told = f"{_word(before)} before, {_word(now)} now"
    if stronger is None:
        weight, sentence = Weight.UNDECIDED, f"About {name} is promised {told}: which of them is weaker is not known."
    elif stronger:
        weight, sentence = Weight.IMPROVEMENT, f"More is promised about {name}: {told}."
    else:
        weight, sentence = Weight.REGRESSION, f"Less is promised about {name}: {told}."
    return Change("contract", weight, name, sentence, _word(before), _word(now))


def _word(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _model_changes(pair: Pair) -> Iterator[Change]:
    old, new = _names(pair.old.contract, "power_loss_models"), _names(pair.new.contract, "power_loss_models")
    if old is None or new is None:
        return
    for name in old:
        if name not in new:
            sentence = f"Power loss is no longer promised under the model {name}."
            yield Change("contract", Weight.REGRESSION, name, sentence, name, "")
        elif pair.old.models.get(name) != pair.new.models.get(name) and pair.old.models and pair.new.models:
            sentence = f"The model {name} is set in another way now: which of both is harder is not known."
            yield Change("contract", Weight.UNDECIDED, name, sentence, name, name)
    for name in new:
        if name not in old:
            sentence = f"Power loss is promised under the model {name} too."
            yield Change("contract", Weight.IMPROVEMENT, name, sentence, "", name)


def _names(contract: dict[str, Any], name: str) -> list[str] | None:
    value = contract.get(name)
    return [str(item) for item in value] if isinstance(value, list | tuple) else None


def _error_changes(old: Any, new: Any) -> Iterator[Change]:
    """More exceptions that may report damage is less of a promise: whoever catches the old ones misses the new."""
    if not isinstance(old, list | tuple) or not isinstance(new, list | tuple) or set(old) == set(new):
        return
    texts = ", ".join(map(str, old)), ", ".join(map(str, new))
    covered = [(name, _covered(str(name), old)) for name in new if name not in old]
    for name, known in covered:
        if known is False:
            sentence = f"Damage may be reported by {name} now, which nobody had to catch before."
            yield Change("contract", Weight.REGRESSION, "errors", sentence, *texts)
        elif known is None:
            sentence = f"Damage may be reported by {name} now: whether the errors named before cover it is not known."
            yield Change("contract", Weight.UNDECIDED, "errors", sentence, *texts)
    if all(known for _, known in covered):
        sentence = "The errors that report damage are named more narrowly, or in other words."
        yield Change("contract", Weight.NOTE, "errors", sentence, *texts)


def _covered(name: str, before: Any) -> bool | None:
    """Whether one of the names `before` covers `name`, by what Python's own exceptions derive from."""
    if "BaseException" in before:
        return True
    kind = _builtin(name)
    if kind is None:  # the store's own: most derive from Exception, and nothing says so
        return True if "Exception" in before else None
    known = [_builtin(str(item)) for item in before]
    if any(item is not None and issubclass(kind, item) for item in known):
        return True
    return False  # a store's own exception never is a base class of one of Python's


def _builtin(name: str) -> type[BaseException] | None:
    found = getattr(builtins, name, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


# --- limits -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeclaredLimit:
    """A limit that a store declares: `sense` is "at most" or "at least"; `verdict` is what became of it."""

    metric: str
    sense: str
    bound: float
    verdict: Verdict

    def as_strict_as(self, bound: float) -> bool:
        return self.bound >= bound if self.sense == "at least" else self.bound <= bound


def declared_limits(certificate: Certificate) -> tuple[DeclaredLimit, ...]:
    """Those that the store was measured against; what can't be read is none."""
    rows = certificate.measurements.get("limits", [])
    return tuple(filter(None, map(_declared, rows))) if isinstance(rows, list) else ()


def _declared(row: Any) -> DeclaredLimit | None:
    try:
        return DeclaredLimit(str(row["metric"]), str(row["sense"]), float(row["limit"]), Verdict(row["verdict"]))
    except (KeyError, TypeError, ValueError):
        return None


def limit_changes(pair: Pair) -> Iterator[Change]:
    """Limits that are gone or looser. How fast a store is, is no subject: times of two runs can't be compared."""
    old, new = ({item.metric: item for item in declared_limits(side)} for side in (pair.old, pair.new))
    for metric, before in old.items():
        now = new.get(metric)
        if now is None:
            sentence = f"{metric} has no limit any more; it was {before.sense} {before.bound:g}."
            yield Change("contract", Weight.REGRESSION, metric, sentence, f"{before.bound:g}", "")
        elif now.bound != before.bound or now.sense != before.sense:
            stricter = now.sense == before.sense and now.as_strict_as(before.bound)
            weight = Weight.IMPROVEMENT if stricter else Weight.REGRESSION
            sentence = f"The limit of {metric} was {before.sense} {before.bound:g} and is {now.sense} {now.bound:g}."
            yield Change("contract", weight, metric, sentence, f"{before.bound:g}", f"{now.bound:g}")
    for metric, now in new.items():
        if metric not in old:
            sentence = f"{metric} has a limit: {now.sense} {now.bound:g}."
            yield Change("contract", Weight.IMPROVEMENT, metric, sentence, "", f"{now.bound:g}")


# --- claims -------------------------------------------------------------------------------------


def claim_changes(pair: Pair) -> Iterator[Change]:
    """Claims by name: those that hold no longer, are not decided any more, or are not tried."""
    old, new = _by_name(pair.old), _by_name(pair.new)
    for name, before in old.items():
        now = new.get(name)
        if now is None:
            yield _gone(before, pair)
            continue
        yield from _decided_otherwise(before, now)
        known = name in STRENGTH or (declared_limits(pair.old) and declared_limits(pair.new))
        if not known and before.promised != now.promised:
            sentence = f"{name} promised {before.promised} and promises {now.promised}: which is more is not known."
            yield Change("contract", Weight.UNDECIDED, name, sentence, before.promised, now.promised)
    for name, now in new.items():
        if name not in old:
            yield _added(now)


def _by_name(certificate: Certificate) -> dict[str, ClaimResult]:
    return {claim.claim: claim for claim in certificate.claims}


def _gone(before: ClaimResult, pair: Pair) -> Change:
    promised = pair.new.contract.get(before.claim, "") is not None
    why = "the contract promises it, and nothing tried it" if promised else "it is promised no longer"
    sentence = f"{before.claim} was {_verdict(before.verdict)} and is not judged now: {why}."
    return Change("claims", Weight.REGRESSION, before.claim, sentence, before.verdict.value, "")


def _added(now: ClaimResult) -> Change:
    weight, told = {
        Verdict.PASS: (Weight.IMPROVEMENT, "it is kept"),
        Verdict.UNKNOWN: (Weight.UNDECIDED, "it is undecided"),
        Verdict.FAIL: (Weight.UNDECIDED, "it is broken, and whether it was before nobody tried"),
    }[now.verdict]
    sentence = f"{now.claim} was not judged before, and {told}."
    return Change("claims", weight, now.claim, sentence, "", now.verdict.value)


def _decided_otherwise(before: ClaimResult, now: ClaimResult) -> Iterator[Change]:
    if before.verdict is now.verdict:
        if now.verdict is not Verdict.PASS:
            sentence = f"{now.claim} is {_verdict(now.verdict)}, as before."
            yield Change("claims", Weight.NOTE, now.claim, sentence, before.verdict.value, now.verdict.value)
        return
    weight = weight_of(before.verdict, now.verdict)
    sentence = f"{now.claim} was {_verdict(before.verdict)} and is {_verdict(now.verdict)}."
    if now.reasons and now.verdict is not Verdict.PASS:
        sentence = f"{sentence[:-1]}: {'; '.join(now.reasons)}."
    yield Change("claims", weight, now.claim, sentence, before.verdict.value, now.verdict.value)


def weight_of(before: Verdict, now: Verdict) -> Weight:
    """What it means that a verdict is another one now."""
    if now is Verdict.FAIL:
        return Weight.REGRESSION
    return Weight.IMPROVEMENT if now is Verdict.PASS else Weight.UNDECIDED


def _verdict(verdict: Verdict) -> str:
    return {Verdict.PASS: "kept", Verdict.FAIL: "broken", Verdict.UNKNOWN: "undecided"}[verdict]
