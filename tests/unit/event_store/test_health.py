"""Facts become a status, reasons and alerts."""

from __future__ import annotations

from pathlib import Path

import pytest

from store_under_test.event_store.health import DiskWatch, Facts, Pace, Thresholds, assess, used_ratio


def test_all_is_well() -> None:
    health = assess(Facts())
    assert (health.status, health.reasons, health.alerts) == ("ok", (), ())


@pytest.mark.parametrize(
    ("facts", "status", "reason", "alert"),
    [
        (Facts(refuses="no space left"), "degraded", "for now: no space left", "not_writable"),
        (Facts(refuses="fsync failed", fatal=True), "failed", "opened again: fsync failed", "not_writable"),
        (Facts(damage=("x.log, bytes 1 to 2",)), "failed", "damaged: x.log", "not_writable"),
        (Facts(disk_used_ratio=0.95), "degraded", "the disk is 95.0% full", "disk_full"),
        (Facts(slow_share=0.05), "degraded", "5% of the last appends took over 0.1 s", "slow"),
        (Facts(failed_in_a_row=1), "ok", None, "appends_fail"),
        (Facts(views_rebuilt=1), "ok", None, "views_rebuilt"),
        (Facts(subscriber_lag=100_000), "ok", None, "subscriber_lags"),
    ],
)
def test_each_trouble_has_its_status_and_alert(facts: Facts, status: str, reason: str | None, alert: str) -> None:
    health = assess(facts)
    assert health.status == status
    assert [one.name for one in health.alerts] == [alert]
    assert len(health.reasons) == (reason is not None)
    assert reason is None or reason in health.reasons[0]


def test_just_below_every_threshold_nothing_is_said() -> None:
    facts = Facts(disk_used_ratio=0.9499, slow_share=0.0499, subscriber_lag=99_999)
    assert assess(facts) == assess(Facts())


def test_the_gravest_comes_first() -> None:
    """A failure before what is merely degraded, and a disk is critical or a warning, not both."""
    health = assess(Facts(refuses="fsync failed", fatal=True, disk_used_ratio=0.995))
    assert health.status == "failed"
    assert ["opened again" in reason for reason in health.reasons] == [True, False]
    assert [(alert.name, alert.severity) for alert in health.alerts] == [
        ("not_writable", "critical"),
        ("disk_full", "critical"),
    ]


def test_slowness_is_a_matter_of_many_appends() -> None:
    """One slow append is no trend, and fast ones push it out of the window again."""
    pace = Pace(Thresholds(slow_append_s=0.1, slow_window=10))
    pace.took(1.0)
    assert pace.slow_share == 0
    for _ in range(4):
        pace.took(0.1)
    assert pace.slow_share == 0.2
    pace.failed()
    pace.failed()
    assert pace.failed_in_a_row == 2
    for _ in range(10):
        pace.took(0.0)
    assert (pace.slow_share, pace.failed_in_a_row) == (0, 0)


def test_the_disk_is_asked_once_in_a_while() -> None:
    """And what it said last stands when it does not answer."""
    now, answers = [0.0], [0.5, OSError(5, "no answer"), 0.97]

    def measure(directory: str) -> float:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    watch = DiskWatch("d", lambda: now[0], every_s=5, measure=measure)
    seen = []
    for moment in (0.0, 4.9, 5.0, 10.0):
        now[0] = moment
        seen.append(watch.ratio())
    assert seen == [0.5, 0.5, 0.5, 0.97]


def test_a_real_file_system_is_between_empty_and_full(tmp_path: Path) -> None:
    assert 0 <= used_ratio(str(tmp_path)) <= 1
