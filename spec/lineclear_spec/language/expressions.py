# pyright: basic
"""The expressions and calls of a function that is run on formulas, each checked.

Guarantees: what is not on the lists of `language/vocabulary.py` raises, with file, line and construct;
every function that is called is handed to the walk.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from lineclear_spec import logic
from lineclear_spec.kernel.methods import Kernel
from lineclear_spec.kernel.progress import Need
from lineclear_spec.language.source import Forbidden, rebound, text_of
from lineclear_spec.language.vocabulary import (
    BULK,
    COMPARISONS,
    EXPRESSIONS,
    KERNEL,
    LIST_OPERATIONS,
    NUMBERS,
    OF_REQUEST,
    OPERATIONS,
    OPERATORS,
    OWN_READABLE,
    PLAIN,
    POOL_OPERATIONS,
    READABLE,
    TRUSTED,
    plain,
)

#: Fields of the ledger and of its records that are no numbers.
COMPOUND = frozenset(
    "table members held pools gpu cpu limits decode_batch boundaries endings operations step_operations".split()
)
#: What a request may lack: on formulas it is no number, but two of them.
OPTIONAL = frozenset({"deadline", "predicted_tokens"})
#: Where the built-in policies are.
OURS = "lineclear.policies."


class Expressions:
    """What the body of one function says, without its statements.

    Args:
        walk: checks what is called.
        function: whose body it is.
        node: its tree.
        statement: it is the statement of a theorem, which may also list and unpack.
    """

    parameters: Callable[[Any], None]
    result: Callable[[Any], None]

    def __init__(self, walk: Any, function: FunctionType, node: Any, statement: bool) -> None:
        self.walk, self.run, self.node, self.statement = walk, function, node, statement
        self.file = function.__code__.co_filename
        self.locals: list[set[str]] = [set()]
        self.looked_into: set[int] = set()

    def refuse(self, node: Any, what: str) -> Forbidden:
        """The error, with the place in the source."""
        return Forbidden(
            f"{self.file}:{getattr(node, 'lineno', self.node.lineno)}: {what} is not allowed in "
            f"{self.run.__name__}, which is run on formulas: use lineclear_spec.logic"
        )

    # ---- expressions -------------------------------------------------------------------------------

    def expression(self, node: ast.expr) -> None:
        """One expression and its parts."""
        if isinstance(node, ast.Tuple | ast.List | ast.Starred | ast.ListComp | ast.GeneratorExp):
            if self.statement:
                self.result(node)
                return
            raise self.refuse(node, f"`{type(node).__name__.lower()}` inside an expression")
        if not isinstance(node, EXPRESSIONS):
            raise self.refuse(node, f"`{type(node).__name__.lower()}`")
        getattr(self, f"of_{type(node).__name__.lower()}")(node)

    def of_constant(self, node: ast.Constant) -> None:
        """A number, a truth value, a name or nothing."""
        if not isinstance(node.value, PLAIN) or (self.walk.kernel and type(node.value) is float):
            raise self.refuse(node, f"the constant {node.value!r}")

    def of_name(self, node: ast.Name) -> None:
        """A local name, or a plain constant of the module."""
        if any(node.id in names for names in self.locals):
            return
        value = self.found(node)
        if not plain(value):
            raise self.refuse(node, f"`{node.id}`, which is no number")
        if self.walk.kernel and type(value) is float:
            raise self.refuse(
                node, f"`{node.id}`, which is rounded on values and exact on formulas,"
            )
        if {node.id, ""} & rebound(text_of(self.file)):
            raise self.refuse(node, f"`{node.id}`, which the module changes,")

    def found(self, node: ast.Name) -> Any:
        """What a name that is no local one stands for."""
        name, scope = node.id, self.run.__globals__
        if name in scope:
            self.walk.read[name] = self.refuse(node, f"`{name}`, which another module changes,")
            return scope[name]
        found = scope.get("__builtins__", {})
        found = found if isinstance(found, dict) else vars(found)
        if name not in found:
            raise self.refuse(node, f"`{name}`, which is not defined,")
        return found[name]

    def of_attribute(self, node: ast.Attribute) -> None:
        """A field."""
        if self.walk.kernel:
            if node.attr not in READABLE and not (self.kernel and node.attr in OWN_READABLE):
                raise self.refuse(node, f"reading `{node.attr}`")
            self.expression(node.value)
            return
        owner = node.value
        if not isinstance(owner, ast.Name):
            raise self.refuse(node, f"reading `{ast.unparse(node)}`")
        self.of_name(owner)
        if node.attr in OPTIONAL and id(node) not in self.looked_into:
            raise self.refuse(node, f"`{ast.unparse(node)}` outside given and or_else")
        if self.statement and owner.id == "unknowns" and not node.attr.startswith("_"):
            return
        if owner.id in ("self", "policy") and self.walk.policy is not None:
            self.of_policy(node)
        elif node.attr not in OF_REQUEST and node.attr not in self.record_fields():
            raise self.refuse(node, f"reading `{node.attr}`")

    def record_fields(self) -> set[str]:
        """Fields of the records that the function's module names."""
        scope = self.run.__globals__.values()
        return {field for found in scope if is_record(found) for field in found._fields}

    def of_policy(self, node: ast.Attribute) -> None:
        """A parameter of the policy that keeps its value, or a property of it."""
        policy, name = self.walk.policy, node.attr
        found = inspect.getattr_static(policy, name, None)
        if name.startswith("__"):
            raise self.refuse(node, f"reading `{name}`")
        if isinstance(found, property) and found.fget is not None:
            self.walk.function(found.fget)
        elif not all(map(known, found if type(found) is tuple else (found,))):
            raise self.refuse(node, f"`{name}`, which is no number,")
        elif {name, ""} & self.walk.changed:
            raise self.refuse(node, f"`{name}`, which the policy changes,")

    def of_binop(self, node: ast.BinOp) -> None:
        """Sums, products, conjunctions and disjunctions."""
        if not isinstance(node.op, OPERATORS) and not (
            isinstance(node.op, ast.Pow) and not self.walk.kernel
        ):
            # That the divisor is above 0 is an obligation of the policy's unit (`orders.order`).
            if isinstance(node.op, ast.FloorDiv) and self.run.__module__.startswith(OURS):
                self.expression(node.left)
                self.expression(node.right)
                return
            raise self.refuse(node, f"the operator {type(node.op).__name__}")
        self.expression(node.left)
        self.expression(node.right)

    def of_unaryop(self, node: ast.UnaryOp) -> None:
        """The negative of a number."""
        if not isinstance(node.op, ast.USub):
            raise self.refuse(node, f"`{type(node.op).__name__.lower()}`")
        self.expression(node.operand)

    def of_compare(self, node: ast.Compare) -> None:
        """One comparison of two values."""
        if len(node.ops) != 1:
            raise self.refuse(node, "a chained comparison")
        if not isinstance(node.ops[0], COMPARISONS):
            raise self.refuse(node, f"`{type(node.ops[0]).__name__.lower()}`")
        for part in (node.left, node.comparators[0]):
            if isinstance(part, ast.Constant) and part.value is None:
                raise self.refuse(node, "a comparison with None")
            if self.walk.kernel and is_list(part):
                raise self.refuse(
                    node, f"a comparison of `{ast.unparse(part)}`, which is no number,"
                )
            self.expression(part)

    def of_subscript(self, node: ast.Subscript) -> None:
        """An entry of a list of the ledger; in the kernel, also some entries of a table."""
        if isinstance(node.slice, ast.Slice) and self.kernel:
            if node.slice.step is not None or node.slice.upper is None:
                raise self.refuse(node, f"the index `{ast.unparse(node)}`")
            self.expression(node.value)
            for bound in (node.slice.lower, node.slice.upper):
                if bound is not None:
                    self.expression(bound)
            return
        first = self.kernel and isinstance(node.slice, ast.Constant) and node.slice.value == 0
        if not self.walk.kernel or (
            isinstance(node.slice, ast.Compare | ast.Constant) and not first
        ):
            raise self.refuse(node, f"the index `{ast.unparse(node)}`")
        self.expression(node.value)
        self.expression(node.slice)

    def of_ifexp(self, node: ast.IfExp) -> None:
        """A choice: in the kernel alone, which is compiled for formulas (`language/conditional.py`)."""
        if not self.kernel:
            raise self.refuse(node, "`ifexp`")
        for part in (node.test, node.body, node.orelse):
            self.expression(part)

    def of_lambda(self, node: ast.Lambda) -> None:
        """Only where it is run at once."""
        raise self.refuse(
            node, "a lambda that is not handed to branch, each, select, all_of or choose"
        )

    def argument(self, node: ast.expr) -> None:
        """An argument of something that runs functions."""
        if isinstance(node, ast.Lambda):
            self.locals.append(set())
            self.parameters(node)
            self.expression(node.body)
            self.locals.pop()
        else:
            self.expression(node)

    # ---- calls -------------------------------------------------------------------------------------

    def of_call(self, node: ast.Call) -> None:
        """A trusted function, an operation of the ledger, or a function that is checked too."""
        if isinstance(node.func, ast.Name):
            runs_arguments = self.named(node, node.func)
        elif isinstance(node.func, ast.Attribute):
            runs_arguments = self.method(node, node.func)
        else:
            raise self.refuse(node, f"the call `{ast.unparse(node)}`")
        for value in (*node.args, *[k.value for k in node.keywords]):
            if isinstance(value, ast.Starred) and not self.statement:
                raise self.refuse(node, "a starred argument")
            (self.argument if runs_arguments else self.expression)(value)
        if any(k.arg is None or self.walk.kernel for k in node.keywords):
            raise self.refuse(
                node, "a keyword, which the two ledgers may name differently, or a star"
            )

    def named(self, node: ast.Call, called: ast.Name) -> bool:
        """A call by name; whether functions may be handed over."""
        if any(called.id in names for names in self.locals):
            if self.statement:
                return False  # a maker of unknowns
            raise self.refuse(node, f"a call of the local name `{called.id}`")
        function = self.found(called)
        if id(function) in TRUSTED:
            if function in (logic.given, logic.or_else) and node.args:
                self.looked_into.add(id(node.args[0]))
            return function is logic.choose
        if self.statement and function in (map, zip, range):
            return False
        if (is_record(function) or function is Need) and not self.walk.kernel:
            return False
        if not isinstance(function, FunctionType):
            raise self.refuse(node, f"a call of `{called.id}`")
        self.walk.function(function, self.statement)
        return False

    def method(self, node: ast.Call, called: ast.Attribute) -> bool:
        """A call of a method; whether functions may be handed over."""
        owner, name = called.value, called.attr
        if not self.walk.kernel:
            return self.of_policy_method(node, called)
        if isinstance(owner, ast.Name) and owner.id == "ledger":
            if name in OPERATIONS or (self.kernel and name in BULK):
                self.of_name(owner)
                own = vars(Kernel).get(name)
                if own is not None:
                    self.walk.function(own)
                return name in ("branch", "each", "select", "all_of")
        elif self.kernel and self.of_container(owner, name):
            self.expression(owner)
            return False
        raise self.refuse(node, f"a call of `{ast.unparse(called)}`")

    @property
    def kernel(self) -> bool:
        """Whether the function is the kernel's, which is written in all operators."""
        return self.walk.kernel and self.run.__globals__.get("__name__") in KERNEL

    @staticmethod
    def of_container(owner: ast.expr, name: str) -> bool:
        """Whether it is an operator of a pool or of a list that a record has."""
        if isinstance(owner, ast.Subscript):
            owner = owner.value
            return (
                isinstance(owner, ast.Attribute)
                and owner.attr == "pools"
                and name in POOL_OPERATIONS
            )
        if not isinstance(owner, ast.Attribute):
            return False
        pool = owner.attr in ("gpu", "cpu") and name in POOL_OPERATIONS
        return pool or name in LIST_OPERATIONS.get(owner.attr, ())

    def of_policy_method(self, node: ast.Call, called: ast.Attribute) -> bool:
        """A method of the policy, or a look into one of its tables."""
        owner, name = called.value, called.attr
        policy = self.walk.policy
        if isinstance(owner, ast.Name) and owner.id in ("self", "policy") and policy is not None:
            found = inspect.getattr_static(type(policy), name, None)
            function = found.__func__ if isinstance(found, staticmethod) else found
            own = name in getattr(policy, "__dict__", {})
            if own or name.startswith("__") or not isinstance(function, FunctionType):
                raise self.refuse(node, f"a call of `{ast.unparse(called)}`")
            self.walk.function(function)
            return False
        if isinstance(owner, ast.Name) and not any(owner.id in names for names in self.locals):
            module = self.module(owner)
            function = getattr(module, name, None)
            own = module is not None and getattr(function, "__module__", "") == module.__name__
            if own and isinstance(function, FunctionType):
                self.walk.function(function, self.statement)
                return False
        if (
            isinstance(owner, ast.Attribute)
            and isinstance(owner.value, ast.Name)
            and owner.value.id == "self"
            and name == "get"
            and self.table(owner.attr)
        ):
            return False
        if self.statement and isinstance(owner, ast.Name) and owner.id == "unknowns":
            return False
        raise self.refuse(node, f"a call of `{ast.unparse(called)}`")

    def module(self, node: ast.Name) -> ModuleType | None:
        """The module of ours that a name stands for."""
        found = self.run.__globals__.get(node.id)
        ours = isinstance(found, ModuleType) and found.__name__.startswith(OURS)
        return found if ours else None

    def table(self, name: str) -> bool:
        """Whether the policy keeps a table under this name. A table may change, so that only policies
        may have one whose theorems are about an order of a moment.
        """
        policy = self.walk.policy
        kept = getattr(policy, "__dict__", {}).get(name)
        return type(policy).__module__.startswith(OURS) and (
            type(kept) is dict or type(kept).__module__.startswith(OURS)
        )


def known(value: Any) -> bool:
    """Whether a value is a number, or a formula."""
    return plain(value) or type(value).__module__ == "lineclear_spec.symbolic.terms"


def is_list(node: ast.expr) -> bool:
    """Whether it names a list or another part of the ledger, which formulas compare by identity."""
    if isinstance(node, ast.Call):
        called = getattr(node.func, "attr", "")
        return called in ("due", "bucket", *BULK) and called not in NUMBERS
    return isinstance(node, ast.Attribute) and node.attr in COMPOUND


def is_record(found: Any) -> bool:
    """Whether it is a named tuple of a built-in policy, as `typing` makes it and nothing more."""
    if not (isinstance(found, type) and issubclass(found, tuple) and hasattr(found, "_fields")):
        return False
    plain = {*vars(NamedTuple("Plain", [("field", int)])), "__annotations__", "__orig_bases__"}
    added = (
        set(vars(found))
        - plain
        - {*getattr(found, "_fields", ())}
        - {
            "__firstlineno__",
            "__static_attributes__",
            "__slotnames__",  # what pickle remembers
        }
    )
    made = found.__module__.startswith(OURS) and found.__bases__ == (tuple,)
    return made and not added and not getattr(found, "_field_defaults", None)
