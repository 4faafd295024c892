"""What a run is asked to do."""

from __future__ import annotations

import os

import pytest

from harness import UsageError
from harness.run.options import PROFILES, Options


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"profile": "slow"}, "there is no profile 'slow': say one of quick, standard, exhaustive"),
        ({"jobs": 0}, "--jobs 0 leaves nobody to work"),
        ({"time_limit_s": 0.0}, "--time-limit 0 leaves no time"),
        ({"time_limit_s": -1.0}, "--time-limit -1 leaves no time"),
        ({"time_limit_s": float("nan")}, "--time-limit nan leaves no time"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object], told: str) -> None:
    """In a sentence that says what to say instead."""
    with pytest.raises(UsageError, match=told):
        Options(**wrong)  # type: ignore[arg-type]


def test_the_defaults_are_those_of_the_command_line() -> None:
    """Standard profile, seed 0, ten seconds for a call, all cores that may be used."""
    options = Options()

    assert (options.profile, options.seed, options.time_limit_s, options.resume) == ("standard", 0, 10.0, False)
    assert 1 <= options.jobs <= (os.cpu_count() or 1)
    assert options.budget is PROFILES["standard"]


def test_a_system_without_affinity_has_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS does not tell which ones a process may use."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)

    assert Options().jobs == 1


def test_each_profile_tries_more_than_the_one_before() -> None:
    """Workloads, states and samples."""
    quick, standard, exhaustive = (PROFILES[name] for name in ("quick", "standard", "exhaustive"))

    assert quick.extent.short < standard.extent.short < exhaustive.extent.short
    assert quick.limits.states_per_point < standard.limits.states_per_point < exhaustive.limits.states_per_point
    assert quick.samples < standard.samples < exhaustive.samples
    for profile in (quick, standard, exhaustive):
        whole, sparse = profile.limits_of(sparse=False), profile.limits_of(sparse=True)
        assert whole is profile.limits and 0 < sparse.bounded_per_point < whole.bounded_per_point
        assert 0 < sparse.states_per_point < whole.states_per_point and 0 < sparse.states < whole.states
