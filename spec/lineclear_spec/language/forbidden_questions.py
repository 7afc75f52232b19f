"""What functions with branches, which run on formulas nevertheless, may not ask of a value.

Guarantees: no function that is handed in, nor any that it reaches by a name of its module or by `self`,
says `is`, `try`, or the name of a built-in that looks at a type or an attribute (`ASKING`), in the source
that runs. With `fields` given, as for what runs when a request enters (`Room.have`, `Room.want`, `sized` and
the class that stands for "no request runs"), it reads no other attribute, and calls nothing but functions that
are looked at too, operations of the ledger, `sum` and `len`, and plain records. A formula in a condition
raises by itself, so that a branch is taken by plain values alone.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import inspect
from types import FunctionType, SimpleNamespace
from typing import Any

from lineclear_spec.language.source import Forbidden, place_of, source_of
from lineclear_spec.language.vocabulary import OPERATIONS, READABLE

#: Built-ins that answer by what kind of object they are handed.
ASKING = frozenset(
    "type isinstance issubclass hasattr getattr callable id vars dir repr str globals eval exec "
    "__class__ __dict__".split()
)
#: What is read when a request enters, besides fields of the ledger and of its records.
ENTERING_FIELDS = READABLE | frozenset(
    "record n phase sequence SWAPPED WAITING tokens decode demands live running seats ledger config due reserved "
    "watermark_blocks resting saved shared left made later may_fork_later".split()
)
#: Built-ins that raise on a formula.
RAISING = (sum, len, range)
HANDLERS = (ast.Try, *([ast.TryStar] if hasattr(ast, "TryStar") else []), ast.With)


def refuse_questions(
    step: type[Any],
    roots: tuple[Any, ...],
    beside: tuple[Any, ...] = (),
    fields: frozenset[str] | None = None,
) -> list[FunctionType]:
    """The functions that were looked at.

    Args:
        step: the class that `self` is of.
        roots: functions of it or of modules.
        beside: functions that are handed no formula, which are not looked at.
        fields: the only attributes that may be read, if calls and attributes are to be looked at.

    Raises:
        Forbidden: one of them asks what a value is, reads or calls what is not listed, or its source is
            not what runs.
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
            if fields is not None and (other := foreign(part, function, step, fields)):
                raise Forbidden(
                    f"{place_of(function)}: line {getattr(part, 'lineno', 0)} {other}, which is not known "
                    "to do the same on a formula and on a number"
                )
            waiting.append(reached(part, function, step))
    return list(found.values())


def asks(node: ast.AST) -> bool:
    """Whether a part of the source asks what kind of object a value is."""
    if isinstance(node, ast.Compare):
        return any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops)
    name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return isinstance(node, HANDLERS) or name in ASKING


def foreign(node: ast.AST, function: FunctionType, step: type[Any], fields: frozenset[str]) -> str:
    """What a part of the source reads or calls that is not known; "" if nothing.

    Args:
        node: of the tree of its source.
        function: whose source it is.
        step: class whose methods it may call.
        fields: attributes that it may read.
    """
    if isinstance(node, ast.Lambda | ast.Import | ast.ImportFrom):
        return "has a function or an import of its own"
    if isinstance(node, ast.Attribute):
        of_self = isinstance(node.value, ast.Name) and node.value.id == "self"
        mine = of_self and isinstance(reached(node, function, step), FunctionType)
        known = mine or node.attr in fields or node.attr in OPERATIONS
        return "" if known else f"reads `{node.attr}`"
    if not isinstance(node, ast.Call):
        return ""
    called = node.func
    if isinstance(called, ast.Attribute):
        owner = called.value
        of_ledger = getattr(owner, "id", getattr(owner, "attr", "")) == "ledger"
        if isinstance(reached(called, function, step), FunctionType):
            return ""
        return "" if of_ledger and called.attr in OPERATIONS else f"calls `{ast.unparse(called)}`"
    if not isinstance(called, ast.Name):
        return f"calls `{ast.unparse(called)}`"
    if called.id in ASKING:
        return ""  # it says why by itself
    found = function.__globals__.get(called.id, getattr(builtins, called.id, None))
    known = isinstance(found, FunctionType) or any(found is one for one in RAISING)
    return "" if known or plain_record(found) else f"calls `{called.id}`"


def plain_record(found: Any) -> bool:
    """Whether it is a class that does nothing but keep what it is given."""
    if found is SimpleNamespace:
        return True
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        return False
    own = vars(found)
    return found.__bases__ == (object,) and not {"__post_init__", "__new__"} & set(own)


def reached(node: ast.AST, function: FunctionType, step: type[Any]) -> Any:
    """The function that a name or an attribute of `self` stands for, or None."""
    if isinstance(node, ast.Name):
        return function.__globals__.get(node.id)
    owner = getattr(node, "value", None)
    if isinstance(node, ast.Attribute) and isinstance(owner, ast.Name) and owner.id == "self":
        method = inspect.getattr_static(step, node.attr, None)
        return getattr(method, "fget", method)
    return None
