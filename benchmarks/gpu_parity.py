# pyright: basic
"""Greedy tokens under memory pressure beside those under ample memory, in float32 on a GPU.

A token may differ only where the logits are so close that rounding decides; such ties are counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

Result = dict[str, Any]


#: Settings of every run.
SETTINGS: dict[str, Any] = {
    "max_num_seqs": 128,
    "max_num_batched_tokens": 2048,
    "max_model_len": 1100,
    "block_size": 16,
    "watermark": 0.0,
    "prefix_caching": "off",
}


def serve(model: Any, prompts: Any, outputs: list[int], reset: int = 0, **settings: Any) -> Result:
    """The engine's run: tokens, steps, preemptions, and what was found.

    Args:
        model: the model.
        prompts: as `LLM.generate` takes them.
        outputs: tokens to generate for each.
        reset: steps after which the prefix cache is reset, again and again; 0 for never.
        settings: beside, or instead of, `SETTINGS`.
    """
    from lineclear_gpu.llm import LLM
    from lineclear_gpu.params import SamplingParams

    llm = LLM(model, seed=0, **{**SETTINGS, **settings})
    if reset:
        reset_often(llm, reset)
    params = [SamplingParams(max_tokens=n, temperature=0, ignore_eos=True) for n in outputs]
    found = llm.generate(prompts, params)
    counters = llm.engine.scheduler.counters
    result: Result = {
        "steps": llm.engine.steps,
        "replayed": llm.runner.replayed,
        "swaps": counters.preemptions["swap"],
        "recomputes": counters.preemptions["recompute"],
        "found": counters.prefix_hits,
        "evicted": counters.evicted,
        "tokens": [output.outputs[0].token_ids for output in found],
    }
    llm.close()
    del llm
    torch.cuda.empty_cache()
    return result


def reset_often(llm: Any, steps: int) -> None:
    """Resets the prefix cache after so many steps, again and again."""
    step = llm.engine.step

    def stepping() -> Any:
        if llm.engine.steps % steps == steps - 1:
            llm.reset_prefix_cache()
        return step()

    llm.engine.step = stepping


#: Margin of float32 logits below which rounding may decide a greedy token either way.
TIE = 1e-3


def parity(_: Result) -> Result:
    """Memory pressure against ample memory in float32: a small model, at least 2,000 steps."""
    from token_parity import compare

    from lineclear_gpu.model import load_model
    from lineclear_gpu.runner import exact_float32

    exact_float32()
    changes = {"num_hidden_layers": 4, "hidden_size": 256, "intermediate_size": 512}
    made = load_model("tiny-llama", device="cuda", dtype=torch.float32, changes=changes)
    random = np.random.default_rng(3)
    prompts = [random.integers(0, 320, size).tolist() for size in random.integers(16, 200, 160)]
    outputs = random.integers(64, 400, 160).tolist()
    result: Result = {"tokens": sum(outputs), "tie": TIE}
    totals = {"steps": 0, "of them recorded": 0, "requests that differ": 0, "ties": 0, "wrong": 0}
    runs: list[tuple[str, dict[str, Any]]] = [
        (f"{mode}, depth {depth}", {"preemption_mode": mode, "max_steps_in_flight": depth})
        for mode in ("swap", "recompute", "auto")
        for depth in (1, 2)
    ]
    runs.append(("launched, swap, depth 2", {"preemption_mode": "swap", "eager": True}))
    ample: dict[bool, Result] = {}
    for name, settings in runs:
        eager = bool(settings.get("eager"))
        if eager not in ample:
            roomy = {"num_gpu_blocks": 12000, "num_cpu_blocks": 0, "eager": eager}
            ample[eager] = serve(made, prompts, outputs, **roomy)
        served = serve(made, prompts, outputs, num_gpu_blocks=300, num_cpu_blocks=1200, **settings)
        report = compare(made, prompts, ample[eager]["tokens"], served["tokens"], bound=TIE)
        result[f"{name}: preemptions"] = served["swaps"] + served["recomputes"]
        result[f"{name}: ties, wrong"] = f"{len(report.excused)}, {len(report.wrong)}"
        for each in report.wrong[:3]:
            print(name, settings, str(each), flush=True)
        widest = max((each.margin for each in report.excused), default=0.0)
        result[f"{name}: widest tie"] = widest
        totals["steps"] += served["steps"]
        totals["of them recorded"] += served["replayed"]
        totals["requests that differ"] += len(report.excused) + len(report.wrong)
        totals["ties"] += len(report.excused)
        totals["wrong"] += len(report.wrong)
    if totals["wrong"]:
        raise AssertionError(f"{totals['wrong']} requests differ beyond a tie: {result}")
    return result | totals
