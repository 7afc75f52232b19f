"""Counts of a scheduler's events since its start, and what the next plan must report of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Counts of events so far."""

    steps: int = 0
    rejected: int = 0
    aborted: int = 0
    discarded: int = 0
    failed_copies: int = 0
    restarted: int = 0  # their KV was lost in a step that failed
    preempted_alone: int = 0  # could not grow although it ran alone: a premise of progress fails
    recomputed_tokens: int = 0
    generated_tokens: int = 0
    batched_tokens: int = 0
    prefix_queries: int = 0  # tokens known on first admissions
    prefix_hits: int = 0  # of these, tokens of blocks that were found
    evicted: int = 0  # blocks
    preemptions: Counter[str] = field(default_factory=Counter[str])
    finished: Counter[str] = field(default_factory=Counter[str])


@dataclass(slots=True)
class PlanChanges:
    """Changes since the last plan that the ledger does not record.

    Attributes:
        preempted: requests that were preempted, each with its mode, "swap" or "recompute".
        ended: requests that finished or were aborted.
    """

    preempted: list[tuple[Hashable, str]] = field(default_factory=list[tuple[Hashable, str]])
    ended: list[Hashable] = field(default_factory=list[Hashable])
