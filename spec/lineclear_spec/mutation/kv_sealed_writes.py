# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""Why a step may write into a sealed block, where a guard that forbids it is missing.

Guarantees: nothing by itself; `mutation/kv_what_holds.py` uses a clause here only once it is proved of the broken
table.

A sequence that begins to compute inside a block that it shares writes there what stands there: its own tokens are those
of the block's name, and all that it reads lies in sealed blocks, which rest on no copy. One sequence at a time does,
since `schedule_tokens` refuses a block that other entries refer to; later others may.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import z3

from lineclear_spec.invariants import holds, within
from lineclear_spec.invariants.clause import Clause, Predicate
from lineclear_spec.kv import lemmas as kv_lemmas
from lineclear_spec.kv import obligations as kv_obligations
from lineclear_spec.logic import and_, implies, or_
from lineclear_spec.symbolic.kv import KvGhosts, being_built
from lineclear_spec.symbolic.state import BLOCK_OF, Sequence, State, unique


def ahead(v: Any, q: Any, i: Any) -> Any:
    """Whether the entry is that of the first position that is not computed, or of a later one."""
    return and_(v.alive(q), v.block_of(v.num_computed_tokens(q)) <= i, i < v.length(q))


def writes(v: Any, q: Any, i: Any) -> Any:
    """Whether steps in flight may write into the block of the entry."""
    return and_(ahead(v, q, i), or_(v.in_decode_batch(q), v.in_flight(q) >= 1))


WEAKER: dict[str, Predicate] = {
    # or it is sealed
    "exclusive_write": lambda v, q, i: implies(
        writes(v, q, i), or_(v.ref(v.table(q, i)) == 1, v.name(v.table(q, i)) != 0)
    ),
}
OF_SEALED_WRITES = (
    Clause(
        "without",
        "writer",
        ("sequence", "sequence", "index", "index"),
        lambda v, q, x, i, j: implies(
            and_(
                writes(v, q, i),
                v.name(v.table(q, i)) != 0,
                writes(v, x, j),
                v.table(x, j) == v.table(q, i),
            ),
            q == x,
        ),
    ),
    Clause(
        "without",
        "sealed",
        ("sequence", "index", "index"),
        lambda v, q, i, j: implies(
            and_(ahead(v, q, i), v.name(v.table(q, i)) != 0),
            and_(
                i == v.block_of(v.num_computed_tokens(q)),
                implies(within(0, j, i), v.name(v.table(q, j)) != 0),
            ),
        ),
    ),
)


def rests_on(old: State, q: Any) -> Any:
    """A forward that begins in a sealed block reads sealed blocks alone, which rest on no copy."""
    k = BLOCK_OF(old.first_scheduled(q))
    sealed = z3.And(within(0, k, old.length(q)), old.name(old.table(q, k)) != 0)
    return z3.If(sealed, 0, old.open_swap(old.request(q)))


def into(s: State, q: Any, k: Any) -> Any:
    """Whether the forward being numbered may write into the block of the entry."""
    return z3.And(
        being_built(s, q), within(0, k, s.length(q)), BLOCK_OF(s.first_scheduled(q)) <= k
    )


def alone(s: State, q: Any, k: Any) -> Any:
    """Whether no other sequence may write into the block of the entry."""
    x, j = z3.Const("x", Sequence), z3.Int("j")
    same = z3.And(into(s, x, j), s.table(x, j) == s.table(q, k))
    return z3.ForAll([x, j], z3.Implies(same, x == q), patterns=[s.table(x, j)])


def entry_found(s: State, q: Any, k: Any) -> Any:
    """The inverse maps lead from a block to each entry that names it."""
    b = s.table(q, k)
    only = z3.Implies(s.ref(b) == 1, s.holder(b, 0) == q)
    return z3.Implies(within(0, k, s.length(q)), z3.And(s.index(q, b) == k, only))


def names(old: State, q: Any, b: Any) -> Any:
    """Whether an entry of who is said to write names the block."""
    return z3.And(old.ref(b) >= 1, holds(old, q, b))


@contextmanager
def sealed_writes() -> Generator[None]:
    """Within the block a forward may write into sealed blocks."""
    of: list[Any] = []  # of each block id who is said to write there, made with the last plan

    def writers(ghosts: Any, old: State) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Stands in for `KvGhosts._writers`: of each block id one sequence, the only one that may write there if there
        is only one.
        """
        of[:] = [z3.Function(unique("writer"), z3.IntSort(), Sequence)]
        q, k = z3.Const("q", Sequence), z3.Int("k")
        own = of[0](old.block_id(old.table(q, k))) == q
        fact = z3.Implies(z3.And(into(old, q, k), alone(old, q, k)), own)
        # There is such a function: blocks of sequences that run lie on the GPU (`residency`), each in a block id of
        # its own (`conservation`).
        ghosts.assume(z3.ForAll([q, k], fact, patterns=[old.table(q, k)]))
        return of[0], lambda q, b: names(old, q, b)

    def written(s: State) -> list[tuple[str, Callable[..., Any]]]:
        """Stands in for `kv_obligations.written_alone`."""
        return [
            (
                "one entry names what the step writes, or it is sealed",
                lambda q, k: z3.Or(s.ref(s.table(q, k)) == 1, s.name(s.table(q, k)) != 0),
            ),
            ("one sequence writes into a block", lambda q, k: alone(s, q, k)),
            (
                "it is the one that is said to write",
                lambda q, k: of[0](s.block_id(s.table(q, k))) == q,
            ),
        ]

    with (
        patch.object(KvGhosts, "_rests_on", staticmethod(rests_on)),
        patch.object(KvGhosts, "_writers", writers),
        patch.object(kv_lemmas, "only_holder", entry_found),
        patch.object(kv_obligations, "only_holder", entry_found),
        patch.object(kv_obligations, "written_alone", written),
    ):
        yield
