"""Every live request: it is taken in, waits or runs at its place in the order, and ends.

Invariant: a live request is in the queue or in the running order, never in both, at the place that the
policy gave it, or at that of its arrival once the policy has failed. `seats` is the sum of the seats
of running requests: one for each sequence, and for each that is still to be made; `queued_tokens` is the
sum of the tokens that all others may have.
"""

from __future__ import annotations

from collections.abc import Hashable

from lineclear.config import Config
from lineclear.policies.view import View
from lineclear.request import InvalidRequest, Rejected, Request
from lineclear.scheduling.counters import Counters
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.policy_adapter import PolicyAdapter
from lineclear.scheduling.queues import RunningOrder, WaitingQueue
from lineclear.scheduling.tenant_queue import TenantQueue
from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import Refused
from lineclear_spec.kernel.records import Request as Record

#: The lists of reviews are made again when they hold so many entries more than 4 for each live request:
#: a request that is reviewed early leaves a stale entry behind.
FORGOTTEN = 64


class LiveRequests:
    """Live requests by id, by record and by place.

    Args:
        config: settings.
        ledger: the state that the table's actions change.
        adapter: asks the policy.
        counters: of what happened.

    Attributes:
        entries: live requests by id.
        of: the entry of a record in the ledger, for requests that have run.
        running: those that run, by rank.
        waiting: those that wait or are swapped out, by key.
        arrivals: requests that were accepted so far.
        seats: of requests that run, one for each sequence that they have or may still make.
        counts_worst: whether admission asks for `worst`.
        worst: blocks that running requests may need together; 0 if admission never asks for it.
        queued_tokens: tokens that requests which wait or are swapped out may have.
        draining: whether new requests are rejected.
        paused: keep, wait or recompute while the scheduler is paused, else "".
        reviews: requests by the step before which the policy looks at them again; None if it never does.
    """

    def __init__(
        self, config: Config, ledger: Ledger, adapter: PolicyAdapter, counters: Counters
    ) -> None:
        """Nothing is live."""
        self.config = config
        self.ledger = ledger
        self.adapter = adapter
        self.counters = counters
        self.entries: dict[Hashable, LiveRequest] = {}
        self.of: dict[Record, LiveRequest] = {}
        self.running = RunningOrder()
        self.waiting = WaitingQueue(config.swapped_first)
        if adapter.tenants is not None:
            self.waiting = TenantQueue(adapter.ask, self._steps, config.swapped_first)
        self.arrivals = 0
        self.seats = 0
        self.counts_worst = config.capacity_policy != "max_utilization"
        self.worst = 0
        self.queued_tokens = 0
        self.draining = False
        self.paused = ""
        self.reviews: dict[int, list[LiveRequest]] | None = {} if adapter.reviews else None
        self.reviewed = 0  # entries in these lists
        adapter.on_failure = self._order_by_arrival

    def _steps(self) -> int:
        """Steps issued so far."""
        return self.ledger.steps

    # ---- arrival -------------------------------------------------------------------------------

    def add(self, request: Request) -> LiveRequest | Rejected:
        """Submits a request, which then waits, or rejects it with the reason.

        Raises:
            InvalidRequest: it is no `Request`, or its id is that of a live request, is not hashable or does not equal
                itself.
        """
        if not isinstance(request, Request):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequest(f"request must be a lineclear.Request, not {request!r}")
        name = request.request_id
        try:
            known = name in self.entries
        except TypeError as error:
            raise unhashable(name) from error
        if known:
            raise InvalidRequest(
                f"request_id {name!r} is live already; abort it or use another id"
            )
        if name != name:  # as nan, under which nothing is found
            raise InvalidRequest(f"request_id must equal itself, or it is not found, not {name!r}")
        if self.draining:
            reason = "the scheduler is draining and takes no new requests"
            return self._reject(request, reason, "draining")
        most = self.config.max_waiting
        if most is not None and len(self.ledger.waiting) >= most:
            return self._reject(
                request,
                f"max_waiting: {most} requests wait already; retry later or raise it",
                "max_waiting",
            )
        most = self.config.max_waiting_tokens
        if most is not None and self.queued_tokens >= most:
            reason = (
                f"max_waiting_tokens: {self.queued_tokens} tokens are queued already, the limit is "
                f"{most}; retry later or raise it"
            )
            return self._reject(request, reason, "max_waiting_tokens")
        prompt, budget = request.prompt_tokens, self.config.max_num_batched_tokens
        if prompt > budget and self.config.cuts_recomputes:
            reason = (
                f"its prompt has {prompt} tokens, a step computes at most {budget} "
                "(max_num_batched_tokens): raise that or enable chunked prefill"
            )
            return self._reject(request, reason, "max_num_batched_tokens")
        names: tuple[int, ...] = ()
        if request.prefix_names and self.config.prefix_caching != "off":
            names = request.prefix_names[: prompt // self.config.block_size]
        record = self.ledger.new_request(prompt, prompt + request.max_tokens, request.n, names)
        try:
            sequence = actions.submit(self.ledger, record)
        except Refused as refused:
            actions.reject(self.ledger, record)
            return self._reject(request, *self._explain(record, refused.guard))
        self.arrivals += 1
        entry = LiveRequest(
            request, record, sequence, self.arrivals, ()
        )  # before the policy sees it
        # A policy from outside is shown a copy, never an object of the caller's.
        seen = entry.user if self.adapter.foreign else request
        key, rank = self.adapter.places(View(seen, self.arrivals))
        entry.set_order(key, rank)
        self.entries[entry.request_id] = entry
        self.queued_tokens += entry.most_tokens
        self.wait(entry)
        return entry

    def find(self, request_id: Hashable) -> LiveRequest | None:
        """The live request of an id; None if there is none.

        Raises:
            InvalidRequest: the id is not hashable.
        """
        try:
            return self.entries.get(request_id)
        except TypeError as error:
            raise unhashable(request_id) from error

    def _reject(self, request: Request, reason: str, code: str) -> Rejected:
        self.counters.rejected += 1
        return Rejected(request.request_id, reason, code)

    def _explain(self, record: Record, guard: str) -> tuple[str, str]:
        """The guard that failed, with the figures, and the setting that it is about."""
        config = self.config
        figures = {
            "the request fits into max_model_len": (
                f"up to {record.limit} tokens, max_model_len is {config.max_model_len}",
                "max_model_len",
            ),
            "its sequences fit into max_num_seqs": (
                f"n is {record.parallel}, max_num_seqs is {config.max_num_seqs}",
                "max_num_seqs",
            ),
            "without chunking it fits into max_num_batched_tokens": (
                f"up to {record.limit - 1} tokens at once, "
                f"max_num_batched_tokens is {config.max_num_batched_tokens}",
                "max_num_batched_tokens",
            ),
            "its worst case fits into the GPU pool": (
                f"up to {self.ledger.worst_case(record)} blocks, "
                f"the pool has {config.num_gpu_blocks}",
                "num_gpu_blocks",
            ),
        }
        figure, code = figures[guard]
        return (
            f"this does not hold: {guard} ({figure}); raise {code}, or lower max_tokens or n",
            code,
        )

    # ---- phases --------------------------------------------------------------------------------

    def wait(self, entry: LiveRequest) -> None:
        """The request waits from now on."""
        entry.since = self.ledger.steps
        self.waiting.push(entry)
        if self.reviews is not None:
            self.look_again(entry)

    def run(self, entry: LiveRequest) -> None:
        """The request has left the queue and runs from now on."""
        self.of[entry.record] = entry
        self.running.add(entry)
        self.queued_tokens -= entry.most_tokens
        self.count_seats(entry)
        if self.counts_worst:
            entry.worst_taken = self.ledger.worst_case(entry.record)
            self.worst += entry.worst_taken
        entry.bypassed = 0
        if self.reviews is not None:
            self.look_again(entry)

    def count_seats(self, entry: LiveRequest) -> None:
        """A request that runs has the seats that it needs from now on, and no other."""
        seats = entry.seats
        self.seats += seats - entry.seats_taken
        entry.seats_taken = seats

    def stop(self, entry: LiveRequest) -> None:
        """The request runs no longer."""
        self._give_back(entry)
        self.queued_tokens += entry.most_tokens

    def finish(self, entry: LiveRequest) -> None:
        """The request, which ran, has ended."""
        self._give_back(entry)
        del self.entries[entry.request_id], self.of[entry.record]
        if self.adapter.closes and not self.adapter.failures:
            self.adapter.closed(entry.view(self.ledger))

    def _give_back(self, entry: LiveRequest) -> None:
        """Its place among those that run, its seats and the blocks that it may have needed are free."""
        self.running.remove(entry)
        self.seats -= entry.seats_taken
        entry.seats_taken = 0
        self.worst -= entry.worst_taken

    def remove(self, entry: LiveRequest) -> None:
        """The request, which neither runs nor waits any more, has ended."""
        del self.entries[entry.request_id]
        self.queued_tokens -= entry.most_tokens
        self.of.pop(entry.record, None)
        if self.adapter.closes and not self.adapter.failures:
            self.adapter.closed(entry.view(self.ledger))

    # ---- reviews -------------------------------------------------------------------------------

    def review(self) -> None:
        """Asks again about the requests that the policy wanted to look at before this step."""
        if not self.reviews:
            return
        due = self.reviews.pop(self.ledger.steps, ())
        self.reviewed -= len(due)
        for entry in due:
            if self.entries.get(entry.request_id) is entry and entry.review == self.ledger.steps:
                self.look_again(entry)

    def look_again(self, entry: LiveRequest) -> None:
        """Asks the policy where the request stands now, and when to look at it again."""
        if self.reviews is None:
            return
        adapter = self.adapter
        wait = adapter.review(entry.view(self.ledger))
        if adapter.failures:
            return
        entry.review = -1
        if wait is not None:
            entry.review = self.ledger.steps + wait
            self.reviews.setdefault(entry.review, []).append(entry)
            self.reviewed += 1
            if self.reviewed > FORGOTTEN + 4 * len(self.entries):
                self._forget_reviews()
        key, rank = adapter.places(entry.view(self.ledger))
        order = (*key, entry.number)
        rank = order if rank is None else (*rank, entry.number)
        if adapter.failures or (order == entry.order and rank == entry.rank):
            return  # a policy that has just failed has every place set by arrival
        if entry.record.phase == Phase.RUNNING:
            self.running.remove(entry)
            entry.order, entry.rank = order, rank
            self.running.add(entry)
        else:
            self.waiting.leave(entry)
            entry.order, entry.rank = order, rank
            self.waiting.push(entry)

    def _forget_reviews(self) -> None:
        """Keeps the last look at each live request alone: a far one would be kept for as long."""
        kept: dict[int, list[LiveRequest]] = {}
        for entry in self.entries.values():
            if entry.review > self.ledger.steps:
                kept.setdefault(entry.review, []).append(entry)
        self.reviews, self.reviewed = kept, sum(map(len, kept.values()))

    def _order_by_arrival(self) -> None:
        """The policy has failed: first come, first served from now on."""
        self.reviews = None
        for entry in self.entries.values():
            entry.order = entry.rank = (entry.number,)
        self.running.rebuild()
        self.waiting.rebuild(tuple(self.waiting))


def unhashable(request_id: object) -> InvalidRequest:
    """No live request can have this id."""
    return InvalidRequest(f"request_id must be hashable, not {request_id!r}")
