# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""The operators by which several requests end at once mean the same on plain data and on formulas."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("z3")

from evaluated import Values
from two_readings import GHOSTS, Both, compare, listed, lists

from lineclear_spec.ghosts import GhostLedger
from lineclear_spec.lifecycle import Phase
from lineclear_spec.records import GPU, Block, Broken, Limits, Request, Sequence

LIMITS = Limits(block_size=2, gpu_blocks=5, max_model_len=16)
#: Of the block that the first two tables share, if there is one.
SHARED = ("", "listed", "unlisted")


def ending(first: int, second: int, shared: str, steady: tuple[int, ...]) -> GhostLedger:
    """Two requests of one sequence and one of two; so many private blocks of the first two, one of the last.

    Args:
        first: private blocks of the first.
        second: of the second.
        shared: whether both begin with one sealed block, and whether it can be found.
        steady: numbers of the sequences that are steady.
    """
    ledger = GhostLedger(LIMITS)
    requests = [ledger.new_request(1, 9, n) for n in (1, 1, 2)]
    requests[0].held_set = None  # as in a scheduler
    for request in requests:
        request.phase = Phase.RUNNING
        ledger.running[request] = None
        for _ in range(request.parallel):
            ledger.add_member(request)
    ledger.issued, ledger.steps, ledger.settled = 3, 2, 2
    if shared:
        block = Block(requests[0], GPU, ledger.gpu.take(1)[0], 2)
        block.name, ledger.sealed = 7, 1
        if shared == "listed":
            ledger.cached[7] = block
        for request in requests[:2]:
            request.members[0].words = (7,)
            request.members[0].table.append(block)
    for request, count in zip(requests, (first, second, 1), strict=True):
        for place in ledger.gpu.take(count):
            block = Block(request, GPU, place, 1)
            ledger.hold(request, [block])
            request.members[0].table.append(block)
    for k in steady:
        sequence = ledger.sequences[k]
        sequence.steady, sequence.offset = True, 1
        ledger.batch.add(sequence)
        ledger.boundaries.mark(2 * len(sequence.table) - 1, sequence)
        ledger.endings.mark(sequence.request.limit - 2, sequence)
    return ledger


def states() -> Iterator[GhostLedger]:
    """The first two requests with up to two blocks in all, the sealed one aside."""
    for first, second in ((0, 0), (1, 0), (1, 1), (2, 0)):
        for shared in SHARED:
            yield ending(first, second, shared, (0, 1, 2))


def dropped(ended: list[Sequence], sequences: list[Sequence]) -> Callable[[Any, Values], Any]:
    """What stands for the holders that are listed anew: sequences that do not end."""

    def holders(block: Block) -> list[Sequence]:
        return [q for q in sequences if q not in ended and block in q.table]

    def made(result: list[Block], _after: Values) -> dict[str, Callable[..., Any]]:
        return listed("dropped", result) | {
            "dropped_count": lambda: len(result),
            "dropped_ref": lambda b: len(holders(b)),
            "dropped_holder": lambda b, k: holders(b)[k] if 0 <= k < len(holders(b)) else None,
            "dropped_rank": lambda q, b: holders(b).index(q) if q in holders(b) else -1,
        }

    return made


def put_back(_: Any, after: Values) -> dict[str, Callable[..., Any]]:
    """What stands for the order of the pool."""
    return {
        "put_order": lambda j: after.order(GPU, j),
        "put_position": lambda p: after.position(GPU, p),
    }


def test_requests_that_end_at_once() -> None:
    for state in states():
        for chosen in lists([0, 1]):
            both = Both(state.clone())
            ended = [both.ledger.sequences[k] for k in chosen]
            d = both.vector(ended, "sequence")
            compare(both, lambda v, x=ended: v.requests_of(x), lambda s, d=d: s.requests_of(d))

            both = Both(state.clone())
            both.symbolic.start_watching()  # the lemma that it rests on asks what is still known
            ended = [both.ledger.sequences[k] for k in chosen]
            d = both.vector(ended, "sequence")
            compare(
                both,
                lambda v, x=ended: v.drop_sealed_each(x),
                lambda s, d=d: s.drop_sealed_each(d),
                dropped(ended, both.ledger.sequences),
            )

            both = Both(state.clone())
            requests = [both.ledger.requests[k] for k in chosen]
            r = both.vector(requests, "request")
            blocks = [b for request in requests for b in reversed(request.held)]

            def give_up(v: GhostLedger, x: list[Request] = requests) -> None:
                v.give_up_each(x)
                for request in x:  # what is held nowhere is named nowhere
                    table = request.members[0].table
                    table[:] = [b for b in table if b.name]

            both.given |= listed("private", blocks) | {"private_count": lambda x=blocks: len(x)}
            compare(both, give_up, lambda s, r=r: s.give_up_each(r), put_back)
            gpu = both.ledger.gpu  # formulas leave the order open
            assert gpu.order[gpu.free - len(blocks) : gpu.free] == [b.place for b in blocks]

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
                return {"steady": after.batch, "steady_seat": after.batch_seat}

            compare(
                both, lambda v, x=ended: v.unlist_each(x), lambda s, d=d: s.unlist_each(d), left
            )
            if set(chosen) <= set(steady):
                assert len(both.ledger.batch) == len(steady) - len(chosen)
                listed_now = sum(map(len, both.ledger.endings.values()))
                assert listed_now == len(both.ledger.batch)


def test_a_request_of_several_sequences_does_not_end_so() -> None:
    """Formulas owe that each is the only one, and plain data refuses it."""
    both = Both(ending(1, 1, "", (0, 2)))
    third = both.ledger.sequences[2]
    d = both.vector([third], "sequence")
    compare(both, lambda v: v.requests_of([third]), lambda s: s.requests_of(d))
    with pytest.raises(Broken, match="has 2 sequences"):
        both.ledger.requests_of([third])
