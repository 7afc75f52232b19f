# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""An operation by its number, and a new record, mean the same on plain data and on formulas."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from evaluated import Values
from two_readings import SMALL, Both, compare, with_tables

from lineclear_spec import logic
from lineclear_spec.kernel.records import COPY_BLOCK, FORWARD, SWAP_IN, SWAP_OUT
from lineclear_spec.modelcheck.ghosts import GhostLedger


def with_operations(opened: tuple[bool, ...]) -> GhostLedger:
    """Operations of which some are complete: forwards of steps 1 and on, and a copy at last."""
    ledger = with_tables(((0,), ()))
    for k in range(len(opened)):
        last = k == len(opened) - 1
        number = ledger.decide(SWAP_IN if last else FORWARD, ledger.requests[0] if last else None)
        if not last:
            ledger.steps += 1
            ledger.step_operations[ledger.steps] = number
    for number, left in enumerate(opened, 1):
        if not left:
            ledger.operations.pop(number)
    return ledger


def test_operations_by_number() -> None:
    for opened in itertools.product((False, True), repeat=3):
        both = Both(with_operations(opened))
        compare(
            both,
            lambda v: v.first_open(),
            lambda s: s.first_open(),
            lambda result, _: {"first_open": lambda: result},
        )
        for number in range(5):
            both = Both(with_operations(opened))
            n = both.record(number)
            compare(both, lambda v, n=number: v.is_open(n), lambda s, n=n: s.is_open(n))
            both = Both(with_operations(opened))
            n = both.record(number)

            def pop(v: Any, n: Any) -> None:
                v.operations.pop(n)

            compare(both, lambda v, n=number: pop(v, n), lambda s, n=n: pop(s, n))
        for step in range(4):
            both = Both(with_operations(opened))
            n = both.record(step)
            compare(
                both,
                lambda v, n=step: v.step_operations[n],
                lambda s, n=n: s.step_operations[n],
            )
            both = Both(with_operations(opened))
            if both.ledger.step_operations.get(step) in both.ledger.operations:
                continue  # formulas owe that the forward is complete, plain data does not
            n = both.record(step)
            compare(
                both,
                lambda v, n=step: v.step_operations.pop(n),
                lambda s, n=n: s.step_operations.pop(n),
            )
        both = Both(with_operations(opened))

        def put(v: Any) -> None:
            v.step_operations[v.steps] = v.issued

        compare(both, put, put)


def test_a_forward_is_not_read_after_one_was_popped() -> None:
    """On plain data the entry is gone; on formulas the field is as it was."""
    symbolic = Both(with_operations((True, True, True))).symbolic
    symbolic.step_operations.pop(1)
    with pytest.raises(logic.Misuse, match="after one was popped"):
        symbolic.forward_of(1)


def test_fields_of_an_operation() -> None:
    for number, (name, value) in itertools.product(
        range(1, 4), (("wait", 2), ("is_forward", None), ("request", None))
    ):
        both = Both(with_operations((True, True, True)))
        n = both.record(number)

        def run(v: Any, n: Any, name: str = name, value: Any = value) -> Any:
            found = v.operations[n]
            if value is None:
                return getattr(found, name)
            found.wait = value
            return None

        if name == "request" and number < 3:
            continue  # a forward has none, and formulas know nothing of it
        compare(both, lambda v, n=number: run(v, n), lambda s, n=n: run(s, n))
    with pytest.raises(logic.Misuse):
        both.symbolic.operations[3].is_forward = True


def whose(kind: str, request: Any) -> Any:
    return None if kind == FORWARD else request


def test_new_sequence_and_operation() -> None:
    for state in SMALL[:4]:
        both = Both(with_tables(state))
        r = both.record(both.ledger.requests[0])
        compare(
            both,
            lambda v: v.new_sequence(v.requests[0]),
            lambda s, r=r: s.new_sequence(r),
            lambda result, _: {"child": lambda: result},
        )
        for kind in (FORWARD, COPY_BLOCK, SWAP_IN, SWAP_OUT):
            both = Both(with_tables(state))
            both.ledger.issued = 1
            both.before = Values(both.ledger)
            r = both.record(both.ledger.requests[0])
            compare(
                both,
                lambda v, kind=kind: v.new_operation(kind, whose(kind, v.requests[0])),
                lambda s, r=r, kind=kind: s.new_operation(kind, whose(kind, r)),
            )
