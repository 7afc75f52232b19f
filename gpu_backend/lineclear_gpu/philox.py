"""Random numbers that are a function of a key and a counter: Philox 4x32-10.

Guarantees: the same key and counter give the same bits on every device, in every batch and in any
order, since nothing is remembered between calls.

Source: J. Salmon and others, Parallel random numbers: as easy as 1, 2, 3, SC 2011.
"""
# pyright: basic

from __future__ import annotations

import torch
from torch import Tensor

WORD = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def product(word: Tensor, multiplier: int) -> tuple[Tensor, Tensor]:
    """High and low half of word * multiplier; int64 wraps, and its bits are those of uint64."""
    whole = word * multiplier
    return (whole >> 32) & WORD, whole & WORD


def philox(key: tuple[Tensor, Tensor], counter: Words) -> Words:
    """Four words of 32 random bits.

    Args:
        key: two words of 32 bits, in int64 tensors.
        counter: four words of 32 bits, in int64 tensors of the same shape.
    """
    k0, k1 = key
    c0, c1, c2, c3 = counter
    for _ in range(ROUNDS):
        high0, low0 = product(c0, MULTIPLIERS[0])
        high1, low1 = product(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return c0, c1, c2, c3


def uniform(seed: Tensor, sequence: Tensor, position: Tensor) -> Tensor:
    """A number in [0, 1) with 53 random bits for each (seed, sequence, position).  [S] float64

    Args:
        seed: 64 bits, in int64.  [S]
        sequence: 64 bits, in int64.  [S]
        position: at most 32 bits.  [S]
    """
    key = (seed & WORD, (seed >> 32) & WORD)
    counter = (
        position & WORD,
        sequence & WORD,
        (sequence >> 32) & WORD,
        torch.zeros_like(position),
    )
    first, second, _, _ = philox(key, counter)
    bits = (first << 21) | (second >> 11)
    return bits.to(torch.float64) * 2.0**-53
