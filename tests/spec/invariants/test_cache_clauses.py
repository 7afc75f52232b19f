"""Each clause about names and sealed blocks is false on a state that is broken by hand for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.records import CPU, Limits, Request
from lineclear_spec.modelcheck.concrete import breaches
from lineclear_spec.modelcheck.ghosts import GhostLedger


class Shared:
    """Two requests that share two blocks of a prompt, and a third whose block rests."""

    def __init__(self) -> None:
        self.ledger = GhostLedger(Limits(block_size=2, gpu_blocks=9, cpu_blocks=4, max_num_seqs=4))
        self.ended = self.request((9,), 3, 4)
        self.compute(self.ended, 3)
        self.do("publish", self.ended.members[0], 0)
        self.do("finish", self.ended)
        self.first = self.request((1, 2), 5, 9)
        self.compute(self.first, 5)
        for index in range(2):
            self.do("publish", self.first.members[0], index)
        self.second = self.request((1, 2), 5, 9)
        self.do("admit_cached", self.second, 4)
        assert breaches(self.ledger) == []

    def request(self, names: tuple[int, ...], prompt: int, limit: int) -> Request:
        request = self.ledger.new_request(prompt, limit, 1, names)
        self.do("submit", request)
        return request

    def compute(self, request: Request, tokens: int) -> None:
        self.do("admit", request)
        self.do("schedule_tokens", request.members[0], tokens, 0)
        self.do("issue_step")
        self.do("commit_step")
        self.do("sample", request.members[0], self.ledger.steps, 1, 0)

    def do(self, name: str, *arguments: object) -> None:
        ACTIONS[name].body(self.ledger, *arguments)


def no_name_leads_to_a_block(state: Shared) -> None:
    block = state.first.members[0].table[2]
    state.ledger.cached[0] = block  # a private block can be found


def a_sealed_block_leaves_the_gpu(state: Shared) -> None:
    state.first.members[0].table[0].tier = CPU


def a_name_below_the_first(state: Shared) -> None:
    state.first.members[0].table[0].name = -1


def a_block_of_other_tokens(state: Shared) -> None:
    state.second.members[0].block_names = (1, 5)


def a_block_that_is_not_computed(state: Shared) -> None:
    state.second.members[0].own_dispatched = 3


def a_block_whose_tokens_are_not_known(state: Shared) -> None:
    state.second.members[0].own_tokens = 3


def a_name_at_two_depths(state: Shared) -> None:
    state.first.members[0].block_names = (1, 2, 1)


def an_opening_at_two_depths(state: Shared) -> None:
    state.first.prompt_names = (1, 2, 1)


def a_prompt_of_other_names(state: Shared) -> None:
    state.second.prompt_names = (1, 6)


def a_resting_block_that_an_open_step_touches(state: Shared) -> None:
    ledger = state.ledger
    state.do("append_slots", state.first.members[0], 1)
    state.do("schedule_tokens", state.first.members[0], 1, 0)
    state.do("issue_step")
    (block,) = ledger.resting
    number = ledger.forward_of(ledger.steps)
    ledger.touched[number] |= {(block.tier, block.block_id)}


def fewer_readers_than_none(state: Shared) -> None:
    state.first.members[0].table[0].readers = -1


def a_held_block_that_cannot_be_found(state: Shared) -> None:
    """No table names it either: the ghost ledger alone has it in sight."""
    ledger = state.ledger
    (block,) = ledger.resting
    state.do("hold_block", block.name)
    ledger.forget_name(block.name)


#: clause -> the state on which it is false
BROKEN: dict[str, Callable[[Shared], None]] = {
    "catalogue.one": no_name_leads_to_a_block,
    "catalogue.gpu": a_sealed_block_leaves_the_gpu,
    "catalogue.name": a_name_below_the_first,
    "own_names.name": a_block_of_other_tokens,
    "own_names.computed": a_block_that_is_not_computed,
    "own_names.known": a_block_whose_tokens_are_not_known,
    "block_names.depth": a_name_at_two_depths,
    "block_names.prompt_names": an_opening_at_two_depths,
    "block_names.prompt": a_prompt_of_other_names,
    "readers.count": fewer_readers_than_none,
    "readers.found": a_held_block_that_cannot_be_found,
    "fence.resting": a_resting_block_that_an_open_step_touches,
}


@pytest.mark.parametrize("clause", BROKEN)
def test_each_clause_is_false_on_the_state_that_is_broken_for_it(clause: str) -> None:
    state = Shared()
    BROKEN[clause](state)
    found = {breach.rule for breach in breaches(state.ledger)}
    assert clause in found


def test_every_clause_of_these_rules_has_such_a_state() -> None:
    from lineclear_spec.invariants import clauses

    names = {clause.name for clause in clauses()}
    assert BROKEN.keys() <= names
    rules = tuple(f"{rule}." for rule in ("catalogue", "own_names", "block_names"))
    assert all(any(n.startswith(rule) for n in names) for rule in rules)
    assert {n for n in names if n.startswith(rules)} <= BROKEN.keys()
