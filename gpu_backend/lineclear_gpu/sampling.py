"""From logits to tokens.

Guarantees: the random number of a sample depends on its seed, sequence and position alone, so preemption, batch
composition, the number of steps in flight and the device do not change it. The number selects a token by the inverse
of the distribution function, summed by token id in float64: rounding of logits moves a boundary by as little, whereas
a sum in order of probability would change wholesale when two tokens swap ranks.
"""
# pyright: basic

from __future__ import annotations

import torch
from torch import Tensor

from lineclear_gpu.philox import uniform


def probabilities(
    logits: Tensor,
    temperature: Tensor,
    top_p: Tensor,
    top_k: Tensor,
    truncated: bool = True,
) -> Tensor:
    """The distribution to sample from, not normalized.  [S, V] float64

    Top-k applies first, then the smallest set of most probable tokens that has top_p of the remaining mass. Tokens
    exactly as probable as the last one of a set belong to it as well: otherwise the order of a sort would decide.

    Args:
        logits: [S, V] float32
        temperature: above 0.  [S]
        top_p: in (0, 1].  [S]
        top_k: 0 for all tokens.  [S]
        truncated: False if neither top-p nor top-k removes a token, which saves a sort.
    """
    vocabulary = logits.shape[-1]
    scaled = logits.double() / temperature.double()[:, None]
    shares = torch.softmax(scaled, dim=-1)
    if not truncated:
        return shares
    ordered = shares.sort(dim=-1, descending=True).values
    count = torch.where(top_k > 0, top_k, vocabulary).clamp(max=vocabulary)
    rank = torch.arange(vocabulary, device=logits.device)
    ordered = torch.where(rank < count[:, None], ordered, 0.0)
    before = ordered.cumsum(dim=-1) - ordered
    kept = before < top_p.double()[:, None] * ordered.sum(dim=-1, keepdim=True)
    kept = (kept & (ordered > 0.0)) | (rank == 0)
    least = ordered.masked_fill(~kept, float("inf")).amin(dim=-1, keepdim=True)
    return torch.where(shares >= least, shares, 0.0)


def sample(
    logits: Tensor,
    *,
    seed: Tensor,
    sequence: Tensor,
    position: Tensor,
    temperature: Tensor,
    top_p: Tensor,
    top_k: Tensor,
    truncated: bool = True,
) -> Tensor:
    """One token for each row of logits.  [S] int64

    Args:
        logits: [S, V] float32
        seed: [S] int64
        sequence: [S] int64
        position: position of the new token.  [S] int64
        temperature: 0 takes the most probable token, the first among equals.  [S]
        top_p: [S]
        top_k: [S] int64
        truncated: False if top_p is 1 and top_k is 0 for every row.
    """
    best = logits.argmax(dim=-1)
    greedy = temperature <= 0.0
    shares = probabilities(logits, torch.where(greedy, 1.0, temperature), top_p, top_k, truncated)
    sums = shares.cumsum(dim=-1)
    point = uniform(seed, sequence, position)[:, None] * sums[:, -1:]
    drawn = torch.searchsorted(sums, point, right=True)[:, 0]
    # Rounding can put the point at the very end, beyond the last token with any mass.
    final = (sums < sums[:, -1:]).sum(dim=-1)
    return torch.where(greedy, best, torch.minimum(drawn, final))
