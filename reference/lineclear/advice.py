"""The policy, asked and told: whatever it answers or raises, everybody keeps a place.

Guarantees: an answer that makes no sense, or an exception, is reported once under the policy's
name, and the order is that of arrival from then on; nothing else changes by it. It knows nothing
about blocks and takes no action of the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any

from lineclear.config import Config
from lineclear.entry import Entry, RunningOrder, WaitingQueue
from lineclear.policies import Policy, make
from lineclear.policies.tenants import TenantPolicy
from lineclear.quick import QuickLedger
from lineclear.tenants import TenantQueue
from lineclear.view import View
from lineclear_spec.ledger import Ledger
from lineclear_spec.lifecycle import Phase

__all__ = ["Advice"]


class Advice:
    """Every live request, where the policy puts it.

    Args:
        config: settings.
        policy: who comes first; the one that `config` names if None.

    Attributes:
        entries: live requests by id.
        running: those that run, by rank.
        queue: those that wait or are swapped out, by key.
        policy_failures: what the policy did wrong; it is asked nothing after the first.
    """

    def __init__(self, config: Config, policy: Policy | None) -> None:
        """Nothing is live."""
        self.config = config
        self.policy = policy or make(config.scheduling_policy, dict(config.policy_options))
        self.ledger: Ledger = QuickLedger(config.limits())
        self.entries: dict[Hashable, Entry] = {}
        self.running = RunningOrder()
        self.queue = WaitingQueue(config.swapped_first)
        self.tenants: TenantPolicy | None = None
        if isinstance(self.policy, TenantPolicy):
            self.tenants = self.policy
            self.queue = TenantQueue(self.policy, self._steps, self.policy_failed)
        self.ranks = hasattr(self.policy, "rank")
        self.closes = hasattr(self.policy, "ended")
        self.reviews: dict[int, list[Entry]] | None = None  # by the step before which they are due
        if hasattr(self.policy, "review"):
            self.reviews = {}
        self.policy_failures: list[str] = []

    def _steps(self) -> int:
        """Steps issued so far."""
        return self.ledger.steps

    def enter(self, entry: Entry) -> None:
        """A request that was accepted stands in the queue."""
        self.entries[entry.name] = entry
        self.wait(entry)

    def wait(self, entry: Entry) -> None:
        """The request waits from now on."""
        entry.since = self.ledger.steps
        self.queue.push(entry)
        if self.reviews is not None:
            self.look_again(entry)

    def places(self, view: View) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
        """Where the request stands among those that wait, and, if that differs, that run."""
        key = self.key(view)
        return key, self.key(view, "rank") if self.ranks else None

    def key(self, view: View, method: str = "key") -> tuple[Any, ...]:
        """The policy's key, or none (first come, first served) for all once it has failed."""
        if self.policy_failures:
            return ()
        try:
            asked: Callable[[View], object] = getattr(self.policy, method)
            answer: Any = asked(view)
            if type(answer) is int:
                return (answer,)
            parts: tuple[Any, ...] = (answer,)
            if isinstance(answer, tuple):
                parts = answer  # pyright: ignore[reportUnknownVariableType]
            if not parts or not all(map(is_number, parts)):
                raise TypeError(f"a {method} is a number or a tuple of numbers, not {answer!r}")
        except Exception as error:
            self.policy_failed(error)
            return ()
        return parts

    def may_displace(self, waiting: Entry, running: Entry) -> bool:
        """The policy's answer; never, once it has failed."""
        if self.policy_failures:
            return False
        try:
            ledger = self.ledger
            answer: Any = self.policy.may_displace(waiting.view(ledger), running.view(ledger))
            if answer not in (True, False):
                raise TypeError(f"may_displace answers True or False, not {answer!r}")
        except Exception as error:
            self.policy_failed(error)
            return False
        return bool(answer)

    def share(self, entry: Entry, budget: int, sharers: int) -> int:
        """Tokens of an unfinished prompt that the policy lets a step compute, at least 1."""
        if self.policy_failures:
            return budget
        try:
            asked: Callable[[View, int, int], object] = getattr(self.policy, "share")  # noqa: B009
            return at_least_one("share", asked(entry.view(self.ledger), budget, sharers))
        except Exception as error:
            self.policy_failed(error)
            return budget

    def tell(self, event: str, entry: Entry, count: int) -> None:
        """Tells a policy that shares among tenants what became of one of theirs."""
        if self.tenants is None:
            return
        try:
            asked: Callable[[Hashable, int, int], None] = getattr(self.tenants, event)
            asked(entry.tenant, count, self.ledger.steps)
        except Exception as error:
            self.policy_failed(error)

    def review(self) -> None:
        """Asks anew about requests of which the policy said that it would look again by now."""
        if not self.reviews:
            return
        due = self.reviews.pop(self.ledger.steps, ())
        for entry in due:
            if self.entries.get(entry.name) is entry and entry.review == self.ledger.steps:
                self.look_again(entry)

    def look_again(self, entry: Entry) -> None:
        """The policy looks at the request: where it stands now, and when to look again."""
        if self.reviews is None:
            return
        try:
            asked: Callable[[View], object] = getattr(self.policy, "review")  # noqa: B009
            answer = asked(entry.view(self.ledger))
            steps = None if answer is None else at_least_one("number of steps", answer)
        except Exception as error:
            self.policy_failed(error)
            return
        entry.review = -1
        if steps is not None:
            entry.review = self.ledger.steps + steps
            self.reviews.setdefault(entry.review, []).append(entry)
        key, rank = self.places(entry.view(self.ledger))
        order = (*key, entry.number)
        rank = order if rank is None else (*rank, entry.number)
        if self.policy_failures or (order == entry.order and rank == entry.rank):
            return  # one that has just failed has set everybody's place
        if entry.record.phase == Phase.RUNNING:
            self.running.remove(entry)
            entry.order, entry.rank = order, rank
            self.running.add(entry)
        else:
            self.queue.leave(entry)
            entry.order, entry.rank = order, rank
            self.queue.push(entry)

    def closed(self, entry: Entry) -> None:
        """The request has ended, if the policy wants to know."""
        if not self.closes or self.policy_failures:
            return
        try:
            asked: Callable[[View], None] = getattr(self.policy, "ended")  # noqa: B009
            asked(entry.view(self.ledger))
        except Exception as error:
            self.policy_failed(error)

    def policy_failed(self, error: Exception) -> None:
        """First come, first served from now on; the failure is told under the policy's name."""
        name = getattr(self.policy, "name", type(self.policy).__name__)
        self.policy_failures.append(f"{name}: {type(error).__name__}: {error}")
        self.tenants = self.reviews = None
        running = list(self.running.entries.values())
        self.running = RunningOrder()
        for entry in self.entries.values():
            entry.order = entry.rank = (entry.number,)
        for entry in running:
            self.running.add(entry)
        self.queue.rebuild(tuple(self.queue))


def at_least_one(what: str, answer: object) -> int:
    """A whole number of at least 1, as a policy must answer it."""
    if isinstance(answer, bool) or not isinstance(answer, int) or answer < 1:
        raise TypeError(f"a {what} is a whole number of at least 1, not {answer!r}")
    return answer


def is_number(part: object) -> bool:
    """Whether it can stand in an order: a number, and not NaN."""
    return isinstance(part, int | float) and not isinstance(part, bool) and not math.isnan(part)
