"""Derived quantities, once, for every view of a state.

Guarantees: `reach`, `computed`, `known` and the rest mean the same in an invariant, in a contract
and in a guard run symbolically. It knows nothing about where the fields come from.
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.logic import both

__all__ = ["Derived"]


class Derived:
    """Lazy counters: a steady sequence's are offset plus clock, any other carries its own."""

    # Supplied by the concrete and the symbolic view.
    either: Any
    steady: Any
    offset: Any
    steps: Any
    settled: Any
    reach_tokens: Any
    slot_tokens: Any
    known_tokens: Any
    promised_samples: Any
    last_step: Any
    last_tokens: Any
    previous_tokens: Any
    last_samples: Any
    previous_samples: Any
    phase: Any
    request: Any
    alive: Any

    def reach(self, q: Any) -> Any:
        """Positions computed or being computed."""
        return self.either(self.steady(q), self.offset(q) + self.steps, self.reach_tokens(q))

    def owed(self, q: Any) -> Any:
        """Samples of committed steps that are still to come."""
        last = self.last_step(q)
        coming = self.either(last > self.settled, self.last_samples(q), 0) + self.either(
            last > self.settled + 1, self.previous_samples(q), 0
        )
        return self.either(self.steady(q), 0, self.promised_samples(q) - coming)

    def slots(self, q: Any) -> Any:
        """Positions the table has room for."""
        return self.either(self.steady(q), self.offset(q) + self.steps, self.slot_tokens(q))

    def in_flight(self, q: Any) -> Any:
        """Positions that steps in flight compute."""
        last = self.last_step(q)
        own = self.either(last > self.settled, self.last_tokens(q), 0) + self.either(
            last > self.settled + 1, self.previous_tokens(q), 0
        )
        return self.either(self.steady(q), self.steps - self.settled, own)

    def computed(self, q: Any) -> Any:
        """Positions whose KV is valid."""
        return self.reach(q) - self.in_flight(q)

    def known(self, q: Any) -> Any:
        """Prompt and generated tokens."""
        return self.either(self.steady(q), self.offset(q) + self.settled + 1, self.known_tokens(q))

    def promised(self, q: Any) -> Any:
        """Samples that steps in flight will bring."""
        return self.either(self.steady(q), self.steps - self.settled, self.promised_samples(q))

    def runs(self, q: Any) -> Any:
        """Whether the sequence is alive and its request runs."""
        return both(self.alive(q), self.phase(self.request(q)) == 2)
