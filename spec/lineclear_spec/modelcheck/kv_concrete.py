# pyright: basic
"""The theorem of KV and the refinement, evaluated on executed states.

Guarantees: what is evaluated are the predicates that are proved (`kv/theorems.py`, `kv/refinement.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lineclear_spec.kernel.records import CPU, GPU, Refused
from lineclear_spec.kv.device import run
from lineclear_spec.kv.refinement import REFINES, move_of, parts
from lineclear_spec.kv.theorems import (
    SENTENCE,
    T2_PARTS,
    clock_learns,
    entry_was_sent,
    learned,
    meets_version,
    reads_right_kv,
    takes_own_tokens,
)
from lineclear_spec.modelcheck.concrete import Breach, breaches, violated_postconditions
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.snapshot import ConcreteView

#: Actions in which a sequence learns tokens.
LEARNING = ("sample", "fork", "commit_step")


class Executed(NamedTuple):
    """An action that was executed.

    Attributes:
        action: its name.
        before: the state before, of the same ledger.
        after: the state after.
        own: its arguments.
        made: what it returned.
    """

    action: str
    before: ConcreteView
    after: ConcreteView
    own: Sequence[Any]
    made: Any


def wrong_run(before: ConcreteView, number: int) -> list[str]:
    """What the theorem says of an operation that the device carries out, and is false: versions, and T1.

    Args:
        before: the state in which it is carried out, with the copies that fail.
        number: of the operation.
    """
    found = [
        f"version of {p} for {number}"
        for tier in (GPU, CPU)
        for p in range(before.total(tier))
        if not meets_version(before, tier, number, p)
    ]
    return found + [
        f"T1: forward {number}, {q!r}, position {i}"
        for q in before.sequences
        for i in range(before.row_last(number, q))
        if not (reads_right_kv(before, number, q, i) and entry_was_sent(before, number, q, i))
    ]


def wrong_tokens(done: Executed) -> list[str]:
    """What T2 says of the tokens that an action lets sequences learn, and is false."""
    action, before, after, own, made = done
    if action not in LEARNING:
        return []
    one = learned(action, before, own, made)
    steady = [q for q in before.sequences if q.alive and before.in_decode_batch(q)]
    found: list[str] = []
    for x in [one] if one else [clock_learns(before, q) for q in steady]:
        n = after.forward_of(x.step)  # premise `reported`
        wrong = [label for label, part in T2_PARTS.items() if not part(after, x, n)]
        taken = range(x.known + x.count - 1)
        wrong += [f"position {i}" for i in taken if not takes_own_tokens(after, x, n, i)]
        found += [f"T2: {x.of!r}, step {x.step}: {what}" for what in wrong]
    return found


def no_move(done: Executed) -> list[str]:
    """Why an action is not the move of the abstract machine that it is said to be."""
    action, before, after, own, made = done
    move = move_of(action, before, own, made)
    found = violated_postconditions(parts(before, after, move), before, after)
    return [f"{action} is no move: {b.rule} ({', '.join(b.values)})" for b in found]


def step_breaches(done: Executed) -> list[Breach]:
    """What T2 and the refinement say of an executed action, and is false."""
    return [
        *[Breach("T2", SENTENCE, (line,)) for line in wrong_tokens(done)],
        *[Breach("refines", REFINES, (line,)) for line in no_move(done)],
    ]


def kv_breaches(ledger: GhostLedger) -> list[Breach]:
    """Every clause of KV that is false: of a device that has carried out as little as it may, and of one that has
    carried out all that plans dispatched, the latest first where waits allow it, T1 evaluated each time.
    """
    found = breaches(ledger, "kv")
    if found:
        return found
    eager = ledger.clone()
    number = eager.dispatched
    while number >= 1:
        try:
            before = ConcreteView(eager)
            run(eager.device, number)
        except Refused:
            number -= 1
            continue
        found += [Breach("T1", SENTENCE, (line,)) for line in wrong_run(before, number)]
        number = eager.dispatched
    return found or breaches(eager, "kv")
