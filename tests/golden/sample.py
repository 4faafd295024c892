"""Certificates for the golden tests: passing, failing, unknown, hostile, and one with a long timeline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from harness.core.evidence import (
    Certificate,
    ClaimResult,
    Evidence,
    FileView,
    Finding,
    Fix,
    SourceView,
    Story,
    TimelineItem,
)
from harness.core.persistence import PRESETS
from harness.core.trace import CallSite, MarkerKind
from harness.core.verdict import Verdict

#: Markup, quotes, the end of a CDATA section, NUL, an escape sequence, a bidi override, a lone
#: surrogate, a line feed alone, a workflow command, template and rich markup.
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"'`&]]>\0\x1b[31m\u202eevil\ud800\r\n"
    "::error::owned\n{{ 7*7 }} [bold red]x[/] | # **md** \u2028 %0A"
)

ZOO = {
    "caught": 28,
    "planted": 28,
    "false_alarms": 0,
    "sound": 12,
    "version": "0.1.0",
    "mutants": {"generated": 64, "caught": 61, "equivalent": 3},
}
ENVIRONMENT = {
    "python": "3.11.9",
    "kernel": "Linux 6.8.0",
    "file system": "ext4",
    "processors": 2,
    "recorder": "in-process",
    "namespaces": True,
}
SITE_WRITE = CallSite("src/dashboard/metrics.py", 58, "_write")
SITE_SYNC = CallSite("src/dashboard/metrics.py", 60, "_write")
SITE_REPLACE = CallSite("src/dashboard/metrics.py", 61, "_write")
SITE_BACKUP = CallSite("src/dashboard/metrics.py", 73, "_keep_backup")
SITE_LOCK = CallSite("src/dashboard/locking.py", 24, "acquire")

_SOURCE = (
    "    def _write(self, path: Path, text: str) -> None:",
    '        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")',
    '        with open(temporary, "w", encoding="utf-8") as file:',
    "            file.write(text)",
    "            file.flush()",
    "            os.fsync(file.fileno())",
    "        os.replace(temporary, path)",
    "",
    "    def load(self) -> DashboardState:",
    "        with self._lock():",
)


def call(index: int, name: str, text: str, fate: str, operation: int, site: CallSite | None) -> TimelineItem:
    """One call of the store."""
    return TimelineItem(index, text, fate, operation, call=name, site=site)


def moment(index: int, kind: MarkerKind, text: str, operation: int = -1, fate: str = "none") -> TimelineItem:
    """One moment of the client."""
    return TimelineItem(index, text, fate, operation, marker=kind.value)


def evidence(scenario: str, claim: str, model: str, verdict: Verdict, **more: object) -> Evidence:
    """Evidence with plausible counts."""
    counts: dict[str, object] = {
        "states_generated": 4_180,
        "states_distinct": 1_274,
        "states_judged": 1_274,
        "exhausted": True,
        "faults_fired": 212,
        "seconds": 3.42,
        "seed": 0,
        "bounds": {"operations": 6, "pending_disk_operations": 14},
        "crash_points": 212,
        "workloads": 8,
    }
    return Evidence(scenario, claim, verdict, model, **{**counts, **more})  # type: ignore[arg-type]


def _models(*names: str) -> dict[str, object]:
    return {
        name: {
            "summary": PRESETS[name].summary,
            "assumptions": list(PRESETS[name].assumptions),
            "torn": PRESETS[name].torn.value,
            "entries": PRESETS[name].entries.value,
        }
        for name in names
    }


def _claims(**verdicts: Verdict) -> tuple[ClaimResult, ...]:
    promised = {
        "process_crash": ("acknowledged", ("kill",)),
        "power_loss": ("acknowledged", ("power-loss", "recovery-crash")),
        "io_error": ("fails_cleanly", ("io-error", "disk-full")),
        "corruption": ("detected", ("bit-flip",)),
        "writers": ("processes", ("concurrent-writers",)),
    }
    return tuple(
        ClaimResult(claim, word, verdicts.get(claim, Verdict.PASS), scenarios)
        for claim, (word, scenarios) in promised.items()
    )


def _other_evidence(io_error: Verdict) -> tuple[Evidence, ...]:
    return (
        evidence(
            "io-error",
            "io_error",
            "",
            io_error,
            states_generated=0,
            states_distinct=0,
            states_judged=0,
            faults_fired=168,
            crash_points=0,
            bounds={},
        ),
        evidence(
            "bit-flip",
            "corruption",
            "",
            Verdict.PASS,
            states_generated=0,
            states_distinct=0,
            states_judged=0,
            faults_fired=640,
            crash_points=0,
            exhausted=False,
            bounds={"flips": 640},
        ),
        evidence(
            "concurrent-writers",
            "writers",
            "",
            Verdict.PASS,
            states_generated=0,
            states_distinct=0,
            states_judged=0,
            faults_fired=0,
            crash_points=0,
            exhausted=False,
            deterministic=False,
            bounds={"processes": 4, "operations": 40},
            seconds=0.31,
        ),
    )


def _evidence(**verdicts: Verdict) -> tuple[Evidence, ...]:
    def verdict(claim: str) -> Verdict:
        return verdicts.get(claim, Verdict.PASS)

    return (
        evidence(
            "kill",
            "process_crash",
            "process-crash",
            Verdict.PASS,
            states_generated=980,
            states_distinct=412,
            states_judged=412,
        ),
        evidence("power-loss", "power_loss", "strict", verdict("power_loss")),
        evidence(
            "power-loss",
            "power_loss",
            "max-loss",
            verdict("power_loss"),
            states_generated=212,
            states_distinct=96,
            states_judged=96,
        ),
        evidence(
            "power-loss",
            "power_loss",
            "ext4",
            Verdict.PASS,
            states_generated=2_640,
            states_distinct=731,
            states_judged=731,
        ),
        evidence(
            "recovery-crash",
            "power_loss",
            "strict",
            Verdict.PASS,
            states_generated=20_000,
            states_distinct=6_911,
            states_judged=5_000,
            exhausted=False,
            bounds={"states": 5_000, "recoveries": 2},
            seconds=74.2,
        ),
        *_other_evidence(verdict("io_error")),
    )


def passing() -> Certificate:
    """Every promise held, with a stamped zoo run."""
    return Certificate(
        store="metrics",
        adapter="store_under_test.metrics:MetricsAdapter",
        claims=_claims(),
        evidence=_evidence(),
        findings=(),
        seed=0,
        profile="standard",
        issued_at="2026-03-14T09:26:53Z",
        environment=ENVIRONMENT,
        contract={"power_loss": "acknowledged", "power_loss_models": ["strict"], "errors": ["ValueError"]},
        not_exercised=("FUSE recorder: this machine has no /dev/fuse.",),
        notes=("12 operations were refused as unsupported and left the workloads.",),
        models=_models("strict", "ext4", "max-loss", "process-crash"),
        zoo=ZOO,
        seconds=92.4,
    )


def failing() -> Certificate:
    """Two findings: a directory that is never synced, and an error that is swallowed."""
    return dataclasses.replace(
        passing(),
        store="metrics without directory fsync",
        claims=_claims(power_loss=Verdict.FAIL, io_error=Verdict.FAIL),
        evidence=_evidence(power_loss=Verdict.FAIL, io_error=Verdict.FAIL),
        findings=(_lost_save(), _swallowed()),
    )


def unknown() -> Certificate:
    """Nothing broken, but a recorder that missed I/O; no zoo run, no models, hardly any environment."""
    reason = "Replaying the trace did not give the directory left behind: a C extension wrote data.mdb."
    claims = tuple(
        dataclasses.replace(c, verdict=Verdict.UNKNOWN, reasons=(reason,)) if c.claim == "power_loss" else c
        for c in _claims()
    )
    return dataclasses.replace(
        passing(),
        store="lmdb",
        claims=claims,
        evidence=(
            evidence("kill", "process_crash", "process-crash", Verdict.PASS),
            evidence(
                "power-loss",
                "power_loss",
                "strict",
                Verdict.UNKNOWN,
                reasons=(reason,),
                exhausted=False,
                states_judged=0,
                states_distinct=0,
                states_generated=0,
            ),
        ),
        zoo={},
        models={},
        environment={},
        contract={},
        notes=(),
        not_exercised=(),
    )


def hostile() -> Certificate:
    """Every text of a failing certificate replaced by markup, control characters and overrides."""
    failing_ = failing()
    return dataclasses.replace(
        failing_,
        store=HOSTILE,
        adapter=HOSTILE,
        profile=HOSTILE,
        statement=HOSTILE,
        claims=(
            *(dataclasses.replace(c, reasons=(HOSTILE,)) for c in failing_.claims),
            ClaimResult(HOSTILE, HOSTILE, Verdict.UNKNOWN, (HOSTILE,), (HOSTILE,)),
        ),
        evidence=(
            *failing_.evidence,
            evidence(
                HOSTILE, HOSTILE, HOSTILE, Verdict.UNKNOWN, reasons=(HOSTILE,), bounds={HOSTILE: HOSTILE}
            ),
        ),
        findings=(_hostile_finding(),),
        environment={HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE]}},
        contract={HOSTILE: [HOSTILE, None, True]},
        notes=(HOSTILE,),
        not_exercised=(HOSTILE,),
        models={HOSTILE: {"summary": HOSTILE, "assumptions": [HOSTILE], HOSTILE: HOSTILE}},
        zoo={**ZOO, "version": HOSTILE, HOSTILE: HOSTILE},
    )


def long_timeline(earlier: int, operation: int) -> Certificate:
    """`earlier` durable calls, then one operation of `operation` calls of which every tenth is lost."""
    finding = _lost_save()
    story = finding.story
    assert story is not None
    items = [moment(0, MarkerKind.BEGIN, "append(...) begins", 0)]
    items += [
        call(1 + n, "os.write", f"write(log, 128 bytes at {128 * n})", "durable", 0, SITE_WRITE)
        for n in range(earlier)
    ]
    items += [moment(len(items), MarkerKind.ACKNOWLEDGE, "append(...) acknowledged", 0)]
    items += [moment(len(items), MarkerKind.BEGIN, "compact() begins", 1)]
    start = len(items)
    items += [
        call(
            start + n,
            "os.write",
            f"write(new, 4096 bytes at {4096 * n})",
            "kept" if n % 10 else "lost",
            1,
            SITE_WRITE,
        )
        for n in range(operation)
    ]
    crash = len(items) - 1
    items += [
        call(len(items) + n, "os.unlink", f"unlink(old.{n})", "after", 1, SITE_WRITE) for n in range(20)
    ]
    story = dataclasses.replace(story, timeline=tuple(items), crash_after=crash)
    return dataclasses.replace(failing(), findings=(dataclasses.replace(finding, story=story),))


def _lost_save() -> Finding:
    return Finding(
        id="f-3c1a9e20",
        scenario="power-loss",
        claim="power_loss",
        summary="An acknowledged save is gone after a power cut: the file shows the document before it.",
        kind="lost_acknowledged",
        persistence_models=("strict", "max-loss"),
        operations=(
            "Save({'agents': {}, 'events': []})",
            "Save({'agents': {'ada': {'runs': 1}}, 'events': []})",
        ),
        call_site=SITE_REPLACE,
        replay="harness replay reports/metrics.json f-3c1a9e20",
        seconds_to_find=0.84,
        story=_lost_story(),
        counterexample={"crash_after": 20},
    )


def _save_calls(start: int, operation: int, size: int, fates: tuple[str, ...]) -> list[TimelineItem]:
    texts = (
        ("os.open", "open(.state.json.871.tmp, O_WRONLY|O_CREAT|O_EXCL)", SITE_WRITE),
        ("os.write", f"write(.state.json.871.tmp, {size} bytes at 0)", SITE_WRITE),
        ("os.fsync", "fsync(.state.json.871.tmp)", SITE_SYNC),
        ("os.replace", "replace(.state.json.871.tmp, state.json)", SITE_REPLACE),
    )
    return [
        call(start + n, name, text, fate, operation, site)
        for n, ((name, text, site), fate) in enumerate(zip(texts, fates, strict=True))
    ]


def _lost_story() -> Story:
    timeline = [
        moment(0, MarkerKind.OPEN_BEGIN, "open begins"),
        call(1, "os.open", "open(state.lock, O_RDWR|O_CREAT)", "kept", -1, SITE_LOCK),
        call(2, "os.mkdir", "mkdir(quarantine)", "durable", -1, SITE_LOCK),
        call(3, "os.fsync", "fsync(.)", "sync", -1, SITE_LOCK),
        moment(4, MarkerKind.OPEN_END, "open returned"),
        moment(5, MarkerKind.BEGIN, "Save #1 begins", 0),
        *_save_calls(6, 0, 31, ("durable", "durable", "sync", "durable")),
        call(10, "os.fsync", "fsync(.)", "sync", 0, SITE_BACKUP),
        moment(11, MarkerKind.ACKNOWLEDGE, "Save #1 acknowledged", 0),
        moment(12, MarkerKind.BEGIN, "Save #2 begins", 1),
        call(13, "os.link", "link(state.json, state.json.bak)", "kept", 1, SITE_BACKUP),
        *_save_calls(14, 1, 54, ("kept", "durable", "sync", "lost")),
        call(18, "os.utime", "utime(state.json)", "none", 1, SITE_REPLACE),
        moment(19, MarkerKind.ACKNOWLEDGE, "Save #2 acknowledged", 1),
        moment(20, MarkerKind.CLOSE_BEGIN, "close begins", fate="after"),
        call(21, "os.unlink", "unlink(state.json.bak)", "after", -1, SITE_LOCK),
        moment(22, MarkerKind.CLOSE_END, "close returned", fate="after"),
    ]
    before = '{"agents": {}, "events": []}'
    after = '{"agents": {"ada": {"runs": 1}},\n "events": []}'
    return Story(
        told="Both saves were acknowledged: each returned without an exception.",
        called="The store synced a temporary file and renamed it; it did not sync the directory.",
        reached="The second document reached the disk; the directory entry that shows it did not.",
        found="After the power cut, load() returns the document of the first save.",
        expected="The document of the second save, because it was acknowledged before the power cut.",
        timeline=tuple(timeline),
        crash_after=19,
        lost=("the new directory entry state.json, written by replace(.state.json.871.tmp, state.json)",),
        files_written=(FileView("state.json", 54, after, True), FileView("state.lock", 0, "", True)),
        files_after_crash=(
            FileView("state.json", 31, before, True),
            FileView(".state.json.871.tmp", 54, after, True),
            FileView("state.lock", 0, "", True),
        ),
        files_recovered=(FileView("state.json", 31, before, True), FileView("state.lock", 0, "", True)),
        source=SourceView("src/dashboard/metrics.py", 61, 55, _SOURCE),
        fix=Fix("Sync the directory after os.replace, before save() returns.", True, 7, (SITE_REPLACE,)),
    )


def _swallowed() -> Finding:
    story = Story(
        told="The save was acknowledged.",
        called="The write of the backup failed with ENOSPC, and the exception was caught.",
        reached="Half of the backup, and a page of garbage.",
        found="The backup holds 16 bytes of the document, and zeros.",
        expected="An exception, or a whole backup.",
        timeline=(
            moment(0, MarkerKind.BEGIN, "Save #1 begins", 0),
            call(1, "os.write", "write(state.json.bak, 8192 bytes at 0) = ENOSPC", "torn", 0, SITE_BACKUP),
            moment(2, MarkerKind.ACKNOWLEDGE, "Save #1 acknowledged", 0),
        ),
        crash_after=1,
        lost=("8176 of 8192 bytes of state.json.bak",),
        files_written=(FileView("state.json.bak", 8192, "a" * 400, False),),
        files_after_crash=(FileView("state.json.bak", 8192, '{"agents": {}, "' + "\0" * 300, False, "torn"),),
        files_recovered=(),
        fix=Fix("No single sync or reordering helps: the error has to be raised.", False, 4),
    )
    return Finding(
        id="f-77b0d144",
        scenario="disk-full",
        claim="io_error",
        summary="A save is acknowledged although its backup could not be written.",
        kind="swallowed_error",
        persistence_models=(),
        operations=("Save({'agents': {}})",),
        call_site=SITE_BACKUP,
        replay="harness replay reports/metrics.json f-77b0d144",
        confirmed=False,
        seconds_to_find=3.1,
        story=story,
    )


def _hostile_finding() -> Finding:
    site = CallSite(HOSTILE, 7, HOSTILE)
    story = Story(
        told=HOSTILE,
        called=HOSTILE,
        reached=HOSTILE,
        found=HOSTILE,
        expected=HOSTILE,
        timeline=(
            moment(0, MarkerKind.BEGIN, HOSTILE, 0),
            call(1, HOSTILE, HOSTILE, "lost", 0, site),
            call(2, HOSTILE, HOSTILE, HOSTILE, 0, site),
            TimelineItem(3, HOSTILE, "none", 0, marker=HOSTILE),
        ),
        crash_after=2,
        lost=(HOSTILE,),
        files_written=(FileView(HOSTILE, 9, HOSTILE + "x" * 3_000, True, HOSTILE),),
        files_after_crash=(FileView("state", 9, HOSTILE, False),),
        files_recovered=(),
        source=SourceView(HOSTILE, 7, 6, (HOSTILE, HOSTILE, "y" * 2_000)),
        fix=Fix(HOSTILE, True, 1, (site,)),
    )
    return Finding(
        id=HOSTILE,
        scenario=HOSTILE,
        claim=HOSTILE,
        summary=HOSTILE,
        kind=HOSTILE,
        persistence_models=(HOSTILE,),
        operations=(HOSTILE,),
        call_site=site,
        replay=HOSTILE,
        story=story,
    )


def enduring() -> Certificate:
    """An hour under load: killed once, with one limit of each verdict, and memory that grows."""
    return dataclasses.replace(
        passing(),
        claims=(
            ClaimResult("endurance", "1h of operations at 20 per second", Verdict.PASS, ("endurance",)),
            ClaimResult("limits", "3 limits", Verdict.FAIL, ("endurance",), ("apply_p99_ms: the disk may explain it",)),
        ),
        evidence=(
            dataclasses.replace(
                evidence("endurance", "endurance", "", Verdict.PASS), bounds={"operations": 72_000, "clients": 3}
            ),
        ),
        not_exercised=("limit open_ms: an open loop over a long time does not measure it",),
        notes=("clients stood still for 1.9 s in all, while the harness did its own work",),
        models={},
        zoo={},
        profile="1h at 20/s",
        statement="72,000 operations in 1h; the run was killed once on the way. See below what was found.",
        series=series(),
        seconds=3_600.0,
    )


def series() -> dict[str, Any]:
    """Twelve windows of five minutes; a window in the middle has too few operations for any percentile."""
    return {
        "loop": "open",
        "rate_per_s": 20.0,
        "arrivals": "poisson",
        "clients": 3,
        "killed_at_s": [1_500.0],
        "unfit": "the generator was late by 2 ms",
        "points": [_point(number) for number in range(12)],
        "percentiles": {
            "response": [{"percentile": p, "ms": ms} for p, ms in ((50.0, 1.25), (99.0, 9.5), (100.0, 120.0))],
            "wait": [{"percentile": 50.0, "ms": 0.0}, {"percentile": 100.0, "ms": 99.0}],
        },
        "counts": {"response": 72_000, "wait": 72_000},
        "curves": {
            "response": [[50.0, 1.25], [90.0, 4.0], [99.0, 9.5], [100.0, 120.0]],
            "bare_sync": [[50.0, 0.125], [90.0, 0.25], [100.0, 0.5]],
        },
        "growth": {
            "bytes_per_operation": 12.5, "lower": 3.25, "upper": 21.0, "confidence": 0.95,
            "method": "batch means of 8 blocks",
        },
        "limits": [
            _limit("apply_p50_ms", 2.0, "ms", 1.25, Verdict.PASS),
            _limit("apply_p99_ms", 9.0, "ms", 9.5, Verdict.UNKNOWN, "the disk may explain it"),
            _limit("growth_bytes_per_operation", 1.0, "bytes", 12.5, Verdict.FAIL),
        ],
    }


def _point(number: int) -> dict[str, Any]:
    few = number == 6
    return {
        "from_s": 300.0 * number, "to_s": 300.0 * (number + 1), "operations": 5 if few else 6_000,
        "failed": 0, "unstarted": 0, "throughput_per_s": 20.0 - number / 4,
        "p50_ms": None if few else 1.25, "p99_ms": None if few else 8.0 + number / 4, "max_ms": 40.0 + 8 * number,
        "bare_sync_ms": 0.125, "resident_bytes": (30 << 20) + 75_000 * number, "descriptors": 2,
        "disk_bytes": 4096 * (number + 1),
    }


def _limit(
    metric: str, bound: float, unit: str, measured: float, verdict: Verdict, reason: str = ""
) -> dict[str, Any]:
    return {
        "metric": metric, "bound": bound, "bound_text": f"at most {bound:g} {unit}", "unit": unit,
        "measured": measured, "lower": None, "upper": None, "samples": 72_000,
        "verdict": verdict.value, "reason": reason,
    }


SAMPLES: dict[str, Callable[[], Certificate]] = {
    "passing": passing,
    "failing": failing,
    "unknown": unknown,
    "hostile": hostile,
    "enduring": enduring,
}
