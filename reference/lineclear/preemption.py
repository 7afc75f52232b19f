"""Who gives way, and how.

Guarantees: only candidates behind the beneficiary are chosen, so the first in the order is never a victim; nobody is
evicted unless all candidates together would suffice. It knows nothing about how a victim is evicted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lineclear.config import Config
from lineclear.entry import Entry

__all__ = ["RULES", "Need", "choose", "swaps"]

#: For each victim rule the key whose largest value is preempted first.
RULES: dict[str, Callable[[Entry], tuple[object, ...]]] = {
    "last": lambda e: e.order,
    "lowest_priority": lambda e: (-e.user.priority, e.order),
    "longest": lambda e: (e.tokens, e.order),
    "newest": lambda e: (e.number,),
}


@dataclass(frozen=True, slots=True)
class Need:
    """An amount of each resource."""

    blocks: int = 0
    seats: int = 0
    tokens: int = 0

    def __add__(self, other: Need) -> Need:
        """Both together."""
        return Need(
            self.blocks + other.blocks, self.seats + other.seats, self.tokens + other.tokens
        )

    def covers(self, other: Need) -> bool:
        """Whether this is enough of everything."""
        return (
            self.blocks >= other.blocks
            and self.seats >= other.seats
            and self.tokens >= other.tokens
        )


def choose(
    candidates: Iterable[Entry], gain: Callable[[Entry], Need], have: Need, want: Need, rule: str
) -> list[Entry] | None:
    """The victims that let `want` be met, or None if all candidates together would not.

    Victims are chosen by the rule until they suffice; then each that turns out not to be needed is spared.
    """
    ranked = sorted(candidates, key=RULES[rule], reverse=True)
    gains = {entry: gain(entry) for entry in ranked}
    total = have
    chosen: list[Entry] = []
    for entry in ranked:
        if total.covers(want):
            break
        chosen.append(entry)
        total += gains[entry]
    if not total.covers(want):
        return None
    for entry in list(chosen):
        gained = gains[entry]
        rest = Need(total.blocks - gained.blocks, total.seats - gained.seats, total.tokens - gained.tokens)
        if rest.covers(want):
            chosen.remove(entry)
            total = rest
    return chosen


def swaps(config: Config, entry: Entry, computed: int) -> bool:
    """Whether the mode prefers to swap this victim; whether it can is another question.

    Args:
        config: mode, threshold and costs.
        entry: the victim.
        computed: tokens that would have to be computed again.
    """
    mode = config.preemption_mode
    if mode == "by_length":
        return entry.tokens >= config.swap_threshold
    if mode == "auto":
        moved = entry.record.blocks * config.block_size
        return moved * config.swap_token_cost < computed * config.recompute_token_cost
    return mode == "swap"
