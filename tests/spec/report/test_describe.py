"""Guards and effects are read from the function that runs."""

from __future__ import annotations

from typing import Any

import pytest

from lineclear_spec.actions import ACTIONS, Action
from lineclear_spec.kernel.lifecycle import EVENTS, Phase
from lineclear_spec.report.describe import describe


def widen(ledger: Any, request: Any, count: Any) -> None:
    """A request gets wider."""
    # GUARD
    ledger.require(ledger.allowed("swap_out", request), "the request runs")
    ledger.require(
        request.width + count <= request.parallel,
        "the request may have more sequences",
    )
    # EFFECT
    request.width = request.width + count


def unsaid(ledger: Any, request: Any) -> None:
    """A guard without its sentence."""
    # GUARD
    ledger.require(request.width >= 1)
    # EFFECT
    request.width = 0


def shapeless(ledger: Any, request: Any) -> None:
    """Neither guard nor effect."""
    request.width = 0


def test_reads_every_part_of_an_action() -> None:
    row = describe(Action("widen", "swap_out", widen, ("request", "count")))
    assert row.sentence == "A request gets wider."
    assert row.sources == (Phase.RUNNING,)
    assert row.target is Phase.SWAPPED
    assert row.guards == (
        ("ledger.allowed('swap_out', request)", "the request runs"),
        ("request.width + count <= request.parallel", "the request may have more sequences"),
    )
    assert row.effects == ("request.width = request.width + count",)
    assert row.file == "report/test_describe.py"
    assert row.line == widen.__code__.co_firstlineno


@pytest.mark.parametrize(
    ("body", "complaint"),
    [(unsaid, "has no sentence"), (shapeless, "needs a '# GUARD' and an '# EFFECT' section")],
)
def test_refuses_an_action_that_does_not_say_enough(body: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        describe(Action(body.__name__, None, body, ("request",)))


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_every_action_of_the_table_describes_itself(name: str) -> None:
    row = describe(ACTIONS[name])
    assert row.sentence.endswith(".")
    assert row.guards
    assert row.effects
    if row.event:
        assert (frozenset(row.sources), row.target) == EVENTS[row.event]
        allowed = [formula for formula, _ in row.guards if "ledger.allowed(" in formula]
        if f'ledger.move_each(requests, "{row.event}")' in row.effects:
            # the request of a sequence in the decode batch runs: an invariant, and no guard
            assert not allowed
            return
        assert allowed == [f"ledger.allowed('{row.event}', request)"]
        assert f'ledger.move(request, "{row.event}")' in row.effects
    else:
        assert not any("ledger.move(" in line for line in row.effects)


def test_every_event_of_the_lifecycle_has_its_action() -> None:
    assert {action.event for action in ACTIONS.values() if action.event} == set(EVENTS)
