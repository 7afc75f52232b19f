# pyright: basic
"""Records of blocks are used again, so nothing may lead to one that is spare.

Searches copy a ledger before each action, and a copy has spare records of its own: `test_ghosts.py` looks at what
each action lets go. Here are long runs on one ledger, and the broken tables of which something is proved.
"""

from __future__ import annotations

from typing import Any

import pytest
from spare_records import assert_apart

from lineclear.config import Config
from lineclear.simulation.simulate import Simulation
from lineclear.workload.workload import synthetic
from lineclear_spec.kernel import blocks
from lineclear_spec.kernel.records import Limits
from lineclear_spec.modelcheck.explore import apply
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.kv_walks import KvWalk
from lineclear_spec.mutation.kv_harmless import PROVED
from lineclear_spec.mutation.kv_mutants import WORLDS, broken, of_kv


def test_a_table_that_is_not_emptied_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spare records are seen to be led to if one of the steps is forgotten."""
    real = blocks.forget_computed

    def forgotten(ledger: Any, sequence: Any) -> None:
        table = list(sequence.table)
        real(ledger, sequence)
        sequence.table.extend(table)

    monkeypatch.setattr(blocks, "forget_computed", forgotten)
    ledger = GhostLedger(Limits(block_size=2, gpu_blocks=2))
    for step in (("submit", (1, 3, 1)), ("admit", ("r1",))):
        apply(ledger, step)
    assert_apart(ledger, ledger.requests)
    apply(ledger, ("recompute", ("r1",)))
    with pytest.raises(AssertionError):
        assert_apart(ledger, ledger.requests)


@pytest.mark.parametrize("name", sorted(PROVED))
def test_nothing_leads_to_spare_records_in_a_table_proved_harmless(
    name: str,
) -> None:
    """What is proved of it speaks of new objects."""
    with broken(of_kv()[name][0]) as bodies:
        for world in ("wide", "two"):
            walk = KvWalk(WORLDS[world], bodies)
            for seed in range(20):
                walk.at_random(seed, 5)
                assert_apart(walk.ledger, walk.ledger.requests)


@pytest.mark.parametrize("mode", ["swap", "recompute"])
def test_nothing_leads_to_spare_records_in_a_long_run(mode: str) -> None:
    config = Config(num_gpu_blocks=150, num_cpu_blocks=60, preemption_mode=mode)
    simulation = Simulation(synthetic(30, 50.0, 1), config, check_every=500)
    turns = 0
    while simulation.turn():
        turns += 1
        if turns % 20:
            continue
        ledger = simulation.scheduler.ledger
        assert_apart(ledger, [entry.record for entry in simulation.scheduler.entries.values()])
    assert simulation.scheduler.counters.preemptions[mode]
