# pyright: basic
"""The engine: a real model's tokens under any pool, any order of copies, and failures."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
from served import BASE, GREEDY, MEMORY_PRESSURE, SAMPLED, expected, made, prompts, tokens
from stand_ins import DelayedStreams
from token_parity import reference_tokens

from lineclear_gpu.engine import Engine, EngineError
from lineclear_gpu.llm import LLM
from lineclear_gpu.model import Model, load_model
from lineclear_gpu.outputs import Text
from lineclear_gpu.params import ParamsError, SamplingParams
from lineclear_gpu.tag_run import FailingTransfer


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    ("mode", "policy", "chunked"),
    [
        ("swap", "fcfs", True),
        ("recompute", "priority", True),
        ("auto", "fcfs", False),
        ("by_length", "priority", False),
        ("swap", "vtc", True),
    ],
)
def test_memory_pressure_gives_the_tokens_of_generate(
    mode: str, policy: str, chunked: bool, depth: int
) -> None:
    llm = made(
        depth,
        **MEMORY_PRESSURE,
        max_steps_in_flight=depth,
        preemption_mode=mode,
        scheduling_policy=policy,
        enable_chunked_prefill=chunked,
        swap_threshold=24,
    )
    params = [
        SamplingParams(max_tokens=20, temperature=0, priority=k % 3, ignore_eos=True)
        for k in range(10)
    ]
    found = llm.generate(prompts(), params)
    assert [each[0] for each in tokens(found)] == expected()
    preempted = llm.engine.scheduler.counters.preemptions
    assert preempted.total() >= 2
    if mode in ("swap", "recompute"):
        assert preempted[mode] >= 2
    if preempted["swap"]:
        assert llm.engine.executor.hazards is not None
        assert llm.engine.executor.hazards.checked > 0


#: Each model with several kinds of memory pressure; all combinations in the deep run.
WAYS = [
    ("tiny-qwen3", "swap", "fcfs", True, 1),
    ("tiny-qwen3", "recompute", "priority", False, 2),
    ("tiny-mistral", "recompute", "fcfs", True, 2),
    ("tiny-mistral", "swap", "priority", True, 1),
    ("tiny-gemma3", "swap", "priority", False, 2),
    ("tiny-gemma3", "auto", "fcfs", True, 2),
]
EVERY_WAY = [
    (name, mode, policy, chunked, depth)
    for name in ("tiny-llama", "tiny-qwen3", "tiny-mistral", "tiny-gemma3")
    for mode in ("swap", "recompute", "auto")
    for policy in ("fcfs", "priority")
    for chunked in (True, False)
    for depth in (1, 2)
]


@functools.cache
def reference_of(name: str) -> tuple[Model, list[list[int]]]:
    chosen = load_model(name)
    return chosen, reference_tokens(chosen, prompts()[:6], 16)


def same_tokens(name: str, mode: str, policy: str, chunked: bool, depth: int) -> None:
    """Greedy output, one and two sequences per prompt, equals `generate`'s."""
    chosen, wanted = reference_of(name)
    changes = {
        **BASE,
        "num_gpu_blocks": 13,
        "num_cpu_blocks": 16,
        "preemption_mode": mode,
        "scheduling_policy": policy,
        "enable_chunked_prefill": chunked,
        "max_steps_in_flight": depth,
    }
    llm = LLM(chosen, streams=DelayedStreams(seed=depth), verify=True, **changes)
    params = [
        SamplingParams(n=1 + k % 2, max_tokens=16, temperature=0, priority=k % 3, ignore_eos=True)
        for k in range(6)
    ]
    found = tokens(llm.generate(prompts()[:6], params))
    assert found == [[each] * (1 + k % 2) for k, each in enumerate(wanted)]
    preempted = llm.engine.scheduler.counters.preemptions
    assert preempted.total() >= 1
    if mode != "auto":
        assert preempted[mode] >= 1


@pytest.mark.parametrize(("name", "mode", "policy", "chunked", "depth"), WAYS)
def test_every_model_gives_the_tokens_of_generate_when_short_of_memory(
    name: str, mode: str, policy: str, chunked: bool, depth: int
) -> None:
    same_tokens(name, mode, policy, chunked, depth)


@pytest.mark.deep
@pytest.mark.parametrize(("name", "mode", "policy", "chunked", "depth"), EVERY_WAY)
def test_every_model_in_every_way(
    name: str, mode: str, policy: str, chunked: bool, depth: int
) -> None:
    same_tokens(name, mode, policy, chunked, depth)


def test_preemption_order_and_depth_never_change_what_is_sampled() -> None:
    ample = tokens(made().generate(prompts(), SAMPLED))
    for seed, mode in enumerate(("swap", "recompute")):
        changes = {
            **MEMORY_PRESSURE,
            "num_gpu_blocks": 14,
            "preemption_mode": mode,
            "max_steps_in_flight": 1 + seed,
        }
        llm = made(seed, **changes)
        assert tokens(llm.generate(prompts(), SAMPLED)) == ample
        assert llm.engine.scheduler.counters.preemptions[mode] >= 2
    backwards = tokens(made().generate(prompts()[::-1], SAMPLED))
    assert backwards[::-1] == ample


def test_branches_share_their_prompt_and_differ_afterwards() -> None:
    llm = made()
    engine = llm.engine
    (found,) = llm.generate([prompts()[0]], SAMPLED)
    assert len({tuple(c.token_ids) for c in found.outputs}) == 3
    assert [c.index for c in found.outputs] == [0, 1, 2]
    assert engine.scheduler.cache.available == 200
    for branch in range(3):  # each equals its output alone, under its own number
        assert run_alone(branch) == found.outputs[branch].token_ids


def run_alone(branch: int) -> list[int]:
    """One sequence alone that samples as that branch of its request."""
    engine = made().engine
    settle = engine.lanes._settle

    def under(live: Any, _: int, lane: int) -> None:
        settle(live, 0, lane)
        engine.lanes._sequence[lane] = branch

    engine.lanes._settle = under  # type: ignore[method-assign, assignment]
    output = ask(engine, "a", SamplingParams(**{**as_dict(SAMPLED), "n": 1}))
    engine.run()
    ids: list[int] = output.outputs[0].token_ids
    return ids


def as_dict(params: SamplingParams) -> dict[str, Any]:
    return {name: getattr(params, name) for name in SamplingParams.__slots__}


def test_requests_without_a_seed_differ_and_a_seed_repeats() -> None:
    params = SamplingParams(max_tokens=12, temperature=1.0)
    llm = made()
    one, two = llm.generate([prompts()[0]] * 2, params)
    assert one.outputs[0].token_ids != two.outputs[0].token_ids
    again = made().generate([prompts()[0]] * 2, params)
    assert tokens(again) == tokens([one, two])


# ---- how sequences end ----------------------------------------------------------------------------


def letters(ids: list[int]) -> str:
    return "".join(chr(97 + i % 26) for i in ids)


def with_text(**changes: Any) -> Engine:
    engine = made(**changes).engine
    engine.decode = letters
    engine.intake.texts = True
    return engine


def ask(engine: Engine, name: Any, params: SamplingParams) -> Any:
    engine.add(name, prompts()[0], params)
    return engine.live[name].output


def test_a_stop_token_ends_a_sequence_with_it() -> None:
    greedy = expected()[0]
    engine = with_text()
    stop = SamplingParams(max_tokens=20, temperature=0, stop_token_ids=(greedy[4],))
    output = ask(engine, "a", stop)
    engine.run()
    (done,) = output.outputs
    at = greedy.index(greedy[4])
    assert done.token_ids == greedy[: at + 1]
    assert (done.finish_reason, done.stop_reason) == ("stop", greedy[4])
    assert not engine.busy
    assert engine.scheduler.cache.available == 200


def test_the_models_own_end_counts_unless_it_is_ignored() -> None:
    greedy = expected()[0]
    engine = with_text()
    engine.ends = frozenset([greedy[3]])
    ended = ask(engine, "a", GREEDY)
    kept = ask(engine, "b", SamplingParams(max_tokens=20, temperature=0, ignore_eos=True))
    engine.run()
    assert ended.outputs[0].token_ids == greedy[: greedy.index(greedy[3]) + 1]
    assert kept.outputs[0].token_ids == greedy
    assert kept.outputs[0].finish_reason == "length"


def test_a_stop_text_across_tokens_is_cut_off_and_never_handed_out() -> None:
    text = letters(expected()[0])
    stop = text[5:8]
    at = text.index(stop)
    engine = with_text()
    output = ask(engine, "a", SamplingParams(max_tokens=20, temperature=0, stop=[stop, "#"]))
    given = ""
    while engine.busy:
        given += "".join(delta.text for delta in engine.step())
    assert given == output.outputs[0].text == text[:at]
    assert output.outputs[0].stop_reason == stop
    assert len(output.outputs[0].token_ids) == at + 3
    keep = SamplingParams(max_tokens=20, temperature=0, stop=stop, include_stop_str_in_output=True)
    other = ask(engine, "b", keep)
    engine.run()
    assert other.outputs[0].text == text[: at + 3]


def test_what_may_become_a_stop_text_is_held_back_and_given_if_it_does_not() -> None:
    text = Text(lambda ids: "".join(map(chr, ids)), ("abc",), keep_stop=False)
    given: list[str] = []
    said = [ord(c) for c in "xabyab"]
    for count in range(1, len(said) + 1):
        assert text.add(said[:count]) is None
        given.append(text.take(ended=False))
    assert given == ["x", "", "", "aby", "", ""]
    assert text.take(ended=True) == "ab"


def test_bytes_that_are_no_character_yet_are_held_back() -> None:
    def decode(ids: list[int]) -> str:
        return bytes(ids).decode("utf-8", errors="replace")

    text = Text(decode, (), keep_stop=False)
    said = list("aé€z".encode())
    given = ""
    for count in range(1, len(said) + 1):
        text.add(said[:count])
        new = text.take(ended=False)
        assert "\ufffd" not in new
        given += new
    assert given == "aé€z"


def test_a_stream_hands_out_every_token_once() -> None:
    llm = made()
    deltas = list(llm.stream(prompts()[1], GREEDY))
    assert [t for delta in deltas for t in delta.token_ids] == expected()[1]
    assert [delta.finish_reason for delta in deltas] == [None] * 19 + ["length"]


def test_an_abort_ends_one_request_and_no_other() -> None:
    llm = made(**MEMORY_PRESSURE, max_steps_in_flight=2)
    engine = llm.engine
    outputs = {}
    for k, prompt in enumerate(prompts()):
        engine.add(k, prompt, GREEDY)
        outputs[k] = engine.live[k].output
    for _ in range(6):
        engine.step()
    victim = next(iter(engine.live))
    waiting = list(engine.live)[-1]
    assert engine.abort(victim)
    assert engine.abort(waiting)
    assert not engine.abort(victim)
    engine.run()
    for k, output in outputs.items():
        if k in (victim, waiting):
            assert output.outputs[0].finish_reason == "abort"
            assert expected()[k][: len(output.outputs[0].token_ids)] == output.outputs[0].token_ids
        else:
            assert output.outputs[0].token_ids == expected()[k]
    assert engine.scheduler.cache.available == 12


# ---- failures -------------------------------------------------------------------------------------


def test_copies_that_fail_cost_time_and_no_token() -> None:
    llm = made(**MEMORY_PRESSURE, preemption_mode="swap", max_steps_in_flight=2)
    turns = iter(range(10**6))
    llm.engine.executor.transfer = FailingTransfer(llm.pool, lambda: next(turns) % 2 == 0)
    found = llm.generate(prompts(), GREEDY)
    assert [each[0] for each in tokens(found)] == expected()
    assert llm.engine.scheduler.counters.failed_copies >= 2


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("n", [1, 2])
def test_a_forward_that_raises_once_costs_time_and_no_token(depth: int, n: int) -> None:
    params = SamplingParams(n=n, max_tokens=12, temperature=1.0, seed=4)
    wanted = tokens(made().generate(prompts(), params))
    llm = made(max_steps_in_flight=depth, num_gpu_blocks=40)
    plain = llm.runner.forward
    calls = iter(range(10**6))

    def forward(batch: Any) -> Any:
        if next(calls) in (3, 17):
            raise RuntimeError("out of memory, or so")
        return plain(batch)

    llm.runner.forward = forward  # type: ignore[method-assign]
    found = llm.generate(prompts(), params)
    if all(output.error is None for output in found):
        assert tokens(found) == wanted
    else:  # in both failed steps: the second failure ends it
        pairs = zip(found, tokens(found), wanted, strict=True)
        assert all(o.error is not None or mine == want for o, mine, want in pairs)
        assert any(o.error is None for o in found)
    assert len(llm.engine.failures) == 2
    assert llm.engine.scheduler.cache.available == 40


def test_a_forward_that_always_raises_ends_requests_with_the_error_and_the_engine_goes_on() -> (
    None
):
    llm = made()
    plain = llm.runner.forward

    def broken(batch: Any) -> Any:
        raise RuntimeError("this kernel is broken")

    llm.runner.forward = broken  # type: ignore[method-assign]
    found = llm.generate(prompts()[:3], GREEDY)
    assert [o.outputs[0].finish_reason for o in found] == ["error"] * 3
    assert {o.error for o in found} == {"RuntimeError: this kernel is broken"}
    llm.runner.forward = plain  # type: ignore[method-assign]
    assert tokens(llm.generate(prompts()[:2], GREEDY)) == [[e] for e in expected()[:2]]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ([], "empty prompt"),
        ("a text", "no tokenizer"),
        ([1, 400], "token ids must lie in 0 to 319"),
        ([1] * 96, "leaves no room"),
    ],
)
def test_a_prompt_that_cannot_be_served_is_refused_and_leaves_nothing(
    prompt: Any, said: str
) -> None:
    llm = made()
    with pytest.raises(EngineError, match=said):
        llm.generate([[1, 2], prompt], GREEDY)
    assert not llm.engine.busy


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 0},
        {"max_tokens": 0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_k": 1.5},
        {"stop": [""]},
    ],
)
def test_invalid_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParamsError):
        SamplingParams(**wrong)


def test_a_pool_of_other_sizes_is_refused_with_the_size_that_differs() -> None:
    engine = made(num_gpu_blocks=12).engine
    other = replace(engine.config, num_gpu_blocks=11)
    with pytest.raises(
        EngineError, match=r"^the pool has num_gpu_blocks 12, the settings say 11$"
    ):
        Engine(other, engine.runner, engine.pool, vocab_size=320)
    drafts = replace(engine.config, num_lookahead_slots=2)
    with pytest.raises(EngineError, match=r"^num_lookahead_slots is 2; it must be 0"):
        Engine(drafts, engine.runner, engine.pool, vocab_size=320)
