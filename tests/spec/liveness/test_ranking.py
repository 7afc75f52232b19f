"""Every action has its lemmas of ranking, and each is seen to fail when an effect is broken."""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import z3
from progress_lemmas import failing, lemmas

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Limits
from lineclear_spec.language.statements import guards_of
from lineclear_spec.proof.obligations import Unit, build


def test_every_action_has_the_lemmas_of_ranking() -> None:
    for name in ACTIONS:
        labels = [goal.label for goal in lemmas(build(name)).goals]
        assert len(labels) == len(set(labels)) >= 4, name


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function around an action is none of the table's: the proof alone is asked about it."""
    monkeypatch.setattr("lineclear_spec.language.dialect.check_action", lambda _: None)  # pyright: ignore


def losing_effect(name: str, write: Callable[..., None]) -> Unit:
    """The unit of an action that also does something else."""
    body = ACTIONS[name].body

    def broken(ledger: Any, *arguments: Any) -> Any:
        result = body(ledger, *arguments)
        write(ledger, *arguments)
        return result

    return build(name, broken)


def resets(ledger: Any, record: Any, *_: Any) -> None:
    """What others have computed is lost, as if recompute were meant for all."""
    ledger.state.fields["own_dispatched"] = lambda q: z3.IntVal(0)


def forgets(ledger: Any, record: Any, *_: Any) -> None:
    ledger.state.fields["own_tokens"] = lambda q: z3.IntVal(1)


def schedules_nothing(ledger: Any, sequence: Any, *_: Any) -> None:
    sequence.own_samples = 0


def parks_all(ledger: Any, *_: Any) -> None:
    ledger.state.fields["phase"] = lambda r: z3.IntVal(1)


def computes_nothing(ledger: Any, sequence: Any, tokens: Any, drafts: Any) -> None:
    sequence.own_dispatched = sequence.own_dispatched - tokens


def counts_nothing(ledger: Any, *_: Any) -> None:
    ledger.step_tokens = 0


def stays(ledger: Any, *_: Any) -> None:
    ledger.steps = ledger.steps - 1


def learns_nothing(ledger: Any, sequence: Any, step: Any, accepted: Any, rejected: Any) -> None:
    sequence.own_tokens = sequence.own_tokens - accepted


EFFECTS: list[tuple[str, Callable[..., None], str]] = [
    ("swap_out", resets, "is raised by no action on another"),
    ("recompute", resets, "is raised by no action on another"),
    ("recompute", forgets, "no token that is known is forgotten"),
    ("schedule_tokens", schedules_nothing, "a token is left to compute"),
    ("admit", parks_all, "no other request changes its phase"),
    ("admit", parks_all, "it runs"),
    ("schedule_tokens", computes_nothing, "it lowers what is left"),
    ("schedule_tokens", counts_nothing, "is not empty"),
    ("issue_step", stays, "lowers what is left to every sequence in"),
    ("sample", learns_nothing, "it brings a token"),
]


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(("name", "write", "lemma"), EFFECTS)
def test_a_broken_effect_is_refuted(name: str, write: Callable[..., None], lemma: str) -> None:
    lost = failing(losing_effect(name, write))
    assert any(lemma in label for label in lost), lost


@pytest.mark.parametrize("name", ["recompute", "swap_out"])
def test_a_victim_that_keeps_its_places_is_refuted(name: str) -> None:
    assert "every block of its own is free at once" in failing(build(name, guards_of(name)))


@pytest.mark.usefixtures("planted")
def test_a_branch_born_with_more_left_than_its_parent_is_refuted() -> None:
    def broken(ledger: Any, parent: Any, tokens: Any) -> Any:
        child = ACTIONS["fork"].body(ledger, parent, tokens)
        child.own_dispatched = parent.own_dispatched - 1
        return child

    assert "a branch has no more left than its parent" in failing(build("fork", broken))


def test_bounds_of_groups_are_those_of_the_ledger() -> None:
    """What the lemmas assume of the worst case: one branch, and one more than another."""
    for size in (1, 3, 4):
        ledger = Ledger(Limits(block_size=size, gpu_blocks=999))
        for prompt in range(1, 12):
            for most in range(1, 9):
                limit = prompt + most
                worst = [
                    ledger.worst_case(ledger.new_request(prompt, limit, n)) for n in (1, 2, 3)
                ]
                assert worst[0] == ledger.need(limit - 1)
                more = ledger.need(limit - 1) - ledger.block_of(prompt)
                assert worst[1] - worst[0] == worst[2] - worst[1] == more
