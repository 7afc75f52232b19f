# pyright: basic
"""The engine end to end beside transformers' continuous batching; a decode step beside its floor.

Both sides of every ratio run in one process on one card, each several times; the best run of each is
compared and all are kept. The model has the shape of `llama-1.5b` and random weights, bf16.
"""

from __future__ import annotations

import gc
import statistics
import time
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from gpu_attention import copy_rate
from gpu_peer import Peer

from lineclear_gpu.batch import Batch

Result = dict[str, Any]
NAME = "llama-1.5b"
SETTINGS: dict[str, Any] = {
    "max_num_seqs": 128,
    "max_num_batched_tokens": 8192,
    "max_model_len": 1100,
    "block_size": 16,
    "watermark": 0.0,
    "prefix_caching": "off",  # a run has the prompts of the run before
}
AMPLE: dict[str, Any] = {"num_gpu_blocks": 8192, "num_cpu_blocks": 0}


def prompts_of(count: int, vocabulary: int) -> list[list[int]]:
    """Prompts of 128 to 512 random tokens."""
    random = np.random.default_rng(0)
    sizes = random.integers(128, 513, count)
    return [random.integers(0, vocabulary, size).tolist() for size in sizes]


def outputs_of(count: int, starved: bool) -> list[int]:
    """128 tokens each, or 64 to 512 where memory is short."""
    if not starved:
        return [128] * count
    return np.random.default_rng(1).integers(64, 513, count).tolist()


def load(name: str = NAME) -> Any:
    """The model."""
    from lineclear_gpu.model import load_model

    return load_model(name, device="cuda", dtype=torch.bfloat16)


def synchronize() -> None:
    """Waits for the device, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Ours:
    """The engine over a model, warm after a few tokens."""

    def __init__(self, model: Any, prompts: list[list[int]], **settings: Any) -> None:
        from lineclear_gpu.llm import LLM
        from lineclear_gpu.params import SamplingParams

        begin = time.perf_counter()
        self.llm = LLM(model, seed=0, **{**SETTINGS, **settings})
        self.seconds = time.perf_counter() - begin
        self.params = SamplingParams
        warm = SamplingParams(max_tokens=8, temperature=0, ignore_eos=True)
        self.llm.generate(prompts, warm)
        self.gaps: list[tuple[Any, Any, int]] = []

    def run(self, prompts: list[list[int]], outputs: list[int]) -> Result:
        """One run of the workload."""
        engine = self.llm.engine
        engine.steps = 0
        before = dict(engine.scheduler.counters.preemptions)
        params = [self.params(max_tokens=n, temperature=0, ignore_eos=True) for n in outputs]
        synchronize()
        begin = time.perf_counter()
        found = self.llm.generate(prompts, params)
        synchronize()
        seconds = time.perf_counter() - begin
        tokens = sum(len(output.outputs[0].token_ids) for output in found)
        if tokens != sum(outputs):
            raise AssertionError(f"{tokens} tokens of {sum(outputs)}")
        after = engine.scheduler.counters.preemptions
        return {
            "tokens/s": tokens / seconds,
            "seconds": seconds,
            "steps": engine.steps,
            "swaps": after["swap"] - before.get("swap", 0),
            "recomputes": after["recompute"] - before.get("recompute", 0),
        }

    def idle(self, prompts: list[list[int]], outputs: list[int]) -> Result:
        """The GPU's idle share between decode steps, and the host's time."""
        engine = self.llm.engine
        own, wait = engine._forwards.run, engine.executor.streams.wait
        marks: list[tuple[Any, Any, bool]] = []
        waited = [0.0]

        def forward(batch: Any) -> Any:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            found = own(batch)
            end.record()
            marks.append((start, end, len(batch.tokens) == batch.rows))
            return found

        def waiting(number: int) -> None:
            begin = time.perf_counter()
            wait(number)
            waited[0] += time.perf_counter() - begin

        engine._forwards.run = forward  # type: ignore[method-assign]
        engine.executor.streams.wait = waiting  # type: ignore[method-assign]
        params = [self.params(max_tokens=n, temperature=0, ignore_eos=True) for n in outputs]
        self.llm._add(prompts, params)
        steps: list[float] = []
        hosts: list[float] = []
        while engine.busy:
            decodes = len(marks)
            waited[0] = 0.0
            begin = time.perf_counter()
            engine.step()
            spent = time.perf_counter() - begin
            if len(marks) > decodes and marks[-1][2] and len(engine.live) == len(prompts):
                steps.append(spent)
                hosts.append(spent - waited[0])
        torch.cuda.synchronize()
        engine._forwards.run, engine.executor.streams.wait = own, wait  # type: ignore[method-assign]
        idle = busy = 0.0
        for (_, ended, first), (starts, ends, second) in pairwise(marks):
            if first and second:
                idle += max(0.0, ended.elapsed_time(starts))
                busy += starts.elapsed_time(ends)
        return {
            "idle share": idle / (idle + busy),
            "host ms a step": statistics.median(hosts) * 1e3,
            "host p90 ms a step": sorted(hosts)[int(0.9 * len(hosts))] * 1e3,
            "step ms": statistics.median(steps) * 1e3,
            "steps": len(steps),
        }

    def close(self) -> None:
        """Frees memory."""
        self.llm.close()
        del self.llm
        gc.collect()
        torch.cuda.empty_cache()


def decode_batch(contexts: np.ndarray, block_size: int, vocabulary: int) -> Batch:
    """One newest token per sequence, scattered blocks."""
    draw = np.random.default_rng(0)
    rows = len(contexts)
    widths = -(-contexts // block_size)
    order = draw.permutation(int(widths.sum())).astype(np.int32)
    tables = np.zeros((rows, int(widths.max())), dtype=np.int32)
    for row, end in enumerate(np.cumsum(widths)):
        tables[row, : widths[row]] = order[end - widths[row] : end]
    tokens = draw.integers(0, vocabulary, (rows, 1))
    return Batch.of(list(tokens), contexts, tables, block_size)


def decode(_: Result) -> Result:
    """A decode step of 128 sequences, contexts 192 to 575 at random: its time over its floor."""
    model = load()
    prompts = prompts_of(8, model.vocab_size)
    contexts = np.random.default_rng(0).integers(192, 576, 128)
    batch = decode_batch(contexts, 16, model.vocab_size)
    copy = copy_rate()
    found: Result = {"device copy GB/s": copy / 1e9, "mean context": float(contexts.mean())}
    for name, settings in (
        ("recorded and fused", {}),
        ("recorded", {"fuse": False}),
        ("by the host, fused", {"eager": True, "fuse": True}),
        ("by the host", {"eager": True}),
    ):
        ours = Ours(model, prompts, **AMPLE, **settings)
        runner = ours.llm.runner
        embedding = model.module.get_input_embeddings().weight
        weights = sum(
            each.numel() * each.element_size()
            for each in model.module.parameters()
            if each is not embedding
        )
        if model.module.get_output_embeddings().weight is embedding:
            weights += embedding.numel() * embedding.element_size()
        kv = int(contexts.sum()) * ours.llm.pool.shape.token_bytes
        floor = (weights + kv) / copy
        for _step in range(5):
            runner.forward(batch)
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _step in range(40):
            runner.forward(batch)
        torch.cuda.synchronize()
        seconds = (time.perf_counter() - begin) / 40
        found[f"{name}: step ms"] = seconds * 1e3
        found[f"{name}: over floor"] = seconds / floor
        if name == "recorded and fused":
            found |= {"floor ms": floor * 1e3, "weights bytes": weights, "KV bytes": kv}
            found["over floor"] = seconds / floor
            found["graphs bytes"] = ours.llm.runner.graphs.bytes()  # type: ignore[union-attr]
            found["graphs GiB"] = found["graphs bytes"] / (1 << 30)
            found["start s"] = ours.seconds
            long = prompts_of(128, model.vocab_size)
            found |= {f"128 sequences: {k}": v for k, v in ours.idle(long, [128] * 128).items()}
            found["idle share"] = found["128 sequences: idle share"]
        print(name, f"{seconds * 1e3:.3f} ms", flush=True)
        ours.close()
    many = prompts_of(256, model.vocab_size)
    ours = Ours(
        model, many[:8], max_num_seqs=256, num_gpu_blocks=16384, num_cpu_blocks=0,
        max_num_batched_tokens=8192,
    )  # fmt: skip
    ours.idle(many, [16] * 256)
    found |= {f"256 sequences: {k}": v for k, v in ours.idle(many, [96] * 256).items()}
    found["host ms, 256 sequences"] = found["256 sequences: host ms a step"]
    ours.close()
    return found


def serving(_: Result, repeat: int = 4) -> Result:
    """128 requests of 128 to 512 tokens, 128 out, ample memory, beside the peer."""
    found: Result = {}
    model = load()
    prompts, outputs = prompts_of(128, model.vocab_size), outputs_of(128, False)
    for name, settings in (("ours", {}), ("ours, eager", {"eager": True})):
        ours = Ours(model, prompts, **AMPLE, **settings)
        print(ours.llm.recorded, f"start {ours.seconds:.1f} s", flush=True)
        runs = [ours.run(prompts, outputs) for _ in range(repeat if not settings else 2)]
        best = max(runs, key=lambda run: run["tokens/s"])
        found |= {f"{name}: {key}": value for key, value in best.items()}
        found[f"{name}: every run"] = [round(run["tokens/s"]) for run in runs]
        print(name, found[f"{name}: every run"], flush=True)
        ours.close()
    del model
    gc.collect()
    torch.cuda.empty_cache()
    peer = Peer(NAME, 512)
    rates = [peer.run(prompts, outputs) for _ in range(repeat)]
    peer.close()
    found["peer: tokens/s"] = max(rates)
    found["peer: every run"] = [round(rate) for rate in rates]
    print("peer", found["peer: every run"], flush=True)
    found["times the peer"] = found["ours: tokens/s"] / max(rates)
    return found


def pressure(_: Result, repeat: int = 3) -> Result:
    """The same with outputs of 64 to 512 and memory for 30,720 tokens, beside the peer."""
    found: Result = {}
    model = load()
    prompts, outputs = prompts_of(128, model.vocab_size), outputs_of(128, True)
    for mode in ("swap", "recompute", "auto"):
        starved = {
            "num_gpu_blocks": 1920,
            "num_cpu_blocks": 0 if mode == "recompute" else 8192,
            "preemption_mode": mode,
        }
        ours = Ours(model, prompts, **starved)
        runs = [ours.run(prompts, outputs) for _ in range(repeat)]
        best = max(runs, key=lambda run: run["tokens/s"])
        found |= {f"{mode}: {key}": value for key, value in best.items()}
        found[f"{mode}: every run"] = [round(run["tokens/s"]) for run in runs]
        print(mode, found[f"{mode}: every run"], flush=True)
        ours.close()
    del model
    gc.collect()
    torch.cuda.empty_cache()
    rates: list[float] = []
    for name, offload in (("peer", 0.0), ("peer, offload", 8.0)):
        try:
            peer = Peer(NAME, 120, offload=offload)
            mine = [peer.run(prompts, outputs) for _ in range(repeat)]
            peer.close()
        except Exception as error:
            found[f"{name}: error"] = f"{type(error).__name__}: {error}"
            print(name, found[f"{name}: error"], flush=True)
            continue
        rates += mine
        found[f"{name}: tokens/s"] = max(mine)
        found[f"{name}: every run"] = [round(rate) for rate in mine]
        print(name, found[f"{name}: every run"], flush=True)
    if rates:
        found["swap over recompute"] = found["swap: tokens/s"] / found["recompute: tokens/s"]
        ours_best = max(found[f"{mode}: tokens/s"] for mode in ("swap", "recompute", "auto"))
        found["times the peer"] = ours_best / max(rates)
    return found
