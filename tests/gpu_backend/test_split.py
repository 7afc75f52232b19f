# pyright: basic
"""Groups that do not fit into the pool: the caller sees one request with the tokens of a group."""

from __future__ import annotations

from typing import Any

import pytest
from served import GREEDY, expected, made, prompts

from lineclear.request import InvalidRequest
from lineclear_gpu.engine import EngineError
from lineclear_gpu.llm import LLM
from lineclear_gpu.outputs import Delta, RequestOutput
from lineclear_gpu.params import SamplingParams

#: A pool in which a sequence of 24 + 16 tokens fits, and three of a group do not.
SMALL: dict[str, Any] = {"num_gpu_blocks": 6, "num_cpu_blocks": 8}
PROMPT = list(range(24))


def group(llm: LLM, name: Any = "g", **changes: Any) -> RequestOutput:
    params: dict[str, Any] = {"n": 3, "max_tokens": 16, "temperature": 1.2, "seed": 11, **changes}
    return llm.engine.add(name, PROMPT, SamplingParams(**params))


def sampled(output: RequestOutput) -> list[list[int]]:
    return [completion.token_ids for completion in output.outputs]


@pytest.mark.parametrize("caching", ["off", "all"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_split_group_has_the_tokens_of_a_group(depth: int, caching: str) -> None:
    settings: dict[str, Any] = {"max_steps_in_flight": depth, "prefix_caching": caching}
    whole = made(**settings)
    wanted = group(whole)
    whole.engine.run()
    llm = made(**settings, **SMALL)
    split, deltas = group(llm), list[Delta]()
    llm.engine.run(deltas.extend)
    assert len(set(map(tuple, sampled(wanted)))) == 3  # branches that differ
    assert sampled(split) == sampled(wanted)
    given: list[list[int]] = [[], [], []]
    for delta in deltas:
        assert delta.request_id == "g"
        given[delta.index] += delta.token_ids
    assert given == sampled(wanted)
    assert [delta.index for delta in deltas if delta.finish_reason] != []
    assert split.finished
    assert [c.finish_reason for c in split.outputs] == ["length"] * 3
    assert llm.engine.output_of("g") is None
    assert group(llm).request_id == "g"  # the id is free again


def test_a_drawn_seed_is_that_of_the_group() -> None:
    whole, llm = made(), made(**SMALL)
    wanted, split = group(whole, seed=None), group(llm, seed=None)
    whole.engine.run()
    llm.engine.run()
    assert sampled(split) == sampled(wanted)


def test_more_sequences_than_may_run_at_once_run_one_after_the_other() -> None:
    wide = made(max_num_seqs=3)
    wanted = group(wide)
    wide.engine.run()
    llm = made(max_num_seqs=2)
    split = group(llm)
    llm.engine.run()
    assert sampled(split) == sampled(wanted)


def test_preemptions_of_all_its_sequences_count() -> None:
    llm = made(num_gpu_blocks=7, num_cpu_blocks=8, preemption_mode="recompute")
    split = group(llm)
    llm.engine.run()
    assert split.preemptions == llm.engine.scheduler.counters.preemptions["recompute"] > 0


def test_without_splitting_it_is_rejected() -> None:
    with pytest.raises(EngineError, match="its worst case fits into the GPU pool"):
        group(made(split_groups=False, **SMALL))


def test_a_branch_that_does_not_fit_either_is_rejected() -> None:
    llm = made(num_gpu_blocks=4)
    with pytest.raises(EngineError, match="its worst case fits into the GPU pool"):
        group(llm)
    assert not llm.engine.busy


def test_if_one_sequence_is_turned_away_all_are() -> None:
    llm = made(max_waiting=2, prefix_caching="all", **SMALL)
    with pytest.raises(EngineError, match="max_waiting: 2 requests wait already"):
        group(llm)
    assert not llm.engine.scheduler.entries
    assert not llm.engine.busy
    assert llm.engine.names is not None
    assert not llm.engine.names.live
    one = group(llm, n=1)
    llm.engine.run()
    assert one.finished


def test_an_abort_ends_all_of_it_and_its_id_is_taken_until_then() -> None:
    llm = made(**SMALL)
    split = group(llm)
    llm.engine.step()
    with pytest.raises(InvalidRequest, match="request_id 'g' is live already"):
        group(llm)
    assert llm.engine.abort("g")
    assert not llm.engine.abort("g")
    assert [c.finish_reason for c in split.outputs] == ["abort"] * 3
    again = group(llm)  # before the output of the aborted one was taken
    llm.engine.run()
    assert [c.finish_reason for c in again.outputs] == ["length"] * 3
    assert not llm.engine.scheduler.entries


def test_a_sequence_that_fails_leaves_the_others_their_tokens() -> None:
    llm = made(**SMALL)
    split = group(llm)
    for name in list(llm.engine.live):
        if getattr(name, "number", 0) == 1:
            llm.engine._end(llm.engine.live[name], "it cannot be computed")
    llm.engine.run()
    assert split.error == "it cannot be computed"
    assert [c.finish_reason for c in split.outputs] == ["length", "error", "length"]


def test_a_stream_of_a_split_group_yields_all_of_it() -> None:
    llm = made(**SMALL)
    params = SamplingParams(n=3, max_tokens=8, temperature=1.2, seed=11)
    with llm.stream(PROMPT, params) as stream:
        given = list(stream)
    assert sum(len(delta.token_ids) for delta in given) == 24
    left = llm.stream(PROMPT, params)
    next(left)
    left.close()
    assert not llm.engine.live


def test_its_sequences_have_ids_that_nobody_else_can_choose() -> None:
    llm = made(**SMALL)
    other = llm.engine.add(("g", 0), prompts()[0], GREEDY)
    output = group(llm)
    assert not llm.engine.abort(("g", 1))
    assert llm.engine.output_of(("g", 1)) is None
    llm.engine.run()
    assert other.outputs[0].token_ids == expected()[0]
    assert all(each.finish_reason == "length" for each in output.outputs)
