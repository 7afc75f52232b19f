"""Bugs to be planted, one for each property of real bugs, and where each must be seen.

Each is planted where a real one would be: in an action, a block step, a primitive of the ledger or a
decision of the scheduler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel import blocks
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.methods import Kernel
from lineclear_spec.kernel.records import Block, Pool, Sequence
from lineclear_spec.language import statements
from lineclear_spec.modelcheck import ghosts
from lineclear_spec.modelcheck.worlds import Bounds
from lineclear_spec.mutation import mutants

Patch = pytest.MonkeyPatch


def guards_without(mutant: mutants.Mutant) -> Callable[[str], Callable[..., None]]:
    """`statements.guards_of` reads the source file, which still has the guard: omit it here."""
    right = statements.guards_of

    def guards_of(name: str) -> Callable[..., None]:
        def guards(ledger: ghosts.GhostLedger, *arguments: Any) -> None:
            try:
                right(name)(ledger, *arguments)
            finally:
                if name == mutant.function and ledger.collecting is not None:
                    ledger.collecting = [g for g in ledger.collecting if g != mutant.text]

        return guards

    return guards_of


def without(name: str) -> Callable[[Patch], None]:
    """The table without this statement."""
    (mutant,) = [m for m in mutants.generate() if m.name == name]

    def plant(patch: Patch) -> None:
        body = mutants.body_of(mutant)
        if mutant.function in ACTIONS:
            patch.setitem(ACTIONS, mutant.function, replace(ACTIONS[mutant.function], body=body))
            patch.setattr(ghosts, "guards_of", guards_without(mutant))
        else:
            patch.setattr(blocks, mutant.function, body)
            if mutant.function in vars(Kernel):
                patch.setattr(Kernel, mutant.function, body)

    return plant


def sharing_is_not_counted(patch: Patch) -> None:
    """A table names a shared block without increasing its reference count."""

    def wrong(sequence: Sequence, blocks: list[Block]) -> None:
        del sequence, blocks

    patch.setattr(Ledger, "count_up", staticmethod(wrong))


def a_place_is_given_up_twice(patch: Patch) -> None:
    """Frees a block twice."""
    right = Pool.put

    def wrong(self: Pool, block_ids: list[int], last_use: int) -> None:
        right(self, block_ids, last_use)
        if block_ids and self.free < self.total:
            self.order[self.free] = block_ids[-1]
            self.free += 1

    patch.setattr(Pool, "put", wrong)


def no_request_is_admitted(patch: Patch) -> None:
    """Keeps the watermark free even when no request runs; the watermark is the whole pool."""

    def wrong(watermark: int, running: int) -> int:
        return 1000

    import lineclear.scheduling.room

    patch.setattr(lineclear.scheduling.room, "kept_free", wrong)


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug.

    Attributes:
        plant: puts it in.
        stage: which must turn red.
        rule: what the finding must name.
        bounds: the world in which it is looked for by default; None for the scheduler.
        code: of the finding.
    """

    plant: Callable[[Patch], None]
    rule: str
    bounds: str | None = "preemption"
    stage: str = "exploration"
    code: str = "LC401"


BUGS: dict[str, Bug] = {
    "P1 a block is lost when its last holder ends": Bug(
        without("clear_tables.effect.1"), "conservation"
    ),
    "P2 sharing is not counted": Bug(sharing_is_not_counted, "references", "branches"),
    "P3 a block is free twice": Bug(a_place_is_given_up_twice, "free_list"),
    "P4 a shared block is written": Bug(
        without("schedule_tokens.guard.14"), "exclusive_write", "decoding branches"
    ),
    "P5 a finished request keeps its blocks": Bug(without("finish.effect.1"), "residency"),
    "P6 slots without a block": Bug(without("append_slots.effect.1"), "capacity", "branches"),
    "P7 a request that does not run is scheduled": Bug(
        without("schedule_tokens.guard.1"), "clocks"
    ),
    "P8 a step beyond its budget": Bug(
        without("schedule_tokens.guard.15"), "budget", "step budget"
    ),
    "P9 a copy out without a wait": Bug(without("swap_out.effect.2"), "ordered"),
    "P10 no request is ever admitted": Bug(
        no_request_is_admitted, "LC405", None, "scheduler", "LC405"
    ),
    "P12 a block is used again while a copy reads it": Bug(
        without("allocate_gpu.effect.1"), "fence"
    ),
    "P13 computed without KV": Bug(without("forget_computed.effect.3"), "capacity"),
    "P14 a guard that is not enough": Bug(
        without("admit.guard.3"), "definedness", "full pool", "exploration", "LC402"
    ),
    "P15 an end that does not end": Bug(without("abort.effect.3"), "members"),
}


def only(bounds: Bounds) -> Callable[[str], list[Bounds]]:
    """The same small world for every mode."""
    return lambda _mode: [bounds]
