"""When two ledgers count as one state of a search.

Guarantees: ledgers with equal keys allow the same actions for ever after, up to the names of
records, and the invariants that the future can break read the same there.

What is left out, and why that is sound:

- ids: records are numbered by age, blocks in the order in which tables name them;
- block ids: a held block counts only by what its block is and by who may still touch it, a free one by
  its turn to be allocated, its fence and who may still touch it;
- clocks: steps count from the last one committed. An operation's number is compared with numbers of
  open operations and of later ones only, so it becomes the number of open operations up to it:
  closing one lowers all of them alike, and later ones are larger than any;
- what is over: closed operations, requests that ended, sequences that left.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from lineclear_spec.kernel.ledger import pairs_of
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import CPU, GPU, SWAP_IN, SWAP_OUT, Block, Request, Sequence
from lineclear_spec.modelcheck.ghosts import GhostLedger

Key = tuple[Any, ...]
Touching = dict[tuple[int, int], tuple[int, ...]]


def state_key(ledger: GhostLedger) -> Key:
    """What decides the future."""
    committed, steps = ledger.committed, ledger.steps
    numbers = sorted(ledger.operations)
    live = [r for r in ledger.requests if 1 <= r.phase <= 3]
    age = {r: k for k, r in enumerate(live)}
    touching = touches(ledger, numbers)
    labels: dict[Block, int] = {}
    blocks: list[tuple[int, ...]] = []

    def label(block: Block) -> int:
        if block not in labels:
            labels[block] = len(labels)
            found = ledger.finds(block)
            blocks.append(
                (
                    block.tier,
                    block.name,
                    found,
                    block.readers,
                    *touching.get((block.tier, block.block_id), ()),
                )
            )
        return labels[block]

    rows: list[Key] = []
    for r in live:
        members = tuple(
            [(*counters(ledger, s), tuple([label(b) for b in s.table])) for s in r.members]
        )
        held = tuple([label(b) for b in r.held])
        copy = bisect_right(numbers, r.open_swap) if r.open_swap else -1
        # read by swap_in alone, and written by every swap_out
        moved = bisect_right(numbers, r.last_swap) if r.phase == Phase.SWAPPED else 0
        words = tuple([s.block_names for s in r.members])
        rows.append(
            (int(r.phase), r.prompt, r.limit, r.parallel, copy, moved, members, held, words)
        )

    def place(s: Sequence) -> tuple[int, int]:
        return age.get(s.request, -1), s.request.members.index(s) if s.alive else -1

    operations = tuple([operation(ledger, numbers, n, age) for n in numbers])
    calendar = tuple(
        [
            (step - steps, tuple(map(place, ledger.boundaries[step])))
            for step in sorted(ledger.boundaries)
        ]
    )
    return (
        steps - committed, ledger.step_tokens, ledger.step_sequences,
        ledger.complete_up_to() > ledger.done, bisect_right(numbers, ledger.barrier),
        tuple(rows), tuple(blocks), operations, fences(ledger, numbers, touching),
        tuple(map(place, ledger.decode_batch)), calendar, resting(ledger, numbers, touching),
    )  # fmt: skip


def resting(ledger: GhostLedger, numbers: list[int], touching: Touching) -> Key:
    """The blocks that rest, by name; any of them may be evicted, so their order decides nothing."""
    return tuple(
        [
            (
                b.name,
                b.readers,
                bisect_right(numbers, ledger.gpu.last_use[b.block_id]),
                touching.get((GPU, b.block_id), ()),
            )
            for b in sorted(ledger.resting, key=lambda b: b.name)
        ]
    )


def counters(ledger: GhostLedger, s: Sequence) -> Key:
    """A sequence's counters; those of committed steps are read only while one of them owes a sample."""
    committed, steady = ledger.committed, s.in_decode_batch
    recent = not steady and s.last_step > committed
    both = not steady and s.last_step > committed + 1
    owing = s.own_samples >= 1 and not steady
    return (
        ledger.num_tokens(s), ledger.num_dispatched_tokens(s), ledger.num_allocated_slots(s),
        ledger.scheduled_samples(s), s.drafts, steady, max(s.last_step - committed, 0) if not steady else 0,
        s.last_tokens if recent else 0, s.last_samples if recent else 0,
        s.previous_tokens if both else 0, s.previous_samples if both else 0,
        (s.last_samples, s.last_step == ledger.steps) if owing else (),
        max(s.void - committed, 0), s.late_drafts, known_to_readers(ledger, s),
    )  # fmt: skip


def known_to_readers(ledger: GhostLedger, s: Sequence) -> bool:
    """Whether who reads plans knows its table with the next step, if it runs."""
    if s in ledger.whole or not ledger.runs(s):
        return True
    waits = [block_id for grown, block_id in pairs_of(ledger.grown) if grown is s]
    block_ids = [block.block_id for block in s.table]
    return s.id in ledger.reader and [*ledger.reader[s.id], *waits] == block_ids


def touches(ledger: GhostLedger, numbers: list[int]) -> Touching:
    """For each block id the open operations that touch it."""
    found: dict[tuple[int, int], list[int]] = {}
    for at, number in enumerate(numbers):
        for where in ledger.touched.get(number, ()):
            found.setdefault(where, []).append(at)
    return {where: tuple(row) for where, row in found.items()}


def operation(
    ledger: GhostLedger, numbers: list[int], number: int, age: dict[Request, int]
) -> Key:
    """An open operation. Whose it is matters only where the request waits for it, or holds what it moved.

    Args:
        ledger: that has it.
        numbers: of the open operations, ascending.
        number: of this one.
        age: live requests by age.
    """
    record = ledger.operations[number]
    request, owner = record.request, -1
    if request is not None and request in age:
        holds = request.phase in (Phase.RUNNING, Phase.SWAPPED)
        if request.open_swap == number or (holds and number > ledger.born[request]):
            owner = age[request]
    kind = "swap" if record.kind in (SWAP_OUT, SWAP_IN) else record.kind
    return kind, bisect_right(numbers, record.wait), number > ledger.dispatched, owner


def fences(ledger: GhostLedger, numbers: list[int], touching: Touching) -> Key:
    """The free blocks of both pools, in the order of their lists: the last one is allocated first."""
    return tuple(
        [
            tuple(
                [
                    (bisect_right(numbers, pool.last_use[p]), touching.get((tier, p), ()))
                    for p in pool.order[: pool.free]
                ]
            )
            for tier, pool in ((GPU, ledger.gpu), (CPU, ledger.cpu))
        ]
    )
