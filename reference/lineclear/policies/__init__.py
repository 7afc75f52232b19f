"""Policies: one file each, deciding who comes first and never what is safe.

Guarantees: whatever a policy answers, the table of actions stays in force; an answer that makes no
sense is reported under the policy's name, and the order is that of arrival from then on. A policy
knows nothing about blocks.

A policy must have a `name` and the two methods of `Policy`. It may have more, each of which is
called only if it is there:

    rank(view)        its place among those that run; `key` if the policy has no rank. Who runs and
                      ranks first is served first and is never preempted for another
    review(view)      called when the request arrives, starts or stops to run, and again after as
                      many steps as it answers (None: not before the next of these); its key and
                      rank are asked for anew afterwards
    ended(view)       called when the request has ended
    share(view, budget, sharers)
                      how many tokens of an unfinished prompt one step computes at most, of
                      `budget` tokens for `sharers` requests; what nobody uses goes to the first

and it shares among tenants if it is a `TenantPolicy` (`policies/tenants.py`).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

from lineclear.policies.fcfs import FirstComeFirstServed
from lineclear.policies.priority import Priority
from lineclear.view import View

__all__ = ["BUILT_IN", "FirstComeFirstServed", "Key", "Policy", "Priority", "load_claims", "make"]

#: Numbers, compared from left to right.
Key = float | tuple[float, ...]

#: Where each built-in policy lives.
BUILT_IN: dict[str, str] = {
    "fcfs": "lineclear.policies.fcfs:FirstComeFirstServed",
    "priority": "lineclear.policies.priority:Priority",
    "aging": "lineclear.policies.aging:Aging",
    "sjf": "lineclear.policies.sjf:ShortestJobFirst",
    "sjf_aging": "lineclear.policies.sjf:AgingShortestJobFirst",
    "edf": "lineclear.policies.edf:EarliestDeadlineFirst",
    "lpl": "lineclear.policies.longest_prefill_last:LongestPrefillLast",
    "hybrid": "lineclear.policies.hybrid:Hybrid",
    "ceiling": "lineclear.policies.ceiling:Ceiling",
    "fair": "lineclear.policies.fair:Fair",
    "vtc": "lineclear.policies.vtc:VirtualTokenCounter",
    "drr": "lineclear.policies.drr:DeficitRoundRobin",
    "mlfq": "lineclear.policies.mlfq:MultiLevelFeedbackQueue",
}


class Policy(Protocol):
    """What a policy answers."""

    name: str

    def key(self, request: View) -> Key:
        """Its place among those that wait: the smallest goes first, equal ones as they arrived."""
        ...

    def may_displace(self, waiting: View, running: View) -> bool:
        """Whether the waiting one is so much more important that the running one gives way."""
        ...


def load_claims() -> None:
    """Imports every built-in policy, so that what it claims is among the theorems."""
    for path in BUILT_IN.values():
        import_module(path.partition(":")[0])


def make(name: str, options: Mapping[str, Any] | None = None) -> Policy:
    """The policy of that name, built in or `module:Class` of the user's own.

    Raises:
        ValueError: there is none, or it does not take these options; the message is one line.
    """
    path = BUILT_IN.get(name, name)
    module, separator, attribute = path.partition(":")
    if not separator:
        raise ValueError(
            f"there is no policy {name!r}; known are {', '.join(BUILT_IN)}, or module:Class"
        )
    try:
        found: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"policy {name}: {error}") from error
    chosen = dict(options or {})
    try:
        taken = inspect.signature(found).parameters
        for option in chosen:
            if option not in taken:
                known = ", ".join(taken) or "none"
                raise ValueError(f"policy {name} has no option {option}; it has {known}")
        made: Policy = found(**chosen)
    except TypeError as error:
        raise ValueError(f"policy {name}: {error}") from error
    return made
