"""The bounds on progress: each number is what its printed formula gives, and letters are those of the argument."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from bounded import OPTIONS, drawn
from drive import small

from lineclear.config import POLICIES
from lineclear.theorems.guarantees import guarantees
from lineclear.theorems.starvation import (
    Sizes,
    formula_of_a_token,
    formula_of_the_first,
    letters,
    steps_of_the_first,
    steps_to_a_token,
)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_number_is_what_the_printed_formula_gives(policy: str) -> None:
    seen: set[str] = set()
    for number in range(40):
        changes = {
            "max_bypasses": 0,
            "num_lookahead_slots": 0,
            "policy_options": OPTIONS.get(policy, ()),
        }
        config, workload = drawn(number, scheduling_policy=policy, **changes)
        for row in guarantees(config, workload):
            bound = row.bound
            if bound is None or bound.formula == "max_bypasses":
                continue
            formula = bound.formula.rpartition("=")[2].replace("(k + 1) * ", "")
            values: dict[str, Any] = {
                name: value if isinstance(value, float) else Fraction(value)
                for name, value in bound.where
            }
            assert eval(formula, {}, values) == bound.number, (row.theorem, bound)
            seen.add(bound.formula)
    assert len(seen) >= 2


def test_letters_of_groups_and_of_steps_in_flight() -> None:
    sizes = Sizes(tokens=20, prompt=12, generated=8, width=3, requests=5)
    config = small(max_num_seqs=4, max_num_batched_tokens=16, long_prefill_token_threshold=5)
    found = letters(config, sizes)
    assert found == {
        "C": (3 * 19 - 1) // 5 + 1, "W": 4 * 19, "g": 16 - 3, "X": 3 * 19, "h": 5, "m": 8, "e": 1, "d": 1,
        "S": 4, "n": 3, "E": 2 * 4 + 3 * 4 * 4,
    }  # fmt: skip
    assert letters(small(max_steps_in_flight=2), sizes)["e"] == 2
    whole = small(max_num_seqs=4, enable_chunked_prefill=False)
    assert letters(whole, sizes)["C"] == 3
    assert steps_of_the_first(whole, sizes) == (4 + 3 + 1) * (8 + 1)
    assert formula_of_the_first(whole, sizes) == "(S + n + 1) * (m + e)"


@pytest.mark.parametrize(
    ("threshold", "changes", "formula"),
    [
        (0, False, "2 * C + 2 * d - 1"),
        (5, False, "(E + 1) * C + 2 * d - 1"),
        (0, True, "3 * (S + 1) * (C + d)"),
        (5, True, "(2 * E + S + 1) * (C + d)"),
    ],
)
def test_steps_to_a_token_with_a_limit_and_where_the_order_changes(
    threshold: int, changes: bool, formula: str
) -> None:
    sizes = Sizes(tokens=20, prompt=12, generated=8, width=2, requests=5)
    config = small(max_num_seqs=4, long_prefill_token_threshold=threshold, max_steps_in_flight=2)
    assert formula_of_a_token(config, changes=changes) == formula
    steps = steps_to_a_token(config, sizes, changes=changes)
    assert steps == eval(formula, {}, letters(config, sizes))
