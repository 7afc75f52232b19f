"""The quick audit refuses what the audit refuses, whatever field of a running scheduler is wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineclear.config import Config
from lineclear.monitor.audit import InvariantViolation, audit
from lineclear.monitor.repeated_audit import RepeatedAudit
from lineclear.scheduler import Scheduler
from lineclear.simulation.simulate import Simulation
from lineclear.workload.workload import Arrival, Workload
from lineclear_spec.kernel.records import Pool

FIELDS = {
    "Block": ("ref", "tier", "block_id", "request"),
    "Sequence": (
        "drafts", "own_tokens", "last_samples", "last_step", "last_tokens", "offset",
        "previous_samples", "previous_tokens", "own_samples", "own_dispatched", "request",
        "own_slots", "in_decode_batch", "table",
    ),
    "Request": ("phase", "parallel", "prompt", "limit", "held_set", "block_ids", "members"),
    "Pool": ("free", "order", "total"),
    "Ledger": ("steps", "committed", "issued", "done", "dispatched"),
}  # fmt: skip


def world(turns: int) -> Simulation:
    """A scheduler amid a run: long and short requests, branches, waiting and swapped ones."""
    requests = tuple(
        Arrival(str(k), 0.004 * k, 5 + 7 * (k % 4), (9 + 5 * k,) * (1 + (k % 3 == 1)), 64)
        for k in range(9)
    )
    config = Config(
        num_gpu_blocks=36, num_cpu_blocks=12, block_size=4, max_num_seqs=8, max_model_len=128,
        watermark=0.0, preemption_mode="swap", max_steps_in_flight=2, max_num_batched_tokens=32,
    )  # fmt: skip
    simulation = Simulation(Workload("w", "synthetic", requests), config, check_every=0)
    for _ in range(turns):
        assert simulation.turn()
    return simulation


def verdict(check: Callable[[], object]) -> str:
    """What a check says: the invariant, another error, or nothing."""
    try:
        check()
    except InvariantViolation as violation:
        return violation.invariant
    except Exception as error:
        return type(error).__name__
    return ""


def records(scheduler: Scheduler) -> list[Any]:
    """Everything that may be wrong."""
    ledger = scheduler.ledger
    requests = [*ledger.running, *ledger.swapped, *ledger.waiting]
    sequences = [sequence for request in requests for sequence in request.members]
    blocks = [block for request in requests for block in request.held]
    return [*blocks, *sequences, *requests, ledger.gpu, ledger.cpu, ledger]


def kind(record: Any) -> str:
    """The name in FIELDS."""
    found: str = next(n for n in FIELDS if n in [c.__name__ for c in type(record).__mro__])
    return found


def as_list(value: Any) -> list[Any]:
    """A copy."""
    return list(value)


def as_dict(value: Any) -> dict[Any, Any]:
    """A copy."""
    return dict(value)


def spoil(scheduler: Scheduler, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    """Changes one field of one record to a value of the same type."""
    everything = records(scheduler)
    wanted = draw(st.sampled_from(list(FIELDS)))
    same = [record for record in everything if kind(record) == wanted]
    if not same:
        return
    record = draw(st.sampled_from(same))
    field = draw(st.sampled_from(FIELDS[wanted]))
    value = getattr(record, field)
    others = [found for other in same if (found := getattr(other, field)) is not None]
    if isinstance(value, list):
        new = as_list(value)
        at = draw(st.integers(0, max(0, len(new) - 1)))
        how = draw(st.sampled_from(["drop", "twice", "exchange", "take over"]))
        if how == "drop" and new:
            del new[at]
        elif how == "twice" and new:
            new.append(new[at])
        elif how == "exchange" and new:
            new[at], new[0] = new[0], new[at]
        else:
            new.extend(draw(st.sampled_from(others))[:1])
        setattr(record, field, new)
    elif isinstance(value, dict):
        copy = as_dict(value)
        if draw(st.booleans()) and copy:
            copy.popitem()
        else:
            copy.update(list(draw(st.sampled_from(others)).items())[:1])
        setattr(record, field, copy)
    elif isinstance(value, bool):
        setattr(record, field, not value)
    elif isinstance(value, int):
        near = st.sampled_from([value - 1, value + 1, 0, *others])
        setattr(
            record,
            field,
            type(value)(max(0, min(4, draw(near)))) if field == "phase" else draw(near),
        )
    else:
        setattr(record, field, draw(st.sampled_from(others)))


@settings(max_examples=400)
@given(st.data())
def test_one_wrong_field_is_judged_alike(data: st.DataObject) -> None:
    simulation = world(data.draw(st.integers(4, 40)))
    scheduler = simulation.scheduler
    warm = RepeatedAudit(scheduler)
    assert warm.check() == audit(scheduler)
    spoil(scheduler, data.draw)
    said = verdict(partial(audit, scheduler))
    assert verdict(warm.check) == said
    assert verdict(RepeatedAudit(scheduler).check) == said


def test_the_states_that_are_spoilt_have_everything() -> None:
    seen: set[str] = set()
    for turns in range(4, 41):
        ledger = world(turns).scheduler.ledger
        members = [s for r in ledger.running for s in r.members]
        seen |= {
            *(["waiting"] if ledger.waiting else []),
            *(["swapped"] if ledger.swapped else []),
            *(["shared"] if any(b.ref > 1 for s in members for b in s.table) else []),
            *(["decode_batch"] if ledger.decode_batch else []),
            *(["explicit"] if any(not s.in_decode_batch for s in members) else []),
        }
    assert seen == {"waiting", "swapped", "shared", "decode_batch", "explicit"}


def below(pool: Pool) -> None:
    """Exchanges a block id deep in the list, which nothing has touched since, for another one."""
    pool.order[0] = pool.order[1]


def test_a_place_deep_in_the_free_list_is_looked_at_again() -> None:
    scheduler = world(4).scheduler
    quick = RepeatedAudit(scheduler)
    quick.check()
    below(scheduler.ledger.gpu)
    with pytest.raises(InvariantViolation, match="free_list"):
        quick.check()


def test_places_that_are_not_those_of_the_blocks_are_seen() -> None:
    scheduler = world(12).scheduler
    request = next(r for r in scheduler.ledger.running if r.block_ids and len(r.block_ids) > 1)
    audit(scheduler)
    assert request.block_ids is not None
    request.block_ids.reverse()
    with pytest.raises(InvariantViolation, match="holdings"):
        audit(scheduler)


def test_a_run_is_followed_without_a_full_look() -> None:
    simulation = world(4)
    quick = RepeatedAudit(simulation.scheduler)
    checks = 0
    while simulation.turn():
        assert quick.check() == audit(simulation.scheduler)
        free_list, pool = quick.free_lists[0], simulation.scheduler.ledger.gpu
        assert free_list.known == pool.order[: pool.free]
        assert free_list.block_ids == set(free_list.known)
        checks += 1
    assert checks > 60
