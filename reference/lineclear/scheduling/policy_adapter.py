"""Calls the policy; its errors and invalid answers cannot stop or corrupt the scheduler.

Invariant: what is kept of an answer is made of built-in types, so no code of the policy runs later. The
first invalid answer, exception or call back into the scheduler is reported once under the policy's name;
from then on the policy is asked nothing and requests are served in the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from lineclear.policies import Policy
from lineclear.policies.tenants import TenantPolicy
from lineclear.policies.validation import (
    at_least_one,
    name_of,
    numbers,
    report,
    steps,
    truth,
    whatever,
)
from lineclear.policies.view import View
from lineclear.request import SchedulerError

T = TypeVar("T")


class PolicyAdapter:
    """Asks one policy.

    Args:
        policy: the policy.

    Attributes:
        failures: what the policy did wrong; it is asked nothing after the first.
        interruption: an exception of a receiver, or one of the policy or of an eviction key that is a request to end
            the program. The call during which it came is finished, and the next call raises it.
        tenants: the policy, if it shares among tenants and has not failed.
        on_failure: called once, when the policy has failed.
    """

    def __init__(self, policy: Policy) -> None:
        """The policy has been asked nothing."""
        self.policy = policy
        self.name = name_of(policy)
        self.foreign = not type(policy).__module__.startswith("lineclear.policies.")
        self.failures: list[str] = []
        self.asking = False  # the policy, a receiver or an eviction key runs at this moment
        self.reentrancy_error: SchedulerError | None = (
            None  # it has called the scheduler meanwhile
        )
        self.interruption: BaseException | None = None
        self.widths: dict[str, int] = {}  # parts of a key and of a rank
        self.tenants = policy if isinstance(policy, TenantPolicy) else None
        self.ranks = hasattr(policy, "rank")
        self.shares = hasattr(policy, "share")
        self.closes = hasattr(policy, "ended")
        self.reviews = hasattr(policy, "review")
        self.on_failure: Callable[[], None] | None = None

    def ask(
        self, method: str, understand: Callable[[str, Any], T], otherwise: T, *arguments: Any
    ) -> T:
        """Calls a method of the policy; no more after one call that fails.

        Args:
            method: of the policy.
            understand: converts the answer to built-in types, or raises.
            otherwise: returned if the policy has failed, now or before.
            arguments: for the method.
        """
        if self.failures:
            return otherwise
        if self.asking:
            self.check_caller()  # it asks itself by way of the scheduler
        self.asking = True
        try:
            answer = understand(method, getattr(self.policy, method)(*arguments))
            if self.reentrancy_error is not None:
                raise self.reentrancy_error
        except BaseException as error:  # the next call raises what is no Exception
            self.fail(error)
            return otherwise
        finally:
            self.asking = False
        return otherwise if self.failures else answer

    def check_caller(self) -> None:
        """Refuses a call that the policy, a receiver or an eviction key makes, and raises what interrupted one before.

        Raises:
            SchedulerError: one of them runs at this moment.
        """
        if self.asking:
            self.reentrancy_error = SchedulerError(
                "a policy, or a function that a caller gave, may not call the scheduler meanwhile: call it afterwards"
            )
            raise self.reentrancy_error
        if self.interruption is not None:
            error, self.interruption = self.interruption, None
            raise error

    def fail(self, error: BaseException) -> None:
        """Reports the policy's first failure, and says so to the owner of the orders."""
        if not isinstance(error, Exception):
            self.interruption = error
        if self.failures:
            return
        self.failures.append(report(self.name, error))
        self.tenants = None
        if self.on_failure is not None:
            self.on_failure()

    # ---- what is asked -------------------------------------------------------------------------

    def places(self, view: View) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
        """The request's place among those that wait, and, if it differs, among those that run."""
        key = self.key(view)
        rank = self.key(view, "rank") if self.ranks else None
        return ((), None) if self.failures else (key, rank)

    def key(self, view: View, method: str = "key") -> tuple[Any, ...]:
        """The request's key or rank; the same for all, `()`, once the policy has failed."""
        return self.ask(method, self._place, (), view)

    def _place(self, method: str, answer: Any) -> tuple[Any, ...]:
        """A key that can be compared with every other key."""
        parts = numbers(method, answer)
        if self.widths.setdefault(method, len(parts)) != len(parts):
            raise TypeError(
                f"a {method} has as many parts as the first one, {self.widths[method]}, "
                f"not {answer!r}"
            )
        return parts

    def may_displace(self, waiting: View, running: View) -> bool:
        """Whether a waiting request may preempt a running one; never, once the policy has failed."""
        return self.ask("may_displace", truth, False, waiting, running)

    def share(self, view: View, budget: int, sharers: int) -> int:
        """Tokens of an unfinished prompt that the policy lets a step compute, at least 1."""
        return self.ask("share", at_least_one, budget, view, budget, sharers)

    def review(self, view: View) -> int | None:
        """After how many steps the policy wants to look at the request again, or None."""
        return self.ask("review", steps, None, view)

    def tell(self, event: str, tenant: Hashable, count: int, step: int) -> None:
        """Tells a policy that shares among tenants what a request of one of them got.

        Args:
            event: name of the policy's method.
            tenant: whose request it is.
            count: tokens or sequences, as the method says.
            step: the step.
        """
        if self.tenants is not None:
            self.ask(event, whatever, None, tenant, count, step)

    def closed(self, view: View) -> None:
        """Tells the policy that a request has ended."""
        self.ask("ended", whatever, None, view)
