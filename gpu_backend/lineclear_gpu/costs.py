"""What swapping and recomputing a token cost on the device at hand, measured before serving.

Guarantees: both figures are microseconds per token by one clock, medians of several runs after one that is not
counted, in which kernels are compiled. Measuring overwrites blocks, so it runs while no request holds one.
"""
# pyright: basic

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from lineclear.config import Config
from lineclear_gpu.forwards import Runner
from lineclear_gpu.reserve import largest_step, prompt_step

#: Blocks of a swap that is timed: those of a request of about a thousand tokens.
BLOCKS = 64
#: Tokens of a step that is timed, and of its longest row.
TOKENS, LENGTH = 2048, 512
#: Counted runs of each operation.
RUNS = 5


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of a token, in microseconds; only their ratio matters to `auto` preemption.

    Attributes:
        swap: to move its KV out and in again.
        recompute: to compute its KV again, in a step of many tokens.
    """

    swap: float
    recompute: float

    def __str__(self) -> str:
        """In words."""
        return f"a token costs {self.swap:.3g} us to swap and {self.recompute:.3g} us to recompute"


def weighs(config: Config) -> bool:
    """Whether preemption weighs costs that the settings leave at their defaults."""
    usual = Config()
    given = (config.swap_token_cost, config.recompute_token_cost)
    default = given == (usual.swap_token_cost, usual.recompute_token_cost)
    return config.preemption_mode == "auto" and config.num_cpu_blocks > 0 and default


class CopyEngine(Protocol):
    """Moves blocks between the pools."""

    def out(self, pairs: list[tuple[int, int]]) -> None:
        """Copies device rows to the host; (device row, host row) each."""
        ...

    def into(self, pairs: list[tuple[int, int]]) -> None:
        """Copies host rows to the device; (host row, device row) each."""
        ...


def waiter(device: torch.device) -> Callable[[], None]:
    """Waits until a device is done."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return lambda: None


def own_stream(device: torch.device) -> Any:
    """A stream to copy on: the driver takes no batch of copies on the default one."""
    if device.type == "cuda":
        cuda: Any = torch.cuda
        return cuda.stream(cuda.Stream(device))
    return nullcontext()


def measure(
    runner: Runner,
    copies: CopyEngine,
    config: Config,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> Costs:
    """Times swaps of scattered blocks and a step of prompts.

    Args:
        runner: computes batches over the pool.
        copies: moves blocks between the pools.
        config: its pools, which must have a block each; block size, budget and lengths.
        device: where both run.
        clock: seconds.
    """
    wait = waiter(device)

    def seconds(work: Callable[[], object]) -> float:
        counted: list[float] = []
        for _ in range(1 + RUNS):
            wait()
            begin = clock()
            work()
            wait()
            counted.append(clock() - begin)
        return statistics.median(counted[1:])

    blocks = min(BLOCKS, config.num_gpu_blocks, config.num_cpu_blocks)
    draw = np.random.default_rng(0)
    ours = draw.permutation(config.num_gpu_blocks)[:blocks].tolist()
    theirs = draw.permutation(config.num_cpu_blocks)[:blocks].tolist()
    length = min(LENGTH, config.max_model_len, config.num_gpu_blocks * config.block_size)
    room = config.num_gpu_blocks // -(-length // config.block_size) * length
    rows = min(TOKENS, config.max_num_batched_tokens, room) // length or 1
    batch = prompt_step(
        min(rows, config.max_num_seqs),
        min(length, config.max_num_batched_tokens),
        config.block_size,
    )
    with own_stream(device):
        out = seconds(lambda: copies.out(list(zip(ours, theirs, strict=True))))
        into = seconds(lambda: copies.into(list(zip(theirs, ours, strict=True))))
        step = seconds(lambda: runner.forward(batch))
    return Costs(
        swap=(out + into) / (blocks * config.block_size) * 1e6,
        recompute=step / len(batch.tokens) * 1e6,
    )


def warm_up(runner: Runner, copies: CopyEngine, config: Config, device: torch.device) -> None:
    """Runs the largest step that fits and, if there is a CPU pool, a swap: kernels are compiled.

    Args:
        runner: computes the step.
        copies: copies the blocks.
        config: sizes of the step and of the pools.
        device: where both run.
    """
    wait = waiter(device)
    tokens = min(config.max_num_batched_tokens, config.max_num_seqs * config.max_model_len)
    with own_stream(device):
        batch = largest_step(config)
        if batch.tables.size > config.num_gpu_blocks:
            length = min(config.max_model_len, config.num_gpu_blocks * config.block_size, tokens)
            batch = prompt_step(1, length, config.block_size)
        runner.forward(batch)
        if config.num_cpu_blocks:
            pairs = [(k, k) for k in range(min(4, config.num_gpu_blocks, config.num_cpu_blocks))]
            copies.out(pairs)
            copies.into(pairs)
        wait()
