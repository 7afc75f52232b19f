"""A journal of the real scheduler, done again on a ledger with a device, for which the theorem of KV is evaluated.

Guarantees: every action is the journal's; T2 and the refinement are evaluated of some of them, evenly spread, and
T1 of every forward that has run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lineclear.journal.file import MARKS
from lineclear.journal.memory import FIRST, JournalRow
from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.records import Limits
from lineclear_spec.kv.theorems import T1
from lineclear_spec.modelcheck.concrete import Breach, ConcreteView
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.kv_concrete import LEARNING, Executed, step_breaches


def wrong_reads(ledger: GhostLedger) -> list[Breach]:
    """T1: what a forward read of a sequence was right, or the copy that its request waited for has failed."""
    device = ledger.device
    return [
        Breach("T1", T1, (f"forward {n}, sequence {q}",))
        for (n, q), right in device.right.items()
        if not right and device.rows[n, q].relies not in device.fails
    ]


def kv_of_a_journal(
    rows: Iterable[JournalRow], limits: Limits, every: int = 9
) -> tuple[list[Breach], int]:
    """What is false, and of how many learned tokens T2 was evaluated.

    Args:
        rows: the journal from its start.
        limits: the scheduler's constants.
        every: of so many actions in which a sequence learns, one is looked at.
    """
    ledger = GhostLedger(limits)
    found: list[Breach] = []
    learning = asked = 0
    for name, arguments in rows:
        if name == "name_blocks":
            number: int = arguments[0]
            ledger.name_blocks(ledger.sequences[number - 1], arguments[1])
            continue
        if name in FIRST:
            own: tuple[Any, ...] = (ledger.new_request(*arguments[1:]),)
        else:
            marks = [MARKS.get(parameter) for parameter in ACTIONS[name].parameters]
            own = tuple(
                [
                    value
                    if mark is None
                    else (ledger.requests if mark == "r" else ledger.sequences)[value - 1]
                    for mark, value in zip(marks, arguments, strict=True)
                ]
            )
        learning += name in LEARNING
        looked = name in LEARNING and learning % every == 0
        before = ConcreteView(ledger) if looked else None
        made = ACTIONS[name].body(ledger, *own)
        if before is not None:
            asked += 1
            found += step_breaches(Executed(name, before, ConcreteView(ledger), own, made))
        if found:
            break
    return found or wrong_reads(ledger), asked
