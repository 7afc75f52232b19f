"""Sizes that can't be tested are refused, and the longest request is what must be served."""

from __future__ import annotations

from typing import Any

import pytest

from lineclear.testing import Limits


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"blocks": 0}, "blocks is 0; it must be at least 1"),
        ({"in_flight": 0}, "in_flight is 0"),
        ({"dying_steps": -1}, "dying_steps is -1"),
        ({"host_blocks": 4}, "the device needs one"),
        ({"order": "sjf"}, "it must be None or 'fcfs'"),
    ],
)
def test_sizes_that_mean_nothing_are_refused(changed: dict[str, Any], message: str) -> None:
    sizes: dict[str, Any] = {"blocks": 4, "block_size": 2, "max_seqs": 2, "max_tokens": 4}
    with pytest.raises(ValueError, match=message):
        Limits(**{**sizes, **changed})


def test_the_longest_request_fills_the_device_but_for_its_last_token() -> None:
    sizes: dict[str, Any] = {"block_size": 2, "max_seqs": 2, "max_tokens": 5}
    assert Limits(blocks=4, **sizes).longest == 9
    assert Limits(blocks=6, host_blocks=2, **sizes).longest == 9
    assert Limits(blocks=4, chunked=False, **sizes).longest == 6
    assert Limits(blocks=4, max_len=7, **sizes).longest == 7


def test_ids_begin_where_they_are_said_to() -> None:
    limits = Limits(blocks=5, host_blocks=2, block_size=2, max_seqs=1, max_tokens=1, first_block=2)
    assert list(limits.block_ids) == [2, 3, 4, 5, 6]
    assert list(limits.device_ids) == [2, 3, 4]


def test_the_types_of_its_signatures_are_public_and_execute_is_a_protocol() -> None:
    import inspect

    import lineclear.testing as public
    from lineclear.testing.machine import Machine

    assert {"Make", "Execute"} <= set(public.__all__)
    wanted = inspect.signature(public.Execute.__call__).parameters
    given = inspect.signature(vars(Machine)["_execute"]).parameters
    assert list(wanted) == list(given) == ["self", "rows", "copies"]
    assert wanted["copies"].default == given["copies"].default == ()
