# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""The operators by which several requests end at once mean the same on plain data and on formulas."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from evaluated import Values
from two_readings import GHOSTS, Both, compare, listed, lists

from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import GPU, Block, Broken, Limits, Sequence
from lineclear_spec.modelcheck.ghosts import GhostLedger

LIMITS = Limits(block_size=2, gpu_blocks=5, max_model_len=16)
#: Of the block that the first two tables share, if there is one.
SHARED = ("", "listed", "unlisted")


def ending(first: int, second: int, shared: str, steady: tuple[int, ...]) -> GhostLedger:
    """Two requests of one sequence and one of two; so many private blocks of the first two, one of the last.

    Args:
        first: private blocks of the first.
        second: of the second.
        shared: whether both begin with one sealed block, and whether it can be found.
        steady: numbers of the sequences that are in the decode batch.
    """
    ledger = GhostLedger(LIMITS)
    requests = [ledger.new_request(1, 9, n) for n in (1, 1, 2)]
    requests[0].held_set = None  # as in a scheduler
    for request in requests:
        request.phase = Phase.RUNNING
        ledger.running[request] = None
        for _ in range(request.parallel):
            ledger.add_member(request)
    ledger.issued, ledger.steps, ledger.committed = 3, 2, 2
    if shared:
        block = Block(requests[0], GPU, ledger.gpu.take(1)[0], 2)
        block.name, ledger.sealed = 7, 1
        if shared == "listed":
            ledger.cached[7] = block
        else:
            ledger.unlisted = 1
        for request in requests[:2]:
            request.members[0].block_names = (7,)
            request.members[0].table.append(block)
    for request, count in zip(requests, (first, second, 1), strict=True):
        for block_id in ledger.gpu.take(count):
            block = Block(request, GPU, block_id, 1)
            ledger.hold(request, [block], [block_id])
            request.members[0].table.append(block)
    for k in steady:
        sequence = ledger.sequences[k]
        sequence.in_decode_batch, sequence.offset = True, 1
        ledger.decode_batch.add(sequence)
        ledger.boundaries.mark(2 * len(sequence.table) - 1, sequence)
        ledger.endings.mark(sequence.request.limit - 2, sequence)
    return ledger


def states() -> Iterator[GhostLedger]:
    """The first two requests with up to two blocks in all, the sealed one aside."""
    for first, second in ((0, 0), (1, 0), (1, 1), (2, 0)):
        for shared in SHARED:
            yield ending(first, second, shared, (0, 1, 2))


#: Names of the two sequences that end: none, others each, the same, 0 for one that is not given, one found already.
WORDS = (((), ()), ((8, 9), (18, 19)), ((8, 9), (8, 19)), ((0, 9), (18, 0)), ((7, 9), (7,)))


def named_states() -> Iterator[GhostLedger]:
    """The first two requests with private blocks, full or not, whose tokens have names or not."""
    most = [
        (counts, shared, words, 2, 0)
        for counts in ((1, 1), (2, 0))
        for shared in SHARED
        for words in WORDS
    ]
    few = [((2, 1), "listed", WORDS[1], offset, copy) for offset in (0, 1, 6) for copy in (0, 2)]
    for counts, shared, words, offset, copy in [*most, *few]:
        ledger = ending(counts[0], counts[1], shared, (0, 1))
        for request, given in zip(ledger.requests[:2], words, strict=True):
            request.members[0].block_names = (7, *given) if shared else given
            request.members[0].offset = offset
        ledger.steps = 3  # one is in flight
        ledger.requests[0].open_swap = copy
        yield ledger
        if (
            shared and offset in (1, 6) and not copy
        ):  # no action does it: private blocks before a sealed one
            first = ledger.sequences[0]
            first.table.reverse()
            first.block_names = (8, 9, 10)
            yield ledger


def give_up(ledger: GhostLedger, ended: list[Sequence]) -> None:
    """The operator, and what is held nowhere is named nowhere."""
    ledger.free_tables(ended)
    for sequence in ended:
        sequence.table[:] = [b for b in sequence.table if b.name]


def left_open(state: GhostLedger, chosen: list[int]) -> dict[str, Callable[..., Any]]:
    """What formulas leave open of tables that are freed, from what plain data does to a twin of the state."""
    twin = state.clone()
    ours: dict[Block, Block] = {}
    for here, there in zip(state.sequences, twin.sequences, strict=True):
        ours.update(zip(there.table, here.table, strict=True))
    tables = {q: list(q.table) for q in state.sequences}
    ended = [state.sequences[k] for k in chosen]
    held = [b for q in ended for b in reversed(q.request.held)]
    give_up(twin, [twin.sequences[k] for k in chosen])
    after = Values(twin)
    new = {n: ours[b] for n, b in twin.cached.items() if n not in state.cached}

    def holders(block: Block) -> list[Sequence]:
        return [q for q in tables if q not in ended and block in tables[q]]

    named = {ours[b] for b in ours if b.name}
    backwards = dict.fromkeys([b for q in ended for b in reversed(tables[q]) if b in named])
    gone = [b for b in backwards if not holders(b)]
    found = [b for b in gone if state.finds(b) or b in new.values()]
    return {
        **listed("private", [b for b in held if b not in named]),
        "private_count": lambda: len([b for b in held if b not in named]),
        "gets": lambda b: b in new.values(),
        "gets_first": new.get,
        **listed("dropped", gone),
        "dropped_count": lambda: len(gone),
        "dropped_ref": lambda b: len(holders(b)),
        "dropped_holder": lambda b, k: holders(b)[k] if 0 <= k < len(holders(b)) else None,
        "dropped_holder_index": lambda q, b: holders(b).index(q) if q in holders(b) else -1,
        **vector("selected!same1", found),
        **vector("selected!same2", [b for b in gone if b not in found]),
        "put_order": lambda j: after.order(GPU, j),
        "put_position": lambda p: after.position(GPU, p),
    }


def vector(name: str, elements: list[Block]) -> dict[str, Callable[..., Any]]:
    """What the functions of one of several vectors of one name are."""
    return listed(name, elements) | {f"{name}_count": lambda: len(elements)}


def test_requests_that_end_at_once() -> None:
    for state in states():
        for chosen in lists([0, 1]):
            both = Both(state.clone())
            ended = [both.ledger.sequences[k] for k in chosen]
            d = both.vector(ended, "sequence")
            compare(both, lambda v, x=ended: v.requests_of(x), lambda s, d=d: s.requests_of(d))

            for phase in (Phase.SWAPPED, Phase.FINISHED):  # a queue, and none
                both = Both(state.clone())
                moved = [both.ledger.requests[k] for k in chosen]
                r = both.vector(moved, "request")
                compare(
                    both,
                    lambda v, x=moved, phase=phase: v.enqueue_each(x, phase),
                    lambda s, r=r, phase=phase: s.enqueue_each(r, phase),
                    beside=GHOSTS | ({"queue"} if phase == Phase.FINISHED else frozenset()),
                )
                left = [k for k in range(3) if k not in chosen]
                assert list(both.ledger.running) == [both.ledger.requests[k] for k in left]
                assert list(both.ledger.swapped) == (moved if phase == Phase.SWAPPED else [])


def test_sequences_that_leave_the_batch_at_once() -> None:
    for steady in itertools.chain.from_iterable(
        itertools.combinations(range(4), n) for n in range(5)
    ):
        for chosen in lists([0, 1, 2]):
            both = Both(ending(1, 1, "", steady))
            ended = [both.ledger.sequences[k] for k in chosen]
            d = both.vector(ended, "sequence")

            def left(_: Any, after: Values) -> dict[str, Callable[..., Any]]:
                return {
                    "decode_batch": after.decode_batch,
                    "decode_batch_index": after.decode_batch_index,
                }

            compare(
                both, lambda v, x=ended: v.unlist_each(x), lambda s, d=d: s.unlist_each(d), left
            )
            if set(chosen) <= set(steady):
                assert len(both.ledger.decode_batch) == len(steady) - len(chosen)
                listed_now = sum(map(len, both.ledger.endings.values()))
                assert listed_now == len(both.ledger.decode_batch)


def test_a_request_of_several_sequences_does_not_end_so() -> None:
    """Formulas owe that each is the only one, and plain data refuses it."""
    both = Both(ending(1, 1, "", (0, 2)))
    third = both.ledger.sequences[2]
    d = both.vector([third], "sequence")
    compare(both, lambda v: v.requests_of([third]), lambda s: s.requests_of(d))
    with pytest.raises(Broken, match="has 2 sequences"):
        both.ledger.requests_of([third])


def test_tables_that_are_given_up() -> None:
    shown: Counter[tuple[int, int]] = Counter()
    for state in itertools.chain(states(), named_states()):
        for chosen in ([0], [0, 1], [1, 0]):
            both = Both(state.clone())
            both.symbolic.start_watching()  # the lemma that it rests on asks what is still known
            ended = [both.ledger.sequences[k] for k in chosen]
            d = both.vector(ended, "sequence")
            both.given |= left_open(both.ledger, chosen)
            last = dict.fromkeys([b for q in reversed(ended) for b in q.table])
            cached, free = len(both.ledger.cached), both.ledger.gpu.free
            compare(both, lambda v, x=ended: give_up(v, x), lambda s, d=d: s.free_tables(d))
            rest = {b for b in both.ledger.cached.values() if not b.ref}
            assert list(both.ledger.resting) == [b for b in reversed(last) if b in rest]
            shown[len(both.ledger.cached) - cached, both.ledger.gpu.free - free] += 1
    assert all(shown[seen] for seen in ((2, 0), (1, 1), (1, 2), (0, 3))), shown
