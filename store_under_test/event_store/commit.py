"""Group commit: concurrent appends share one write and one fsync.

The caller that finds nobody writing becomes the leader: it takes all that is queued, writes it, wakes the others, and
hands the lead to one that came meanwhile. A lone caller pays for no switch of threads, and each waiter sleeps
on a lock of its own. What is queued behind a group that fails, fails with it: it was admitted on the assumption
that the group would succeed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from store_under_test.event_store.codec import Batch
from store_under_test.event_store.errors import copied

MAX_GROUP_BYTES = 4 << 20  # one batch may be larger; then it is a group of its own
MAX_GROUP_EVENTS = 8192


class Request:
    """A batch to append, or an action to do while nobody writes; and what came of it."""

    # Defaults of the class, because making a request is part of the price of an append.
    result: Any = None
    error: BaseException | None = None
    is_done = False
    leads = False
    abandoned = False
    wakeup: Any = None

    def __init__(self, batch: Batch | None, expected: object = None, action: Callable[[], Any] | None = None) -> None:
        self.batch = batch
        self.expected = expected
        self.action = action
        self.versions: list[int] = []
        self.before: list[tuple[str, int]] = []  # versions of the aggregates before this one, to go back to

    def prepare_to_wait(self) -> None:
        """Called before the request is queued behind a leader."""
        self.wakeup = threading.Lock()
        self.wakeup.acquire()

    def offer_lead(self) -> bool:
        """Let the caller of this request write next. False if nobody waits for it any more."""
        if self.abandoned:
            return False
        self.leads = True
        self.wakeup.release()
        return True

    def finish(self) -> None:
        """Result or error are there."""
        if not self.is_done:
            self.is_done = True
            if self.wakeup is not None and not self.leads:
                self.wakeup.release()


class GroupCommit:
    """The queue. `admit` and `reject` are called under its lock; the one may raise, the other gets the newest first."""

    def __init__(
        self,
        admit: Callable[[Request], None],
        write: Callable[[Sequence[Request]], None],
        reject: Callable[[Sequence[Request]], None],
    ) -> None:
        self._admit = admit
        self._write = write
        self._reject = reject
        self._lock = threading.Lock()
        self._queue: deque[Request] = deque()
        self._leader: object | None = None  # who writes, or was asked to

    def run(self, request: Request) -> Any:
        """Have the request done, by this thread or another; its result, or its error raised."""
        if self.enqueue(request) or self._wait(request):
            self._lead(request)
        if request.error is not None:
            raise request.error
        return request.result

    def locked(self, action: Callable[[], None]) -> None:
        """Do something short while nothing is admitted or rejected."""
        with self._lock:
            action()

    def enqueue(self, request: Request) -> bool:
        """Queue a request. True if nobody leads: the caller must see to it that `lead` is called."""
        with self._lock:
            self._admit(request)
            must_lead = self._leader is None
            if must_lead:
                self._leader = request
            else:
                request.prepare_to_wait()
            self._queue.append(request)
        return must_lead

    def lead(self) -> None:
        """Write groups until nothing is queued, in a thread that waits for none of them."""
        self._lead(None)

    def _wait(self, request: Request) -> bool:
        """Wait until the request is done; True if this thread was made the leader instead."""
        try:
            request.wakeup.acquire()
        except BaseException:
            with self._lock:
                request.abandoned = True
                must_lead = request.leads and not request.is_done
            if must_lead:
                self._lead(request)
            raise
        return request.leads

    def _lead(self, own: Request | None) -> None:
        token, group = object(), list[Request]()
        try:
            while True:
                with self._lock:
                    self._leader = token
                    group = self._next_group()
                self._do(group, own)
                if not self._pass_on(group, own):
                    return
        except BaseException as error:
            # Not a failure of the group, which `_do` handles: an interrupt between two steps. Nobody may wait for ever.
            is_mine = self._leader is token
            self._fail(group, own, error, and_queue=is_mine)
            if is_mine:
                self._leader = None
            raise

    def _next_group(self) -> list[Request]:
        queue = self._queue
        group = [queue.popleft()]
        batch = group[0].batch
        if batch is None:
            return group
        size, count = batch.size_bytes, len(batch.parts)
        while queue and (batch := queue[0].batch) is not None:
            size, count = size + batch.size_bytes, count + len(batch.parts)
            if size > MAX_GROUP_BYTES or count > MAX_GROUP_EVENTS:
                break
            group.append(queue.popleft())
        return group

    def _do(self, group: list[Request], own: Request | None) -> None:
        action = group[0].action
        try:
            if action is not None:
                group[0].result = action()
            else:
                self._write(group)
        except BaseException as error:
            self._fail(group, own, error, and_queue=action is None)

    def _fail(self, group: list[Request], own: Request | None, error: BaseException, *, and_queue: bool) -> None:
        with self._lock:
            failed = [request for request in group if not request.is_done]
            if and_queue:
                failed += self._queue
                self._queue.clear()
            self._reject(failed[::-1])
        for request in failed:
            request.error = error if request is own else copied(error)
            request.finish()

    def _pass_on(self, group: list[Request], own: Request | None) -> bool:
        """Wake those whose group this was, after the next leader. True if this thread is to go on."""
        goes_on = False
        with self._lock:
            if not self._queue:
                self._leader = None
            elif own is None or not (own.is_done or own in group):
                goes_on = True
            else:
                goes_on = not self._offer_lead()
        for request in group:
            request.finish()
        return goes_on

    def _offer_lead(self) -> bool:
        for request in self._queue:
            if request.offer_lead():
                self._leader = request
                return True
        return False
