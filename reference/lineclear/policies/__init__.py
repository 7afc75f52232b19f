"""Policies: one file each, deciding who comes first and never what is safe.

Guarantees: whatever a policy answers, the table of actions stays in force; an answer that makes no sense is reported
under the policy's name, and the order is that of arrival from then on. A policy never sees blocks.

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
                      `budget` tokens for `sharers` requests; unused tokens go to the first

and it shares among tenants if it is a `TenantPolicy` (`policies/tenants.py`). With `may_starve` set to True it says
that an endless stream of others may keep a request waiting for ever, which `lineclear check` and `lineclear explore`
then tell and do not count as a failure. The whole interface, with an example: docs/policy_interface.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

from lineclear.policies.fcfs import FirstComeFirstServed
from lineclear.policies.priority import Priority
from lineclear.policies.validation import one_line
from lineclear.policies.view import View

__all__ = [
    "BUILT_IN", "FirstComeFirstServed", "Key", "Policy", "Priority", "load_claims", "make", "may_starve",
]  # fmt: skip

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
    """The interface of a policy."""

    name: str

    def key(self, request: View) -> Key:
        """Its place among those that wait: the smallest goes first, equal ones as they arrived."""
        ...

    def may_displace(self, waiting: View, running: View) -> bool:
        """Whether the waiting one is so much more important that the running one is preempted."""
        ...


def load_claims() -> None:
    """Imports the claims of every built-in policy, so that they are among the theorems."""
    for path in BUILT_IN.values():
        package, _, module = path.partition(":")[0].rpartition(".")
        import_module(f"{package}.claims.{module}")
    import_module("lineclear.theorems.entering")


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
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        raise ValueError(f"policy {name}: {one_line(error_text(error))}") from error
    chosen = dict(options or {})
    try:
        taken = inspect.signature(found).parameters
        for option in chosen:
            if option not in taken:
                known = ", ".join(taken) or "none"
                raise ValueError(f"policy {name} has no option {option}; it has {known}")
        made: Policy = found(**chosen)
    except Exception as error:
        said = one_line(error_text(error))
        raise ValueError(
            said if said.startswith("policy ") else f"policy {name}: {said}"
        ) from error
    if name not in BUILT_IN:
        from lineclear.policies.interface import complaints

        for complaint in complaints(made):
            raise ValueError(f"policy {name}: {complaint}")
    return made


def error_text(error: BaseException) -> str:
    """The text of an error, with its class unless the text suffices."""
    if isinstance(error, ImportError | AttributeError | TypeError | ValueError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def may_starve(policy: object) -> bool:
    """Whether the policy says of itself that a request may wait for ever."""
    return getattr(policy, "may_starve", False) is True
