"""What an action says of itself: its sentence, guards and effects, read from its source.

Guarantees: guards and effects are the text of the function that runs, so no second description can part from it.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineclear_spec.actions import Action
from lineclear_spec.kernel.lifecycle import EVENTS, Phase


@dataclass(frozen=True, slots=True)
class Description:
    """One action in words and in source text.

    Attributes:
        name: the function's name.
        parameters: names of the arguments after the ledger.
        sentence: what it does.
        event: the lifecycle's event, or an empty text.
        sources: the phases in which the event may happen; empty without an event.
        target: the phase that the event leads to; None without an event.
        guards: each conjunct as (its formula, what it says).
        effects: the lines after `# EFFECT`.
        file: the source file, from the package's folder on.
        line: where the function begins.
    """

    name: str
    parameters: tuple[str, ...]
    sentence: str
    event: str
    sources: tuple[Phase, ...]
    target: Phase | None
    guards: tuple[tuple[str, str], ...]
    effects: tuple[str, ...]
    file: str
    line: int


def describe(action: Action) -> Description:
    """Reads one action's source.

    Raises:
        ValueError: the action lacks `# GUARD` or `# EFFECT`, or a guard without its sentence.
    """
    lines, first = inspect.getsourcelines(action.body)
    source = textwrap.dedent("".join(lines))
    if "# GUARD\n" not in source or "# EFFECT\n" not in source:
        raise ValueError(f"action {action.name} needs a '# GUARD' and an '# EFFECT' section")
    effects = textwrap.dedent(source.split("# EFFECT\n", 1)[1]).splitlines()
    sources, target = EVENTS[action.event] if action.event else (frozenset[Phase](), None)
    skipped = next(index for index, line in enumerate(lines) if line.lstrip().startswith("def "))
    return Description(
        name=action.name,
        parameters=action.parameters,
        sentence=action.sentence,
        event=action.event or "",
        sources=tuple(sorted(sources)),
        target=target,
        guards=guards_of(action.name, source),
        effects=tuple(line.rstrip() for line in effects if line.strip()),
        file=source_file(action.body),
        line=first + skipped,
    )


def source_file(body: Callable[..., Any]) -> str:
    """Where the function stands, without the folders that differ between machines."""
    parts = Path(inspect.getsourcefile(body) or "").parts
    first = parts.index("lineclear_spec") if "lineclear_spec" in parts else len(parts) - 2
    return "/".join(parts[first:])


def guards_of(name: str, source: str) -> tuple[tuple[str, str], ...]:
    """The conjuncts `ledger.require(formula, sentence)` in the order in which they are tried."""
    found: list[tuple[int, str, str]] = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr != "require":
            continue
        match node.args:
            case [formula, ast.Constant(value=str(sentence))]:
                found.append((node.lineno, ast.unparse(formula), sentence))
            case _:
                raise ValueError(f"a guard of action {name} (line {node.lineno}) has no sentence")
    return tuple((formula, sentence) for _, formula, sentence in sorted(found))
