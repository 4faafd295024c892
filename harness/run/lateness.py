"""What is said where the time of a profile was up before all was tried.

Seconds are only a backstop: budgets count workloads, states and faults. So a reader has to learn which backstop it was
and which scenarios it cost, or what was left out would look like what was never planned.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.evidence import Evidence
from harness.run.options import PROFILES, Profile

#: With this begins every reason that something was not tried for want of time.
OUT_OF_TIME = "out of time"


def of_the_run(profile: Profile, what: str) -> str:
    """The whole run took too long: `what` had not been done by then."""
    return f"{OUT_OF_TIME}: the {profile.seconds:g} s of the profile {profile.name} were up before {what}"


def of_a_workload(profile: Profile, share_s: float, what: str) -> str:
    """One workload took more than its `share_s` of the time."""
    whole = f"{profile.seconds:g} s of the profile {profile.name}"
    return f"{OUT_OF_TIME}: the {share_s:g} s for one workload (of the {whole}) were up before {what}"


def summary(profile: Profile, evidence: Iterable[Evidence]) -> str:
    """One sentence that names every scenario that was not, or not fully, tried for want of time; empty for none."""
    tried: dict[str, bool] = {}
    late: list[str] = []
    for row in evidence:
        tried[row.scenario] = tried.get(row.scenario, False) or row.states_judged > 0
        if any(reason.startswith(OUT_OF_TIME) for reason in row.reasons):
            late.append(row.scenario)
    if not late:
        return ""
    names = list(dict.fromkeys(late))
    groups = {
        "not tried": [name for name in names if not tried[name]],
        "not fully tried": [name for name in names if tried[name]],
    }
    told = "; ".join(f"{what}: {', '.join(group)}" for what, group in groups.items() if group)
    limit = f"the limit of the profile {profile.name} is {profile.seconds:g} s"
    return f"{OUT_OF_TIME}: {limit}. {_capital(told)}. {_hint(profile)}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _hint(profile: Profile) -> str:
    """What helps: a profile with more time, or fewer scenarios in one run."""
    longer = [other for other in PROFILES.values() if other.seconds > profile.seconds]
    alone = "try them alone with --scenario"
    if not longer:
        return f"{_capital(alone)}."
    more = min(longer, key=lambda other: other.seconds)
    return f"{_capital(alone)}, or with --profile {more.name}, which has {more.seconds:g} s."
