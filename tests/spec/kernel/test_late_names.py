"""A `finish_each` that leaves out blocks whose names are not given yet does what actions do that name only others.

The proofs speak of names as if all had been given from the beginning. `Ledger.name_blocks` says why a run in which
some are given late has the same end as one of theirs; here both are run.
"""

from __future__ import annotations

from typing import Any

import pytest

from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Limits


def at_its_limit(named: int, prompt_names: tuple[int, ...] = ()) -> Ledger:
    """One request in the decode batch that has all its tokens, and names for so many of its four blocks."""
    ledger = Ledger(Limits(block_size=1, gpu_blocks=6, max_num_seqs=2, max_model_len=8))
    request = ledger.new_request(2, 5, 1, prompt_names)
    sequence = actions.submit(ledger, request)
    actions.admit(ledger, request)
    actions.schedule_tokens(ledger, sequence, 2, 0)
    actions.issue_step(ledger)
    actions.commit_step(ledger)
    actions.sample(ledger, sequence, 1, 1, 0)
    actions.join_batch(ledger, sequence)
    while not ledger.ended():
        actions.issue_step(ledger)
        actions.commit_step(ledger)
    given = len(sequence.block_names)
    ledger.name_blocks(sequence, range(101 + given, 101 + named))
    return ledger


def seen(ledger: Ledger) -> dict[str, Any]:
    """What later actions can see of a ledger in which no request is left, up to the order of free blocks."""
    pool = ledger.gpu
    free = pool.order[: pool.free]
    return {
        "free": sorted(free),
        "fences": {block_id: pool.last_use[block_id] for block_id in range(pool.total)},
        "cached": {name: block.block_id for name, block in ledger.cached.items()},
        "resting": {block.block_id for block in ledger.cached.values() if not block.ref},
        "clocks": (ledger.steps, ledger.committed, ledger.issued, ledger.done, ledger.barrier),
        "phases": [len(queue) for queue in (ledger.waiting, ledger.running, ledger.swapped)],
    }


@pytest.mark.parametrize("prompt_names", [(), (101, 102)])
@pytest.mark.parametrize("named", range(5))
def test_an_end_that_names_a_part_is_a_run_of_the_proofs(
    named: int, prompt_names: tuple[int, ...]
) -> None:
    named = max(named, len(prompt_names))
    one, other = at_its_limit(named, prompt_names), at_its_limit(named, prompt_names)
    actions.finish_each(one)
    (request,) = other.running
    (sequence,) = request.members
    for index in range(named):
        actions.publish(other, sequence, index)
    actions.leave_batch(other, sequence)
    actions.finish(other, request)
    assert seen(one) == seen(other)
    assert len(one.cached) == named
