"""Runs of the real scheduler, done again from their journals for the theorem of KV."""

from __future__ import annotations

import random

import pytest
from kv_replay import kv_of_a_journal
from scheduler_machine import World

from lineclear.config import Config
from lineclear_spec.modelcheck.kv_ghosts import KvDevice


def ran(seed: int, depth: int, lookahead: int) -> World:
    """Sixty steps with swaps, branches and failing copies."""
    config = Config(
        num_gpu_blocks=10,
        num_cpu_blocks=8,
        block_size=4,
        max_num_seqs=5,
        max_num_batched_tokens=36,
        max_model_len=36,
        num_lookahead_slots=lookahead,
        preemption_mode="swap",
        max_steps_in_flight=depth,
    )
    world, draw = World(config, seed), random.Random(seed)
    for name in range(8):
        world.add(draw.randint(1, 20), draw.randint(4, 16), draw.choice([1, 1, 2]), 0, name)
    for _ in range(60):
        if len(world.flights) < depth:
            world.schedule()
        if world.flights and (draw.random() < 0.6 or len(world.flights) == depth):
            world.commit()
        world.complete(draw.randint(0, 3), draw.random() < 0.3)
    return world


@pytest.mark.parametrize(("seed", "depth", "lookahead"), [(0, 1, 0), (1, 2, 2), (2, 2, 0)])
def test_every_token_of_a_run_was_computed_from_its_own_kv(
    seed: int, depth: int, lookahead: int
) -> None:
    world = ran(seed, depth, lookahead)
    assert {"swap_out", "swap_in", "fork"} <= set(world.counts)
    wrong, asked = kv_of_a_journal(world.ring, world.scheduler.ledger.limits, every=3)
    assert wrong == []
    assert asked >= 15


def reads_wrong(*_: object) -> bool:
    return False


def test_a_run_whose_forwards_read_wrong_kv_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ran(1, 2, 0)
    monkeypatch.setattr(KvDevice, "_read", reads_wrong)
    limits = world.scheduler.ledger.limits
    assert {b.rule for b in kv_of_a_journal(world.ring, limits, every=1)[0]} == {"T2"}
    assert {b.rule for b in kv_of_a_journal(world.ring, limits, every=10**9)[0]} == {"T1"}
