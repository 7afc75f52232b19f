"""A field that a request may lack is looked into by `given` and `or_else` only.

Each case here was proved once although an execution shows that it is wrong.
"""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from operator import eq, ge, gt, le, ne
from typing import Any

import pytest
import z3

from lineclear.policies.probe import views
from lineclear_spec.language.dialect import objection
from lineclear_spec.liveness.orders import Candidate, optional
from lineclear_spec.logic import given, if_else, or_else
from lineclear_spec.symbolic.terms import Misuse, Term

MISUSES: dict[str, Callable[[Any], Any]] = {
    "==": lambda x: x == 0,
    "!=": lambda x: x != 0,
    "<": lambda x: x < 0,
    ">=": lambda x: x >= 0,
    "+": lambda x: x + 1,
    "-": lambda x: 1 - x,
    "*": lambda x: 2 * x,
    "negative": lambda x: -x,
    "a truth value": bool,
    "a hash": hash,
    "formula ==": lambda x: Term(z3.Int("x")) == x,
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_what_may_be_left_out_is_no_number(misuse: str) -> None:
    value = optional("deadline", "r", z3.Real)
    with pytest.raises(Misuse):
        MISUSES[misuse](value)


@pytest.mark.parametrize("name", ["==", "!=", ">", "<=", ">="])
def test_a_place_in_an_order_is_compared_by_less_only(name: str) -> None:
    place = Candidate("r", ByDeadline()).order
    ask = {"==": eq, "!=": ne, ">": gt, "<=": le, ">=": ge}[name]
    with pytest.raises(Misuse, match="compared by < only"):
        ask(place, place)


class ByDeadline:
    """It is the order of arrival without a deadline, and the reverse with one of 0."""

    name = "by_deadline"

    def key(self, request: Any) -> Any:
        return if_else(given(request.deadline), 0, 0 - request.number)

    def may_displace(self, waiting: Any, running: Any) -> Any:
        return False


class ByDeadlineOfZero(ByDeadline):
    """On formulas every deadline was another than 0."""

    def key(self, request: Any) -> Any:
        return if_else(request.deadline != 0, 0, 0 - request.number)


class ByGuess(ByDeadline):
    """By a local name."""

    def key(self, request: Any) -> Any:
        guess = request.predicted_tokens
        return or_else(guess, 0)


def test_what_may_be_left_out_is_looked_into_by_given_and_or_else_only() -> None:
    assert objection(ByDeadline()) == ""
    assert "`request.deadline` outside given and or_else" in objection(ByDeadlineOfZero())
    assert "`request.predicted_tokens` outside given" in objection(ByGuess())


def test_the_requests_that_a_policy_is_asked_about_have_deadlines_of_zero_too() -> None:
    drawn = {view.deadline for view in views(80)}
    assert {None, 0.0, 7.0} < drawn
    assert {None, 0, 7} < {view.predicted_tokens for view in views(80)}
