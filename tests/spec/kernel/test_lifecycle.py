"""The dict of events beside the real machine, event by event and phase by phase."""

from __future__ import annotations

from typing import Any

import pytest
from statemachine import State, StateMachine
from statemachine.exceptions import TransitionNotAllowed

from lineclear_spec.kernel.lifecycle import EVENTS, Phase, RequestLifecycle, compile_events

# The edges as the design states them, written down apart from the machine.
EDGES = {
    ("submit", "NEW", "WAITING"),
    ("reject", "NEW", "FINISHED"),
    ("admit", "WAITING", "RUNNING"),
    ("swap_out", "RUNNING", "SWAPPED"),
    ("swap_in", "SWAPPED", "RUNNING"),
    ("recompute", "RUNNING", "WAITING"),
    ("discard_swapped", "SWAPPED", "WAITING"),
    ("fail_copy", "RUNNING", "WAITING"),
    ("fail_copy", "SWAPPED", "WAITING"),
    ("finish", "WAITING", "FINISHED"),
    ("finish", "RUNNING", "FINISHED"),
    ("finish", "SWAPPED", "FINISHED"),
    ("abort", "WAITING", "FINISHED"),
    ("abort", "RUNNING", "FINISHED"),
    ("abort", "SWAPPED", "FINISHED"),
}


def test_every_edge_of_the_design_and_no_other() -> None:
    edges = {
        (event, source.name, target.name)
        for event, (sources, target) in EVENTS.items()
        for source in sources
    }
    assert edges == EDGES


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("event", sorted(EVENTS))
def test_machine_and_dict_agree(event: str, phase: Phase) -> None:
    machine: Any = RequestLifecycle(start_value=phase)
    before = machine.current_state_value
    assert before == phase
    sources, target = EVENTS[event]
    if phase in sources:
        machine.send(event)
        assert machine.current_state_value == target
    else:
        with pytest.raises(TransitionNotAllowed):
            machine.send(event)
        assert machine.current_state_value == phase


def test_an_unknown_event_is_refused_by_both() -> None:
    assert "teleport" not in EVENTS
    machine: Any = RequestLifecycle()
    with pytest.raises(TransitionNotAllowed):
        machine.send("teleport")


def test_a_life_starts_new_and_nothing_leaves_finished() -> None:
    assert RequestLifecycle().current_state_value == Phase.NEW
    assert not any(Phase.FINISHED in sources for sources, _ in EVENTS.values())
    assert not any(target is Phase.NEW for _, target in EVENTS.values())


def test_every_live_phase_can_reach_the_end_and_the_gpu() -> None:
    def reachable(start: Phase) -> set[Phase]:
        seen, stack = {start}, [start]
        while stack:
            here = stack.pop()
            for sources, target in EVENTS.values():
                if here in sources and target not in seen:
                    seen.add(target)
                    stack.append(target)
        return seen

    for phase in (Phase.WAITING, Phase.RUNNING, Phase.SWAPPED):
        assert {Phase.FINISHED, Phase.RUNNING} <= reachable(phase)


def test_an_event_with_two_targets_is_refused() -> None:
    class Forked(StateMachine):
        new = State(value=Phase.NEW, initial=True)
        waiting = State(value=Phase.WAITING)
        finished = State(value=Phase.FINISHED, final=True)

        go = new.to(waiting) | waiting.to(finished)

    with pytest.raises(ValueError, match="event go leads to WAITING and to FINISHED"):
        compile_events(Forked.states)
