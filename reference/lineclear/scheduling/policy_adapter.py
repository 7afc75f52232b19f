"""The policy, asked and told: whatever it answers or raises, everybody keeps a place.

Guarantees: an answer that makes no sense, an exception, or a call of the scheduler while it asks is
reported once under the policy's name, and the order is that of arrival from then on; nothing else
changes by it. What is kept of an answer is made of built-in types, so that no code of the policy
runs later. It knows nothing about blocks and takes no action of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from lineclear.answers import at_least_one, name_of, numbers, report, steps, truth, whatever
from lineclear.config import Config
from lineclear.policies import Policy, make
from lineclear.policies.tenants import TenantPolicy
from lineclear.quick import QuickLedger
from lineclear.request import SchedulerError
from lineclear.scheduling.queues import Entry, RunningOrder, WaitingQueue
from lineclear.scheduling.tenant_queue import TenantQueue
from lineclear.view import View
from lineclear_spec.ledger import Ledger
from lineclear_spec.lifecycle import Phase

__all__ = ["Advice"]

T = TypeVar("T")
#: Looks at requests that are no longer due, before they are forgotten.
FORGOTTEN = 64


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
        interruption: raised by the policy and no `Exception` (somebody wants the program to stop):
            the call in whose midst it came is finished, the next one raises it.
    """

    def __init__(self, config: Config, policy: Policy | None) -> None:
        """Nothing is live."""
        self.config = config
        self.policy = policy or make(config.scheduling_policy, dict(config.policy_options))
        self.ledger: Ledger = QuickLedger(config.limits())
        self.entries: dict[Hashable, Entry] = {}
        self.running = RunningOrder()
        self.queue = WaitingQueue(config.swapped_first)
        self.policy_name = name_of(self.policy)
        self.foreign = not type(self.policy).__module__.startswith("lineclear.policies.")
        self.policy_failures: list[str] = []
        self.asking = False  # the policy is being asked, or told
        self.trespass: SchedulerError | None = None  # it has called the scheduler meanwhile
        self.interruption: BaseException | None = None
        self.widths: dict[str, int] = {}  # parts of a key and of a rank
        self.tenants: TenantPolicy | None = None
        if isinstance(self.policy, TenantPolicy):
            self.tenants = self.policy
            self.queue = TenantQueue(self.ask, self._steps, config.swapped_first)
        self.ranks = hasattr(self.policy, "rank")
        self.shares = hasattr(self.policy, "share")
        self.closes = hasattr(self.policy, "ended")
        self.reviews: dict[int, list[Entry]] | None = None  # by the step before which they are due
        if hasattr(self.policy, "review"):
            self.reviews = {}
        self.reviewed = 0  # entries in these lists

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

    def ask(
        self, method: str, understand: Callable[[str, Any], T], otherwise: T, *arguments: Any
    ) -> T:
        """Asks or tells the policy something, once and for all if that fails.

        Args:
            method: of the policy.
            understand: makes the answer plain, or raises.
            otherwise: the answer of a policy that has failed, now or before.
            arguments: for the method.
        """
        if self.policy_failures:
            return otherwise
        if self.asking:
            self.answer_for()  # it asks itself by way of the scheduler
        self.asking = True
        try:
            answer = understand(method, getattr(self.policy, method)(*arguments))
            if self.trespass is not None:
                raise self.trespass
        except BaseException as error:  # the next call raises what is no Exception
            self.policy_failed(error)
            return otherwise
        finally:
            self.asking = False
        return otherwise if self.policy_failures else answer

    def answer_for(self) -> None:
        """Refuses a call that the policy makes, and raises what interrupted it before.

        Raises:
            SchedulerError: the policy is being asked something.
        """
        if self.asking:
            self.trespass = SchedulerError("a policy may not call the scheduler that asks it")
            raise self.trespass
        if self.interruption is not None:
            error, self.interruption = self.interruption, None
            raise error

    def places(self, view: View) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
        """Where the request stands among those that wait, and, if that differs, that run."""
        key = self.key(view)
        rank = self.key(view, "rank") if self.ranks else None
        return ((), None) if self.policy_failures else (key, rank)

    def key(self, view: View, method: str = "key") -> tuple[Any, ...]:
        """The policy's key, or none (first come, first served) for all once it has failed."""
        return self.ask(method, self._place, (), view)

    def _place(self, method: str, answer: Any) -> tuple[Any, ...]:
        """A key as it can be compared with every other."""
        parts = numbers(method, answer)
        if self.widths.setdefault(method, len(parts)) != len(parts):
            raise TypeError(
                f"a {method} has as many parts as the first one, {self.widths[method]}, "
                f"not {answer!r}"
            )
        return parts

    def may_displace(self, waiting: View, running: Entry) -> bool:
        """The policy's answer; never, once it has failed."""
        if self.policy_failures:
            return False
        return self.ask("may_displace", truth, False, waiting, running.view(self.ledger))

    def share(self, entry: Entry, budget: int, sharers: int) -> int:
        """Tokens of an unfinished prompt that the policy lets a step compute, at least 1."""
        view = entry.view(self.ledger)
        return self.ask("share", at_least_one, budget, view, budget, sharers)

    def tell(self, event: str, entry: Entry, count: int) -> None:
        """Tells a policy that shares among tenants what became of one of theirs."""
        if self.tenants is not None:
            self.ask(event, whatever, None, entry.tenant, count, self.ledger.steps)

    def review(self) -> None:
        """Asks anew about requests of which the policy said that it would look again by now."""
        if not self.reviews:
            return
        due = self.reviews.pop(self.ledger.steps, ())
        self.reviewed -= len(due)
        for entry in due:
            if self.entries.get(entry.name) is entry and entry.review == self.ledger.steps:
                self.look_again(entry)

    def look_again(self, entry: Entry) -> None:
        """The policy looks at the request: where it stands now, and when to look again."""
        if self.reviews is None:
            return
        wait = self.ask("review", steps, None, entry.view(self.ledger))
        if self.policy_failures:
            return
        entry.review = -1
        if wait is not None:
            entry.review = self.ledger.steps + wait
            self.reviews.setdefault(entry.review, []).append(entry)
            self.reviewed += 1
            if self.reviewed > FORGOTTEN + 4 * len(self.entries):
                self._forget_reviews()
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

    def _forget_reviews(self) -> None:
        """Keeps the last look at each live request alone: a far one would be kept for as long."""
        kept: dict[int, list[Entry]] = {}
        for entry in self.entries.values():
            if entry.review > self.ledger.steps:
                kept.setdefault(entry.review, []).append(entry)
        self.reviews, self.reviewed = kept, sum(map(len, kept.values()))

    def closed(self, entry: Entry) -> None:
        """The request has ended, if the policy wants to know."""
        if self.closes and not self.policy_failures:
            self.ask("ended", whatever, None, entry.view(self.ledger))

    def policy_failed(self, error: BaseException) -> None:
        """First come, first served from now on; the failure is told under the policy's name."""
        if not isinstance(error, Exception):
            self.interruption = error
        if self.policy_failures:
            return
        self.policy_failures.append(report(self.policy_name, error))
        self.tenants = self.reviews = None
        running = list(self.running.entries.values())
        self.running = RunningOrder()
        for entry in self.entries.values():
            entry.order = entry.rank = (entry.number,)
        for entry in running:
            self.running.add(entry)
        self.queue.rebuild(tuple(self.queue))
