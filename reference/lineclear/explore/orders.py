"""The part of a state's key that depends on the policy.

Guarantees: two worlds in which this is equal, and all that `keys.py` looks at besides, are asked and
answered alike for ever after, up to names and clocks. It knows one thing about each built-in policy:
by what its answers may be shifted. A walk at random meets equal worlds by different ways and holds
their moves against each other (tests/reference/explore/test_orders.py).

still      nothing: the order of any two requests, present or to come, rests on what they are
shifted    a request counts from its arrival; what matters is by how much it is before the next one
remembers  the policy has accounts or looks at progress, and is part of a frozen world
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from lineclear.policies import make
from lineclear.policies.drr import DeficitRoundRobin
from lineclear.policies.mlfq import MultiLevelFeedbackQueue
from lineclear.policies.view import View
from lineclear.policies.vtc import VirtualTokenCounter
from lineclear.request import Request

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.explore.bounds import RequestShape, SearchBounds
    from lineclear.scheduler import Scheduler

#: Names and tokens of one family.
MEMBERS = 100
#: Whose order rests on arrivals besides on what a request is.
SHIFTED = frozenset({"aging", "sjf_aging", "edf", "ceiling"})
REMEMBERS = frozenset({"vtc", "drr", "mlfq"})


def shifted(config: Config) -> bool:
    """Whether requests need an arrival time, a second for each arrival."""
    options = dict(config.policy_options)
    aged = config.scheduling_policy in ("sjf", "lpl") and options.get("seconds_per_token", 0) > 0
    return config.scheduling_policy in SHIFTED or aged


def remembers(config: Config) -> bool:
    """Whether the policy itself is part of a state."""
    return config.scheduling_policy in REMEMBERS


def request_of(shape: RequestShape, name: int, *, timed: bool) -> Request:
    """The request that arrives, as the caller submits it."""
    now = float(name) if timed else 0.0
    return Request(
        request_id=name,
        prompt_tokens=shape.prompt,
        max_tokens=shape.most,
        n=shape.n,
        priority=shape.priority,
        arrival_time=now,
        tenant=shape.tenant,
        deadline=None if shape.slack is None else now + shape.slack,
        predicted_tokens=shape.guess,
        prefix_names=names_of(shape),
        may_fork_later=shape.later,
    )


def names_of(shape: RequestShape) -> tuple[int, ...]:
    """Names for as many blocks as its prompt may have: equal in one family, at one place."""
    return (
        tuple(MEMBERS * shape.family + k + 1 for k in range(shape.prompt)) if shape.family else ()
    )


def tokens_of(shape: RequestShape) -> list[int] | None:
    """The tokens of its prompt: those of its family, or any."""
    first = MEMBERS * shape.family
    return [-first - k - 1 for k in range(shape.prompt)] if shape.family else None


def least(bounds: SearchBounds) -> float:
    """The smallest key that a request could have that arrives as number 0, at 0 seconds."""
    config = bounds.config
    policy = make(config.scheduling_policy, dict(config.policy_options))
    keys = [policy.key(View(request_of(s, 0, timed=True), 0)) for s in bounds.shapes]
    return min(moment(key if isinstance(key, tuple) else (key,)) for key in keys)


def moment(key: tuple[Any, ...]) -> float:
    """The time in a key that moves with arrivals; infinite for a request without a deadline.

    Args:
        key: its first part, unless it is of the policy `edf`, which has two: 1 if there is no
            deadline, else 0; and the deadline.
    """
    without, *deadline = key
    if not deadline:
        return float(without)
    return math.inf if without else float(deadline[0])


class WorldOfPolicy(Protocol):
    """What a policy's part of the key reads of a world."""

    @property
    def bounds(self) -> SearchBounds:
        """Its sizes and settings."""
        ...

    @property
    def scheduler(self) -> Scheduler:
        """Its scheduler."""
        ...

    @property
    def least(self) -> float:
        """The earliest moment that a request's key may have, counted from its arrival."""
        ...


def kept(world: WorldOfPolicy, live: list[Any]) -> tuple[Any, ...]:
    """The policy's part of a state's key."""
    config = world.bounds.config
    if shifted(config):
        next_one = world.scheduler.arrivals + 1
        floor = world.least - 1  # before every request that may still arrive
        before = tuple([max(moment(entry.order[:-1]) - next_one, floor) for entry in live])
        return before + ties(live) if config.scheduling_policy == "edf" else before
    policy: Any = world.scheduler.policy
    for kind, key in KEYS.items():
        if isinstance(policy, kind):
            return key(world, live, policy)
    return ()


def ties(live: list[Any]) -> tuple[bool, ...]:
    """Which neighbours in the order have equal keys: an equal deadline displaces no request."""
    ordered = sorted(live, key=lambda entry: entry.order)
    return tuple([one.order[:-1] == other.order[:-1] for one, other in pairwise(ordered)])


def owners(live: list[Any]) -> set[Any]:
    """Tenants of whom a request lives, so that something may still be charged."""
    return {entry.tenant for entry in live}


def of_vtc(world: WorldOfPolicy, live: list[Any], policy: VirtualTokenCounter) -> tuple[Any, ...]:
    """Counters above the virtual time, and in which order those that wait began to."""
    step, charged = world.scheduler.ledger.steps, owners(live)
    found: list[Any] = []
    for tenant, account in sorted(policy.accounts.items(), key=str):
        above = policy.charged(tenant, step) - policy.virtual
        if tenant not in charged:
            above = max(above, 0)  # it would be lifted
            if not above:
                continue
        found.append((tenant, above, account.rate, account.waiting))
    turns = sorted(policy.turn, key=policy.turn.__getitem__)
    return tuple(found), tuple(turns)


def of_drr(world: WorldOfPolicy, live: list[Any], policy: DeficitRoundRobin) -> tuple[Any, ...]:
    """Credits, with what the rounds have earned those that wait for nothing; and the round."""
    step, charged = world.scheduler.ledger.steps, owners(live)
    found: list[Any] = []
    for tenant, account in sorted(policy.accounts.items(), key=str):
        credit = policy.credit(tenant, step)
        if tenant in policy.left:
            credit += policy.turn.given - policy.left[tenant]
        if not account.waiting:
            if tenant not in charged:
                credit = min(credit, 0)
            if tenant not in charged and not credit:
                continue  # as if it had never been here
        found.append((tenant, credit, account.rate, account.waiting))
    return tuple(found), tuple(policy.round), policy.turn.begun


def of_mlfq(
    world: WorldOfPolicy, live: list[Any], policy: MultiLevelFeedbackQueue
) -> tuple[Any, ...]:
    """Levels, since when nothing is generated, and when each request is reviewed next."""
    ledger = world.scheduler.ledger
    found: list[Any] = []
    for entry in live:
        number, generated = entry.number, entry.view(ledger).generated
        seen, since = policy.seen.get(number, (-1, ledger.steps))
        base = policy.promoted.get(number)
        found.append(
            (
                entry.order[0],
                entry.rank[0],
                generated - seen,
                ledger.steps - since,
                None if base is None else generated - base,
                entry.review - ledger.steps if entry.review >= 0 else -inf,
            )
        )
    return tuple(found)


KEYS: dict[type[Any], Callable[[WorldOfPolicy, list[Any], Any], tuple[Any, ...]]] = {
    VirtualTokenCounter: of_vtc,
    DeficitRoundRobin: of_drr,
    MultiLevelFeedbackQueue: of_mlfq,
}
