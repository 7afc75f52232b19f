"""The bounds that theorems of policies state: each as a formula, and as a number for one case.

Guarantees: a number follows from settings, parameters of the policy and sizes of requests, never from a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lineclear.config import Config
from lineclear.policies.units import Exact, exact
from lineclear.theorems.starvation import (
    Sizes,
    formula_of_a_token,
    formula_of_the_first,
    letters,
    steps_of_the_first,
    steps_to_a_token,
)
from lineclear.workload.workload import Arrival, Workload


@dataclass(frozen=True, slots=True)
class Bound:
    """The quantity that a theorem bounds.

    Attributes:
        formula: with the letters of `starvation.py`, and names of parameters.
        number: the same for this case, of service without rounding; None if that needs a workload.
        unit: what is counted.
        where: values of the letters and names of the formula.
    """

    formula: str
    number: float | Fraction | None
    unit: str
    where: tuple[tuple[str, float | Fraction], ...] = ()


@dataclass(frozen=True, slots=True)
class BoundInputs:
    """The inputs of a bound.

    Attributes:
        config: the settings.
        policy: made with its options.
        sizes: of the requests; without a workload the largest that the settings let in.
        workload: whose requests they are, if there is one.
    """

    config: Config
    policy: Any
    sizes: Sizes
    workload: Workload | None


def cap(config: Config, arrival: Arrival) -> int:
    """Tokens that a sequence may generate, as submitted."""
    return max(1, min(arrival.max_tokens, config.max_model_len - arrival.prompt_tokens))


def sizes_of(config: Config, workload: Workload | None) -> Sizes:
    """The largest sizes of the workload's requests; of any that the settings let in without one.

    What a request really generates counts, as far as it may: nothing is proved that would need more.
    """
    longest = config.max_model_len
    if workload is None:
        return Sizes(longest, longest - 1, longest - 1, config.max_num_seqs)
    taken = [r for r in workload.requests if r.prompt_tokens < longest]  # others are turned away
    if not taken:
        return Sizes(1, 1, 1, 1, 1)
    generated = [min(max(r.output_tokens), cap(config, r)) for r in taken]
    return Sizes(
        max(r.prompt_tokens + most for r, most in zip(taken, generated, strict=True)),
        max(r.prompt_tokens for r in taken),
        max(generated),
        min(config.max_num_seqs, max(r.parallel for r in taken)),
        min(len(taken), workload.users or len(taken)),
    )


def bound_of(theorem: str, case: BoundInputs) -> Bound | None:
    """The bound that a theorem states, None if it states none.

    Args:
        theorem: its name, such as aging.P9; if it does not hold there is no bound to ask for.
        case: settings and sizes.
    """
    policy, _, label = theorem.partition(".")
    # T1 counts steps of the first in an order by which requests are both admitted and served, and which does not
    # change: hybrid admits by another one, mlfq's changes, and of tenants (vtc, drr) each has its own.
    found = BOUNDS.get(theorem) or BOUNDS.get(label)
    if found is None or (policy in ("hybrid", "vtc", "drr", "mlfq") and found in (first, each)):
        return None
    return found(case)


# ---- of one order ------------------------------------------------------------------------------


def passes(case: BoundInputs) -> Bound:
    """P5: the counter of passes."""
    return Bound("max_bypasses", case.config.max_bypasses, "passes while it waits")


def token(case: BoundInputs) -> Bound:
    """P6a: C6."""
    shares, changes = hasattr(case.policy, "share"), hasattr(case.policy, "review")
    formula = formula_of_a_token(case.config, shares, changes)
    values = letters(case.config, case.sizes, shares)
    return Bound(
        f"C6 = {formula}",
        steps_to_a_token(case.config, case.sizes, shares, changes),
        "steps in a row in which no request keeps a token and no sequence ends",
        tuple(
            [
                (name, values[name])
                for name in ("C", "E", "S", "d")
                if re.search(rf"\b{name}\b", formula)
            ]
        ),
    )


def first(case: BoundInputs) -> Bound:
    """P6b: T1."""
    shares = hasattr(case.policy, "share")
    formula = formula_of_the_first(case.config, case.sizes, shares)
    values = letters(case.config, case.sizes, shares)
    used = re.findall(r"\w+", formula)
    return Bound(
        f"T1 = {formula}",
        steps_of_the_first(case.config, case.sizes, shares),
        "steps of the first in the order",
        tuple((name, value) for name, value in values.items() if name in used),
    )


def each(case: BoundInputs) -> Bound:
    """P7, for a request with finitely many before it: T1 for each of them, and for itself."""
    steps = steps_of_the_first(case.config, case.sizes, hasattr(case.policy, "share"))
    unit = "steps for each of the k before it and for itself"
    return Bound("(k + 1) * T1", steps, unit, (("T1", steps),))


def levels(case: BoundInputs) -> Bound:
    """P9 of aging: the head start of the greatest difference of priority."""
    seconds = case.policy.seconds_per_level
    where = [("seconds_per_level", seconds)]
    number = None
    if case.workload is not None:
        priorities = [r.priority for r in case.workload.requests]
        number = (max(priorities) - min(priorities)) * seconds
        where += [("P_max", max(priorities)), ("P", min(priorities))]
    formula, unit = "(P_max - P) * seconds_per_level", "seconds that who passes comes later"
    return Bound(formula, number, unit, tuple(where))


def lengths(case: BoundInputs) -> Bound:
    """P9 of shortest job first with aging: the head start of the greatest difference of length."""
    seconds = case.policy.seconds_per_token
    shortest, longest = 0, case.sizes.generated
    if case.workload is not None:
        predictions = [predicted(case.config, r) for r in case.workload.requests]
        shortest, longest = min(predictions), max(predictions)
    where = (("longest", longest), ("shortest", shortest), ("seconds_per_token", seconds))
    return Bound(
        "(longest - shortest) * seconds_per_token",
        (longest - shortest) * seconds,
        "seconds that who passes comes later",
        where,
    )


def predicted(config: Config, arrival: Arrival) -> int:
    """The guess, at most the submitted limit, or that limit."""
    most, guess = cap(config, arrival), arrival.predicted_tokens
    return most if guess is None else min(guess, most)


def ceiling(case: BoundInputs) -> Bound:
    """Later arrivals that one may be passed by."""
    policy = case.policy
    where = (("ceiling", policy.ceiling), ("levels", policy.levels))
    number = policy.ceiling * (policy.levels - 1)
    return Bound("ceiling * (levels - 1)", number, "later arrivals before it", where)


# ---- of tenants --------------------------------------------------------------------------------


def charged(case: BoundInputs) -> tuple[int, int, int]:
    """Longest prompt and output, and sequences that run at once.

    A sequence that stops before it must is charged for the step that is in flight then, too.
    """
    flying = 0 if case.workload is None else case.config.max_steps_in_flight - 1
    return case.sizes.prompt, case.sizes.generated + flying, case.config.max_num_seqs


def debt(case: BoundInputs) -> int:
    """U of the tenant that pays most for a token, in units of the accounts."""
    most: int = case.policy.most_charged(*charged(case))
    return most


def open_at_once(case: BoundInputs) -> tuple[tuple[str, Exact], ...]:
    """U of a tenant of weight 1 and the least weight."""
    policy = case.policy
    most = exact(debt(case) * policy.unit * policy.least_weight)
    return (("U", most), ("w_min", policy.least_weight))


def virtual_time(case: BoundInputs) -> Bound:
    """P12: twice what a tenant may have open."""
    number = case.policy.bound(*charged(case))
    unit = "service that two tenants differ by"
    return Bound("2 * U / w_min", number, unit, open_at_once(case))


def catching_up(case: BoundInputs) -> Bound:
    """P7 of the virtual token counter: requests of another tenant that begin while one waits.

    By I(V) (`policies/virtual_time.py`) the counter of another is no more than U below that of the one that
    waits when it is first let in, and it is let in only while it is not above, which moves by U at most as long
    as no request of the waiting tenant is admitted. Each first admission costs the price of a prompt.
    """
    policy = case.policy
    shortest = 1
    if case.workload is not None:
        shortest = min(r.prompt_tokens for r in case.workload.requests)
    most = max(1, *policy.weights.values()) if policy.weights else 1
    price = exact(Fraction(policy.prompt_price) * shortest)
    where = (*open_at_once(case), ("w_max", most), ("price", price))
    # In units of the accounts `debt` is U / w_min, and the cheapest prompt price / w_max.
    number = 2 * debt(case) // (policy.cheapest.prompt * shortest) + 1
    formula, unit = "2 * U * w_max // (w_min * price) + 1", "that another begins while one waits"
    return Bound(formula, number, unit, where)


def deficit(case: BoundInputs) -> Bound:
    """P13: what turns that differ by one can do."""
    number = case.policy.bound(*charged(case))
    formula, unit = "Q + 2 * (Q + U / w_min)", "service that two tenants differ by"
    return Bound(formula, number, unit, (earned(case), *open_at_once(case)))


def earned(case: BoundInputs) -> tuple[str, Exact]:
    """Q, the quantum, in the prices' unit."""
    return "Q", exact(case.policy.quantum * case.policy.unit)


def rounds(case: BoundInputs) -> Bound:
    """P7 of deficit round robin: turns that pay the greatest debt back, and the one with credit.

    Between two turns of a tenant that waits every other tenant has one at most.
    """
    number = debt(case) // case.policy.quantum + 1
    where = (earned(case), *open_at_once(case))
    return Bound("U // (w_min * Q) + 1", number, "turns of another while one waits", where)


# ---- of a moment -------------------------------------------------------------------------------


def promotion(case: BoundInputs) -> Bound:
    """P7 of the feedback queue: two looks, and then it is the first."""
    steps = steps_of_the_first(case.config, case.sizes)
    where = (("promote_after", case.policy.promote_after), ("T1", steps))
    unit = "steps without a token of the earliest arrival"
    return Bound("2 * promote_after + T1", 2 * case.policy.promote_after + steps, unit, where)


BOUNDS: dict[str, Callable[[BoundInputs], Bound]] = {
    "P5": passes,
    "P6a": token,
    "P6b": first,
    "P7": each,
    "aging.P9": levels,
    "sjf_aging.P9": lengths,
    "ceiling.bypass": ceiling,
    "vtc.P12": virtual_time,
    "vtc.P7": catching_up,
    "drr.P13": deficit,
    "drr.P7": rounds,
    "mlfq.P7": promotion,
}
