"""Runs batches: one forward over the pool, then a token for each sample.

Guarantees: `forward` does not wait for the device; logits are sampled in float32; the newest token
of every lane stays on the device, so the next step may use it before the host has it.
"""
# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lineclear_gpu.attention import AttentionBackend, Gather, Rows
from lineclear_gpu.batch import Batch
from lineclear_gpu.graphs import Graphs
from lineclear_gpu.kernels.storing import store_kv
from lineclear_gpu.model import Model
from lineclear_gpu.paged import Paged, paged_here
from lineclear_gpu.plug import ForwardContext, check_cap
from lineclear_gpu.pool import KVPool
from lineclear_gpu.sampling import sample
from lineclear_gpu.staging import Staging
from lineclear_gpu.steps import Steps, records


def exact_float32() -> None:
    """Disables TF32, so that float32 on a GPU is float32: parity needs it."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


class ModelRunner:
    """One model over one pool.

    Args:
        model: the model.
        pool: the blocks.
        lanes: initial number of lanes; it grows when a batch names more.
        backend: attention backend; default: by device.
        check: whether to check each batch before it runs, for tests.
        graphs: records steps, None to launch every kernel from the host.
        max_rows: rows of the largest recorded step.
        max_tokens: tokens of the largest step; 0 to record only decode-only steps.
        max_len: tokens of the longest sequence in a recorded step.

    Attributes:
        newest: the newest token of each lane, on the device.  [lanes] int64
        logits: of the last step, in float32; None after a recorded step that was greedy.  [S, V]
        replayed: number of replayed steps.
        eager: number of other steps.
    """

    def __init__(
        self,
        model: Model,
        pool: KVPool,
        *,
        lanes: int = 64,
        backend: AttentionBackend | None = None,
        check: bool = False,
        graphs: Graphs | None = None,
        max_rows: int = 64,
        max_tokens: int = 0,
        max_len: int = 2048,
    ) -> None:
        """Starts without tokens."""
        gpu = pool.gpu
        shape = (model.layers, 2, gpu.shape[3], model.kv_heads, model.head_dim)
        if tuple(gpu.shape[1:]) != shape or gpu.dtype != model.dtype:
            raise ValueError(
                f"the pool's blocks are {tuple(gpu.shape[1:])} of {gpu.dtype}, "
                f"the model's are {shape} of {model.dtype}"
            )
        self.model = model
        self.pool = pool
        self.block_size = int(gpu.shape[3])
        self.num_blocks = int(gpu.shape[0])
        self.backend = backend or (Paged() if paged_here(model.device) else Gather())
        check_cap(self.backend, model.cap)
        self.check = check
        self.graphs = graphs
        self.max_rows = max_rows
        self.max_tokens = max_tokens
        self.max_len = max_len
        self.logits: Tensor | None = None
        self.replayed = 0
        self.eager = 0
        self._staging = Staging(model.device)
        self.steps: Steps | None = None
        self._remember(lanes)

    def _remember(self, lanes: int, before: Tensor | None = None) -> None:
        """Allocates this many lanes, and one more for padding rows."""
        memory = torch.full((lanes + 1,), -1, dtype=torch.int64, device=self.model.device)
        if before is not None:
            memory[: len(before)] = before
        self.newest = memory[:lanes]
        self.close()
        self.steps = None
        if self.graphs is not None and records(self.backend):
            self.steps = Steps(
                self.graphs, self.model, self.pool, self.backend, memory, self.max_rows,
                self.max_tokens, self.max_len,
            )  # fmt: skip

    def close(self) -> None:
        """Frees the recorded steps when the device is done with them; steps are launched then."""
        if self.steps is not None:
            if self.model.device.type == "cuda":
                torch.cuda.synchronize(self.model.device)
            self.steps.close()

    @property
    def refused(self) -> str | None:
        """Why no step is recorded, in one line; None where steps are recorded."""
        if self.graphs is None:
            return "it was not requested"
        if self.steps is None:
            return f"{self.backend.name} attention reads lengths on the host"
        return self.steps.refused

    def record(self, progress: Callable[[int, int], object] = lambda *_: None) -> bool:
        """Records steps before serving; returns whether that succeeded.

        Args:
            progress: called with the number of steps recorded so far and in total.
        """
        return self.steps is not None and self.steps.record(progress)

    def forward(self, batch: Batch) -> Tensor:
        """The sampled tokens, on the device, in the order of the batch's samples.  [S] int64

        Everything is issued on the current stream. The logits stay in `self.logits` until the next call.

        Raises:
            BatchError: `check` is set and the batch is inconsistent.
            Unsupported: the model needs something that attention over the pool lacks.
        """
        if self.check:
            batch.check(self.block_size, self.num_blocks)
        with torch.inference_mode():
            self._make_room(batch)
            if self.steps is not None:
                sampled = self._replay(self.steps, batch)
                if sampled is not None:
                    self.replayed += 1
                    return sampled
            self.eager += 1
            return self._launch(batch)

    def _replay(self, steps: Steps, batch: Batch) -> Tensor | None:
        """Replays a recorded step; None if it is not recorded."""
        sampled = steps.run(batch)
        if sampled is None:
            return None
        self.logits = None
        if not batch.greedy:
            self.logits = steps.logits(len(batch.sample_rows))
            sent = self._staging.send(self._how(batch))
            sampled = self._sample(batch, sent, self.logits)
            self.newest.index_copy_(0, sent["sample_lanes"], sampled)
        return sampled

    def _launch(self, batch: Batch) -> Tensor:
        """Runs any step, kernel by kernel."""
        sent = self._staging.send(self._arrays(batch))
        rows = Rows(
            batch,
            tables=sent["tables"],
            context_lens=sent["context_lens"],
            row_starts=sent["row_starts"],
            slots=sent["slots"],
            block_size=self.block_size,
            dtype=self.model.dtype,
            single=len(batch.tokens) == batch.rows,
        )
        tokens = sent["tokens"]
        if "token_lanes" in sent:
            known = self.newest.index_select(0, sent["token_lanes"])
            tokens = torch.where(tokens < 0, known, tokens)
        forward = ForwardContext(
            rows, self.pool.layer, self.backend, store_kv, self.model.windows, self.model.cap
        )
        logits = self.model.logits(tokens, sent["positions"], sent["last"], forward)
        self.logits = logits
        if not len(batch.sample_rows):
            return torch.empty(0, dtype=torch.int64, device=self.model.device)
        sampled = self._sample(batch, sent, logits)
        self.newest.index_copy_(0, sent["sample_lanes"], sampled)
        return sampled

    def _make_room(self, batch: Batch) -> None:
        """Grows the lanes to those that the batch names."""
        most = max(int(batch.lanes.max()), int(batch.sample_lanes.max(initial=0)))
        if most >= len(self.newest):
            self._remember(max(most + 1, 2 * len(self.newest)), self.newest)

    def _arrays(self, batch: Batch) -> dict[str, np.ndarray]:
        """The device arrays of a batch."""
        arrays = {
            "tokens": batch.tokens,
            "positions": batch.positions,
            "slots": batch.slots,
            "row_starts": batch.row_starts,
            "context_lens": batch.context_lens,
            "last": batch.last,
        }
        if (batch.tokens < 0).any():
            arrays["token_lanes"] = np.repeat(batch.lanes, batch.lengths)
        found: dict[str, np.ndarray] = {
            name: array.astype(np.int64, copy=False) for name, array in arrays.items()
        }
        found["tables"] = batch.tables.astype(np.int32, copy=False)
        return found | self._how(batch)

    @staticmethod
    def _how(batch: Batch) -> dict[str, np.ndarray]:
        """The device arrays for sampling."""
        found: dict[str, Any] = {"sample_lanes": batch.sample_lanes.astype(np.int64, copy=False)}
        how = None if batch.greedy else batch.sampling
        if how is None:
            return found
        places = batch.context_lens[batch.sample_rows]
        for name, array in (
            ("seeds", how.seeds), ("sequences", how.sequences), ("places", places),
            ("top_ks", how.top_ks),
        ):  # fmt: skip
            found[name] = array.astype(np.int64, copy=False)
        found["temperatures"] = how.temperatures.astype(np.float32, copy=False)
        found["top_ps"] = how.top_ps.astype(np.float32, copy=False)
        return found

    def _sample(self, batch: Batch, sent: dict[str, Tensor], logits: Tensor) -> Tensor:
        how = batch.sampling
        if how is None or batch.greedy:
            return logits.argmax(dim=-1)
        return sample(
            logits,
            seed=sent["seeds"],
            sequence=sent["sequences"],
            position=sent["places"],
            temperature=sent["temperatures"],
            top_p=sent["top_ps"],
            top_k=sent["top_ks"],
            truncated=bool((how.top_ks > 0).any() or (how.top_ps < 1.0).any()),
        )
