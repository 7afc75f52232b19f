# pyright: basic
"""The engine with prefix caching: the tokens are those without it, whatever is shared and whatever fails."""

from __future__ import annotations

import functools
import random
from typing import Any

import pytest
from cache_mirror import CacheMirror
from served import made, model, tokens

from lineclear.config import Config
from lineclear_gpu.block_names import BlockNames, serving_settings
from lineclear_gpu.engine import EngineError
from lineclear_gpu.llm import LLM
from lineclear_gpu.params import ParamsError, SamplingParams
from lineclear_gpu.tag_run import FailingTransfer

#: A pool that holds two or three requests of the workload.
TIGHT: dict[str, Any] = {
    "num_gpu_blocks": 14,
    "num_cpu_blocks": 16,
    "max_num_seqs": 4,
    "prefix_caching": "all",
}


@functools.cache
def turns() -> tuple[list[list[int]], list[SamplingParams]]:
    """Prompts of three families that begin with the same tokens, and how they are sampled."""
    draw = random.Random(8)
    families = [[draw.randrange(320) for _ in range(40)] for _ in range(3)]
    prompts = []
    for _ in range(24):
        begin = draw.choice(families)[: draw.choice((8, 16, 24, 31, 40))]
        prompts.append(begin + [draw.randrange(320) for _ in range(draw.randint(1, 9))])
    params = [
        SamplingParams(
            n=draw.choice((1, 1, 1, 2)),
            max_tokens=draw.randint(4, 24),
            temperature=draw.choice((0.0, 1.1)),
            seed=k,
            ignore_eos=True,
            priority=draw.randint(0, 2),
            share_prefix=draw.random() < 0.85,
        )
        for k in range(24)
    ]
    return prompts, params


@functools.cache
def plain() -> list[list[list[int]]]:
    """The tokens without prefix caching and with ample memory."""
    return tokens(made(prefix_caching="off").generate(*turns()))


def salted(prompts: list[list[int]]) -> list[dict[str, Any]]:
    return [
        {"prompt_token_ids": prompt, "cache_salt": (None, "ours")[k % 2]}
        for k, prompt in enumerate(prompts)
    ]


def served(llm: LLM, *, salts: bool = False, reset: int = 0) -> list[list[list[int]]]:
    """The tokens of the turns; `reset`: the cache is reset after so many steps, again and again."""
    prompts, params = turns()
    if reset:
        step = llm.engine.step

        def stepping() -> Any:
            if llm.engine.steps % reset == reset - 1:
                llm.reset_prefix_cache()
            return step()

        llm.engine.step = stepping  # type: ignore[method-assign]
    return tokens(llm.generate(salted(prompts) if salts else prompts, params))


@pytest.mark.parametrize(
    ("mode", "policy", "depth", "salts", "reset"),
    [
        ("recompute", "fcfs", 1, False, 0),
        ("recompute", "priority", 2, False, 0),
        ("swap", "priority", 2, True, 0),
        ("auto", "fcfs", 2, True, 40),
        ("recompute", "vtc", 1, False, 30),
    ],
)
def test_caching_changes_no_token_under_memory_pressure(
    mode: str, policy: str, depth: int, salts: bool, reset: int
) -> None:
    settings = {"preemption_mode": mode, "scheduling_policy": policy, "max_steps_in_flight": depth}
    llm = made(depth, **TIGHT, **settings)
    assert served(llm, salts=salts, reset=reset) == plain()
    counters = llm.engine.scheduler.counters
    assert counters.prefix_hits > 40
    assert counters.evicted > 3
    assert counters.preemptions.total() >= 2
    clean(llm)


def clean(llm: LLM) -> None:
    """Nothing is held or kept for requests that have ended."""
    engine = llm.engine
    assert engine.scheduler.cache.available == llm.config.num_gpu_blocks
    assert engine.names is not None
    assert not engine.names.live
    names = engine.names.names
    assert not any(map(names.in_use, names.names.values()))


def test_prompts_alone_are_shared_if_that_is_asked_for() -> None:
    llm = made(1, **{**TIGHT, "prefix_caching": "prompt"}, max_steps_in_flight=2)
    assert served(llm) == plain()
    assert llm.engine.scheduler.counters.prefix_hits > 40
    clean(llm)


def test_failing_copies_and_aborts_change_no_token_of_others() -> None:
    llm = made(
        3, **TIGHT, preemption_mode="swap", max_steps_in_flight=2, scheduling_policy="priority"
    )
    turn = iter(range(10**6))
    engine = llm.engine
    engine.executor.transfer = FailingTransfer(llm.pool, lambda: next(turn) % 2 == 0)
    prompts, params = turns()
    outputs = {}
    for k, prompt in enumerate(prompts):
        engine.add(k, prompt, params[k])
        outputs[k] = engine.live[k].output
    for _ in range(12):
        engine.step()
    gone = [name for name in list(engine.live)[::3] if engine.abort(name)]
    engine.run()
    found = tokens(list(outputs.values()))
    assert len(gone) >= 2
    assert [found[k] for k in outputs if k not in gone] == [
        plain()[k] for k in outputs if k not in gone
    ]
    clean(llm)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_forward_that_raises_publishes_nothing(depth: int) -> None:
    """What a failed forward wrote is found by no request, and the one that failed finds its own blocks."""
    llm = made(depth, prefix_caching="all", max_steps_in_flight=depth, num_gpu_blocks=60)
    engine, forward = llm.engine, llm.runner.forward
    alone: list[int] = []  # failures of the request by itself, after which it fails no more

    def broken(batch: Any) -> Any:
        lane = engine.live[5].lanes.get(0) if 5 in engine.live else None
        if (
            lane in batch.lanes
            and not alone
            and len(engine.live[5].output.outputs[0].token_ids) > 3
        ):
            alone.extend([1] * (batch.rows == 1))
            for slot in batch.slots.tolist():
                llm.pool.gpu[slot // 8, :, :, slot % 8] = 9.0
            raise RuntimeError("this forward is lost")
        return forward(batch)

    llm.runner.forward = broken  # type: ignore[method-assign]
    prompts, params = turns()
    outputs = []
    for k, prompt in enumerate(prompts):
        engine.add(k, prompt, params[k])
        outputs.append(engine.live[k].output)
    engine.run()
    assert all(output.error is None for output in outputs)
    assert tokens(outputs) == plain()
    assert engine.scheduler.counters.restarted == len(alone) == 1
    assert engine.scheduler.counters.recomputed_tokens > 0
    clean(llm)
    assert tokens(llm.generate(prompts, params)) == plain()  # what was published is sound


def test_a_second_turn_computes_only_what_is_new() -> None:
    llm = made(prefix_caching="all")
    params = SamplingParams(max_tokens=21, temperature=0)
    (first,) = llm.generate([list(range(40))], params)
    assert first.num_cached_tokens == 0
    said = first.prompt_token_ids + first.outputs[0].token_ids
    (second,) = llm.generate([[*said, 7, 7]], params)
    assert second.num_cached_tokens == (len(said) - 1) // 8 * 8  # the last token has no KV
    assert tokens([second]) == tokens(made(prefix_caching="off").generate([[*said, 7, 7]], params))


def test_a_salt_keeps_blocks_apart_and_a_reset_forgets_them() -> None:
    llm = made(prefix_caching="all")
    params = SamplingParams(max_tokens=2, temperature=0)
    prompt = list(range(50))

    def hits(salt: str | None = None, **changes: Any) -> int:
        given = {"prompt_token_ids": prompt, "cache_salt": salt}
        changed = SamplingParams(max_tokens=2, temperature=0, **changes)
        found: int = llm.generate([given], changed)[0].num_cached_tokens
        return found

    assert hits("ours") == 0
    assert hits("theirs") == 0
    assert hits() == 0
    assert hits("ours") == hits("theirs") == hits() == 48
    assert hits(share_prefix=False) == 0
    assert hits("mine", share_prefix=False) == hits("mine") == 0
    assert llm.reset_prefix_cache() > 0
    assert hits("ours") == 0
    # A request that runs while the cache is reset publishes what no later request asks for.
    engine = llm.engine
    engine.add("long", prompt, SamplingParams(max_tokens=20, temperature=0))
    engine.step()
    llm.reset_prefix_cache()
    engine.run()
    assert hits() == 0
    assert llm.generate([prompt], params)[0].num_cached_tokens == 48


def test_the_events_for_routers_give_the_cache_of_the_engine() -> None:
    llm = made(2, **TIGHT, kv_events=True)
    engine, found = llm.engine, dict[int, list[int]]()
    mirror = CacheMirror()
    assert engine.names is not None
    assert engine.names.events is not None
    log = engine.names.events

    def receive(event: Any) -> None:
        mirror(event)
        log(event)

    engine.scheduler.watch_prefix_cache(receive)
    step = engine.step

    def stepping() -> Any:
        deltas = step()
        assert mirror.names == {*engine.scheduler.ledger.cached}
        for event in engine.take_kv_events()[1]:
            if event["type"] == "BlockStored":
                before = found.get(event["parent_block_hash"], [])
                for k, name in enumerate(event["block_hashes"]):
                    before = [*before, *event["token_ids"][8 * k : 8 * k + 8]]
                    found[name] = before
        return deltas

    engine.step = stepping  # type: ignore[method-assign]
    assert served(llm, salts=True) == plain()
    prompts, _ = turns()
    whole = [
        prompt + branch
        for prompt, branches in zip(prompts, plain(), strict=True)
        for branch in branches
    ]
    assert len(found) > 20
    for tokens_ in found.values():  # every chain is the beginning of what a request had
        assert any(said[: len(tokens_)] == tokens_ for said in whole)
    assert made(prefix_caching="off").engine.take_kv_events()[1] == []


def test_branches_name_blocks_of_their_own() -> None:
    llm = made(prefix_caching="all")
    params = SamplingParams(n=3, max_tokens=30, temperature=1.3, seed=5)
    (found,) = llm.generate([list(range(20))], params)
    prompt = found.prompt_token_ids
    assert len({tuple(each.token_ids) for each in found.outputs}) == 3
    greedy = SamplingParams(max_tokens=3, temperature=0)
    off = made(prefix_caching="off")
    for each in found.outputs:
        turn = [*prompt, *each.token_ids, 1]
        (second,) = llm.generate([turn], greedy)
        assert second.num_cached_tokens == 48  # of 20 + 29 positions with KV
        assert tokens([second]) == tokens(off.generate([turn], greedy))


# ---- checks that must fail -----------------------------------------------------------------------


def test_a_salt_that_is_left_out_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    add = BlockNames.add
    monkeypatch.setattr(
        BlockNames, "add", lambda self, name, ids, _, submit: add(self, name, ids, None, submit)
    )
    with pytest.raises(AssertionError):
        test_a_salt_keeps_blocks_apart_and_a_reset_forgets_them()


def test_names_that_forget_what_comes_before_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of equal tokens after other beginnings hold other KV: tokens change."""
    add = BlockNames.add

    def alone(self: Any, name: Any, ids: list[int], salt: Any, submit: Any) -> Any:
        size = self.size
        begin = [0] * size  # as if every prompt began with the same block
        changed = [*begin, *ids[size:]] if len(ids) > size else ids
        return add(self, name, changed, salt, submit)

    monkeypatch.setattr(BlockNames, "add", alone)
    assert served(made(1, **TIGHT)) != plain()


def test_names_of_other_tokens_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that is named with a token which was not sampled is found by those who have that token."""
    following = BlockNames.following

    def early(self: Any, request_id: Any, branch: int, names: tuple[int, ...]) -> Any:
        lane = self.book.lane[request_id, branch]
        self.book.tokens[lane, 23] = 0  # a guess, where another token stands
        return following(self, request_id, branch, names)

    prompt = list(range(20))
    params = SamplingParams(max_tokens=20, temperature=0)
    (first,) = made(prefix_caching="off").generate([prompt], params)
    said = prompt + first.outputs[0].token_ids
    guess = [*said[:23], 0, *said[24:32], 5]  # as said, but for the last token of the third block
    assert said[23] != 0
    wanted = tokens(made(prefix_caching="off").generate([guess], params))

    def second() -> tuple[int, list[Any]]:
        llm = made(prefix_caching="all")
        llm.generate([prompt], params)
        (found,) = llm.generate([guess], params)
        return found.num_cached_tokens, tokens([found])

    assert second() == (16, wanted)
    monkeypatch.setattr(BlockNames, "following", early)
    hits, found = second()
    assert hits == 32  # the block of another token was found, and the one behind it
    assert found != wanted


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "caching", "mode"),
    [
        ({}, "all", "recompute"),
        ({"prefix_caching": "off"}, "off", "auto"),
        ({"prefix_caching": "prompt"}, "prompt", "recompute"),
        ({"preemption_mode": "swap"}, "off", "swap"),
        ({"preemption_mode": "recompute"}, "all", "recompute"),
        ({"preemption_mode": "swap", "prefix_caching": "all"}, "all", "swap"),
        ({"preset": "lesson"}, "off", "by_length"),
        ({"rules": "nano_vllm", "num_cpu_blocks": 0}, "off", "auto"),
    ],
)
def test_caching_is_on_unless_the_settings_say_otherwise(
    chosen: dict[str, Any], caching: str, mode: str
) -> None:
    settings = serving_settings(chosen)
    if "rules" in chosen:
        assert "prefix_caching" not in settings
        return
    config = Config.from_mapping(settings)
    assert (config.prefix_caching, config.preemption_mode) == (caching, mode)


def test_a_model_serves_with_caching_and_without_cpu_blocks() -> None:
    llm = LLM(model(), num_gpu_blocks=64)
    assert (llm.config.prefix_caching, llm.config.preemption_mode) == ("all", "recompute")
    assert llm.config.num_cpu_blocks == 0
    off = LLM(model(), num_gpu_blocks=64, prefix_caching="off")
    assert off.config.num_cpu_blocks == 16
    assert off.engine.names is None
    assert off.reset_prefix_cache() == 0


@pytest.mark.parametrize("salt", ["", 7, b"x", ["a"]])
def test_a_salt_that_is_no_text_is_refused(salt: Any) -> None:
    llm = made()
    with pytest.raises(EngineError, match="cache_salt must be a text that is not empty"):
        llm.generate({"prompt_token_ids": [1, 2], "cache_salt": salt})
    assert not llm.engine.busy


def test_a_request_that_is_turned_away_leaves_no_name() -> None:
    llm = made(prefix_caching="all")
    engine = llm.engine
    with pytest.raises(EngineError, match="was rejected"):
        engine.add("long", list(range(90)), SamplingParams(max_tokens=90))
    engine.add("one", list(range(20)), SamplingParams(max_tokens=2))
    with pytest.raises(ValueError, match="live already"):
        engine.add("one", list(range(30)), SamplingParams(max_tokens=2))
    engine.run()
    clean(llm)
    with pytest.raises(ParamsError, match="share_prefix must be True or False"):
        SamplingParams(share_prefix=1)  # type: ignore[arg-type]
