# pyright: basic
"""The sorts of formulas: what a field of the state is about.

Guarantees: nothing by itself; two records of one sort are equal or not, and nothing else is known of them.
"""

from __future__ import annotations

import z3

from lineclear_spec.logic import Misuse


def truth(self: z3.ExprRef) -> bool:
    """Of true, false and `a == a` alone. z3 itself answers `bool(a == b)` by how the two are written, so that `if`,
    `and`, `not` and `in` in a clause or a contract would take one branch.
    """
    same = z3.is_eq(self) and self.arg(0).eq(self.arg(1))
    if not (same or z3.is_true(self) or z3.is_false(self)):
        raise Misuse(f"the formula {self} has no truth value: use lineclear_spec.logic")
    return not z3.is_false(self)


z3.ExprRef.__bool__ = truth
Request = z3.DeclareSort("Request")
Sequence = z3.DeclareSort("Sequence")
Block = z3.DeclareSort("Block")
#: What a slot of a block id holds: the KV of one token after all that come before it, or anything else.
Kv = z3.DeclareSort("Kv")
Int = z3.IntSort()
Bool = z3.BoolSort()
