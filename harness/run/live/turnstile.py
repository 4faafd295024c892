"""Threads of one process take turns: one runs, until it comes to a step at which a schedule lets the next one go on.

Steps are I/O calls of the store and operations on locks that it makes while it is watched. A thread that waits for such
a lock gives its turn away, and is back in the row when the lock is free, so that the same schedule leads to the same
course. A thread that waits for anything else - a clock, the kernel, a condition that a thread of the store's own will
signal - is noticed because it sleeps, or tries the same again and again, and loses its turn too. Threads of the store's
own are not held up.

A thread can also be held back where it has one lock and asks for another (`Stand`), until others stand where they
should, or nobody else can go on.
"""

from __future__ import annotations

import _thread
import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from harness.core.trace import CallSite
from harness.inject.kills import Called
from harness.inject.writers import Stand
from harness.judge.lock_order import Hold, place
from harness.record import kernel
from harness.record import originals as real
from harness.record.callsite import STORE_FILES, CallSites, call_site
from harness.record.kernel import Call
from harness.run.live.gates import concerns
from harness.run.live.lockwatch import LockWatch
from harness.run.live.polling import repeats

_SITES = CallSites()
#: How often it is looked whether a thread sleeps, how many looks in a row say so, and how many that it will for long.
_LOOK_S = 0.002
_LOOKS = 3
_LONG_LOOKS = 25
#: The same for a row of threads of which none goes on.
PATIENCE_S = 10.0
_NOBODY = -1


@dataclass(slots=True)
class Member:
    """One of the threads that take turns. Its `baton` is held while it is not `called` to go on. `waits` is the lock
    that it waits for; `limited` tells that it gives up after some time; `waits_for_file` is a lock that it waits for in
    the kernel; `kept` is where it is held back. `course` are its I/O calls, and `trail` the lines of its last steps.
    `inside` tells that it is in a call and keeps its turn until that is made. `steps` are the numbers of the steps at
    which the calls of the course were made."""

    place: int
    baton: Any = field(default_factory=_thread.allocate_lock)
    ready: bool = True
    called: bool = False
    done: bool = False
    waits: Any = None
    limited: bool = False
    waits_for_file: Hold | None = None
    kept: Stand | None = None
    inside: bool = False
    thread: threading.Thread | None = None
    course: list[Called] = field(default_factory=list)
    trail: list[CallSite | None] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Switch:
    """A thread that had to stop: which, at which of its calls (from 0), and the line at which it stood."""

    place: int
    call: int
    site: CallSite | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A thread that will never go on: the lines of the store on its stack, the innermost first, and those in which it
    took the locks that it has."""

    place: int
    stack: tuple[CallSite, ...]
    held: tuple[CallSite, ...] = ()

    @property
    def site(self) -> CallSite:
        return self.stack[0]


class Turnstile:
    """Decides which of some threads goes on. A gate for I/O calls (`harness.record.kernel`)."""

    def __init__(
        self, directory: Any, count: int, switches: Collection[int], stands: Collection[Stand] = ()
    ) -> None:
        self.members = [Member(place) for place in range(count)]
        self.locks = LockWatch(count)
        self.steps = 0
        self.switched: list[Switch] = []
        self.stuck = False
        self.in_cycle = False
        self._within = os.path.realpath(directory)
        self._switches = frozenset(switches)
        self._stands = list(stands)
        self._before = frozenset(sys._current_frames())
        self._mutex = _thread.allocate_lock()
        self._current = 0
        self._known: dict[int, Member] = {}
        for member in self.members:
            member.baton.acquire()

    # --- the threads -----------------------------------------------------------------------------

    def run(self, works: list[Callable[[], None]]) -> bool:
        """Run all works, each in a thread, until they have ended; `False` if some of them never will."""
        for member, work in zip(self.members, works, strict=True):
            member.thread = threading.Thread(target=self._member, args=(member, work), daemon=True)
            member.thread.start()
        with self._mutex:
            self._call(self.members[0])
        self._watch()
        return not self.stuck

    def _member(self, member: Member, work: Callable[[], None]) -> None:
        self._known[_thread.get_ident()] = member
        self._await(member)
        try:
            work()
        finally:
            with self._mutex:
                member.done, member.ready = True, False
                self._pass_on(member)

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        """A call of the store is a step."""
        member = self._known.get(_thread.get_ident())
        if member is not None and concerns(self._within, call):
            site = _SITES.resolve(*call_site(2))
            if not member.inside:
                self.step(site)
            member.course.append(Called(call.name.removeprefix("file_"), site))
            member.steps.append(self.steps)
            if call.name == "flock":
                return self._flock(member, call, make, site)
            if call.group == kernel.CLOSE:
                self.locks.file_closed(call.descriptor)
        return make()

    def _flock(self, member: Member, call: Call, make: Callable[..., Any], site: CallSite | None) -> Any:
        """A lock that it has already is let go of first, also by one that fails (flock(2))."""
        wanted = self.locks.file_lock(call, site)
        self.locks.file_freed(call.descriptor)
        if call.flags & fcntl.LOCK_UN:
            return make()
        if not call.flags & fcntl.LOCK_NB:
            self.asks(member, wanted)
            member.waits_for_file = wanted
        try:
            result = make()
        finally:
            member.waits_for_file = None
        self.locks.took(member.place, wanted)
        return result

    def step(self, site: CallSite | None = None) -> None:
        """The thread that calls this comes to a step; it returns when it is its turn."""
        member = self._known.get(_thread.get_ident())
        if member is None:
            return
        self._regain(member)
        with self._mutex:
            self.steps += 1
            member.trail.append(site)
            scheduled, polling = self.steps in self._switches, repeats(member.trail)
            following = self._next(member, held_back=polling) if scheduled or polling else None
            if polling:
                member.trail.clear()
            if following is not None and scheduled:
                self.switched.append(Switch(member.place, len(member.course), site))
            if following is not None:
                self._call(following)
        if following is not None:
            self._await(member)

    def _regain(self, member: Member) -> None:
        """Get the turn back that it lost while it slept."""
        with self._mutex:
            member.ready = True
            if self._current == _NOBODY:
                self._current = member.place
            mine = self._current == member.place
        if not mine:
            self._await(member)

    def _call(self, member: Member) -> None:
        """It is its turn. The caller has the mutex."""
        self._current = member.place
        member.called = True
        member.baton.release()

    def _await(self, member: Member, seconds: float = -1) -> bool:
        """Wait until it is called, or so many seconds; whether it was."""
        woken = bool(member.baton.acquire(True, seconds))
        with self._mutex:
            if not woken and member.called:  # just now
                woken = bool(member.baton.acquire(False))
            member.called = False
        return woken

    def _next(self, member: Member, *, held_back: bool = True) -> Member | None:
        """The next one that can go on; if nobody can, one that is `held_back`, and may stand elsewhere later.

        The caller has the mutex."""
        order = self.members[member.place + 1 :] + self.members[: member.place]
        following = next((other for other in order if other.ready), None)
        if following is None and held_back:
            following = next((other for other in order if other.kept is not None), None)
            if following is not None and following.kept is not None:
                self._stands.append(following.kept)
                following.kept, following.ready = None, True
        return following

    def _pass_on(self, member: Member) -> None:
        """Give the turn of `member` to somebody, or to nobody. The caller has the mutex."""
        if self._current != member.place:
            return
        following = self._next(member)
        self._current = _NOBODY
        if following is not None:
            self._call(following)

    # --- locks -----------------------------------------------------------------------------------

    def me(self) -> Member | None:
        return self._known.get(_thread.get_ident())

    def asks(self, member: Member, wanted: Hold) -> None:
        """It is about to wait for a lock, for as long as it takes; this returns when it may."""
        self.locks.asks(member.place, wanted)
        if self._stands:
            self._stand(member, wanted)

    def _stand(self, member: Member, wanted: Hold) -> None:
        """Hold it back, if it is where somebody is to stand, until nobody is missing."""
        lines = {place(hold.site) for hold in self.locks.held[member.place]}
        with self._mutex:
            asking = place(wanted.site)
            stand = next((each for each in self._stands if each.asking == asking and each.holding in lines), None)
            if stand is None:
                return
            self.switched.append(Switch(member.place, len(member.course), wanted.site))
            self._stands.remove(stand)
            if not self._stands:
                for other in self.members:
                    other.ready, other.kept = other.ready or other.kept is not None, None
                return
            following = self._next(member)
            if following is None:
                self._stands.append(stand)
                return
            member.ready, member.kept = False, stand
            self._call(following)
        self._await(member)

    def wait_for(self, lock: Any, member: Member, seconds: float) -> bool:
        """Let others go on until `lock` is free, or so many seconds, -1 for ever; whether it may be free."""
        with self._mutex:
            if not lock.taken():  # meanwhile, by a thread of the store's own
                return True
            member.waits, member.limited, member.ready = lock, seconds >= 0, False
            self._pass_on(member)
        woken = self._await(member, seconds)
        with self._mutex:
            member.waits = None
        if not woken:
            self._regain(member)
        return woken

    def freed(self, lock: Any) -> None:
        """Who waits for `lock` may try again."""
        with self._mutex:
            for member in self.members:
                if member.waits is lock:
                    member.ready, member.waits = True, None
            if self._current == _NOBODY:
                following = next((member for member in self.members if member.ready), None)
                if following is not None:
                    self._call(following)

    # --- from outside ----------------------------------------------------------------------------

    def _watch(self) -> None:
        """Until all have ended: notice who sleeps, and when nobody can go on."""
        looks, stood_since = 0, time.monotonic()
        before: Any = None
        while not all(member.done for member in self.members):
            current = self._current
            now = (self.steps, current, self._asleep(current))
            if now != before or now[2] is None:
                looks, before = 0, now
                stood_since = time.monotonic()
            looks += 1
            if looks >= _LOOKS and self._lock_cycle():
                self.stuck = self.in_cycle = True
                return
            if looks >= _LOOKS and current != _NOBODY:
                self._take_turn_away(current, held_back=looks >= _LONG_LOOKS)
            if time.monotonic() - stood_since > PATIENCE_S:
                self.stuck = True
                return
            self._pause()

    def _pause(self) -> None:
        """Look again later; sooner if a thread ends."""
        alive = next((member.thread for member in self.members if not member.done), None)
        if alive is not None:
            time.sleep(_LOOK_S) if alive.is_alive() else alive.join()

    def _asleep(self, place: int) -> Any:
        """The processor time of a thread that sleeps, `None` for one that does not; of nobody always the same."""
        if place == _NOBODY:
            return 0
        thread = self.members[place].thread
        if thread is None or not thread.is_alive() or thread.native_id is None or thread.ident is None:
            return None
        try:
            descriptor = real.open(f"/proc/self/task/{thread.native_id}/stat", os.O_RDONLY)
            try:
                state = real.read(descriptor, 512).rpartition(b")")[2].split()[0]
            finally:
                real.close(descriptor)
            return time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident)) if state == b"S" else None
        except OSError:  # it has ended
            return None

    def _take_turn_away(self, place: int, *, held_back: bool) -> None:
        """Somebody else goes on, if there is one who can."""
        with self._mutex:
            member = self.members[place]
            if self._current == place and self._next(member, held_back=held_back) is not None:
                member.ready = False
                self._pass_on(member)

    def _lock_cycle(self) -> bool:
        """Whether all that have not ended wait, for ever, for locks that only they themselves could free."""
        with self._mutex:
            waiting = [member for member in self.members if not member.done]
            return bool(waiting) and all(self._waits_in_vain(member, waiting) for member in waiting)

    def _waits_in_vain(self, member: Member, waiting: list[Member]) -> bool:
        """Whether it waits, without a limit, for one of those that are `waiting`; or, if the store has no threads of
        its own, for itself or one that has ended: any thread may free a lock of `threading`."""
        if member.waits is not None:
            owner = member.waits.owner
            others = [other.place for other in waiting if other is not member]
            return not member.limited and owner is not None and (owner in others or self._are_alone())
        wanted = member.waits_for_file
        if wanted is None or self._asleep(member.place) is None:
            return False
        held = (hold for other in waiting if other is not member for hold in self.locks.held[other.place])
        return any(hold.excludes(wanted) for hold in held)

    def _are_alone(self) -> bool:
        """Whether no threads have been started but those that take turns."""
        ours = {member.thread.ident for member in self.members if member.thread is not None}
        return not sys._current_frames().keys() - ours - self._before

    def stacks(self) -> list[Standing]:
        """Where the threads that have not ended stand."""
        frames = sys._current_frames()
        found = []
        for member in self.members:
            if member.done or member.thread is None or member.thread.ident is None:
                continue
            frame, stack = frames.get(member.thread.ident), list[CallSite]()
            while frame is not None:
                code = frame.f_code
                if STORE_FILES[code.co_filename]:
                    stack.append(CallSite(code.co_filename, frame.f_lineno, code.co_qualname))
                frame = frame.f_back
            held = tuple(hold.site for hold in self.locks.held[member.place] if hold.site is not None)
            if stack:
                found.append(Standing(member.place, tuple(stack), held))
        return found
