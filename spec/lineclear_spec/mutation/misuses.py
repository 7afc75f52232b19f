# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false
"""Block steps that misuse an operator, each against one precondition of it.

Guarantees: the other preconditions hold, so that the one that is broken is the one that must not be proved.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import z3

from lineclear_spec.kernel import blocks
from lineclear_spec.kernel.methods import Kernel
from lineclear_spec.kernel.records import CPU
from lineclear_spec.proof.obligations import build
from lineclear_spec.proof.prove import prove_unit
from lineclear_spec.symbolic.state import Int
from lineclear_spec.symbolic.vectors import Vector


def gives(ledger: Any, size: int, block_id: Any) -> None:
    """Frees so many block ids that are all this one, where the CPU pool has a free block."""
    one = Vector(ledger, Int, z3.IntVal(size), lambda _: block_id, lambda _: z3.IntVal(0))
    ledger.branch(ledger.cpu.free >= 1, lambda: ledger.cpu.put(one, ledger.issued))


def free_one(ledger: Any, sequence: Any) -> None:
    """Frees a block id that is free."""
    gives(ledger, 1, ledger.state.order(CPU, ledger.state.free(CPU) - 1))
    blocks.clear_table(ledger, sequence)


def twice(ledger: Any, sequence: Any) -> None:
    """Frees one block id twice."""
    gives(ledger, 2, z3.IntVal(0))
    blocks.clear_table(ledger, sequence)


def unchecked(_: object) -> None:
    """The source is not looked at: the misuse itself is to be refused."""


def places_given_up() -> Iterator[tuple[str, str]]:
    """Each misuse by name, and what the prover accepted of it, "" if nothing."""
    for name, step, label in (
        ("a free block is freed", free_one, "the block ids to be freed are in use"),
        ("a block id is freed twice", twice, "no element is there twice"),
    ):
        with (
            patch.object(Kernel, "clear_table", step),
            patch("lineclear_spec.language.dialect.check_action", unchecked),
        ):
            unit = build("clear_table")
        unit.goals = [goal for goal in unit.goals if goal.label == label]
        statuses = {result.status for result in prove_unit(unit)}
        accepted = "it is proved, or not asked, that this never happens"
        yield name, "" if statuses - {"proved"} else accepted
