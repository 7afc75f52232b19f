"""A watch on progress: raises when the scheduler makes no progress although nothing is outstanding.

Guarantees: under a policy whose progress is proved no alarm is raised unless a premise fails,
because what is waited for is what the theorem promises; a call costs as much with a thousand
requests as with one, but for the rare ones that count what is left. It changes nothing.

Three things are watched.

- *nothing moves*: `schedule` has nothing to do, again and again, though no step is in flight, no
  copy is open, a request is live, the scheduler is not paused, and if none runs no reader holds a block.
- *no request advances*: steps are committed and no request learns a token, for longer than the theorem
  P6a allows; where a rule that it rests on is off, for longer than it takes to compute every known token once.
- *the first does not advance*: the first request in the order learns no token. No request enters
  before it, so it lasts no longer than what those that run have left. Watched unless the policy's order may change.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from lineclear.monitor.stall import Stall
from lineclear.monitor.stall_report import stall_report
from lineclear.rules import OWN
from lineclear.scheduling.live_request import LiveRequest
from lineclear.theorems.starvation import Sizes, steps_of_the_first, steps_to_a_token

if TYPE_CHECKING:
    from lineclear.plan import Plan
    from lineclear.scheduling.readings import Readings

#: Calls of `schedule` without effect that are expected: the step after one that preempted
#: admits, and one more for each step in flight.
IDLE = 4
#: Commits after which what is left is counted for the first time.
PATIENCE = 64


class Stalled(AssertionError):
    """Progress has ended; `report` says who holds what, and what keeps whom."""

    def __init__(self, what: str, report: Stall) -> None:
        """Says what has been waited for."""
        super().__init__(what)
        self.what = what
        self.report = report

    def text(self) -> str:
        """The alarm and the report, for people."""
        return f"{self.what}\n{self.report.text()}"


class Watch:
    """Receives every arrival, plan and commit.

    Args:
        scheduler: whose; requests that are live already are taken in.

    Attributes:
        calls: how often `schedule` was called under watch.
        longest: the longest that the first request went without a token, in commits.
        slowest: the most commits from when a request became the first to its end, or to now.
    """

    def __init__(self, scheduler: Readings) -> None:
        """Nothing has been seen."""
        self.scheduler = scheduler
        self.static = not (
            scheduler.adapter.ranks
            or scheduler.tenants is not None
            or scheduler.live.reviews is not None
        )
        self.order: list[tuple[Any, ...]] = []  # a heap of (order when it arrived, id)
        self.calls = self.longest = self.slowest = 0
        self.since = 0  # commits since the first became the first
        self.largest = self.widest = 1  # tokens and sequences of any request so far
        self.longest_output = self.most_live = 1  # tokens to generate; requests that live at once
        self.idle = 0  # calls without effect in a row
        self.dry = 0  # commits since anybody learned a token
        self.patience = PATIENCE  # commits without a token after which it is counted again
        self.seen = -1  # tokens generated, aborts and failed copies, none of which is undone
        self.first: LiveRequest | None = None
        self.known = 0  # tokens of the first
        self.waited = 0  # commits since it learned one
        self.allowed = PATIENCE
        self.arrivals = 0
        for name in scheduler.entries:
            self.added(name)

    def added(self, request_id: Hashable) -> None:
        """A request was accepted."""
        entry = self.scheduler.entries[request_id]
        self.arrivals += 1
        self.largest = max(self.largest, entry.record.limit)
        self.widest = max(self.widest, entry.n)
        self.longest_output = max(self.longest_output, entry.record.limit - entry.record.prompt)
        self.most_live = max(self.most_live, len(self.scheduler.entries))
        if self.static:
            heapq.heappush(self.order, (entry.order, self.arrivals, entry))

    def scheduled(self, plan: Plan) -> None:
        """A plan was made.

        Raises:
            Stalled: nothing moves, although everything was answered.
        """
        self.calls += 1
        scheduler = self.scheduler
        ledger = scheduler.ledger
        if (
            plan.step is not None
            or plan.operations
            or not scheduler.entries
            or scheduler.flights
            or ledger.operations
            or scheduler.live.paused
            or (scheduler.cache.held and not ledger.running)
        ):
            self.idle = 0
            return
        self.idle += 1
        if self.idle > IDLE:
            self._alarm(
                f"nothing moves: schedule had nothing to do {self.idle} times in a row, though no "
                f"step is in flight, no copy is open and {len(scheduler.entries)} requests are live"
            )

    def committed(self) -> None:
        """A step was committed.

        Raises:
            Stalled: no request advances, or the first request does not.
        """
        scheduler = self.scheduler
        counters = scheduler.counters
        seen = counters.generated_tokens + counters.aborted + counters.failed_copies
        if seen != self.seen:
            self.seen = seen
            self.dry, self.patience = 0, PATIENCE
        else:
            self.dry += 1
            if self.dry > self.patience:
                self._count_dry()
        if self.static and not scheduler.policy_failures:
            self._look_at_the_first()

    def went_on(self, steps: int) -> None:
        """Steps were issued and committed in which each live request learned a token."""
        self.calls += steps
        self.idle = 0
        self.committed()
        if self.first is not None:
            self.since += steps - 1
            self.slowest = max(self.slowest, self.since)

    def bound(self) -> int | None:
        """Commits from when a request becomes the first to its end, at most, by the theorem P6b.

        `starvation.py` derives it, for the largest of the requests so far. None where the theorem does not hold: the
        order may change, requests may pass, or a rule of progress is off. A failed copy starts it anew.
        """
        config = self.scheduler.config
        cut = config.cuts_recomputes  # no bound was derived
        others = config.max_bypasses or config.swapped_first or config.rules != OWN
        if not self.static or others or cut:
            return None
        shares = hasattr(self.scheduler.policy, "share")
        sizes = Sizes(self.largest, self.largest, self.longest_output, self.widest, self.most_live)
        return steps_of_the_first(config, sizes, shares)

    def token_bound(self) -> int | None:
        """Commits in a row in which no request keeps a token, at most, by the theorem P6a.

        For the largest of the requests so far, and one more for each branch that may be pruned
        meanwhile. None where a rule that it rests on is off.
        """
        scheduler = self.scheduler
        config = scheduler.config
        if config.rules != OWN or config.cuts_recomputes:
            return None
        shares, changes = hasattr(scheduler.policy, "share"), scheduler.live.reviews is not None
        if shares and config.max_bypasses:
            return None
        sizes = Sizes(self.largest, self.largest, self.longest_output, self.widest, self.most_live)
        branches = sum([entry.n - 1 for entry in scheduler.entries.values()])
        return steps_to_a_token(config, sizes, shares, changes) + branches

    def _count_dry(self) -> None:
        """Checks how long no request has learned a token: no longer than all prompts take."""
        most = self.token_bound()
        if most is None:  # no theorem: as long as it takes to compute every known token once
            scheduler = self.scheduler
            budget = scheduler.config.max_num_batched_tokens
            entries = scheduler.entries.values()
            known = sum(4 + entry.num_tokens(scheduler.ledger) // budget for entry in entries)
            most = PATIENCE + known
        if self.dry > max(PATIENCE, most):
            self._alarm(
                f"no request advances: no request learned a token in {self.dry} committed steps, "
                f"{most} at most are to be expected"
            )
        self.patience = max(PATIENCE, most)

    def _look_at_the_first(self) -> None:
        """The first in the order learns a token before those that run have ended."""
        scheduler, order = self.scheduler, self.order
        entries = scheduler.entries
        while order and entries.get(order[0][2].request_id) is not order[0][2]:
            heapq.heappop(order)
        if not order:
            self.first = None
            return
        first: LiveRequest = order[0][2]
        known = first.num_tokens(scheduler.ledger)
        self.since = self.since + 1 if first is self.first else 0
        self.slowest = max(self.slowest, self.since)
        if first is not self.first or known != self.known or first.record.open_swap:
            self.first, self.known = first, known
            self.waited, self.allowed = 0, PATIENCE
            return
        self.waited += 1
        self.longest = max(self.longest, self.waited)
        if self.waited > self.allowed:
            self._count_for_the_first(first)

    def _count_for_the_first(self, first: LiveRequest) -> None:
        """It must not wait longer than what those that run have left now, and its own prompt."""
        if self.allowed > PATIENCE:
            self._alarm(
                f"{first.request_id} does not advance: it is the first in the order and learned no token "
                f"in {self.waited} committed steps; those that ran had {self.allowed - PATIENCE} "
                "at most"
            )
        scheduler = self.scheduler
        ledger, config = scheduler.ledger, scheduler.config
        left = first.num_tokens(ledger) + 8
        before = [ledger.running, ledger.swapped] if config.swapped_first else [ledger.running]
        for record in (record for queue in before for record in queue):
            left += sum(
                record.limit - ledger.num_computed_tokens(sequence) for sequence in record.members
            )
        # With a bypass that many may enter before it, each of which may run to its end.
        passes = max(0, config.max_bypasses - first.bypassed)
        self.allowed = self.waited + left + passes * config.max_model_len + PATIENCE

    def _alarm(self, what: str) -> None:
        raise Stalled(what, stall_report(self.scheduler))
