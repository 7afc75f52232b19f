# pyright: basic
"""What the users of a run with tags do, its settings, and the counts of what happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from lineclear.config import Config


def pressure(**changes: Any) -> Config:
    """Settings that make everything happen: both kinds of preemption, forks, full pools."""
    settings: dict[str, Any] = {
        "num_gpu_blocks": 40,
        "num_cpu_blocks": 30,
        "block_size": 8,
        "max_num_seqs": 12,
        "max_num_batched_tokens": 48,
        "max_model_len": 96,
        "watermark": 0.0,
        "preemption_mode": "auto",
        "swap_token_cost": 0.9,
        "max_steps_in_flight": 2,
    }
    return Config(**{**settings, **changes})


@dataclass(slots=True)
class Load:
    """What users do.

    Attributes:
        waiting: requests to keep waiting.
        prompt: maximum tokens of a prompt.
        output: maximum tokens to generate.
        groups: share of requests with 2 or 3 branches.
        fork: probability that a branch forks when its request has room for another.
        prune: probability that a branch of several is pruned.
        stop: probability that a branch stops.
        abort: probability that a request is aborted, per step.
        fail: probability that a copy fails.
        shared: with prefix caching, share of prompts that begin as an earlier sequence did.
        private: with prefix caching, share of requests that do not share blocks.
        salts: with prefix caching, number of salts.
        reset: with prefix caching, probability that the cache is reset, per step.
    """

    waiting: int = 6
    prompt: int = 40
    output: int = 40
    groups: float = 0.3
    fork: float = 0.2
    prune: float = 0.02
    stop: float = 0.02
    abort: float = 0.01
    fail: float = 0.0
    shared: float = 0.8
    private: float = 0.1
    salts: int = 2
    reset: float = 0.01


@dataclass(slots=True)
class EventCounts:
    """Counts of events.

    Attributes:
        steps: steps computed.
        rows: rows computed.
        slots: slots read and checked.
        events: by kind: swap, recompute, fork, prune, copy, abort, failed, finished, reset; excused
            counts rows that read what a failed copy left, hits prompt tokens that were found.
    """

    steps: int = 0
    rows: int = 0
    slots: int = 0
    events: Counter[str] = field(default_factory=Counter)
