# pyright: basic
"""The order of requests during a step, by the oracle's own version of the policy.

Guarantees: the policy that is judged is asked nothing: a built-in one is stated again (`own_orders.py`), of
any other a copy is asked. A request's place changes when the policy looks at it (it begins to wait, it
begins to run, or the step has come that the policy named), and at no other time; a policy that shares
among tenants is asked whose turn it is.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterable
from typing import Any

from lineclear.oracle.own_tenants import Tenants
from lineclear.oracle.state import OracleRequest, OracleState
from lineclear.policies.tenants import TenantPolicy
from lineclear_spec.kernel.lifecycle import Phase


class Uncopied(Exception):
    """The policy cannot be copied."""


def parts(answer: Any) -> tuple[Any, ...]:
    """A key as a tuple."""
    return answer if isinstance(answer, tuple) else (answer,)


def twin(policy: Any) -> Any:
    """A policy that answers alike and may be asked anything."""
    try:
        return copy.deepcopy(policy)
    except Exception as error:
        raise Uncopied from error


class Orders:
    """The order of one state, as the policy would change it.

    Args:
        policy: of the scheduler.
        state: before the step.
        own: the oracle's statement of the policy, which goes on from call to call; None if it has none.

    Raises:
        Uncopied: the policy cannot be copied.
    """

    def __init__(self, policy: Any, state: OracleState, own: Any = None) -> None:
        self.state = state
        self.policy: Any = None if state.fcfs else twin(policy) if own is None else own
        self.reviews = hasattr(self.policy, "review")
        self.tenants = isinstance(self.policy, TenantPolicy | Tenants)
        self.aside: list[OracleRequest] = []  # taken out of the queue for the time of an admission

    # ---- places --------------------------------------------------------------------------------

    def place(self, live: OracleRequest) -> None:
        """Asks where the request stands."""
        if self.policy is None:
            live.order = live.rank = (live.number,)
            return
        view = live.view(self.state.steps)
        live.order = (*parts(self.policy.key(view)), live.number)
        ranks = hasattr(self.policy, "rank")
        live.rank = (*parts(self.policy.rank(view)), live.number) if ranks else live.order

    def look(self, live: OracleRequest) -> None:
        """The policy looks at a request again, if it does so at all."""
        if not self.reviews:
            return
        wait = self.policy.review(live.view(self.state.steps))
        live.review = -1 if wait is None else self.state.steps + max(1, wait)
        self.place(live)

    def begin(self) -> None:
        """The step begins: requests whose time has come are looked at."""
        due = [live for live in self.state.lives if live.review == self.state.steps]
        for live in due:
            self.look(live)

    # ---- the queue -----------------------------------------------------------------------------

    @property
    def queue(self) -> list[OracleRequest]:
        """Requests that wait or are swapped out, in order; those put aside are not among them."""
        waiting = self.state.of_phase(Phase.WAITING, Phase.SWAPPED)
        first = self.state.config.swapped_first and not self.tenants

        def place(live: OracleRequest) -> tuple[Any, ...]:
            return (first and live.phase != Phase.SWAPPED, live.order)

        return sorted((live for live in waiting if live not in self.aside), key=place)

    def head(self) -> OracleRequest | None:
        """The first in the queue; with tenants, the first of the one whose turn it is."""
        queue = self.queue
        if queue and self.tenants:
            turn = self.policy.first(self.state.steps)
            queue = [live for live in queue if live.user.tenant == turn]
        return queue[0] if queue else None

    def others_wait(self, live: OracleRequest) -> bool:
        """Whether another request of its tenant waits."""
        return any(
            other is not live and other.user.tenant == live.user.tenant for other in self.queue
        )

    def tell(self, event: str, tenant: Hashable, *count: int) -> None:
        """Tells a policy that shares among tenants."""
        if self.tenants:
            getattr(self.policy, event)(tenant, *count, self.state.steps)

    def ended(self, gone: Iterable[OracleRequest], waited: set[Hashable]) -> None:
        """Requests have ended.

        Args:
            gone: which; they are no longer among the live ones.
            waited: tenants of which a request waited before.
        """
        if self.policy is None:
            return
        if hasattr(self.policy, "ended"):
            for live in gone:
                self.policy.ended(live.number)
        for tenant in sorted(waited - self.waiting_tenants(), key=str):
            self.tell("idle", tenant)

    def waiting_tenants(self) -> set[Hashable]:
        """Tenants of which a request waits."""
        return {live.user.tenant for live in self.queue}

    def put_aside(self, live: OracleRequest) -> None:
        """The request is passed for now."""
        self.aside.append(live)
        if not self.others_wait(live):
            self.tell("idle", live.user.tenant)

    def put_back(self) -> None:
        """Puts the requests that were passed back into the queue."""
        while self.aside:
            live = self.aside.pop(0)
            if not self.others_wait(live):
                self.tell("backlogged", live.user.tenant)

    # ---- requests that enter or are preempted --------------------------------------------------

    def enters(self, live: OracleRequest) -> None:
        """The request leaves the queue; it does not run yet."""
        if not self.others_wait(live):
            self.tell("idle", live.user.tenant)

    def entered(self, live: OracleRequest) -> None:
        """The request runs, for the first time or again."""
        self.look(live)
        if not live.started:
            self.tell("admitted", live.user.tenant, live.prompt)
        live.started = True

    def stops(self, live: OracleRequest) -> None:
        """The request is about to be preempted: none of its sequences decodes in every step."""
        for branch in live.branches:
            if branch.in_batch:
                branch.in_batch = False
                self.tell("decode_batch_changed", live.user.tenant, -1)

    def waits(self, live: OracleRequest) -> None:
        """The request waits from now on."""
        live.since = self.state.steps
        if not self.others_wait(live):
            self.tell("backlogged", live.user.tenant)
        self.look(live)

    # ---- questions -----------------------------------------------------------------------------

    def may_displace(self, head: OracleRequest, other: OracleRequest) -> bool:
        """Whether the policy lets the head of the queue displace a request that runs."""
        if self.policy is None:
            return False
        steps = self.state.steps
        return bool(self.policy.may_displace(head.view(steps), other.view(steps)))

    def share(self, live: OracleRequest) -> int | None:
        """Tokens of an unfinished prompt that the policy lets a step compute; None for no limit."""
        if not hasattr(self.policy, "share"):
            return None
        most = self.state.config.max_num_batched_tokens
        view = live.view(self.state.steps)
        share: int = self.policy.share(view, most, len(self.state.lives))
        return max(1, share)
