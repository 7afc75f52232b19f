"""The small worlds in which the scheduler is searched.

Guarantees: together they hold both presets, every policy, every victim rule and every mode of
preemption, prompts in chunks and whole, one and two steps in flight, groups, drafts, every policy with
prefix caching, and every situation of `required`; the deep ones every combination of policy, victim, mode and chunks.
"""

from __future__ import annotations

import itertools
from typing import Any

from lineclear.config import VICTIMS
from lineclear.explore.bounds import RequestShape, SearchBounds
from lineclear.explore.policy_worlds import OF_POLICIES, alike, combinations, policies
from lineclear.explore.small import CALM, LONG, PAIR, SHORT, URGENT, small
from lineclear.explore.witnesses import SOMETIMES
from lineclear_spec.actions import ACTIONS
from lineclear_spec.modelcheck.situations import IN_STATES

#: Nothing of these is reached on purpose: the shapes of a search are such that none is rejected, and a
#: victim that names sealed blocks is recomputed. Outputs get no names there, so that a state has few.
LEFT_OUT = frozenset(
    {
        "reject",
        "a request that is swapped out names sealed blocks",
    }
)


def required() -> tuple[str, ...]:
    """The situations and actions that all searches together must reach."""
    return tuple(s for s in (*SOMETIMES, *IN_STATES, *ACTIONS) if s not in LEFT_OUT)


def grid() -> list[SearchBounds]:
    """Every combination of settings, with three requests; victim rules take turns."""
    found: list[SearchBounds] = []
    settings = itertools.product(
        ("default", "lesson"), ("fcfs", "priority"), ("swap", "recompute"), (True, False), (1, 2)
    )
    for turn, (preset, policy, mode, chunked, depth) in enumerate(settings):
        victim = VICTIMS[(turn + turn // 4) % 4]
        config = small(
            preset,
            scheduling_policy=policy,
            victim=victim,
            preemption_mode=mode,
            enable_chunked_prefill=chunked,
            max_steps_in_flight=depth,
            num_gpu_blocks=4,
            max_num_seqs=3,
        )
        words = f"{preset} {policy} {victim} {mode} {'chunks' if chunked else 'whole'} {depth}"
        shapes = (LONG, URGENT if policy == "priority" else SHORT)
        found.append(SearchBounds(words, config, shapes, **CALM))
    return found


def whole() -> list[SearchBounds]:
    """Everything that the environment may do, with two requests."""
    found: list[SearchBounds] = []
    for policy, mode in itertools.product(
        ("fcfs", "priority"), ("swap", "recompute", "by_length", "auto", "groups")
    ):
        for preset in ("default", "lesson"):
            config = small(preset, scheduling_policy=policy, preemption_mode=mode)
            shapes = (LONG, URGENT if policy == "priority" else SHORT)
            found.append(
                SearchBounds(f"{preset} {policy} {mode}, any environment", config, shapes)
            )
    return found


def victims() -> list[SearchBounds]:
    """Three that run with room for five blocks, so that the rules choose differently."""
    found: list[SearchBounds] = []
    for policy, victim in itertools.product(("fcfs", "priority"), VICTIMS):
        config = small(
            scheduling_policy=policy,
            victim=victim,
            num_gpu_blocks=5,
            num_cpu_blocks=3,
            max_num_seqs=3,
            max_num_batched_tokens=4,
        )
        shapes = (RequestShape(2, 3), RequestShape(1, 2, priority=1))
        found.append(SearchBounds(f"{policy}, {victim} is preempted", config, shapes, **CALM))
    return found


def special() -> list[SearchBounds]:
    """Worlds made for one feature each."""
    urgent: dict[str, Any] = {"scheduling_policy": "priority", "victim": "lowest_priority"}
    calm: dict[str, Any] = {"aborts": False, "stops": False}
    group: dict[str, Any] = {"num_gpu_blocks": 5, "num_cpu_blocks": 4, "max_num_seqs": 3}
    return [
        SearchBounds("two in flight, recompute", small(max_steps_in_flight=2, preemption_mode="recompute"), (LONG,
        SHORT)), SearchBounds("two in flight, swaps", small(max_steps_in_flight=2), (LONG,)),
        SearchBounds("two in flight, priority", small(max_steps_in_flight=2, **urgent), (LONG, URGENT), **calm),
        SearchBounds("a group alone", small(**group), (PAIR,), live=1),
        SearchBounds(
            "a group and an urgent request",
            small(**group, **urgent),
            (PAIR, RequestShape(1, 3, priority=1)),
            **calm,
        ),
        SearchBounds(
            "a group is recomputed",
            small(**group | {"num_cpu_blocks": 0}, preemption_mode="recompute",
                  scheduling_policy="priority"),
            (PAIR, RequestShape(1, 3, priority=1)),
            **calm,
        ),
        SearchBounds(
            "a group copies a block to a block id that is being copied out",
            small(block_size=2, num_gpu_blocks=4, num_cpu_blocks=4, max_num_seqs=3, max_model_len=7),
            (RequestShape(1, 4, 2), RequestShape(5, 2)),
            fails=False,
            **calm,
        ),
        SearchBounds(
            "a group shares a block that it writes",
            small(block_size=2, num_gpu_blocks=4, num_cpu_blocks=4, max_num_seqs=3, **urgent),
            (RequestShape(1, 4, 2), RequestShape(3, 3, priority=1)),
            aborts=False,
        ),
        SearchBounds("drafts", small(num_gpu_blocks=4, max_num_batched_tokens=4, num_lookahead_slots=1),
               (RequestShape(1, 4), RequestShape(2, 3))),
        SearchBounds("blocks of two tokens", small(block_size=2), (RequestShape(1, 4), RequestShape(3, 3))),
        SearchBounds("a watermark", small(num_gpu_blocks=4, watermark=0.25), (LONG, SHORT), aborts=False),
        SearchBounds("one may pass", small(num_gpu_blocks=4, max_num_seqs=3, max_bypasses=1), (LONG, SHORT),
               live=3, **calm),
        SearchBounds("three priorities", small(num_gpu_blocks=3, num_cpu_blocks=3, max_num_seqs=3, **urgent),
               (RequestShape(1, 2), RequestShape(1, 3, priority=1), RequestShape(2, 2, priority=2)), live=3,
               aborts=False, fails=False, stops=False),
        SearchBounds("no pause after a preemption", small(pause_after_preemption=False), (LONG, SHORT)),
        *(
            SearchBounds(
                f"one prompt may take all tokens of a step, {policy}",
                small(num_gpu_blocks=4, long_prefill_token_threshold=0, scheduling_policy=policy),
                (RequestShape(3, 1), RequestShape(1, 2, priority=1)),
                **calm,
            )
            for policy in ("fcfs", "priority", "fair")
        ),
        *(
            SearchBounds(
                f"one long prompt at a time, {policy}",
                small(num_gpu_blocks=5, max_num_seqs=3, scheduling_policy=policy, max_bypasses=1,
                      max_long_partial_prefills=1),
                (RequestShape(3, 1), RequestShape(1, 2, priority=1)),
                **CALM,
            )
            for policy in ("fcfs", "priority")
        ),
    ]  # fmt: skip


def caching() -> list[SearchBounds]:
    """Prompts that begin alike, with blocks of one token, and resets where the environment does all."""
    on: dict[str, Any] = {"prefix_caching": "prompt", "preemption_mode": "recompute"}
    long, short = RequestShape(2, 2, family=1), RequestShape(3, 1, family=1)
    urgent = RequestShape(2, 2, priority=1, family=1)
    calm: dict[str, Any] = {"aborts": False, "stops": False}
    return [
        SearchBounds("prompts begin alike", small(**on), (long, short)),
        SearchBounds("two beginnings", small(**on), (short, RequestShape(2, 1, family=2))),
        SearchBounds(
            "prompts begin alike, two in flight",
            small(**on, max_steps_in_flight=2),
            (long,),
            stops=False,
        ),
        SearchBounds(
            "prompts begin alike, an urgent one",
            small(**on, scheduling_policy="priority"),
            (RequestShape(1, 3, family=1), urgent),
            **calm,
        ),
        SearchBounds(
            "prompts begin alike, others are swapped",
            small(**on | {"preemption_mode": "swap"}),
            (RequestShape(1, 3), short),
            **calm,
        ),
        SearchBounds(
            "branches of a prompt that others begin with",
            small(**on, num_gpu_blocks=5, max_num_seqs=3),
            (RequestShape(2, 2, 2, family=1), short),
            **calm,
        ),
        SearchBounds(
            "prompts begin alike and wait, one may pass",
            small(**on, wait_for_prefix=True, max_bypasses=1, max_num_seqs=3, num_gpu_blocks=4),
            (RequestShape(3, 2, family=1), SHORT),
            stops=False,
        ),
        SearchBounds(
            "two beginnings, and a reader",
            small(**on),
            (RequestShape(2, 2, family=1), RequestShape(2, 1, family=2)),
            stops=False,
            readers=1,
        ),
    ]


def ci_worlds() -> list[SearchBounds]:
    """The worlds that continuous integration searches."""
    return [
        *grid(),
        *whole(),
        *victims(),
        *special(),
        *caching(),
        *policies(),
        *map(alike, OF_POLICIES),
    ]


#: Worlds in which the environment does everything that it may, for the quickest check: aborts, stops,
#: failures, late completions, two steps in flight, branches.
HARD = ("two in flight, swaps", "a group alone", "drafts")


def hard_worlds() -> list[SearchBounds]:
    """The worlds that `check --fast` searches besides the first."""
    return [world for world in ci_worlds() if world.name in HARD]


def deep_worlds() -> list[SearchBounds]:
    """Larger worlds, minutes together."""
    three: dict[str, Any] = {"num_gpu_blocks": 4, "max_num_seqs": 3, "num_cpu_blocks": 3}
    urgent: dict[str, Any] = {"scheduling_policy": "priority", "victim": "lowest_priority"}
    return [
        SearchBounds("two in flight, any environment", small(max_steps_in_flight=2, max_num_batched_tokens=2),
               (LONG, SHORT)),
        SearchBounds("three requests, any environment", small(**three), (LONG, SHORT), live=3),
        SearchBounds("three requests, recompute", small(**three, preemption_mode="recompute"),
               (LONG, SHORT), live=3),
        SearchBounds("three requests, priority", small(**three, **urgent), (LONG, URGENT), live=3,
               aborts=False),
        SearchBounds("a group and others, any environment",
               small(num_gpu_blocks=5, num_cpu_blocks=4, max_num_seqs=3, **urgent),
               (PAIR, RequestShape(1, 3, priority=1))),
        SearchBounds("two groups", small(num_gpu_blocks=5, num_cpu_blocks=4, max_num_seqs=4,
                                   max_num_batched_tokens=4), (PAIR,), live=2, aborts=False),
        SearchBounds("lesson, three requests", small("lesson", **three), (LONG, URGENT), live=3,
               aborts=False),
        SearchBounds("three longer requests", small(**(three | {"num_gpu_blocks": 5})),
               (RequestShape(1, 4), RequestShape(2, 3)), live=3, aborts=False, fails=False),
        SearchBounds("three requests, two in flight, copies fail", small(**three, max_steps_in_flight=2),
               (LONG, SHORT), live=3, aborts=False, stops=False),
        *combinations(),
    ]  # fmt: skip
