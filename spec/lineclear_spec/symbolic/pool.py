# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""A pool, and the constants of a scheduler, on formulas.

Guarantees: a pool is a permutation of its block ids, the free ones first; `take` takes the last ones of the free
part, and `put` leaves the order of the free blocks open. So what is proved holds whichever free blocks a pool chooses:
the unit `any_free_block_id` (`proof/state_lemmas.py`) proves that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import z3

from lineclear_spec.invariants import is_free, within
from lineclear_spec.kernel.records import CPU, GPU
from lineclear_spec.symbolic.rounding import room_of_blocks, room_of_one_more
from lineclear_spec.symbolic.state import BLOCK_SIZE, CHUNKED, CONSTANTS, CUT_LONG, Int, unique
from lineclear_spec.symbolic.terms import NoValue, Term, raw
from lineclear_spec.symbolic.vectors import Vector


class SymbolicLimits(NoValue):
    """The constants of any scheduler."""

    __slots__ = ("assume",)

    max_num_batched_tokens: Term
    max_num_seqs: Term
    max_model_len: Term
    max_steps_in_flight: Term
    chunked = Term(CHUNKED)
    cut_long = Term(CUT_LONG)

    def __init__(self, assume: Callable[[Any], None]) -> None:
        self.assume = assume

    @property
    def block_size(self) -> Term:
        """Tokens of a block; what the room of blocks has to do with it is known where it is read."""
        self.assume(room_of_blocks())
        self.assume(room_of_one_more())
        return Term(BLOCK_SIZE)

    def __getattr__(self, name: str) -> Term:
        return Term(CONSTANTS[name])


class SymbolicPool(NoValue):
    """One pool of the symbolic ledger."""

    __slots__ = ("_name", "_tier", "ledger")

    def __init__(self, ledger: Any, tier: int) -> None:
        self.ledger, self._tier, self._name = ledger, tier, "gpu" if tier == GPU else "cpu"

    @property
    def free(self) -> Term:
        """Number of free blocks."""
        return Term(self.ledger.state.free(self._tier))

    @property
    def total(self) -> Term:
        """Number of block ids."""
        return Term(self.ledger.state.total(self._tier))

    def take(self, count: Any) -> Vector:
        """Take so many free blocks out of the pool."""
        ledger, n = self.ledger, raw(count)
        old = ledger.state.snapshot()
        free = old.free(self._tier)
        ledger.demand(z3.And(0 <= n, n <= free), "as many free blocks as are allocated")
        ledger.state.put(f"free_{self._name}", (), free - n)
        return Vector(
            ledger,
            Int,
            n,
            lambda k: old.order(self._tier, free - 1 - k),
            lambda p: free - 1 - old.position(self._tier, p),
        )

    def latest(self, block_ids: Vector, at_least: Any) -> Term:
        """The last operation that may still touch one of the block ids; `at_least` if that is later."""
        ledger, tier, s, k = self.ledger, self._tier, self.ledger.state.snapshot(), z3.Int("k")
        there = within(0, block_ids.at(k), s.total(tier))
        every = z3.ForAll([k], z3.Implies(within(0, k, block_ids.size), there))
        ledger.demand(every, "the block ids are of the pool", keep=False)
        last, which = z3.Int(unique("latest")), z3.Int(unique("latest_at"))
        fences = (lambda p: s.last_use(tier, p), block_ids, block_ids.size)
        for fact in facts_of_latest(*fences, raw(at_least), last, which):
            ledger.assume(fact)
        return Term(last)

    def fence(self, block_ids: Vector, last_use: Any) -> None:
        """Set the fence of block ids that are not free to `last_use`."""
        ledger = self.ledger
        self._demand_in_use(block_ids, "fenced")
        ledger.state.put_where(f"last_use_{self._name}", block_ids.has, raw(last_use))

    def _demand_in_use(self, block_ids: Vector, what: str) -> None:
        ledger, tier, s = self.ledger, self._tier, self.ledger.state.snapshot()

        def in_use(p: Any) -> Any:
            return z3.And(within(0, p, s.total(tier)), z3.Not(is_free(s, tier, p)))

        block_ids.demand_distinct()
        ledger.demand(block_ids.every(in_use), f"the block ids to be {what} are in use")

    def put(self, block_ids: Vector, last_use: Any) -> None:
        """Put block ids back, fenced with `last_use`."""
        ledger, tier, name = self.ledger, self._tier, self._name
        old = ledger.state.snapshot()
        free, total = old.free(tier), old.total(tier)
        self._demand_in_use(block_ids, "freed")
        inverse = permutation(total, partial(old.order, tier), partial(old.position, tier))
        ledger.demand_of_lemma(z3.And(*inverse), "the pool lists each block id once")
        ledger.demand_of_lemma(
            z3.And(0 <= free, free <= total, block_ids.size >= 0), "no pool has a negative size"
        )
        made = unique("put")
        order = z3.Function(f"{made}_order", Int, Int)
        position = z3.Function(f"{made}_position", Int, Int)
        facts = facts_of_put(
            block_ids,
            block_ids.size,
            total,
            free,
            partial(old.position, tier),
            order,
            position,
        )
        for fact in facts:
            ledger.assume(fact)
        s = ledger.state
        s.fields[f"order_{name}"], s.fields[f"position_{name}"] = order, position
        s.put_where(f"last_use_{name}", block_ids.has, raw(last_use))
        s.put(f"free_{name}", (), free + block_ids.size)


def permutation(total: Any, order: Any, position: Any) -> list[Any]:
    """That order and position of a pool's block ids are inverse: what lemma `put` presumes, and `put` demands."""
    p, j = z3.Int("p"), z3.Int("j")
    return [
        z3.ForAll(
            [j],
            z3.Implies(
                within(0, j, total), z3.And(within(0, order(j), total), position(order(j)) == j)
            ),
        ),
        z3.ForAll(
            [p],
            z3.Implies(
                within(0, p, total), z3.And(within(0, position(p), total), order(position(p)) == p)
            ),
        ),
    ]


def facts_of_latest(of: Any, v: Vector, n: Any, at_least: Any, last: Any, which: Any) -> list[Any]:
    """What holds of the largest of `at_least` and `of` the first n elements; lemma `latest`.

    Args:
        of: the number of an element.
        v: the elements.
        n: how many of them.
        at_least: a number.
        last: the largest.
        which: the index of an element that attains it, if `at_least` does not.
    """
    x = z3.Const("x", v.sort)
    return [
        at_least <= last,
        z3.ForAll([x], z3.Implies(z3.And(v.has(x), v.index_of(x) < n), of(x) <= last)),
        z3.Or(last == at_least, z3.And(within(0, which, n), of(v.at(which)) == last)),
    ]


def facts_of_put(
    block_ids: Vector, n: Any, total: Any, free: Any, position: Any, order: Any, at: Any
) -> list[Any]:
    """What holds of order and position once the first n block ids are put back; lemma `put`.

    Args:
        block_ids: distinct block ids that were not free.
        n: how many of them.
        total: block ids of the pool.
        free: free blocks before.
        position: before.
        order: afterwards.
        at: position afterwards.
    """
    p = z3.Int("p")
    back = z3.And(block_ids.has(p), block_ids.index_of(p) < n)
    return [
        free + n <= total,
        z3.ForAll(
            [p],
            z3.Implies(
                within(0, p, total),
                z3.And(
                    within(0, at(p), total),
                    order(at(p)) == p,
                    (at(p) < free + n) == z3.Or(position(p) < free, back),
                ),
            ),
        ),
        permutation(total, order, at)[0],
    ]


class Pools(NoValue):
    """Both pools by tier; by a tier that is a formula, whichever it is."""

    __slots__ = ("_both", "_ledger")

    def __init__(self, ledger: Any) -> None:
        self._ledger, self._both = ledger, (ledger.gpu, ledger.cpu)

    def __getitem__(self, tier: Any) -> Any:
        if isinstance(tier, int):
            return self._both[tier]
        return EitherPool(self._ledger, self._both, tier)


class EitherPool(NoValue):
    """The pool of a tier that is a formula."""

    __slots__ = ("_both", "_ledger", "_tier")

    def __init__(self, ledger: Any, both: tuple[Any, Any], tier: Any) -> None:
        self._ledger, self._both, self._tier = ledger, both, tier

    def put(self, block_ids: Vector, last_use: Any) -> None:
        """Put block ids back into the pool that it is."""
        ledger, its = self._ledger, self._tier
        ledger.demand((its == GPU) | (its == CPU), "there is a pool of the tier")
        for tier, pool in enumerate(self._both):
            ledger.branch(its == tier, lambda pool=pool: pool.put(block_ids, last_use))
