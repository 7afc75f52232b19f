# pyright: basic
"""A function of the kernel as it is run on formulas: `a if c else b` is `ledger.if_else(c, a, b)`.

Guarantees: nothing else of the function is changed. This is the one place where what is proved is a code object made
from the source of the one that runs; `worst_case` alone is another function (`symbolic/ledger.py`), and operators are
implemented twice. Python asks a condition for its truth value, which a
formula has not; both values are worked out on formulas, and the condition chooses between them. The
source that is changed is the one that compiles to the function that runs.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from lineclear_spec.language.source import Forbidden, source_of


class Choices(ast.NodeTransformer):
    """Conditional expressions become calls.

    Args:
        ledger: name of the function's first parameter.
    """

    def __init__(self, ledger: str) -> None:
        self.ledger = ledger

    def visit_IfExp(self, node: ast.IfExp) -> ast.Call:
        """One conditional expression, after those inside it."""
        self.generic_visit(node)
        if_else = ast.Attribute(ast.Name(self.ledger, ast.Load()), "if_else", ast.Load())
        return ast.copy_location(ast.Call(if_else, [node.test, node.body, node.orelse], []), node)


@cache
def on_formulas(function: FunctionType) -> Callable[..., Any]:
    """The function compiled again, with each `a if c else b` in it as `ledger.if_else(c, a, b)`.

    Raises:
        Forbidden: its source is not what runs.
    """
    node, certain = source_of(function)
    if not certain or not isinstance(node, ast.FunctionDef):
        raise Forbidden(
            f"{function.__qualname__}: its source is not what runs: import it anew, or `register` its tree"
        )
    made = Choices(node.args.args[0].arg).visit(copy.deepcopy(node))
    tree = ast.fix_missing_locations(ast.Module([made], []))
    scope: dict[str, Any] = {}
    exec(compile(tree, function.__code__.co_filename, "exec"), function.__globals__, scope)
    found: Callable[..., Any] = scope[function.__name__]
    return found
