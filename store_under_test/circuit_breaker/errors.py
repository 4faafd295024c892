"""What a breaker raises of its own. Exceptions of the protected call pass through unchanged."""

from __future__ import annotations


class CircuitOpenError(Exception):
    """The call was rejected and the dependency not touched.

    `state` is the state that rejected it. `retry_after_s` says after how many seconds a trial is possible; `None` where
    that is not known: an operator has opened the circuit, or all trial calls are taken.
    """

    def __init__(self, name: str, state: str, retry_after_s: float | None) -> None:
        super().__init__(name, state, retry_after_s)
        self.name = name
        self.state = state
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        when = "" if self.retry_after_s is None else f"; a trial is possible in {self.retry_after_s:g} s"
        return f"circuit {self.name!r} is {self.state}{when}"
