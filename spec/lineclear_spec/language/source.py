"""The source of a function that is to be checked, and whether it is what runs.

Guarantees: a tree is called certain only if it compiles to the code of the function.
"""

from __future__ import annotations

import ast
import dis
import linecache
from collections.abc import Mapping
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from lineclear_spec.logic import Misuse


class Forbidden(Misuse):
    """A function that is to be run on formulas uses what is not allowed there."""


#: Nodes of functions that were made from a changed tree, so that no file has their source.
MADE: dict[CodeType, ast.FunctionDef] = {}


#: What writes to an object or a module by a name that is computed.
COMPUTED = frozenset(
    "setattr delattr vars globals exec eval __dict__ __setattr__ __delattr__ __globals__".split()
)


@cache
def rebound(text: str) -> frozenset[str]:
    """Names of a module that a function of it declares global; with "", for any name, if it may write by a
    name that is computed.
    """
    nodes = list(ast.walk(ast.parse(text)))
    names = {n for g in nodes if isinstance(g, ast.Global) for n in g.names}
    asked = {n.id for n in nodes if isinstance(n, ast.Name)}
    asked |= {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    return frozenset(names | ({""} if asked & COMPUTED else set()))


@cache
def stored(text: str) -> frozenset[str]:
    """Attributes that a module sets or deletes, of whatever object: it may be another module."""
    nodes = ast.walk(ast.parse(text))
    kinds = (ast.Store, ast.Del)
    return frozenset(
        n.attr for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, kinds)
    )


def parts(code: CodeType) -> list[CodeType]:
    """A code object and all that stand inside it."""
    return [code, *[p for c in code.co_consts if isinstance(c, CodeType) for p in parts(c)]]


def writes(code: CodeType) -> set[str]:
    """Attributes that the code sets or deletes, by name; with "", for any name, if by one that is computed. Not
    what the functions inside it do.
    """
    stores = ("STORE_ATTR", "DELETE_ATTR")
    found = {str(i.argval) for i in dis.get_instructions(code) if i.opname in stores}
    return found | ({""} if COMPUTED & set(code.co_names) else set())


def writes_of(kind: type[Any]) -> frozenset[str]:
    """Attributes that the functions of a class may set on an object that is made, and all that stand
    in the modules of it and of its bases or are imported there; its own `__init__` may set any.
    """
    made = [getattr(vars(base).get("__init__"), "__code__", None) for base in kind.__mro__[:-1]]
    makers = {place_in(code) for code in made if code is not None}
    found: set[str] = set()
    for base in kind.__mro__[:-1]:
        methods = functions_of(vars(base))
        scopes = {id(f.__globals__): f.__globals__ for f in methods}
        near = [f for scope in scopes.values() for f in functions_of(scope)]
        near = [f for f in near if not f.__module__.startswith("lineclear_spec.")]
        codes = [code for f in (*methods, *near) for code in parts(f.__code__)]
        for file in {f.__code__.co_filename for f in methods}:
            codes += whole(text_of(file))
        for code in codes:
            if place_in(code) not in makers:
                found |= writes(code)
    return frozenset(found)


def functions_of(scope: Mapping[str, Any]) -> list[FunctionType]:
    """The functions of a class or of a module."""
    inner = [getattr(f, "__func__", getattr(f, "fget", f)) for f in scope.values()]
    return [f for f in inner if isinstance(f, FunctionType)]


def place_in(code: CodeType) -> tuple[str, int]:
    """Name and line; a file's name is not what its text was compiled under."""
    return code.co_name, code.co_firstlineno


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
    first: int = (decorators[0] if decorators else node).lineno
    return first


def alike(one: CodeType, other: CodeType) -> bool:
    """Whether two code objects do the same, in all that the dialect allows: flags, cells and tables of exceptions
    belong to what it refuses (generators, closures, `try`).
    """
    consts, theirs = one.co_consts, other.co_consts
    compared = ("co_code", "co_names", "co_varnames", "co_argcount", "co_freevars")
    return (
        all(getattr(one, name) == getattr(other, name) for name in compared)
        and len(consts) == len(theirs)
        and all(
            alike(a, b)
            if isinstance(a, CodeType) and isinstance(b, CodeType)
            else type(a) is type(b) and a == b
            for a, b in zip(consts, theirs, strict=True)
        )
    )


@cache
def whole(text: str) -> list[CodeType]:
    """The code of every function of a module, from its whole text."""
    return parts(compile(text, "<source>", "exec", dont_inherit=True))[1:]


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
            vars(made)["type_params"] = []
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
    # Python compiles a call through a module's name by what the rest of the file imports, so the
    # function alone may come out differently; compiled with the whole file it does not. Only the code
    # that stands at the function's own line counts.
    for node in there if len(there) == 1 and made is None else ():
        for one in whole(text_of(code.co_filename)):
            if one.co_firstlineno == begins(node) and alike(one, code):
                return node, True
    if not there:
        raise Forbidden(f"{place_of(function)} has no source")
    return there[0], False


def place_of(function: FunctionType) -> str:
    """Where a function is: file, line and name."""
    code = function.__code__
    return f"{code.co_filename}:{code.co_firstlineno}: {function.__qualname__}"
