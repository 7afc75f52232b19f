"""Theorems of policies: what each one says, what it presumes, and which obligations it rests on.

A policy enters its claims from its own file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lineclear_spec.liveness.premises import PREMISES

#: Stands for every obligation of the table and of the decisions: all but the orders of policies.
TABLE = "table"

#: The unit that runs the scheduler's own methods; part of the table.
ADMISSION = "admission"

#: The premises of progress.
FAIR = tuple([f"F{k}" for k in range(1, 9)])

#: Before the name of a policy: the unit of its order.
ORDER = "order_"


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
        make: the policy, its parameters made by the argument, see `liveness.orders.Unknowns`.
        theorems: what holds, and what fails.
        facts: what the theorems need besides the order being total.
        steps: what the theorems need of the policy's other functions: labelled conditions, of the
            policy and of unknown numbers, see `liveness.orders.Unknowns`.
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
        chain: how the facts begin from which it follows that the order has no infinite descending chain.
        premises: what else that needs; W is then a premise.
        shares: the policy deals out a step's tokens in shares, so that requests enter while the first
            of those that run computes its prompt.
        ranked: those that run have a rank of their own, by which they are served and displaced.
    """
    order = f"{ORDER}{policy}/progress/the order is "
    running = (f"{ORDER}{policy}/progress/the rank is ",) if ranked else ()
    where = "among those that run" if ranked else "in the order"
    displaced = f"{ORDER}{policy}/progress/a displaced request"
    return (
        Theorem(
            f"{policy}.P1",
            "while a request lives a step is issued, unless a request was preempted or a step, a copy, a hold of "
            "cached blocks or a pause has yet to end",
            ("F1", "F5", "F6", "F8"),
            (TABLE,),
            "Progress",
        ),
        Theorem(
            f"{policy}.P2",
            "the head of the queue enters if what a step leaves is enough for it, unless it waits for the end of a "
            "copy or of a pause, or the step preempted a request or left a prompt unfinished",
            ("F2", "F14"),
            (
                DECISION + "a step that did nothing for those that run lets the head in",
                DECISION + "when no request runs no block is kept free",
            ),
            "Order",
        ),
        Theorem(
            f"{policy}.P4",
            "a request enters only if none before it in the order waits, unless it may pass",
            ("F2", "F4"),
            (
                order,
                DECISION + "the first request of all is the head",
                DECISION + "with no bypass no request enters",
            ),
            "Order",
        ),
        Theorem(
            f"{policy}.P4'",
            f"a preempted request comes later {where} than the one it makes room for, or is that one",
            ("F3", "F4"),
            (order, *running, displaced, DECISION + "no request precedes the first in the order"),
            "Order",
        ),
        Theorem(
            f"{policy}.P5",
            "while it waits a request is passed at most `max_bypasses` times",
            ("F4", "F15"),
            (DECISION + "a request is passed at most",),
            "Order",
        ),
        Theorem(
            f"{policy}.P6a",
            "within C6 steps a request keeps a token or a sequence ends, whatever arrives and "
            "wherever in the order it comes",
            (*[f for f in FAIR if shares or f != "F2"], "F12"),
            (TABLE, order, *running, displaced),
            "A token",
        ),
        Theorem(
            f"{policy}.P6b",
            "the first unfinished request in the order comes to its end",
            (*FAIR, *(("W", *premises) if premises else ())),
            (TABLE, order, displaced, *[f"{ORDER}{policy}/progress/{fact}" for fact in chain]),
            "Progress",
        ),
        Theorem(
            f"{policy}.P10",
            "preemption has no cycle: it only goes down an order that does not change",
            ("F3", "F4"),
            (order, *running, displaced, DECISION + "preemption goes down the order"),
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
        (*FAIR, *more),
        (TABLE, f"{ORDER}{policy}/progress/the order is ", f"{ORDER}{policy}/progress/{fact}"),
        "No starvation",
    )


def unchecked(kind: type[Any], **parameters: Any) -> Any:
    """An object with unknown parameters, past a constructor that would compare them."""
    made = object.__new__(kind)
    for name, value in parameters.items():
        setattr(made, name, value)
    return made
