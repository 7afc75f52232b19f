"""Checks the interface of a policy before the scheduler calls it.

Guarantees: a policy without complaints here can be called as the scheduler calls it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lineclear.policies.tenants import TenantPolicy

#: Methods that a policy must have, may have, and must have if it shares among tenants: what they are called with.
NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"key": ("view",), "may_displace": ("waiting", "running")}
)
OPTIONAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "rank": ("view",),
        "review": ("view",),
        "ended": ("view",),
        "share": ("view", "budget", "sharers"),
    }
)
OF_TENANTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "first": ("step",),
        "backlogged": ("tenant", "step"),
        "idle": ("tenant", "step"),
        "admitted": ("tenant", "tokens", "step"),
        "sampled": ("tenant", "tokens", "step"),
        "decode_batch_changed": ("tenant", "change", "step"),
    }
)


def complaints(policy: Any) -> list[str]:
    """The reasons why an object is no policy, one line each."""
    found: list[str] = []
    if type(getattr(policy, "name", None)) is not str or not policy.name:
        found.append("it has no `name`, a text under which its failures are reported")
    methods = dict(NEEDED)
    if isinstance(policy, TenantPolicy):
        methods |= OF_TENANTS
    for method in methods:
        if not hasattr(policy, method):
            found.append(f"it has no method {method}({', '.join(methods[method])})")
    for method, arguments in {**methods, **OPTIONAL}.items():
        if hasattr(policy, method):
            found += uncallable(method, getattr(policy, method), arguments)
    return found


def uncallable(name: str, method: Any, arguments: tuple[str, ...]) -> list[str]:
    """The reason why it cannot be called with these arguments, if any."""
    called = f"{name}({', '.join(arguments)})"
    if not callable(method):
        return [f"`{name}` is {method!r}, not a method {called}"]
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        return []  # written in C: it says nothing about its arguments
    try:
        signature.bind(*arguments)
    except TypeError as error:
        return [f"`{name}` is called as {called}: {error}"]
    if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method):
        return [f"`{name}` answers at once; it is no generator and no coroutine"]
    return []
