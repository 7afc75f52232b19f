"""The invariants, recomputed from the tables of a running scheduler.

Guarantees: nothing here uses a primitive, a counter of a pool or a `ref` to find out what it checks.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import CPU, GPU, Block, Pool, Request, Sequence

if TYPE_CHECKING:
    from lineclear.scheduling.readings import Readings


class InvariantViolation(AssertionError):
    """An invariant does not hold; `invariant` is its name."""

    def __init__(self, invariant: str, what: str) -> None:
        """Names the invariant."""
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


def audit(scheduler: Readings) -> int:
    """Checks every invariant of the scheduler's ledger and queues; returns the number of checks.

    InvariantViolation: the first one that does not hold.
    """
    checks = audit_ledger(scheduler.ledger)
    return checks + audit_orders(scheduler)


def audit_orders(scheduler: Readings) -> int:
    """Checks what the scheduler keeps beside its ledger; returns the number of checks.

    Raises:
        InvariantViolation: the first one that does not hold.
    """
    ledger = scheduler.ledger
    running = {scheduler.of[r] for r in ledger.running}
    if running != set(scheduler.running.entries.values()):
        raise InvariantViolation("queue", "the running order is not the RUNNING queue")
    if {entry.record for entry in scheduler.queue} != {*ledger.waiting, *ledger.swapped}:
        raise InvariantViolation("queue", "the heap is not the WAITING and SWAPPED queues")
    for entry in running:
        width, ended = len(entry.record.members), len(entry.outputs or ())
        seats = entry.n if entry.may_fork_later else max(width, entry.n - ended)
        if entry.seats_taken != seats or seats < width:
            raise InvariantViolation(
                "budget",
                f"{entry.request_id!r} has {entry.seats_taken} seats, and should have {seats}",
            )
    if scheduler.seats != sum(e.seats_taken for e in running):
        raise InvariantViolation("budget", "seats are counted wrong")
    explicit = {s for r in ledger.running for s in r.members if not s.in_decode_batch}
    if explicit != set(scheduler.batch.explicit):
        raise InvariantViolation(
            "queue", "running sequences that are not in the decode batch are listed wrong"
        )
    if list(scheduler.batch.members) != list(ledger.decode_batch):
        raise InvariantViolation(
            "decode_batch", "the rows of sequences in the decode batch are not those of the ledger"
        )
    cache = scheduler.cache
    if not {*cache.held} <= {*ledger.cached} or not cache.forgotten <= {*cache.held}:
        raise InvariantViolation("readers", "a reader holds a block that cannot be found")
    readers = {name: block.readers for name, block in ledger.cached.items() if block.readers}
    if readers != dict(cache.held):
        raise InvariantViolation("readers", f"blocks have {readers} readers, not {cache.held}")
    for flight in scheduler.flights:
        plan, limits = flight.plan, ledger.limits
        groups = plan.scheduled_seq_groups
        if plan.num_batched_tokens > limits.max_num_batched_tokens:
            raise InvariantViolation("budget", f"step {plan.step} computes too many tokens")
        if not 1 <= len(groups) <= limits.max_num_seqs:
            raise InvariantViolation("budget", f"step {plan.step} has {len(groups)} sequences")
        if any(row.tokens < 1 for row in groups.first):
            raise InvariantViolation(
                "budget", f"step {plan.step} schedules a sequence for nothing"
            )
    if scheduler.seats > ledger.limits.max_num_seqs:
        raise InvariantViolation(
            "budget", f"{scheduler.seats} seats of {ledger.limits.max_num_seqs}"
        )
    return 10


def audit_ledger(ledger: Ledger) -> int:
    """Checks every invariant of a ledger; returns the number of checks.

    Raises:
        InvariantViolation: the first one that does not hold.
    """
    held: tuple[list[int], list[int]] = ([], [])  # block ids of both tiers
    sealed: Counter[Block] = Counter()
    for phase, queue in queues(ledger):
        for request in queue:
            for block in check_request(ledger, request, phase, sealed):
                held[block.tier].append(block.block_id)
    held[GPU].extend(check_cache(ledger, sealed))
    check_pool(ledger.gpu, held[GPU])
    check_pool(ledger.cpu, held[CPU])
    check_clocks(ledger)
    return 12


def queues(ledger: Ledger) -> tuple[tuple[Phase, dict[Request, None]], ...]:
    """The queues of a ledger, each with the phase of those who belong there."""
    return (
        (Phase.WAITING, ledger.waiting),
        (Phase.RUNNING, ledger.running),
        (Phase.SWAPPED, ledger.swapped),
    )


def check_request(
    ledger: Ledger, request: Request, phase: Phase, sealed: Counter[Block]
) -> dict[Block, int]:
    """Its sequences, tables and blocks are those of a request in the phase; how often each of its
    private blocks is named.

    Args:
        ledger: where it is.
        request: which.
        phase: whose queue it is in.
        sealed: entries that name each sealed block, to which those of its tables are added.
    """
    size = ledger.limits.block_size
    if request.phase != phase:
        raise InvariantViolation(
            "queue", f"{request} is in the queue of {phase.name} and is {request.phase!r}"
        )
    if not 1 <= len(request.members) <= request.parallel:
        raise InvariantViolation("members", f"{request} has {len(request.members)} sequences")
    own: dict[Block, int] = {}
    for sequence in request.members:
        if sequence.request is not request:
            raise InvariantViolation(
                "members", f"{sequence} of {request} is one of {sequence.request}"
            )
        if len(set(sequence.table)) != len(sequence.table):
            raise InvariantViolation("references", f"{sequence} names a block twice")
        for block in sequence.table:
            named = sealed if block.name else own
            named[block] = named.get(block, 0) + 1
        check_words(ledger, sequence, size)
        check_counters(ledger, sequence, size)
    if set(own) != set(request.held):
        raise InvariantViolation("holdings", f"{request} does not list the blocks of its tables")
    if request.block_ids not in (None, [block.block_id for block in request.held]):
        raise InvariantViolation(
            "holdings", f"{request} does not list the block ids of its blocks"
        )
    tier = CPU if phase == Phase.SWAPPED else GPU
    for block, count in own.items():
        if block.request is not request:
            raise InvariantViolation("group_local", f"{request} names {block} of {block.request}")
        if phase == Phase.WAITING or block.tier != tier:
            raise InvariantViolation("residency", f"{request} in {phase.name} holds {block}")
        if block.ref != count:
            raise InvariantViolation(
                "references", f"{block} is named {count} times, its ref is {block.ref}"
            )
    return own


def check_words(ledger: Ledger, sequence: Sequence, size: int) -> None:
    """The sealed blocks of a table have the names of the tokens there, which are computed and known."""
    prompt = sequence.request.prompt // size
    if sequence.block_names[:prompt] != sequence.request.prompt_names[:prompt]:
        raise InvariantViolation(
            "block_names", f"{sequence} has other names than its request's prompt"
        )
    certain = min(ledger.num_computed_tokens(sequence), ledger.num_tokens(sequence)) // size
    for index, block in enumerate(sequence.table):
        if not block.name:
            continue
        word = sequence.block_names[index] if index < len(sequence.block_names) else 0
        if block.name != word or index >= certain:
            raise InvariantViolation(
                "own_names",
                f"entry {index} of {sequence} names {block} of tokens {block.name}, its own are "
                f"{word}, of which {certain} blocks are certain",
            )


def check_cache(ledger: Ledger, sealed: Counter[Block]) -> list[int]:
    """Sealed blocks are named as often as they say, and can be found by at most one name; the block ids
    of those that tables name, and of those that rest.
    """
    for name, block in ledger.cached.items():
        if block.name != name:
            raise InvariantViolation("catalogue", f"name {name} leads to {block} of {block.name}")
    for block in (*sealed, *ledger.cached.values()):
        if block.tier != GPU or block.ref != sealed[block]:
            raise InvariantViolation(
                "references", f"{block} is named {sealed[block]} times, its ref is {block.ref}"
            )
    resting = [block for block in ledger.cached.values() if not block.ref]
    if len(resting) != len(ledger.resting) or set(resting) != set(ledger.resting):
        raise InvariantViolation("catalogue", "the blocks that rest are listed wrong")
    return [block.block_id for block in (*sealed, *resting)]


def check_pool(pool: Pool, held: list[int]) -> None:
    """Free and held blocks are all there are, each once."""
    free = pool.order[: pool.free]
    if len(set(free)) != pool.free or not set(free) <= set(range(pool.total)):
        raise InvariantViolation(
            "free_list", f"the {pool.name} list does not name each free block once"
        )
    if len(held) != len(set(held)):
        raise InvariantViolation("conservation", f"a {pool.name} block backs two blocks")
    if set(free) & set(held):
        raise InvariantViolation("conservation", f"a {pool.name} block is free and held")
    if len(free) + len(held) != pool.total:
        raise InvariantViolation(
            "conservation",
            f"{len(free)} free + {len(held)} held is not {pool.total} {pool.name} blocks",
        )


def check_counters(ledger: Ledger, sequence: Sequence, size: int) -> None:
    """Tables have the right size, and counters do not overtake each other."""
    request = sequence.request
    reach, slots = ledger.num_dispatched_tokens(sequence), ledger.num_allocated_slots(sequence)
    known, computed = ledger.num_tokens(sequence), ledger.num_computed_tokens(sequence)
    if len(sequence.table) != (slots + size - 1) // size:
        raise InvariantViolation(
            "capacity", f"{sequence} has {len(sequence.table)} blocks for {slots} slots"
        )
    if not 0 <= computed <= reach <= slots < request.limit:
        raise InvariantViolation(
            "capacity",
            f"{sequence}: num_computed_tokens {computed}, num_dispatched_tokens {reach}, num_allocated_slots {slots}, "
            f"limit {request.limit}",
        )
    if not request.prompt <= known <= request.limit:
        raise InvariantViolation("limit", f"{sequence} knows {known} tokens of {request.limit}")
    flags = (sequence.last_samples, sequence.previous_samples)
    if ledger.pending_samples(sequence) < 0 or not {*flags} <= {0, 1}:
        raise InvariantViolation(
            "pending_samples", f"{sequence} is owed {ledger.pending_samples(sequence)} samples"
        )
    if reach > known + ledger.scheduled_samples(sequence) + sequence.drafts:
        raise InvariantViolation("tokens_exist", f"{sequence} computes tokens that do not exist")
    if request.phase == Phase.WAITING and (slots or sequence.in_decode_batch):
        raise InvariantViolation("residency", f"{sequence} waits and has slots")
    if sequence.in_decode_batch != (sequence in ledger.decode_batch):
        raise InvariantViolation("decode_batch", f"{sequence} is listed wrong")
    if sequence.in_decode_batch or reach > computed:
        for block in sequence.table[computed // size :]:
            if block.ref != 1:
                raise InvariantViolation(
                    "exclusive_write", f"{sequence} writes {block}, named {block.ref} times"
                )
    if sequence.in_decode_batch:
        boundary = len(sequence.table) * size - sequence.offset
        if sequence not in ledger.boundaries.get(boundary, {}):
            raise InvariantViolation(
                "decode_batch", f"{sequence} is not in the calendar of boundaries"
            )
        if sequence not in ledger.endings.get(request.limit - 1 - sequence.offset, {}):
            raise InvariantViolation("decode_batch", f"{sequence} is not in the calendar of ends")


def check_clocks(ledger: Ledger) -> None:
    """Steps and operations are where they can be."""
    if (
        not ledger.committed
        <= ledger.steps
        <= ledger.committed + ledger.limits.max_steps_in_flight
    ):
        raise InvariantViolation(
            "clocks", f"{ledger.steps} steps issued, {ledger.committed} committed"
        )
    for number in range(ledger.dispatched + 1, ledger.issued + 1):
        if number not in ledger.operations:
            raise InvariantViolation(
                "pending", f"operation {number} is complete and was in no plan"
            )
    if any(not ledger.done < number <= ledger.issued for number in ledger.operations):
        raise InvariantViolation(
            "clocks", "an operation that is open was never decided or is done"
        )
    if sum(map(len, ledger.boundaries.values())) != len(ledger.decode_batch):
        raise InvariantViolation(
            "decode_batch",
            "the calendar of boundaries lists others than the sequences in the decode batch",
        )
    if sum(map(len, ledger.endings.values())) != len(ledger.decode_batch):
        raise InvariantViolation(
            "decode_batch",
            "the calendar of ends lists others than the sequences in the decode batch",
        )
