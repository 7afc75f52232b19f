# pyright: basic
"""Broken tables that KV has to do with: an execution of each in which a token is wrong, and its proof fails."""

from __future__ import annotations

import pytest
import z3

from lineclear_spec.mutation import kv_harmless
from lineclear_spec.mutation.kv_declared import Tried
from lineclear_spec.mutation.kv_harmless import BEGINNINGS, PROVED, harmless
from lineclear_spec.mutation.kv_mutants import of_kv, read, shows, unproved
from lineclear_spec.mutation.kv_search import searched
from lineclear_spec.mutation.kv_second_solver import doubted, follows
from lineclear_spec.mutation.kv_what_holds import Kept, what_holds
from lineclear_spec.proof.obligations import Goal


@pytest.mark.parametrize("name", sorted(read()))
def test_a_token_is_wrong(name: str) -> None:
    row = read()[name]
    assert shows(of_kv()[name][0], row.world, row.trace) == row.wrong


def test_of_each_other_one_it_is_known_what_shows_that_no_token_is_wrong() -> None:
    others = kv_harmless.read()
    assert set(others) == set(of_kv()) - set(read()) == set(PROVED) | set(BEGINNINGS)
    assert not set(PROVED) & set(BEGINNINGS)
    assert not any(getattr(row, "wrong", "") for row in others.values())


def test_without_a_wait_or_what_a_plan_sends_a_token_is_wrong() -> None:
    missing = {name for name, (_, topic) in of_kv().items() if topic in ("waits", "plan")}
    assert missing <= set(read())


def test_of_fences_and_guards_of_publication_a_token_is_wrong_or_none_is_proved_to_be() -> None:
    missing = {
        name
        for name, (_, topic) in of_kv().items()
        if topic == "fences and barriers" or (topic == "publication" and ".guard." in name)
    }
    assert missing
    assert missing <= set(read()) | set(PROVED)


def test_a_search_finds_what_is_wrong() -> None:
    witness = read()["issue_step.effect.3"]
    begin = witness.trace.partition(", run")[0]
    assert searched(of_kv()["issue_step.effect.3"][0], witness.world, begin, 40).wrong
    begin = BEGINNINGS["fork.guard.5"][1].rpartition(", ")[0]
    assert not searched(of_kv()["evict.effect.1"][0], "wide", begin, 20).wrong


def test_the_second_solver_proves_what_follows_and_nothing_else() -> None:
    x = z3.Int("x")
    goal = Goal("preserved", "x is positive", 0, x > 0)
    assert follows("swap_out", [x > 1], goal)
    assert not follows("swap_out", [x > -1], goal)


@pytest.mark.deep
def test_the_second_solver_doubts_what_is_not_so() -> None:
    kept = Kept((), (), (), (), Tried.NOTHING)
    assert "kv_publish/preserved/cached.content" in doubted(of_kv()["publish.guard.4"][0], kept)


@pytest.mark.deep
def test_what_gives_wrong_tokens_is_not_proved_to_be_harmless() -> None:
    for name in ("publish.guard.4", "let_go.effect.1.no_fence", "swap_in.effect.3"):
        assert isinstance(what_holds(of_kv()[name][0], Tried.CLAUSES), list)
    assert isinstance(what_holds(of_kv()["publish.guard.5"][0], Tried.SEALED_WRITES), list)


@pytest.mark.deep
@pytest.mark.parametrize("name", sorted(kv_harmless.read()))
def test_it_is_shown_again(name: str) -> None:
    assert harmless(name) == kv_harmless.read()[name]


@pytest.mark.deep
@pytest.mark.parametrize("name", sorted(of_kv()))
def test_it_is_not_proved(name: str) -> None:
    assert unproved(of_kv()[name][0])


@pytest.mark.parametrize(
    "name",
    ["issue_step.effect.2", "allocate_gpu.effect.1", "publish.guard.4", "issue_step.effect.3"],
)
def test_some_are_not_proved(name: str) -> None:
    assert unproved(of_kv()[name][0])
