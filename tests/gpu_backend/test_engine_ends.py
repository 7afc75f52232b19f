# pyright: basic
"""The engine: how sequences end, and what a stream hands out."""

from __future__ import annotations

from typing import Any

from served import GREEDY, MEMORY_PRESSURE, ask, expected, made, prompts

from lineclear_gpu.engine import Engine
from lineclear_gpu.params import SamplingParams


def letters(ids: list[int]) -> str:
    return "".join(chr(97 + i % 26) for i in ids)


def with_text(**changes: Any) -> Engine:
    engine = made(**changes).engine
    engine.decode = letters
    engine.intake.texts = True
    return engine


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
