"""The statements of an action or a block step, read from its source: guards and effects.

Guarantees: what is read is the source of the function that runs.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from typing import Any

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel import blocks
from lineclear_spec.language.source import register

#: Only how long a block rests, which `monitor/audit.py` holds against the blocks that can be found.
RESTING = frozenset({"rest", "wake"})


#: Only what the proofs of KV remember: `tests/spec/kv/test_proofs.py` drops each.
REMEMBERING = frozenset({"note_swap", "note_twin", "note_fork", "note_sample"})


def function_of(name: str) -> Callable[..., Any]:
    """The action or block step of that name."""
    function: Callable[..., Any] = ACTIONS[name].body if name in ACTIONS else getattr(blocks, name)
    return function


def parsed(name: str) -> ast.FunctionDef:
    """The function's syntax tree, with the file's own line numbers, and without decorators."""
    function = function_of(name)
    lines, first = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, first - 1)
    node = tree.body[0]
    if not isinstance(node, ast.FunctionDef):
        raise TypeError(f"{name} is not a plain function")
    node.decorator_list = []
    return node


def called(node: ast.stmt, *names: str) -> ast.Call | None:
    """The call that the statement is, if it is one of an attribute with one of these names."""
    match node:
        case ast.Expr(ast.Call(ast.Attribute(attr=name)) as call) if name in names:
            return call
        case _:
            return None


def is_guard(node: ast.stmt) -> bool:
    """Whether the statement is a call of `require`."""
    return called(node, "require") is not None


def made(
    node: ast.FunctionDef, like: Any, scope: dict[str, Any] | None = None
) -> Callable[..., Any]:
    """The function of a changed tree, in the place of another.

    Args:
        node: the tree.
        like: the function that it stands for.
        scope: what it finds under the names of its module; what that one finds if None.
    """
    tree = ast.fix_missing_locations(ast.Module([node], []))
    names: dict[str, Any] = {}
    scope = like.__globals__ if scope is None else scope
    exec(compile(tree, like.__code__.co_filename, "exec"), scope, names)
    found: Callable[..., Any] = names[node.name]
    register(found, node)
    return found


@cache
def guards_of(name: str) -> Callable[..., Any]:
    """The action's guards without its effect, as a function: what `GhostLedger.failing` and a stall report run."""
    node = parsed(name)
    last = max(index for index, part in enumerate(node.body) if is_guard(part))
    node.body = node.body[: last + 1]
    return made(node, ACTIONS[name].body)


def is_effect(node: ast.stmt) -> bool:
    """Whether the statement writes the ledger, and nothing after it needs a name that it binds."""
    if isinstance(node, ast.Expr):
        writes = called(node, "require", *RESTING, *REMEMBERING) is None
        return writes and not isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Assign) and all(
        isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets
    )


def statements(name: str) -> list[tuple[int, str, str, int]]:
    """Position, kind, text and line of each statement that a mutant may drop."""
    found: list[tuple[int, str, str, int]] = []
    for index, node in enumerate(parsed(name).body):
        if guard := called(node, "require"):
            sentence = guard.args[1]
            found.append(
                (
                    index,
                    "guard",
                    str(sentence.value) if isinstance(sentence, ast.Constant) else "",
                    node.lineno,
                )
            )
        elif is_effect(node):
            found.append((index, "effect", ast.unparse(node), node.lineno))
    return found
