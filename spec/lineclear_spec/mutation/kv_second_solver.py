# pyright: basic
"""What is proved of broken tables, by a second solver: cvc5, from the SMT-LIB text alone.

Guarantees: a goal on which T1 and T2 of a broken table rest is `doubted` unless cvc5 answers unsat to its denial, from
premises that the goal may use. It is asked first with those that the proof of Z3 used. A goal that is the same in the
table as it is, whose proof used nothing that is gone, is asked once for all broken tables.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from lineclear_spec.crosscheck.second_solver import ask
from lineclear_spec.crosscheck.smtlib import write
from lineclear_spec.mutation.kv_declared import broken_table
from lineclear_spec.mutation.kv_what_holds import Kept, Sweep, as_it_was, cores, premises_of
from lineclear_spec.mutation.mutants import Mutant
from lineclear_spec.proof.cores import core_of
from lineclear_spec.proof.obligations import Goal, Unit
from lineclear_spec.proof.prove import BUDGET, make_solver
from lineclear_spec.proof.prove import ask as first


def used_by(premises: list[Any], goal: Goal) -> list[Any]:
    """What Z3 uses of the premises; all of them if it does not say."""
    alone = Unit("", premises, [], [replace(goal, depth=0)])
    (core,) = core_of(alone, make_solver(0, BUDGET), first)
    return premises if core is None else [premises[k] for k in core]


def follows(name: str, premises: list[Any], goal: Goal) -> bool:
    """Whether cvc5 proves the goal from the premises.

    Args:
        name: of the unit.
        premises: formulas.
        goal: what is to follow.
    """
    unit = Unit(name, premises, [], [replace(goal, depth=0)])
    return ask(write(unit).text())[0][0] == "unsat"


@cache
def followed(key: tuple[str, str, str]) -> bool:
    """Whether cvc5 proves a goal of the table as it is from what Z3 used."""
    formula, core = cores()[key]
    return follows(key[0], core, Goal(key[1], key[2], 0, formula))


def doubted(mutant: Mutant, row: Kept) -> list[str]:
    """The goals, `unit/kind/label`, on which T1 and T2 of the broken table rest and which cvc5 does not prove.

    Args:
        mutant: the broken table.
        row: what Z3 has proved of it.
    """
    found: list[str] = []
    kept = set(row.weaker), set(row.lost), set(row.unasked), row.tried
    with broken_table(mutant, *kept) as body:
        sweep = Sweep(mutant, set(row.raises))
        for unit in sweep.units(body):
            for goal in unit.goals:
                if not sweep.counts(unit, goal):
                    continue
                key = (unit.name, goal.kind, goal.label)
                if as_it_was(unit, goal) and followed(key):
                    continue
                premises = premises_of(unit, goal)
                few = used_by(premises, goal)
                if not (follows(unit.name, few, goal) or follows(unit.name, premises, goal)):
                    found.append("/".join(key))
    return found
