# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What has to be proved of KV, unit by unit: each action, the device's own action, the start state.

Guarantees: the actions are those of the table, run once more; what is proved of the table is a hypothesis
here, and nothing that is proved here is a hypothesis there. What is assumed of a device or of a caller is a
premise with a name (`kv/premises.py`), and nothing else is.

There are three parts, and what is proved in one is a hypothesis of the next: which operation wrote what a
block id has (`version`), what an operation writes (`history`), and what that is to those who read it (`kv`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import z3

from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import (
    CPU,
    GPU,
    INVARIANTS,
    Clause,
    clauses,
    is_free,
    kv_clauses,
    within,
)
from lineclear_spec.kv.device import run
from lineclear_spec.kv.lemmas import UNIT as KV_LEMMAS
from lineclear_spec.kv.lemmas import goal_of, lemmas, only_holder, slots
from lineclear_spec.kv.premises import premises as premises
from lineclear_spec.kv.refinement import Move, move_of, parts
from lineclear_spec.kv.theorems import (
    T2_PARTS,
    Learned,
    clock_learns,
    entry_was_sent,
    learned,
    learns_position,
    meets_version,
    reads_right_kv,
    takes_own_tokens,
)
from lineclear_spec.language import dialect
from lineclear_spec.symbolic.device import SymbolicDevice
from lineclear_spec.symbolic.goals import Goal, Unit, record, start_state
from lineclear_spec.symbolic.kv import being_built
from lineclear_spec.symbolic.kv_fields import FAILS, SAMPLED_BY
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.rounding import background
from lineclear_spec.symbolic.state import BLOCK_OF, State, quantify, stated
from lineclear_spec.symbolic.terms import Misuse, raw

#: Units: lemmas, the start, the device's action, and every action of the table.
START, RUN = "kv_start", "kv_run"
PREFIX = "kv_"
KV_UNITS = (KV_LEMMAS, START, RUN, *[PREFIX + name for name in ACTIONS])
VERSION, HISTORY, KV = PARTS = "version", "history", "kv"
#: Invariants of each part.
OF: dict[str, frozenset[str]] = {
    VERSION: frozenset({"device", "version", "memory"}),
    HISTORY: frozenset({"history"}),
    KV: frozenset({"plan", "lies", "holds", "cached", "tokens", "foreseen", "samples", "vouched"}),
}
#: Invariants of the table that a part uses besides those of the parts before it: the fewer, the sooner a
#: solver finds what it needs.
USED: dict[str, tuple[str, ...]] = {
    VERSION: ("ordered", "clocks"),
    HISTORY: ("references", "conservation"),
    KV: (
        "pending", "capacity", "group_local", "residency", "members", "catalogue", "own_names", "exclusive_write",
        "free_list", "decode_batch", "block_names", "tokens_exist", "drafts", "pending_samples", "limit",
    ),
}  # fmt: skip


def own(part: str) -> list[Clause]:
    """The clauses that are proved in a part."""
    return [c for c in kv_clauses() if c.invariant in OF[part]]


@cache
def hypotheses(part: str) -> tuple[Any, ...]:
    """What is known before, of any state, and was not known to the parts before."""
    state = State.arbitrary()
    found = [stated(c, state) for c in clauses() if c.invariant in USED[part]]
    found += [stated(c, state) for c in own(part)]
    if part == VERSION:
        found += background()
    if part == KV:
        found += [1 <= state.max_steps_in_flight, state.max_steps_in_flight <= 2]
    if part == HISTORY:
        found += [FAILS(-1), z3.Not(FAILS(0)), *slots()]
    return tuple(found)


def kept(part: str, ledger: SymbolicLedger) -> list[Goal]:
    """Every clause of a part afterwards; of one that reads nothing that was written nothing is asked."""
    goals: list[Goal] = []
    after, depth = ledger.state, len(ledger.assumptions)
    for clause in own(part):
        after.reads.clear()
        goal = goal_of(
            "preserved",
            clause.name,
            depth,
            clause.domains,
            lambda *x, c=clause: c.predicate(after, *x),
        )
        goals.append(replace(goal, formula=None) if ledger.unchanged(after) else goal)
    return goals


def refines(
    name: str, ledger: SymbolicLedger, v: State, values: list[Any], result: Any
) -> list[Goal]:
    """The action is a move of the abstract machine; of one that is none and writes nothing that a part reads,
    nothing is asked.

    Args:
        name: of the action.
        ledger: after the action.
        v: the state before.
        values: the arguments.
        result: what the action returns.
    """
    move, new = move_of(name, v, values, result), ledger.state
    goals: list[Goal] = []
    for label, domains, predicate in parts(v, new, move):
        new.reads.clear()
        goal = goal_of("refines", label, len(ledger.assumptions), domains, predicate)
        stays = move == Move() and ledger.unchanged(new)
        goals.append(replace(goal, formula=None) if stays else goal)
    return goals


def kv_unit(name: str, body: Callable[..., Any] | None = None) -> Unit:
    """The obligations of one unit; `body` stands in for the action's function (mutants)."""
    if name == KV_LEMMAS:
        return lemmas()
    if name == START:
        return start()
    action = name.removeprefix(PREFIX)
    before = State.arbitrary()
    ledger = (SymbolicDevice if name == RUN else SymbolicLedger)(before.snapshot())
    ledger.start_watching()
    parameters = ("number",) if name == RUN else ACTIONS[action].parameters
    arguments = [record(ledger, parameter) for parameter in parameters]
    function = body or (run if name == RUN else ACTIONS[action].body)
    if name != RUN:
        dialect.check_action(function)
    result = function(ledger, *arguments)
    if (
        name == RUN and ledger.obligations
    ):  # of an action its own unit asks what is demanded on the way
        raise Misuse(
            f"{RUN} demands {ledger.obligations[0][1]!r}, which no unit asks: make it a premise"
        )
    values = [raw(argument) for argument in arguments]
    for premise in premises(action, before, ledger.state, values, raw(result)):
        ledger.assume(premise.formula)
    goals: list[Goal] = []
    for part in PARTS:
        if part != VERSION:
            ledger.assumptions += hypotheses(part)
        if part == KV and ledger.rows is not None:
            goals += cuts(ledger, ledger.rows)
        goals += theorems(part, name, ledger, before, values, raw(result))
        goals += kept(part, ledger)
    goals += refines(action, ledger, before, values, raw(result))
    return Unit(
        name,
        list(hypotheses(VERSION)),
        ledger.assumptions,
        goals,
        ledger.guards,
        before,
        ledger.state,
    )


def cuts(ledger: SymbolicLedger, s: State) -> list[Goal]:
    """What holds of the tables when a plan is written: shown first, then used. `only_holder` is used of that state, in
    the middle of the action, without asking whether `references` holds there: it does, as only block steps write what
    `references` reads, and each ends with it.
    """
    after = ledger.state
    goals: list[Goal] = []
    for name in ("capacity", "exclusive_write", "sent"):  # proved in the action's own unit
        for clause in INVARIANTS[name].clauses:
            ledger.assume(stated(clause, after))

    def lies(q: Any, k: Any) -> Any:
        b = s.table(q, k)
        p = s.block_id(b)
        return z3.Implies(
            z3.And(within(0, k, s.length(q)), s.tier(b) == GPU),
            z3.And(
                within(0, p, s.total(GPU)),
                z3.Not(is_free(s, GPU, p)),
                s.owner(GPU, p) == b,
                s.ref(b) >= 1,
            ),
        )

    def here(q: Any, k: Any) -> Any:
        return z3.And(being_built(s, q), within(0, k, s.length(q)))

    def written(q: Any, k: Any) -> Any:
        return z3.And(here(q, k), BLOCK_OF(s.first_scheduled(q)) <= k)

    def show(label: str, fact: Callable[..., Any]) -> None:
        depth = len(ledger.assumptions)
        goals.append(goal_of("cut", label, depth, ("sequence", "index"), fact))
        use(fact)

    def use(fact: Callable[..., Any]) -> None:
        pattern = lambda q, k: [(s.table(q, k),)]  # noqa: E731
        ledger.assume(quantify(("sequence", "index"), fact, pattern))

    show("a named block lies at its block id", lies)
    show(
        "a block of a sequence in the step lies on the GPU",
        lambda q, k: z3.Implies(here(q, k), s.tier(s.table(q, k)) == GPU),
    )
    use(lambda q, k: only_holder(s, q, k))
    for label, fact in written_alone(s):
        show(label, lambda q, k, fact=fact: z3.Implies(written(q, k), fact(q, k)))
    show(
        "the entry was sent",
        lambda q, k: z3.Implies(
            here(q, k),
            z3.And(k < s.sent_length(q), s.sent_block_id(q, k) == s.block_id(s.table(q, k))),
        ),
    )
    return goals


def written_alone(s: State) -> list[tuple[str, Callable[..., Any]]]:
    """What holds of the entries into whose blocks a step writes: of each a label, and the fact."""
    return [("one entry names what the step writes", lambda q, k: s.ref(s.table(q, k)) == 1)]


def theorems(
    part: str, unit: str, ledger: SymbolicLedger, v: State, values: list[Any], result: Any
) -> list[Goal]:
    """What follows when the device carries out an operation, and when tokens are accepted.

    Args:
        part: whose facts are known.
        unit: its name.
        ledger: after the action.
        v: the state before.
        values: the arguments.
        result: what the action returns.
    """
    depth = len(ledger.assumptions)
    if (part, unit) == (VERSION, RUN):
        return [
            goal_of(
                "theorem",
                f"each {name} block that it touches has the version that was decided",
                depth,
                ("block_id",),
                lambda p, tier=tier: meets_version(v, tier, values[0], p),
            )
            for tier, name in ((GPU, "GPU"), (CPU, "CPU"))
        ]
    if (part, unit) == (KV, RUN):
        reads = ("sequence", "position")
        return [
            goal_of(
                "theorem", "T1", depth, reads, lambda q, i: reads_right_kv(v, values[0], q, i)
            ),
            goal_of(
                "theorem",
                "T1: plans have sent the entry",
                depth,
                reads,
                lambda q, i: entry_was_sent(v, values[0], q, i),
            ),
        ]
    if part != KV:
        return []
    if unit == PREFIX + "commit_step":  # each sequence in the decode batch learns one token
        return learns(ledger, ("sequence",), lambda q: clock_learns(v, q), v.in_decode_batch)
    x = learned(unit.removeprefix(PREFIX), v, values, result)
    return learns(ledger, (), lambda: x, lambda: z3.BoolVal(True)) if x else []


def learns(
    ledger: SymbolicLedger,
    who: tuple[str, ...],
    of: Callable[..., Learned],
    given: Callable[..., Any],
) -> list[Goal]:
    """T2, of what sequences learn.

    Args:
        ledger: after the action.
        who: domains of the sequences, none if it is one.
        of: what a sequence learns.
        given: whether it learns anything.
    """
    depth, new = len(ledger.assumptions), ledger.state

    def sampled(
        *q: Any,
    ) -> Any:  # q: the sequence, if it is not given, and the position that it learns
        return z3.And(given(*q[:-1]), learns_position(of(*q[:-1]), q[-1]))

    def holds(part: Callable[[Any, Learned, Any], Any]) -> Callable[..., Any]:
        def fact(*q: Any) -> Any:
            x = of(*q[:-1])
            return z3.Implies(sampled(*q), part(new, x, SAMPLED_BY(x.by, q[-1])))

        return fact

    def own(*q: Any) -> Any:
        x = of(*q[:-2])
        n = SAMPLED_BY(x.by, q[-2])
        return z3.Implies(sampled(*q[:-1]), takes_own_tokens(new, x, n, q[-1]))

    who = (*who, "position")
    goals = [
        goal_of("theorem", f"T2: {label}", depth, who, holds(part))
        for label, part in T2_PARTS.items()
    ]
    label = "T2: what it took is what the sequence knows"
    return [*goals, goal_of("theorem", label, depth, (*who, "position"), own)]


def start() -> Unit:
    """Every invariant of KV holds of the empty ledger and a device that has carried out nothing."""
    state = start_state()
    goals = [
        goal_of("initiation", c.name, 0, c.domains, lambda *x, c=c: c.predicate(state, *x))
        for c in kv_clauses()
    ]
    return Unit(START, background(), [], goals)
