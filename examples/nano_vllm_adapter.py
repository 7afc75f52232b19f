"""nano-vllm's scheduler under `lineclear.testing`.

The engine's sources are not part of this project. Clone them, and give their folder:

    git clone https://github.com/GeeeekExplorer/nano-vllm && git -C nano-vllm checkout f64d821
    NANO_VLLM=nano-vllm lineclear test examples/nano_vllm_adapter.py:make_scheduler

`Scheduler`, `BlockManager` and `Sequence` run as they are. Stubbed: the package's `__init__` and
`config` (they load models), and `xxhash` if it is not installed.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from lineclear.testing import NO_TOKEN, Limits, Observation, Row

ENGINE = "nano-vllm"
STUBBED = ("nanovllm/__init__.py", "nanovllm/config.py", "xxhash, if it is not installed")
VARIABLE = "NANO_VLLM"


class Digest:
    """What nano-vllm uses of xxhash."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=8)

    def update(self, content: bytes) -> None:
        self.hash.update(content)

    def intdigest(self) -> int:
        return int.from_bytes(self.hash.digest(), "little")


def sources() -> Path:
    """The folder with the engine's sources."""
    folder = Path(os.environ.get(VARIABLE, "nano-vllm"))
    if not (folder / "nanovllm/engine/scheduler.py").is_file():
        raise FileNotFoundError(f"{folder} has no nanovllm/engine/scheduler.py; set {VARIABLE}")
    return folder


def load() -> tuple[Any, Any, Any]:
    """The engine's modules `scheduler`, `sequence` and `sampling_params`."""
    if "nanovllm" not in sys.modules:
        folder = sources()
        for name, path in (("nanovllm", "nanovllm"), ("nanovllm.engine", "nanovllm/engine")):
            package = ModuleType(name)
            package.__path__ = [str(folder / path)]
            sys.modules[name] = package
        config = ModuleType("nanovllm.config")
        config.Config = SimpleNamespace  # type: ignore[attr-defined]
        sys.modules["nanovllm.config"] = config
        try:
            importlib.import_module("xxhash")
        except ModuleNotFoundError:
            stand_in = ModuleType("xxhash")
            stand_in.xxh64 = Digest  # type: ignore[attr-defined]
            sys.modules["xxhash"] = stand_in
    names = ("engine.scheduler", "engine.sequence", "sampling_params")
    scheduler, sequence, sampling = (importlib.import_module(f"nanovllm.{n}") for n in names)
    return scheduler, sequence, sampling


class NanoVllm:
    """The engine's scheduler. It cannot abort a request, so this has no `abort`: `Limits(aborts=False)`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        scheduler, self.sequence, self.sampling = load()
        self.sequence.Sequence.block_size = limits.block_size
        self.scheduler = scheduler.Scheduler(
            SimpleNamespace(
                max_num_seqs=limits.max_seqs,
                max_num_batched_tokens=limits.max_tokens,
                eos=-1,
                kvcache_block_size=limits.block_size,
                num_kvcache_blocks=limits.blocks,
            )
        )
        self.names: dict[int, str] = {}

    def submit(self, request_id: str, prompt: list[int], max_new: int) -> bool:
        sampling = self.sampling.SamplingParams(max_tokens=max_new, ignore_eos=True)
        sequence = self.sequence.Sequence(prompt, sampling)
        self.names[sequence.seq_id] = request_id
        self.scheduler.add(sequence)
        return True

    def step(self, execute: Any) -> list[str]:
        if self.scheduler.is_finished():  # the engine's own loop ends then
            return []
        sequences, is_prefill = self.scheduler.schedule()
        rows: list[Row] = []
        for one in sequences:
            start = one.num_cached_tokens if is_prefill else len(one) - 1
            samples = start + one.num_scheduled_tokens == len(one)
            table = tuple(one.block_table)
            rows.append(
                Row(self.names[one.seq_id], start, one.num_scheduled_tokens, table, samples)
            )
        tokens = [0 if token == NO_TOKEN else token for token in execute(rows)]
        self.scheduler.postprocess(sequences, tokens, is_prefill)
        return [self.names[one.seq_id] for one in sequences if one.is_finished]

    def observe(self) -> Observation:
        manager = self.scheduler.block_manager
        cached = {block: key for key, block in manager.hash_to_block_id.items()}
        queues = self.scheduler.waiting, self.scheduler.running
        waiting, running = ([self.names[one.seq_id] for one in queue] for queue in queues)
        return Observation(
            tables={self.names[one.seq_id]: one.block_table for queue in queues for one in queue},
            free=[block for block in manager.free_block_ids if block not in cached],
            cached=cached,
            waiting=waiting,
            running=running,
            extra={"order of free blocks": tuple(manager.free_block_ids)},
        )


def make_scheduler() -> NanoVllm:
    """Four blocks of two tokens: every request is under memory pressure."""
    return NanoVllm(Limits(blocks=4, block_size=2, max_seqs=2, max_tokens=8, aborts=False))


def make_oversize() -> NanoVllm:
    """The same, with requests that can never fit: the engine does not reject them."""
    return NanoVllm(
        Limits(blocks=4, block_size=2, max_seqs=2, max_tokens=8, aborts=False, oversize=True)
    )
