# pyright: basic, reportOptionalMemberAccess=false, reportArgumentType=false, reportCallIssue=false, reportCallIssue=false
"""Copies of blocks inside a pool (copy on write) or between two, word by word.

Guarantees: each target row equals its source row as it was before the call, as long as no row is a
source and a target of one call; nothing else changes.
"""

from __future__ import annotations

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # torch is used instead
    triton = None

#: Words that one program of the kernel moves, and its warps: inside the device, and over the link to
#: the host, as measured there.
INSIDE, OVER_LINK = (512, 4), (1024, 8)

if triton is not None:

    @triton.jit
    def copy_words(source, target, pairs, words, CHUNK: tl.constexpr):
        """One chunk of one row.

        source, target: words of all rows; pairs: source and target of each copy. [copies, 2]

        Args:
            source: words of all rows. [rows, words]
            target: the same of the other pool. [rows, words]
            pairs: source and target row of each copy. [copies, 2]
            words: words of one row.
            CHUNK: words of one program.
        """
        copy = tl.program_id(0).to(tl.int64)
        one = tl.load(pairs + 2 * copy).to(tl.int64)
        other = tl.load(pairs + 2 * copy + 1).to(tl.int64)
        at = tl.program_id(1).to(tl.int64) * CHUNK + tl.arange(0, CHUNK)
        inside = at < words
        moved = tl.load(source + one * words + at, mask=inside)
        tl.store(target + other * words + at, moved, mask=inside)


def has_triton() -> bool:
    """Whether the kernels can be compiled on this machine."""
    return triton is not None


def copy_rows_triton(
    source: torch.Tensor,
    target: torch.Tensor,
    pairs: torch.Tensor,
    chunk: int = INSIDE[0],
    warps: int = INSIDE[1],
) -> None:
    """Copies rows with the kernel; host memory must be registered with the device.

    Args:
        source: bytes, contiguous; moved as words if a row is a multiple of 8. [n, row_bytes]
        target: likewise; may be the same rows. [m, row_bytes]
        pairs: source and target row of each copy, on the device. [copies, 2]
        chunk: words that one program moves.
        warps: of one program.
    """
    if source.shape[1] % 8 == 0:
        source, target = source.view(torch.int64), target.view(torch.int64)
    count = source.shape[1]
    grid = (pairs.shape[0], triton.cdiv(count, chunk))
    copy_words[grid](source, target, pairs, count, CHUNK=chunk, num_warps=warps)


def copy_rows(rows: torch.Tensor, pairs: list[tuple[int, int]]) -> None:
    """Copies rows of one pool.

    Args:
        rows: bytes. [n, row_bytes]
        pairs: (source, target) of each copy.
    """
    if not pairs:
        return
    if rows.is_cuda:
        table = torch.tensor(pairs, dtype=torch.int32).pin_memory()
        copy_rows_triton(rows, rows, table.to(rows.device, non_blocking=True))
        return
    sources, targets = zip(*pairs, strict=True)
    rows[list(targets)] = rows[list(sources)]
