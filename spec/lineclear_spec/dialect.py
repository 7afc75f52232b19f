"""Which Python a function may use that is run on formulas, checked in its source before it is run.

Guarantees: a function that passes takes the same path on formulas as on values. It consists of
assignments, calls and expressions that are listed here; every helper, lambda and method that it
reaches is checked too, and what is checked is what runs, because the source is compiled again and
compared. It knows nothing about what a function does.

A symbolic value can refuse to be a truth value, but Python does not ask it everywhere: `is`, `type` and
`isinstance` answer without asking, and so does a loop over something else. What is not listed here is
refused, with file, line and construct.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from lineclear_spec import logic
from lineclear_spec.logic import Misuse

__all__ = ["Forbidden", "check_action", "check_functions", "check_policy", "objection", "register"]


class Forbidden(Misuse):
    """A function that is to be run on formulas uses what is not allowed there."""


#: Functions that mean the same on values and on formulas; they are trusted, not followed.
TRUSTED = frozenset(
    id(value)
    for value in (getattr(logic, name) for name in logic.__all__)
    if inspect.isfunction(value)
)
#: What an action may ask of the ledger or do to it, and to a pool.
OPERATIONS = frozenset(
    "require demand branch repeat need block_of worst_case reach in_flight computed known promised owed "
    "slots runs due ended writable allowed on_gpu idle leader blocks is_open complete wait_of is_copy "
    "forward_of retired move add_member remove_member remove_members name_block new_block relocate "
    "unname_last rename_entry forget_block give_up join leave decide order advance close forget_copy "
    "void_samples write_kv share_kv lose_kv note_copy".split()
)
POOL_OPERATIONS = frozenset({"grant"})
#: Fields that both ledgers have, and that mean the same.
READABLE = frozenset(
    "limits gpu cpu steps settled issued done carried barrier step_tokens step_sequences batch_size "
    "free total until chunked depth max_num_batched_tokens max_num_seqs max_model_len "
    "prompt limit parallel width blocks copy moved members request alive steady table length "
    "known_tokens reach_tokens slot_tokens promised_samples last_step last_tokens previous_tokens drafts "
    "void last_samples previous_samples late_drafts ref tier place count".split()
)
#: Counters that are plain numbers on both ledgers. The others change through primitives alone.
WRITABLE = frozenset(
    "done carried barrier settled step_tokens step_sequences copy moved known_tokens reach_tokens "
    "slot_tokens promised_samples last_step last_tokens previous_tokens drafts last_samples "
    "previous_samples late_drafts".split()
)
#: What a policy may read of a request.
OF_REQUEST = frozenset(
    "prompt_tokens max_tokens n priority predicted_tokens arrival_time deadline number arrival generated "
    "order rank blocks seats tokens".split()
)
EXPRESSIONS = (
    ast.Name, ast.Constant, ast.Attribute, ast.Call, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Subscript,
    ast.Lambda,
)  # fmt: skip
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitOr)
COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
PLAIN = (int, float, str, type(None))
#: Nodes of functions that were made from a changed tree, so that no file has their source.
MADE: dict[CodeType, ast.FunctionDef] = {}


def plain(value: Any) -> bool:
    """Whether a value has no operators of its own: a subclass could ask what it is compared with."""
    ours = isinstance(value, IntEnum) and type(value).__module__.startswith("lineclear_spec.")
    return type(value) in (*PLAIN, bool) or ours


@cache
def rebound(text: str) -> frozenset[str]:
    """Names of a module that a function of it declares global."""
    tree = ast.parse(text)
    return frozenset(n for g in ast.walk(tree) if isinstance(g, ast.Global) for n in g.names)


def writes(code: CodeType) -> set[str]:
    """Attributes that the code sets or deletes, by name; "" if by a name that is computed."""
    found = {
        str(i.argval)
        for i in dis.get_instructions(code)
        if i.opname in ("STORE_ATTR", "DELETE_ATTR")
    }
    if {"setattr", "delattr", "vars", "__dict__", "__setattr__"} & set(code.co_names):
        found.add("")
    for part in code.co_consts:
        if isinstance(part, CodeType):
            found |= writes(part)
    return found


def register(function: Any, node: ast.FunctionDef) -> None:
    """Say which tree a generated function was compiled from."""
    MADE[function.__code__] = node


# ---- the source of what runs ---------------------------------------------------------------------


def text_of(filename: str) -> str:
    """The file as it is now."""
    linecache.checkcache(filename)
    return "".join(linecache.getlines(filename))


@cache
def definitions(text: str) -> list[Any]:
    """Every function and lambda of a module."""
    tree = ast.parse(text)
    kinds = (ast.FunctionDef, ast.Lambda, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def begins(node: Any) -> int:
    """The line that a code object of the node begins at."""
    decorators = getattr(node, "decorator_list", [])
    return decorators[0].lineno if decorators else node.lineno


def alike(one: CodeType, other: CodeType) -> bool:
    """Whether two code objects do the same."""
    consts, theirs = one.co_consts, other.co_consts
    return (
        one.co_code == other.co_code
        and one.co_names == other.co_names
        and one.co_varnames == other.co_varnames
        and one.co_argcount == other.co_argcount
        and one.co_freevars == other.co_freevars
        and len(consts) == len(theirs)
        and all(
            alike(a, b)
            if isinstance(a, CodeType) and isinstance(b, CodeType)
            else type(a) is type(b) and a == b
            for a, b in zip(consts, theirs, strict=True)
        )
    )


def compiled(node: Any, code: CodeType) -> CodeType | None:
    """The code of the node, compiled again."""
    if isinstance(node, ast.Lambda):
        inner: ast.stmt = ast.Expr(node)
    else:
        inner = ast.FunctionDef(node.name, node.args, node.body, [], None)
        inner.args = bare(node.args)
    nothing = ast.arguments([], [], None, [], [], None, [])
    outer = ast.FunctionDef("outer", nothing, [inner], [], None)
    for made in (outer, inner):
        if "type_params" in made._fields:
            made.type_params = []
    module = ast.fix_missing_locations(ast.Module([outer], []))
    flags = code.co_flags & 0x1000000  # from __future__ import annotations
    whole = compile(module, code.co_filename, "exec", flags=flags, dont_inherit=True)
    outermost = next(c for c in whole.co_consts if isinstance(c, CodeType))
    return next((c for c in outermost.co_consts if isinstance(c, CodeType)), None)


def bare(arguments: ast.arguments) -> ast.arguments:
    """Parameters without annotations and defaults, which are no part of the code."""

    def plain(one: ast.arg | None) -> ast.arg | None:
        return ast.arg(one.arg) if one is not None else None

    return ast.arguments(
        [ast.arg(a.arg) for a in arguments.posonlyargs],
        [ast.arg(a.arg) for a in arguments.args],
        plain(arguments.vararg),
        [ast.arg(a.arg) for a in arguments.kwonlyargs],
        [None for _ in arguments.kwonlyargs],
        plain(arguments.kwarg),
        [],
    )


def source_of(function: FunctionType) -> tuple[Any, bool]:
    """The tree of a function, and whether it is certain to be what runs.

    Raises:
        Forbidden: there is no source.
    """
    code = function.__code__
    made = MADE.get(code)
    nodes = [made] if made is not None else definitions(text_of(code.co_filename))
    there = [n for n in nodes if made is not None or begins(n) == code.co_firstlineno]
    for node in there:
        again = compiled(node, code)
        if again is not None and alike(again, code):
            return node, True
    if not there:
        raise Forbidden(f"{place_of(function)} has no source")
    return there[0], False


def place_of(function: FunctionType) -> str:
    """File, line and name."""
    code = function.__code__
    return f"{code.co_filename}:{code.co_firstlineno}: {function.__qualname__}"


# ---- the walk ------------------------------------------------------------------------------------


@dataclass
class Walk:
    """The check of one root and of everything that it reaches.

    Attributes:
        policy: whose methods `self` and `policy` name; None for actions.
        kernel: the ledger's operations may be called, rather than a policy's methods.
        changed: attributes that methods of the policy write after it is made.
        seen: functions that are checked or being checked.
    """

    policy: Any = None
    kernel: bool = True
    changed: frozenset[str] = frozenset()
    seen: set[int] = field(default_factory=set)

    def function(self, function: Any, statement: bool = False) -> None:
        """One function and all that it reaches."""
        if not isinstance(function, FunctionType):
            raise Forbidden(f"{function!r} is no plain function, so that it cannot be checked")
        code, place = function.__code__, place_of(function)
        if code.co_freevars:
            raise Forbidden(f"{place} reads variables of another function: {code.co_freevars[0]}")
        if id(function) in self.seen:
            return
        node, certain = source_of(function)
        if isinstance(node, ast.AsyncFunctionDef):
            raise Forbidden(f"{place} is asynchronous")
        self.seen.add(id(function))
        Body(self, function, node, statement).check()
        if not certain:
            raise Forbidden(f"{place}: its source is not what runs")


class Body:
    """The body of one function."""

    def __init__(self, walk: Walk, function: FunctionType, node: Any, statement: bool) -> None:
        self.walk, self.run, self.node, self.statement = walk, function, node, statement
        self.file = function.__code__.co_filename
        self.locals: list[set[str]] = [set()]

    def refuse(self, node: Any, what: str) -> Forbidden:
        """The error, with the place."""
        return Forbidden(
            f"{self.file}:{getattr(node, 'lineno', self.node.lineno)}: {what} is not allowed in "
            f"{self.run.__name__}, which is run on formulas: use lineclear_spec.logic"
        )

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
                and called.id in ("action", "staticmethod", "property", "promise")
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
        self.locals[-1] |= {a.arg for a in (*arguments.posonlyargs, *arguments.args)}
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
        """A loop over a range of plain numbers: a formula raises as its bound."""
        call = node.iter
        if not (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and self.found(call.func) is range
        ):
            raise self.refuse(node, "a loop over anything but a range")
        for argument in call.args:
            self.expression(argument)
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
        if isinstance(node, ast.Attribute) and self.walk.kernel:
            if node.attr not in WRITABLE:
                raise self.refuse(node, f"a write to `{node.attr}`")
            self.expression(node.value)
            return
        raise self.refuse(node, f"a write to `{ast.unparse(node)}`")

    def result(self, node: ast.expr) -> None:
        """A value; policies also return tuples, and theorems list what they say."""
        if isinstance(node, ast.Tuple | ast.List) and not self.walk.kernel:
            for part in node.elts:
                self.result(part)
        elif isinstance(node, ast.Starred) and self.statement:
            self.result(node.value)
        elif isinstance(node, ast.ListComp | ast.GeneratorExp) and self.statement:
            self.listed(node)
        else:
            self.expression(node)

    def listed(self, node: ast.ListComp | ast.GeneratorExp) -> None:
        """The same words for each of several, none left out."""
        for part in node.generators:
            if part.ifs or part.is_async:
                raise self.refuse(node, "a condition in a comprehension")
            self.result(part.iter)
            self.target(part.target)
        self.result(node.elt)

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
        if not isinstance(node.value, PLAIN):
            raise self.refuse(node, f"the constant {node.value!r}")

    def of_name(self, node: ast.Name) -> None:
        """A local name, or a plain constant of the module."""
        if any(node.id in names for names in self.locals):
            return
        value = self.found(node)
        if not plain(value):
            raise self.refuse(node, f"`{node.id}`, which is no number")
        if node.id in rebound(text_of(self.file)):
            raise self.refuse(node, f"`{node.id}`, which the module changes,")

    def found(self, node: ast.Name) -> Any:
        """What a name that is no local one stands for."""
        name, scope = node.id, self.run.__globals__
        if name in scope:
            return scope[name]
        found = scope.get("__builtins__", {})
        found = found if isinstance(found, dict) else vars(found)
        if name not in found:
            raise self.refuse(node, f"`{name}`, which is not defined,")
        return found[name]

    def of_attribute(self, node: ast.Attribute) -> None:
        """A field."""
        if self.walk.kernel:
            if node.attr not in READABLE:
                raise self.refuse(node, f"reading `{node.attr}`")
            self.expression(node.value)
            return
        owner = node.value
        if not isinstance(owner, ast.Name):
            raise self.refuse(node, f"reading `{ast.unparse(node)}`")
        self.of_name(owner)
        if self.statement and owner.id == "unknowns" and not node.attr.startswith("_"):
            return
        if owner.id in ("self", "policy") and self.walk.policy is not None:
            self.of_policy(node)
        elif node.attr not in OF_REQUEST:
            raise self.refuse(node, f"reading `{node.attr}`")

    def of_policy(self, node: ast.Attribute) -> None:
        """A parameter of the policy that keeps its value, or a property of it."""
        policy, name = self.walk.policy, node.attr
        found = inspect.getattr_static(policy, name, None)
        if name.startswith("__"):
            raise self.refuse(node, f"reading `{name}`")
        if isinstance(found, property) and found.fget is not None:
            self.walk.function(found.fget)
        elif not plain(found) and type(found).__module__ != "lineclear_spec.terms":
            raise self.refuse(node, f"`{name}`, which is no number,")
        elif {name, ""} & self.walk.changed:
            raise self.refuse(node, f"`{name}`, which the policy changes,")

    def of_binop(self, node: ast.BinOp) -> None:
        """Sums, products, conjunctions and disjunctions."""
        if not isinstance(node.op, OPERATORS) and not (
            isinstance(node.op, ast.Pow) and not self.walk.kernel
        ):
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
            self.expression(part)

    def of_subscript(self, node: ast.Subscript) -> None:
        """An entry of a list of the ledger."""
        if not self.walk.kernel or isinstance(node.slice, ast.Compare | ast.Constant):
            raise self.refuse(node, f"the index `{ast.unparse(node)}`")
        self.expression(node.value)
        self.expression(node.slice)

    def of_lambda(self, node: ast.Lambda) -> None:
        """Only where it is run at once."""
        raise self.refuse(node, "a lambda that is not handed to branch, repeat or choose")

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
        if any(k.arg is None for k in node.keywords):
            raise self.refuse(node, "a starred argument")

    def named(self, node: ast.Call, called: ast.Name) -> bool:
        """A call by name; whether functions may be handed over."""
        if any(called.id in names for names in self.locals):
            if self.statement:
                return False  # a maker of unknowns
            raise self.refuse(node, f"a call of the local name `{called.id}`")
        function = self.found(called)
        if id(function) in TRUSTED:
            return function is logic.choose
        if self.statement and function in (map, zip, range):
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
        if isinstance(owner, ast.Name) and owner.id == "ledger" and name in OPERATIONS:
            self.of_name(owner)
            if name == "repeat":
                self.proved_loop(node)
            return name in ("branch", "repeat")
        if (
            isinstance(owner, ast.Attribute)
            and isinstance(owner.value, ast.Name)
            and owner.value.id == "ledger"
            and owner.attr in ("gpu", "cpu")
            and name in POOL_OPERATIONS
        ):
            return False
        raise self.refuse(node, f"a call of `{ast.unparse(called)}`")

    def proved_loop(self, node: ast.Call) -> None:
        """A contract is proved of one function, so only that function may stand on it."""
        first = node.args[0] if node.args else None
        name = self.run.__name__
        if (
            not isinstance(first, ast.Constant)
            or first.value != name
            or self.run.__globals__.get("__name__") != "lineclear_spec.blocks"
        ):
            raise self.refuse(
                node, f"the loop `{ast.unparse(node.args[0])}` outside its own function"
            )

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

    def table(self, name: str) -> bool:
        """Whether the policy keeps a table under this name. A table may change, so that only policies
        may have one whose theorems are about an order of a moment.
        """
        policy = self.walk.policy
        kept = getattr(policy, "__dict__", {}).get(name)
        ours = "lineclear.policies."
        return type(policy).__module__.startswith(ours) and (
            type(kept) is dict or type(kept).__module__.startswith(ours)
        )


# ---- what is checked -----------------------------------------------------------------------------


def check_action(body: Callable[..., Any]) -> None:
    """An action or a block step, and all that it reaches.

    Raises:
        Forbidden: it uses a construct that is not allowed, named with file and line.
    """
    Walk().function(body)


def check_functions(functions: Iterable[Any]) -> None:
    """Decisions: functions of numbers and truth values.

    Raises:
        Forbidden: as for an action.
    """
    walk = Walk(kernel=False)
    for function in functions:
        walk.function(function)


def check_policy(policy: Any, claims: Any = None) -> None:
    """The order of a policy: key, rank and may_displace, and what its claims are stated with.

    Raises:
        Forbidden: as for an action.
    """
    kind = type(policy)
    for hook in ("__getattr__", "__getattribute__"):
        found = inspect.getattr_static(kind, hook, None)
        if found is not None and found is not object.__dict__.get(hook):
            raise Forbidden(f"{kind.__qualname__} answers for its attributes by {hook}")
    methods = [f for c in kind.__mro__ for n, f in vars(c).items() if n != "__init__"]
    changed: set[str] = set()
    for method in methods:
        function = getattr(method, "__func__", getattr(method, "fget", method))
        if isinstance(function, FunctionType):
            changed |= writes(function.__code__)
    walk = Walk(policy, kernel=False, changed=frozenset(changed))
    for name in ("key", "rank", "may_displace"):
        if name in getattr(policy, "__dict__", {}):
            raise Forbidden(f"{kind.__qualname__}.{name} is not a method of its class")
        found = inspect.getattr_static(kind, name, None)
        if found is not None:
            walk.function(found.__func__ if isinstance(found, staticmethod) else found)
    if claims is not None:
        for fact in claims.facts:
            walk.function(fact.predicate, statement=True)
        if claims.steps is not None:
            walk.function(claims.steps, statement=True)


def objection(policy: Any, claims: Any = None) -> str:
    """Why no theorem is claimed of the order of a policy: file, line and construct, or ""."""
    try:
        check_policy(policy, claims)
    except Misuse as refusal:
        return str(refusal)
    return ""
