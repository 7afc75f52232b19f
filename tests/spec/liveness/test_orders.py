"""Every key of a policy makes an order on formulas, and what breaks the order is refuted."""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest
import z3
from progress_lemmas import failing

from lineclear_spec.crosscheck.second_solver import crosscheck_unit
from lineclear_spec.liveness import orders
from lineclear_spec.liveness.theorems import Claims, Fact
from lineclear_spec.proof.obligations import Goal, Unit
from lineclear_spec.symbolic.terms import Misuse


class Keyed:
    """A policy of one key."""

    name = "keyed"

    def __init__(self, key: Callable[[Any], Any], displaces: Callable[[Any, Any], Any]) -> None:
        self.key = key
        self.may_displace = displaces


def never(waiting: Any, running: Any) -> bool:
    return False


def of_policy(
    key: Callable[[Any], Any], displaces: Callable[[Any, Any], Any] = never, *facts: Fact
) -> set[str]:
    claims = Claims("keyed", lambda _: Keyed(key, displaces), (), facts)
    hypotheses, goals = orders.order(claims)
    unit = Unit(
        "order_keyed", hypotheses, [], [Goal("progress", label, 0, goal) for label, goal in goals]
    )
    assert {r.label for r in crosscheck_unit(unit) if r.status != "proved"} == failing(unit)
    return failing(unit)


def test_keys_of_numbers_of_any_kind_make_an_order() -> None:
    assert of_policy(lambda r: 0) == set()
    assert of_policy(lambda r: (-r.priority, r.arrival_time)) == set()
    assert of_policy(lambda r: r.arrival_time - 2.5 * r.priority) == set()


def test_an_order_without_the_number_of_the_arrival_is_not_total(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = orders.LexicalOrder.__init__
    monkeypatch.setattr(
        orders.LexicalOrder, "__init__", lambda self, parts: real(self, parts[:-1])
    )
    lost = of_policy(lambda r: -r.priority)
    assert lost == {"the order is total on requests that arrived apart"}


def test_displacing_against_the_order_is_refuted() -> None:
    lost = of_policy(lambda r: 0, lambda w, r: r.priority < w.priority)
    assert lost == {"a displaced request comes later in the order"}


def test_a_key_that_changes_or_names_its_request_is_no_order() -> None:
    for reads in ("request_id", "generated", "waiting", "tenant"):
        with pytest.raises(AttributeError):
            of_policy(attrgetter(reads))
    with pytest.raises(Misuse):
        of_policy(lambda r: 1 if r.priority > 3 else 0)


def test_a_false_fact_is_refuted() -> None:
    fact = Fact("the first arrival is first", lambda a, b, _: a.order < b.order)
    assert of_policy(lambda r: 0, never, fact) == {fact.label}


def test_the_order_on_formulas_is_that_of_tuples() -> None:
    values = [(a, b, c) for a in (0, 1) for b in (0, 2) for c in (1, 2)]
    for left in values:
        for right in values:
            terms = (
                orders.LexicalOrder(tuple(z3.IntVal(x) for x in side)) for side in (left, right)
            )
            first, second = terms
            answer = z3.simplify((first < second).z)
            assert z3.is_true(answer) == (left < right)


def test_a_divisor_that_may_be_0_is_refuted() -> None:
    """Python raises where z3 divides by 0, and rounds otherwise by a number below it."""
    assert of_policy(lambda r: r.prompt_tokens // r.n) == set()
    assert of_policy(lambda r: r.prompt_tokens // r.priority) == {"a divisor is above 0"}
    assert of_policy(lambda r: r.prompt_tokens // (r.n - 1)) == {"a divisor is above 0"}
    with pytest.raises(Misuse, match="nothing shows here that the divisor is above 0"):
        _ = orders.Unknowns().whole("one") // 2
