"""Computes how many tokens one sequence can take in a step, and the blocks that they need.

Guarantees: arithmetic on `state.py` alone. A sequence computes every token that exists and is not
computed, the last one of a complete sequence aside; it takes blocks for all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lineclear.config import Config
from lineclear.oracle.state import OracleRequest, OracleSequence, OracleState, ceil_div


@dataclass(eq=False, slots=True)
class Work:
    """The demand of a sequence.

    Attributes:
        live: its request.
        branch: the sequence.
        start: first position that it computes.
        tokens: positions that it could compute, drafts included.
        drafts: how many of them are guesses.
        blocks: free blocks that it takes.
        copies: its next block is shared, and is copied before it is written.
        decodes: only a token that it generated is not computed.
    """

    live: OracleRequest
    branch: OracleSequence
    start: int
    tokens: int
    drafts: int
    blocks: int
    copies: bool
    decodes: bool

    @property
    def end(self) -> int:
        """Positions that its table must have room for."""
        return max(self.branch.num_allocated_slots, self.start + self.tokens)


@dataclass(frozen=True, slots=True)
class Demand:
    """The resources that an admission needs."""

    blocks: int
    seats: int
    tokens: int


def one(
    state: OracleState, live: OracleRequest, branch: OracleSequence, enters: bool
) -> Work | None:
    """The demand of one sequence, or None: it waits for a commit or for its leader, or is complete.

    Args:
        state: the oracle's state.
        live: a live request.
        branch: a sequence of it.
        enters: whether the request is admitted in this step.
    """
    size, leader = state.config.block_size, live.branches[0]
    lookahead = state.config.num_lookahead_slots if live.n == 1 else 0
    if branch.scheduled_samples and (live.n > 1 or lookahead):
        return None  # a group, and a sequence with drafts, has one step in flight at a time
    start = branch.num_dispatched_tokens
    if branch is not leader and branch.num_allocated_slots == 0:
        start = live.prompt // size * size  # it shares the full blocks of the prompt
        if leader.num_computed_tokens < start:
            return None
    exist, last = branch.num_tokens + branch.scheduled_samples, live.limit - 1
    if start >= min(exist, last):
        return None
    decodes = exist == start + 1 and start >= live.prompt
    drafts = min(lookahead, last - exist) if decodes and not enters else 0
    work = Work(live, branch, start, min(exist, last) - start + drafts, drafts, 0, False, decodes)
    joins = start > branch.num_dispatched_tokens
    index = start // size
    work.copies = not joins and index < len(branch.table) and live.holders(branch.table[index]) > 1
    has = start // size if joins else len(branch.table)
    work.blocks = max(0, ceil_div(work.end, size) - has) + work.copies
    return work


def work_of(
    state: OracleState,
    live: OracleRequest,
    order: Iterable[OracleSequence] | None = None,
    *,
    enters: bool = False,
) -> list[Work]:
    """The demands of a request's sequences; the last holder of a shared block writes in place.

    Args:
        state: of the moment.
        live: the request.
        order: of the sequences.
        enters: whether it waited until now: then no place was counted for drafts.
    """
    branches = live.branches if order is None else order
    found = [work for branch in branches if (work := one(state, live, branch, enters)) is not None]
    copied: dict[int, list[Work]] = {}
    for work in found:
        if work.copies:
            block = work.branch.table[work.start // state.config.block_size]
            copied.setdefault(block, []).append(work)
    for block, works in copied.items():
        if len(works) == live.holders(block):
            works[-1].copies = False
            works[-1].blocks -= 1
    return found


def grow(state: OracleState, work: Work) -> None:
    """The sequence takes its blocks."""
    size, branch = state.config.block_size, work.branch
    end = work.end
    joins = work.start > branch.num_dispatched_tokens
    if branch.in_batch:  # it takes its block when the step is issued
        state.cache.due += ceil_div(end, size) - len(branch.table)
    else:
        state.evict_for(work.blocks)
    if joins:
        branch.table = work.live.branches[0].table[: work.start // size]
        branch.num_dispatched_tokens = work.start
    if work.copies:
        (branch.table[work.start // size],) = state.take(1)
    branch.table += state.take(ceil_div(end, size) - len(branch.table))
    branch.num_allocated_slots = end


def most_blocks(size: int, prompt: int, limit: int, n: int) -> int:
    """The most blocks that a request of n sequences may ever hold.

    Args:
        size: of a block.
        prompt: its tokens.
        limit: tokens of a sequence, its prompt included; the newest needs no position.
        n: its sequences.
    """
    shared = prompt // size  # by all its sequences, after a recompute
    return shared + n * (ceil_div(limit - 1, size) - shared)


def divides(config: Config, branch: OracleSequence) -> bool:
    """Whether a sequence may be computed in several steps."""
    long = branch.num_tokens > config.max_num_batched_tokens
    return config.enable_chunked_prefill or (config.enable_chunked_recompute and long)


def demand(state: OracleState, live: OracleRequest, swapped: bool) -> Demand:
    """The resources for an admission: all blocks and seats of the request, and a token at least.

    Args:
        state: of the moment.
        live: the request.
        swapped: whether it has a CPU copy to come back with.
    """
    config = state.config
    size = config.block_size
    if swapped:
        works = work_of(state, live)
        blocks = len(live.blocks) + sum(work.blocks for work in works)
        tokens = sum(
            1 if divides(config, work.branch) and not work.decodes else work.tokens
            for work in works
        )
        return Demand(blocks, live.seats, min(max(tokens, 1), config.max_num_batched_tokens))
    leader, *others = live.branches
    tokens = leader.num_tokens
    if not others:  # a step in flight may bring it another token, which is computed with the rest
        tokens = max(tokens, min(tokens + leader.scheduled_samples, live.limit - 1))
    blocks = ceil_div(tokens, size) - state.saved(leader)
    for branch in others:  # which share the full blocks of the prompt
        blocks += ceil_div(branch.num_tokens, size) - live.prompt // size
    least = 1 if divides(config, leader) else tokens
    return Demand(blocks, live.seats, min(least, config.max_num_batched_tokens))
