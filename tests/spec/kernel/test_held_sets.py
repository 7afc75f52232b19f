# pyright: basic
"""A request that may have one sequence only has no set of the blocks that it holds: its table says the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from storage import everything

from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Block, Limits, Request
from lineclear_spec.modelcheck.explore import apply, search
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds


class AsScheduled(GhostLedger):
    """A ghost ledger whose requests have a set where those of a scheduler have one."""

    def new_request(self, *arguments: Any) -> Request:
        """Without a set, if the table says the same."""
        request = super().new_request(*arguments)
        real = Ledger(self.limits).new_request(*arguments)
        request.held_set, request.block_ids = real.held_set, real.block_ids
        return request


def stored(ledger: GhostLedger) -> dict[str, Any]:
    """Everything, with what each request holds in place of its set."""
    found = everything(ledger)
    for k, request in enumerate(ledger.requests):
        del found[f"r{k}"]["held_set"], found[f"r{k}"]["block_ids"]
        assert request.block_ids in (None, [b.block_id for b in request.held])
        found[f"r{k}"]["held"] = [(b.tier, b.block_id) for b in request.held]
        assert request.blocks == len(request.held)
    return found


def run(bounds: Bounds, states: int) -> set[bool]:
    """Runs to the nearest states of a world, both ways; whether requests without a set kept block ids."""
    kept: set[bool] = set()
    for trace in search(replace(bounds, max_states=states), check=False).traces:
        one, other = GhostLedger(bounds.limits()), AsScheduled(bounds.limits())
        for step in trace:
            apply(one, step)
            apply(other, step)
        assert stored(one) == stored(other), trace
        holding = [r for r in other.requests if r.held_set is None and r.blocks]
        kept |= {r.block_ids is not None for r in holding}
    return kept


@pytest.mark.parametrize("bounds", BOUNDS, ids=lambda bounds: bounds.name)
def test_runs_with_and_without_sets_agree(bounds: Bounds) -> None:
    kept = run(bounds, 60)
    assert kept == {True, False} or bounds.name not in ("preemption", "shared prompts")


#: What a table says, wrongly.
WRONG: dict[str, Callable[[list[Block]], list[Block]]] = {
    "sealed blocks too": lambda table: table,
    "from the end": lambda table: [b for b in reversed(table) if not b.name],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_difference_is_seen(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def held(request: Request) -> dict[Block, None]:
        if request.held_set is not None:
            return request.held_set
        return dict.fromkeys(WRONG[name]([b for s in request.members for b in s.table]))

    (bounds,) = [b for b in BOUNDS if b.name == "shared prompts"]
    monkeypatch.setattr(Request, "held", property(held))
    with pytest.raises(AssertionError):
        run(bounds, 300)


def test_a_table_is_sent_whole_if_its_first_blocks_have_got_names() -> None:
    ledger = Ledger(Limits(block_size=1, gpu_blocks=4))
    request = ledger.new_request(3, 4, 1, (7, 8))
    sequence = actions.submit(ledger, request)
    actions.admit(ledger, request)
    ledger.drop_each(ledger.unnamed(sequence, 0, 1))
    assert request.block_ids == [1, 2]
    ledger.send()
    assert ledger.sent_whole == [(sequence, (0, 1, 2))]
