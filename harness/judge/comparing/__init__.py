"""What changed between two certificates of one store: pure functions over values.

Nothing here knows the store. What can't be compared is said, and counts as undecided; where two searches differ
(another profile, seed or version of the harness), what they tried is not compared at all.
"""

from harness.judge.comparing.whole import Tolerance, compare

__all__ = ["Tolerance", "compare"]
