"""Several clients use one store at the same time, as far as its contract lets them."""

from harness.core.scenario import Scenario

SCENARIOS = (
    Scenario(
        name="writers-threads",
        claim="writers",
        tries="let threads that share one handle take turns at their I/O calls and locks, on many schedules",
        faults=("switch of threads",),
        family="pairs",
        minimum_operations=3,
        engine="writers-threads",
    ),
    Scenario(
        name="writers-processes",
        claim="writers",
        tries="stop one process at each of its I/O calls, let another one carry out whole operations, and go on",
        faults=("stopped process",),
        family="pairs",
        minimum_operations=3,
        engine="writers-processes",
    ),
    Scenario(
        name="writers-kills",
        claim="writers",
        tries="kill one process at each of its I/O calls, perhaps with a lock in its hands, while another one works",
        faults=("kill while others work",),
        family="pairs",
        minimum_operations=3,
        engine="writers-kills",
    ),
    Scenario(
        name="writers-clocks",
        claim="writers",
        tries="stop one process at each of its I/O calls, set the wall clock, let another one work, and go on",
        faults=("stopped process", "clock steps"),
        family="pairs",
        minimum_operations=3,
        engine="writers-clocks",
        thorough=True,
    ),
    Scenario(
        name="writers-full-disk",
        claim="writers",
        tries="fail a call of one process, or fill the disk for one of its operations, while another one works",
        faults=("stopped process", "full disk", "failing call"),
        family="pairs",
        minimum_operations=3,
        engine="writers-full-disk",
        thorough=True,
    ),
    Scenario(
        name="writers-races",
        claim="writers",
        tries="let several processes work at once, at their own speed, and kill one now and then",
        faults=("race", "kill while others work"),
        family="crowds",
        minimum_operations=3,
        engine="writers-races",
    ),
)
