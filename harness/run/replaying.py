"""`harness replay`: rebuild the crash state of a finding in a directory, and recover it again."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.evidence import Certificate, Finding, certificate_from_json
from harness.core.trace import CallSite, Image, Trace, empty_image
from harness.core.workload import By, Reopen, Workload
from harness.crash.materialize import Materializer
from harness.crash.states import Knowledge
from harness.judge.oracle import window
from harness.judge.recovery import judge
from harness.run.campaign import Campaign
from harness.run.encoding import decode_image, decode_value, operation_types
from harness.run.findings import interrupts
from harness.run.judging import JudgeJob
from harness.run.live.engines import ENGINES, fault_types
from harness.run.live.values import TrialsJob
from harness.run.loading import load_adapter
from harness.run.options import Options
from harness.run.pool import Interrupted
from harness.run.recovering import oracle_of, text_of_error

REPLAY_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a replay: the same kind of violation again, another, or none.

    `call_site` is the line that is blamed this time, where a fault struck while the store worked.
    """

    finding: Finding
    directory: Path
    again: bool
    seen: str
    call_site: CallSite | None = None


def read_certificate(path: Path) -> list[Certificate]:
    """The certificates in a file: one, or a list. Raises `UsageError` if it is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} can't be read ({error.strerror}): give a file that harness certify --json wrote."
        ) from None
    except (ValueError, RecursionError):
        raise UsageError(
            f"{path} is not a certificate: give a JSON file that harness certify --json wrote."
        ) from None
    items = data if isinstance(data, list) and data else [data]
    return [certificate_from_json(item, str(path)) for item in items]


def find(certificates: list[Certificate], identity: str) -> Finding:
    """The finding with this id, or an unambiguous beginning of it."""
    findings = [finding for certificate in certificates for finding in certificate.findings]
    same = [finding for finding in findings if finding.id == identity] or [
        finding for finding in findings if finding.id.startswith(identity)
    ]
    if len(same) == 1:
        return same[0]
    known = ", ".join(finding.id for finding in findings) or "none at all"
    raise UsageError(f"there is no single finding {identity!r} in the certificate: it has {known}.")


def replay(path: Path, identity: str, target: Path, options: Options) -> Replayed:
    """Rebuild the crash state in `target`, which must be empty or absent, and recover a copy of it.

    Raises `UsageError` for a file that is no certificate, an unknown finding, or a directory in use.
    """
    finding = find(read_certificate(path), identity)
    example = finding.counterexample
    if not example:
        raise UsageError(f"the finding {finding.id} has no counterexample to replay.")
    adapter = load_adapter(str(example.get("adapter", "")))
    if "engine" in example:
        return _live(finding, adapter, target, options)
    image, trace, known = _decoded(finding, adapter)
    _place(target, image)
    with Campaign(example["adapter"], options) as campaign:
        [judged] = campaign.judge_again([JudgeJob(image, campaign.keep_trace(trace))])
    if isinstance(judged, Interrupted):
        seen = f"{judged.phase}: {judged.how} ({judged.detail})"
        return Replayed(finding, target, interrupts(finding.kind, judged), seen)
    admissible = window(
        example["promise"], acknowledged=known.acknowledged, begun=known.begun, synced=known.synced
    )
    violation = judge(oracle_of(adapter, trace), judged.recovery, admissible)
    if violation is None:
        return Replayed(finding, target, False, "the recovered state is admissible")
    return Replayed(
        finding, target, violation.kind == finding.kind, f"{violation.kind}: {violation.sentence}"
    )


def _live(finding: Finding, adapter: Any, target: Path, options: Options) -> Replayed:
    """Strike once more, in a fresh interpreter; `target` gets what the store left, or the fault did before it."""
    job = _decoded_job(finding, adapter)
    with Campaign(finding.counterexample["adapter"], options) as campaign:
        outcome = campaign.try_again(job)
    if isinstance(outcome, Interrupted):
        _place(target, empty_image())
        seen = f"{outcome.phase}: {outcome.how} ({outcome.detail})"
        return Replayed(finding, target, interrupts(finding.kind, outcome), seen)
    same = [found.trial for found in outcome.found if found.key[0] == finding.kind]
    trial = next(iter(same or [found.trial for found in outcome.found]), None)
    exhibit = None if trial is None else trial.exhibit
    _place(target, (exhibit and (exhibit.after or exhibit.recovered)) or empty_image())
    if trial is None or trial.violation is None:
        return Replayed(finding, target, False, outcome.refused or "what the store did is admissible")
    seen = f"{trial.violation.kind}: {trial.violation.sentence}"
    return Replayed(finding, target, bool(same), seen, trial.site)


def _decoded_job(finding: Finding, adapter: Any) -> TrialsJob:
    """The trial of a counterexample. Raises `UsageError` if it is damaged."""
    example = finding.counterexample
    try:
        types = {**operation_types(adapter), **fault_types()}
        steps = tuple(decode_value(item, {**types, "Reopen": Reopen, "By": By}) for item in example["workload"])
        fault = decode_value(example["fault"], types)
        engine, claim, promise = (str(example[name]) for name in ("engine", "claim", "promise"))
        if engine not in ENGINES:
            raise ValueError(f"there is no engine {engine!r}")
        seed = int(example["seed"])
        workload = Workload("replay", steps)
        return TrialsJob("replay", engine, claim, promise, workload, seed, 1, REPLAY_LIMIT_S, only=fault)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"the counterexample of {finding.id} is damaged ({text_of_error(error)}): certify the store again."
        ) from None


def _place(target: Path, image: Image) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise UsageError(f"{target} is in use: name an empty directory with --directory.")
        Materializer(target).place(image)
    except OSError as error:
        raise UsageError(
            f"{target} can't be written to ({error.strerror}): name an empty directory with --directory."
        ) from None


def _decoded(finding: Finding, adapter: Any) -> tuple[Image, Trace, Knowledge]:
    """What a counterexample holds. Raises `UsageError` if it is damaged."""
    example = finding.counterexample
    try:
        window(example["promise"], acknowledged=0, begun=0, synced=0)
        image = decode_image(example["image"])
        return image, _operations(adapter, example), Knowledge(**example["knowledge"])
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error) as error:
        raise UsageError(
            f"the counterexample of {finding.id} is damaged ({text_of_error(error)}): certify the store again."
        ) from None


def _operations(adapter: Any, example: dict[str, Any]) -> Trace:
    types = operation_types(adapter)
    operations = tuple(decode_value(item, types) for item in example["operations"])
    errors = dict.fromkeys(example["failed"], "raised")
    return Trace(empty_image(), (), operations, "", 0, errors)
