"""What an exploring process remembers of recoveries: the states that they hold for, and what they did."""

from __future__ import annotations

from harness.core.trace import Trace
from harness.crash.states import CrashState
from harness.judge.recovery import Recovery


class Alike:
    """Recoveries that hold for more states than the one that was run: those that differ in unopened files only."""

    def __init__(self) -> None:
        self._unopened: dict[frozenset[str], None] = {}
        self._found: dict[tuple[frozenset[str], int], tuple[int, Recovery]] = {}
        self._representative: dict[int, int] = {}

    def find(self, state: CrashState) -> Recovery | None:
        for paths in self._unopened:
            reduced = state.key_without(paths)
            if reduced is not None and (paths, reduced) in self._found:
                key, recovery = self._found[paths, reduced]
                self._representative[state.key] = key
                return recovery
        return None

    def learn(self, state: CrashState, recovery: Recovery, opened: frozenset[str] | None) -> None:
        names = state.file_names()
        if opened is None or names is None:
            return
        paths = frozenset(path for path in names if path.rpartition("/")[2] not in opened)
        reduced = state.key_without(paths) if paths else None
        if reduced is not None:
            self._unopened[paths] = None
            self._found[paths, reduced] = (state.key, recovery)

    def representative(self, key: int) -> int:
        """The key of the state that was run for the state with this key."""
        return self._representative.get(key, key)


class Recordings:
    """Traces of recoveries by the key of the state they began with, as many as `ROOM_BYTES` hold."""

    ROOM_BYTES = 64 * 2**20
    EVENT_BYTES = 1024

    def __init__(self) -> None:
        self._traces: dict[int, Trace | None] = {}
        self._used_bytes = 0

    def __contains__(self, key: int) -> bool:
        return key in self._traces

    def keep(self, key: int, trace: Trace | None) -> None:
        if self._used_bytes > self.ROOM_BYTES:
            self._traces.clear()
            self._used_bytes = 0
        self._traces[key] = trace
        if trace is not None:
            contents = sum(len(node.content) for node in trace.base.nodes.values())
            self._used_bytes += contents + self.EVENT_BYTES * len(trace.events)

    def take(self, key: int) -> Trace | None:
        return self._traces[key]
