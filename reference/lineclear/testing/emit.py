"""A finding as a regression test for the user, and as an event log.

Guarantees: the test fails while the scheduler breaks the rule and passes once it does not; it
needs nothing but lineclear and the scheduler.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO

from lineclear.conform import Writer
from lineclear.testing.failure import Action, Failure
from lineclear.testing.judge import header_of
from lineclear.testing.machine import replay
from lineclear.testing.protocol import Make


def emit_test(
    target: str, failure: Failure, actions: Iterable[Action], again: str, commit: str = ""
) -> str:
    """The source of a test.

    Args:
        target: the scheduler, as `lineclear test` takes it.
        failure: the current failure.
        actions: the trace; replaying it adds steps until every request has ended.
        again: the command that found it.
        commit: commit of the scheduler's sources, or "".
    """
    name = re.sub(r"\W+", "_", f"{failure.rule}").strip("_")
    # In the docstring a backslash would begin an escape, and three quotes would end it.
    message = failure.message.replace("\\", "/").replace('"""', "'''")
    lines = ",\n".join(f"    {action!r}" for action in actions)
    found = f"Found by `{again}`" + (f" at commit {commit}." if commit else ".")
    module, _, function = target.rpartition(":")
    if module.endswith(".py") or "/" in module:
        imported = "from lineclear.testing import replay, scheduler"
        make = f"scheduler({target!r})"
    else:
        imported = f"from {module} import {function}\n\nfrom lineclear.testing import replay"
        make = function
    return f'''"""A scheduler breaks the rule {failure.rule}.

{message}

{found}
"""

{imported}

ACTIONS = [
{lines},
]


def test_{name}() -> None:
    replay({make}, ACTIONS)
'''


def write_log(file: TextIO, make: Make, actions: Iterable[Action]) -> None:
    """Repeats the actions and writes their events as a log, up to the one that breaks a rule."""
    write = Writer(file, header_of(make().limits))
    with suppress(Failure):
        replay(make, actions, record=write)
