"""Theorems of policies: what each one says, what it presumes, and what it rests on.

Guarantees: a theorem is called proved only if each obligation that it rests on, by exact key, was
asked and proved; one that was not asked makes it "not asked". Its premises say who sees to them. It knows
nothing about solvers, nor about any policy: a policy enters its claims from its own file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = [
    "CLAIMS",
    "PREMISES",
    "TABLE",
    "Claims",
    "Fact",
    "Premise",
    "Standing",
    "Theorem",
    "claim",
    "ends_by",
    "expand",
    "of_any_order",
    "standings",
    "unchecked",
]

#: Stands for every obligation of the table and of the decisions: all but the orders of policies.
TABLE = "table"

#: The unit that runs the scheduler's own methods; part of the table.
ADMISSION = "admission"

#: Before the name of a policy: the unit of its order.
ORDER = "order_"


@dataclass(frozen=True, slots=True)
class Premise:
    """What a theorem presumes.

    Attributes:
        name: F1 and on, of the scheduler; A1 and on, of what callers say.
        sentence: what is presumed.
        seen_to: guard, monitored or assumed.
        where: the guard, the monitor, or why nothing sees to it.
    """

    name: str
    sentence: str
    seen_to: str
    where: str


PREMISES: dict[str, Premise] = {
    premise.name: premise
    for premise in (
        Premise(
            "F1",
            "a request fits alone into the empty pool and into every budget",
            "guard",
            "`submit` and the invariant `fits`; `progress.kept_free` waives the watermark when "
            "nobody runs. That a group shares the full blocks of its prompt is monitored: "
            "`Counters.preempted_alone`",
        ),
        Premise(
            "F2",
            "nobody behind the head of the queue enters before it",
            "guard",
            "`progress.may_be_passed` and one heap in the policy's order; off if `bypass` is above "
            "0 (then bounded) or with `swapped_first`",
        ),
        Premise(
            "F3",
            "whoever gives way comes later in the order than the one it gives way to, or is it",
            "guard",
            "`progress.behind`, asked in `step.py` of every victim that a rule names",
        ),
        Premise(
            "F4",
            "a request keeps its place in the order for as long as it lives",
            "guard",
            "`Entry.order` is made once, on arrival; a policy that fails is replaced by the order "
            "of arrival, which is counted: `policy_failures`",
        ),
        Premise(
            "F5",
            "tokens are dealt in the policy's order, and every decode gets one",
            "monitored",
            "the budget is a guard: `Config` demands max_num_batched_tokens >= max_num_seqs * "
            "(1 + num_lookahead_slots), `progress.chunk` deals; the order of dealing is `step.py`'s, "
            "and `Watch` raises an alarm if the first request does not advance",
        ),
        Premise(
            "F6",
            "preempting is always possible",
            "guard",
            "`recompute` asks only that the request runs and is not in the step being built; "
            "`swap_out` falls back to it",
        ),
        Premise(
            "F7",
            "preempting loses no token that was generated",
            "guard",
            "proved of every action: ranking, 'no token that is known is forgotten'",
        ),
        Premise(
            "F8",
            "the environment answers: steps are committed, copies end, and only finitely many fail",
            "monitored",
            "`stall_report` names what is not answered; `Counters.failed_copies` counts; lengths "
            "are finite by `submit`, a step that is issued computes a token by `issue_step`",
        ),
        Premise(
            "F9",
            "a tenant's requests are first admitted in the order of their arrival, so that those "
            "that were admitted and have not ended never have more sequences than run at once",
            "guard",
            "`TenantQueue` asks one heap for each tenant, whose order is proved to be that of arrival; "
            "off if `bypass` is above 0",
        ),
        Premise(
            "F10",
            "a tenant is charged for its prompts once, and for no more tokens than its requests "
            "may generate",
            "monitored",
            "`Entry.started` charges a prompt once; a sampled token is charged when its step is "
            "issued, and one that a failed copy loses is charged again: `Counters.failed_copies`; off "
            "with two steps in flight and swaps, as a recompute may lose it too while its copy in is "
            "under way, and with drafts, as a step is charged as one token",
        ),
        Premise(
            "F11",
            "who waits is looked at again when the policy asked for it, and where it stands changes "
            "only then",
            "guard",
            "`Advice.look_again` on arrival, start, stop and when the steps have gone by",
        ),
        Premise(
            "F12",
            "a request that entered by displacing others is not displaced before it has kept a token",
            "guard",
            "`progress.may_be_displaced`, asked in `step.py` of every candidate",
        ),
        Premise(
            "F13",
            "between two looks at a request it learns at most one token for each step that was issued",
            "guard",
            "without drafts and with one step in flight, as is the default (`num_lookahead_slots`, "
            "`depth`); otherwise a level is that of the last look, and the request may have used up its "
            "quantum since",
        ),
        Premise(
            "W",
            "the order has no infinite descending chain: there is no endless series of arrivals each "
            "of which comes before the one before it",
            "assumed",
            "it follows from A1 and A2 (aging), A2 (priority), A1 and A3 (edf), A1 (sjf_aging and "
            "lpl_aging); it is proved, and so no premise, where the order is that of arrival, of "
            "lengths, or bounded by either (fcfs, fair, ceiling, sjf, lpl, and the rank of hybrid, vtc "
            "and drr)",
        ),
        Premise(
            "A1",
            "finitely many requests have an arrival time before any given moment",
            "assumed",
            "`arrival_time` is the caller's word; a clock that stands still breaks it",
        ),
        Premise(
            "A2",
            "priorities have a greatest one",
            "assumed",
            "`priority` is the caller's word, and any whole number up to 10**300",
        ),
        Premise(
            "A3",
            "a deadline is not before the arrival, and every request has one",
            "assumed",
            "`deadline` is the caller's word, and may be left out",
        ),
        Premise(
            "A4",
            "finitely many tenants ever have a request",
            "assumed",
            "`tenant` is the caller's word, and a new name costs nothing",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Theorem:
    """One property of one policy.

    Attributes:
        name: the policy's name and the property's, such as fcfs.P6.
        sentence: what holds, in one sentence.
        premises: names of the premises.
        rests_on: obligations, as unit/kind/label or a beginning of it; TABLE for all but orders.
            `expand` makes exact keys of them.
        induction: the paper argument that joins them, by its heading in docs/trust.md.
        holds: False for a property that fails: then the obligations show how.
    """

    name: str
    sentence: str
    premises: tuple[str, ...]
    rests_on: tuple[str, ...]
    induction: str = ""
    holds: bool = True


@dataclass(frozen=True, slots=True)
class Fact:
    """What a policy claims of its order, for any two requests.

    Attributes:
        label: one sentence.
        predicate: of two candidates, each with the fields of a request, `arrival` (its number)
            and an `order` and a `rank` to compare; written with `lineclear_spec.logic`. A third argument is
            the policy, with its unknown parameters.
    """

    label: str
    predicate: Callable[[Any, Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Claims:
    """What one policy claims.

    Attributes:
        policy: its name.
        make: the policy, its parameters made by the argument, see `orders.Unknowns`.
        theorems: what holds, and what fails.
        facts: what the theorems need besides the order being total.
        steps: what the theorems need of the policy's other functions: labelled conditions, of the
            policy and of numbers that nobody knows, see `orders.Unknowns`.
        runs: the functions of the policy that `steps` runs on formulas; their source is checked.
        changes: the order is one of a moment, because a key reads how far a request has come.
    """

    policy: str
    make: Callable[[Any], Any]
    theorems: tuple[Theorem, ...]
    facts: tuple[Fact, ...] = ()
    steps: Callable[[Any, Any], list[tuple[str, Any]]] | None = None
    runs: tuple[Callable[..., Any], ...] = ()
    changes: bool = False


CLAIMS: dict[str, Claims] = {}
DECISION = "decisions/progress/"


def of_any_order(
    policy: str,
    chain: tuple[str, ...] = (),
    premises: tuple[str, ...] = (),
    shares: bool = False,
    ranked: bool = False,
) -> tuple[Theorem, ...]:
    """What holds of every policy whose order is total and kept for life.

    Args:
        policy: whose.
        chain: how the facts begin from which it follows that the order has no infinite descending
            chain.
        premises: what else that needs; W is then a premise.
        shares: the policy deals out a step's tokens in shares, so that requests enter while the first
            of those that run computes its prompt.
        ranked: those that run have a rank of their own, by which they are served and displaced.
    """
    order = f"{ORDER}{policy}/progress/the order is "
    running = (f"{ORDER}{policy}/progress/the rank is ",) if ranked else ()
    where = "among those that run" if ranked else "in the order"
    displaced = f"{ORDER}{policy}/progress/whoever is displaced"
    return (
        Theorem(
            f"{policy}.P1",
            "while a request lives a step is issued, unless a step or a copy is in flight or somebody "
            "gave way",
            ("F1", "F5", "F6", "F8"),
            (TABLE,),
            "Progress",
        ),
        Theorem(
            f"{policy}.P2",
            "the head of the queue enters if what a step leaves is enough for it, unless the step "
            "made somebody give way or left a prompt unfinished",
            ("F2",),
            (
                DECISION + "a step that did nothing for those that run lets the head in",
                DECISION + "when nobody runs no block is kept free",
            ),
            "Order",
        ),
        Theorem(
            f"{policy}.P4",
            "a request enters only if nobody before it in the order waits, unless it may pass",
            ("F2", "F4"),
            (
                order,
                DECISION + "whoever is first of all is the head",
                DECISION + "with no bypass nobody enters",
            ),
            "Order",
        ),
        Theorem(
            f"{policy}.P4'",
            f"whoever gives way comes later {where} than the one it gives way to, or is it",
            ("F3", "F4"),
            (order, *running, displaced, DECISION + "the first in the order is behind nobody"),
            "Order",
        ),
        Theorem(
            f"{policy}.P5",
            "while it waits a request is passed at most `bypass` times",
            ("F4",),
            (DECISION + "a request is passed at most",),
            "Order",
        ),
        Theorem(
            f"{policy}.P6a",
            "within C6 steps a request keeps a token or a sequence ends, whatever arrives and "
            "wherever in the order it comes",
            (
                *("F1", "F2")[: 1 + shares],
                "F3",
                "F4",
                "F5",
                "F6",
                "F7",
                "F8",
                "F12",
            ),
            (TABLE, order, *running, displaced),
            "A token",
        ),
        Theorem(
            f"{policy}.P6b",
            "the first unfinished request in the order comes to its end",
            (
                "F1",
                "F2",
                "F3",
                "F4",
                "F5",
                "F6",
                "F7",
                "F8",
                *(("W", *premises) if premises else ()),
            ),
            (TABLE, order, displaced, *[f"{ORDER}{policy}/progress/{fact}" for fact in chain]),
            "Progress",
        ),
        Theorem(
            f"{policy}.P10",
            "giving way has no cycle: it only goes down an order that does not change",
            ("F3", "F4"),
            (order, *running, displaced, DECISION + "giving way goes down the order"),
            "Order",
        ),
    )


def claim(claims: Claims) -> None:
    """Enters the claims of a policy.

    Raises:
        ValueError: a premise is unknown.
    """
    for theorem in claims.theorems:
        for premise in theorem.premises:
            if premise not in PREMISES:
                raise ValueError(f"{theorem.name}: no premise is called {premise}")
    CLAIMS[claims.policy] = claims


def ends_by(policy: str, fact: str, more: tuple[str, ...] = ()) -> Theorem:
    """No request starves, because a fact about the order bounds when those before it arrived.

    Args:
        policy: whose.
        fact: how the fact begins.
        more: premises about arrivals, besides those of progress.
    """
    return Theorem(
        f"{policy}.P7",
        "every request comes to its end: only those that arrive up to some moment go before it",
        ("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", *more),
        (TABLE, f"{ORDER}{policy}/progress/the order is ", f"{ORDER}{policy}/progress/{fact}"),
        "No starvation",
    )


def unchecked(kind: type[Any], **parameters: Any) -> Any:
    """An object with parameters that nobody knows, past a constructor that would compare them."""
    made = object.__new__(kind)
    for name, value in parameters.items():
        setattr(made, name, value)
    return made


@dataclass(frozen=True, slots=True)
class Standing:
    """How a theorem stands.

    Attributes:
        theorem: its name.
        sentence: what it says.
        holds: False if it says that a property fails.
        premises: name -> guard, monitored or assumed.
        obligations: how many it rests on.
        status: proved; refuted or unknown, if one of its obligations is; else not asked, if one of
            them was not.
        missing: keys of those that are refuted or unknown.
        not_asked: keys of those that were not asked.
        rests_on: keys of those that are not of the table.
        whole_table: whether it rests on every obligation of the table besides.
    """

    theorem: str
    sentence: str
    holds: bool
    premises: Mapping[str, str]
    obligations: int
    status: str
    missing: tuple[str, ...]
    not_asked: tuple[str, ...] = ()
    rests_on: tuple[str, ...] = ()
    whole_table: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON; of what was not asked the number and the first few."""
        return {
            **asdict(self),
            "not_asked": len(self.not_asked),
            "first_not_asked": list(self.not_asked[:FEW]),
        }


#: Keys that are named of many that were not asked.
FEW = 5


def expand(theorem: Theorem, keys: Iterable[str]) -> tuple[str, ...]:
    """The obligations that a theorem rests on, each by its exact key.

    Args:
        theorem: whose `rests_on` names them, or how they begin.
        keys: of every obligation that there is: `obligations.every_key`.

    Raises:
        ValueError: a part of `rests_on` names no obligation that there is, or there is none.
    """
    known = list(keys)
    found: dict[str, None] = {}
    for start in theorem.rests_on:
        mine = [key for key in known if belongs(key, start)]
        if not mine or (
            start == TABLE and not any(key.startswith(f"{ADMISSION}/") for key in mine)
        ):
            raise ValueError(
                f"{theorem.name} rests on {start!r}, and no unit makes an obligation of it"
            )
        found.update(dict.fromkeys(mine))
    if not found:
        raise ValueError(f"{theorem.name} rests on nothing")
    return tuple(found)


def standings(answers: Iterable[tuple[str, str]], keys: Iterable[str]) -> list[Standing]:
    """How every theorem stands.

    Args:
        answers: (unit/kind/label, status) of every obligation that was asked, once for each
            solver and seed.
        keys: of every obligation that there is, asked or not: `obligations.every_key`.
    """
    found: dict[str, set[str]] = {}
    for key, status in answers:
        found.setdefault(key, set()).add(status)
    known = list(keys)
    return [
        standing(theorem, found, expand(theorem, known))
        for claims in CLAIMS.values()
        for theorem in claims.theorems
    ]


def belongs(key: str, start: str) -> bool:
    """Whether an obligation is one of those that `rests_on` names."""
    return not key.startswith(ORDER) if start == TABLE else key.startswith(start)


def standing(theorem: Theorem, answers: Mapping[str, set[str]], keys: tuple[str, ...]) -> Standing:
    """How one theorem stands, which rests on exactly these keys."""
    not_asked = tuple([key for key in keys if not answers.get(key)])
    missing = tuple([key for key in keys if answers.get(key, {"proved"}) - {"proved"}])
    statuses = {status for key in missing for status in answers[key]}
    if "refuted" in statuses:
        status = "refuted"
    elif missing:
        status = "unknown"
    else:
        status = "not asked" if not_asked or not keys else "proved"
    whole = TABLE in theorem.rests_on
    return Standing(
        theorem.name,
        theorem.sentence,
        theorem.holds,
        {name: PREMISES[name].seen_to for name in theorem.premises},
        len(keys),
        status,
        missing,
        not_asked,
        tuple([key for key in keys if not whole or key.startswith(ORDER)]),
        whole,
    )
