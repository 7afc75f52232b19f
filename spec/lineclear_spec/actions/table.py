"""The table itself: one row for each action, entered by a decorator.

Guarantees: the prover runs `Action.body`; a caller gets `body` plus the journal, which records an action once
it has happened, and only then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lineclear_spec.kernel.records import Refused
from lineclear_spec.logic import add_once


@dataclass(frozen=True, slots=True)
class Action:
    """One row of the table.

    Attributes:
        name: the function's name, as the journal and every tool print it.
        event: the lifecycle's event, or None if no phase changes.
        body: guard and effect, over any ledger.
        parameters: names of the arguments after the ledger.
    """

    name: str
    event: str | None
    body: Callable[..., Any]
    parameters: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What the action does, in one sentence: the first paragraph of its docstring."""
        return " ".join((self.body.__doc__ or "").split("\n\n")[0].split())


ACTIONS: dict[str, Action] = {}


def action(event: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function into the table; the journal, if there is one, gets every run of it that returns. The
    action is called with positional arguments alone, as the journal keeps them.
    """

    def enter(body: Callable[..., Any]) -> Callable[..., Any]:
        name = body.__name__
        code = body.__code__
        row = Action(name, event, body, code.co_varnames[1 : code.co_argcount])
        add_once(ACTIONS, name, row)

        @functools.wraps(body)
        def run(ledger: Any, *arguments: Any) -> Any:
            try:
                result = body(ledger, *arguments)
            except Refused as refused:
                refused.call = f"{name}({', '.join(map(repr, arguments))})"
                raise
            if (journal := ledger.journal) is not None:
                journal(name, arguments)
            return result

        return run

    return enter
