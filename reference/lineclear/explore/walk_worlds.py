"""The worlds of the random walks: made for one rule, for pairs of settings, or drawn.

Guarantees: the same numbers give the same worlds. Together they hold every policy, victim rule and mode,
prompts in chunks and whole, one and two steps in flight, groups, drafts, watermarks, few seats, few
tokens, and CPU pools that overflow.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from lineclear.config import MODES, POLICIES, VICTIMS, Config
from lineclear.explore.bounds import RequestShape, SearchBounds
from lineclear.explore.covered import OPTIONS, pressed

#: What the worlds of one rule, and the scripts, change.
SMALL = Config(
    long_prefill_token_threshold=0,
    num_gpu_blocks=4,
    num_cpu_blocks=3,
    block_size=1,
    max_num_seqs=3,
    max_num_batched_tokens=4,
    max_model_len=6,
    watermark=0.0,
    scheduling_policy="priority",
    preemption_mode="swap",
)


def drawn(seed: int) -> SearchBounds:
    """The world of a seed; policies take turns."""
    draw = random.Random(seed)
    choice = draw.choice
    policy = POLICIES[seed % len(POLICIES)] if seed % 3 else "priority"
    size, seats = choice((1, 1, 2, 4)), draw.randint(2, 5)
    drafts = choice((0, 0, 0, 0, 2))
    cut = draw.random() < 0.7
    tokens = choice((seats * (1 + drafts), seats * (1 + drafts) + 2, 24))
    config = Config(
        num_gpu_blocks=max(4, choice((8, 12, 16, 20)) // size),
        num_cpu_blocks=choice((0, 4, 6, 8, 12)),
        block_size=size,
        max_num_seqs=seats,
        max_num_batched_tokens=tokens if cut else max(tokens, 14),
        max_model_len=24,
        enable_chunked_prefill=cut,
        num_lookahead_slots=drafts,
        watermark=choice((0.0, 0.0, 0.15, 0.3)),
        scheduling_policy=policy,
        policy_options=OPTIONS.get(policy, ()),
        preemption_mode=choice(("swap", "swap", "swap", *MODES)),
        swap_threshold=6,
        victim=choice(VICTIMS),
        max_waiting=choice((None, None, None, 3)),
        max_steps_in_flight=choice((1, 1, 2)),
        max_bypasses=choice((0, 0, 0, 1, 2)),
        swapped_first=draw.random() < 0.15,
        pause_after_preemption=draw.random() < 0.8,
        long_prefill_token_threshold=choice((0, None, 2, 3)),
        schedule_conservativeness=choice((0.0, 0.0, 0.5)),
        capacity_policy=choice((*["max_utilization"] * 3, "guaranteed_no_evict")),
        max_waiting_tokens=choice((None, None, None, 20)),
        enable_chunked_recompute=choice((False, False, True)),
        max_long_partial_prefills=choice((None, 1, 2)),
    )
    return pressed(seed, config)


def special() -> list[SearchBounds]:
    """Worlds in which one rule decides nearly every step."""
    plain, urgent = RequestShape(1, 3), RequestShape(4, 1, priority=1)
    three = (RequestShape(1, 3), RequestShape(2, 3, priority=1), RequestShape(2, 2, priority=2))
    rows: list[tuple[str, dict[str, Any], tuple[RequestShape, ...]]] = [
        (
            "the watermark is waived for a head that displaces all",
            {"watermark": 0.25},
            (plain, urgent),
        ),
        (
            "copies are discarded for more important ones",
            {"num_gpu_blocks": 6, "num_cpu_blocks": 4, "max_num_batched_tokens": 6},
            (*three, RequestShape(1, 4, priority=1)),
        ),
        ("one seat", {"max_num_seqs": 1}, three),
        ("swaps by length", {"preemption_mode": "by_length", "swap_threshold": 3}, three),
        (
            "one token besides the decodes",
            {"num_gpu_blocks": 12, "max_num_batched_tokens": 3},
            three,
        ),
        (
            "shares",
            {"scheduling_policy": "fair", "num_gpu_blocks": 12},
            (RequestShape(4, 2), RequestShape(3, 2)),
        ),
        (
            "promotions",
            {
                "scheduling_policy": "mlfq",
                "policy_options": OPTIONS["mlfq"],
                "max_model_len": 9,
                "num_gpu_blocks": 8,
            },
            (RequestShape(2, 5), RequestShape(1, 6)),
        ),
        (
            "a group and urgent requests",
            {"num_gpu_blocks": 7, "num_cpu_blocks": 6, "block_size": 1},
            (
                RequestShape(2, 3, 2),
                RequestShape(1, 3, priority=1),
                RequestShape(1, 2, 2, priority=1),
            ),
        ),
        (
            "some of three victims are spared",
            {
                "num_gpu_blocks": 8,
                "num_cpu_blocks": 0,
                "max_num_seqs": 4,
                "max_num_batched_tokens": 8,
            },
            (
                RequestShape(1, 2),
                RequestShape(1, 3),
                RequestShape(3, 2, priority=1),
                RequestShape(5, 1, priority=2),
            ),
        ),
        (
            "long prompts leave tokens for others",
            {
                "num_gpu_blocks": 24,
                "max_num_seqs": 4,
                "max_model_len": 12,
                "max_num_batched_tokens": 6,
                "long_prefill_token_threshold": 2,
            },
            (RequestShape(9, 2), RequestShape(5, 2, priority=1), RequestShape(3, 2, priority=2)),
        ),
        (
            "one long prompt at a time",  # which others pass, and an urgent one displaces
            {
                "num_gpu_blocks": 24,
                "num_cpu_blocks": 16,
                "max_num_seqs": 4,
                "max_model_len": 12,
                "max_num_batched_tokens": 6,
                "long_prefill_token_threshold": 2,
                "max_long_partial_prefills": 1,
                "max_bypasses": 1,
            },
            (
                RequestShape(9, 2),
                RequestShape(7, 3, priority=1),
                RequestShape(1, 4, priority=2),
                RequestShape(6, 2, priority=3),
                RequestShape(6, 2, 2),
            ),
        ),
        (
            "two long prompts at a time",  # branches that are computed again are one of them
            {
                "num_gpu_blocks": 7,
                "num_cpu_blocks": 0,
                "block_size": 8,
                "preemption_mode": "recompute",
                "max_num_seqs": 6,
                "max_model_len": 14,
                "max_num_batched_tokens": 12,
                "long_prefill_token_threshold": 2,
                "max_long_partial_prefills": 2,
            },
            (
                RequestShape(6, 5, 2),
                RequestShape(9, 2),
                RequestShape(7, 2, priority=1),
                RequestShape(10, 2, priority=2),
            ),
        ),
        (
            "a prompt goes on before the head",
            {"num_gpu_blocks": 24, "max_num_seqs": 4},
            (RequestShape(1, 5), RequestShape(5, 1, priority=2), RequestShape(2, 2, priority=1)),
        ),
        (
            "prompts in pieces, more important each time",
            {
                "block_size": 4,
                "num_cpu_blocks": 0,
                "max_num_seqs": 4,
                "max_num_batched_tokens": 5,
                "max_model_len": 16,
            },
            tuple(RequestShape(12, 4, priority=priority) for priority in range(4)),
        ),
        (
            "each more important than all before it",  # displacements before a token is kept
            {
                "num_gpu_blocks": 2,
                "num_cpu_blocks": 2,
                "max_num_seqs": 1,
                "max_num_batched_tokens": 1,
                "max_steps_in_flight": 2,
            },
            tuple(RequestShape(2, 1, priority=priority) for priority in range(4)),
        ),
        (
            "swaps and drafts",  # that come back when few tokens are left
            {
                "num_gpu_blocks": 18,
                "num_cpu_blocks": 24,
                "max_num_seqs": 2,
                "max_num_batched_tokens": 7,
                "max_model_len": 9,
                "num_lookahead_slots": 2,
                "max_steps_in_flight": 2,
            },
            (
                RequestShape(3, 6),
                RequestShape(8, 1, priority=2),
                RequestShape(6, 3, priority=3),
                RequestShape(6, 1, priority=2),
            ),
        ),
        (
            "a request that kept a token comes back by displacing",
            {
                "preemption_mode": "recompute",
                "victim": "longest",
                "num_gpu_blocks": 9,
                "num_cpu_blocks": 0,
                "max_num_batched_tokens": 3,
                "max_model_len": 9,
            },
            (
                RequestShape(1, 3),
                RequestShape(4, 5, priority=1),
                RequestShape(3, 2, priority=2),
                RequestShape(3, 1, priority=3),
            ),
        ),
        (
            "branches come back beside another prompt",  # in the order of ranks, which is not the queue's
            {
                "scheduling_policy": "hybrid",
                "preemption_mode": "recompute",
                "num_gpu_blocks": 12,
                "num_cpu_blocks": 0,
                "max_num_seqs": 5,
                "max_num_batched_tokens": 5,
                "max_model_len": 9,
            },
            (RequestShape(3, 5, 2, later=True), RequestShape(2, 6, 2, priority=1, later=True)),
        ),
        *[
            (
                f"turns of tenants, {policy}",
                {
                    "scheduling_policy": policy,
                    "policy_options": OPTIONS.get(policy, ()),
                    "max_num_seqs": 2,
                },
                tuple(RequestShape(1, 2, tenant=tenant) for tenant in "abc"),
            )
            for policy in ("vtc", "drr")
        ],
        (
            "branches that decode in every step have the tokens that the head needs",
            {
                "preemption_mode": "recompute",
                "num_gpu_blocks": 6,
                "num_cpu_blocks": 0,
                "block_size": 8,
                "max_num_seqs": 4,
                "max_num_batched_tokens": 7,
                "max_model_len": 8,
                "enable_chunked_prefill": False,
            },
            (
                RequestShape(1, 7, 2),
                RequestShape(1, 7, 3),
                RequestShape(7, 1, priority=1),
                RequestShape(6, 1, priority=2),
            ),
        ),
        (
            "a recompute that is longer than a step",
            {
                "preemption_mode": "recompute",
                "num_gpu_blocks": 14,
                "num_cpu_blocks": 0,
                "max_num_seqs": 3,
                "max_num_batched_tokens": 4,
                "max_model_len": 12,
                "enable_chunked_prefill": False,
                "enable_chunked_recompute": True,
            },
            (RequestShape(2, 9), RequestShape(1, 8), RequestShape(3, 8, priority=1)),
        ),
        (
            "branches wait beside a prompt that lacks tokens",
            {
                "num_gpu_blocks": 14,
                "num_cpu_blocks": 0,
                "preemption_mode": "recompute",
                "max_num_seqs": 5,
                "max_num_batched_tokens": 9,
                "max_model_len": 13,
                "long_prefill_token_threshold": 1,
            },
            (
                RequestShape(1, 6, 2),
                RequestShape(8, 1, priority=1),
                RequestShape(6, 1, priority=2),
            ),
        ),
        (
            "branches that end give their seats back",
            {"num_gpu_blocks": 30, "max_num_seqs": 4, "max_model_len": 8},
            (
                RequestShape(1, 6, 3),
                RequestShape(1, 6, 3, later=True),
                RequestShape(1, 5, 2, priority=1),
                RequestShape(1, 4),
            ),
        ),
    ]
    made = [
        SearchBounds(name, replace(SMALL, **changes), shapes, live=2 + len(shapes))
        for name, changes, shapes in rows
    ]
    return [*made, *sharing(), crowded()]


def sharing() -> list[SearchBounds]:
    """Two long prompts share each step while a third request, swapped out, counts as a sharer too.

    The third one has a block when the prompts have all the others, and swaps itself out when it grows.
    """
    return [
        SearchBounds(
            f"shares beside a swapped request, {tokens} tokens a step",
            replace(
                SMALL,
                scheduling_policy="fair",
                num_gpu_blocks=2 * prompt + 1,
                num_cpu_blocks=10,
                max_num_batched_tokens=tokens,
                max_model_len=14,
            ),
            (RequestShape(prompt, 2), RequestShape(prompt, 2), RequestShape(1, 3)),
            live=3,
            aborts=False,
        )
        for tokens, prompt in ((4, 9), (3, 6), (4, 8))
    ]


def crowded() -> SearchBounds:
    """Many wait for one seat, so that the queue is deep, and the shortest goes first."""
    config = replace(
        SMALL, scheduling_policy="sjf", num_gpu_blocks=12, max_num_seqs=1, max_model_len=13
    )
    shapes = tuple(RequestShape(1, most) for most in (9, 2, 12, 5, 7, 1, 11, 4, 10, 3, 8, 6))
    return SearchBounds("a deep queue for one seat", config, shapes, live=24, aborts=False)
