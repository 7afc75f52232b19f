"""Prefix ids of a trace: names of blocks, and what a cache without bound would find."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineclear.workload.prefixes import SPAN, PromptsSeen, check_prefixes, prompt_names
from lineclear.workload.workload import Arrival, Workload, WorkloadError


def arrival(number: int, prompt: int, *ids: int) -> Arrival:
    return Arrival(str(number), float(number), prompt, (1,), 1, prefix_ids=ids)


def of(*requests: Arrival) -> Workload:
    return Workload("made", "of the test", requests)


@pytest.mark.parametrize("size", [1, 16, 128, 512])
def test_an_id_names_as_many_blocks_as_fit_into_its_tokens(size: int) -> None:
    names = prompt_names(arrival(1, SPAN + 300, 0, 7), size)
    each = SPAN // size
    assert names[:each] == tuple(range(1, each + 1))
    assert names[each:] == tuple(range(7 * each + 1, 7 * each + 1 + 300 // size))
    assert prompt_names(arrival(2, 3000), size) == ()


@pytest.mark.parametrize(
    ("request_", "size", "said"),
    [
        (arrival(1, 600, 1, 2), 24, "blocks of 24 do not divide"),
        (arrival(1, 600, 1, 1), 16, "has a prefix id twice"),
        (arrival(1, 600, -1), 16, "has a negative prefix id"),
    ],
)
def test_ids_that_cannot_name_blocks_are_refused(request_: Arrival, size: int, said: str) -> None:
    with pytest.raises(WorkloadError, match=said):
        check_prefixes(of(request_), size)
    check_prefixes(of(arrival(1, 600)), 24)


REQUESTS = st.lists(
    st.tuples(st.integers(1, 1600), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6
)


@given(REQUESTS, st.sampled_from([64, 128, 512]))
def test_without_bound_every_block_that_was_there_is_found(
    drawn: list[tuple[int, int, int]], size: int
) -> None:
    """Beside a set of every name that ever was."""
    seen, names, best = PromptsSeen(size), set[int](), 0
    for number, (prompt, family, shared) in enumerate(drawn):
        spans = -(-prompt // SPAN)
        # A family has its ids in common up to the shared ones; an id of part of a prompt is its own.
        own = [1000 + 10 * number + k for k in range(spans)]
        ids = [10 * family + k for k in range(min(shared, prompt // SPAN))]
        request = arrival(number, prompt, *(ids + own[len(ids) :]))
        given_names = prompt_names(request, size)
        count = 0
        for name in given_names[: (prompt - 1) // size]:
            if name not in names:
                break
            count += 1
        best += count * size
        names.update(given_names)
        seen.add(request)
    assert seen.found == best
    assert seen.asked == sum(prompt for prompt, _, _ in drawn)
