"""An engine over a tiny model, prompts, and the library's output for them."""
# pyright: basic

from __future__ import annotations

import functools
from typing import Any

import torch
from stand_ins import DelayedStreams
from token_parity import reference_tokens

from lineclear_gpu.engine import Engine
from lineclear_gpu.llm import LLM
from lineclear_gpu.model import Model, load_model
from lineclear_gpu.params import SamplingParams

BASE: dict[str, Any] = {
    "block_size": 8,
    "max_num_seqs": 8,
    "max_num_batched_tokens": 96,
    "max_model_len": 96,
    "num_gpu_blocks": 200,
    "num_cpu_blocks": 40,
    "watermark": 0.0,
}
MEMORY_PRESSURE = {"num_gpu_blocks": 12, "num_cpu_blocks": 16}
GREEDY = SamplingParams(max_tokens=20, temperature=0)


@functools.cache
def model() -> Model:
    return load_model("tiny-llama")


@functools.cache
def prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    sizes = torch.randint(3, 32, (10,), generator=generator).tolist()
    return [torch.randint(320, (size,), generator=generator).tolist() for size in sizes]


@functools.cache
def expected() -> list[list[int]]:
    return reference_tokens(model(), prompts(), 20)


def made(seed: int = 0, **changes: Any) -> LLM:
    """A model over pools whose copies and forwards run in any order that waits allow."""
    streams = DelayedStreams(seed=seed)
    return LLM(model(), streams=streams, verify=True, seed=3, **{**BASE, **changes})


def ask(engine: Engine, name: Any, params: SamplingParams) -> Any:
    """The output of a request for the first prompt, which is added now."""
    engine.add(name, prompts()[0], params)
    return engine.live[name].output


def tokens(outputs: list[Any]) -> list[list[list[int]]]:
    return [[c.token_ids for c in output.outputs] for output in outputs]


SAMPLED = SamplingParams(n=3, max_tokens=16, temperature=1.2, top_p=0.9, top_k=40, seed=11)
