# pyright: basic
"""Which Python a function may use that is run on formulas, checked in its source before it is run.

Guarantees: a function that passes takes the same path on formulas as on values; that a query and a condition of
`select` or `all_of` only ask is seen when they run (`SymbolicLedger.only_asked`). It consists of
assignments, calls and expressions that are listed in `language/vocabulary.py`; every helper, lambda and
method that it reaches is checked too, but those in `language.vocabulary.TRUSTED`, and what is checked is what runs,
because the source is compiled again and compared.

A symbolic value can refuse to be a truth value, but Python does not ask it everywhere: `is`, `type` and
`isinstance` answer without asking, and so does a loop over something else. What is not listed is
refused, with file, line and construct.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, TypeGuard

from lineclear_spec.language.expressions import Expressions
from lineclear_spec.language.source import (
    Forbidden,
    place_of,
    register,
    source_of,
    stored,
    text_of,
    writes_of,
)
from lineclear_spec.language.vocabulary import OPERATORS, OWN_WRITABLE, WRITABLE
from lineclear_spec.logic import Misuse

__all__ = [
    "Forbidden", "Walk", "check_action", "check_functions", "check_policy", "objection", "register",
]  # fmt: skip


@dataclass
class Walk:
    """The check of one root and of everything that it reaches.

    Attributes:
        policy: whose methods `self` and `policy` name; None for actions.
        kernel: whether an action or a block step is checked, which may call the ledger's operations, and not a
            policy or a decision. (`Expressions.kernel`: whether this function is one of a kernel module.)
        changed: attributes that a function of the policy's module writes after it is made.
        seen: functions that are checked or being checked, as (id of the function, whether it states a
            theorem): a theorem may use more constructs.
        files: of the functions that were checked.
        read: names of modules that they read or call, and where.
    """

    policy: Any = None
    kernel: bool = True
    changed: frozenset[str] = frozenset()
    seen: set[tuple[int, bool]] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    read: dict[str, Forbidden] = field(default_factory=dict)

    def function(self, function: Any, statement: bool = False) -> None:
        """One function and all that it reaches; `statement` if it states a theorem."""
        if not isinstance(function, FunctionType):
            raise Forbidden(f"{function!r} is no plain function, so that it cannot be checked")
        code, place = function.__code__, place_of(function)
        if code.co_freevars:
            raise Forbidden(f"{place} reads variables of another function: {code.co_freevars[0]}")
        if (id(function), statement) in self.seen:
            return
        node, certain = source_of(function)
        if isinstance(node, ast.AsyncFunctionDef):
            raise Forbidden(f"{place} is asynchronous")
        self.seen.add((id(function), statement))
        self.files.add(code.co_filename)
        Body(self, function, node, statement).check()
        if not certain:
            raise Forbidden(
                f"{place}: its source is not what runs: import it anew, or `register` its tree"
            )

    def finish(self) -> None:
        """A name that one module reads and another one writes is not what it was when it was checked.

        Raises:
            Forbidden: with the place where it is read.
        """
        for name in sorted({name for file in self.files for name in stored(text_of(file))}):
            if name in self.read:
                raise self.read[name]


class Body(Expressions):
    """The body of one function."""

    def check(self) -> None:
        """Parameters, then every statement."""
        self.parameters(self.node)
        if isinstance(self.node, ast.Lambda):
            self.expression(self.node.body)
            return
        for decorator in self.node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if not (
                isinstance(called, ast.Name)
                and called.id in ("action", "staticmethod", "property", "ensures")
            ):
                raise self.refuse(decorator, f"the decorator {ast.unparse(decorator)}")
        for statement in self.node.body:
            self.stand(statement)

    def parameters(self, node: Any) -> None:
        """Plain names, without defaults."""
        arguments = node.args
        if arguments.defaults or arguments.kw_defaults or arguments.kwonlyargs:
            raise self.refuse(node, "a default or a keyword-only parameter")
        if arguments.vararg or arguments.kwarg:
            raise self.refuse(node, "a starred parameter")
        names = {a.arg for a in (*arguments.posonlyargs, *arguments.args)}
        self.locals[-1] |= names
        if node is self.node:
            self.given = names
        if node is self.node and (self.run.__defaults__ or self.run.__kwdefaults__):
            raise self.refuse(node, "a default")

    # ---- statements --------------------------------------------------------------------------------

    def stand(self, node: ast.stmt) -> None:
        """One statement."""
        if isinstance(node, ast.Pass):
            return
        if isinstance(node, ast.Expr):
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                return
            if not isinstance(node.value, ast.Call):
                raise self.refuse(node, "an expression that does nothing")
            self.expression(node.value)
        elif isinstance(node, ast.Return):
            if node.value is not None:
                self.result(node.value)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            self.result(node.value)
            self.target(node.targets[0])
        elif isinstance(node, ast.AnnAssign) and node.value is not None and not self.walk.kernel:
            self.result(node.value)
            self.target(node.target)
        elif isinstance(node, ast.AugAssign) and not self.walk.kernel:
            if not isinstance(node.target, ast.Name) or not isinstance(node.op, OPERATORS):
                raise self.refuse(node, "a change in place")
            self.expression(node.value)
            self.target(node.target)
        elif isinstance(node, ast.For) and not self.walk.kernel and not node.orelse:
            self.unrolled(node)
        else:
            raise self.refuse(node, f"`{type(node).__name__.lower()}`")

    def unrolled(self, node: ast.For) -> None:
        """A loop over a range of plain numbers, or over a parameter, which raises if it is a formula."""
        over: Any = node.iter
        if self.calls(over, reversed) and len(over.args) == 1:
            over = over.args[0]
        if isinstance(over, ast.Name) and over.id in self.given - {"self", "policy", "ledger"}:
            pass
        elif self.calls(over, range):
            for argument in over.args:
                self.expression(argument)
        else:
            raise self.refuse(node, "a loop over anything but a range or a parameter")
        self.target(node.target)
        for statement in node.body:
            self.stand(statement)

    def target(self, node: ast.expr) -> None:
        """What is written to: a local name, or a counter of a record."""
        if isinstance(node, ast.Name):
            if node.id in ("ledger", "self", "policy"):
                raise self.refuse(node, f"another value for `{node.id}`")
            self.locals[-1].add(node.id)
            return
        if isinstance(node, ast.Tuple) and not self.walk.kernel:
            for part in node.elts:
                self.target(part)
            return
        if isinstance(node, ast.Subscript) and self.kernel and self.of_list(node):
            self.expression(node)
            return
        if isinstance(node, ast.Attribute) and self.walk.kernel:
            if node.attr not in WRITABLE and not (self.kernel and node.attr in OWN_WRITABLE):
                raise self.refuse(node, f"a write to `{node.attr}`")
            owner = node.value
            if isinstance(owner, ast.Attribute) and owner.attr == "request":
                owner = owner.value
            if not isinstance(owner, ast.Name):
                raise self.refuse(node, f"a write to `{ast.unparse(node)}`")
            self.expression(node.value)
            return
        raise self.refuse(node, f"a write to `{ast.unparse(node)}`")

    @staticmethod
    def of_list(node: ast.Subscript) -> bool:
        """Whether it is some entries of a table, or the forward of a step."""
        whole = isinstance(node.slice, ast.Slice)
        return whole or getattr(node.value, "attr", "") == "step_operations"

    def result(self, node: Any) -> None:
        """A value that is returned or bound; policies may make tuples of values, and theorems list them."""
        if isinstance(node, ast.Tuple | ast.List) and not self.walk.kernel:
            for part in node.elts:
                self.result(part)
        elif isinstance(node, ast.Starred) and self.statement:
            self.result(node.value)
        elif isinstance(node, ast.ListComp | ast.GeneratorExp) and self.statement:
            self.listed(node)
        elif self.calls(node, tuple) and len(node.args) == 1:
            self.counted(node.args[0])
        else:
            self.expression(node)

    def counted(self, node: Any) -> None:
        """A list that has one element for each number of a range, none left out."""
        part: Any = node.generators[0] if isinstance(node, ast.ListComp) else None
        if (
            part is None
            or len(node.generators) > 1
            or part.ifs
            or not self.calls(part.iter, range)
        ):
            raise self.refuse(node, "a tuple that is not made of a range")
        for argument in part.iter.args:
            self.expression(argument)
        self.target(part.target)
        self.expression(node.elt)

    def calls(self, node: Any, function: Any) -> TypeGuard[ast.Call]:
        """Whether the node is a call of this function, by its own name."""
        return (
            not self.walk.kernel
            and isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and not any(node.func.id in names for names in self.locals)
            and self.found(node.func) is function
        )

    def listed(self, node: Any) -> None:
        """A comprehension without conditions, so that no element is left out."""
        for part in node.generators:
            if part.ifs or part.is_async:
                raise self.refuse(node, "a condition in a comprehension")
            self.result(part.iter)
            self.target(part.target)
        self.result(node.elt)


# ---- what is checked -----------------------------------------------------------------------------


def check_action(body: Callable[..., Any]) -> None:
    """An action or a block step, and all that it reaches.

    Raises:
        Forbidden: it uses a construct that is not allowed, named with file and line.
    """
    walk = Walk()
    walk.function(body)
    walk.finish()


def check_functions(functions: Iterable[Any]) -> None:
    """Decisions: functions of numbers and truth values.

    Raises:
        Forbidden: as for an action.
    """
    walk = Walk(kernel=False)
    for function in functions:
        walk.function(function)
    walk.finish()


def check_policy(policy: Any, claims: Any = None) -> None:
    """The order of a policy: key, rank and may_displace, and what its claims are stated with.

    Raises:
        Forbidden: as for an action.
    """
    kind: Any = type(policy)
    for hook in ("__getattr__", "__getattribute__"):
        found = inspect.getattr_static(kind, hook, None)
        if found is not None and found is not object.__dict__.get(hook):
            raise Forbidden(f"{kind.__qualname__} answers for its attributes by {hook}")
    walk = Walk(policy, kernel=False, changed=writes_of(kind))
    for name in ("key", "rank", "may_displace"):
        if name in getattr(policy, "__dict__", {}):
            raise Forbidden(f"{kind.__qualname__}.{name} is not a method of its class")
        found = inspect.getattr_static(kind, name, None)
        if found is not None:
            walk.function(found.__func__ if isinstance(found, staticmethod) else found)
    if claims is not None:
        for fact in claims.facts:
            walk.function(fact.predicate, statement=True)
        for run in claims.runs:
            walk.function(run)
        # What a lemma says is read like an invariant; what runs in the scheduler is `runs`.
        if claims.steps is not None and not claims.runs:
            walk.function(claims.steps, statement=True)
    walk.finish()


def objection(policy: Any, claims: Any = None) -> str:
    """Why no theorem is claimed of the order of a policy: file, line and construct, or ""."""
    try:
        check_policy(policy, claims)
    except Misuse as refusal:
        return str(refusal)
    return ""
