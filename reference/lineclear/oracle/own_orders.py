"""A second, slow implementation of the built-in policies, from the events of requests alone.

Guarantees: nothing here runs the functions of a policy; its settings are read once. Tenants are charged
by plain sums over plans, whether or not their sequences are in the decode batch; turns are taken one by one; a level is
found by looking at each in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear.oracle.own_tenants import Turns, VirtualTokenCounters
from lineclear.policies.aging import Aging
from lineclear.policies.ceiling import Ceiling
from lineclear.policies.drr import DeficitRoundRobin
from lineclear.policies.edf import EarliestDeadlineFirst
from lineclear.policies.fair import Fair
from lineclear.policies.fcfs import FirstComeFirstServed
from lineclear.policies.hybrid import Hybrid
from lineclear.policies.longest_prefill_last import LongestPrefillLast
from lineclear.policies.mlfq import MultiLevelFeedbackQueue
from lineclear.policies.priority import Priority
from lineclear.policies.sjf import AgingShortestJobFirst, ShortestJobFirst
from lineclear.policies.view import View
from lineclear.policies.vtc import VirtualTokenCounter


class Arrivals:
    """The order of arrival."""

    def __init__(self, policy: Any) -> None:
        """Reads the settings."""

    def key(self, view: View) -> Any:
        """The key of a waiting request; equal keys are ordered by arrival."""
        return 0

    def may_displace(self, waiting: View, running: View) -> bool:
        """Whether the one that waits may preempt the one that runs."""
        return False


class Priorities(Arrivals):
    """More important requests first."""

    def key(self, view: View) -> Any:
        """The most important first."""
        return -view.priority

    def may_displace(self, waiting: View, running: View) -> bool:
        """A less important request."""
        return waiting.priority > running.priority


class Aged(Priorities):
    """A priority is worth seconds of arrival."""

    def __init__(self, policy: Any) -> None:
        self.seconds = policy.seconds_per_level

    def key(self, view: View) -> Any:
        """The time at which a request of priority 0 would have to arrive."""
        return view.arrival_time - self.seconds * view.priority

    def may_displace(self, waiting: View, running: View) -> bool:
        """A less important request that comes later in the order."""
        return super().may_displace(waiting, running) and self.key(waiting) < self.key(running)


class HeadStarts(Aged):
    """A priority is worth a number of arrivals."""

    def __init__(self, policy: Any) -> None:
        self.arrivals, self.top = policy.ceiling, policy.levels - 1

    def key(self, view: View) -> Any:
        """The number that a request of priority 0 would have to have."""
        level = view.priority if 0 <= view.priority <= self.top else self.top * (view.priority > 0)
        return view.number - level * self.arrivals


class Shortest(Arrivals):
    """The least work first; with a price of a token, by the time of arrival and that."""

    def __init__(self, policy: Any) -> None:
        self.seconds = policy.seconds_per_token

    def work(self, view: View) -> int:
        """Tokens that the request is going to generate, as far as anybody can say."""
        guess = view.predicted_tokens
        return view.max_tokens if guess is None or guess > view.max_tokens else guess

    def key(self, view: View) -> Any:
        """The least first."""
        work = self.work(view)
        return view.arrival_time + self.seconds * work if self.seconds else work


class ShortestPrompts(Shortest):
    """The same by prompts."""

    def work(self, view: View) -> int:
        """Tokens of the prompt."""
        return view.prompt_tokens


class Deadlines(Arrivals):
    """The earliest deadline first, and then requests without one."""

    def key(self, view: View) -> Any:
        """The deadline, if there is one."""
        return (1, 0) if view.deadline is None else (0, view.deadline)

    def may_displace(self, waiting: View, running: View) -> bool:
        """A request with a later deadline, or with none."""
        if waiting.deadline is None:
            return False
        return running.deadline is None or waiting.deadline < running.deadline


class PriorityThenArrival(Priorities):
    """The most important enters first; those that run are served as they arrived."""

    def rank(self, view: View) -> Any:
        """The same for all."""
        return 0

    def may_displace(self, waiting: View, running: View) -> bool:
        """Never."""
        return False


class Shares(Arrivals):
    """The order of arrival, and the same part of a step for each live request."""

    def share(self, view: View, budget: int, live: int) -> int:
        """Tokens of an unfinished prompt in one step."""
        return max(1, budget // live)


class Levels(Arrivals):
    """Levels by what was generated; a request that generates nothing for long goes to the top."""

    def __init__(self, policy: Any) -> None:
        self.quantum, self.bottom = policy.quantum, policy.levels - 1
        self.after = policy.promote_after
        self.top_at: dict[int, int] = {}  # tokens at its promotion, by number of the arrival
        self.last: dict[int, tuple[int, int]] = {}  # tokens, and the step that showed them first

    def level(self, view: View, more: int = 0) -> int:
        """The level after so many more tokens: each has room for twice the tokens of the one above."""
        left = view.generated + more - self.top_at.get(view.number, -view.prompt_tokens)
        level, room = 0, self.quantum
        while left > room and level < self.bottom:
            left, level, room = left - room, level + 1, 2 * room
        return level

    def key(self, view: View) -> Any:
        """The upper level first."""
        return self.level(view)

    def may_displace(self, waiting: View, running: View) -> bool:
        """A request on a lower level."""
        return self.level(waiting) < self.level(running)

    def review(self, view: View) -> int:
        """Looks at a request; steps until its level may change."""
        tokens, since = self.last.get(view.number, (-1, view.step))
        if view.generated != tokens:
            since = view.step
        elif view.step - since >= self.after:
            self.top_at[view.number] = view.generated
            since = view.step
        self.last[view.number] = (view.generated, since)
        due: int = since + self.after - view.step
        if view.waiting is None:  # it runs, and may generate a token in each step
            here = self.level(view)
            return next((n for n in range(1, due) if self.level(view, n) != here), due)
        return due

    def ended(self, number: int) -> None:
        """The request has ended."""
        self.top_at.pop(number, None)
        self.last.pop(number, None)


#: The statement of each built-in policy.
OWN: dict[type[Any], Callable[[Any], Any]] = {
    FirstComeFirstServed: Arrivals,
    Priority: Priorities,
    Aging: Aged,
    Ceiling: HeadStarts,
    ShortestJobFirst: Shortest,
    AgingShortestJobFirst: Shortest,
    LongestPrefillLast: ShortestPrompts,
    EarliestDeadlineFirst: Deadlines,
    Hybrid: PriorityThenArrival,
    Fair: Shares,
    MultiLevelFeedbackQueue: Levels,
    VirtualTokenCounter: VirtualTokenCounters,
    DeficitRoundRobin: Turns,
}


def own_order(policy: Any) -> Any:
    """The oracle's own statement of a policy that nothing was asked yet; None of one not built in."""
    made = next((own for kind, own in OWN.items() if policy.__class__ is kind), None)
    return None if made is None else made(policy)
