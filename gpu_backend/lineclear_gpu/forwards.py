# pyright: basic
"""Runs the forward of a step; one that raises fails only the rows that raise alone.

Guarantees: after a forward that raised, each half of its rows runs by itself, and so on, at the same
place in stream order and under the same waits: a row computes the same positions from the same
blocks, so what it wrote before is written again. Tokens that only the device had are taken from the
forward before, because one that raised may have overwritten them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch

from lineclear_gpu.batch import UNKNOWN, Batch
from lineclear_gpu.staging import fetch

#: torch.cuda, whose streams carry no types.
cuda: Any = torch.cuda


class Runner(Protocol):
    """Computes a batch."""

    newest: torch.Tensor

    def forward(self, batch: Batch) -> torch.Tensor:
        """The sampled tokens, on the device.  [S] int64"""
        ...


@dataclass(frozen=True, slots=True)
class Sampled:
    """The result of a step.

    Attributes:
        tokens: of each sample, on the host once the stream has passed; 0 in rows that failed.  [S]
        failed: errors of the rows that raise alone.
        error: the error that the whole batch raised, None if it did not.
    """

    tokens: torch.Tensor
    failed: dict[int, str] = field(default_factory=dict[int, str])
    error: str | None = None


def error_text(error: BaseException) -> str:
    """An error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class ForwardRunner:
    """Runs batches, in stream order.

    Args:
        runner: computes them.
    """

    def __init__(self, runner: Runner) -> None:
        """No step has run."""
        self.runner = runner
        self._lanes: Any = np.zeros(0, dtype=np.int64)  # of the newest forward, and its tokens
        self._tokens = torch.zeros(0, dtype=torch.int64)

    def run(self, batch: Batch) -> Sampled:
        """Runs a batch; its rows apart if it raises."""
        sampled, error = None, ""
        try:
            sampled = Sampled(fetch(self.runner.forward(batch)))
        except Exception as raised:
            error = error_text(raised)
        # The error is gone here, and with it the frames that kept tensors of the failed forward.
        if sampled is None:
            sampled = self._apart(self._with_own_tokens(batch), error)
        self._lanes, self._tokens = batch.sample_lanes, sampled.tokens
        return sampled

    def _with_own_tokens(self, batch: Batch) -> Batch:
        """The batch, with the tokens that the forward before it has sampled."""
        unknown = np.flatnonzero(batch.tokens == UNKNOWN)
        if not len(unknown):
            return batch
        if self.runner.newest.is_cuda:
            cuda.current_stream(self.runner.newest.device).synchronize()
        newest = dict(zip(self._lanes.tolist(), self._tokens.tolist(), strict=True))
        rows = np.searchsorted(batch.row_starts, unknown, side="right") - 1
        tokens = batch.tokens.copy()
        tokens[unknown] = [newest[lane] for lane in batch.lanes[rows].tolist()]
        return replace(batch, tokens=tokens)

    def _apart(self, batch: Batch, error: str) -> Sampled:
        """Runs the halves of a batch that raised, and halves of these, down to single rows."""
        device = self.runner.newest.device
        tokens = torch.zeros(len(batch.sample_rows), dtype=torch.int64, device=device)
        failed: dict[int, str] = {}
        ahead = [(0, batch.rows, error)]  # rows that raised together
        while ahead:
            first, last, text = ahead.pop()
            if last - first == 1:
                failed[first] = text
                self._forget(batch.part(first, last))
                continue
            middle = (first + last) // 2
            for begin, end in ((first, middle), (middle, last)):
                text = self._try(batch, begin, end, tokens)
                if text:
                    ahead.append((begin, end, text))
        return Sampled(fetch(tokens), failed, error)

    def _try(self, batch: Batch, first: int, last: int, tokens: torch.Tensor) -> str:
        """Runs these rows and stores their tokens; returns the error, "" if there was none."""
        mine = (batch.sample_rows >= first) & (batch.sample_rows < last)
        try:
            sampled = self.runner.forward(batch.part(first, last))
            tokens[torch.from_numpy(np.flatnonzero(mine)).to(tokens.device)] = sampled
        except Exception as raised:
            return error_text(raised)
        return ""

    def _forget(self, batch: Batch) -> None:
        """A failed row's newest token is a valid one: a step in flight may compute it."""
        lanes = [lane for lane in batch.sample_lanes.tolist() if lane < len(self.runner.newest)]
        self.runner.newest[lanes] = 0
