# pyright: basic
"""Swap, recompute and `auto` under memory pressure, on three workloads; `auto` over the better of the two.

Each workload has a pool for about half of what its running requests need at most. Prefixes are not shared.
Every mode serves the same requests several times in one process; the best run of each is compared and
all are kept. `auto` weighs the costs that are measured at start on this card.
"""

from __future__ import annotations

import gc
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_serving import NAME, Ours, load

Result = dict[str, Any]
MODES = ("swap", "recompute", "auto")


@dataclass(frozen=True)
class Workload:
    """Requests of random lengths and a pool that is too small for them.

    Attributes:
        parts: for each kind of request: their number, and the least and most tokens of prompt and output.
        rows: sequences that may run at once.
        blocks: GPU blocks of 16 tokens.
        longest: tokens of the longest sequence.
    """

    parts: tuple[tuple[int, tuple[int, int], tuple[int, int]], ...]
    rows: int
    blocks: int
    longest: int

    def requests(self, vocabulary: int) -> tuple[list[list[int]], list[int]]:
        """Prompts of random tokens and the lengths of their outputs, kinds shuffled."""
        draw = np.random.default_rng(2)
        lengths = [
            (int(draw.integers(*prompt)), int(draw.integers(*output)))
            for count, prompt, output in self.parts
            for _ in range(count)
        ]
        draw.shuffle(lengths)
        prompts = [draw.integers(0, vocabulary, size).tolist() for size, _ in lengths]
        return prompts, [int(output) for _, output in lengths]


SHORT, LONG = ((32, 129), (32, 193)), ((512, 2049), (256, 769))
WORKLOADS = {
    "short": Workload(((384, *SHORT),), 128, 720, 330),
    "long": Workload(((64, *LONG),), 48, 2400, 2820),
    "mixed": Workload(((192, *SHORT), (32, *LONG)), 96, 1500, 2820),
}


def swapping(
    _: Result,
    model: Any = None,
    workloads: dict[str, Workload] | None = None,
    repeat: int = 4,
) -> Result:
    """Tokens per second of each mode on each workload, and `auto` over the better of the others."""
    found: Result = {}
    model = model or load(NAME)
    with tempfile.TemporaryDirectory() as folder:
        for name, work in (workloads or WORKLOADS).items():
            prompts, outputs = work.requests(model.vocab_size)
            for mode in MODES:
                ours = Ours(
                    model,
                    prompts,
                    num_gpu_blocks=work.blocks,
                    num_cpu_blocks=0 if mode == "recompute" else 4 * work.blocks,
                    preemption_mode=mode,
                    max_num_seqs=work.rows,
                    max_model_len=work.longest,
                    calibration=Path(folder) / "costs.json",
                )
                runs = [ours.run(prompts, outputs) for _ in range(repeat)]
                best = max(runs, key=lambda run: run["tokens/s"])
                found |= {f"{name}, {mode}: {key}": value for key, value in best.items()}
                found[f"{name}, {mode}: every run"] = [round(run["tokens/s"]) for run in runs]
                if mode == "auto":
                    found[f"{name}: costs"] = ours.llm.calibrated.partition(",")[0]
                print(name, mode, found[f"{name}, {mode}: every run"], flush=True)
                ours.close()
            swap, recompute, auto = (found[f"{name}, {mode}: tokens/s"] for mode in MODES)
            found[f"{name}: swap over recompute"] = swap / recompute
            found[f"{name}: auto over the better"] = auto / max(swap, recompute)
            print(name, f"{found[f'{name}: auto over the better']:.3f}", flush=True)
    del model
    gc.collect()
    torch.cuda.empty_cache()
    return found
