# pyright: basic
"""Attention of decodes over the pool: bytes of keys and values read in a second.

    python benchmarks/gpu_attention.py              the table
    python benchmarks/gpu_attention.py --tune       other splits, tiles and stages beside the rule

Each figure is the median of replays of a CUDA graph of several layers whose KV together is larger
than the cache, tables shuffled, block size 16, bf16; the copy that it is held against is measured in
the same process. Every shape is first compared with softmax in float64.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("spec", "reference", "gpu_backend")]

import torch  # noqa: E402

from lineclear_gpu.kernels.paged import paged_attention  # noqa: E402
from lineclear_gpu.kernels.plans import LaunchPlan  # noqa: E402

Result = dict[str, Any]
BLOCK = 16
#: (head, GQA, batch, context, required share of the device copy, aim)
SHAPES = (
    (128, 4, 32, 1024, 0.65, 0.85),
    (128, 4, 128, 1024, 0.65, 0.85),
    (128, 4, 32, 4096, 0.85, 0.95),
    (128, 4, 128, 4096, 0.85, 0.95),
    (128, 4, 8, 16384, 0.85, 0.95),
    (128, 8, 32, 1024, 0.65, 0.85),
    (128, 8, 128, 1024, 0.65, 0.85),
    (128, 8, 32, 4096, 0.85, 0.95),
    (128, 8, 128, 4096, 0.85, 0.95),
    (128, 8, 8, 16384, 0.85, 0.95),
    (64, 4, 32, 1024, 0.65, 0.85),
    (64, 4, 128, 1024, 0.65, 0.85),
    (64, 4, 32, 4096, 0.65, 0.85),
    (64, 4, 128, 4096, 0.65, 0.85),
    (64, 4, 8, 16384, 0.65, 0.85),
)
KV_HEADS = 8


def copy_rate() -> float:
    """Bytes read and written in a second by a copy inside the device, the best of many."""
    words = torch.empty(2, 1 << 27, dtype=torch.int64, device="cuda").random_()
    times: list[float] = []
    for _ in range(40):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        words[1].copy_(words[0])
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return 2 * words[0].numel() * 8 / min(times)


class Case:
    """Decodes of one length over a pool of some layers."""

    def __init__(self, head: int, shared: int, rows: int, context: int) -> None:
        blocks = rows * context // BLOCK
        layer_bytes = blocks * BLOCK * 2 * KV_HEADS * head * 2
        self.layers = max(1, min(8, -(-(2 << 30) // layer_bytes)))
        self.bytes = layer_bytes
        shape = (blocks, self.layers, 2, BLOCK, KV_HEADS, head)
        self.pool = torch.empty(shape, dtype=torch.bfloat16, device="cuda").normal_()
        order = torch.randperm(blocks, device="cuda").int()
        self.tables = order.view(rows, -1).contiguous()
        self.contexts = torch.full((rows,), context, dtype=torch.int64, device="cuda")
        self.starts = torch.arange(rows + 1, device="cuda")
        heads = KV_HEADS * shared
        self.query = torch.randn(rows, heads, head, dtype=torch.bfloat16, device="cuda")
        self.scale = head**-0.5
        self.processors = torch.cuda.get_device_properties(0).multi_processor_count

    def layer(self, index: int, plan: LaunchPlan | None) -> torch.Tensor:
        """Attention of one layer."""
        return paged_attention(
            self.query, self.pool[:, index], self.tables, self.contexts, self.starts, self.scale,
            processors=self.processors, plan=plan,
        )  # fmt: skip

    def error(self, plan: LaunchPlan | None) -> float:
        """Relative to float64, of the first rows."""
        found = self.layer(0, plan)[:2].double()
        kv = self.pool[:, 0][self.tables[:2].long()].double()  # [2, W, 2, BLOCK, kv_heads, head]
        keys, values = kv.permute(2, 0, 4, 1, 3, 5).flatten(3, 4).unbind(0)
        query = self.query[:2].double().view(2, KV_HEADS, -1, keys.shape[-1])
        weights = torch.softmax(query @ keys.transpose(-1, -2) * self.scale, dim=-1)
        wanted = (weights @ values).view(found.shape)
        return float((found - wanted).norm() / wanted.norm())

    def rate(self, plan: LaunchPlan | None, repeat: int = 11) -> float:
        """Bytes of KV in a second."""

        def work() -> None:
            for index in range(self.layers):
                self.layer(index, plan)

        work()
        torch.cuda.synchronize()
        graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        times: list[float] = []
        for _ in range(repeat):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            graph.replay()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / 2e3)
        return self.bytes * self.layers / statistics.median(times[1:])


def attention(_: Result, tune: bool = False) -> Result:
    """The table; with `tune`, other launch parameters beside the default."""
    copy = copy_rate()
    found: Result = {"device copy GB/s": copy / 1e9}
    for head, shared, rows, context, required, aim in SHAPES:
        name = f"head {head}, GQA {shared}, {rows} x {context}"
        case = Case(head, shared, rows, context)
        error = case.error(None)
        if not error < 1e-2:
            raise AssertionError(f"{name}: relative error {error}")
        rate = case.rate(None)
        found[f"{name} GB/s"] = rate / 1e9
        found[f"{name} share"] = rate / copy
        found[f"{name} error"] = error
        if tune:
            trials: list[tuple[float, LaunchPlan]] = []
            for splits in (1, 2, 4, 8, 16):
                if rows * splits > 256 or rows * splits < 16:
                    continue
                for tile, warps, stages in product((64, 128), (2, 4), (2, 3, 4, 5)):
                    plan = LaunchPlan(tile, warps, stages, splits)
                    try:
                        trials.append((case.rate(plan, 4) / copy, plan))
                    except Exception as error:
                        print(name, plan, type(error).__name__, flush=True)
            trials.sort(key=lambda each: -each[0])
            best = "; ".join(
                f"{share:.3f} s{p.splits} t{p.tile} w{p.warps} st{p.stages}"
                for share, p in trials[:6]
            )
            found[f"{name} best"] = best
            print(f"{name}: rule {rate / copy:.3f} | {best}", flush=True)
        else:
            print(
                f"{name}: {rate / 1e9:,.0f} GB/s, {rate / copy:.1%} ({required:.0%}, {aim:.0%})",
                flush=True,
            )
        del case
        torch.cuda.empty_cache()
    return found


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description="Attention of decodes over the pool.")
    parser.add_argument("--tune", action="store_true", help="other ways to cut beside the rule")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no CUDA device here", file=sys.stderr)
        return 2
    start = time.perf_counter()
    print(json.dumps(attention({}, arguments.tune), indent=1))
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
