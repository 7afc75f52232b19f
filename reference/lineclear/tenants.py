"""The queue of a policy that shares among tenants: one heap for each of them.

Guarantees: the policy is told when a tenant's queue fills and when it empties, and is asked whose
turn it is, never about single requests; a step costs nothing for tenants of whom nothing happens;
a policy that raises or names a tenant of whom nobody waits costs nobody his place. It knows
nothing about how the policy chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator

from lineclear.entry import Entry, WaitingQueue
from lineclear.policies.tenants import TenantPolicy

__all__ = ["TenantQueue"]


class TenantQueue(WaitingQueue):
    """Waiting and swapped requests, by tenant.

    Args:
        policy: whose turn it is.
        clock: steps issued so far.
        failed: told what the policy raised; it then rebuilds the queue, without the policy.
    """

    def __init__(
        self,
        policy: TenantPolicy,
        clock: Callable[[], int],
        failed: Callable[[Exception], None],
    ) -> None:
        """Nobody waits."""
        super().__init__(swapped_first=False)
        self.policy = policy
        self.clock = clock
        self.failed = failed
        self.queues: dict[Hashable, WaitingQueue] = {}
        self.plain: WaitingQueue | None = None  # takes over once the policy has failed

    def __iter__(self) -> Iterator[Entry]:
        """All that wait or are swapped out, in no order."""
        for queue in (*self.queues.values(), *filter(None, [self.plain])):
            yield from queue

    def push(self, entry: Entry) -> None:
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
            self._tell(self.policy.backlogged, entry.tenant)

    def leave(self, entry: Entry) -> None:
        """The request is no longer to be found here."""
        if self.plain is not None:
            self.plain.leave(entry)
            return
        queue = self.queues[entry.tenant]
        queue.leave(entry)
        self._look(entry.tenant, queue)

    def head(self) -> Entry | None:
        """The first request of the tenant whose turn it is."""
        if self.plain is not None:
            return self.plain.head()
        if not self.queues:
            return None
        try:
            tenant = self.policy.first(self.clock())
            if tenant not in self.queues:
                raise ValueError(f"it is the turn of {tenant!r}, of whom no request waits")
        except Exception as error:
            self.failed(error)
            return self.head()
        return self.queues[tenant].head()

    def pop(self) -> Entry:
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
            self._tell(self.policy.idle, tenant)

    def _tell(self, event: Callable[[Hashable, int], None], tenant: Hashable) -> None:
        """Tells the policy; one that raises is asked no more."""
        try:
            event(tenant, self.clock())
        except Exception as error:
            self.failed(error)

    def rebuild(self, entries: Iterable[Entry]) -> None:
        """The policy has failed: from now on these, and all that come, in one plain queue."""
        waiting = list(entries)
        for queue in self.queues.values():
            queue.clear()
        self.queues.clear()
        self.plain = WaitingQueue(swapped_first=False)
        for entry in waiting:
            self.plain.push(entry)
