"""A load, a clock and the bare disk beside it: is the store as fast and as small as it says?"""

from harness.core.limits import LIMITS_CLAIM
from harness.core.scenario import MEASURE_ENGINE, Scenario

SCENARIOS = (
    Scenario(
        name="limits",
        claim=LIMITS_CLAIM,
        tries="run operations one after another, with the bare disk measured between them, and hold times and memory "
        "against the limits that the adapter declares",
        faults=("a load",),
        family="short",
        engine=MEASURE_ENGINE,
    ),
)
