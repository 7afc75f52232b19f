# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""Why the facts that bulk operators assume on formulas are true: each is proved by induction.

Guarantees: for every number n >= 0 of elements there are values with the facts that the operator assumes
(`symbolic/blocks.py`, `symbolic/holdings.py`, `symbolic/pool.py`, `symbolic/records.py`, `symbolic/ends.py`,
`symbolic/cache.py`, `symbolic/vectors.py`), namely those that n single operations arrive at, if no element is there
twice. The facts are the very functions that the operators call, with the number of elements as a
parameter. What a lemma presumes the operator demands, so an assumption of an operator adds nothing that could be
false. `latest`, `select` and `first_open` presume nothing of their elements, and of a vector of negative size, which
has none, they say what they say of the empty one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import z3

from lineclear_spec.invariants import clauses, within
from lineclear_spec.proof.state_lemmas import (
    Obligations,
    any_free_block_id,
    calendars,
    only_entry_of_block,
)
from lineclear_spec.symbolic.blocks import others_of
from lineclear_spec.symbolic.holdings import (
    facts_of_drop_each,
    facts_of_hold_each,
    facts_of_remove_all,
    held_fields,
    is_held,
    its_request_holds,
)
from lineclear_spec.symbolic.pool import facts_of_latest, facts_of_put, permutation
from lineclear_spec.symbolic.records import least
from lineclear_spec.symbolic.state import Block, Int, Request, Sequence, State, stated
from lineclear_spec.symbolic.vectors import Vector, selected, unknown

Element = z3.DeclareSort("Element")


def induction(
    base: list[Any], given: list[Any], allowed: list[Any], step: list[Any]
) -> list[tuple[str, str, Any]]:
    """Goals: the facts of no elements; from those of k, that the next operation is allowed, and the facts of k + 1.

    Args:
        base: the facts of no elements.
        given: the facts of k elements.
        allowed: what the next operation demands.
        step: the facts of k + 1 elements.
    """
    before = z3.And(*given)
    return [
        *[("base", f"fact {n + 1} of no elements", fact) for n, fact in enumerate(base)],
        *[
            ("step", f"operation {n + 1} is allowed", z3.Implies(before, one))
            for n, one in enumerate(allowed)
        ],
        *[
            ("step", f"fact {n + 1} of one element more", z3.Implies(z3.And(before, *allowed), f))
            for n, f in enumerate(step)
        ],
    ]


def appended(wanted: Any, x: Any, size: Any, at: Any, index_of: Any) -> tuple[Any, Any, Any]:
    """Size, elements and indices of a list once an element is appended, if it is wanted.

    Args:
        wanted: whether it is.
        x: the element.
        size, at, index_of: of the list before.
    """
    return (
        size + z3.If(wanted, 1, 0),
        lambda j: z3.If(z3.And(wanted, j == size), x, at(j)),
        lambda y: z3.If(z3.And(wanted, y == x), size, index_of(y)),
    )


def put() -> Obligations:
    """n block ids are put back one after another: each changes places with the first one not free."""
    n, k, total, free = z3.Ints("n done total free")
    block_ids = unknown(None, Int, "block_ids", n)
    names = "order position order_now position_now".split()
    order, position, order_now, position_now = (z3.Function(x, Int, Int) for x in names)
    hypotheses = [
        within(0, k, n),
        0 <= free,
        free <= total,
        *permutation(total, order, position),
        block_ids.distinct(),
        block_ids.every(lambda p: z3.And(within(0, p, total), position(p) >= free)),
    ]
    block_id, to = block_ids.at(k), free + k
    at, other = position_now(block_id), order_now(to)

    def order_after(j: Any) -> Any:
        return z3.If(j == to, block_id, z3.If(j == at, other, order_now(j)))

    def position_after(p: Any) -> Any:
        return z3.If(p == block_id, to, z3.If(p == other, at, position_now(p)))

    def facts(m: Any, *now: Any) -> list[Any]:
        return facts_of_put(block_ids, m, total, free, position, *now)

    goals = induction(
        facts(z3.IntVal(0), order, position),
        facts(k, order_now, position_now),
        [within(0, block_id, total), position_now(block_id) >= to],
        facts(k + 1, order_after, position_after),
    )
    return hypotheses, goals


def latest() -> Obligations:
    """The larger of two numbers is taken once for each element."""
    n, k, at_least, last, which = z3.Ints("n done at_least last which")
    v = unknown(None, Element, "v", n)
    of = z3.Function("of", Element, Int)
    new = of(v.at(k))
    after = z3.If(new >= last, new, last), z3.If(new >= last, k, which)

    def facts(m: Any, *last: Any) -> list[Any]:
        return facts_of_latest(of, v, m, at_least, *last)

    goals = induction(
        facts(z3.IntVal(0), at_least, z3.IntVal(0)),
        facts(k, last, which),
        [],
        facts(k + 1, *after),
    )
    return [within(0, k, n)], goals


def first_open() -> Obligations:
    """One number more is decided: the least open one stays, is that number, or the next."""
    n, first = z3.Ints("issued first_open")
    opened = z3.Function("open", Int, z3.BoolSort())

    def up_to(m: Any) -> Callable[[Any], Any]:
        return lambda o: z3.And(opened(o), within(1, o, m + 1))

    def facts(m: Any, first: Any) -> list[Any]:
        return least(up_to(m), m, first)

    after = z3.If(first <= n, first, z3.If(opened(n + 1), n + 1, n + 2))
    goals = induction(facts(z3.IntVal(0), z3.IntVal(1)), facts(n, first), [], facts(n + 1, after))
    return [n >= 0], goals


def select() -> Obligations:
    """Each element of a vector is appended if it is chosen, where its own index comes by."""
    n, k, size = z3.Ints("n done size")
    v = unknown(None, Element, "v", n)
    wanted = z3.Function("wanted", Element, z3.BoolSort())
    at, index_of = z3.Function("at", Int, Element), z3.Function("index_of", Element, Int)
    x = v.at(k)

    def facts(m: Any, *found: Any) -> list[Any]:
        return selected(
            Vector(None, Element, *found),
            lambda x: z3.And(v.has(x), v.index_of(x) < m, wanted(x)),
        )

    goals = induction(
        facts(z3.IntVal(0), z3.IntVal(0), at, index_of),
        facts(k, size, at, index_of),
        [],
        facts(k + 1, *appended(z3.And(wanted(x), v.index_of(x) == k), x, size, at, index_of)),
    )
    return [within(0, k, n)], goals


def holders_of_others() -> Obligations:
    """Each holder of a block is appended if it does not leave."""
    j, k, size = z3.Ints("j done size")
    old, b = State.arbitrary("_before"), z3.Const("b", Block)
    leaves = z3.Function("leaves", Sequence, z3.BoolSort())
    holder, index_of = (
        z3.Function("holder_now", Int, Sequence),
        z3.Function("index_now", Sequence, Int),
    )
    q = old.holder(b, k)

    def facts(m: Any, size: Any, holder: Any, index_of: Any) -> list[Any]:
        before = old.snapshot()
        before.fields["ref"] = lambda _: m  # the first m holders
        return others_of(before, leaves, b, size, holder, index_of, [])

    hypotheses = [
        within(0, k, old.ref(b)),
        z3.ForAll(
            [j], z3.Implies(within(0, j, old.ref(b)), old.holder_index(old.holder(b, j), b) == j)
        ),
    ]
    goals = induction(
        facts(z3.IntVal(0), z3.IntVal(0), holder, index_of),
        facts(k, size, holder, index_of),
        [],
        facts(k + 1, *appended(z3.Not(leaves(q)), q, size, holder, index_of)),
    )
    return hypotheses, goals


def remove_all() -> Obligations:
    """Each element leaves its place to the last one."""
    n, k, m = z3.Ints("n done m")
    before, gone = unknown(None, Element, "before", m), unknown(None, Element, "gone", n)
    now = unknown(None, Element, "now", m - k)
    b = gone.at(k)
    last, place = now.at(now.size - 1), now.index_of(b)
    after = Vector(
        None,
        Element,
        m - k - 1,
        lambda j: z3.If(j == place, last, now.at(j)),
        lambda x: z3.If(x == last, place, now.index_of(x)),
    )

    def facts(m: Any, v: Vector) -> list[Any]:
        return facts_of_remove_all(before, Vector(None, Element, m, gone.at, gone.index_of), v)

    hypotheses = [
        within(0, k, n),
        m >= 0,
        before.distinct(),
        gone.distinct(),
        gone.every(before.has),
    ]
    goals = induction(
        facts(z3.IntVal(0), before), facts(k, now), [now.has(b)], facts(k + 1, after)
    )
    return hypotheses, goals


def hold_each() -> Obligations:
    """Each block is appended to the set of its owner."""
    n, k = z3.Ints("n done")
    old = State.arbitrary("_before")
    blocks = unknown(None, Block, "blocks", n)
    owner = z3.Function("owner_of", Int, Request)
    count, at, index_of = held_fields("at", "count", "index_now")
    b, r = blocks.at(k), owner(k)
    x = z3.Const("x", Request)
    facts = partial(facts_of_hold_each, old, blocks, owner)
    hypotheses = [
        within(0, k, n),
        z3.ForAll([x], old.blocks(x) >= 0),
        blocks.distinct(),
        blocks.every(lambda b: z3.Not(is_held(old, owner(blocks.index_of(b)), b))),
    ]
    goals = induction(
        facts(z3.IntVal(0), old.blocks, old.held, old.held_index),
        facts(k, count, at, index_of),
        [z3.Not(z3.And(within(0, index_of(b), count(r)), at(r, index_of(b)) == b))],
        facts(
            k + 1,
            lambda x: z3.If(x == r, count(x) + 1, count(x)),
            lambda x, j: z3.If(z3.And(x == r, j == count(r)), b, at(x, j)),
            lambda y: z3.If(y == b, count(r), index_of(y)),
        ),
    )
    return hypotheses, goals


def drop_each() -> Obligations:
    """Each block leaves its place in the set of its request to the last one there."""
    n, k = z3.Ints("n done")
    old = State.arbitrary("_before")
    blocks = unknown(None, Block, "blocks", n)
    count, at, index_of = held_fields("at", "count", "index_now")
    b = blocks.at(k)
    r = old.group(b)
    last, place = at(r, count(r) - 1), index_of(b)

    facts = partial(facts_of_drop_each, old, blocks)
    listed = next(c for c in clauses("step") if c.name == "holdings.listed")
    hypotheses = [
        within(0, k, n),
        z3.ForAll([z3.Const("x", Request)], old.blocks(z3.Const("x", Request)) >= 0),
        stated(listed, old),
        blocks.distinct(),
        blocks.every(lambda b: its_request_holds(old, b)),
    ]
    goals = induction(
        facts(z3.IntVal(0), old.blocks, old.held, old.held_index),
        facts(k, count, at, index_of),
        [z3.And(within(0, index_of(b), count(r)), at(r, index_of(b)) == b)],
        facts(
            k + 1,
            lambda x: z3.If(x == r, count(x) - 1, count(x)),
            lambda x, j: z3.If(z3.And(x == r, j == place), last, at(x, j)),
            lambda y: z3.If(y == last, place, index_of(y)),
        ),
    )
    return hypotheses, goals


#: Unit -> its obligations: the lemma of an operator, or a fact of `proof/state_lemmas.py`.
LEMMAS: dict[str, Callable[[], Obligations]] = {
    "lemma_put": put,
    "lemma_latest": latest,
    "lemma_first_open": first_open,
    "lemma_select": select,
    "lemma_others_of": holders_of_others,
    "lemma_remove_all": remove_all,
    "lemma_hold_each": hold_each,
    "lemma_drop_each": drop_each,
    "lemma_only_entry": only_entry_of_block,
    "any_free_block_id": any_free_block_id,
    "calendars": calendars,
}
