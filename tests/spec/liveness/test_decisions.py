"""Every decision of `kernel/progress.py`, changed in one operator, constant or argument, fails a lemma."""

# pyright: basic

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from lineclear_spec.kernel import progress
from lineclear_spec.language import dialect
from lineclear_spec.proof.obligations import build
from lineclear_spec.proof.prove import prove_unit

OTHER: dict[type[ast.AST], tuple[Any, ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq, ast.GtE, ast.LtE),
}
NAMES = {"and_": "or_", "or_": "and_", "larger": "smaller", "smaller": "larger"}
FUNCTIONS = {
    name: getattr(progress, name)
    for name in progress.__all__
    if inspect.isfunction(getattr(progress, name))
}


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """The same node, changed in one place of its own."""
    if isinstance(node, ast.BinOp) or (isinstance(node, ast.Compare) and len(node.ops) == 1):
        operator = node.op if isinstance(node, ast.BinOp) else node.ops[0]
        for kind in OTHER.get(type(operator), ()):
            changed: Any = copy.deepcopy(node)
            if isinstance(changed, ast.BinOp):
                changed.op = kind()
            else:
                changed.ops = [kind()]
            yield changed
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name, arguments = node.func.id, node.args
        if name in NAMES:
            yield ast.Call(ast.Name(NAMES[name], ast.Load()), arguments, [])
        if name == "not_":
            yield arguments[0]
        if name in ("and_", "or_"):
            for k in range(len(arguments)):
                rest = arguments[:k] + arguments[k + 1 :]
                yield rest[0] if len(rest) == 1 else ast.Call(node.func, rest, [])
        if name in ("larger", "smaller"):
            yield from arguments
        if name == "if_else":
            yield arguments[1]
            yield arguments[2]
            yield ast.Call(node.func, [arguments[0], arguments[2], arguments[1]], [])
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield ast.Constant(node.value + 1)


def broken(function: Any) -> dict[str, Any]:
    """Functions by what was changed in them."""
    tree = ast.parse(inspect.getsource(function))
    found: dict[str, Any] = {}
    for place, node in enumerate(ast.walk(tree)):
        for changed in changes(node):
            other = copy.deepcopy(tree)
            at = list(ast.walk(other))[place]

            class Replace(ast.NodeTransformer):
                def visit(self, one: ast.AST, at: ast.AST = at, by: ast.AST = changed) -> Any:
                    return by if one is at else self.generic_visit(one)

            made = ast.fix_missing_locations(Replace().visit(other))
            names: dict[str, Any] = {}
            flags = function.__code__.co_flags & 0x1000000  # annotations are not evaluated
            exec(compile(made, "broken", "exec", flags), dict(vars(progress)), names)
            label = f"{function.__name__}: {ast.unparse(node)} -> {ast.unparse(changed)}"
            found[label] = names[function.__name__]
    return found


def stands() -> bool:
    """Whether every lemma about the decisions is still proved."""
    try:
        unit = build("decisions")
    except TypeError:  # places in an order are compared by < alone
        return False
    results = prove_unit(unit, budget=400_000, stop_at_failure=True)
    return all(r.status == "proved" for r in results)


def test_every_decision_as_it_is_stands() -> None:
    assert stands()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_decision_that_answers_otherwise_fails(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = broken(FUNCTIONS[name])
    assert made
    # What is changed here has no file, which the check of sources would refuse before.
    monkeypatch.setattr(dialect, "check_functions", lambda _: None)
    survived = []
    for label, function in made.items():
        monkeypatch.setattr(progress, name, function)
        if stands():
            survived.append(label)
    assert survived == []
