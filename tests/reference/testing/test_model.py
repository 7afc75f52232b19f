"""The model notices a row that reads what is not its own, and one that it can't execute."""

from __future__ import annotations

import pytest

from lineclear.testing import NO_TOKEN, Copy, Failure, Limits, Row
from lineclear.testing.model import EMPTY, SlotModel

LIMITS = Limits(blocks=4, block_size=2, max_seqs=4, max_tokens=8)


def model(limits: Limits = LIMITS, **prompts: list[int]) -> SlotModel:
    made = SlotModel(limits)
    for name, prompt in prompts.items():
        made.add(name, prompt, 4)
    return made


def rule_of(made: SlotModel, *rows: Row) -> str:
    with pytest.raises(Failure) as caught:
        made.execute(rows)
    return caught.value.rule


def test_a_row_gets_a_token_if_it_samples_and_none_if_not() -> None:
    made = model(a=[1, 2, 0], b=[1, 1, 1])
    first, second = made.execute([Row("a", 0, 3, (0, 1), True), Row("b", 0, 2, (2,), False)])
    assert first in range(3)
    assert second == NO_TOKEN
    assert made.sequences["a"].tokens == [1, 2, 0, first]
    assert made.sequences["b"].tokens == [1, 1, 1]


def test_the_same_run_samples_the_same_tokens() -> None:
    row = Row("a", 0, 3, (0, 1), True)
    assert model(a=[1, 2, 0]).execute([row]) == model(a=[1, 2, 0]).execute([row])


def test_a_block_of_another_request_is_a_wrong_read() -> None:
    made = model(a=[1, 2, 0], b=[2, 2, 2])
    made.execute([Row("a", 0, 3, (0, 1), True), Row("b", 0, 3, (2, 3), True)])
    assert rule_of(made, Row("a", 3, 1, (2, 1), True)) == "read.own"


def test_a_block_that_was_never_written_is_a_wrong_read() -> None:
    assert rule_of(model(a=[1, 2, 0]), Row("a", 2, 1, (0, 1), True)) == "read.own"


def test_the_same_tokens_after_another_prefix_are_a_wrong_read() -> None:
    made = model(a=[1, 1, 2, 0, 1], b=[2, 0, 1])
    made.execute([Row("a", 0, 5, (0, 1, 2), True)])
    assert rule_of(made, Row("b", 2, 1, (1, 3), True)) == "read.own"


def test_the_same_tokens_after_the_same_prefix_may_be_shared() -> None:
    made = model(a=[1, 1, 2, 0, 1], b=[1, 1, 2, 0, 2])
    made.execute([Row("a", 0, 5, (0, 1, 2), True)])
    made.execute([Row("b", 4, 1, (0, 1, 3), True)])


def test_a_copy_carries_content_and_the_lack_of_it() -> None:
    made = model(a=[1, 2, 0])
    made.execute([Row("a", 0, 3, (0, 1), True)])
    made.copy([Copy(0, 3), Copy(2, 0)])
    assert made.holds(0) == (EMPTY, EMPTY)
    made.execute([Row("a", 3, 1, (3, 1), True)])


def test_a_row_may_read_what_the_same_step_writes_only_if_that_is_declared() -> None:
    rows = Row("a", 0, 3, (0, 1), True), Row("b", 2, 1, (0, 2), True)
    assert rule_of(model(a=[1, 2, 0], b=[1, 2, 1]), *rows) == "read.own"
    same = Limits(blocks=4, block_size=2, max_seqs=4, max_tokens=8, same_step_hits=True)
    model(same, a=[1, 2, 0], b=[1, 2, 1]).execute(rows)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (Row("x", 0, 1, (0,), True), "row.live"),
        (Row("a", 0, 0, (0,), False), "row.tokens"),
        (Row("a", 0, 4, (0, 1), True), "row.tokens"),
        (Row("a", 0, 3, (0,), True), "row.table"),
        (Row("a", 0, 3, (0, 4), True), "row.table"),
        (Row("a", 0, 2, (0,), True), "row.samples"),
        (Row("a", 0, 3, (0, 1), False), "row.samples"),
    ],
)
def test_what_can_not_be_executed_is_refused(row: Row, rule: str) -> None:
    assert rule_of(model(a=[1, 2, 0]), row) == rule


def test_host_blocks_are_no_place_for_a_row() -> None:
    limits = Limits(blocks=4, host_blocks=2, block_size=2, max_seqs=4, max_tokens=8)
    assert rule_of(model(limits, a=[1, 2, 0]), Row("a", 0, 3, (0, 2), True)) == "row.table"


def test_a_request_may_have_one_row_past_its_end_only_with_two_steps_in_flight() -> None:
    for in_flight in (1, 2):
        limits = Limits(blocks=4, block_size=2, max_seqs=4, max_tokens=8, in_flight=in_flight)
        made = SlotModel(limits)
        made.add("a", [1, 2], 1)
        made.execute([Row("a", 0, 2, (0,), True)])
        assert made.complete(made.sequences["a"])
        made.execute([Row("a", 2, 1, (0, 1), True)])  # the position of its last token
        past = Row("a", 3, 1, (0, 1), True)
        if in_flight == 1:
            assert rule_of(made, past) == "row.tokens"
        else:
            made.execute([past])
            assert len(made.sequences["a"].tokens) == 3


def test_a_stop_token_completes_a_request() -> None:
    limits = Limits(blocks=40, block_size=2, max_seqs=4, max_tokens=8, stop_token=9)
    made = SlotModel(limits)
    made.add("a", [1], 60)
    row = Row("a", 0, 1, tuple(range(40)), True)
    while not made.complete(made.sequences["a"]):
        made.execute([row])
        known = len(made.sequences["a"].tokens)
        row = Row("a", known - 1, 1, tuple(range(40)), True)
    assert made.sequences["a"].tokens[-1] == 9
    assert made.sequences["a"].sampled < 60
