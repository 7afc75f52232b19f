"""The table with its features switched off: the small model of a two-tier pool that other checkers count.

Guarantees: every move is a fixed run of the table's own actions on a plain ledger, so a state that
is counted here is a state of the table; a move whose run is refused anywhere does not happen.

The moves, and what each is on the table:

- submit: `submit` of one sequence; request k has k tokens, then again from 1 after 3, and a limit of 7,
  which is 6 positions with KV;
- admit: `admit`;
- decode: `append_slots` for one position, `schedule_tokens` for all that is known and not computed,
  `issue_step`, `settle_step`, `sample` of one token, `retire`;
- swap_out, swap_in: the action, `carry`, `settle_copy`, `retire`;
- recompute, abort: the action; finish: the action, which the environment chooses at 6 tokens.

A state is projected onto phase, known tokens and the set of places of each request; of a request
that is over nothing is left. What the projection drops decides no later move: how much of the
sequence is computed (decode computes the rest), the order of a table's entries, clocks, fences that
are all lifted and the order of the free places, because `LowestFirst` grants by number. The tests
hold two ledgers with one projection to the same moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lineclear_spec.actions import ACTIONS
from lineclear_spec.ledger import Ledger
from lineclear_spec.lifecycle import Phase
from lineclear_spec.records import CPU, GPU, Limits, Pool, Refused, Request
from lineclear_spec.saved import Saved, forget_sent, restore, save
from lineclear_spec.toy_classes import alike, class_of, members

__all__ = ["MOVES", "Toy", "ToyResult", "capacity_breaches", "search_toy"]

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
            max_model_len=MOST_TOKENS + 1, chunked=False, depth=1,
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
        forget_sent(self.ledger)  # no plan is made
        if request.phase == Phase.FINISHED:
            self.requests[k] = None

    def save(self) -> Saved:
        """The whole state, to be restored into this toy."""
        return save(self.ledger, self.requests)

    def restore(self, state: Saved, only: int | None = None) -> None:
        """Everything is as it was when it was saved; only this request was moved since, if it is named."""
        restore(self.ledger, self.requests, state, only)


def row(request: Request | None) -> Row:
    """What is left of a request in the projection."""
    if request is None:
        return OVER
    if not request.members:
        return int(request.phase), 0, ()
    sequence = request.members[0]
    places = tuple(sorted([block.place for block in sequence.table]))
    return int(request.phase), sequence.known_tokens, places


def act(ledger: Ledger, name: str, *arguments: Any) -> None:
    """One action of the table."""
    ACTIONS[name].body(ledger, *arguments)


def lift(ledger: Ledger) -> None:
    """Fences of operations that are complete are lifted at once."""
    if ledger.retired() > ledger.done:
        act(ledger, "retire")


def single(name: str) -> Callable[[Ledger, Request], None]:
    """A move that is one action."""
    return lambda ledger, request: act(ledger, name, request)


def swap(name: str) -> Callable[[Ledger, Request], None]:
    """A swap whose copies are carried and complete at once."""

    def move(ledger: Ledger, request: Request) -> None:
        act(ledger, name, request)
        act(ledger, "carry")
        act(ledger, "settle_copy", request.copy)
        lift(ledger)

    return move


def decode(ledger: Ledger, request: Request) -> None:
    """One whole step of one sequence, sampled at once."""
    ledger.require(request.width >= 1, "the request has a sequence")
    sequence = request.members[0]
    act(ledger, "append_slots", sequence, 1)
    act(ledger, "schedule_tokens", sequence, sequence.known_tokens - sequence.reach_tokens, 0)
    act(ledger, "issue_step")
    act(ledger, "settle_step")
    act(ledger, "sample", sequence, ledger.settled, 1, 0)
    lift(ledger)


def finish(ledger: Ledger, request: Request) -> None:
    """The environment lets a running request end when it has all its tokens."""
    whole = request.phase == Phase.RUNNING and request.members[0].known_tokens == MOST_TOKENS
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
        reduced: whether states are classes.
        states: distinct states, or classes.
        transitions: moves that happened; of one member of each class.
        depth: moves to the farthest state.
        represented: labelled states that the classes stand for; `states` where nothing is reduced.
        complete: whether every state was visited.
        violations: state, and what is broken in it.
    """

    requests: int
    gpu_blocks: int
    cpu_blocks: int
    reduced: bool
    states: int = 0
    transitions: int = 0
    depth: int = 0
    represented: int = 0
    complete: bool = True
    violations: tuple[tuple[tuple[Row, ...], str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with the names that other searches use."""
        return {
            "target": "toy",
            "bounds": {
                "requests": self.requests,
                "gpu_blocks": self.gpu_blocks,
                "cpu_blocks": self.cpu_blocks,
                "reduced": self.reduced,
            },
            "states": self.states,
            "transitions": self.transitions,
            "depth": self.depth,
            "complete": self.complete,
            "represented": self.represented,
            "violations": [{"state": state, "rule": what} for state, what in self.violations],
        }


def search_toy(
    requests: int,
    gpu_blocks: int,
    cpu_blocks: int,
    *,
    reduced: bool = False,
    max_states: int = 1 << 30,
    visited: set[Any] | None = None,
) -> ToyResult:
    """Visits every state of the toy, or one member of every class.

    Args:
        requests: how many.
        gpu_blocks: places of the GPU pool, at least 3.
        cpu_blocks: places of the CPU pool.
        reduced: count requests and places by what they are, not by name. A class stands for the
            states of the toy that grants *any* free place: only there may places be renamed. A
            pool that grants the lowest first reaches fewer of them.
        max_states: where to stop.
        visited: filled with the states, or the classes.
    """
    result = ToyResult(requests, gpu_blocks, cpu_blocks, reduced)
    toy = Toy(requests, gpu_blocks, cpu_blocks)

    def key(toy: Toy) -> Any:
        return class_of(toy.requests) if reduced else toy.state()

    seen: set[Any] = set() if visited is None else visited
    seen.add(key(toy))
    layer = [toy.save()]
    while layer:
        following: list[Saved] = []
        for before in layer:
            toy.restore(before)
            state = toy.state()
            result.violations += tuple((state, what) for what in capacity_breaches(toy))
            result.represented += members(toy.ledger, toy.requests) if reduced else 1
            for move, k in list(moves(toy, reduced)):
                try:
                    toy.do(move, k)
                except Refused:
                    toy.restore(before, k)
                    continue
                result.transitions += 1
                reached = key(toy)
                if reached not in seen:
                    if len(seen) >= max_states:
                        result.complete = False
                    else:
                        seen.add(reached)
                        following.append(toy.save())
                toy.restore(before, k)
        result.depth += bool(following)
        layer = following
    result.states = len(seen)
    return result


def moves(toy: Toy, reduced: bool) -> Iterator[tuple[str, int]]:
    """Moves worth a try; of requests that are alike, those of the first one."""
    tried: set[tuple[int, ...]] = set()
    for k, request in enumerate(toy.requests):
        if request is None:
            continue
        if reduced:
            look = alike(request)
            if look in tried:
                continue
            tried.add(look)
        for move in FROM[request.phase]:
            yield move, k
