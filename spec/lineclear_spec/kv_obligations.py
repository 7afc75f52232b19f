# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What has to be proved of KV, unit by unit: each action, the device's own action, the start state.

Guarantees: the actions are those of the table, run once more; what is proved of the table is a hypothesis
here, and nothing that is proved here is a hypothesis there. What is assumed of a device or of a caller is a
premise with a name (`kv_premises.py`), and nothing else is.

There are three parts, and what is proved in one is a hypothesis of the next: which operation wrote what a
place has (`version`), what an operation writes (`history`), and what that is to those who read it (`kv`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import z3

from lineclear_spec import dialect
from lineclear_spec.actions import ACTIONS
from lineclear_spec.device import run
from lineclear_spec.goals import Goal, Unit, record, start_state
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
from lineclear_spec.kv_fields import FAILS, POSITION, SLOT
from lineclear_spec.kv_premises import premises as premises
from lineclear_spec.kv_theorems import learned_from_right_kv, meets_version, reads_right_kv
from lineclear_spec.state import (
    BLOCK_OF,
    BLOCK_SIZE,
    DOMAINS,
    NEED,
    State,
    background,
    quantify,
)
from lineclear_spec.symbolic import SymbolicLedger
from lineclear_spec.symbolic_device import SymbolicDevice
from lineclear_spec.symbolic_kv import being_built, first_position
from lineclear_spec.terms import raw

__all__ = ["KV_UNITS", "PREFIX", "RUN", "kv_unit"]

#: Units: lemmas, the start, the device's action, and every action of the table.
LEMMAS, START, RUN = "kv_lemmas", "kv_start", "kv_run"
PREFIX = "kv_"
KV_UNITS = (LEMMAS, START, RUN, *[PREFIX + name for name in ACTIONS])
VERSION, HISTORY, KV = PARTS = "version", "history", "kv"
#: Invariants of each part.
OF: dict[str, frozenset[str]] = {
    VERSION: frozenset({"device", "version", "memory"}),
    HISTORY: frozenset({"history"}),
    KV: frozenset({"plan", "lies", "holds", "cached", "tokens", "foreseen", "vouched"}),
}
#: Invariants of the table that a part uses besides those of the parts before it: the fewer, the sooner a
#: solver finds what it needs.
USED: dict[str, tuple[str, ...]] = {
    VERSION: ("ordered", "clocks"),
    HISTORY: ("references", "conservation"),
    KV: (
        "pending", "capacity", "group_local", "residency", "members", "catalogue", "own_words", "exclusive_write",
        "free_list", "steady", "words", "tokens_exist", "drafts", "owed", "limit",
    ),
}  # fmt: skip


def own(part: str) -> list[Clause]:
    """The clauses that are proved in a part."""
    return [c for c in kv_clauses() if c.invariant in OF[part]]


def pairs() -> list[tuple[str, Any, list[Any]]]:
    """What is used here of ceil and floor by block size: facts about two numbers that make no other number.

    Each is a label, a formula and its pattern; shown from `background`, whose facts lead from one number to the
    next without end.
    """
    a, b = z3.Ints("a b")
    floor = z3.And(0 <= BLOCK_OF(a), BLOCK_OF(a) <= BLOCK_OF(b))
    return [
        (
            "floor is monotone",
            z3.Implies(z3.And(0 <= a, a <= b), floor),
            [BLOCK_OF(a), BLOCK_OF(b)],
        ),
        (
            "floor grows by at most one",
            z3.Implies(z3.And(0 <= a, 0 <= b, b <= a + 1), BLOCK_OF(b) <= BLOCK_OF(a) + 1),
            [BLOCK_OF(a), BLOCK_OF(b)],
        ),
        (
            "ceil is monotone",
            z3.Implies(z3.And(0 <= a, a <= b), z3.And(0 <= NEED(a), NEED(a) <= NEED(b))),
            [NEED(a), NEED(b)],
        ),
        (
            "floor of a smaller number is below ceil",
            z3.Implies(z3.And(0 <= a, a < b), BLOCK_OF(a) < NEED(b)),
            [BLOCK_OF(a), NEED(b)],
        ),
        (
            "ceil is at least floor",
            z3.Implies(z3.And(0 <= a, a <= b), BLOCK_OF(a) <= NEED(b)),
            [BLOCK_OF(a), NEED(b)],
        ),
        (
            "ceil is at most floor plus one",
            z3.Implies(z3.And(0 <= a, 0 <= b, b <= a + 1), NEED(b) <= BLOCK_OF(a) + 1),
            [BLOCK_OF(a), NEED(b)],
        ),
    ]


def numbers() -> list[Any]:
    """The same, to be used."""
    a, b = z3.Ints("a b")
    facts = [z3.ForAll([a, b], fact, patterns=[z3.MultiPattern(*p)]) for _, fact, p in pairs()]
    return [BLOCK_SIZE >= 1, NEED(0) == 0, BLOCK_OF(0) == 0, *facts]


def slots() -> list[Any]:
    """A position is a slot of a block, and a slot of a block is a position."""
    i, k, s = z3.Ints("i k s")
    at = POSITION(k, s)
    return [
        z3.ForAll(
            [i],
            z3.Implies(
                i >= 0,
                z3.And(0 <= SLOT(i), SLOT(i) < BLOCK_SIZE, POSITION(BLOCK_OF(i), SLOT(i)) == i),
            ),
            patterns=[SLOT(i)],
        ),
        z3.ForAll(
            [k, s],
            z3.Implies(
                z3.And(0 <= k, 0 <= s, s < BLOCK_SIZE),
                z3.And(at >= 0, BLOCK_OF(at) == k, SLOT(at) == s),
            ),
            patterns=[at],
        ),
    ]


def stated(clause: Clause, state: State) -> Any:
    """The clause as a hypothesis about a state."""
    patterns = clause.patterns
    return quantify(
        clause.domains,
        lambda *x: clause.predicate(state, *x),
        (lambda *x: patterns(state, *x)) if patterns else None,
    )


@cache
def hypotheses(part: str) -> tuple[Any, ...]:
    """What is known before, of any state, and was not known to the parts before."""
    state = State.arbitrary()
    found = [stated(c, state) for c in clauses() if c.invariant in USED[part]]
    found += [stated(c, state) for c in own(part)]
    if part == VERSION:
        found += numbers()
    if part == HISTORY:
        found += [FAILS(-1), z3.Not(FAILS(0)), *slots()]
    return tuple(found)


def goal_of(kind: str, label: str, depth: int, domains: tuple[str, ...], fact: Any) -> Goal:
    """An obligation about unknown values of some domains."""
    values = [z3.Const(f"goal.{k}.{d}", DOMAINS[d]) for k, d in enumerate(domains)]
    return Goal(kind, label, depth, fact(*values))


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


def tokens_stay(before: State, ledger: SymbolicLedger) -> Goal:
    """What a sequence knows is never another token: tokens of living sequences are only added."""
    after = ledger.state

    def same(q: Any, i: Any) -> Any:
        known = z3.And(before.alive(q), after.alive(q), within(0, i, before.known(q)))
        return z3.Implies(known, after.token_kv(q, i) == before.token_kv(q, i))

    domains = ("sequence", "position")
    goal = goal_of("contract", "no known token changes", len(ledger.assumptions), domains, same)
    untouched = after.fields["token_kv"] is before.fields["token_kv"]
    return replace(goal, formula=None) if untouched else goal


def kv_unit(name: str, body: Callable[..., Any] | None = None) -> Unit:
    """The obligations of one unit; `body` stands in for the action's function (mutants)."""
    if name == LEMMAS:
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
    values = [raw(argument) for argument in arguments]
    for premise in premises(action, before, ledger.state, values, raw(result)):
        ledger.assume(premise.formula)
    goals: list[Goal] = []
    for part in PARTS:
        if part != VERSION:
            ledger.assumptions += hypotheses(part)
        if part == KV and ledger.rows is not None:
            goals += cuts(ledger, ledger.rows)
        depth = len(ledger.assumptions)
        goals += theorems(part, name, before, values, depth)
        goals += kept(part, ledger)
    goals.append(tokens_stay(before, ledger))
    return Unit(
        name,
        list(hypotheses(VERSION)),
        ledger.assumptions,
        goals,
        ledger.guards,
        before,
        ledger.state,
    )


def only_holder(s: State, q: Any, k: Any) -> Any:
    """Of a block that one entry names, the inverse maps lead to that entry; unit `kv_lemmas`."""
    b = s.table(q, k)
    return z3.Implies(
        z3.And(within(0, k, s.length(q)), s.ref(b) == 1),
        z3.And(s.holder(b, 0) == q, s.index(q, b) == k),
    )


def lemmas() -> Unit:
    """What is used of numbers, and of the inverse maps of tables where one entry names a block."""
    s = State.arbitrary()
    known = [stated(c, s) for c in INVARIANTS["references"].clauses]
    numbered = [(z3.Int(n), z3.Int(f"goal.{n}")) for n in ("a", "b")]
    goals = [
        *[Goal("step", label, 0, z3.substitute(pair, *numbered)) for label, pair, _ in pairs()],
        goal_of(
            "step",
            "the only entry that names a block is found",
            0,
            ("sequence", "index"),
            lambda q, k: only_holder(s, q, k),
        ),
    ]
    return Unit(LEMMAS, [*background(), *known], [], goals)


def cuts(ledger: SymbolicLedger, s: State) -> list[Goal]:
    """What holds of the tables when a plan is written: shown first, then used."""
    after = ledger.state
    goals: list[Goal] = []
    for name in ("capacity", "exclusive_write"):  # proved in the action's own unit
        for clause in INVARIANTS[name].clauses:
            ledger.assume(stated(clause, after))

    def lies(q: Any, k: Any) -> Any:
        b = s.table(q, k)
        p = s.place(b)
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
        return z3.And(here(q, k), BLOCK_OF(first_position(s, q)) <= k)

    def show(label: str, fact: Callable[..., Any]) -> None:
        depth = len(ledger.assumptions)
        goals.append(goal_of("cut", label, depth, ("sequence", "index"), fact))
        use(fact)

    def use(fact: Callable[..., Any]) -> None:
        pattern = lambda q, k: [(s.table(q, k),)]  # noqa: E731
        ledger.assume(quantify(("sequence", "index"), fact, pattern))

    show("a named block lies in its place", lies)
    show(
        "a block of a sequence in the step lies on the GPU",
        lambda q, k: z3.Implies(here(q, k), s.tier(s.table(q, k)) == GPU),
    )
    show(
        "one entry names what the step writes",
        lambda q, k: z3.Implies(written(q, k), s.ref(s.table(q, k)) == 1),
    )
    use(lambda q, k: only_holder(s, q, k))
    return goals


def theorems(part: str, unit: str, v: State, values: list[Any], depth: int) -> list[Goal]:
    """What follows when the device carries out an operation, and when a sample is accepted."""
    if (part, unit) == (VERSION, RUN):
        return [
            goal_of(
                "theorem",
                f"each {name} place that it touches has the version that was decided",
                depth,
                ("place",),
                lambda p, tier=tier: meets_version(v, tier, values[0], p),
            )
            for tier, name in ((GPU, "GPU"), (CPU, "CPU"))
        ]
    if (part, unit) == (KV, RUN):
        reads = ("sequence", "position")
        return [
            goal_of("theorem", "T1", depth, reads, lambda q, i: reads_right_kv(v, values[0], q, i))
        ]
    if (part, unit) == (KV, PREFIX + "sample"):
        return [goal_of("theorem", "T2", depth, (), lambda: learned_from_right_kv(v, *values[:2]))]
    return []


def start() -> Unit:
    """Every invariant of KV holds of the empty ledger and a device that has carried out nothing."""
    state = start_state()
    goals = [
        goal_of("initiation", c.name, 0, c.domains, lambda *x, c=c: c.predicate(state, *x))
        for c in kv_clauses()
    ]
    return Unit(START, background(), [], goals)
