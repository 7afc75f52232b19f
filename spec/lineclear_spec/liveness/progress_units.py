# pyright: basic
"""The units of progress: what the scheduler decides, and the order of each policy that was registered.

Guarantees: the goals are made by running the very functions of `kernel/progress.py` and of policies on formulas; no
action takes part in them.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isfunction
from typing import Any

from lineclear_spec.kernel import progress
from lineclear_spec.kv import salts
from lineclear_spec.language import dialect
from lineclear_spec.language.forbidden_questions import ENTERING_FIELDS, refuse_questions
from lineclear_spec.liveness import admission, decisions, empty_pool, orders
from lineclear_spec.liveness.entering import STEP
from lineclear_spec.liveness.theorems import ADMISSION, CLAIMS, ORDER
from lineclear_spec.symbolic.goals import Goal, Unit

#: Decisions of the scheduler, what holds when no request runs, and of requests of different salts.
PROGRESS: dict[str, Callable[[], tuple[list[Any], list[tuple[str, Any]]]]] = {
    "decisions": decisions.decisions,
    "empty_pool": empty_pool.empty_pool,
    "salts": salts.salts,
}


#: What runs when a request enters, once a scheduler has said so: see `liveness/entering.py`.
ENTERING: dict[str, Callable[[], tuple[list[Any], list[tuple[str, Any]]]]] = {
    ADMISSION: admission.admission,
    "room": admission.exact_room,
}


def units_of_progress() -> list[str]:
    """Names of the units, as far as they were registered.

    The orders of policies, and what runs when a request enters, are registered by those who have them: all of
    them by `lineclear.policies.load_claims()`. Without it these units are not named.
    """
    # Unless a scheduler has said what runs when a request enters, there is nothing to ask of it.
    return [*PROGRESS, *(ENTERING if STEP else ()), *[ORDER + name for name in CLAIMS]]


def progress_unit(name: str) -> Unit:
    """The obligations of one of them."""
    if name in ENTERING:
        own = (STEP[0].have, STEP[0].want, *vars(STEP[0]).values())
        refuse_questions(STEP[0], (*own, *STEP[1:]), fields=ENTERING_FIELDS)
        return of_progress(name, *ENTERING[name]())
    if name in PROGRESS:
        asked = [getattr(progress, one) for one in progress.__all__]
        methods = [progress.Need.covers, progress.Need.__add__, progress.Need.__sub__]
        dialect.check_functions([*filter(isfunction, asked), *methods])
        return of_progress(name, *PROGRESS[name]())
    claims = CLAIMS[name.removeprefix(ORDER)]
    dialect.check_policy(claims.make(orders.Unknowns()), claims)
    return of_progress(name, *orders.order(claims))


def of_progress(name: str, hypotheses: list[Any], goals: list[tuple[str, Any]]) -> Unit:
    """Goals that no action takes part in."""
    return Unit(name, hypotheses, [], [Goal("progress", label, 0, goal) for label, goal in goals])
