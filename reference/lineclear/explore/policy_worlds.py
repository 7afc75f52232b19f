"""The small worlds of each policy: its victims and modes, tenants, and prompts that begin alike.

Guarantees: together they hold every policy, alone and with prefix caching; `combinations` every one with every victim
rule and mode of preemption, prompts in chunks and whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from lineclear.config import MODES, VICTIMS
from lineclear.explore.bounds import RequestShape, SearchBounds
from lineclear.explore.orders import REMEMBERS
from lineclear.explore.small import CALM, LONG, SHORT, URGENT, small

#: For each policy, options that are small, and requests that it puts in another order than that of their arrival.
OF_POLICIES: Mapping[str, tuple[Mapping[str, Any], tuple[RequestShape, ...]]] = MappingProxyType(
    {
        "fcfs": ({}, (LONG, SHORT)),
        "fair": ({}, (LONG, SHORT)),
        "priority": ({}, (LONG, URGENT)),
        "hybrid": ({}, (LONG, URGENT)),
        "aging": ({"seconds_per_level": 2.0}, (LONG, URGENT)),
        "ceiling": ({"ceiling": 2}, (LONG, URGENT)),
        "sjf": ({}, (LONG, SHORT)),
        "sjf_aging": ({"seconds_per_token": 2.0}, (LONG, SHORT)),
        "lpl": ({}, (LONG, SHORT)),
        "edf": ({}, (RequestShape(1, 3, slack=4.0), RequestShape(2, 2, slack=1.0))),
        "vtc": ({}, (RequestShape(1, 3, tenant="a"), RequestShape(2, 2, tenant="b"))),
        "drr": (
            {"quantum": 4.0},
            (RequestShape(1, 3, tenant="a"), RequestShape(2, 2, tenant="b")),
        ),
        "mlfq": ({"quantum": 2, "levels": 2, "promote_after": 6}, (LONG, SHORT)),
    }
)
#: Settings without which a policy, with prompts in chunks, does in its world what fcfs does: the default limit on one
#: prompt's tokens of a step is a share already.
OWN_SETTINGS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {"fair": {"long_prefill_token_threshold": 0, "max_num_batched_tokens": 3}}
)


def of_policy(
    policy: str, victim: str, mode: str, *, chunked: bool, live: int = 2
) -> SearchBounds:
    """One combination: nothing goes wrong, and requests follow each other without end.

    With three requests there is room for five blocks and the longer one has the longer prompt, so that
    two are behind one that grows and the rules choose differently between them.

    Args:
        policy: name of a built-in policy.
        victim: rule that selects victims.
        mode: preemption mode.
        chunked: whether prompts are computed in chunks.
        live: requests at once, 2 or 3.
    """
    options, shapes = OF_POLICIES[policy]
    three: dict[str, Any] = {}
    if live > 2:
        three = {"num_gpu_blocks": 5, "num_cpu_blocks": 3, "max_num_batched_tokens": 4}
        shapes = tuple(replace(shape, prompt=3 - shape.prompt) for shape in shapes)
    config = small(
        scheduling_policy=policy,
        policy_options=tuple(sorted(options.items())),
        victim=victim,
        preemption_mode=mode,
        enable_chunked_prefill=chunked,
        max_num_seqs=live,
        **(three | dict(OWN_SETTINGS.get(policy, {}) if chunked else {})),
    )
    words = (
        f"{policy}, {victim} is preempted by {mode}, prompts {'in chunks' if chunked else 'whole'}"
    )
    return replace(SearchBounds(words, config, shapes, **CALM), live=live)


def three_tenants(policy: str) -> SearchBounds:
    """One seat, and a request of each of three tenants: one that leaves costs no other a turn."""
    options = OF_POLICIES[policy][0]
    config = small(
        scheduling_policy=policy,
        policy_options=tuple(sorted(options.items())),
        max_num_seqs=1,
        num_gpu_blocks=2,
        max_num_batched_tokens=2,
    )
    shapes = tuple(RequestShape(1, 1, tenant=tenant) for tenant in "abc")
    return SearchBounds(f"{policy}, three tenants", config, shapes, **CALM)


def live_of(policy: str) -> int:
    """Requests that may be live at once: fewer where a policy remembers, and so has more states."""
    return 2 if policy in REMEMBERS else 3


def policies() -> list[SearchBounds]:
    """Each policy in two combinations that differ in everything."""
    return [
        *[
            of_policy(policy, victim, mode, chunked=chunked, live=live_of(policy))
            for policy in OF_POLICIES
            for victim, mode, chunked in (("last", "swap", True), ("longest", "recompute", False))
        ],
        *map(three_tenants, ("vtc", "drr")),
    ]


def combinations() -> list[SearchBounds]:
    """Every policy with every victim rule and mode of preemption, prompts in chunks and whole."""
    return [
        replace(
            of_policy(policy, victim, mode, chunked=chunked, live=live_of(policy)), group=policy
        )
        for policy, victim, mode, chunked in itertools.product(
            OF_POLICIES, VICTIMS, MODES, (True, False)
        )
    ]


def alike(policy: str) -> SearchBounds:
    """A policy where prompts begin alike, and one that fits waits for the block that another computes."""
    bounds = of_policy(policy, "last", "recompute", chunked=True, live=live_of(policy))
    config = replace(
        bounds.config,
        num_gpu_blocks=5,
        max_num_batched_tokens=4,
        prefix_caching="prompt",
        wait_for_prefix=True,
    )
    prompts = zip(bounds.shapes, (3, 2, 2), strict=False)
    shapes = tuple(replace(shape, prompt=prompt, most=2, family=1) for shape, prompt in prompts)
    name = f"{policy}, prompts begin alike and wait"
    return replace(bounds, name=name, config=config, shapes=shapes)
