"""mini-sglang's scheduler under `lineclear.testing`, without overlap.

The engine's sources are not part of this project; the adapter needs torch. Clone them:

    git clone https://github.com/sgl-project/mini-sglang && git -C mini-sglang checkout 20fcd7f
    MINI_SGLANG=mini-sglang lineclear test examples/mini_sglang_adapter.py:make_scheduler

`Scheduler`, its managers and the radix cache run as they are. Stubbed: what needs a GPU, a compiler or
a socket (`STUBBED`).
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import torch

from lineclear.testing import NO_TOKEN, Limits, Observation, Row

ENGINE = "mini-sglang"
STUBBED = (
    "minisgl.engine (the model)",
    "minisgl.kernel.fast_compare_key",
    "minisgl.utils: logging, sockets",
    "minisgl.scheduler.io (messages)",
    "pinned memory",
)
VARIABLE = "MINI_SGLANG"


def sources() -> Path:
    """The folder with the engine's sources."""
    folder = Path(os.environ.get(VARIABLE, "mini-sglang"))
    if not (folder / "python/minisgl/scheduler/scheduler.py").is_file():
        raise FileNotFoundError(f"{folder} has no python/minisgl/scheduler; set {VARIABLE}")
    return folder


def stub(name: str, path: str = "", **content: Any) -> ModuleType:
    """A module of that name with this content; a package if it has a path."""
    module = ModuleType(name)
    module.__dict__.update(content)
    if path:
        module.__path__ = [str(sources() / "python" / path)]
    sys.modules[name] = module
    return module


class Output(NamedTuple):
    """The result of a forward pass, like the engine's class with the same fields."""

    next_tokens_gpu: torch.Tensor
    next_tokens_cpu: torch.Tensor
    copy_done_event: Any


class Unpinned:
    """torch, whose memory cannot be pinned without a GPU."""

    def __getattr__(self, name: str) -> Any:
        made = getattr(torch, name)
        if name in ("empty", "tensor"):
            return lambda *a, pin_memory=False, **k: made(*a, **k)
        return made


class Quiet:
    """A logger without output."""

    def __getattr__(self, name: str) -> Any:
        return lambda *a, **k: None


def common(x: torch.Tensor, y: torch.Tensor) -> int:
    """Positions from the start in which two keys are equal."""
    size = min(len(x), len(y))
    differ = (x[:size] != y[:size]).nonzero()
    return int(differ[0]) if len(differ) else size


def load() -> tuple[Any, ...]:
    """The engine's modules `core`, `message`, and those of its scheduler."""
    if "minisgl" not in sys.modules:
        stub("minisgl", "minisgl")
        utils = stub("minisgl.utils", "minisgl/utils")
        for name in ("misc", "registry"):
            utils.__dict__.update(vars(importlib.import_module(f"minisgl.utils.{name}")))
        utils.init_logger = lambda *a, **k: Quiet()  # type: ignore[attr-defined]
        utils.load_tokenizer = None  # type: ignore[attr-defined]
        stub("minisgl.kernel", fast_compare_key=common)
        stub("minisgl.engine", EngineConfig=object)
        stub("minisgl.env", ENV=SimpleNamespace(DISABLE_OVERLAP_SCHEDULING=True))
        stub("minisgl.scheduler", "minisgl/scheduler")
        stub("minisgl.scheduler.io", SchedulerIOMixin=object)
        stub("minisgl.scheduler.config", SchedulerConfig=object)
        torch.Tensor.pin_memory = lambda self, *a: self  # type: ignore[method-assign, assignment]
        for name in ("cache", "scheduler"):
            importlib.import_module(f"minisgl.scheduler.{name}").torch = Unpinned()  # type: ignore[attr-defined]
        core = importlib.import_module("minisgl.core")
        core.set_global_ctx(core.Context(page_size=1))
    names = ("core", "message", "scheduler.scheduler", "scheduler.cache", "scheduler.decode",
             "scheduler.prefill", "scheduler.table")  # fmt: skip
    return tuple(importlib.import_module(f"minisgl.{name}") for name in names)


class MiniSglang:
    """The engine's scheduler with pages of one token; an abort is a message to the next step."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.core, self.message, main, cache, decode, prefill, table = load()
        self.chunked = prefill.ChunkedReq
        self.longest = limits.blocks
        pages = torch.zeros((limits.max_seqs + 1, 32), dtype=torch.int32)
        scheduler = self.scheduler = object.__new__(main.Scheduler)
        scheduler.engine = SimpleNamespace(
            page_table=pages,
            max_seq_len=self.longest,
            graph_runner=SimpleNamespace(pad_batch=self.pad),
            attn_backend=SimpleNamespace(prepare_metadata=lambda batch: None),
            sampler=SimpleNamespace(prepare=lambda batch: None),
            forward_batch=self.forward,
        )
        scheduler.device = torch.device("cpu")
        scheduler.table_manager = table.TableManager(limits.max_seqs, pages)
        scheduler.cache_manager = cache.CacheManager(limits.blocks, 1, pages, "radix")
        scheduler.decode_manager = decode.DecodeManager(1)
        scheduler.prefill_manager = prefill.PrefillManager(
            scheduler.cache_manager, scheduler.table_manager, scheduler.decode_manager
        )
        scheduler.finished_reqs = set()
        scheduler.eos_token_id = -1
        scheduler.token_pool = scheduler.table_manager.token_pool
        scheduler.prefill_budget = limits.max_tokens
        scheduler.receive_msg = self.receive
        self.names: list[str] = []
        self.messages: list[Any] = []
        self.replies: list[Any] = []
        scheduler.send_result = self.replies.extend
        self.batch: Any = None
        self.execute: Any = None

    def pad(self, batch: Any) -> None:
        batch.padded_reqs = batch.reqs

    def receive(self, blocking: bool) -> list[Any]:
        messages, self.messages = self.messages, []
        return messages

    def submit(self, request_id: str, prompt: list[int], max_new: int) -> bool:
        if len(prompt) + max_new > self.longest:  # the engine would shorten it
            return False
        self.names.append(request_id)
        sampling = self.core.SamplingParams(max_tokens=max_new, ignore_eos=True)
        ids = torch.tensor(prompt, dtype=torch.int32)
        self.messages.append(self.message.UserMsg(len(self.names) - 1, ids, sampling))
        return True

    def abort(self, request_id: str) -> None:
        self.messages.append(self.message.AbortBackendMsg(self.names.index(request_id)))

    def step(self, execute: Any) -> list[str]:
        self.execute = execute
        self.replies.clear()
        self.scheduler.normal_loop()
        return [self.names[reply.uid] for reply in self.replies if reply.finished]

    def forward(self, batch: Any, args: Any) -> Any:
        self.batch = batch
        samples = [not isinstance(req, self.chunked) for req in batch.reqs]
        rows = [
            Row(self.names[r.uid], r.cached_len, r.extend_len, self.table(r), sampled)
            for r, sampled in zip(batch.reqs, samples, strict=True)
        ]
        tokens = [0 if token == NO_TOKEN else token for token in self.execute(rows)]
        self.batch = None
        for req in batch.reqs:
            req.complete_one()
        answer = torch.tensor(tokens, dtype=torch.int32)
        return Output(answer, answer, SimpleNamespace(synchronize=lambda: None))

    def table(self, req: Any) -> tuple[int, ...]:
        size = req.device_len if self.batch and req in self.batch.reqs else req.cached_len
        return tuple(self.scheduler.engine.page_table[req.table_idx, :size].tolist())

    def nodes(self, node: Any, prefix: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Every cached page, with the tokens up to its end."""
        for child in node.children.values():
            key = prefix
            for token, page in zip(child._key.tolist(), child.value.tolist(), strict=True):
                key = (*key, token)
                yield page, key
            yield from self.nodes(child, key)

    def observe(self) -> Observation:
        scheduler = self.scheduler
        pending = scheduler.prefill_manager.pending_list
        running = [*scheduler.decode_manager.running_reqs]
        running += [one.chunked_req for one in pending if one.chunked_req]
        running += [r for r in (self.batch.reqs if self.batch else ()) if r not in running]
        cached = dict(self.nodes(scheduler.cache_manager.prefix_cache.root_node, ()))
        tables = {self.names[r.uid]: self.table(r) for r in running}
        messages = [m.uid for m in self.messages if hasattr(m, "input_ids")]
        waiting = [*[one.uid for one in pending if not one.chunked_req], *messages]
        return Observation(
            tables=tables,
            free=scheduler.cache_manager.free_slots.tolist(),
            cached=cached,
            waiting=[self.names[uid] for uid in waiting if self.names[uid] not in tables],
            running=list(tables),
        )


def make_scheduler() -> MiniSglang:
    """Twelve pages of one token."""
    return MiniSglang(Limits(blocks=12, block_size=1, max_seqs=3, max_tokens=8, dying_steps=1))
