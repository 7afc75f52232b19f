# pyright: basic
"""A search for a contradiction in what a unit assumes.

Guarantees: one that is found is there; that none is found says little.
"""

from __future__ import annotations

from dataclasses import replace

import z3

from lineclear_spec.proof.obligations import Goal, Unit
from lineclear_spec.proof.prove import prove_unit

#: Resources for each question that is to find a contradiction; one that there is takes few.
SEARCH = 100_000
SEEDS_OF_SEARCH = 4


def contradicts(unit: Unit) -> bool:
    """Whether a contradiction was found in what the unit assumes: then everything would be proved of it.

    False alone is no good question: with no term in it, a solver that works by patterns uses no quantified
    hypothesis. So the negation of each goal is asked, too. Where the goals are proved, the hypotheses imply
    them, and to add one of them adds nothing but its terms. Each is asked with several seeds: where the solver finds
    no pattern it gives up at once, and whether it does depends on the order of the terms that it met.
    """
    depth = max(goal.depth for goal in unit.goals)
    asked = [Goal("control", "false", depth, z3.BoolVal(False))]
    for goal in unit.goals:
        if goal.formula is not None:
            denial = z3.Not(goal.formula)
            asked.append(replace(goal, kind="control", depth=depth, formula=denial))
    alone = Unit(unit.name, unit.hypotheses, unit.assumptions, asked)
    return any(
        result.status == "proved"
        for seed in range(SEEDS_OF_SEARCH)
        for result in prove_unit(alone, seed, budget=SEARCH)
    )
