"""Cases for the prover's controls: what a policy, a theorem or a block step must not do.

Invariant: each case is wrong in one way alone, so that the check that refuses it is the one it was made for.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any


def written(
    name: str, parameters: str, body: str, others: Mapping[str, Any] = MappingProxyType({})
) -> Any:
    """A function made of source text that the prover can look at, in a module with these others.

    Args:
        name: its name.
        parameters: the text between its parentheses.
        body: its statements.
        others: what else its module has, by name.
    """
    from lineclear_spec.language.source import register

    text = f"def {name}({parameters}):\n{textwrap.indent(body, '    ')}\n"
    tree = ast.parse(text)
    scope: dict[str, Any] = {"__name__": __name__, **others}
    exec(compile(tree, f"<control {name}>", "exec"), scope)
    (node,) = tree.body
    assert isinstance(node, ast.FunctionDef)
    register(scope[name], node)
    return scope[name]


def accepts(make: Callable[[], Any], error: type[Exception]) -> str:
    """That something is accepted which must raise, or ""."""
    try:
        make()
    except error:
        return ""
    return "it is accepted"


def orders() -> Iterator[tuple[str, str]]:
    """Policies whose order, rank or displacement depends on what kind of object it is handed."""
    from lineclear_spec.language.dialect import check_policy
    from lineclear_spec.language.source import Forbidden

    for method, parameters in (
        ("key", "self, request"),
        ("rank", "self, request"),
        ("may_displace", "self, waiting, running"),
    ):
        asking = written(method, parameters, "return isinstance(self, int)")
        policy = type("Asking", (), {method: asking})()
        yield (
            f"a policy that asks in `{method}`",
            accepts(partial(check_policy, policy), Forbidden),
        )


def rests_on_nothing() -> None:
    """A theorem of which one obligation exists and another does not."""
    from lineclear_spec.liveness.standings import expand
    from lineclear_spec.liveness.theorems import Theorem

    expand(Theorem("control", "a control", (), ("unit/", "lost/")), ("unit/progress/key",))
