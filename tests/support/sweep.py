# pyright: basic
"""Edits a module, one statement or operator at a time, and records what a check finds.

Guarantees: an edit is text that a reviewer could type; the module is replaced before any importer
is loaded, in a separate process, so that none of the original remains.

Run by hand: python tests/support/sweep.py reference/lineclear/scheduling/{step,room}.py --part 0/2
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.util
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
#: CPU seconds after which an edited run counts as endless.
MOST_SECONDS = 60
COMPARED: dict[type, list[type]] = {
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
}
SWAPPED = {
    "min": "max",
    "max": "min",
    "smaller": "larger",
    "larger": "smaller",
    "any": "all",
    "all": "any",
}


def edits_of(tree: ast.AST) -> Iterator[tuple[str, Any]]:
    """(name, change) for each edit; a change is made and undone in place."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Compare):
            for k, op in enumerate(node.ops):
                for other in COMPARED.get(type(op), []):
                    yield (
                        f"{line}: {ast.unparse(node)} -> {other.__name__}",
                        (node.ops, k, other()),
                    )
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            other_op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            yield f"{line}: {ast.unparse(node)} sign", (node, "op", other_op)
        elif isinstance(node, ast.BoolOp):
            for k in range(len(node.values)):
                rest = node.values[:k] + node.values[k + 1 :]
                yield f"{line}: {ast.unparse(node)} without part {k}", (node, "values", rest)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            twice = ast.UnaryOp(ast.Not(), node.operand)
            yield f"{line}: {ast.unparse(node)} without not", (node, "operand", twice)
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            yield f"{line}: constant {node.value} + 1", (node, "value", node.value + 1)
        elif isinstance(node, ast.Constant) and type(node.value) is bool:
            yield f"{line}: constant {node.value}", (node, "value", not node.value)
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name in SWAPPED:
                yield (
                    f"{line}: {ast.unparse(node)} {SWAPPED[name]}",
                    (node.func, "id", SWAPPED[name]),
                )
            if name in ("sorted", "reversed"):
                yield (
                    f"{line}: {ast.unparse(node)} dropped",
                    (node, "func", ast.Name("list", ast.Load())),
                )
                if node.keywords:
                    yield f"{line}: {ast.unparse(node)} unkeyed", (node, "keywords", [])
        elif isinstance(node, ast.IfExp):
            yield f"{line}: {ast.unparse(node)} if", (node, "test", ast.Constant(True))
            yield f"{line}: {ast.unparse(node)} else", (node, "test", ast.Constant(False))
        elif isinstance(node, ast.If | ast.While):
            if isinstance(node, ast.If):
                yield (
                    f"{line}: if {ast.unparse(node.test)} always",
                    (node, "test", ast.Constant(True)),
                )
            yield f"{line}: if {ast.unparse(node.test)} never", (node, "test", ast.Constant(False))
        for name in ("body", "orelse"):
            block = getattr(node, name, None)
            if not isinstance(block, list) or isinstance(node, ast.Module | ast.ClassDef):
                continue
            for k, statement in enumerate(block):
                plain = isinstance(statement, ast.Expr) and not isinstance(
                    statement.value, ast.Constant
                )
                assign = isinstance(statement, ast.Assign) and not isinstance(
                    statement.targets[0], ast.Name
                )
                jump = isinstance(statement, ast.Break | ast.Continue)
                if plain or assign or jump or isinstance(statement, ast.AugAssign | ast.Delete):
                    yield (
                        f"{statement.lineno}: without {ast.unparse(statement)}",
                        (block, k, ast.Pass()),
                    )


def edited(tree: ast.AST, change: Any) -> str:
    """The module's text after an edit."""
    holder, at, value = change
    before = holder[at] if isinstance(holder, list) else getattr(holder, at)
    put(holder, at, value)
    text = ast.unparse(tree)
    put(holder, at, before)
    return text


def put(holder: Any, at: Any, value: Any) -> None:
    """Sets an item or an attribute."""
    if isinstance(holder, list):
        holder[at] = value
    else:
        setattr(holder, at, value)


class Edited(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from another text."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=f"edited {fullname}")

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.text, f"edited {self.name}", "exec"), module.__dict__)


def first_finding() -> str:
    """The first scheduler finding of `lineclear check --fast`, or "". Walks, small worlds."""
    from lineclear.checks.behaviours import behaviours
    from lineclear.checks.stage import Context, Stage, run_stage
    from lineclear.checks.walks import walks

    for name, run in (("scheduler", walks), ("behaviours", behaviours)):
        outcome = run_stage(Stage(name, run), Context("fast"))
        if outcome.status != "passed":
            return (
                f"{outcome.findings[0].code} {outcome.findings[0].title}"
                if outcome.findings
                else name
            )
    return ""


def forget() -> None:
    """What a test has imported already is imported anew, or the edited text is never run."""
    for name in [
        name for name in sys.modules if name.split(".")[0] in ("lineclear", "lineclear_spec")
    ]:
        del sys.modules[name]


def judged(module: str, text: str, find: Callable[[], str] = first_finding) -> tuple[str, float]:
    """The finding with the module replaced, in a separate process, and its CPU seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS + 1))
        try:
            forget()
            sys.meta_path.insert(0, Edited(module, text))
            found = find()
        except BaseException as error:
            found = f"import: {type(error).__name__}: {error}"
        os.write(writing, found.encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    _, status, usage = os.wait4(child, 0)
    if os.WIFSIGNALED(status):
        answer = "never ends"
    return answer, usage.ru_utime + usage.ru_stime


def main(arguments: list[str]) -> None:
    """Tries the edits of some files; of a share of them with `--part K/N`, at most so many with `--most`."""
    share, of = 0, 1
    most = 10**9
    if "--part" in arguments:
        at = arguments.index("--part")
        share, of = map(int, arguments[at + 1].split("/"))
        del arguments[at : at + 2]
    if "--most" in arguments:
        at = arguments.index("--most")
        most = int(arguments[at + 1])
        del arguments[at : at + 2]
    import numpy  # noqa: F401 - loaded once, for every child

    todo: list[tuple[str, str, str, Any, Any]] = []
    for file in arguments:
        path = ROOT / file
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts[1:])
        tree = ast.parse(path.read_text())
        todo += [(file, module, what, tree, change) for what, change in edits_of(tree)]
    random.Random(1).shuffle(todo)
    survivors = 0
    mine = todo[share::of][:most]
    for k, (file, module, what, tree, change) in enumerate(mine):
        text = edited(tree, change)
        started = time.monotonic()
        found, cpu = judged(module, text)
        survivors += not found
        verdict = "red  " if found else "GREEN"
        wall = time.monotonic() - started
        print(
            f"{k}/{len(mine)} {verdict} {cpu:5.1f} s {wall:5.1f} {file}:{what[:110]} | {found[:90]}",
            flush=True,
        )
    print(f"{survivors} of {len(mine)} green")


if __name__ == "__main__":
    main(sys.argv[1:])
