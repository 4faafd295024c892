"""The fixtures for a user's own tests: what they strike, what they say, and what they leave behind."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import durability_harness_pytest

pytest_plugins = ["pytester"]

WRITER = '''
import os

def save(directory, text, sync=True):
    """Replace a file; without `sync` its content may come after its name."""
    with open(directory / "new", "w") as file:
        file.write(text)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    os.replace(directory / "new", directory / "kept")

def load(directory):
    return (directory / "kept").read_text() if (directory / "kept").exists() else ""
'''


@pytest.fixture
def repository(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A user's repository in whose runs the plugin is loaded, with a small store in it."""
    home = Path(durability_harness_pytest.__file__).parent
    monkeypatch.setenv("PYTHONPATH", str(home))
    for name in [name for name in os.environ if name.startswith(("COVERAGE_", "COV_", "PYTEST_XDIST"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\naddopts = -p durability_harness_pytest --strict-markers -p no:cacheprovider")
    pytester.makepyfile(writer=WRITER)
    return pytester


def test_each_fault_finds_the_defect_that_it_is_for(repository: pytest.Pytester) -> None:
    """The defect fails its test, and the sound way of doing the same passes."""
    repository.makepyfile(
        """
        import pytest
        from writer import load, save

        @pytest.mark.parametrize("sync", [True, False])
        def test_power(tmp_path, power_cut, sync):
            save(tmp_path, "old")
            def action(acknowledge):
                save(tmp_path, "new", sync)
            assert {load(disk.path) for disk in power_cut(tmp_path, action)} == {"old", "new"}

        @pytest.mark.parametrize("atomic", [True, False])
        def test_kill(tmp_path, killed_writer, atomic):
            save(tmp_path, "old")
            def action(acknowledge):
                if atomic:
                    save(tmp_path, "new")
                else:
                    (tmp_path / "kept").write_text("new")
                acknowledge()
            killed = killed_writer(tmp_path, action, nth=2)
            assert killed.fired == 1 and killed.acknowledged == 0
            assert load(tmp_path) in ("old", "new")

        @pytest.mark.parametrize("swallow", [False, True])
        def test_failing(tmp_path, failing_io, swallow):
            with failing_io(tmp_path, call="fsync", error="EIO") as fault:
                try:
                    save(tmp_path, "new")
                    failed = False
                except OSError:
                    failed = not swallow
            assert fault.fired == 1 and fault.struck[0].call == "fsync"
            assert failed

        @pytest.mark.parametrize("noticed", [True, False])
        def test_damage(tmp_path, damaged, noticed):
            save(tmp_path, "content")
            for copy in damaged(tmp_path):
                kept = copy.path / "kept"
                same = kept.exists() and kept.read_bytes() == b"content"
                assert same is not noticed
        """
    )

    result = repository.runpytest_subprocess()

    result.assert_outcomes(passed=4, failed=4)
    failing = {line.split()[1].partition("::")[2] for line in result.outlines if line.startswith("FAILED")}
    assert failing == {"test_power[False]", "test_kill[False]", "test_failing[True]", "test_damage[False]"}


def test_the_examples_of_the_documentation_run(repository: pytest.Pytester) -> None:
    """All blocks of docs/PYTEST.md are one test module, and its tests pass."""
    text = (Path(durability_harness_pytest.__file__).parent / "docs" / "PYTEST.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (repository.path / "test_document.py").write_text("\n\n".join(blocks))

    result = repository.runpytest_subprocess("-p", "no:randomly")

    assert result.ret == 0 and result.parseoutcomes()["passed"] >= 16


def test_everything_is_put_back(repository: pytest.Pytester) -> None:
    """After each fault the functions of Python are its own again, and a full disk can be freed."""
    repository.makepyfile(
        """
        import datetime, os, time
        import pytest
        from writer import load, save

        REAL = os.write, os.fsync, os.replace, open, time.time, datetime.datetime

        @pytest.fixture(autouse=True)
        def own_functions():
            yield
            assert REAL == (os.write, os.fsync, os.replace, open, time.time, datetime.datetime)

        def test_full(tmp_path, full_disk):
            with full_disk(tmp_path, room_bytes=3) as disk:
                with pytest.raises(OSError, match="No space left"):
                    save(tmp_path, "more than three")
                assert (tmp_path / "new").read_text() == "mor"
                disk.free()
                save(tmp_path, "more than three")
            assert load(tmp_path) == "more than three" and disk.fired >= 1

        def test_clock(skewed_clock):
            before = time.time()
            with skewed_clock(seconds=-86_400 * 365 * 60) as clock:
                assert datetime.datetime.now().year < 1970
                assert time.time() < 0 and time.time_ns() < 0
                clock.step(86_400 * 365 * 90)
                assert time.gmtime().tm_year > 2038 and time.strftime("%Y") > "2038"
                assert isinstance(datetime.datetime.now(), datetime.datetime)
            assert abs(time.time() - before) < 3600 and clock.fired

        def test_two_at_once(tmp_path, failing_io, full_disk):
            with failing_io(tmp_path, "replace", "EIO") as first, full_disk(tmp_path, 100) as second:
                with pytest.raises(OSError):
                    save(tmp_path, "x")
                with pytest.raises(OSError):
                    save(tmp_path, "x" * 200)
            assert first.fired and second.fired
            save(tmp_path, "x" * 200)

        def test_interrupted(tmp_path, failing_io):
            with pytest.raises(KeyError):
                with failing_io(tmp_path, "fsync") as fault:
                    with pytest.raises(OSError):
                        save(tmp_path, "x")
                    raise KeyError
        """
    )

    repository.runpytest_subprocess().assert_outcomes(passed=4)


def test_a_fault_that_never_fired_is_an_error(repository: pytest.Pytester) -> None:
    """Not of the test, which may be right, but at its end; unless it says so, or failed itself."""
    repository.makepyfile(
        """
        def test_idle(tmp_path, failing_io):
            with failing_io(tmp_path, "fsync"):
                pass

        def test_allowed(tmp_path, failing_io, power_cut):
            with failing_io(tmp_path, "fsync", may_not_fire=True):
                pass
            assert not list(power_cut(tmp_path, lambda: None, may_not_fire=True))

        def test_failed(tmp_path, power_cut):
            power_cut(tmp_path, lambda: None)
            assert False
        """
    )

    result = repository.runpytest_subprocess("-p", "no:randomly")

    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*NeverFired: the fault never fired: EIO in fsync number 1: *may_not_fire=True.*"])


def test_bad_input_is_one_sentence(repository: pytest.Pytester) -> None:
    """What does not exist, and what can never fire, is said when the fault is made."""
    repository.makepyfile(
        """
        import pytest
        from harness import HarnessError, UsageError

        def test_all(tmp_path, failing_io, power_cut, killed_writer, damaged, full_disk, skewed_clock):
            none = lambda: None
            for make, message in (
                (lambda: failing_io(tmp_path, "fsync", "EWHAT"), "there is no error 'EWHAT'"),
                (lambda: failing_io(tmp_path, "fsnyc"), "no call 'fsnyc' can fail with EIO"),
                (lambda: failing_io(tmp_path, nth=0), "can't fire"),
                (lambda: failing_io(tmp_path / "none"), "create it first"),
                (lambda: power_cut(tmp_path, none, "ext5"), "there is no persistence model 'ext5'"),
                (lambda: power_cut(tmp_path, none, limit=0), "leaves no disk"),
                (lambda: killed_writer(tmp_path, none, nth=0), "can't fire"),
                (lambda: damaged(tmp_path, limit=0), "leaves no copy"),
                (lambda: full_disk(tmp_path, -1), "less than nothing"),
                (lambda: skewed_clock(float("nan")), "no time"),
            ):
                with pytest.raises(UsageError, match=message) as caught:
                    make()
                assert len(str(caught.value).splitlines()) == 1
        """
    )

    repository.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_writer_may_fail_or_not_be_reached(repository: pytest.Pytester) -> None:
    """What the child raised is raised; a child that ends by itself was not killed."""
    repository.makepyfile(
        """
        import pytest
        from writer import save

        def test_raises(tmp_path, killed_writer):
            def action():
                raise LookupError("no such thing")
            with pytest.raises(LookupError, match="no such thing"):
                killed_writer(tmp_path, action)

        def test_unreached(tmp_path, killed_writer):
            killed = killed_writer(tmp_path, lambda: save(tmp_path, "x"), nth=99, may_not_fire=True)
            assert killed.fired == 0 and (tmp_path / "kept").exists()
        """
    )

    repository.runpytest_subprocess().assert_outcomes(passed=2)


def test_the_tests_are_marked_and_limited_and_run_side_by_side(repository: pytest.Pytester) -> None:
    """`-m faults` chooses them; pytest-timeout gets a default for them only, and less where the user says so."""
    repository.makepyfile(
        """
        import pytest
        from writer import save

        @pytest.fixture
        def damaged():
            return "mine"

        def limit(request):
            marker = request.node.get_closest_marker("timeout")
            return marker.args if marker else None

        def test_default(tmp_path, failing_io, request):
            assert limit(request) == (120,)
            with failing_io(tmp_path, "fsync"), pytest.raises(OSError):
                save(tmp_path, "x")

        @pytest.mark.timeout(7)
        def test_own(tmp_path, full_disk, request):
            assert limit(request) == (7,)
            with full_disk(tmp_path), pytest.raises(OSError):
                save(tmp_path, "x")

        def test_own_fixture(damaged, request):
            assert damaged == "mine" and limit(request) is None
            assert request.node.get_closest_marker("faults") is None
        """
    )

    repository.runpytest_subprocess("-p", "timeout", "-p", "xdist", "-n", "2").assert_outcomes(passed=3)
    chosen = repository.runpytest_subprocess("-p", "timeout", "-m", "faults")
    chosen.assert_outcomes(passed=2, deselected=1)


def test_a_repository_with_a_harness_and_scenarios_of_its_own(repository: pytest.Pytester) -> None:
    """Its tests run with its own packages; only a test that asks for a fault is told what is in its way."""
    for name in ("harness", "scenarios"):
        repository.mkpydir(name)
    (repository.path / "harness" / "__init__.py").write_text("MINE = True\n")
    (repository.path / "scenarios" / "test_inside.py").write_text("def test_inside():\n    import harness\n")
    repository.makeconftest("import sys; sys.path.insert(0, '.')")
    repository.makepyfile(
        """
        import harness, scenarios

        def test_own():
            assert harness.MINE

        def test_fault(failing_io):
            pass
        """
    )

    result = repository.runpytest_subprocess()

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*'harness' is */harness, another package of the same name*"])
