"""What a user of the scheduler imports: nothing of the prover, of searches or of the simulator."""

from __future__ import annotations

import subprocess
import sys

#: Parts that serve a proof, a search, a report or a simulation.
APART = (
    "lineclear.checks",
    "lineclear.conform",
    "lineclear.evidence",
    "lineclear.explore",
    "lineclear.lessons",
    "lineclear.oracle",
    "lineclear.policies.claims",
    "lineclear.recorders",
    "lineclear.report",
    "lineclear.simulation",
    "lineclear.testing",
    "lineclear.theorems",
    "lineclear.workload",
    "lineclear_spec.contracts",
    "lineclear_spec.crosscheck",
    "lineclear_spec.invariants",
    "lineclear_spec.kv",
    "lineclear_spec.language",
    "lineclear_spec.liveness",
    "lineclear_spec.modelcheck",
    "lineclear_spec.mutation",
    "lineclear_spec.postconditions",
    "lineclear_spec.proof",
    "lineclear_spec.report",
    "lineclear_spec.symbolic",
    "z3",
    "torch",
)
PROGRAM = """
import sys
from lineclear import Config, Request, Scheduler
{more}
print(*sys.modules)
"""
STEP = """
for policy in {policies}:
    scheduler = Scheduler(Config(scheduling_policy=policy))
    scheduler.add(Request(request_id="a", prompt_tokens=3, max_tokens=2))
    plan = scheduler.schedule()
    scheduler.commit(plan, [7] * len(plan.sampling))
"""


def loaded(more: str = "") -> set[str]:
    """The modules that a new interpreter has after this."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(more=more)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def apart(modules: set[str]) -> list[str]:
    """Those of them that are among the parts apart."""
    return sorted(m for m in modules if m.startswith(APART))


def test_a_scheduler_loads_nothing_that_proves_searches_or_reports() -> None:
    assert apart(loaded()) == []


def test_nor_does_a_step_under_any_policy() -> None:
    from lineclear.policies import BUILT_IN

    found = loaded(STEP.format(policies=list(BUILT_IN)))
    assert apart(found) == []
    assert "lineclear.policies.drr" in found


def test_the_list_sees_what_is_loaded() -> None:
    found = apart(loaded("from lineclear.policies import load_claims\nload_claims()"))
    assert "lineclear_spec.liveness.theorems" in found
    assert "lineclear.policies.claims.fcfs" in found
