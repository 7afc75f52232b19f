# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What has to be proved, unit by unit: each action, each block step with a contract, the start state, the
arithmetic, the lemmas, the theorem of KV, the decisions that progress rests on, and the order of each policy that
was registered.

Guarantees: an obligation is a list of hypotheses and a goal, made by running the very functions of
`actions/`, `blocks.py`, `progress.py` and of policies on formulas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from inspect import isfunction
from typing import Any

import z3

from lineclear_spec import (
    admission,
    blocks,
    decisions,
    dialect,
    empty_pool,
    orders,
    progress,
    ranking,
    salts,
)
from lineclear_spec.actions import ACTIONS
from lineclear_spec.deltas import DELTAS
from lineclear_spec.entering import STEP
from lineclear_spec.goals import Goal, Unit, record, several, start_state
from lineclear_spec.invariants import CPU, GPU, INVARIANTS, clauses
from lineclear_spec.kv_obligations import KV_UNITS, kv_unit
from lineclear_spec.lemmas import LEMMAS
from lineclear_spec.parallel import in_parallel
from lineclear_spec.questions import ENTERING_FIELDS, refuse_questions
from lineclear_spec.state import (
    CONSTANTS,
    Request,
    Sequence,
    State,
    background,
    instance,
    numbering,
    quantify,
)
from lineclear_spec.symbolic import SymbolicLedger
from lineclear_spec.terms import raw
from lineclear_spec.theorems import ADMISSION, CLAIMS, ORDER

__all__ = [
    "ENTERING",
    "PROGRESS",
    "STEPS",
    "Goal",
    "Unit",
    "build",
    "every_key",
    "units",
    "units_of_kv",
]


#: A block step with a contract, by its unit: two for a step whose target tier is written in the call.
STEPS: dict[str, tuple[str, Callable[[SymbolicLedger], tuple[Any, ...]]]] = {
    "take_blocks": ("take_blocks", lambda s: (record(s, "sequence"), record(s, "count"))),
    "give_each_one": ("give_each_one", lambda s: (several(s, "due"),)),
    "share_table": (
        "share_table",
        lambda s: (record(s, "parent"), record(s, "child"), record(s, "count")),
    ),
    "share_cached": ("share_cached", lambda s: (record(s, "sequence"), record(s, "tokens"))),
    "clear_table": ("clear_table", lambda s: (record(s, "sequence"),)),
    "clear_tables": ("clear_tables", lambda s: (record(s, "request"),)),
    "move_blocks_in": ("move_blocks", lambda s: (record(s, "request"), GPU)),
    "move_blocks_out": ("move_blocks", lambda s: (record(s, "request"), CPU)),
    "replace_entry": ("replace_entry", lambda s: (record(s, "sequence"), record(s, "index"))),
}


#: Decisions of the scheduler, what holds when no request runs, and of requests of different salts.
PROGRESS: dict[str, Callable[[], tuple[list[Any], list[tuple[str, Any]]]]] = {
    "decisions": decisions.decisions,
    "empty_pool": empty_pool.empty_pool,
    "salts": salts.salts,
}


#: What runs when a request enters, once a scheduler has said so: see `entering.py`.
ENTERING: dict[str, Callable[[], tuple[list[Any], list[tuple[str, Any]]]]] = {
    ADMISSION: admission.admission,
    "room": admission.exact_room,
}


def units() -> list[str]:
    """Names of everything that is proved, as far as it was registered.

    The orders of policies, and what runs when a request enters, are registered by those who have them: all of
    them by `lineclear.policies.load_claims()`. Without it these units are not named.
    """
    orders = [ORDER + name for name in CLAIMS]
    entering = (
        list(ENTERING) if STEP else []
    )  # no scheduler has said what runs when a request enters
    return [*units_of_kv(), *PROGRESS, *entering, *orders]


def units_of_kv() -> list[str]:
    """What the theorem of KV rests on: the units of KV, and those of the whole table."""
    return ["start", "arithmetic", *LEMMAS, *STEPS, *ACTIONS, *KV_UNITS]


def keys_of(name: str) -> list[str]:
    """Keys of the obligations of one unit, as their answers have them."""
    return [
        f"{name}/{'frame' if goal.formula is None else goal.kind}/{goal.label}"
        for goal in build(name).goals
    ]


def every_key() -> list[str]:
    """Keys of every obligation that there is, whether anybody asks it or not: each unit is made."""
    return list(made_keys(tuple(units())))


@cache
def made_keys(names: tuple[str, ...]) -> tuple[str, ...]:
    """The keys of these units; made once in a process."""
    return tuple([key for found in in_parallel(keys_of, names) for key in found])


def build(name: str, body: Callable[..., Any] | None = None) -> Unit:
    """The obligations of one unit; `body` stands in for the action's function (mutants).

    Raises:
        Misuse: the function uses Python that is not allowed on formulas (`dialect.Forbidden`), treats
            a formula as a value, or guards after it has written.
    """
    with (
        numbering()
    ):  # or the names, and with them a solver's luck, depend on what was built before
        return _build(name, body)


def _build(name: str, body: Callable[..., Any] | None) -> Unit:
    """What `build` makes, with whatever names come next."""
    if name == "start":
        return start()
    if name == "arithmetic":
        return arithmetic()
    if name in KV_UNITS:
        return kv_unit(name, body)
    if name in LEMMAS:
        hypotheses, goals = LEMMAS[name]()
        return Unit(name, hypotheses, [], [Goal(kind, label, 0, g) for kind, label, g in goals])
    if name in ENTERING:
        own = (STEP[0].have, STEP[0].want, *vars(STEP[0]).values())
        refuse_questions(STEP[0], (*own, *STEP[1:]), fields=ENTERING_FIELDS)
        return of_progress(name, *ENTERING[name]())
    if name in PROGRESS:
        asked = [getattr(progress, one) for one in progress.__all__]
        methods = [progress.Need.covers, progress.Need.__add__, progress.Need.__sub__]
        dialect.check_functions([*filter(isfunction, asked), *methods])
        return of_progress(name, *PROGRESS[name]())
    if name.startswith(ORDER):
        claims = CLAIMS[name.removeprefix(ORDER)]
        dialect.check_policy(claims.make(orders.Unknowns()), claims)
        return of_progress(name, *orders.order(claims))
    return block_step(name) if name in STEPS else action(name, body)


def action(name: str, body: Callable[..., Any] | None = None) -> Unit:
    """Invariants are preserved, promises kept, every primitive's precondition met, and refusals
    change nothing.
    """
    row = ACTIONS[name]
    before = State.arbitrary()
    ledger = SymbolicLedger(before.snapshot())
    ledger.start_watching()
    arguments = [record(ledger, parameter) for parameter in row.parameters]
    dialect.check_action(body or row.body)
    result = (body or row.body)(ledger, *arguments)
    unit = Unit(
        name,
        [
            *background(),
            *[quantify(c.domains, lambda *x, c=c: c.predicate(before, *x)) for c in clauses()],
        ],
        ledger.assumptions,
        [Goal("defined", *rest) for _, *rest in ledger.obligations],
        ledger.guards,
        before,
        ledger.state,
    )
    unit.goals.append(
        Goal(
            "refusal",
            "a refused action changes nothing",
            0,
            z3.BoolVal(ledger.unchanged_at_guards),
        )
    )
    everything = len(ledger.assumptions)
    after = ledger.state
    for clause in clauses():
        after.reads.clear()
        goal = instance(clause.domains, lambda *x, c=clause: c.predicate(after, *x))
        frame = ledger.holds_already(clause.name, after)
        unit.goals.append(Goal("preserved", clause.name, everything, None if frame else goal))
    values = [raw(argument) for argument in arguments]
    for label, domains, predicate in DELTAS[name](before, after, *values, raw(result)):
        unit.goals.append(Goal("contract", label, everything, instance(domains, predicate)))
    for label, domains, predicate in ranking.ranking(name, before, after, tuple(values)):
        unit.goals.append(Goal("ranking", label, everything, instance(domains, predicate)))
    unit.goals = told_apart(sorted(unit.goals, key=lambda g: g.depth))
    return unit


def told_apart(goals: list[Goal]) -> list[Goal]:
    """The goals, each under a name of its own: what a function calls twice it owes twice."""
    met: Counter[tuple[str, str]] = Counter()
    found: list[Goal] = []
    for goal in goals:
        met[goal.kind, goal.label] += 1
        count = met[goal.kind, goal.label]
        found.append(goal if count == 1 else replace(goal, label=f"{goal.label} ({count})"))
    return found


def of_progress(name: str, hypotheses: list[Any], goals: list[tuple[str, Any]]) -> Unit:
    """Goals that no action takes part in."""
    return Unit(name, hypotheses, [], [Goal("progress", label, 0, goal) for label, goal in goals])


def block_step(name: str) -> Unit:
    """A block step keeps its contract and the step invariants."""
    contract, arguments = STEPS[name]
    dialect.check_action(getattr(blocks, contract))
    ledger = SymbolicLedger(State.arbitrary())
    ledger.prove(contract, *arguments(ledger))
    goals = [Goal(*obligation) for obligation in ledger.obligations]
    return Unit(
        name,
        background(),
        ledger.assumptions,
        told_apart(sorted(goals, key=lambda g: g.depth)),
    )


def start() -> Unit:
    """Every invariant holds of the empty ledger, whatever callers ask for later."""
    state = start_state()
    # `Limits` refuses others.
    bounds = [CONSTANTS["max_num_batched_tokens"] >= 0, CONSTANTS["max_num_seqs"] >= 0]
    goals = [
        Goal("initiation", c.name, 0, instance(c.domains, lambda *x, c=c: c.predicate(state, *x)))
        for c in clauses()
    ]
    q, r, i = z3.Const("q", Sequence), z3.Const("r", Request), z3.Int("i")
    honest = [  # names are the caller's: a name tells how many blocks come before its own
        z3.ForAll(
            [x, i], z3.Implies(z3.And(i >= 0, of(x, i) >= 1), state.preceding(of(x, i)) == i)
        )
        for x, of in ((q, state.word), (r, state.opening))
    ]
    return Unit("start", [*background(), *bounds, *honest], [], goals)


def arithmetic() -> Unit:
    """The facts assumed of ceil(n / block_size) and floor(n / block_size) hold, for every block size
    of at least 1.

    With quotients f and g of a and b and any block size s: f * s <= a < f * s + s, and likewise
    for b.
    """
    a, b, f, g, m, s = z3.Ints("a b f g m s")
    quotients = [s >= 1, f * s <= a, a < f * s + s, g * s <= b, b < g * s + s]
    goals = [
        ("floor is monotone", z3.Implies(a <= b, f <= g)),
        ("floor of a non-negative number is not negative", z3.Implies(a >= 0, f >= 0)),
        # ceil(n / s) is floor((n + s - 1) / s): with b = a + s - 1 its quotient g is floor((a - 1) / s) + 1
        ("ceil is at least floor", z3.Implies(b == a + s - 1, f <= g)),
        ("ceil is at most floor plus one", z3.Implies(b == a + s - 1, g <= f + 1)),
        ("ceil(n) is floor(n - 1) + 1", z3.Implies(b == a + s, g == f + 1)),
        (
            "positions fit into m blocks just if ceil of them is at most m",
            z3.Implies(b == a + s - 1, (a <= m * s) == (g <= m)),
        ),
        ("room of one block more is a block size more", (m + 1) * s == m * s + s),
        (
            "a slot of a block is a position in it",
            z3.Implies(z3.And(0 <= b - m * s, b - m * s < s), g == m),
        ),
        ("a position is a slot of its block", z3.And(0 <= a - f * s, a - f * s < s)),
        ("ceil(0) is 0", z3.Implies(z3.And(a == 0, b == s - 1), z3.And(f == 0, g == 0))),
    ]
    return Unit(
        "arithmetic", quotients, [], [Goal("arithmetic", label, 0, goal) for label, goal in goals]
    )


def sentence(clause: str) -> str:
    """The English sentence of the invariant that a clause belongs to."""
    return INVARIANTS[clause.split(".")[0]].sentence
