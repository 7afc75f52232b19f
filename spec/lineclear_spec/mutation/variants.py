"""One statement of the table, changed a little: what generated mutants do besides dropping it.

Guarantees: each variant differs from the statement in one place, and its name says how.

A guard is *weakened* or *strengthened* where it compares whole numbers: by one. The first guard of an
action is also *strengthened* by a condition on the whole ledger that the table asks nowhere. An effect is
*changed* where it assigns: one more, one less, or the two values of `if_else` exchanged; it is
*swapped* with the effect after it; a guard is
*exchanged* with the guard after it; a *wait* is made as long as it can be, or shorter by one;
and in either, the two tiers are *exchanged* where one is named.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable

from lineclear_spec.language.statements import called

SWAPPED = "swapped with the next"
EXCHANGED = "exchanged with the next"
#: How mutants come about, by the kind that they carry.
FAMILIES = (
    "guard dropped",
    "effect dropped",
    "guard weakened",
    "guard strengthened",
    "effect changed",
    "tier exchanged",
    "effects swapped",
    "guards exchanged",
    "wait changed",
)
#: Names of one tier and of the other.
TIERS = {"GPU": "CPU", "CPU": "GPU", "SWAP_IN": "SWAP_OUT", "SWAP_OUT": "SWAP_IN"}
ATTRIBUTES = {"gpu": "cpu", "cpu": "gpu"}

#: What the first guard of an action may ask besides, by a name of its own.
BESIDES = {
    "only when no step is in flight": "ledger.committed == ledger.steps",
    "only when the step being built is empty": "ledger.step_sequences == 0",
    "only when every operation is dispatched": "ledger.dispatched == ledger.issued",
    "only when every fence is lifted": "ledger.done == ledger.issued",
}

Changed = dict[str, ast.stmt]


def plus(node: ast.expr, by: int) -> ast.expr:
    """The expression, and a number."""
    operator: ast.operator = ast.Add() if by > 0 else ast.Sub()
    return ast.BinOp(node, operator, ast.Constant(abs(by)))


def compared(node: ast.expr) -> list[ast.Compare]:
    """Comparisons by order or equality in a guard, from left to right."""
    return [
        part
        for part in ast.walk(node)
        if isinstance(part, ast.Compare)
        and len(part.ops) == 1
        and isinstance(part.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)
    ]


def shifted(statement: ast.stmt, at: int, *, weaker: bool) -> ast.stmt:
    """The guard with its comparison number `at` moved by one."""
    made = copy.deepcopy(statement)
    assert isinstance(made, ast.Expr)
    assert isinstance(made.value, ast.Call)
    found = compared(made.value.args[0])[at]
    smaller = isinstance(found.ops[0], ast.Lt | ast.LtE)
    # a <= b becomes a <= b + 1 or a <= b - 1; of a >= b the left side moves.
    if smaller:
        found.comparators[0] = plus(found.comparators[0], 1 if weaker else -1)
    else:
        found.left = plus(found.left, 1 if weaker else -1)
    return made


def narrowed(statement: ast.stmt, besides: str) -> ast.stmt:
    """The guard with another condition."""
    made = copy.deepcopy(statement)
    assert isinstance(made, ast.Expr)
    assert isinstance(made.value, ast.Call)
    other = ast.parse(besides, mode="eval").body
    made.value.args[0] = ast.BinOp(other, ast.BitAnd(), made.value.args[0])
    return made


def guard_variants(statement: ast.stmt, *, first: bool = False) -> dict[str, Changed]:
    """Of one guard, the first of its action or another: by family, the changed statements by name."""
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Call)
    count = len(compared(statement.value.args[0]))
    weaker = {f"weakened.{k + 1}": shifted(statement, k, weaker=True) for k in range(count)}
    stronger = {f"strengthened.{k + 1}": shifted(statement, k, weaker=False) for k in range(count)}
    if first:
        asked = ast.dump(statement.value.args[0])
        stronger |= {
            name: narrowed(statement, besides)
            for name, besides in BESIDES.items()
            if ast.dump(ast.parse(besides, mode="eval").body) != asked  # or it asks that already
        }
    return {"guard weakened": weaker, "guard strengthened": stronger}


def effect_variants(statement: ast.stmt) -> dict[str, Changed]:
    """Of one effect: by family, the changed statements by name."""
    changed: Changed = {}
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute):
        truth = isinstance(statement.value, ast.Constant) and isinstance(
            statement.value.value, bool
        )
        for name, by in () if truth else (("plus one", 1), ("minus one", -1)):
            made = copy.deepcopy(statement)
            made.value = plus(made.value, by)
            changed[name] = made
        for k, call in enumerate(choices(statement.value)):
            if ast.dump(call.args[1]) != ast.dump(call.args[2]):
                made = copy.deepcopy(statement)
                other = choices(made.value)[k]
                other.args[1], other.args[2] = other.args[2], other.args[1]
                changed[f"branches exchanged.{k + 1}"] = made
    waits = wait_variants(statement)
    tiers = tier_variants(statement)
    return {"effect changed": changed, "tier exchanged": tiers, "wait changed": waits}


def wait_variants(statement: ast.stmt) -> Changed:
    """A wait that is longer than it must be, or shorter by one: of the barrier, or of `order`; a block id that is freed
    without a fence.
    """
    raised = {
        "waits for everything decided": "ledger.issued",
        "waits for everything but the last": "ledger.issued - 1",
    }
    changed: Changed = {}

    def put(name: str, value: ast.expr) -> None:
        made = copy.deepcopy(statement)
        if isinstance(made, ast.Assign):
            made.value = value
        elif isinstance(made, ast.Expr) and isinstance(made.value, ast.Call):
            made.value.args[1] = value
        if ast.dump(made) != ast.dump(statement):
            changed[name] = made

    if (
        isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Attribute)
        and statement.targets[0].attr == "barrier"
    ):
        for name, least in raised.items():
            put(
                name,
                ast.parse(f"larger({ast.unparse(statement.value)}, {least})", mode="eval").body,
            )
    elif call := called(statement, "order"):
        number, wait = call.args
        put("waits for everything before", plus(number, -1))
        put("waits for one less", plus(wait, -1))
    elif called(statement, "put", "fence"):
        put("no fence", ast.Constant(0))
    return changed


def choices(node: ast.expr) -> list[ast.Call]:
    """Calls of `if_else` in an expression."""
    return [
        part
        for part in ast.walk(node)
        if isinstance(part, ast.Call)
        and isinstance(part.func, ast.Name)
        and part.func.id == "if_else"
    ]


def tier_variants(statement: ast.stmt) -> Changed:
    """Every tier that the statement names, and the way that a copy takes, exchanged for the other."""
    exchanged = other_tier(statement)
    return {"other tier": exchanged} if ast.dump(exchanged) != ast.dump(statement) else {}


def other_tier(statement: ast.stmt) -> ast.stmt:
    """The statement with every tier that it names exchanged for the other."""

    class Exchange(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            node.id = TIERS.get(node.id, node.id)
            return node

        def visit_Attribute(self, node: ast.Attribute) -> ast.Attribute:
            self.generic_visit(node)
            node.attr = ATTRIBUTES.get(node.attr, node.attr)
            return node

    visit: Callable[[ast.stmt], ast.stmt] = Exchange().visit
    return visit(copy.deepcopy(statement))
