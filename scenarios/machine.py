"""Hypothesis combines operations and faults of every kind, and shrinks what breaks a promise to a short program."""

from harness.core.scenario import Scenario


def _hunt(name: str, claim: str, fault: str) -> Scenario:
    """All faults that the contract speaks of take part; what counts is what breaks this claim."""
    return Scenario(
        name=f"machine-{name}",
        claim=claim,
        tries=f"find a short program of operations and faults in which {fault}",
        faults=("power cuts", "kills", "failing calls", "failed syncs", "full disks", "damaged files", "turned clocks"),
        family="short",
        minimum_operations=2,
        engine="machine",
    )


SCENARIOS = (
    _hunt("kill", "process_crash", "a killed process or a turned clock loses data"),
    _hunt("power-cut", "power_loss", "a power cut loses data"),
    _hunt("failing-call", "io_error", "a call that fails, or a full disk, does harm"),
    _hunt("damage", "corruption", "damage to a file goes unnoticed"),
)
