# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""Each guard, branch and phase means the same on plain data and on formulas."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from evaluated import reading
from two_readings import SMALL, Both, compare, with_tables

from lineclear_spec.kernel.lifecycle import EVENTS, Phase
from lineclear_spec.kernel.records import Refused
from lineclear_spec.modelcheck.ghosts import GhostLedger


def test_guards_and_branches() -> None:
    for state, n in itertools.product(SMALL[:3], (0, 1)):
        for name in ("branch", "demand"):
            both = Both(with_tables(state))
            r = both.record(both.ledger.requests[0])

            def run(v: Any, r: Any, name: str = name, n: int = n) -> None:
                if name == "branch":
                    v.branch(r.open_swap == n, lambda: setattr(r, "open_swap", 5))
                else:
                    v.demand(r.open_swap == n, "no copy is open")

            compare(both, lambda v: run(v, v.requests[0]), lambda s, r=r: run(s, r))
        both = Both(with_tables(state))
        r = both.record(both.ledger.requests[0])
        both.symbolic.require(r.open_swap == n, "no copy is open")
        ((guard, formula),) = both.symbolic.guards
        both.before.extra = both.given
        assert guard == "no copy is open"
        assert formula.eq(both.symbolic.assumptions[-1])
        if reading(formula)(both.before, ()):
            both.ledger.require(both.ledger.requests[0].open_swap == n, guard)
        else:
            with pytest.raises(Refused, match=guard):
                both.ledger.require(both.ledger.requests[0].open_swap == n, guard)


def test_phases_and_queues() -> None:
    """Every event of every phase; every phase from every other, and a request in no queue."""
    for phase in Phase:
        for event in EVENTS:
            ledger = in_phase(phase)
            both = Both(ledger)
            r = both.record(ledger.requests[0])
            compare(
                both,
                lambda v, e=event: v.allowed(e, v.requests[0]),
                lambda s, e=event, r=r: s.allowed(e, r),
            )
        for target, lost in itertools.product(Phase, (False, True)):
            ledger = in_phase(phase)
            queue = ledger.queues[phase]
            if lost and queue is not None:
                queue.clear()
            both = Both(ledger)
            r = both.record(ledger.requests[0])

            def run(v: Any, r: Any, target: Phase = target) -> None:
                v.enqueue(r, target)
                r.phase = target

            compare(both, lambda v: run(v, v.requests[0]), lambda s, r=r: run(s, r))


def in_phase(phase: Phase) -> GhostLedger:
    """A ledger with one request, which is in this phase."""
    ledger = with_tables(((), ()))
    request = ledger.requests[0]
    ledger.enqueue(request, phase)
    request.phase = phase
    return ledger
