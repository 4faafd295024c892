"""The certificate of an endurance run: what its windows and its looks at the store say."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.evidence import Certificate, ClaimResult, Evidence, Finding
from harness.core.limits import LIMITS_CLAIM, Limit, amount, declared_limits
from harness.core.verdict import Verdict, merge
from harness.measure.enduring import Ruling, fitness, judgeable, rulings, series
from harness.measure.windows import Held, Window, total
from harness.report.text import count
from harness.run.certify import neutral_spec, plain_contract
from harness.run.durations import duration_text
from harness.run.enduring_child import Endured
from harness.run.environment import environment, file_system_of
from harness.run.pool import Interrupted

if TYPE_CHECKING:
    from harness.run.enduring import EndureOptions

SCENARIO = "endurance"
CLAIM = "endurance"


@dataclass(frozen=True, slots=True)
class Result:
    """How a run went: its outcome, its windows, memory at the end of each, when it had been killed, and where its
    store is.
    """

    outcome: Endured | Interrupted
    windows: Sequence[Window]
    held: Sequence[Held]
    kills_s: Sequence[float]
    confirmed: bool
    root: Path

    @property
    def kills(self) -> int:
        return len(self.kills_s)

    @property
    def keep(self) -> bool:
        """Whether the store is left where it is, to look into or to go on with."""
        return isinstance(self.outcome, Interrupted) or bool(self.outcome.wrong or self.outcome.stopped)


def certificate(adapter: Any, spec: str, options: EndureOptions, result: Result) -> Certificate:
    """What the run says about the store."""
    limits = declared_limits(adapter)
    ruled = rulings(result.windows, result.held, limits, open_loop=not options.closed_loop)
    claims, evidence = _endured(options, result), _evidence(options, result)
    if ruled:
        claims, evidence = (*claims, _limits_claim(ruled)), (*evidence, _limits_evidence(options, result, ruled))
    return Certificate(
        store=adapter.name,
        adapter=neutral_spec(spec),
        claims=claims,
        evidence=evidence,
        findings=tuple(
            dataclasses.replace(
                finding,
                operations=(_promised(options),),
                replay=_command(spec, options),
                seconds_to_find=round(total(result.windows).seconds, 3),
            )
            for finding in (*_state_finding(result), *_limit_findings(ruled))
        ),
        seed=options.schedule.seed,
        profile=f"{duration_text(options.duration_s)} at {options.schedule.rate:g}/s",
        issued_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        environment={**environment(), "file_system": file_system_of(result.root)},
        contract=plain_contract(adapter.contract),
        statement=_statement(options, result, claims),
        notes=_notes(options, result, limits),
        not_exercised=_not_exercised(options, limits),
        series=_series(options, result, ruled, limits),
        seconds=round(total(result.windows).seconds, 3),
    )


# --- the state -------------------------------------------------------------------------------


def _promised(options: EndureOptions) -> str:
    load = "one after another" if options.closed_loop else f"at {options.schedule.rate:g} per second"
    load += f" from {options.callers} callers" if options.callers > 1 else ""
    return f"{duration_text(options.duration_s)} of operations {load}"


def _reasons(result: Result) -> tuple[str, ...]:
    """Why the run is no proof."""
    outcome = result.outcome
    if isinstance(outcome, Interrupted):
        if outcome.how == "hang":
            return ()
        return (f"the process of the store ended in {outcome.phase} ({outcome.detail}); go on with --resume",)
    if outcome.stopped:
        return (f"ended early: {outcome.stopped}",)
    failed = total(result.windows).failed
    if failed and not outcome.wrong:
        return (f"{failed} operations failed without any fault, the first time as {outcome.first_error}",)
    return ()


def _broken(result: Result) -> bool:
    if isinstance(result.outcome, Interrupted):
        return result.outcome.how == "hang"
    return bool(result.outcome.wrong)


def _state_verdict(result: Result) -> Verdict:
    if _broken(result):
        return Verdict.FAIL
    return Verdict.UNKNOWN if _reasons(result) else Verdict.PASS


def _endured(options: EndureOptions, result: Result) -> tuple[ClaimResult, ...]:
    return (ClaimResult(CLAIM, _promised(options), _state_verdict(result), (SCENARIO,), _reasons(result)),)


def _evidence(options: EndureOptions, result: Result) -> tuple[Evidence, ...]:
    whole = total(result.windows)
    bounds = {
        "operations": whole.operations,
        "seconds": round(whole.seconds, 1),
        "clients": options.schedule.clients,
        "callers": options.callers,
        "arrivals": "closed loop" if options.closed_loop else options.schedule.kind,
    }
    return (_row(CLAIM, _state_verdict(result), options, result, bounds, _reasons(result)),)


def _row(
    claim: str,
    verdict: Verdict,
    options: EndureOptions,
    result: Result,
    bounds: dict[str, Any],
    reasons: tuple[str, ...],
) -> Evidence:
    looks = 0 if isinstance(result.outcome, Interrupted) else result.outcome.looks
    return Evidence(
        scenario=SCENARIO,
        claim=claim,
        verdict=verdict,
        persistence_model="",
        states_generated=looks,
        states_distinct=looks,
        states_judged=looks,
        exhausted=False,
        faults_fired=result.kills,
        seconds=round(total(result.windows).seconds, 3),
        seed=options.schedule.seed,
        reasons=reasons,
        bounds=bounds,
        workloads=1,
        deterministic=False,
    )


def _command(spec: str, options: EndureOptions) -> str:
    """The command line that runs the same load again."""
    schedule = options.schedule
    loop = " --closed-loop" if options.closed_loop else f" --arrivals {schedule.kind}"
    loop += f" --callers {options.callers}" if options.callers > 1 else ""
    length = duration_text(options.duration_s)
    return (
        f"harness endure {neutral_spec(spec)} --duration {length} --rate {schedule.rate:g}{loop} "
        f"--clients {schedule.clients} --seed {schedule.seed}"
    )


def _state_finding(result: Result) -> tuple[Finding, ...]:
    if not _broken(result):
        return ()
    if isinstance(result.outcome, Interrupted):
        kind, summary = "hang", f"{result.outcome.phase} did not return ({result.outcome.detail})"
    else:
        kind, summary = result.outcome.kind, result.outcome.wrong
    again = f"the store is left in {result.root / 'store'}"
    return (_finding(CLAIM, kind, CLAIM, f"{summary}; {again}", result.confirmed),)


def _finding(claim: str, kind: str, about: str, summary: str, confirmed: bool = True) -> Finding:
    return Finding(
        id=f"{kind}-{about}".replace("_", "-"),
        scenario=SCENARIO,
        claim=claim,
        summary=summary,
        kind=kind,
        persistence_models=(),
        operations=(),
        call_site=None,
        replay="",
        confirmed=confirmed,
    )


# --- limits ----------------------------------------------------------------------------------


def _limits_claim(ruled: Sequence[Ruling]) -> ClaimResult:
    verdict = merge(item.verdict for item in ruled)
    promised = f"{len(ruled)} limit{'s' if len(ruled) > 1 else ''}"
    return ClaimResult(LIMITS_CLAIM, promised, verdict, (SCENARIO,), _limit_reasons(ruled))


def _limit_reasons(ruled: Sequence[Ruling]) -> tuple[str, ...]:
    return tuple(f"{item.limit.metric}: {item.reason}" for item in ruled if item.reason)


def _limits_evidence(options: EndureOptions, result: Result, ruled: Sequence[Ruling]) -> Evidence:
    bounds = {"limits": len(ruled), "operations": total(result.windows).operations}
    return _row(LIMITS_CLAIM, merge(item.verdict for item in ruled), options, result, bounds, _limit_reasons(ruled))


def _limit_findings(ruled: Sequence[Ruling]) -> tuple[Finding, ...]:
    return tuple(
        _finding(
            LIMITS_CLAIM,
            "over_limit",
            item.limit.metric,
            f"{item.limit.metric} is {_value(item)}: {item.limit.bound_text} promised",
        )
        for item in ruled
        if item.verdict is Verdict.FAIL and item.measured is not None
    )


def _value(item: Ruling) -> str:
    return f"{amount(item.measured or 0.0)} {item.limit.about.unit}".rstrip()


# --- words -----------------------------------------------------------------------------------


def _statement(options: EndureOptions, result: Result, claims: Sequence[ClaimResult]) -> str:
    whole = total(result.windows)
    looks = 0 if isinstance(result.outcome, Interrupted) else result.outcome.looks
    kills = f"; the run was killed {_times(result.kills)} on the way" if result.kills else ""
    done = f"{whole.operations:,} operations in {duration_text(round(whole.seconds, 1))}{kills}."
    verdict = merge(claim.verdict for claim in claims)
    if verdict is Verdict.PASS:
        return f"{done} The store was opened and compared with its model {_times(looks)}: no difference was found."
    return f"{done} See below what was found, and what stayed undecided."


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _notes(options: EndureOptions, result: Result, limits: Sequence[Limit]) -> tuple[str, ...]:
    whole = total(result.windows)
    notes = [f"clients stood still for {whole.paused_ns / 1e9:.1f} s in all, while the harness did its own work"]
    if whole.unstarted:
        notes.append(f"{count(whole.unstarted, 'operation')} due and not started when the run ended")
    if whole.unsupported:
        notes.append(f"{count(whole.unsupported, 'operation')} left out because the store can't take them")
    if result.kills:
        notes.append("what was measured between the end of a window and a kill is lost; no operation is")
    why_not = fitness(whole, limits)
    if why_not:
        notes.append(f"unfit to judge latencies: {why_not}")
    if options.callers > 1:
        notes.append(
            f"{options.callers} threads shared the store, each with keys or records of its own; "
            "what was compared is each one's own operations in their order"
        )
    elif options.schedule.clients > 1:
        notes.append("clients wait for their turn: the store is called from one thread")
    return tuple(notes)


def _not_exercised(options: EndureOptions, limits: Sequence[Limit]) -> tuple[str, ...]:
    kind = "a closed loop" if options.closed_loop else "an open loop"
    left_out = [limit.metric for limit in limits if not judgeable(limit, open_loop=not options.closed_loop)]
    return tuple(f"limit {name}: {kind} over a long time does not measure it" for name in left_out)


def _series(
    options: EndureOptions, result: Result, ruled: Sequence[Ruling], limits: Sequence[Limit]
) -> dict[str, Any]:
    schedule = options.schedule
    return {
        **series(result.windows, result.held, open_loop=not options.closed_loop),
        "rate_per_s": schedule.rate,
        "arrivals": "closed loop" if options.closed_loop else schedule.kind,
        "clients": schedule.clients,
        "callers": options.callers,
        "killed_at_s": [round(moment, 3) for moment in result.kills_s],
        "unfit": fitness(total(result.windows), limits),
        "limits": [
            {
                "metric": item.limit.metric,
                "bound": item.limit.bound,
                "bound_text": item.limit.bound_text,
                "unit": item.limit.about.unit,
                "measured": None if item.measured is None else round(item.measured, 4),
                "lower": item.lower,
                "upper": item.upper,
                "samples": item.samples,
                "verdict": item.verdict.value,
                "reason": item.reason,
            }
            for item in ruled
        ],
    }
