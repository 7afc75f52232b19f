"""The operators by which several requests end at once, on plain data.

Guarantees: each is a loop over sequences or requests that does to each what a single operator does; `Ends` in
`symbolic_ends.py` is the same on formulas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.ledger_cache import CachedBlocks
from lineclear_spec.records import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lineclear_spec.containers import Calendar, SteadyBatch
    from lineclear_spec.lifecycle import Phase
    from lineclear_spec.records import Pool, Request, Sequence

__all__ = ["EndedRequests"]


class EndedRequests(CachedBlocks):
    """The operators of a ledger for requests that end at once.

    Attributes:
        gpu: its pool.
        issued: number of the last operation decided.
        batch: the steady sequences.
        boundaries: steady sequences by the step that begins their next block.
        endings: steady sequences by the step in which they reach their limit.
        queues: requests by phase.
    """

    gpu: Pool
    issued: int
    batch: SteadyBatch
    endings: Calendar
    boundaries: Calendar
    queues: tuple[dict[Request, None] | None, ...]

    @staticmethod
    def requests_of(sequences: Iterable[Sequence]) -> list[Request]:
        """The requests of the sequences, each of which is the only one of its request.

        Raises:
            Broken: one of them has another sequence, or none.
        """
        requests = [sequence.request for sequence in sequences]
        for request in requests:
            if len(request.members) != 1:
                raise Broken(f"{request} has {len(request.members)} sequences, it must have one")
        return requests

    def give_up_each(self, requests: Iterable[Request]) -> None:
        """The requests hold nothing: the places of their private blocks, which are GPU blocks, are put back, those of
        one request last one first. Nothing leads to the blocks any more once the tables are cleared, so their records
        may stand for new ones.
        """
        put, until = self.gpu.put, self.issued
        for request in requests:
            places = request.places
            if places is None:
                places = [block.place for block in request.held]
            put(places[::-1], until)
            request.places = None
            if request.held_set is not None:
                request.held_set.clear()

    def unlist_each(self, sequences: Iterable[Sequence]) -> None:
        """The sequences leave the batch and both calendars.

        Raises:
            KeyError: one is not in the batch, or not listed under the steps of its block and of its end.
        """
        batch, size = self.batch, self.limits.block_size
        unmark_boundary, unmark_ending = self.boundaries.unmark, self.endings.unmark
        for sequence in sequences:
            offset = sequence.offset
            unmark_boundary(len(sequence.table) * size - offset, sequence)
            unmark_ending(sequence.request.limit - 1 - offset, sequence)
            batch.remove(sequence)

    def enqueue_each(self, requests: Iterable[Request], phase: Phase) -> None:
        """Each request leaves the queue of its phase and enters that of another one."""
        queues, into = self.queues, self.queues[phase]
        for request in requests:
            source = queues[request.phase]
            if source is not None:
                del source[request]
            if into is not None:
                into[request] = None
