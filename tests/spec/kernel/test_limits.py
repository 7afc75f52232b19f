"""The constants of a scheduler are numbers and truth values, and stay as they are."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lineclear_spec.kernel.records import Limits

NUMBERS = (
    "block_size", "gpu_blocks", "cpu_blocks", "max_num_batched_tokens", "max_num_seqs", "max_model_len",
    "max_steps_in_flight",
)  # fmt: skip
SIZES: dict[str, Any] = {"block_size": 4, "gpu_blocks": 8}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("wrong", [-1, 1.5, 1.0, True, "x", None, [1]])
def test_a_number_is_a_whole_number(name: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name} is "):
        Limits(**{**SIZES, name: wrong})


@pytest.mark.parametrize("name", ["chunked", "cut_long"])
@pytest.mark.parametrize("wrong", [1.0, "yes", None])
def test_a_truth_value_is_one(name: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name} is {wrong!r}: it must be of type bool"):
        Limits(**SIZES, **{name: wrong})


def test_at_most_two_steps_are_in_flight() -> None:
    with pytest.raises(ValueError, match=r"^max_steps_in_flight is 3: it must be 1 or 2"):
        Limits(**SIZES, max_steps_in_flight=3)


def test_limits_do_not_change() -> None:
    limits: Any = Limits(**SIZES)
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.block_size = 0
