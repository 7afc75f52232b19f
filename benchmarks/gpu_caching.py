# pyright: basic
"""Prefix caching on a GPU: the second turn of a conversation, parity, and tags.

Parity: greedy float32 tokens with shared prefixes, salts and resets under memory pressure equal those
without caching in ample memory; a token may differ only where rounding decides, and such ties are
counted. Tags: every slot that is read is checked, and a wrong one raises.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch
from gpu_parity import TIE, serve
from gpu_serving import NAME
from gpu_tags import tags

Result = dict[str, Any]
#: Tokens of a first turn, and tokens that a second one adds behind the first and its answer.
TURN, MORE = 4096, 64
#: Steps of the runs with tags.
TAG_STEPS = 100_000


def first_token(llm: Any, tokens: list[int], answer: int) -> tuple[float, Any]:
    """Seconds until a prompt's first token, and its output when all of the answer is there."""
    from lineclear_gpu.params import SamplingParams

    params = SamplingParams(max_tokens=answer, temperature=0, ignore_eos=True)
    engine = llm.engine
    begin = time.perf_counter()
    llm._asked += 1
    engine.add(llm._asked, tokens, params)
    output = engine.live[llm._asked].output
    while not output.outputs[0].token_ids:
        engine.step()
    seconds = time.perf_counter() - begin
    engine.run()
    return seconds, output


def turns(
    _: Result, device: str = "cuda", name: str = NAME, turn: int = TURN, repeat: int = 8
) -> Result:
    """Time to the first token of a second turn, beside the first and beside one chunk of what is new."""
    from lineclear_gpu.llm import LLM
    from lineclear_gpu.model import load_model

    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = load_model(name, device=device, dtype=dtype)
    blocks = 4 * -(-turn // 16) + 64
    llm = LLM(
        model, seed=0, block_size=16, max_num_seqs=16, max_model_len=turn + MORE + 64,
        max_num_batched_tokens=max(2 * turn, 64), num_gpu_blocks=blocks, watermark=0.0,
    )  # fmt: skip
    random = np.random.default_rng(7)

    def drawn(count: int) -> list[int]:
        return random.integers(0, model.vocab_size, count).tolist()

    times: dict[str, list[float]] = {"first": [], "second": [], "chunk": []}
    found, answer = [], 32
    for k in range(1 + repeat):
        prompt = drawn(turn)
        one, output = first_token(llm, prompt, answer)
        said = [*prompt, *output.outputs[0].token_ids, *drawn(MORE)]
        two, again = first_token(llm, said, 1)
        alone, other = first_token(llm, drawn(len(said) - again.num_cached_tokens), 1)
        if again.num_cached_tokens < turn or other.num_cached_tokens:
            raise AssertionError(f"{again.num_cached_tokens} tokens of {turn} were found")
        if k:  # the first of each compiles
            for key, value in (("first", one), ("second", two), ("chunk", alone)):
                times[key].append(value)
            found.append(again.num_cached_tokens)
    llm.close()
    result: Result = {f"{key} turn ms": statistics.median(t) * 1e3 for key, t in times.items()}
    result["chunk of the new tokens alone ms"] = result.pop("chunk turn ms")
    result["tokens of the first turn"] = turn
    result["tokens found by the second"] = min(found)
    result["second over first"] = result["second turn ms"] / result["first turn ms"]
    result["second over a chunk"] = (
        result["second turn ms"] / result["chunk of the new tokens alone ms"]
    )
    return result


def shared_prompts(count: int, seed: int = 3) -> tuple[list[list[int]], list[str | None]]:
    """Prompts that begin with one of eight beginnings, and their salts."""
    random = np.random.default_rng(seed)
    beginnings = [random.integers(0, 320, 256).tolist() for _ in range(8)]
    prompts, salts = [], []
    for _ in range(count):
        begin = beginnings[random.integers(8)][: random.integers(32, 257)]
        prompts.append(begin + random.integers(0, 320, random.integers(1, 64)).tolist())
        salts.append((None, "a")[int(random.integers(2))])
    return prompts, salts


def parity(
    _: Result, device: str = "cuda", count: int = 160, most: int = 400, steps: int = 2000
) -> Result:
    """Tokens with caching under memory pressure beside those without, in float32; at least `steps` steps."""
    from token_parity import compare

    from lineclear_gpu.model import load_model
    from lineclear_gpu.runner import exact_float32

    exact_float32()
    changes = {"num_hidden_layers": 4, "hidden_size": 256, "intermediate_size": 512}
    model = load_model("tiny-llama", device=device, dtype=torch.float32, changes=changes)
    prompts, salts = shared_prompts(count)
    outputs = np.random.default_rng(4).integers(most // 6, most, count).tolist()
    salted = [
        {"prompt_token_ids": prompt, "cache_salt": salt}
        for prompt, salt in zip(prompts, salts, strict=True)
    ]
    plain = serve(model, prompts, outputs, num_gpu_blocks=12000, num_cpu_blocks=0)
    totals = {"steps": 0, "preemptions": 0, "tokens found": 0, "blocks evicted": 0}
    totals |= {"requests that differ": 0, "ties": 0, "wrong": 0}
    result: Result = {"requests": count, "tokens": sum(outputs), "tie": TIE}
    runs = [(mode, depth) for mode in ("recompute", "swap", "auto") for depth in (1, 2)]
    for number, (mode, depth) in enumerate(runs):
        served = serve(
            model, salted, outputs, reset=(0, 90)[number % 2], preemption_mode=mode, max_steps_in_flight=depth,
            num_gpu_blocks=300, num_cpu_blocks=1200, prefix_caching="all",
        )  # fmt: skip
        report = compare(model, prompts, plain["tokens"], served["tokens"], bound=TIE)
        for each in report.wrong[:3]:
            print(mode, depth, str(each), flush=True)
        totals["steps"] += served["steps"]
        totals["preemptions"] += served["swaps"] + served["recomputes"]
        totals["tokens found"] += served["found"]
        totals["blocks evicted"] += served["evicted"]
        totals["requests that differ"] += len(report.excused) + len(report.wrong)
        totals["ties"] += len(report.excused)
        totals["wrong"] += len(report.wrong)
    if totals["wrong"] or totals["steps"] < steps or not totals["tokens found"]:
        raise AssertionError(f"wrong, too short, or nothing found: {totals}")
    return result | totals


def caching(found: Result) -> Result:
    """All three."""
    result: Result = {f"turns: {key}": value for key, value in turns(found).items()}
    result |= {f"parity: {key}": value for key, value in parity(found).items()}
    print(result, flush=True)
    result |= {f"tags: {key}": value for key, value in tags(found, TAG_STEPS, True).items()}
    return result
