# pyright: basic
"""Breaks down the time of a decode step: model, attention, storing, sampling, host.

    python benchmarks/gpu_forward.py             the 1.5 billion parameter shape on the GPU
    python benchmarks/gpu_forward.py --smoke     a tiny one on the CPU: a smoke test

Each part is run by itself, so parts that overlap add up to more than the step. Times are medians
from before the call until the device is done, unless marked as host times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("spec", "reference", "gpu_backend")]

import numpy as np  # noqa: E402
import torch  # noqa: E402

from lineclear_gpu.attention import AttentionBackend, Gather, Rows  # noqa: E402
from lineclear_gpu.batch import Batch, Sampling, slots_of  # noqa: E402
from lineclear_gpu.kernels.storing import store_kv  # noqa: E402
from lineclear_gpu.model import load_model  # noqa: E402
from lineclear_gpu.pool import KVPool  # noqa: E402
from lineclear_gpu.runner import ModelRunner  # noqa: E402
from lineclear_gpu.shape import KVShape  # noqa: E402
from lineclear_gpu.staging import Staging  # noqa: E402

Result = dict[str, Any]


class NoAttention(AttentionBackend):
    """Reads nothing, which leaves the rest of the model."""

    name = "none"

    def attend(
        self, query: Any, layer: Any, rows: Any, scale: float, window: Any, cap: Any = None
    ) -> Any:
        """The queries themselves."""
        return query


class Clock:
    """Measures work on one device, in microseconds."""

    def __init__(self, device: torch.device, repeat: int) -> None:
        """Sets the number of repetitions."""
        self.cuda = device.type == "cuda"
        self.repeat = repeat

    def wait(self) -> None:
        """Waits until the device is done."""
        if self.cuda:
            torch.cuda.synchronize()

    def whole(self, work: Callable[[], object]) -> float:
        """From before the call until the device is done."""
        return self._median(work, self.wait)

    def host(self, work: Callable[[], object]) -> float:
        """Until the call returns."""
        return self._median(work, lambda: None)

    def _median(self, work: Callable[[], object], until: Callable[[], None]) -> float:
        work()
        seconds: list[float] = []
        for _ in range(self.repeat):
            self.wait()
            start = time.perf_counter()
            work()
            until()
            seconds.append(time.perf_counter() - start)
        self.wait()
        return statistics.median(seconds) * 1e6


def decode_batch(contexts: np.ndarray, block_size: int, vocabulary: int) -> tuple[Batch, int]:
    """One newest token per sequence, scattered blocks; and the blocks it needs."""
    draw = np.random.default_rng(0)
    rows = len(contexts)
    widths = -(-contexts // block_size)
    order = draw.permutation(int(widths.sum())).astype(np.int32)
    tables = np.zeros((rows, int(widths.max())), dtype=np.int32)
    for row, end in enumerate(np.cumsum(widths)):
        tables[row, : widths[row]] = order[end - widths[row] : end]
    starts = np.arange(rows + 1)
    positions = contexts - 1
    batch = Batch(
        tokens=draw.integers(0, vocabulary, rows),
        positions=positions,
        row_starts=starts,
        context_lens=contexts,
        tables=tables,
        slots=slots_of(tables, starts, positions, block_size),
        lanes=np.arange(rows),
        sample_rows=np.arange(rows),
    )
    return batch, len(order)


def with_sampling(batch: Batch, top_p: float) -> Batch:
    """The same with sampling."""
    from dataclasses import replace

    rows = batch.rows
    zeros = np.zeros(rows, dtype=np.int64)
    ones = np.ones(rows, dtype=np.float32)
    how = Sampling(
        lanes=batch.lanes,
        seeds=zeros,
        sequences=np.arange(rows),
        temperatures=ones,
        top_ps=ones * np.float32(top_p),
        top_ks=zeros,
    )
    return replace(batch, sampling=how)


def forward(
    _: Result,
    device: str = "cuda",
    name: str = "llama-1.5b",
    rows: int = 128,
    shortest: int = 128,
    longest: int = 640,
    repeat: int = 15,
) -> Result:
    """A decode step of this many sequences, contexts spread evenly between two lengths."""
    where = torch.device(device)
    model = load_model(name, device=device)
    contexts = np.linspace(shortest, longest, rows).astype(np.int64)
    batch, blocks = decode_batch(contexts, 16, model.vocab_size)
    shape = KVShape(model.layers, model.kv_heads, model.head_dim, 16, model.dtype)
    pool = KVPool(shape, blocks, 0, where)
    pool.gpu.normal_()
    clock = Clock(where, repeat)
    runner = ModelRunner(model, pool, lanes=rows)
    without = ModelRunner(model, pool, lanes=rows, backend=NoAttention())
    heads = model.module.config.num_attention_heads
    query = torch.randn(rows, heads, model.head_dim, dtype=model.dtype, device=where)
    keys = torch.randn(rows, model.kv_heads, model.head_dim, dtype=model.dtype, device=where)
    sent = Rows.of(batch, 16, model.dtype, where)
    backend = Gather()

    def attention() -> None:
        for index in range(model.layers):
            backend.attend(query, pool.layer(index), sent, 0.125, model.windows[index])

    def prepare() -> None:
        sent.cache.clear()
        backend._parts(sent)

    def gather() -> None:
        groups, _ = backend._parts(sent)
        for index in range(model.layers):
            for group in groups:
                pool.layer(index)[group.blocks, :, group.offsets]

    def store() -> None:
        for index in range(model.layers):
            store_kv(pool.layer(index), keys, keys, sent.slots)

    staging = Staging(where)
    arrays = runner._arrays(batch)
    weights = sum(each.numel() * each.element_size() for each in model.module.parameters())
    with torch.inference_mode():
        step = clock.whole(lambda: runner.forward(batch))
        found: Result = {
            "model": name,
            "sequences": rows,
            "tokens of context": int(contexts.sum()),
            "step us": step,
            "tokens/s of decode alone": rows / step * 1e6,
            "step, host us": clock.host(lambda: runner.forward(batch)),
            "model without attention us": clock.whole(lambda: without.forward(batch)),
            "model without attention, host us": clock.host(lambda: without.forward(batch)),
            "attention, all layers us": clock.whole(attention),
            "attention, host us": clock.host(attention),
            "of it the gather us": clock.whole(gather),
            "attention, once a step us": clock.whole(prepare),
            "storing KV, all layers us": clock.whole(store),
            "metadata to the device us": clock.whole(lambda: staging.send(arrays)),
            "padded slots over slots": float(
                sum(group.blocks.numel() for group in backend._parts(sent)[0]) / contexts.sum()
            ),
        }
        for title, top_p in (("temperature", 1.0), ("top-p", 0.9)):
            drawn = with_sampling(batch, top_p)
            found[f"step with {title} us"] = clock.whole(lambda drawn=drawn: runner.forward(drawn))
    found["weights bytes"] = weights
    found["KV bytes"] = int(contexts.sum()) * shape.token_bytes
    pool.close()
    return found


def main() -> int:
    """Runs it and prints the figures."""
    parser = argparse.ArgumentParser(description="Break down the time of a decode step.")
    parser.add_argument("--smoke", action="store_true", help="a tiny shape on the CPU")
    arguments = parser.parse_args()
    if arguments.smoke:
        print(json.dumps(forward({}, "cpu", "tiny-llama", 6, 5, 40, 2), indent=1))
        return 0
    if not torch.cuda.is_available():
        print("there is no CUDA device here; --smoke runs on the CPU", file=sys.stderr)
        return 2
    print(json.dumps(forward({}), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
