"""The same rules as a Hypothesis state machine.

Guarantees: every action drawn by Hypothesis is one of the machine's, so its findings can be
replayed without Hypothesis. The example database, seeds and phases are Hypothesis' own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear.testing.failure import Failure
from lineclear.testing.machine import Machine
from lineclear.testing.protocol import Make

if TYPE_CHECKING:
    from hypothesis.stateful import RuleBasedStateMachine

#: Tokens of prompts; few, so that requests share prefixes.
MOST_TOKEN = 2


def stateful(make: Make) -> type[RuleBasedStateMachine]:
    """A state machine that drives a new scheduler in each example.

        TestMine = stateful(make_scheduler).TestCase

    Args:
        make: makes the scheduler.
    """
    from hypothesis import note
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

    limits = make().limits
    longest = max(2, limits.longest)

    class SchedulerMachine(RuleBasedStateMachine):
        """Submits, aborts and steps in any order, finally until no request is live."""

        def __init__(self) -> None:
            super().__init__()
            self.machine = Machine(make)
            self.names = 0
            self.failed = False

        def act(self, action: tuple[object, ...]) -> None:
            """One action; a failure is kept for `teardown`."""
            try:
                self.machine.do(action)
            except Failure as failure:
                self.failed = True
                note(f"actions: {list(failure.actions)}")
                raise

        @rule(
            prompt=st.lists(st.integers(0, MOST_TOKEN), min_size=1, max_size=longest - 1),
            share=st.floats(0, 1),
        )
        def submit(self, prompt: list[int], share: float) -> None:
            """Submits a request; `share` of its maximum length are new tokens."""
            most = longest - len(prompt)
            self.act(("submit", f"r{self.names}", tuple(prompt), 1 + round(share * (most - 1))))
            self.names += 1

        @precondition(lambda self: self.machine.live and limits.aborts)
        @rule(which=st.integers(0, 7))
        def abort(self, which: int) -> None:
            """Aborts a request."""
            self.act(("abort", self.machine.live[which % len(self.machine.live)]))

        @precondition(lambda self: self.machine.live)
        @rule(times=st.integers(1, 4))
        def step(self, times: int) -> None:
            """Makes a few steps."""
            for _ in range(times):
                self.act(("step",))

        def teardown(self) -> None:
            """Serves the live requests to the end."""
            if self.failed:
                return
            try:
                self.machine.drain()
            except Failure as failure:
                note(f"actions: {list(failure.actions)}")
                raise

    return SchedulerMachine
