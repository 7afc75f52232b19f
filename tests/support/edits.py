"""Changes one line of the code under test for the duration of a test.

Guarantees: the function object itself is changed, so every module that imported it runs the
change; the replaced text must occur in it exactly once. The check that turns red, and green again
without the edit, shows that the changed line was executed.
"""

from __future__ import annotations

import inspect
import linecache
import textwrap
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from types import FunctionType
from typing import Any

#: (module, function or Class.method, old text, new text).
Edit = tuple[str, str, str, str]


def function_of(module: str, name: str) -> FunctionType:
    """The plain function behind a name: of a method, a property or an action."""
    found: Any = import_module(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    found = getattr(found, "fget", found)
    found = getattr(found, "__func__", found)
    found = getattr(found, "body", found)
    found = inspect.unwrap(found)
    assert isinstance(found, FunctionType), f"{module}.{name} is not a function"
    return found


def written(name: str, source: str, scope: dict[str, Any]) -> None:
    """Runs source text in a scope, and keeps the text where the prover finds it."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), scope)


def text_with(function: FunctionType, old: str, new: str) -> str:
    """The function's source without decorators, a piece of it replaced."""
    lines = textwrap.dedent(inspect.getsource(function)).splitlines(keepends=True)
    while lines[0].startswith("@"):
        lines.pop(0)
    source, name = "".join(lines), f"{function.__module__}.{function.__name__}"
    assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times in {name}"
    return source.replace(old, new)


def planted(function: Callable[..., Any], old: str, new: str) -> Any:
    """A function like this one with a piece of its text replaced, which the prover can read; this one stays."""
    like = inspect.unwrap(function)
    assert isinstance(like, FunctionType)
    scope = dict(like.__globals__)
    written(f"<{like.__name__}, planted>", text_with(like, old, new), scope)
    return scope[like.__name__]


@contextmanager
def edited(edit: Edit) -> Generator[None]:
    """Applies the edit."""
    module, name, old, new = edit
    function = function_of(module, name)
    changed = text_with(function, old, new)
    scope: dict[str, Any] = {}
    exec(compile(changed, f"<{module}.{name}, edited>", "exec"), function.__globals__, scope)
    made = scope[function.__name__]
    before = function.__code__
    assert made.__code__.co_freevars == before.co_freevars
    function.__code__ = made.__code__
    try:
        yield
    finally:
        function.__code__ = before
