"""Computes which blocks get names in a call, on plain data.

Guarantees: as `step.py`. A block is looked at once, when committed steps have computed it, its tokens are known and it
has a name: it can be found from then on, unless another block is found under its name or another table names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lineclear.oracle.state import OracleRequest, OracleSequence, OracleState
from lineclear_spec.kernel.lifecycle import Phase

if TYPE_CHECKING:
    from lineclear_spec.kernel.records import Sequence

#: Of the sequences with blocks to look at, the first one.
Looked = dict["Sequence", int]


def watch(state: OracleState, branch: OracleSequence, first: int) -> None:
    """The sequence begins to run: its blocks are looked at from this one on."""
    if first < len(branch.block_names):
        state.looked[branch.sequence] = first


def computed(state: OracleState, branch: OracleSequence) -> int:
    """Full blocks whose tokens are known and computed by committed steps."""
    return min(branch.num_computed_tokens, branch.num_tokens) // state.config.block_size


def publish_computed(state: OracleState) -> None:
    """What a commit has computed, of requests that run and wait for no copy."""
    owners = {branch.sequence: (live, branch) for live in state.lives for branch in live.branches}
    for sequence, first in tuple(state.looked.items()):
        live, branch = owners.get(sequence, (None, None))
        if live is None or branch is None or live.phase != Phase.RUNNING:
            del state.looked[sequence]
            continue
        if live.copying:
            continue
        words = branch.block_names
        if state.config.prefix_caching == "prompt":
            words = words[: live.prompt // state.config.block_size]
        last = min(computed(state, branch), len(words))
        publish(state, branch, first, last)
        if last >= len(words):
            del state.looked[sequence]
        elif last > first:
            state.looked[sequence] = last


def publish_output(
    state: OracleState, live: OracleRequest, branches: Iterable[OracleSequence]
) -> None:
    """Output of branches that are about to give their blocks up, or to share them, gets names, and can be found: blocks
    of the last entries of a table, as many as the request has private ones.
    """
    config = state.config
    if config.prefix_caching == "off" or live.phase != Phase.RUNNING or live.copying:
        return
    for branch in list(branches):
        known, last = len(branch.block_names), computed(state, branch)
        if state.asked is not None and last > known:
            more = state.asked(live.name, branch.number, branch.block_names)
            if more:
                branch.block_names = (*branch.block_names, *more)
                state.looked[branch.sequence] = last
        private = {block for each in live.branches for block in each.table} - state.cache.sealed
        if config.prefix_caching == "prompt":
            last = min(last, live.prompt // config.block_size)
        publish(state, branch, max(0, len(branch.table) - len(private)), last)


def publish(state: OracleState, branch: OracleSequence, first: int, end: int) -> None:
    """These blocks can be found, as far as nothing stands against it.

    Args:
        state: of the scheduler; its cache is changed.
        branch: whose blocks.
        first: index of the first one.
        end: index behind the last one.
    """
    cache = state.cache
    tables = [other.table for live in state.lives for other in live.branches]
    for index in range(first, min(end, len(branch.block_names))):
        name, block = branch.block_names[index], branch.table[index]
        entries = sum(table.count(block) for table in tables)
        taken = name in cache.names or name in cache.kept
        if not taken and block not in cache.sealed and entries == 1:
            cache.names[name] = block
            cache.sealed.add(block)
