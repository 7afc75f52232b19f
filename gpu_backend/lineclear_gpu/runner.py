"""Runs batches: one forward over the pool, then a token for each sample.

Guarantees: `forward` does not wait for the device; logits are sampled from in float32; the newest
token of every lane stays on the device, so a second step may use it before the host knows it. It
knows nothing about plans, requests or where block ids come from.
"""
# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lineclear_gpu.attention import AttentionBackend, Gather, Rows
from lineclear_gpu.batch import Batch
from lineclear_gpu.kernels.storing import store_kv
from lineclear_gpu.model import Model
from lineclear_gpu.plug import Forward
from lineclear_gpu.sampling import sample
from lineclear_gpu.staging import Staging
from lineclear_gpu.varlen import Varlen

__all__ = ["BACKENDS", "ModelRunner", "Pool", "exact_float32"]

#: Ways to attend, by the names that users choose.
BACKENDS: dict[str, type[AttentionBackend]] = {Gather.name: Gather, Varlen.name: Varlen}


class Pool(Protocol):
    """What a runner asks of a block pool."""

    @property
    def gpu(self) -> Tensor:
        """[num_blocks, layers, 2, block_size, kv_heads, head_dim]."""
        ...

    def layer(self, index: int) -> Tensor:
        """The view [num_blocks, 2, block_size, kv_heads, head_dim] of one layer."""
        ...


def exact_float32() -> None:
    """Switches TF32 off, so that float32 on a GPU means float32: what parity is compared in."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


class ModelRunner:
    """One model over one pool.

    Args:
        model: the model.
        pool: the blocks.
        lanes: how many sequences' newest tokens are remembered at first; more when a batch names
            more.
        backend: how to attend, "gather" if None.
        store: puts keys and values into slots of a layer's view.
        check: whether each batch is checked whole before it runs, for tests.
    """

    def __init__(
        self,
        model: Model,
        pool: Pool,
        *,
        lanes: int = 64,
        backend: AttentionBackend | None = None,
        store: Callable[[Tensor, Tensor, Tensor, Tensor], None] = store_kv,
        check: bool = False,
    ) -> None:
        """No lane has a token yet."""
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
        self.backend = backend or Gather()
        self.store = store
        self.check = check
        self.newest = torch.full((lanes,), -1, dtype=torch.int64, device=model.device)
        self.logits: Tensor | None = None
        self._staging = Staging(model.device)

    def forward(self, batch: Batch) -> Tensor:
        """The sampled tokens, on the device, in the order of the batch's samples.  [S] int64

        Everything is issued on the current stream. The logits stay in `self.logits` until the next
        call.

        Raises:
            BatchError: `check` is set and the batch contradicts itself.
            Unsupported: the model asks for something that attention over the pool doesn't have.
        """
        if self.check:
            batch.check(self.block_size, self.num_blocks)
        with torch.inference_mode():
            self._make_room(batch)
            sent = self._staging.send(self._arrays(batch))
            rows = Rows(
                batch,
                tables=sent["tables"],
                context_lens=sent["context_lens"],
                row_starts=sent["row_starts"],
                slots=sent["slots"],
                block_size=self.block_size,
                dtype=self.model.dtype,
            )
            tokens = sent["tokens"]
            if "token_lanes" in sent:
                known = self.newest.index_select(0, sent["token_lanes"])
                tokens = torch.where(tokens < 0, known, tokens)
            forward = Forward(rows, self.pool.layer, self.backend, self.store, self.model.windows)
            logits = self.model.logits(tokens, sent["positions"], sent["last"], forward)
            self.logits = logits
            if not len(batch.sample_rows):
                return torch.empty(0, dtype=torch.int64, device=self.model.device)
            sampled = self._sample(batch, sent, logits)
            self.newest.index_copy_(0, sent["sample_lanes"], sampled)
            return sampled

    def _make_room(self, batch: Batch) -> None:
        """A lane for each that the batch names."""
        most = max(int(batch.lanes.max()), int(batch.sample_lanes.max(initial=0)))
        if most >= len(self.newest):
            more = torch.full((most + 1,), -1, dtype=torch.int64, device=self.model.device)
            self.newest = torch.cat((self.newest, more))

    def _arrays(self, batch: Batch) -> dict[str, np.ndarray]:
        """What the device needs of a batch."""
        arrays = {
            "tokens": batch.tokens,
            "positions": batch.positions,
            "slots": batch.slots,
            "row_starts": batch.row_starts,
            "context_lens": batch.context_lens,
            "last": batch.last,
            "sample_lanes": batch.sample_lanes,
        }
        if (batch.tokens < 0).any():
            arrays["token_lanes"] = np.repeat(batch.lanes, batch.lengths)
        how = None if batch.greedy else batch.sampling
        if how is not None:
            arrays["seeds"] = how.seeds
            arrays["sequences"] = how.sequences
            arrays["places"] = batch.context_lens[batch.sample_rows]
            arrays["top_ks"] = how.top_ks
        found: dict[str, np.ndarray] = {
            name: array.astype(np.int64, copy=False) for name, array in arrays.items()
        }
        found["tables"] = batch.tables.astype(np.int32, copy=False)
        if how is not None:
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
