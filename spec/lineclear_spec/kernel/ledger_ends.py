"""The operators by which several requests end at once, on plain data.

Guarantees: each is a loop over sequences or requests that does to each what a single operator does; `Ends` in
`symbolic/ends.py` is the same on formulas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.kernel.ledger_cache import CachedBlocks
from lineclear_spec.kernel.records import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lineclear_spec.kernel.containers import Calendar, DecodeMembers
    from lineclear_spec.kernel.lifecycle import Phase
    from lineclear_spec.kernel.records import Block, Pool, Request, Sequence


class EndedRequests(CachedBlocks):
    """The operators of a ledger for requests that end at once.

    Attributes:
        gpu: its pool.
        issued: number of the last operation decided.
        committed: steps committed.
        decode_batch: the sequences in the decode batch.
        boundaries: sequences in the decode batch by the step that begins their next block.
        endings: sequences in the decode batch by the step in which they reach their limit.
        queues: requests by phase.
    """

    __slots__ = ("boundaries", "committed", "decode_batch", "endings", "gpu", "issued", "queues")

    gpu: Pool
    issued: int
    committed: int
    decode_batch: DecodeMembers
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

    def free_tables(self, sequences: Iterable[Sequence]) -> None:
        """Each of the sequences, which is in the decode batch and the only one of its request, frees the blocks
        of its table, which the caller clears. Of its last entries, as many as its request holds blocks, those blocks
        get their names that `publish` would seal. Then private ones are put back, and sealed ones that no entry
        refers to any more rest or are put back, as by `let_go`, those at the end of the table first.
        """
        put, last_use, fences, cached = self.gpu.put, self.issued, self.gpu.last_use, self.cached
        size, give, before = self.limits.block_size, cached.setdefault, len(cached)
        rest: list[Block] = []
        # One sequence after another, while its blocks are in the processor's cache.
        for sequence in sequences:
            request, table = sequence.request, sequence.table
            block_ids, request.block_ids = request.block_ids, None
            held = [] if block_ids is not None else list(request.held)
            first = len(table) - len(held if block_ids is None else block_ids)
            first, end = max(0, first), (sequence.offset + self.committed) // size
            names = () if request.open_swap else sequence.block_names[first:end]
            if request.held_set is not None:
                request.held_set.clear()
            if not self.sealed and not names:  # no block has a name
                put(
                    block_ids[::-1] if block_ids else [b.block_id for b in reversed(held)],
                    last_use,
                )
                continue
            # A request that keeps block ids has given names to its first blocks alone: the last entries are what it
            # holds. Otherwise they are compared: a block's name is seldom in the processor's cache.
            last = table[first:]
            behind = block_ids is not None or held == last
            sealed = table[:first] if behind else [block for block in table if block.name]
            held = last if behind else held
            if names:
                run = zip(names, held) if behind else self.unnamed(sequence, first, end).items()  # noqa: B905
                for name, block in run:  # no other entry refers to the block
                    if name and give(name, block) is block:
                        block.name = name
                if behind:
                    sealed += [block for block in held if block.name]
                else:
                    sealed = [block for block in table if block.name]
                held = [block for block in held if not block.name]
            put(
                block_ids[::-1]
                if block_ids and not names
                else [b.block_id for b in reversed(held)],
                last_use,
            )
            for block in reversed(sealed):
                block.ref -= 1
                if not block.ref:
                    fences[block.block_id] = last_use
                    rest.append(block)
        if self.unlisted:
            put([block.block_id for block in self.lost_among(rest)], last_use)
            rest = self.found_among(rest)
        self.resting.extend(rest)
        self.sealed += len(cached) - before

    def unlist_each(self, sequences: Iterable[Sequence]) -> None:
        """The sequences leave the batch and both calendars.

        Raises:
            KeyError: one is not in the batch, or not listed under the steps of its block and of its end.
        """
        batch, size = self.decode_batch, self.limits.block_size
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
