"""A refused action says what was asked, and a journal gets what happened."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from lineclear_spec.actions import admit, append_slots, submit
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Broken, Limits, Refused


def test_a_refusal_names_the_action_its_arguments_and_the_guard_that_is_false() -> None:
    ledger = Ledger(Limits(block_size=4, gpu_blocks=4))
    request = ledger.new_request(4, 8, 1)
    with pytest.raises(Refused) as refusal:
        admit(ledger, request)
    error = refusal.value
    assert error.guard == "the request waits"
    assert str(error) == "admit(r1) is refused, a guard is false: the request waits"
    sequence = submit(ledger, request)
    with pytest.raises(Refused, match=r"^append_slots\(s1, 3\) is refused, a guard is false: "):
        append_slots(ledger, sequence, 3)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.guard) == (str(error), error.guard)


def test_a_broken_precondition_is_reported_as_violated() -> None:
    ledger = Ledger(Limits(block_size=4, gpu_blocks=4))
    with pytest.raises(Broken, match=r"^violated: the request has a sequence$"):
        ledger.leader(ledger.new_request(4, 8, 1))


def test_the_journal_gets_what_happened_and_nothing_that_was_refused() -> None:
    ledger = Ledger(Limits(block_size=4, gpu_blocks=4))
    seen: list[tuple[str, tuple[Any, ...]]] = []
    ledger.journal = lambda name, arguments: seen.append((name, arguments))
    request = ledger.new_request(4, 8, 1)
    with pytest.raises(Refused):
        admit(ledger, request)
    assert seen == []
    submit(ledger, request)
    admit(ledger, request)
    assert seen == [("submit", (request,)), ("admit", (request,))]
