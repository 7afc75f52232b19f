"""The queue of a policy that shares among tenants: one heap for each of them.

Invariant: a tenant has a heap exactly if a request of it waits. The policy hears when a heap fills and
when it empties, and is asked for the tenant whose turn it is, never about single requests. A policy that
raises, or names a tenant without a waiting request, is asked no more, and every request keeps its place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from lineclear.policies.validation import whatever
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.queues import WaitingQueue

#: Asks the policy: method, how to understand the answer, what to do without one, arguments.
Ask = Callable[..., Any]


class TenantQueue(WaitingQueue):
    """Waiting and swapped requests, by tenant.

    Args:
        ask: asks or tells the policy; if that fails it has the queue rebuilt, without the policy.
        clock: steps issued so far.
        swapped_first: the order of the queue that takes over once the policy has failed.
    """

    def __init__(self, ask: Ask, clock: Callable[[], int], swapped_first: bool) -> None:
        """No request waits."""
        super().__init__(swapped_first)
        self.ask = ask
        self.clock = clock
        self.queues: dict[Hashable, WaitingQueue] = {}
        self.plain: WaitingQueue | None = None  # takes over once the policy has failed

    def __iter__(self) -> Iterator[LiveRequest]:
        """All that wait or are swapped out, in no order."""
        for queue in (*self.queues.values(), *filter(None, [self.plain])):
            yield from queue

    def push(self, entry: LiveRequest) -> None:
        """The request waits."""
        if self.plain is not None:
            self.plain.push(entry)
            return
        queue = self.queues.get(entry.tenant)
        if queue is None:
            queue = self.queues[entry.tenant] = WaitingQueue(swapped_first=False)
        empty = queue.head() is None
        queue.push(entry)
        if empty:
            self._tell("backlogged", entry.tenant)

    def leave(self, entry: LiveRequest) -> None:
        """The request is no longer to be found here."""
        if self.plain is not None:
            self.plain.leave(entry)
            return
        queue = self.queues[entry.tenant]
        queue.leave(entry)
        self._look(entry.tenant, queue)

    def head(self) -> LiveRequest | None:
        """The first request of the tenant whose turn it is."""
        if self.plain is not None:
            return self.plain.head()
        if not self.queues:
            return None
        queue: WaitingQueue | None = self.ask("first", self._turn, None, self.clock())
        return self.head() if queue is None else queue.head()

    def _turn(self, _: str, tenant: Hashable) -> WaitingQueue:
        """The queue of the tenant whose turn it is, looked up once: its hash is the policy's."""
        queue = self.queues.get(tenant)
        if queue is None:
            raise ValueError(f"it is the turn of {tenant!r}, of whom no request waits")
        return queue

    def pop(self) -> LiveRequest:
        """Takes the head out."""
        entry = self.head()
        if self.plain is not None:
            return self.plain.pop()
        assert entry is not None
        queue = self.queues[entry.tenant]
        queue.pop()
        self._look(entry.tenant, queue)
        return entry

    def _look(self, tenant: Hashable, queue: WaitingQueue) -> None:
        """Forgets the queue if it is empty."""
        if queue.head() is None:
            del self.queues[tenant]
            self._tell("idle", tenant)

    def _tell(self, event: str, tenant: Hashable) -> None:
        """Tells the policy; one that raises is asked no more."""
        self.ask(event, whatever, None, tenant, self.clock())

    def rebuild(self, entries: Iterable[LiveRequest]) -> None:
        """The policy has failed: from now on these, and all that come, in one plain queue."""
        waiting = list(entries)
        for queue in self.queues.values():
            queue.clear()
        self.queues.clear()
        self.plain = WaitingQueue(self.swapped_first)
        for entry in waiting:
            self.plain.push(entry)
