"""An execution is evidence against a mutant only if the table itself does not do the same there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lineclear_spec.actions import ACTIONS
from lineclear_spec.modelcheck.concrete import ConcreteView, violated_postconditions
from lineclear_spec.modelcheck.explore import prepare, replay, search
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds, Trace
from lineclear_spec.postconditions import POSTCONDITIONS

BY_NAME = {bounds.name: bounds for bounds in BOUNDS}


def broken(bounds: Bounds, trace: Trace, name: str, arguments: tuple[object, ...]) -> list[str]:
    """The parts of its postcondition that an action of the table is said to break."""
    ledger = replay(bounds, trace)
    own = prepare(ledger, (name, arguments))
    before = ConcreteView(ledger)
    result = ACTIONS[name].body(ledger, *own)
    after = ConcreteView(ledger)
    parts = POSTCONDITIONS[name](before, after, *own, result)
    return [breach.rule for breach in violated_postconditions(parts, before, after)]


def test_a_sealed_block_that_is_gone_keeps_its_name() -> None:
    """`finish_each` was said to have named a block anew, as the view forgot the name of one that is freed."""
    bounds = BY_NAME["ended while it is read"]
    more = (("join_batch", ("s1",)), ("commit_step", ()), ("unlist", (1,)))
    trace: Trace = (*bounds.start, *more)
    assert broken(bounds, trace, "finish_each", ()) == []


@pytest.mark.parametrize("bounds", BOUNDS, ids=lambda bounds: bounds.name)
def test_every_action_of_the_table_does_what_it_ensures(bounds: Bounds) -> None:
    found = search(replace(bounds, max_states=60), check=False, collect=True)
    for name in ACTIONS:
        for trace, (_, arguments) in found.enabled.get(name, ())[:4]:
            assert broken(bounds, trace, name, arguments) == [], (name, trace)
