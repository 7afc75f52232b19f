"""Policies: one file each, deciding who comes first and never what is safe.

Guarantees: a policy is a key that never changes while the request lives, and a rule for who may
displace whom. It knows nothing about blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lineclear.policies.fcfs import FirstComeFirstServed
from lineclear.policies.priority import Priority
from lineclear.request import Request

__all__ = ["FirstComeFirstServed", "Policy", "Priority", "make"]


class Policy(Protocol):
    """What a policy answers."""

    name: str

    def key(self, request: Request) -> float | tuple[float, ...]:
        """Its place in the order: the smallest goes first, equal ones in order of arrival."""
        ...

    def may_displace(self, waiting: Request, running: Request) -> bool:
        """Whether the waiting one is so much more important that the running one gives way."""
        ...


def make(name: str) -> Policy:
    """The built-in policy of that name."""
    policies: dict[str, Callable[[], Policy]] = {
        "fcfs": FirstComeFirstServed,
        "priority": Priority,
    }
    return policies[name]()
