"""Where the scheduler says what runs when a request enters, so that the proof runs it.

Guarantees: `STEP` is the class that was named last, or nothing: then there is no unit `admission`,
and no theorem that rests on it stands.
"""

from __future__ import annotations

from typing import Any

STEP: list[Any] = []


def enters(step: Any, *runs: Any) -> None:
    """Names the class whose `have`, `waits` and `returns` are run on formulas: the room of a step in which
    no request runs.

    Args:
        step: the class.
        runs: what these run, whose source `language/forbidden_questions.py` looks at.
    """
    STEP[:] = [step, *runs]
