# pyright: basic
"""Which models run as recorded steps on a GPU: each tested architecture, tiny, float32.

Each is served from a pool so small that requests are swapped, recorded and fused, and its greedy tokens
are compared with those of `generate`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
Result = dict[str, Any]


def models(_: Result) -> Result:
    """For each: whether steps are recorded, what is fused, and how many tokens agree."""
    from scripts import module_of
    from token_parity import compare, reference_tokens

    from lineclear_gpu.fusion import fuse
    from lineclear_gpu.llm import LLM
    from lineclear_gpu.model import random_model
    from lineclear_gpu.params import SamplingParams
    from lineclear_gpu.presets import preset
    from lineclear_gpu.runner import exact_float32

    exact_float32()
    listed = module_of(ROOT / "docs" / "make_models.py", listed=True)
    found: Result = {}
    for name, kind, changes in listed.TESTED:
        try:
            made = random_model(preset(kind, **changes), "cuda", torch.float32)
            prompts = listed.prompts_of(made, 8, 30, seed=2)
            wanted = reference_tokens(made, prompts, 16)
            llm = LLM(
                made, block_size=8, num_gpu_blocks=14, num_cpu_blocks=40, max_num_seqs=8,
                max_num_batched_tokens=32, max_model_len=56, watermark=0.0, preemption_mode="swap",
            )  # fmt: skip
            params = SamplingParams(max_tokens=16, temperature=0, ignore_eos=True)
            outputs = [o.outputs[0].token_ids for o in llm.generate(prompts, params)]
            report = compare(made, prompts, wanted, outputs, bound=1e-3)
            refused = llm.runner.refused
            parts = ", ".join(fuse(made.module)) if llm.model.fused else "nothing"
            recorded = "recorded" if refused is None else f"launched: {refused}"
            swaps = llm.engine.scheduler.counters.preemptions["swap"]
            found[name] = (
                f"{recorded}; fused: {parts}; {report.tokens} tokens agree, "
                f"{len(report.excused)} ties, {len(report.wrong)} wrong, {swaps} swaps"
            )
            llm.close()
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}".splitlines()[0]
        print(name, "|", found[name], flush=True)
    return found
