"""The table with its features off: the small model of a two-tier pool that other checkers count.

Guarantees: every move is a fixed run of the table's own actions on a plain ledger, so a state that
is counted here is a state of the table; a move whose run is refused anywhere does not happen.

The moves, and what each is on the table:

- submit: `submit` of one sequence; request k has k tokens, then again from 1 after 3, and a limit of 7,
  which is 6 positions with KV;
- admit: `admit`;
- decode: `append_slots` for one position, `schedule_tokens` for all that is known and not computed,
  `issue_step`, `commit_step`, `sample` of one token, `lift_fences`;
- swap_out, swap_in: the action, `dispatch_copies`, `complete_copy`, `lift_fences`;
- recompute, abort: the action; finish: the action, which the environment chooses at 6 tokens.

A state is projected onto phase, known tokens and the set of places of each request; of a request
that is over nothing is left. What the projection drops decides no later move: how much of the
sequence is computed (decode computes the rest), the order of a table's entries, clocks, fences that
are all lifted and the order of the free places, because `LowestFirst` grants by number. The tests
hold two ledgers with one projection to the same moves.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import CPU, GPU, Limits, Pool, Refused, Request

#: Tokens that a request ever has, and positions of a block.
MOST_TOKENS = 6
BLOCK_SIZE = 2
OVER = (4, 0, ())
Row = tuple[int, int, tuple[int, ...]]


class LowestFirst(Pool):
    """A pool that takes the free place with the lowest number; the table allows any free place."""

    __slots__ = ()

    def take(self, count: int) -> list[int]:
        """Primitive: take the lowest free places out of the pool."""
        self.order[: self.free] = sorted(self.order[: self.free], reverse=True)
        return super().take(count)


class Toy:
    """One state: a plain ledger and the requests, in the order of their numbers."""

    def __init__(self, requests: int, gpu_blocks: int, cpu_blocks: int) -> None:
        limits = Limits(
            block_size=BLOCK_SIZE, gpu_blocks=gpu_blocks, cpu_blocks=cpu_blocks,
            max_num_batched_tokens=MOST_TOKENS, max_num_seqs=1,
            max_model_len=MOST_TOKENS + 1, chunked=False, max_steps_in_flight=1,
        )  # fmt: skip
        self.ledger = Ledger(limits)
        self.ledger.gpu = LowestFirst("GPU", gpu_blocks)
        self.ledger.cpu = LowestFirst("CPU", cpu_blocks)
        self.ledger.pools = (self.ledger.gpu, self.ledger.cpu)
        self.requests: list[Request | None] = [
            self.ledger.new_request(k % 3 + 1, MOST_TOKENS + 1, 1) for k in range(requests)
        ]

    def state(self) -> tuple[Row, ...]:
        """The projection: phase, known tokens and places of each request."""
        return tuple([row(request) for request in self.requests])

    def do(self, move: str, k: int) -> None:
        """One move of request k.

        Raises:
            Refused: a guard of one of its actions is false; the state is then worthless.
        """
        request = self.requests[k]
        if request is None:
            raise Refused("the request is over")
        MOVES[move](self.ledger, request)
        self.ledger.grown, self.ledger.appended, self.ledger.sent_whole = (
            [],
            [],
            [],
        )  # no plan is made
        self.ledger.whole.clear()
        if request.phase == Phase.FINISHED:
            self.requests[k] = None

    def save(self) -> bytes:
        """The whole state."""
        return pickle.dumps((self.ledger, self.requests), 5)

    def restore(self, state: bytes) -> None:
        """Everything is as it was when it was saved, in new records."""
        self.ledger, self.requests = pickle.loads(state)


def row(request: Request | None) -> Row:
    """What is left of a request in the projection."""
    if request is None:
        return OVER
    if not request.members:
        return int(request.phase), 0, ()
    sequence = request.members[0]
    places = tuple(sorted([block.block_id for block in sequence.table]))
    return int(request.phase), sequence.own_tokens, places


def act(ledger: Ledger, name: str, *arguments: Any) -> None:
    """One action of the table."""
    ACTIONS[name].body(ledger, *arguments)


def lift(ledger: Ledger) -> None:
    """Fences of operations that are complete are lifted at once."""
    if ledger.complete_up_to() > ledger.done:
        act(ledger, "lift_fences")


def single(name: str) -> Callable[[Ledger, Request], None]:
    """A move that is one action."""
    return lambda ledger, request: act(ledger, name, request)


def swap(name: str) -> Callable[[Ledger, Request], None]:
    """A swap whose copies are dispatched and complete at once."""

    def move(ledger: Ledger, request: Request) -> None:
        act(ledger, name, request)
        act(ledger, "dispatch_copies")
        act(ledger, "complete_copy", request.open_swap)
        lift(ledger)

    return move


def decode(ledger: Ledger, request: Request) -> None:
    """One whole step of one sequence, sampled at once."""
    ledger.require(request.width >= 1, "the request has a sequence")
    sequence = request.members[0]
    act(ledger, "append_slots", sequence, 1)
    act(ledger, "schedule_tokens", sequence, sequence.own_tokens - sequence.own_dispatched, 0)
    act(ledger, "issue_step")
    act(ledger, "commit_step")
    act(ledger, "sample", sequence, ledger.committed, 1, 0)
    lift(ledger)


def finish(ledger: Ledger, request: Request) -> None:
    """The environment lets a running request end when it has all its tokens."""
    whole = request.phase == Phase.RUNNING and request.members[0].own_tokens == MOST_TOKENS
    ledger.require(whole, "the request runs and has all its tokens")
    act(ledger, "finish", request)


MOVES: dict[str, Callable[[Ledger, Request], None]] = {
    "submit": single("submit"),
    "admit": single("admit"),
    "decode": decode,
    "swap_out": swap("swap_out"),
    "swap_in": swap("swap_in"),
    "recompute": single("recompute"),
    "finish": finish,
    "abort": single("abort"),
}
#: Moves worth a try in each phase; a test tries the others as well.
FROM: dict[int, tuple[str, ...]] = {
    Phase.NEW: ("submit",),
    Phase.WAITING: ("admit", "abort"),
    Phase.RUNNING: ("decode", "swap_out", "recompute", "finish", "abort"),
    Phase.SWAPPED: ("swap_in", "abort"),
}


def capacity_breaches(toy: Toy) -> list[str]:
    """What of conservation, residency and capacity is broken, recomputed from the tables."""
    found: list[str] = []
    for name, resident_in, pool in (
        ("gpu", Phase.RUNNING, toy.ledger.gpu),
        ("cpu", Phase.SWAPPED, toy.ledger.cpu),
    ):
        held = [p for q in toy.state() if q[0] == resident_in for p in q[2]]
        if sorted(held + pool.order[: pool.free]) != list(range(pool.total)):
            found.append(f"conservation: {name} places {held} are held")
    for k, (phase, tokens, places) in enumerate(toy.state()):
        resident = phase in (Phase.RUNNING, Phase.SWAPPED)
        if len(places) != (-(-tokens // BLOCK_SIZE) if resident else 0):
            found.append(f"capacity: request {k} has {len(places)} blocks for {tokens} tokens")
    for k, request in enumerate(toy.requests):
        tier = CPU if request is not None and request.phase == Phase.SWAPPED else GPU
        if request is not None and any(block.tier != tier for block in request.held):
            found.append(f"residency: request {k} has a block in the other tier")
    return found


@dataclass(slots=True)
class ToyResult:
    """What a search of the toy found.

    Attributes:
        visited: the states.
        transitions: moves that happened.
        depth: moves to the farthest state.
        violations: state, and what is broken in it.
    """

    visited: set[tuple[Row, ...]] = field(default_factory=set[tuple[Row, ...]])
    transitions: int = 0
    depth: int = 0
    violations: tuple[tuple[tuple[Row, ...], str], ...] = ()


def search_toy(requests: int, gpu_blocks: int, cpu_blocks: int, most: int = 1 << 30) -> ToyResult:
    """Visits every state of the toy, or so many of them."""
    result, toy = ToyResult(), Toy(requests, gpu_blocks, cpu_blocks)
    result.visited.add(toy.state())
    layer = [toy.save()]
    while layer:
        following: list[bytes] = []
        for before in layer:
            toy.restore(before)
            state = toy.state()
            result.violations += tuple((state, what) for what in capacity_breaches(toy))
            phases = [None if q is None else q.phase for q in toy.requests]
            for k, phase in enumerate(phases):
                for move in () if phase is None else FROM[phase]:
                    toy.restore(before)
                    try:
                        toy.do(move, k)
                    except Refused:
                        continue
                    result.transitions += 1
                    reached = toy.state()
                    if reached not in result.visited and len(result.visited) < most:
                        result.visited.add(reached)
                        following.append(toy.save())
        result.depth += bool(following)
        layer = following
    return result
