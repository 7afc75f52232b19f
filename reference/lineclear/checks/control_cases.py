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

__all__ = ["accepts", "orders", "places_given_up", "rests_on_nothing", "written"]


def written(
    name: str, parameters: str, body: str, others: Mapping[str, Any] = MappingProxyType({})
) -> Any:
    """A function made of source text that the prover can look at, in a module with these others."""
    from lineclear_spec.source import register

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
    from lineclear_spec.dialect import check_policy
    from lineclear_spec.source import Forbidden

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
    from lineclear_spec.standings import expand
    from lineclear_spec.theorems import Theorem

    expand(Theorem("control", "a control", (), ("unit/", "lost/")), ("unit/progress/key",))


def places_given_up() -> Iterator[tuple[str, str]]:
    """A place that is free is given up, and one place twice: neither may be known not to happen."""
    from unittest.mock import patch

    import z3

    from lineclear_spec import blocks
    from lineclear_spec.kernel import Kernel
    from lineclear_spec.obligations import build
    from lineclear_spec.prove import prove_unit
    from lineclear_spec.records import CPU
    from lineclear_spec.state import Int
    from lineclear_spec.vectors import Vector

    def gives(ledger: Any, size: int, place: Any) -> None:
        one = Vector(ledger, Int, z3.IntVal(size), lambda _: place, lambda _: z3.IntVal(0))
        ledger.branch(ledger.cpu.free >= 1, lambda: ledger.cpu.put(one, ledger.issued))

    def free_one(ledger: Any, sequence: Any) -> None:
        gives(ledger, 1, ledger.state.order(CPU, ledger.state.free(CPU) - 1))
        blocks.clear_table(ledger, sequence)

    def twice(ledger: Any, sequence: Any) -> None:
        gives(ledger, 2, z3.IntVal(0))
        blocks.clear_table(ledger, sequence)

    for name, step, label in (
        ("a free place is given up", free_one, "the places given up are not free"),
        ("a place is given up twice", twice, "no element is there twice"),
    ):
        with (
            patch.object(Kernel, "clear_table", step),
            patch("lineclear_spec.dialect.check_action", lambda *_: None),
        ):
            unit = build("clear_table")
        unit.goals = [goal for goal in unit.goals if goal.label == label]
        statuses = {result.status for result in prove_unit(unit)}
        yield (
            name,
            "" if statuses - {"proved"} else "it is proved, or not asked, that this never happens",
        )
