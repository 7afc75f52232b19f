# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""A broken table in place of the real one, with the declarations that may hold of it.

Guarantees: after the block everything is as it was. Two things are taken from plain data. A new block is a new object:
it has backed no block id before, which on formulas follows from `conservation` and is assumed where block ids leak. (A
record that stands for a new block may have been another one before; `tests/spec/kernel/test_spare_records.py` tests
that nothing leads to it then.) And a name is given of tokens that are known: on formulas each block has its name from
the beginning, and the guards that refuse a name that is not given yet may be the ones that are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Set
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from enum import IntEnum
from typing import Any
from unittest.mock import patch

import z3

from lineclear_spec.contracts import CONTRACTS
from lineclear_spec.invariants import CPU, GPU, INVARIANTS, KV
from lineclear_spec.invariants.clause import Invariant, Predicate
from lineclear_spec.kv import obligations as kv_obligations
from lineclear_spec.modelcheck.kv_walks import broken
from lineclear_spec.mutation.kv_sealed_writes import OF_SEALED_WRITES as SEALED
from lineclear_spec.mutation.kv_sealed_writes import WEAKER as WEAKER_IF_SEALED
from lineclear_spec.mutation.kv_sealed_writes import sealed_writes
from lineclear_spec.mutation.kv_weaker import (
    GONE,
    OF_DEVICE,
    OF_STEPS,
    OF_TABLE,
    WEAKER,
    of_allocation,
    of_move,
)
from lineclear_spec.mutation.mutants import Mutant, installed
from lineclear_spec.symbolic.blocks import Blocks
from lineclear_spec.symbolic.cache import Cache
from lineclear_spec.symbolic.state import BLOCK_OF
from lineclear_spec.symbolic.terms import raw

#: Ghost statements that go with a statement, or stay where it took them along: what stands in its place.
GHOSTS = {
    "complete_copy.effect.1": ("ledger.forget_copy(number)", "ledger.note_good(number)"),
    "copy_on_write.effect.1": (
        "ledger.replace_entry(sequence, index)\n    ledger.send_whole(sequence)\n    "
        "ledger.note_twin(number, sequence, index)",
        "ledger.send_whole(sequence)",
    ),
}


class Tried(IntEnum):
    """What a proof is offered besides the clauses of the table as it is."""

    NOTHING = 0
    CLAUSES = 1  # of `mutation/kv_weaker.py`
    SEALED_WRITES = 2  # and of `mutation/kv_sealed_writes.py`


def weaker_forms(tried: Tried) -> dict[str, Predicate]:
    """Of each clause what is tried in its place if it is not proved of the broken table."""
    return WEAKER | WEAKER_IF_SEALED if tried == Tried.SEALED_WRITES else WEAKER


@contextmanager
def declared(weaker: Set[str], lost: Set[str], unasked: Set[str], tried: Tried) -> Generator[None]:
    """Within the block the declarations are those of a broken table.

    Args:
        weaker: clauses that are replaced.
        lost: clauses that are dropped.
        unasked: parts of contracts that are dropped.
        tried: what is declared besides.
    """

    def fewer(begin: str, parts: Callable[..., Any]) -> Callable[..., Any]:
        """The parts of a contract without those that are dropped."""
        return lambda *a: [p for p in parts(*a) if begin + p.label not in unasked]

    changed: tuple[dict[str, Any], ...]
    changed = (INVARIANTS, KV, CONTRACTS, kv_obligations.USED, kv_obligations.OF)
    with ExitStack() as stack:
        stack.callback(kv_obligations.hypotheses.cache_clear)  # once all is as it was
        for table in changed:
            stack.enter_context(patch.dict(table))
        if tried:
            sealed = SEALED if tried == Tried.SEALED_WRITES else ()
            tables = (*OF_TABLE, *sealed)
            INVARIANTS["without_places"] = Invariant("without", "", "step", OF_STEPS)
            INVARIANTS["without"] = Invariant("without", "", "boundary", tables)
            KV["without_order"] = Invariant("without_order", "", "kv", OF_DEVICE)
            used, of = kv_obligations.USED, kv_obligations.OF
            used["kv"] = (*used["kv"], "without")
            used["version"] = (
                *used["version"], "residency", "conservation", "pending", "free_list", "group_local", "references",
                "catalogue",
            )  # fmt: skip
            of["version"] |= {"without", "without_order"}
        forms = weaker_forms(tried)
        for table in (INVARIANTS, KV):
            for name, invariant in table.items():
                kept = [
                    replace(c, predicate=forms[c.name]) if c.name in weaker else c
                    for c in invariant.clauses
                    if c.name not in lost
                ]
                table[name] = replace(invariant, clauses=tuple(kept))
        for name, contract in CONTRACTS.items():
            CONTRACTS[name] = replace(
                contract,
                ensures=fewer(f"{name}: ", contract.ensures),
                requirements=fewer(f"{name} needs: ", contract.requirements),
                exact=(lambda *_: {}) if f"{name}: exact" in unasked else contract.exact,
            )
        if tried:
            for name in ("take_blocks", "give_each_one", "replace_entry"):
                taking = CONTRACTS[name]
                CONTRACTS[name] = replace(
                    taking,
                    ensures=lambda *a, taking=taking: [
                        *taking.ensures(*a),
                        *of_allocation(*a[:2]),
                    ],
                )
            moving = CONTRACTS["move_blocks"]
            CONTRACTS["move_blocks"] = replace(
                moving,
                ensures=lambda *a: [*moving.ensures(*a), *of_move(*a)],
                modifies=lambda *a: tuple({*moving.modifies(*a), "owner_gpu", "owner_cpu"}),
            )
        kv_obligations.hypotheses.cache_clear()
        yield


@contextmanager
def plain_data(leaves: bool) -> Generator[None]:
    """Within the block a new block has backed no block id before, and names are given of tokens that are known.

    Args:
        leaves: whether a block id is not that of its block any more once the block has left it.
    """
    moved, whole, listed = Blocks.relocate, Blocks.new_blocks, Cache.all_listed

    def made(ledger: Any, sequences: Any, block_ids: Any) -> Any:
        old, p = ledger.state.snapshot(), z3.Int("p")
        blocks = whole(ledger, sequences, block_ids)
        for tier in (GPU, CPU):
            owner = old.owner(tier, p)
            ledger.assume(z3.ForAll([p], z3.Not(blocks.has(owner)), patterns=[owner]))
        ledger.assume(z3.Not(blocks.has(GONE)))
        known = getattr(ledger.state.fields, "known", {})
        known |= {f: len(ledger.assumptions) for f in known if f in ("tier", "block_id", "ref")}
        return blocks

    def known(ledger: Any, sequence: Any, count: Any) -> Any:
        found = listed(ledger, sequence, count)
        full = BLOCK_OF(ledger.state.num_tokens(sequence.z))
        ledger.assume(z3.Implies(raw(found), raw(count) <= full))
        return found

    def left(ledger: Any, blocks: Any, tier: int, block_ids: Any) -> None:
        old = ledger.state.snapshot()
        moved(ledger, blocks, tier, block_ids)
        source = CPU if tier == GPU else GPU

        def owner(p: Any) -> Any:
            b = old.owner(source, p)
            its = z3.And(blocks.has(b), old.tier(b) == source, old.block_id(b) == p)
            return z3.If(its, GONE, b)

        ledger.state.fields["owner_cpu" if tier == GPU else "owner_gpu"] = owner

    with (
        patch.object(Blocks, "new_blocks", made),
        patch.object(Blocks, "relocate", left if leaves else moved),
        patch.object(Cache, "all_listed", known),
    ):
        yield


@contextmanager
def broken_table(
    mutant: Mutant, weaker: Set[str], lost: Set[str], unasked: Set[str], tried: Tried
) -> Generator[Callable[..., Any] | None]:
    """Within the block the broken table stands in for the real one, with its declarations; the broken action.

    Args:
        mutant: the broken table.
        weaker: clauses that are replaced.
        lost: clauses that are dropped.
        unasked: parts of contracts that are dropped.
        tried: what is declared besides.
    """
    other = sealed_writes() if tried == Tried.SEALED_WRITES else nullcontext()
    with (
        installed(mutant) as body,
        declared(weaker, lost, unasked, tried),
        plain_data(tried != Tried.NOTHING),
        other,
    ):
        if mutant.name in GHOSTS:
            body = broken(mutant.function, *GHOSTS[mutant.name])
        yield body
