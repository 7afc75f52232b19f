# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""Different salts never share a block: a theorem about every state between actions.

Guarantees: what is stated holds for any number of requests, sequences, blocks and names, if names are
honest: a name determines the salt of the requests whose tokens have it. A salt here is whatever keeps KV
apart besides tokens: a tenant's, an adapter, images, the epoch of the weights.
"""

from __future__ import annotations

from typing import Any

import z3

from lineclear_spec.invariants import INVARIANTS, leads, within
from lineclear_spec.symbolic.state import Int, Request, Sequence, State, stated
from lineclear_spec.symbolic.terms import raw

#: The invariants from which the theorem follows.
PREMISES = ("group_local", "own_names", "catalogue")
SALT = z3.Function("salt", Request, Int)
SALT_OF_NAME = z3.Function("salt_of_name", Int, Int)


def honest(s: State) -> Any:
    """A name determines the salt of every request one of whose sequences has it."""
    q, i = z3.Const("q", Sequence), z3.Int("i")
    name = s.block_name(q, i)
    return z3.ForAll(
        [q, i],
        z3.Implies(name >= 1, SALT_OF_NAME(name) == SALT(s.request(q))),
        patterns=[s.block_name(q, i)],
    )


def salts(premises: tuple[str, ...] = PREMISES) -> tuple[list[Any], list[tuple[str, Any]]]:
    """Hypotheses and goals about blocks that tables of several requests name, or that are found.

    Args:
        premises: the invariants that are used.
    """
    s = State.arbitrary()
    one, other = z3.Consts("sharer other", Sequence)
    i, j, k = z3.Int("entry"), z3.Int("entry_of_other"), z3.Int("k")
    block = s.table(one, i)
    share = z3.And(
        within(0, i, s.length(one)), within(0, j, s.length(other)), block == s.table(other, j)
    )
    found = s.cached(s.block_name(one, i))
    nameless = z3.ForAll([k], s.block_name(one, k) == 0, patterns=[s.block_name(one, k)])
    clauses = [stated(c, s) for name in premises for c in INVARIANTS[name].clauses]
    goals = [
        (
            "different salts never share a block",
            z3.Implies(share, SALT(s.request(one)) == SALT(s.request(other))),
        ),
        (
            "a block that is found under a request's name has the request's salt",
            z3.Implies(
                z3.And(s.block_name(one, i) >= 1, raw(leads(s, s.block_name(one, i)))),
                z3.And(
                    SALT_OF_NAME(s.name(found)) == SALT(s.request(one)),
                    s.cached(s.name(found)) == found,
                ),
            ),
        ),
        (
            "a sequence without names shares no block with another request",
            z3.Implies(z3.And(share, nameless), s.request(one) == s.request(other)),
        ),
    ]
    return [honest(s), *clauses], goals
