"""A live request: what the caller asked for, its record in the ledger, and its place in two orders.

The number of the arrival ends both places, so no two requests have the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from lineclear.policies.view import View
from lineclear.request import Output, Request
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.progress import seats_of
from lineclear_spec.kernel.records import Request as Record
from lineclear_spec.kernel.records import Sequence

#: The parts of the policy's key, then the number of the arrival.
Order = tuple[Any, ...]
new_view: Callable[[type[View], tuple[Any, ...]], View] = getattr(tuple, "__new__")  # noqa: B009
#: Tenant, prediction and deadline of most requests.
NO_HINTS = (None, None, None)


class LiveRequest:
    """One live request."""

    __slots__ = (
        "arrival_time", "asked", "branches_made", "bypassed", "cell", "first", "hints", "kept_a_token",
        "may_fork_later", "n", "number", "order", "others", "outputs", "place", "preemptions",
        "priority", "prompt", "queued", "rank", "record", "request_id", "review", "seats_taken", "sheltered", "since",
        "started", "worst_taken",
    )  # fmt: skip

    def __init__(
        self,
        user: Request,
        record: Record,
        first: Sequence,
        number: int,
        key: tuple[Any, ...] = (),
    ) -> None:
        """A request that was accepted.

        Args:
            user: what the caller asked for.
            record: the request in the ledger.
            first: its first sequence.
            number: of its arrival.
            key: its place in the order, by the policy, until `set_order` sets another.
        """
        self.request_id = user.request_id
        self.n = user.n
        self.may_fork_later = user.may_fork_later
        self.seats_taken = 0  # of those that may run at once, while it runs
        self.worst_taken = 0  # blocks that it may need, while it runs
        self.prompt = user.prompt_tokens  # the caller's; the record's is longer after a restart
        self.priority = user.priority
        self.arrival_time = user.arrival_time
        hints = (user.tenant, user.predicted_tokens, user.deadline)
        self.hints = None if hints == NO_HINTS else hints
        self.asked: Request | None = None  # made again when it is read: most only wait
        self.record = record
        self.number = number  # of its arrival
        self.order: Order = (*key, number)  # among those that wait
        self.rank: Order = self.order  # among those that run
        self.review = -1  # the step before which the policy looks at it again
        self.since = 0  # steps issued when it began to wait
        self.started = False  # it ran once
        self.place: Order = self.order  # its key in the heap
        self.cell: Cell | None = None  # what stands for it in the heap
        self.queued = False  # it waits or is swapped out
        self.first = first  # branch 0; most requests have no other
        self.others: dict[Sequence, int] | None = None
        self.branches_made = 1
        self.outputs: list[Output] | None = None
        self.preemptions = self.bypassed = 0  # how often; requests behind it that were let pass
        self.sheltered = False  # it runs, and keeps a token before it is displaced
        self.kept_a_token = False  # it has learned a token since it runs

    @property
    def most_tokens(self) -> int:
        """Tokens that all its sequences may have, the prompt counted once."""
        return self.prompt + self.n * (self.record.limit - self.prompt)

    def set_order(self, key: tuple[Any, ...], rank: tuple[Any, ...] | None) -> None:
        """Its places in the two orders, before it stands in either; a rank of None is that of the key."""
        self.order = (*key, self.number)
        self.rank = self.order if rank is None else (*rank, self.number)

    @property
    def seats(self) -> int:
        """Seats that it needs to run, of those that may run at once."""
        if self.n == 1:
            return 1
        width = self.record.width
        seats: int = seats_of(self.n, width, self.branches_made, self.may_fork_later)
        return seats

    @property
    def tenant(self) -> Hashable:
        """The tenant that its service is charged to."""
        return None if self.hints is None else self.hints[0]

    @property
    def user(self) -> Request:
        """The caller's request as the policy's view."""
        if self.asked is None:
            prompt, limit = self.prompt, self.record.limit
            tenant, predicted, deadline = self.hints or NO_HINTS
            self.asked = Request(
                request_id=self.request_id,
                prompt_tokens=prompt,
                max_tokens=limit - prompt,
                n=self.n,
                may_fork_later=self.may_fork_later,
                priority=self.priority,
                arrival_time=self.arrival_time,
                tenant=tenant,
                predicted_tokens=predicted,
                deadline=deadline,
            )
        return self.asked

    def view(self, ledger: Ledger) -> View:
        """The request as the policy's view, now."""
        known = ledger.num_tokens(self.record.members[0]) if self.record.members else 0
        generated = max(0, known - self.prompt)
        steps = ledger.steps
        waiting = None if self.record.phase == Phase.RUNNING else steps - self.since
        seen = (self.user, self.number, generated, self.preemptions, steps, waiting)
        return new_view(View, seen)  # a third of what the class's own constructor costs

    def name_branch(self, sequence: Sequence) -> None:
        """A branch that forked gets the next number."""
        if self.others is None:
            self.others = {}
        self.others[sequence] = self.branches_made
        self.branches_made += 1

    def branch(self, sequence: Sequence) -> int:
        """The number of one of its sequences."""
        return 0 if self.others is None or sequence is self.first else self.others[sequence]

    def add_output(self, sequence: Sequence, reason: str) -> list[Output]:
        """A branch has ended, or is about to; what every branch that ended has brought."""
        output = Output(self.branch(sequence), sequence.own_tokens - self.prompt, reason)
        if self.outputs is None:
            self.outputs = []
        self.outputs.append(output)
        return self.outputs

    def forget_branch(self, sequence: Sequence) -> None:
        """The sequence has ended."""
        if self.others is not None:
            self.others.pop(sequence, None)

    def num_tokens(self, ledger: Ledger) -> int:
        """Known tokens of all its sequences."""
        return sum(map(ledger.num_tokens, self.record.members))

    def num_computed_tokens(self, ledger: Ledger) -> int:
        """Tokens whose KV is lost if the request frees its blocks."""
        return sum(map(ledger.num_computed_tokens, self.record.members))


#: What stands for a request in a heap: its place in the order, and the request.
Cell = tuple[Order, LiveRequest]
