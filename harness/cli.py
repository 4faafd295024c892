"""The command line.

Exit status: 0 certified; 1 a claim is broken; 2 usage, or the adapter itself cannot run; 3 nothing
broken but something stayed UNKNOWN; 4 the harness itself failed; 130 interrupted. With several
adapters it is the worst, in the order 4, 2, 1, 3, 0. Progress goes to stderr, the result to stdout.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import harness
from harness.core.errors import HarnessError, HarnessFault, UsageError
from harness.core.evidence import Certificate
from harness.core.verdict import Verdict
from harness.inject.nemesis import FAULTS
from harness.inject.nemesis import parse as parse_schedule
from harness.measure.arrivals import KINDS, Schedule
from harness.report.console import print_certificate
from harness.report.pace import print_pace
from harness.report.story import story_text
from harness.report.text import visible
from harness.run.certify import certify_adapter
from harness.run.comparing import compare_parser, compared, read_baseline, tell
from harness.run.deciding import decide_parser, read_policy, status_of, worst
from harness.run.directories import sweep
from harness.run.doctor import checks
from harness.run.durations import parse_duration
from harness.run.enduring import EndureOptions, endure
from harness.run.judging_histories import check_history_parser
from harness.run.observing import Observation, observe_options, observed
from harness.run.options import PROFILES, Options
from harness.run.outputs import (
    annotate,
    file_names,
    require_file,
    require_writable,
    write_comparisons,
    write_endured,
    write_json,
    write_pace,
    write_reports,
)
from harness.run.pace.comparing import pace
from harness.run.pace.values import PaceOptions
from harness.run.progress import shown_progress
from harness.run.replaying import replay
from harness.run.scenarios import SCENARIOS, selected
from harness.run.store_coverage import require_coverage, with_coverage
from harness.run.survey import Survey, survey

REFERENCE_ADAPTERS = (
    "store_under_test.metrics_store.adapter:MetricsStoreAdapter",
    "store_under_test.metrics_store.adapter:MetricsUpdateAdapter",
)
_STATUS = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:
        return 2 if stop.code not in (0, None) else 0
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what a store writes need not be printable here
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on; nor must the interpreter try again when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 4
    finally:
        signal.signal(signal.SIGTERM, before)
    return status


def _run(arguments: argparse.Namespace) -> int:
    try:
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except KeyboardInterrupt:
        hint = "; go on with --resume" if arguments.command in (_certify, _endure) else ""
        print(f"harness: interrupted{hint}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        return _complain(error)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _complain(error: Exception) -> int:
    """One sentence for who made a mistake; everything that is known where the mistake is ours."""
    if isinstance(error, UsageError):
        print(f"harness: {visible(' '.join(str(error).split()))}", file=sys.stderr)
    elif isinstance(error, HarnessError):
        print(f"harness: {error}", file=sys.stderr)
    else:
        traceback.print_exception(error)
        print("harness: this is a fault of the harness itself; please report it.", file=sys.stderr)
    return error.exit_status if isinstance(error, HarnessError) else HarnessFault.exit_status


# --- the parser ----------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"harness: {message}; see {self.prog} --help.\n")


class _OfCertify(argparse.Action):
    """An option of `harness certify` that `harness survey` has no use for."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: str | None = None
    ) -> None:
        parser.error(
            f"survey takes no {option_string}, because it tries everything and prints a contract, without any file; "
            "leave it out, or put the contract into the adapter and use certify"
        )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="harness", description="Test and fault injection for software that keeps data in files.")
    parser.add_argument("--version", action="version", version=f"durability-harness {harness.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _certify_parser(commands.add_parser("certify", help="try to break every promise of a store"))
    _survey_parser(commands.add_parser("survey", help="find the strongest contract that is not refuted"))
    _endure_parser(commands.add_parser("endure", help="keep a store under load for as long as you say"))
    listing = commands.add_parser("list", help="scenarios, and what each tries to break")
    listing.set_defaults(command=_list)
    _replay_parser(commands.add_parser("replay", help="rebuild the crash state of a finding and recover it again"))
    compare_parser(commands.add_parser("compare", help="regressions between two certificates"))
    decide_parser(commands.add_parser("decide", help="is a certificate enough for a release?"))
    _pace_parser(
        commands.add_parser("pace", help="compare the wall time of two versions of a store, side by side in one job")
    )
    check_history_parser(
        commands.add_parser("check-history", help="does one order of the operations explain all answers?")
    )
    doctor = commands.add_parser("doctor", help="what this machine allows, and what is lost without it")
    doctor.set_defaults(command=_doctor)
    return parser


def _certify_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "adapters", nargs="*", metavar="ADAPTER", help="package.module:Class or path/to/file.py:Class"
    )
    parser.add_argument(
        "--scenario", action="append", default=[], metavar="NAME", help="only this one (repeatable)"
    )
    parser.add_argument(
        "--schedule",
        action="append",
        default=[],
        metavar="FAULTS",
        help='only these faults at these I/O calls, like "eio@3-7, kill@12" (repeatable); '
        f"faults: {', '.join(FAULTS)}",
    )
    parser.add_argument(
        "--reports", type=Path, default=Path("reports"), metavar="DIR", help="default: reports"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the certificate, or a list of them")
    parser.add_argument(
        "--coverage", action="store_true", help="branch coverage of the store, in a small run of its own"
    )
    parser.add_argument("--resume", action="store_true", help="go on with a run that was killed")
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="also compare with an earlier certificate")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="decide by it whether the store is ready (TOML)")
    observe_options(parser)
    _common(parser)
    parser.set_defaults(command=_certify)


def _survey_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("adapter", metavar="ADAPTER")
    for option in ("--reports", "--json", "--policy", "--baseline", "--coverage", "--scenario", "--schedule"):
        parser.add_argument(
            option, nargs="?", action=_OfCertify, default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    observe_options(parser)
    _common(parser)
    parser.set_defaults(command=_survey)


def _endure_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("adapter", metavar="ADAPTER", help="package.module:Class or path/to/file.py:Class")
    parser.add_argument("--duration", required=True, metavar="D", help="like 90s, 10m, 72h")
    parser.add_argument("--rate", type=float, required=True, metavar="R", help="operations per second")
    parser.add_argument("--clients", type=int, default=1, metavar="N", help="that the operations come from")
    parser.add_argument("--callers", type=int, default=1, metavar="N", help="threads that share the store; default: 1")
    parser.add_argument("--arrivals", default="poisson", metavar="KIND", help=f"{', '.join(KINDS)}; default: poisson")
    parser.add_argument(
        "--closed-loop", action="store_true", help="one operation after another: service times, no latencies"
    )
    parser.add_argument(
        "--reports", type=Path, default=Path("reports"), metavar="DIR", help="default: reports; the store is there too"
    )
    parser.add_argument("--resume", action="store_true", help="go on with a run that was killed")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--time-limit", type=float, default=10.0, metavar="S", help="of one call into the store")
    observe_options(parser)
    parser.set_defaults(command=_endure)


def _replay_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("certificate", type=Path, metavar="CERTIFICATE")
    parser.add_argument("finding", metavar="FINDING")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="default: a new one below the working directory")
    parser.add_argument("--time-limit", type=float, default=10.0, metavar="S")
    parser.set_defaults(command=_replay)


def _pace_parser(parser: argparse.ArgumentParser) -> None:
    version = "a folder that Python imports from, a virtual environment, or its Python"
    parser.add_argument("old", metavar="OLD", help=version)
    parser.add_argument("new", metavar="NEW", help="the same")
    parser.add_argument("--adapter", required=True, metavar="ADAPTER", help="it drives both versions")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR", help="default: reports")
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="where the stores are (default: --reports): a disk that counts"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the comparison, with every ratio")
    _progress_option(parser)
    observe_options(parser)
    parser.set_defaults(command=_pace)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", choices=tuple(PROFILES), default="standard")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--jobs", type=int, metavar="N", help="worker processes; default: one for each core")
    parser.add_argument("--time-limit", type=float, default=10.0, metavar="S", help="of one call into the store")
    _progress_option(parser)


def _progress_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--progress", action="store_true", help="tell in plain lines on stderr how far it is, for the log of a job"
    )


def _options(arguments: argparse.Namespace, reports: Path | None) -> Options:
    given = {} if arguments.jobs is None else {"jobs": arguments.jobs}
    return Options(
        profile=arguments.profile,
        scenarios=tuple(getattr(arguments, "scenario", ())),
        seed=arguments.seed,
        time_limit_s=arguments.time_limit,
        reports=reports,
        resume=getattr(arguments, "resume", False),
        survey=arguments.command is _survey,
        schedules=tuple(map(parse_schedule, getattr(arguments, "schedule", ()))),
        policy=read_policy(policy) if (policy := getattr(arguments, "policy", None)) else None,
        **given,
    )


# --- commands ------------------------------------------------------------------------------


def _certify(arguments: argparse.Namespace) -> int:
    options = _options(arguments, arguments.reports)
    selected(options.scenarios, options.schedules)
    if arguments.coverage:
        require_coverage()
    require_writable(arguments.reports)
    if arguments.json is not None:
        require_file(arguments.json)
    specs = arguments.adapters or REFERENCE_ADAPTERS
    baseline = None if arguments.baseline is None else read_baseline(arguments.baseline, specs)
    with _observed("harness certify", arguments) as observation:
        observation.status = _certify_each(specs, arguments, options, baseline, observation)
    return observation.status


@contextlib.contextmanager
def _observed(command: str, arguments: argparse.Namespace) -> Iterator[Observation]:
    """Listen for the length of a block. What it raises decides the exit status, and is told like any other result."""
    with observed(command, arguments.otlp, arguments.metrics) as observation:
        try:
            yield observation
        except BrokenPipeError:
            raise
        except Exception as error:
            observation.status = _complain(error)


def _certify_each(
    specs: Sequence[str],
    arguments: argparse.Namespace,
    options: Options,
    baseline: list[Certificate] | None,
    observation: Observation,
) -> int:
    """The exit status: the worst of all adapters, and of the comparison with `baseline`."""
    certificates: list[Certificate] = []
    statuses: list[int] = []
    for spec in specs:
        try:
            shown = shown_progress(spec, plain=arguments.progress)
            with shown as progress, observation.part("certification", spec) as span:
                certificate = certify_adapter(spec, options, progress, span)
                if arguments.coverage:
                    certificate = with_coverage(certificate, spec, options, progress)
                observation.issued(span, certificate)
        except Exception as error:  # one adapter less, and the others still count
            statuses.append(_complain(error))
            continue
        certificates.append(certificate)
        statuses += [_STATUS[certificate.verdict], status_of(certificate)]
        written = write_reports(certificates, arguments.reports)  # what follows may be interrupted
        print_certificate(certificate, sys.stdout)
    if certificates:
        if arguments.json is not None:
            written.append(write_json(certificates, arguments.json))
        print(f"written: {', '.join(map(str, written))}")
        annotate(certificates)
        if baseline is not None:
            statuses.append(_compare_with(baseline, certificates, arguments.reports))
    return worst(statuses)


def _compare_with(baseline: list[Certificate], certificates: list[Certificate], reports: Path) -> int:
    """The exit status of the comparison, which is written beside the certificates."""
    try:
        result = compared(baseline, certificates)
    except UsageError as error:  # none of those that the baseline is of could be certified
        return _complain(error)
    every = file_names(certificates)
    names = [every[place] for place in result.places]
    tell(result)
    print(f"written: {', '.join(map(str, write_comparisons(result.comparisons, reports, names)))}")
    return result.status


def _survey(arguments: argparse.Namespace) -> int:
    options, spec = _options(arguments, None), arguments.adapter
    with _observed("harness survey", arguments) as observation:
        with shown_progress(spec, plain=arguments.progress) as progress, observation.part("survey", spec) as span:
            result = survey(spec, options, progress, span)
            observation.surveyed(span, result)
        _tell_survey(result)
    return observation.status


def _tell_survey(result: Survey) -> None:
    print(f"{result.store}: the strongest contract that was not refuted\n\n    {result.contract()}\n")
    for row in result.rows:
        print(f"  {row.model:14} {row.describe()}")
    for left_out in (*result.untested, *result.not_exercised):
        print(f"  not tried: {left_out}")
    for note in result.notes:
        print(f"  note: {visible(note)}")


def _endure(arguments: argparse.Namespace) -> int:
    options = EndureOptions(
        duration_s=parse_duration(arguments.duration),
        schedule=Schedule(arguments.rate, arguments.arrivals, arguments.clients, arguments.seed),
        reports=arguments.reports,
        resume=arguments.resume,
        closed_loop=arguments.closed_loop,
        time_limit_s=arguments.time_limit,
        callers=arguments.callers,
    )
    require_writable(arguments.reports)
    with _observed("harness endure", arguments) as observation:
        with observation.part("endurance", arguments.adapter) as span:
            certificate = endure(arguments.adapter, options, span)
            observation.issued(span, certificate)
        observation.status = _STATUS[certificate.verdict]
        written = write_endured(certificate, arguments.reports)
        print_certificate(certificate, sys.stdout)
        print(f"written: {', '.join(map(str, written))}")
    return observation.status


def _list(arguments: argparse.Namespace) -> int:
    width = max(len(scenario.name) for scenario in SCENARIOS)
    for scenario in SCENARIOS:
        print(f"{scenario.name:{width}}  {scenario.claim:13}  {scenario.tries}")
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    directory = arguments.directory or _free_directory(arguments.finding)
    result = replay(
        arguments.certificate,
        arguments.finding,
        directory,
        Options(time_limit_s=arguments.time_limit, jobs=1),
    )
    print(story_text(result.finding))
    print(f"\nthe crash state is in {result.directory} for you to look into")
    print(f"recovered again: {'the same' if result.again else 'not the same'} - {result.seen}")
    return 0


def _pace(arguments: argparse.Namespace) -> int:
    require_writable(arguments.reports)
    if arguments.json is not None:
        require_file(arguments.json)
    options = PaceOptions(seed=arguments.seed, directory=arguments.directory or arguments.reports)
    with _observed("harness pace", arguments) as observation:
        shown = shown_progress(arguments.adapter, plain=arguments.progress)
        with shown as progress, observation.part("comparison", arguments.adapter) as span:
            comparison = pace(arguments.old, arguments.new, arguments.adapter, options, progress, span)
            observation.compared(span, comparison)
        observation.status = _STATUS[comparison.verdict]
        written = write_pace(comparison, arguments.reports, arguments.json)
        print_pace(comparison, sys.stdout)
        print(f"written: {', '.join(map(str, written))}")
    return observation.status


def _free_directory(finding: str) -> Path:
    safe = "".join(char if char.isalnum() or char in "-_" else "-" for char in finding)
    number = 0
    while (path := Path(f"replay-{safe}" + (f"-{number}" if number else ""))).exists():
        number += 1
    return path


def _doctor(arguments: argparse.Namespace) -> int:
    removed = sweep()
    for check in checks():
        mark = "ok " if check.available else "no "
        print(f"{mark} {check.name}: {check.detail}")
        if not check.available:
            print(f"     without it: {check.without}")
    if removed:
        print(f"removed {len(removed)} directories that killed runs had left behind")
    return 0
