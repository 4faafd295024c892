"""Ready or not: a certificate against what a policy asks for.

A policy is a table (a TOML file) of conditions. Each is met, refused, or undecided because the certificate does not
say enough; the worst of them is the decision. Nothing that is missing from a certificate counts as met. Without a
policy the one condition is that every promise is kept.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.decision import DEFAULT_POLICY, Condition, Decision, Readiness
from harness.core.errors import UsageError
from harness.core.evidence import Certificate
from harness.core.verdict import Verdict, merge
from harness.judge.comparing.coverage import struck_percent
from harness.judge.comparing.promises import STRENGTH, at_least, declared_limits

_DECISIONS = {Verdict.PASS: Readiness.READY, Verdict.FAIL: Readiness.NOT_READY, Verdict.UNKNOWN: Readiness.UNDECIDED}
PROFILES = ("quick", "standard", "exhaustive")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a release asks for. `claims` maps a claim to the least promise, an empty text asks for any promise.

    `allowed_unknown` are claims that may stay undecided. `limits` maps metrics that must keep a limit to the loosest
    one (`None` for any), `models` are persistence models that a loss of power must have been tried under. Percentages
    are from 0 to 100, `None` asks for nothing.
    """

    name: str = DEFAULT_POLICY
    claims: Mapping[str, str] = field(default_factory=dict)
    allowed_unknown: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    limits: Mapping[str, float | None] = field(default_factory=dict)
    profile: str = ""
    maximum_age_days: float | None = None
    struck_percent: float | None = None
    branch_percent: float | None = None
    zoo: bool = False
    caught_percent: float | None = None


_DEFAULT = Policy()


def decide(certificate: Certificate, now: datetime.datetime, policy: Policy = _DEFAULT) -> Decision:
    """What the policy says about the certificate at the moment `now`, which knows its time zone."""
    conditions = tuple(_conditions(certificate, policy, now))
    verdict = merge(condition.verdict for condition in conditions)
    return Decision(_DECISIONS[verdict].value, policy.name, conditions)


def _conditions(certificate: Certificate, policy: Policy, now: datetime.datetime) -> Iterator[Condition]:
    yield from _kept(certificate, policy)
    yield from (_claim(certificate, claim, least) for claim, least in policy.claims.items())
    yield from (_scenario(certificate, name) for name in policy.scenarios)
    yield from (_model(certificate, name) for name in policy.models)
    yield from (_limit(certificate, metric, wanted) for metric, wanted in policy.limits.items())
    if policy.profile:
        yield _profile(certificate, policy.profile)
    if policy.maximum_age_days is not None:
        yield _age(certificate, policy.maximum_age_days, now)
    if policy.struck_percent is not None:
        struck = struck_percent(certificate.fault_coverage)
        yield _percent("fault coverage", "call sites have to be struck by a fault", struck, policy.struck_percent)
    if policy.branch_percent is not None:
        measured = certificate.coverage.get("percent")
        wanted = "branches of the store have to be covered (--coverage)"
        yield _percent("branch coverage", wanted, measured, policy.branch_percent)
    if policy.zoo or policy.caught_percent is not None:
        yield _zoo(certificate, policy.caught_percent)


# --- conditions ---------------------------------------------------------------------------------


def _kept(certificate: Certificate, policy: Policy) -> Iterator[Condition]:
    """Whatever is promised has to be kept, also what no policy names."""
    if not certificate.claims:
        yield Condition("claims", Verdict.UNKNOWN, "The certificate judges no claim at all.")
    for claim in certificate.claims:
        verdict, why = claim.verdict, f": {'; '.join(claim.reasons)}" if claim.reasons else ""
        if verdict is Verdict.UNKNOWN and claim.claim in policy.allowed_unknown:
            sentence = f"{claim.claim} is undecided, which the policy allows{why}."
            yield Condition(claim.claim, Verdict.PASS, sentence)
        elif verdict is Verdict.PASS:
            yield Condition(claim.claim, verdict, f"{claim.claim} is kept as {claim.promised!r}.")
        else:
            word = "broken" if verdict is Verdict.FAIL else "undecided"
            yield Condition(claim.claim, verdict, f"{claim.claim} is {word}{why}.")


def _claim(certificate: Certificate, name: str, least: str) -> Condition:
    """That it is promised at all, and enough of it; whether it is kept is asked of every claim."""
    claim = next((claim for claim in certificate.claims if claim.claim == name), None)
    title = f"{name} promised"
    wanted = f"at least {least!r}" if least else "anything"
    if claim is None:
        if name in certificate.contract and certificate.contract[name] is not None:
            return Condition(title, Verdict.UNKNOWN, f"{name} is promised, and nothing tried it.")
        return Condition(title, Verdict.FAIL, f"{name} has to promise {wanted}, and promises nothing.")
    enough = at_least(name, claim.promised, least) if least else True
    if enough is None:
        sentence = f"{name} has to promise {wanted}; whether {claim.promised!r} is as much is not known."
        return Condition(title, Verdict.UNKNOWN, sentence)
    sentence = f"{name} has to promise {wanted}, and promises {claim.promised!r}."
    return Condition(title, Verdict.PASS if enough else Verdict.FAIL, sentence)


def _scenario(certificate: Certificate, name: str) -> Condition:
    rows = [row for row in certificate.evidence if row.scenario == name]
    title = f"scenario {name}"
    if not rows:
        why = next((text for text in certificate.not_exercised if text.startswith(f"{name}:")), "")
        return Condition(title, Verdict.FAIL, f"{name} has to be exercised, and was not{f' ({why})' if why else ''}.")
    verdict = merge(row.verdict for row in rows)
    told = {Verdict.PASS: "found nothing", Verdict.FAIL: "found a violation", Verdict.UNKNOWN: "is undecided"}
    return Condition(title, verdict, f"{name} has to be exercised, and {told[verdict]}.")


def _model(certificate: Certificate, name: str) -> Condition:
    rows = [row for row in certificate.evidence if row.claim == "power_loss" and row.persistence_model == name]
    if not rows:
        sentence = f"A loss of power has to be tried under the model {name}, and was not."
        return Condition(f"model {name}", Verdict.FAIL, sentence)
    verdict = merge(row.verdict for row in rows)
    sentence = f"A loss of power has to be tried under the model {name}: {verdict.name}."
    return Condition(f"model {name}", verdict, sentence)


def _limit(certificate: Certificate, metric: str, wanted: float | None) -> Condition:
    """That the metric has a limit, which is strict enough, and is kept."""
    limit = next((row for row in declared_limits(certificate) if row.metric == metric), None)
    title = f"limit {metric}"
    if limit is None:
        return Condition(title, Verdict.FAIL, f"{metric} has to keep a limit, and was not measured against one.")
    strict = wanted is None or limit.as_strict_as(wanted)
    told = {Verdict.PASS: "is kept", Verdict.FAIL: "is missed", Verdict.UNKNOWN: "is undecided"}[limit.verdict]
    needed = "" if wanted is None else f" {limit.sense} {wanted:g}"
    sentence = f"{metric} has to keep a limit{needed}; the limit {limit.sense} {limit.bound:g} {told}."
    return Condition(title, limit.verdict if strict else Verdict.FAIL, sentence)


def _profile(certificate: Certificate, least: str) -> Condition:
    if certificate.profile not in PROFILES:
        sentence = f"The profile has to be at least {least}; how much {certificate.profile} tries is not known."
        return Condition("profile", Verdict.UNKNOWN, sentence)
    enough = PROFILES.index(certificate.profile) >= PROFILES.index(least)
    sentence = f"The profile has to be at least {least}, and is {certificate.profile}."
    return Condition("profile", Verdict.PASS if enough else Verdict.FAIL, sentence)


def _age(certificate: Certificate, most: float, now: datetime.datetime) -> Condition:
    try:
        issued = datetime.datetime.fromisoformat(certificate.issued_at)
    except ValueError:
        return Condition("age", Verdict.UNKNOWN, "When the certificate was issued can't be read from it.")
    if issued.tzinfo is None:
        issued = issued.replace(tzinfo=datetime.UTC)
    days = (now - issued).total_seconds() / 86_400
    if days < -1 / 24:  # clocks of two machines differ by minutes
        return Condition("age", Verdict.UNKNOWN, "The certificate was issued in the future, by this machine's clock.")
    sentence = f"The certificate may be {most:g} days old, and is {max(days, 0):.1f}."
    return Condition("age", Verdict.PASS if days <= most else Verdict.FAIL, sentence)


def _percent(name: str, what: str, measured: Any, least: float) -> Condition:
    if isinstance(measured, bool) or not isinstance(measured, int | float):
        sentence = f"At least {least:g} % of the {what}, and it is not known how many were."
        return Condition(name, Verdict.UNKNOWN, sentence)
    sentence = f"At least {least:g} % of the {what}, and {measured:.1f} % were."
    return Condition(name, Verdict.PASS if measured >= least else Verdict.FAIL, sentence)


def _zoo(certificate: Certificate, least: float | None) -> Condition:
    """How many planted defects this version of the harness catches, without a false alarm."""
    zoo = certificate.zoo
    caught, planted, alarms = (zoo.get(name) for name in ("caught", "planted", "false_alarms"))
    if not (isinstance(caught, int) and isinstance(planted, int) and planted):
        return Condition("zoo", Verdict.UNKNOWN, "A record of planted defects has to stand behind it: there is none.")
    share = 100 * caught / planted
    enough = share >= (100.0 if least is None else least) and not alarms
    wanted = "all" if least is None else f"at least {least:g} %"
    told = f"it catches {caught} of {planted}, with {alarms if isinstance(alarms, int) else 'unknown'} false alarms"
    sentence = f"The harness has to catch {wanted} of the planted defects without a false alarm; {told}."
    return Condition("zoo", Verdict.PASS if enough and isinstance(alarms, int) else Verdict.FAIL, sentence)


# --- from a table -------------------------------------------------------------------------------


def policy_from_table(
    table: Mapping[str, Any], name: str, known: Mapping[str, Sequence[str]] | None = None
) -> Policy:
    """The policy in `table`. `known` are the names that a key may list, where somebody knows all of them.

    Raises `UsageError`, one sentence, for a key or value that means nothing.
    """
    unknown = [key for key in table if key not in _READERS]
    if unknown:
        raise UsageError(f"{name} has no condition {unknown[0]!r}: say one of {', '.join(_READERS)}.")
    fields: dict[str, Any] = {}
    for key, value in table.items():
        fields.update(_READERS[key](value, f"{name}: {key}"))
        _require_known(value, (known or {}).get(key), f"{name}: {key}")
    return Policy(name=name, **fields)


def _require_known(value: Any, known: Sequence[str] | None, place: str) -> None:
    wrong = [item for item in value if item not in known] if known is not None else []
    if wrong and known is not None:
        raise UsageError(f"{place} names {wrong[0]!r}: say one of {', '.join(known)}.")


def _names(field_name: str) -> Callable[[Any, str], dict[str, Any]]:
    def read(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise UsageError(f'{place} is not a list of names: write ["a", "b"].')
        return {field_name: tuple(value)}

    return read


def _number(field_name: str, most: float) -> Callable[[Any, str], dict[str, Any]]:
    def read(value: Any, place: str) -> dict[str, Any]:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise UsageError(f"{place} is not a number from 0 to {most:g}.")
        return {field_name: float(value)}

    return read


def _claims(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f'{place} is not a table: write [claims] and a line like power_loss = "synced" below it.')
    for name, least in value.items():
        words = [word for word in STRENGTH.get(name, ()) if word]
        if name not in STRENGTH and name != "limits":
            raise UsageError(f"{place} names {name!r}: say one of {', '.join((*STRENGTH, 'limits'))}.")
        if not isinstance(least, str) or (least and words and least not in words):
            raise UsageError(f"{place}: {name} asks for {least!r}: say one of {', '.join(words)}, or '' for any.")
    return {"claims": dict(value)}


def _limits(value: Any, place: str) -> dict[str, Any]:
    if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
        return {"limits": dict.fromkeys(value)}
    bounds = list(value.values()) if isinstance(value, dict) else [None]
    if any(isinstance(bound, bool) or not isinstance(bound, int | float) for bound in bounds):
        raise UsageError(f"{place} is neither a list of metrics nor a table of metrics with the loosest limit of each.")
    return {"limits": {metric: float(bound) for metric, bound in value.items()}}


def _profile_name(value: Any, place: str) -> dict[str, Any]:
    if value not in PROFILES:
        raise UsageError(f"{place} is {value!r}: say one of {', '.join(PROFILES)}.")
    return {"profile": value}


def _zoo_wanted(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, bool):
        raise UsageError(f"{place} is {value!r}: say true or false.")
    return {"zoo": value}


_READERS: dict[str, Callable[[Any, str], dict[str, Any]]] = {
    "claims": _claims,
    "allowed_unknown": _names("allowed_unknown"),
    "scenarios": _names("scenarios"),
    "models": _names("models"),
    "limits": _limits,
    "profile": _profile_name,
    "maximum_age_days": _number("maximum_age_days", 36_500),
    "fault_coverage_percent": _number("struck_percent", 100),
    "branch_coverage_percent": _number("branch_percent", 100),
    "zoo": _zoo_wanted,
    "zoo_caught_percent": _number("caught_percent", 100),
}
