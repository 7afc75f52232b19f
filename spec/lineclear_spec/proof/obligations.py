# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What has to be proved, unit by unit: each action, each block step with a contract, the start state, the
arithmetic, the lemmas; the theorem of KV and progress have files of their own.

Guarantees: an obligation is a list of hypotheses and a goal, made by running the very functions of
`actions/` and `kernel/blocks.py` on formulas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import z3

from lineclear_spec.actions import ACTIONS
from lineclear_spec.contracts import CONTRACTS
from lineclear_spec.invariants import CPU, GPU, clauses
from lineclear_spec.kernel import blocks
from lineclear_spec.kv.obligations import KV_UNITS, kv_unit
from lineclear_spec.language import dialect
from lineclear_spec.liveness import ranking
from lineclear_spec.liveness.progress_units import progress_unit, units_of_progress
from lineclear_spec.postconditions import POSTCONDITIONS
from lineclear_spec.proof.lemmas import LEMMAS
from lineclear_spec.symbolic.goals import Goal, Unit, record, several, start_state
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.rounding import arithmetic, background
from lineclear_spec.symbolic.state import (
    CONSTANTS,
    Request,
    Sequence,
    State,
    instance,
    numbering,
    shown,
    stated,
)
from lineclear_spec.symbolic.terms import Misuse, raw

__all__ = ["STEPS", "Goal", "Unit", "build", "units", "units_of_kv"]


#: A block step with a contract, by its unit: two for a step whose target tier is written in the call.
STEPS: dict[str, tuple[str, Callable[[SymbolicLedger], tuple[Any, ...]]]] = {
    "take_blocks": ("take_blocks", lambda s: (record(s, "sequence"), record(s, "num_blocks"))),
    "give_each_one": ("give_each_one", lambda s: (several(s, "due"),)),
    "share_table": (
        "share_table",
        lambda s: (record(s, "parent"), record(s, "child"), record(s, "num_blocks")),
    ),
    "share_cached": ("share_cached", lambda s: (record(s, "sequence"), record(s, "tokens"))),
    "clear_table": ("clear_table", lambda s: (record(s, "sequence"),)),
    "clear_tables": ("clear_tables", lambda s: (record(s, "request"),)),
    "move_blocks_in": ("move_blocks", lambda s: (record(s, "request"), GPU)),
    "move_blocks_out": ("move_blocks", lambda s: (record(s, "request"), CPU)),
    "replace_entry": ("replace_entry", lambda s: (record(s, "sequence"), record(s, "index"))),
}
if unproved := CONTRACTS.keys() - {step for step, _ in STEPS.values()}:
    raise Misuse(
        f"{min(unproved)} is used by its contract, which no unit proves: list it in STEPS"
    )


def units() -> list[str]:
    """Names of everything that is proved; those of policies once `lineclear.policies.load_claims` was called."""
    return [*units_of_kv(), *units_of_progress()]


def units_of_kv() -> list[str]:
    """What the theorem of KV rests on: the units of KV, and those of the whole table."""
    return ["start", "arithmetic", *LEMMAS, *STEPS, *ACTIONS, *KV_UNITS]


def build(name: str, body: Callable[..., Any] | None = None) -> Unit:
    """The obligations of one unit; `body` stands in for the function of an action or of a unit of KV (mutants), and is
    ignored for every other unit.

    Raises:
        Misuse: the function uses Python that is not allowed on formulas (`language.dialect.Forbidden`), treats
            a formula as a value, or guards after it has written.
        KeyError: there is no unit of this name.
    """
    with numbering():  # or names, and with them a solver's luck, depend on what was built before
        return _build(name, body)


def _build(name: str, body: Callable[..., Any] | None) -> Unit:
    """What `build` makes, with whatever names come next."""
    if name == "start":
        return start()
    if name == "arithmetic":
        quotients, facts = arithmetic()
        return Unit(name, quotients, [], [Goal(name, label, 0, fact) for label, fact in facts])
    if name in KV_UNITS:
        return kv_unit(name, body)
    if name in LEMMAS:
        hypotheses, goals = LEMMAS[name]()
        return Unit(name, hypotheses, [], [Goal(kind, label, 0, g) for kind, label, g in goals])
    if name in units_of_progress():
        return progress_unit(name)
    return block_step(name) if name in STEPS else action(name, body)


def action(name: str, body: Callable[..., Any] | None = None) -> Unit:
    """Invariants are preserved, postconditions kept, every primitive's precondition met, and refusals change
    nothing.
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
        [*background(), *[stated(c, before) for c in clauses()]],
        ledger.assumptions,
        [Goal("defined", *rest) for _, *rest in ledger.obligations],
        ledger.guards,
        before,
        ledger.state,
    )
    # True by construction: `require` refuses a guard after a write of a field, and an action may not call the
    # operators that write none (`language/vocabulary.py`).
    refusal = Goal("refusal", "a refused action changes nothing", 0, z3.BoolVal(True))
    unit.goals.append(refusal)
    everything = len(ledger.assumptions)
    after = ledger.state
    for clause in clauses():
        after.reads.clear()
        goal = shown(clause, after)
        frame = ledger.holds_already(clause.name, after)
        unit.goals.append(Goal("preserved", clause.name, everything, None if frame else goal))
    values = [raw(argument) for argument in arguments]
    for label, domains, predicate in POSTCONDITIONS[name](before, after, *values, raw(result)):
        unit.goals.append(Goal("contract", label, everything, instance(domains, predicate)))
    for label, domains, predicate in ranking.ranking(name, before, after, tuple(values)):
        unit.goals.append(Goal("ranking", label, everything, instance(domains, predicate)))
    if ledger.sent and after.fields["steps"] is before.fields["steps"]:
        lost = "what waits is sent where a step is issued, as only its plan has it"
        unit.goals.append(Goal("defined", lost, everything, z3.BoolVal(False)))
    unit.goals = told_apart(sorted(unit.goals, key=lambda g: g.depth))
    return unit


def told_apart(goals: list[Goal]) -> list[Goal]:
    """The goals, each under a name of its own: a precondition that comes up twice is two obligations."""
    met: Counter[tuple[str, str]] = Counter()
    found: list[Goal] = []
    for goal in goals:
        met[goal.kind, goal.label] += 1
        count = met[goal.kind, goal.label]
        found.append(goal if count == 1 else replace(goal, label=f"{goal.label} ({count})"))
    return found


def block_step(name: str) -> Unit:
    """A block step keeps its contract and the step invariants."""
    contract, arguments = STEPS[name]
    dialect.check_action(getattr(blocks, contract))
    ledger = SymbolicLedger(State.arbitrary())
    ledger.prove(contract, *arguments(ledger))
    goals = [Goal(*obligation) for obligation in ledger.obligations]
    return Unit(
        name, background(), ledger.assumptions, told_apart(sorted(goals, key=lambda g: g.depth))
    )


def start() -> Unit:
    """Every invariant holds of the empty ledger, whatever callers ask for later."""
    state = start_state()
    # `Limits` refuses others.
    bounds = [CONSTANTS["max_num_batched_tokens"] >= 0, CONSTANTS["max_num_seqs"] >= 0]
    goals = [Goal("initiation", c.name, 0, shown(c, state)) for c in clauses()]
    q, r, i = z3.Const("q", Sequence), z3.Const("r", Request), z3.Int("i")
    honest = [  # names are the caller's: a name tells how many blocks come before its own
        z3.ForAll(
            [x, i], z3.Implies(z3.And(i >= 0, of(x, i) >= 1), state.preceding(of(x, i)) == i)
        )
        for x, of in ((q, state.block_name), (r, state.prompt_names))
    ]
    return Unit("start", [*background(), *bounds, *honest], [], goals)
