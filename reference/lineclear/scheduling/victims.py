"""Which running requests are preempted, and whether their KV is swapped out or computed again.

Invariant: a victim stands strictly after the request that it is preempted for. A rule only ranks the
candidates, and none is chosen unless all of them together would be enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lineclear.config import Config
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.live_requests import LiveRequests
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.progress import Need, behind

#: For each victim rule the key whose largest value is preempted first.
RULES: dict[str, Callable[[LiveRequest, Ledger], tuple[Any, ...]]] = {
    "last": lambda entry, _: entry.rank,
    "lowest_priority": lambda entry, _: (-entry.priority, entry.rank),
    "longest": lambda entry, ledger: (entry.num_tokens(ledger), entry.rank),
    "newest": lambda entry, _: (entry.number,),
}


@dataclass(eq=False, slots=True)
class Victims:
    """Selects victims by the rule of the settings.

    Attributes:
        rule: a key of `RULES`.
        ledger: where the requests run.
        live: those that run.
    """

    rule: str
    ledger: Ledger
    live: LiveRequests

    def after(self, entry: LiveRequest) -> LiveRequest | None:
        """The victim for a running request that has to grow, or None if none runs after it."""
        running = self.live.running
        if self.rule == "last":
            return running.last_after(entry)
        victim = worst(running.after(entry), self.rule, self.ledger)
        return victim if victim and behind(entry.rank, victim.rank) else None

    def choose(
        self,
        candidates: Iterable[LiveRequest],
        gain: Callable[[LiveRequest], Need],
        have: Need,
        want: Need,
    ) -> list[LiveRequest] | None:
        """The victims that let `want` of a waiting request be met, or None if all candidates together would not.

        Victims are chosen by the rule until they suffice; then each that turns out not to be needed is
        spared, the most important first. By the rule `last` no more candidates are looked at than are chosen.

        Args:
            candidates: running requests, from the last in the order to the first.
            gain: what preempting one of them gives.
            have: what is there.
            want: what the waiting request needs.
        """
        ranked = candidates
        if self.rule != "last":
            key = RULES[self.rule]
            ranked = sorted(candidates, key=lambda entry: key(entry, self.ledger), reverse=True)
        gains: dict[LiveRequest, Need] = {}
        total, enough = have, have.covers(want)
        for entry in () if enough else ranked:
            gains[entry] = gain(entry)
            total += gains[entry]
            enough = total.covers(want)
            if enough:
                break
        if not enough:
            return None
        chosen = list(gains)
        for entry in reversed(tuple(chosen)):
            rest = total - gains[entry]
            if rest.covers(want):
                chosen.remove(entry)
                total = rest
        return chosen


def worst(candidates: Iterable[LiveRequest], rule: str, ledger: Ledger) -> LiveRequest | None:
    """The candidate that the rule preempts first."""
    key = RULES[rule]
    return max(candidates, key=lambda entry: key(entry, ledger), default=None)


def swaps(config: Config, entry: LiveRequest, computed: int, ledger: Ledger) -> bool:
    """Whether the mode prefers to swap this victim; whether it can is another question.

    Args:
        config: mode, threshold and costs.
        entry: the victim.
        computed: tokens that would have to be computed again.
        ledger: where it runs.
    """
    mode = config.preemption_mode
    if mode == "by_length":
        return entry.num_tokens(ledger) >= config.swap_threshold
    if mode == "auto":
        moved = entry.record.blocks * config.block_size
        return moved * config.swap_token_cost < computed * config.recompute_token_cost
    if mode == "groups":
        return entry.n > 1
    return mode == "swap"
