"""`pytest --certify`, and what the plugin does to a repository that does not ask for it: nothing.

The runs have folders of their own, and a stand-in for the runner issues made-up certificates.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import durability_harness_pytest

pytest_plugins = ["pytester"]

STAND_IN = '''
"""Issues the certificates of stores.py, and notes in issued.txt each time that it does."""
import dataclasses
import sys
import types
from pathlib import Path

import harness.report

HERE = Path(__file__).parent


@dataclasses.dataclass
class Options:
    profile: str = "standard"
    reports: Path | None = None


def certify_adapter(adapter, options, progress=None, span=None):
    from stores import certificate
    with open(HERE / "issued.txt", "a") as notes:
        notes.write(f"{adapter} {options.profile}\\n")
    return certificate(adapter)


def scenario_names():
    return ["process_kill", "power_loss", "corruption"]


def stand_in(name, **attributes):
    module = types.ModuleType(name)
    module.__dict__.update(attributes)
    sys.modules[name] = module


stand_in("harness.run.certify", Options=Options, certify_adapter=certify_adapter)
stand_in("harness.run.scenarios", scenario_names=scenario_names)
stand_in("harness.report.console", story_text=lambda finding: f"the story of {finding.id}")
'''

STORES = '''
from harness import UsageError, Verdict
from harness.core.evidence import Certificate, ClaimResult, Evidence, Finding
from harness.run.weighing import LEFT_OUT

VERDICTS = {
    "sound": {"process_kill": Verdict.PASS, "power_loss": Verdict.PASS},
    "lossy": {"process_kill": Verdict.PASS, "power_loss": Verdict.FAIL},
    "untried": {"process_kill": Verdict.PASS, "power_loss": Verdict.UNKNOWN},
    "untested": {"process_kill": Verdict.PASS},
    "twice": {"process_kill": Verdict.PASS, "power_loss": Verdict.FAIL, "corruption": Verdict.FAIL},
    "ordered": {"process_kill": Verdict.FAIL, "power_loss": Verdict.FAIL},
    "bare": {"process_kill": Verdict.FAIL, "power_loss": Verdict.PASS},
    "shown": {"power_loss": Verdict.FAIL, "corruption": Verdict.UNKNOWN},
    "hidden": {"power_loss": Verdict.UNKNOWN, "corruption": Verdict.UNKNOWN},
}


def evidence(scenario, verdict):
    claim = "process_crash" if scenario == "process_kill" else "power_loss"
    reasons = (LEFT_OUT if scenario == "corruption" else "the fault never fired",)
    return Evidence(scenario, claim, verdict, "strict", 9, 9, 9, True, 9, 0.1, 0, reasons=reasons)


def claims(shown):
    found = {item.claim: item for item in shown}
    for name in ("process_crash", "power_loss"):
        verdict = found[name].verdict if name in found else Verdict.UNKNOWN
        reasons = () if name in found else ("nothing could test it",)
        yield ClaimResult(name, "acknowledged", verdict, (), reasons)


def certificate(adapter):
    if adapter == "missing":
        raise UsageError("missing names no adapter: write package.module:Class.")
    shown = tuple(evidence(*item) for item in VERDICTS[adapter].items())
    findings = ()
    if adapter in ("lossy", "twice"):
        models, operations = ("strict",), ("Put('k', 'v')",)
        findings = (Finding("f1", "power_loss", "power_loss", "Put(k) is gone", "lost_acknowledged", models,
                            operations, None, "harness replay c f1"),)
    if adapter == "ordered":
        models, operations = ("process-crash", "strict"), ("Put('k', 'v')",)
        findings = (Finding("f1", "process_kill", "process_crash", "Put(k) is gone", "lost_acknowledged", models,
                            operations, None, "harness replay c f1"),)
    return Certificate(adapter, adapter, tuple(claims(shown)), shown, findings, 0, "standard", "now", {}, {})
'''


@pytest.fixture
def repository(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A user's repository, in whose runs this distribution can be imported and its plugin is loaded."""
    home = Path(durability_harness_pytest.__file__).parent
    monkeypatch.setenv("PYTHONPATH", str(home))
    for name in [name for name in os.environ if name.startswith(("COVERAGE_", "COV_", "PYTEST_XDIST"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\naddopts = -p durability_harness_pytest --strict-markers")
    return pytester


@pytest.fixture
def certifying(repository: pytest.Pytester) -> pytest.Pytester:
    """The same with the stand-in for the runner."""
    repository.makeconftest(STAND_IN)
    repository.makepyfile(stores=STORES)
    return repository


def issued(pytester: pytest.Pytester) -> list[str]:
    return (pytester.path / "issued.txt").read_text().splitlines()


def shadow(pytester: pytest.Pytester) -> None:
    """Give the repository a `harness` and a `scenarios` of its own."""
    for name in ("harness", "scenarios"):
        pytester.mkpydir(name)
    (pytester.path / "harness" / "__init__.py").write_text("MINE = True\n")


def test_a_broken_claim_fails_the_item_of_its_scenario_with_the_story(certifying: pytest.Pytester) -> None:
    """FAIL is a failing test whose message is the summary and the story, without a traceback of ours."""
    result = certifying.runpytest_inprocess("--certify", "lossy")

    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*FAIL: Put(k) is gone", "the story of f1"])
    result.stdout.no_fnmatch_line("*pytest_plugin.py*Error*")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_store_that_keeps_its_claims_passes(certifying: pytest.Pytester) -> None:
    """PASS passes; a scenario without a claim to break is skipped; the store is certified once."""
    result = certifying.runpytest_inprocess("--certify", "sound")

    result.assert_outcomes(passed=3, skipped=1)
    assert issued(certifying) == ["sound standard"]


def test_unknown_fails_with_its_reason(certifying: pytest.Pytester) -> None:
    """What was not tried did not pass."""
    result = certifying.runpytest_inprocess("--certify", "untried")

    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*UNKNOWN: power_loss under strict: the fault never fired"])


def test_what_was_left_out_is_no_failure_where_its_reason_is_one(certifying: pytest.Pytester) -> None:
    """One broken promise is one failing test, and not one for each scenario that needed nothing more to see."""
    result = certifying.runpytest_inprocess("--certify", "shown", "-rsf")

    result.assert_outcomes(passed=0, failed=2, skipped=2)
    result.stdout.fnmatch_lines(["*corruption: left out, because power_loss has broken power_loss already"])
    result.stdout.fnmatch_lines(["FAILED certify::shown::power_loss *", "FAILED certify::shown::contract *"])


def test_what_was_left_out_fails_where_nothing_else_would(certifying: pytest.Pytester) -> None:
    """Where the item that shows the broken promise was not chosen, or there is none, nothing may look green."""
    alone = certifying.runpytest_inprocess("--certify", "shown", "-k", "corruption")
    alone.assert_outcomes(failed=1, deselected=3)
    alone.stdout.fnmatch_lines(["*UNKNOWN: power_loss under strict: left out, because*"])
    certifying.runpytest_inprocess("--certify", "hidden", "-k", "corruption").assert_outcomes(failed=1, deselected=3)


def test_the_certificate_that_a_replay_names_is_there(certifying: pytest.Pytester) -> None:
    """In pytest's cache, with its page; the end of the run says where. What an earlier run kept is replaced."""
    for adapter in ("lossy", "sound"):
        result = certifying.runpytest_inprocess("--certify", adapter)
        kept = f".pytest_cache/d/durability-harness/0/{adapter}"
        result.stdout.fnmatch_lines([f"certificate: {kept}.json, {kept}.html"])
        assert (certifying.path / f"{kept}.json").is_file() and (certifying.path / f"{kept}.html").is_file()
    assert not (certifying.path / ".pytest_cache/d/durability-harness/0/lossy.json").exists()


def test_without_a_cache_nothing_is_kept(certifying: pytest.Pytester) -> None:
    """And nothing is said."""
    result = certifying.runpytest_inprocess("--certify", "sound", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=3, skipped=1)
    result.stdout.no_fnmatch_line("certificate: *")


def test_a_claim_that_no_scenario_tested_fails_the_item_of_the_contract(certifying: pytest.Pytester) -> None:
    """A claim without evidence belongs to no scenario, and must not get lost between them."""
    result = certifying.runpytest_inprocess("--certify", "untested")

    result.assert_outcomes(passed=1, failed=1, skipped=2)
    result.stdout.fnmatch_lines(["*UNKNOWN: power_loss = 'acknowledged': nothing could test it"])


def test_an_adapter_that_cannot_run_is_one_sentence(certifying: pytest.Pytester) -> None:
    """Misuse of the harness shows its sentence, for every item the same, and is not tried again."""
    result = certifying.runpytest_inprocess("--certify", "missing")

    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(["missing names no adapter: write package.module:Class."])
    assert issued(certifying) == ["missing standard"]


def test_one_finding_is_told_by_every_scenario_that_saw_it(certifying: pytest.Pytester) -> None:
    """A defect is filed under the scenario that saw it first; others that met it tell it too."""
    result = certifying.runpytest_inprocess("--certify", "twice", "-k", "corruption")

    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["the story of f1"])


def test_what_a_kill_breaks_is_told_for_the_power_cut_too(certifying: pytest.Pytester) -> None:
    """One defect is one finding, of the claim that says most; the other claim that it breaks tells the same."""
    result = certifying.runpytest_inprocess("--certify", "ordered", "-k", "power_loss")

    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["the story of f1"])


def test_a_broken_claim_without_a_finding_fails_all_the_same(certifying: pytest.Pytester) -> None:
    """The verdict decides, not whether there is a story to tell."""
    result = certifying.runpytest_inprocess("--certify", "bare", "-k", "process_kill")

    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["*FAIL: process_kill broke process_crash"])


def test_an_unforeseen_exception_keeps_its_traceback(certifying: pytest.Pytester) -> None:
    """A fault of the harness itself is for its developers, who need the place."""
    result = certifying.runpytest_inprocess("--certify", "nobody", "-k", "process_kill")

    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["*KeyError*"])


def test_several_adapters_and_a_profile(certifying: pytest.Pytester) -> None:
    """`--certify` is repeatable; naming an adapter twice certifies it once."""
    adapters = ["--certify", "sound", "--certify", "lossy", "--certify", "sound"]
    result = certifying.runpytest_inprocess(*adapters, "--certify-profile", "quick")

    result.assert_outcomes(passed=5, failed=1, skipped=2)
    assert issued(certifying) == ["sound quick", "lossy quick"]


def test_workers_of_xdist_share_one_certificate(certifying: pytest.Pytester) -> None:
    """Two processes run the items; only one of them certifies, and the verdicts are the same."""
    result = certifying.runpytest_subprocess("-p", "xdist", "-n", "2", "--certify", "lossy")

    result.assert_outcomes(passed=2, failed=1, skipped=1)
    assert issued(certifying) == ["lossy standard"]


def test_the_time_limit_of_single_tests_does_not_cut_a_certification_short(
    certifying: pytest.Pytester,
) -> None:
    """Whichever item comes first pays for all, so that the limit of pytest-timeout is lifted for them."""
    result = certifying.runpytest_inprocess("-p", "timeout", "--timeout", "1e-6", "--certify", "sound")

    result.assert_outcomes(passed=3, skipped=1)


def test_scenarios_can_be_chosen_like_tests(certifying: pytest.Pytester) -> None:
    """`-m certify` leaves the repository's own tests out, `-k` chooses scenarios."""
    certifying.makepyfile(test_own="def test_own(): pass")

    certifying.runpytest_inprocess("--certify", "sound").assert_outcomes(passed=4, skipped=1)
    chosen = certifying.runpytest_inprocess("--certify", "sound", "-m", "certify", "-k", "power_loss")
    chosen.assert_outcomes(passed=1, deselected=4)


def test_a_foreign_harness_is_one_clear_error(repository: pytest.Pytester) -> None:
    """With `--certify`, a folder `harness` that shadows ours is a usage error that names the folder."""
    shadow(repository)
    repository.makeconftest("import sys; sys.path.insert(0, '.')")

    result = repository.runpytest_subprocess("--certify", "stores:Store")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: durability-harness: 'harness' is {repository.path}/harness, *"])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_a_foreign_harness_that_is_already_imported_is_seen(repository: pytest.Pytester) -> None:
    """The check looks at what an import would give, not at what is installed."""
    shadow(repository)
    repository.makeconftest("import sys; sys.path.insert(0, '.'); import harness; sys.path.pop(0)")

    assert repository.runpytest_subprocess("--certify", "a:B").ret == pytest.ExitCode.USAGE_ERROR


def test_without_certify_a_repository_keeps_its_own_harness(repository: pytest.Pytester) -> None:
    """The plugin is loaded, imports no `harness`, and the repository's own packages are the ones found."""
    shadow(repository)
    repository.makepyfile(
        """
        import sys

        def test_own_packages():
            assert "durability_harness_pytest" in sys.modules
            assert "harness" not in sys.modules
            import harness, scenarios
            assert harness.MINE and "site-packages" not in scenarios.__file__
        """
    )

    repository.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_plugin_module_imports_nothing_but_the_standard_library() -> None:
    """Not even pytest: the console script goes through the same module."""
    code = "import sys, durability_harness_pytest; print({'pytest', 'harness'} & set(sys.modules))"
    home = Path(durability_harness_pytest.__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_the_console_script_refuses_a_foreign_harness(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 and one line that names the folder, instead of a traceback."""
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").touch()
    home = str(Path(durability_harness_pytest.__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), home])}
    code = "import sys, durability_harness_pytest; sys.exit(durability_harness_pytest.main())"

    done = subprocess.run([sys.executable, "-P", "-c", code], env=environment, check=False)

    error = capfd.readouterr().err
    assert done.returncode == 2
    assert str(tmp_path / "harness") in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("kind", ["namespace", "absent"])
def test_no_harness_at_all_is_told(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare folder of that name is named; where there is nothing, the sentence says what to install."""
    monkeypatch.delitem(sys.modules, "harness", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if "Path" in str(finder)])
    if kind == "namespace":
        (tmp_path / "harness").mkdir()

    problem = durability_harness_pytest.foreign_harness()

    assert problem is not None
    assert (str(tmp_path) if kind == "namespace" else "pip install") in problem


def test_our_own_harness_is_accepted() -> None:
    """The marker file beside the package says that it is this one."""
    assert durability_harness_pytest.foreign_harness() is None
