"""A fast audit for repeated use: it skips what is plainly right; `audit.py` judges the rest.

Guarantees: a state that `audit` refuses is refused here too, by the same violation. Every field that `audit` reads is
read again at every check; nothing is taken to be unchanged because no change was reported. What is kept from one
check to the next is a free list that was found right, and it counts only where the list of today is equal to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lineclear.monitor.audit import (
    audit_orders,
    check_cache,
    check_clocks,
    check_counters,
    check_pool,
    check_request,
    queues,
)
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import CPU, GPU, Block, Pool, Request

if TYPE_CHECKING:
    from lineclear.scheduling.readings import Readings


class FreeList:
    """The free blocks of one pool, and what of them was found right before.

    Args:
        pool: whose list it is.
    """

    def __init__(self, pool: Pool) -> None:
        """Nothing was looked at yet."""
        self.pool = pool
        self.known: list[int] = []  # the free part of the list as it was found right
        self.block_ids: set[int] = set()  # the same block ids

    def check(self, held: list[int]) -> None:
        """Free and held blocks are all there are, each once.

        Raises:
            InvariantViolation: they are not.
        """
        pool = self.pool
        if not self._follow(pool.order[: pool.free]) or not (
            len(self.block_ids) == pool.free
            and pool.free + len(held) == pool.total
            and len(set(held)) == len(held)
            and self.block_ids.isdisjoint(held)
        ):
            self.known, self.block_ids = [], set()
            check_pool(pool, held)

    def _follow(self, free: list[int]) -> bool:
        """Takes in the list of today; False if a block id in it is named twice or does not exist."""
        known, block_ids = self.known, self.block_ids
        if free == known:
            return True
        same, step = min(len(free), len(known)), 1
        while free[:same] != known[:same]:
            # The list grows and shrinks at its end, so the two part near it.
            same, step = max(0, same - step), 4 * step
        block_ids.difference_update(known[same:])
        fresh = free[same:]
        inside = all(0 <= block_id < self.pool.total for block_id in fresh)
        before = len(block_ids)
        block_ids.update(fresh)
        self.known = free
        return inside and len(block_ids) == before + len(fresh)


class RepeatedAudit:
    """Checks every invariant of one scheduler, as often as is wanted.

    Args:
        scheduler: whose ledger and queues are checked.
    """

    def __init__(self, scheduler: Readings) -> None:
        """Nothing was checked yet."""
        self.scheduler = scheduler
        ledger = scheduler.ledger
        self.free_lists = (FreeList(ledger.gpu), FreeList(ledger.cpu))

    def check(self) -> int:
        """Checks every invariant; returns the number of checks.

        Raises:
            InvariantViolation: the first one that does not hold.
        """
        ledger = self.scheduler.ledger
        held: tuple[list[int], list[int]] = ([], [])
        sealed: Counter[Block] = Counter()
        for phase, queue in queues(ledger):
            tier = CPU if phase == Phase.SWAPPED else GPU
            for request in queue:
                block_ids = plain_block_ids(ledger, request, phase, tier)
                if block_ids is not None:
                    held[tier].extend(block_ids)
                    continue
                for block in check_request(ledger, request, phase, sealed):
                    held[block.tier].append(block.block_id)
        if sealed or ledger.cached:
            held[GPU].extend(check_cache(ledger, sealed))
        for tier in (GPU, CPU):
            self.free_lists[tier].check(held[tier])
        check_clocks(ledger)
        return 12 + audit_orders(self.scheduler)


def plain_block_ids(
    ledger: Ledger, request: Request, phase: Phase, tier: int
) -> Iterable[int] | None:
    """The block ids of a request of one sequence of which `check_request` would say nothing.

    Args:
        ledger: the ledger that is audited.
        request: a live request.
        phase: the phase that it should have.
        tier: GPU or CPU, where its blocks should be.

    Returns:
        None if the request is not that plain; it is then for `check_request` to judge.
    """
    if request.phase != phase or len(request.members) != 1 or request.parallel < 1:
        return None
    sequence = request.members[0]
    table = sequence.table
    if sequence.request is not request:
        return None
    if table != list(request.held):
        return None  # keys are distinct, so an equal table names no block twice
    if phase == Phase.WAITING:
        if table:
            return None
    elif [
        block
        for block in table
        if block.ref != 1 or block.tier != tier or block.request is not request
    ]:
        return None
    if not sequence.in_decode_batch or not plain_counters(ledger, request):
        check_counters(ledger, sequence, ledger.limits.block_size)
    block_ids = [block.block_id for block in table]
    return block_ids if request.block_ids in (None, block_ids) else None


def plain_counters(ledger: Ledger, request: Request) -> bool:
    """Whether `check_counters` would say nothing of a request's one sequence, which is in the decode batch and
    shares no block.
    """
    sequence = request.members[0]
    offset, length = sequence.offset, len(sequence.table)
    reach, computed, size = (
        offset + ledger.steps,
        offset + ledger.committed,
        ledger.limits.block_size,
    )
    return (
        0 <= length * size - reach < size
        and 0 <= computed <= reach < request.limit
        and request.prompt <= computed + 1 <= request.limit
        and sequence.drafts == 0
        and sequence.last_samples in (0, 1)
        and sequence.previous_samples in (0, 1)
        and request.phase != Phase.WAITING
        and sequence in ledger.decode_batch
        and sequence in ledger.boundaries.get(length * size - offset, ())
        and sequence in ledger.endings.get(request.limit - 1 - offset, ())
    )
