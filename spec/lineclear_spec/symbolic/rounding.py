# pyright: basic, reportOperatorIssue=false
"""Rounding to blocks: what proofs assume of ceil, floor and multiples of the block size, and what shows it.

Guarantees: what is assumed of the functions is proved of quotients, for every block size of at least 1.
"""

from __future__ import annotations

from typing import Any

import z3

from lineclear_spec.symbolic.state import BLOCK_OF, BLOCK_SIZE, CAP, CONSTANTS, NEED


def background() -> list[Any]:
    """What holds of the constants (`Limits` refuses others), and of NEED(n) = ceil(n / block_size) and
    BLOCK_OF(n) = floor(n / block_size), for every block size of at least 1.

    The goals of `arithmetic` say the same with quotients in place of the functions: a solver proves
    them there, and that they say the same is compared by hand, line by line, and on small numbers by a test.
    """
    a, b = z3.Ints("a b")
    n = z3.Int("n")
    return [
        CONSTANTS["total_gpu"] >= 1,
        CONSTANTS["total_cpu"] >= 0,
        BLOCK_SIZE >= 1,
        CONSTANTS["max_steps_in_flight"] >= 1,
        CONSTANTS["max_steps_in_flight"] <= 2,
        NEED(0) == 0,
        BLOCK_OF(0) == 0,
        z3.ForAll([n], z3.Implies(n >= 1, NEED(n) == BLOCK_OF(n - 1) + 1), patterns=[NEED(n)]),
        z3.ForAll([n], z3.Implies(n >= 0, BLOCK_OF(n) >= 0), patterns=[BLOCK_OF(n)]),
        # NEED(n) makes BLOCK_OF(n - 1) and BLOCK_OF(n). If one of them made a NEED, a solver would count on without
        # end.
        z3.ForAll(
            [n],
            z3.Implies(n >= 0, z3.And(BLOCK_OF(n) <= NEED(n), NEED(n) <= BLOCK_OF(n) + 1)),
            patterns=[NEED(n)],
        ),
        z3.ForAll(
            [a, b],
            z3.Implies(z3.And(0 <= a, a <= b), NEED(a) <= NEED(b)),
            patterns=[z3.MultiPattern(NEED(a), NEED(b))],
        ),
        z3.ForAll(
            [a, b],
            z3.Implies(z3.And(0 <= a, a <= b), BLOCK_OF(a) <= BLOCK_OF(b)),
            patterns=[z3.MultiPattern(BLOCK_OF(a), BLOCK_OF(b))],
        ),
    ]


def room_of_blocks() -> Any:
    """n positions fit into m blocks if and only if they need no more than m: see `arithmetic`."""
    n, m = z3.Ints("n m")
    return z3.ForAll(
        [n, m],
        z3.Implies(z3.And(0 <= n, 0 <= m), (n <= CAP(m)) == (NEED(n) <= m)),
        patterns=[z3.MultiPattern(NEED(n), CAP(m))],
    )


def room_of_one_more() -> Any:
    """The room of one block more is a block size more: see `arithmetic`."""
    n, m = z3.Ints("n m")
    return z3.ForAll(
        [n, m],
        z3.Implies(n == m + 1, CAP(n) == CAP(m) + BLOCK_SIZE),
        patterns=[z3.MultiPattern(CAP(n), CAP(m))],
    )


def negative_positions() -> Any:
    """What is not negative rounded down is not negative itself: see `arithmetic`. No proof assumes it; a mutant of
    `mutation/kv_what_holds.py` does.
    """
    n = z3.Int("n")
    return z3.ForAll([n], z3.Implies(BLOCK_OF(n) >= 0, n >= 0), patterns=[BLOCK_OF(n)])


def arithmetic() -> tuple[list[Any], list[tuple[str, Any]]]:
    """The same facts with quotients in place of the functions, for a solver to prove: hypotheses and goals.

    With quotients f and g of a and b and any block size s: f * s <= a < f * s + s, and likewise for b.
    """
    a, b, f, g, m, s = z3.Ints("a b f g m s")
    quotients = [s >= 1, f * s <= a, a < f * s + s, g * s <= b, b < g * s + s]
    goals = [
        ("floor is monotone", z3.Implies(a <= b, f <= g)),
        ("floor of a non-negative number is not negative", z3.Implies(a >= 0, f >= 0)),
        ("floor of a negative number is negative", z3.Implies(a < 0, f < 0)),
        # ceil(n / s) is floor((n + s - 1) / s): with b = a + s - 1 its quotient g is floor((a - 1) / s) + 1
        ("ceil is at least floor", z3.Implies(b == a + s - 1, f <= g)),
        ("ceil is at most floor plus one", z3.Implies(b == a + s - 1, g <= f + 1)),
        ("ceil(n) is floor(n - 1) + 1", z3.Implies(b == a + s, g == f + 1)),
        (
            "positions fit into m blocks just if ceil of them is at most m",
            z3.Implies(b == a + s - 1, (a <= m * s) == (g <= m)),
        ),
        ("room of one block more is a block size more", (m + 1) * s == m * s + s),
        (
            "a slot of a block is a position in it",
            z3.Implies(z3.And(0 <= b - m * s, b - m * s < s), g == m),
        ),
        ("a position is a slot of its block", z3.And(0 <= a - f * s, a - f * s < s)),
        ("ceil(0) is 0", z3.Implies(z3.And(a == 0, b == s - 1), z3.And(f == 0, g == 0))),
    ]
    return quotients, goals
