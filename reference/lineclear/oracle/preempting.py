"""Computes who is preempted for growth, and how, on plain data.

Guarantees: as `step.py`, of which it is a part. Blocks at rest count as available, so that all of them are
evicted before anything is preempted.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from lineclear.config import Config
from lineclear.oracle.orders import Orders
from lineclear.oracle.publishing import publish_output
from lineclear.oracle.state import OracleRequest, OracleState
from lineclear.oracle.work import Work
from lineclear_spec.kernel.lifecycle import Phase

#: Number of a copy that the step decides.
NEW = -1


def worst_first(rule: str) -> Callable[[OracleRequest], tuple[Any, ...]]:
    """For a victim rule, the key by which the candidates are sorted, the first victim first."""
    keys: dict[str, Callable[[OracleRequest], tuple[Any, ...]]] = {
        "last": lambda live: live.rank,
        "lowest_priority": lambda live: (-live.user.priority, live.rank),
        "longest": lambda live: (live.tokens, live.rank),
        "newest": lambda live: (live.number,),
    }
    return keys[rule]


def swaps(config: Config, live: OracleRequest) -> bool:
    """Whether the mode says to swap this request, if that can be done."""
    match config.preemption_mode:
        case "swap":
            return True
        case "by_length":
            return live.tokens >= config.swap_threshold
        case "groups":
            return live.n >= 2
        case "auto":
            moved = len(live.blocks) * config.block_size * config.swap_token_cost
            return moved < live.num_computed_tokens * config.recompute_token_cost
        case _:
            return False


class Preempting:
    """The part of a step that preempts.

    Args:
        state: as the step changes it.
        orders: of the policy.

    Attributes:
        preempted: who, and by which mode, in order.
        discarded: whose CPU copies, in order.
        void: requests whose samples in flight are worthless from now on.
        lost: tokens that have to be computed again.
        alone: requests that preempted themselves although nothing else ran.
    """

    def __init__(self, state: OracleState, orders: Orders) -> None:
        self.state, self.config, self.orders = state, state.config, orders
        self.preempted: list[tuple[Hashable, str]] = []
        self.discarded: list[Hashable] = []
        self.void: list[Hashable] = []
        self.lost = self.alone = 0

    def make_room(self, works: dict[OracleRequest, list[Work]]) -> bool:
        """Each in its place takes its blocks; one that cannot preempts the first victim behind it.

        Returns:
            Whether any was preempted.
        """
        need = {live: sum(work.blocks for work in found) for live, found in works.items()}
        if sum(need.values()) <= self.state.gpu_free:
            return False
        taken = 0  # by those before
        for live in works:
            if not works[live]:
                continue
            while live.phase == Phase.RUNNING and taken + need[live] > self.state.gpu_free:
                running = self.state.running
                behind = [other for other in running if other.rank > live.rank]
                self.alone += len(running) == 1
                key = worst_first(self.config.victim)
                self.preempt(max(behind, key=key) if behind else live)
            if live.phase == Phase.RUNNING:
                taken += need[live]
        return True

    def preempt(self, live: OracleRequest) -> None:
        """The request's blocks are freed, after a swap if that is wanted and there is room."""
        self.orders.stops(live)
        wanted = swaps(self.config, live) and not self.state.shares(live)
        swap = not live.copying and wanted and self.make_cpu_room(live)
        if swap:
            live.phase, live.open_swap = Phase.SWAPPED, NEW
        else:
            self.lost += live.num_computed_tokens
            if live.copying:
                self.void.append(live.name)
                void(live)
            publish_output(self.state, live, live.branches)
            self.state.let_go(live)
            forget(live)
        live.preemptions += 1
        self.preempted.append((live.name, "swap" if swap else "recompute"))
        self.orders.waits(live)

    def make_cpu_room(self, live: OracleRequest) -> bool:
        """Discards the least important copies behind the request, if that makes room for it."""
        state, need = self.state, len(live.blocks)
        if need <= state.cpu_free:
            return True
        behind = [other for other in state.of_phase(Phase.SWAPPED) if other.rank > live.rank]
        if need > state.cpu_free + sum(len(other.blocks) for other in behind):
            return False
        for other in sorted(behind, key=lambda other: other.rank, reverse=True):
            if need <= state.cpu_free:
                break
            self.discarded.append(other.name)
            self.lost += other.num_computed_tokens
            forget(other)
        return True


def void(live: OracleRequest) -> None:
    """Voids what was computed on an incomplete copy, and its samples."""
    for branch in live.branches:
        branch.scheduled_samples = 0


def forget(live: OracleRequest) -> None:
    """The request waits without blocks; what its sequences know is kept."""
    live.phase, live.open_swap = Phase.WAITING, 0
    for branch in live.branches:
        (
            branch.table,
            branch.num_dispatched_tokens,
            branch.num_allocated_slots,
            branch.num_computed_tokens,
        ) = [], 0, 0, 0
