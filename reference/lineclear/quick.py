"""The ledger that runs: the plain one, with three loops of the table done over many blocks at once.

Guarantees: after each loop every field of the ledger is what the plain loop would have left; tests
run both in lockstep, refusals included. It knows nothing about guards or about what an action is:
it only carries out loops that an action asks for.

The proofs are about the plain loops in `lineclear_spec.blocks`. This second interpretation is
tested, not proved.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

from lineclear_spec.ledger import GPU, Block, Broken, Ledger, Sequence

__all__ = ["QuickLedger"]


class QuickLedger(Ledger):
    """A ledger whose loops over blocks cost little more than the blocks."""

    def repeat(self, loop: str, count: int, step: Callable[[int], None], *arguments: Any) -> None:
        """Runs a loop, at once if it is known here and plainly otherwise."""
        if loop == "give_each_one":
            self._give(arguments[0].records, count)
        elif loop == "take_blocks":
            self._give(repeat(arguments[0], count), count)
        elif loop == "clear_table":
            self._clear(arguments[0])
        else:
            super().repeat(loop, count, step, *arguments)

    def _give(self, sequences: Any, count: int) -> None:
        """Appends one free GPU block to the table of each sequence."""
        if count < 1:
            return
        pool = self.gpu
        free = pool.free - count
        if free < 0:
            raise Broken(f"no free {pool.name} block to grant")
        places = pool.order[free : pool.free]
        places.reverse()
        pool.free = free
        until = max(map(pool.until.__getitem__, places))
        if until > self.barrier:
            self.barrier = until
        told = self.grown
        for sequence, place in zip(sequences, places, strict=True):
            request = sequence.request
            block = Block(request, GPU, place)
            block.ref = 1
            request.held[block] = None
            sequence.table.append(block)
            told.append((sequence, place))

    def _clear(self, sequence: Sequence) -> None:
        """Removes every entry of the table, the last one first."""
        table, held = sequence.table, sequence.request.held
        pools = (self.gpu, self.cpu)
        issued = self.issued
        while table:
            block = table.pop()
            block.ref -= 1
            if block.ref == 0:
                del held[block]
                pools[block.tier].give_up(block.place, issued)
