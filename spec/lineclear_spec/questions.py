"""What the functions that run when a request enters may not ask of a value.

Guarantees: neither `Step.have`, `Step.want`, `sized` nor a function that these reach by a name of their
module or by `self` says `is`, `try`, or the name of a built-in that looks at a type or an attribute
(`ASKING`), in the source that runs. This does not rule out all that tells a formula from a number:
branches, `==` with a foreign object, methods of arguments, classes (`Job`, `Need`), attributes of imported
modules and the case that `entering.py` makes are not looked at. A formula in a condition raises by itself.
"""

from __future__ import annotations

import ast
import inspect
from types import FunctionType
from typing import Any

from lineclear_spec.source import Forbidden, place_of, source_of

__all__ = ["ASKING", "refuse_questions"]

#: Built-ins that answer by what kind of object they are handed.
ASKING = frozenset(
    "type isinstance issubclass hasattr getattr callable id vars dir repr str globals eval exec "
    "__class__ __dict__".split()
)
HANDLERS = (ast.Try, *([ast.TryStar] if hasattr(ast, "TryStar") else []), ast.With)


def refuse_questions(
    step: type[Any], roots: tuple[Any, ...], beside: tuple[Any, ...] = ()
) -> list[FunctionType]:
    """The functions that were looked at.

    Args:
        step: the class that `self` is of.
        roots: functions of it or of modules.
        beside: functions that are handed no formula, which are not looked at.

    Raises:
        Forbidden: one of them asks what a value is, or its source is not what runs.
    """
    found: dict[int, FunctionType] = {}
    waiting = list(roots)
    while waiting:
        function = waiting.pop()
        if not isinstance(function, FunctionType) or id(function) in found:
            continue
        if function in beside:
            continue
        if function.__module__ == "lineclear_spec.logic":  # trusted: it is what tells them apart
            continue
        found[id(function)] = function
        node, certain = source_of(function)
        if not certain:
            raise Forbidden(f"{place_of(function)}: its source is not what runs")
        for part in ast.walk(node):
            if asks(part):
                raise Forbidden(
                    f"{place_of(function)}: line {getattr(part, 'lineno', 0)} asks what a value is, "
                    "which a formula and a number answer differently"
                )
            waiting.append(reached(part, function, step))
    return list(found.values())


def asks(node: ast.AST) -> bool:
    """Whether a part of the source asks what kind of object a value is."""
    if isinstance(node, ast.Compare):
        return any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops)
    name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return isinstance(node, HANDLERS) or name in ASKING


def reached(node: ast.AST, function: FunctionType, step: type[Any]) -> Any:
    """The function that a name or an attribute of `self` stands for, or None."""
    if isinstance(node, ast.Name):
        return function.__globals__.get(node.id)
    owner = getattr(node, "value", None)
    if isinstance(node, ast.Attribute) and isinstance(owner, ast.Name) and owner.id == "self":
        method = inspect.getattr_static(step, node.attr, None)
        return getattr(method, "fget", method)
    return None
