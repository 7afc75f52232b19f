"""The ledger that runs: the plain one, with what moves blocks done over many of them at once.

Guarantees: after each loop every field of the ledger is what the plain loop would have left, up to
the order in which a pool lists places that are not free, which nothing reads; tests run both in
lockstep, refusals included. It knows nothing about guards or about what an action is: it only
carries out what an action asks for.

The proofs are about the plain loops in `lineclear_spec.blocks` and the plain pool. These second
interpretations are tested, not proved: the loops `give_each_one`, `take_blocks` and `clear_table`,
and the pool's `grant` and `give_up`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from lineclear_spec.ledger import Ledger
from lineclear_spec.records import CPU, GPU, Block, Broken, Limits, Pool, Sequence

__all__ = ["QuickLedger", "QuickPool"]


#: A record without a call of its `__init__`, for loops that write every field of it.
bare = object.__new__


class QuickPool(Pool):
    """A pool whose free places are a stack: granted from its end, put back at its end.

    Only the first `free` entries of `order` mean something, and `position` is not kept. In their
    place `taken` says of each place whether it is granted, so that giving up twice still breaks.
    """

    __slots__ = ("taken",)

    def __init__(self, name: str, total: int) -> None:
        """Every place is free."""
        super().__init__(name, total)
        self.position = []
        self.taken = [False] * total

    def grant(self) -> int:
        """Takes the last free place out of the pool."""
        place = super().grant()
        self.taken[place] = True
        return place

    def grant_all(self, count: int) -> list[int]:
        """Takes so many places, at least one, in the order in which `grant` would."""
        free = self.free - count
        if free < 0:
            raise Broken(f"no free {self.name} block to grant")
        places = self.order[free : self.free]
        places.reverse()
        self.free = free
        taken = self.taken
        for place in places:
            taken[place] = True
        return places

    def give_up(self, place: int, until: int) -> None:
        """Puts a place back, fenced until operation `until` is done."""
        self.give_up_all((place,), until)

    def give_up_all(self, places: Collection[int], until: int) -> None:
        """Puts the places back, the last one on top."""
        taken, fences, free = self.taken, self.until, self.free
        for place in places:
            if not taken[place]:
                raise Broken(f"{self.name} block {place} is free already")
            taken[place] = False
            fences[place] = until
        self.free = free + len(places)
        self.order[free : self.free] = places


class QuickLedger(Ledger):
    """A ledger whose loops over blocks cost little more than the blocks."""

    gpu: QuickPool
    cpu: QuickPool

    def __init__(self, limits: Limits) -> None:
        """Nothing is live."""
        super().__init__(limits)
        self.gpu = QuickPool(self.gpu.name, limits.gpu_blocks)
        self.cpu = QuickPool(self.cpu.name, limits.cpu_blocks)

    def repeat(self, loop: str, count: int, step: Callable[[int], None], *arguments: Any) -> None:
        """Runs a loop, at once if it is known here and plainly otherwise."""
        if loop == "give_each_one":
            if count > 0:
                self._give_each_one(arguments[0].records, count)
        elif loop == "take_blocks":
            if count > 0:
                self._take_blocks(arguments[0], count)
        elif loop == "clear_table":
            self._clear_table(arguments[0])
        else:
            super().repeat(loop, count, step, *arguments)

    def _grant_all(self, count: int) -> list[int]:
        """GPU places; the next forward waits for whoever may still touch them."""
        places = self.gpu.grant_all(count)
        until = max(map(self.gpu.until.__getitem__, places))
        if until > self.barrier:
            self.barrier = until
        return places

    def _give_each_one(self, sequences: Collection[Sequence], count: int) -> None:
        """Appends one free GPU block to the table of each sequence."""
        places = self._grant_all(count)
        for sequence, place in zip(sequences, places, strict=True):
            request = sequence.request
            block = bare(Block)
            block.request = request
            block.tier = GPU
            block.place = place
            block.ref = 1
            request.held[block] = None
            sequence.table.append(block)
        self.grown.extend(zip(sequences, places, strict=True))

    def _take_blocks(self, sequence: Sequence, count: int) -> None:
        """Appends `count` free GPU blocks to the table."""
        request = sequence.request
        places = self._grant_all(count)
        blocks = [Block(request, GPU, place) for place in places]
        for block in blocks:
            block.ref = 1
        request.held.update(dict.fromkeys(blocks))
        sequence.table.extend(blocks)
        self.grown.extend([(sequence, place) for place in places])

    def _clear_table(self, sequence: Sequence) -> None:
        """Removes every entry of the table, the last one first."""
        table, request = sequence.table, sequence.request
        if not table:
            return
        held = request.held
        gone = table[::-1]
        table.clear()
        if len(request.members) == 1 and len(held) == len(gone):
            held.clear()  # nobody else is there to name a block, so every one goes
            for block in gone:
                block.ref = 0
        else:
            for block in gone:
                block.ref -= 1
            gone = [block for block in gone if not block.ref]
            for block in gone:
                del held[block]
        if gone:  # blocks of one request live in one tier
            pool = self.cpu if gone[0].tier == CPU else self.gpu
            pool.give_up_all([block.place for block in gone], self.issued)
