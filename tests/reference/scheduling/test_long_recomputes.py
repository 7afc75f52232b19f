"""Without chunking, only a request that has become longer than a step is computed in several."""

from __future__ import annotations

from typing import Any

import pytest
from drive import Drive, rows

from lineclear.config import Config
from lineclear.request import Rejected
from lineclear.theorems.guarantees import lost_premises
from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Limits, Refused

#: Steps of 8 tokens, and room for 24: two requests of 6 + 10 tokens do not fit.
WHOLE: dict[str, Any] = {
    "enable_chunked_prefill": False,
    "max_num_batched_tokens": 8,
    "max_num_seqs": 2,
    "num_gpu_blocks": 6,
    "num_cpu_blocks": 0,
}


def test_without_the_option_it_is_rejected_for_a_recompute_that_may_never_come() -> None:
    answer = Drive(**WHOLE).add("a", 6, 10)
    assert isinstance(answer, Rejected)
    assert "without chunking it fits into max_num_batched_tokens" in answer.reason


def test_prompts_are_whole_and_a_long_recompute_is_cut() -> None:
    drive = Drive(**WHOLE, enable_chunked_recompute=True)
    assert drive.add("a", 6, 10)
    assert drive.add("b", 6, 10)
    seen: list[dict[Any, int]] = []
    while drive.scheduler.has_unfinished():
        seen.append(rows(drive.step()))
    assert seen[:3] == [{"a": 6}, {"a": 1, "b": 6}, {"a": 1, "b": 1}]
    assert [step["b"] for step in seen if "b" in step and step["b"] > 1] == [6, 8, 4]
    assert drive.actions["recompute"] == 1


def test_a_prompt_that_is_longer_than_a_step_is_rejected() -> None:
    answer = Drive(**WHOLE, enable_chunked_recompute=True).add("a", 9, 2)
    assert isinstance(answer, Rejected)
    assert answer.code == "max_num_batched_tokens"
    assert answer.reason == (
        "its prompt has 9 tokens, a step computes at most 8 (max_num_batched_tokens): raise that or "
        "enable chunked prefill"
    )


@pytest.mark.parametrize(("known", "allowed"), [(4, False), (5, True)])
def test_the_table_lets_only_what_is_longer_than_a_step_be_cut(known: int, allowed: bool) -> None:
    limits = Limits(
        block_size=4, gpu_blocks=4, max_num_batched_tokens=4, chunked=False, cut_long=True
    )
    ledger = Ledger(limits)
    request = ledger.new_request(known, known + 2, 1)
    sequence = actions.submit(ledger, request)
    actions.admit(ledger, request)
    if allowed:
        actions.schedule_tokens(ledger, sequence, 3, 0)
        return
    with pytest.raises(Refused, match="without chunking every known token is computed at once"):
        actions.schedule_tokens(ledger, sequence, 3, 0)


def test_its_theorems_are_not_claimed() -> None:
    lost = lost_premises(Config(**WHOLE, enable_chunked_recompute=True))
    assert [one.premise for one in lost] == ["F5"]
    assert "enable_chunked_recompute" in str(lost[0])
    chunks = Config(enable_chunked_recompute=True)
    assert not lost_premises(chunks)
