# pyright: basic, reportOptionalMemberAccess=false, reportArgumentType=false, reportCallIssue=false
"""Attention that reads keys and values from the block pool through block tables.

Guarantees: a token attends to the positions of its own context up to its own, of them to the last `window` if there
is one; no slot behind a context is loaded; a row of length 0 gives zeros, and a part of the context that is empty
weighs nothing. Lengths and tables are read on the device, so one captured launch serves any lengths.

One program computes one KV head for the tokens of one tile, with all query heads that share it: the
lines of its matrix products are pairs of a token and a query head. A decode is a tile of one token
whose context is split among several programs; `merge_parts` adds their results by their log-sums.
Scores and sums are float32, exponentials base 2.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor

from lineclear_gpu.kernels.plans import (
    LEAST,
    LaunchPlan,
    decode_plan,
    power,
    prefill_plan,
    splits_for,
)

try:
    import triton
    import triton.language as tl
except ImportError:  # torch is used instead
    triton = None

LOG2E = 1.4426950408889634

if triton is not None:

    @triton.jit
    def hyperbolic(x):
        """The tangent, also where x is small beside 1, as most scores are beside their cap."""
        square = x * x
        series = 62.0 / 2835.0 * square - 17.0 / 315.0
        series = ((series * square + 2.0 / 15.0) * square - 1.0 / 3.0) * square
        return tl.where(tl.abs(x) < 0.25, x + x * series, 2.0 * tl.sigmoid(2.0 * x) - 1.0)

    @triton.jit(do_not_specialize=["rows"])
    def attend_tiles(
        query,
        layer,
        tables,
        contexts,
        starts,
        out,
        parts,
        sums,
        rows,
        scale,
        cap,
        table_stride,
        block_stride,
        kv_stride,
        slot_stride,
        head_stride,
        query_stride,
        query_head_stride,
        SHARED: tl.constexpr,
        KV_HEADS: tl.constexpr,
        HEAD: tl.constexpr,
        WIDTH: tl.constexpr,
        SIZE: tl.constexpr,
        TOKENS: tl.constexpr,
        LINES: tl.constexpr,
        TILE: tl.constexpr,
        SPLITS: tl.constexpr,
        LEAST: tl.constexpr,
        WINDOW: tl.constexpr,
        CAPPED: tl.constexpr,
        DECODE: tl.constexpr,
        UPCAST: tl.constexpr,
        SEARCH: tl.constexpr,
    ):
        """One KV head, one tile of tokens, one split of the context.

        Args:
            query: [T, H, HEAD]
            layer: [blocks, 2, SIZE, KV_HEADS, HEAD]
            tables: block ids of each row. [rows, W]
            contexts: positions of each row. [rows]
            starts: index of the first token of each row. [rows + 1]
            out: the result, if there is one split. [T, H, HEAD], contiguous
            parts: the result of each split, else. [rows, H, SPLITS, HEAD]
            sums: the weight of each split, base 2. [rows, H, SPLITS]
            rows: number of rows.
            scale: factor of the scores, times log2(e) unless CAPPED.
            cap: soft cap of the scores, if CAPPED.
            table_stride, block_stride, kv_stride, slot_stride, head_stride, query_stride,
                query_head_stride: strides, in numbers.
            SHARED: query heads of one KV head.
            KV_HEADS: KV heads.
            HEAD: numbers of a head.
            WIDTH: the power of two from HEAD on.
            SIZE: tokens per block.
            TOKENS: tokens of one tile.
            LINES: lines of a tile, a token's query heads side by side: a power of two, at least
                TOKENS * SHARED and 16.
            TILE: positions that are read at once.
            SPLITS: splits of a context.
            LEAST: minimum positions of a split.
            WINDOW: positions that a token sees, its own included; 0 for all.
            CAPPED: whether there is a cap.
            DECODE: whether rows of one token are computed, else those of several.
            UPCAST: whether 16-bit numbers become float32 first.
            SEARCH: steps that find the row of a tile.
        """
        head = tl.program_id(0)
        split = tl.program_id(2)
        if DECODE:
            row = tl.program_id(1)
            tile = 0
        else:
            # Row r owns tiles starts[r] // TOKENS + r onwards: enough for its tokens, whatever
            # precedes it. Find the last row that begins at this tile or before it.
            number = tl.program_id(1)
            row = number * 0
            above = row + rows
            for _ in tl.static_range(SEARCH):  # pyright: ignore[reportGeneralTypeIssues]
                middle = (row + above) // 2
                begins = tl.load(starts + tl.minimum(middle, rows - 1)).to(tl.int32)
                begins = begins // TOKENS + middle
                right = (begins <= number) & (middle < above)
                row = tl.where(right, middle, row)
                above = tl.where(right, above, middle)
            tile = number - (tl.load(starts + row).to(tl.int32) // TOKENS + row)
        first = tl.load(starts + row).to(tl.int32)
        length = tl.load(starts + row + 1).to(tl.int32) - first
        # Rows of one token are decodes; a tile may lie beyond its row's tokens.
        wanted = length == 1 if DECODE else (length > 1) & (tile * TOKENS < length)
        if wanted:
            context = tl.load(contexts + row).to(tl.int32)
            line = tl.arange(0, LINES)
            token = tile * TOKENS + line // SHARED  # of the row
            valid = (line < TOKENS * SHARED) & (token < length)
            place = context - length + token  # position of each line
            query_head = head * SHARED + line % SHARED
            number_at = tl.arange(0, WIDTH)
            whole = number_at < HEAD
            lines = (first + token).to(tl.int64)
            at = query + lines[:, None] * query_stride + query_head[:, None] * query_head_stride
            queries = tl.load(
                at + number_at[None, :], mask=valid[:, None] & whole[None, :], other=0.0
            )
            if UPCAST:
                queries = queries.to(tl.float32)
            end = tl.minimum(context, context - length + (tile + 1) * TOKENS)
            begin = end * 0
            if WINDOW > 0:
                begin = tl.maximum(context - length + tile * TOKENS - WINDOW + 1, 0) // TILE * TILE
            share = tl.cdiv(tl.cdiv(end - begin, SPLITS), TILE) * TILE
            if SPLITS > 1:
                share = tl.maximum(share, LEAST)
            low = begin + split * share
            high = tl.minimum(end, low + share)
            best = tl.full([LINES], float("-inf"), tl.float32)
            total = tl.zeros([LINES], tl.float32)
            found = tl.zeros([LINES, WIDTH], tl.float32)
            for start in range(low, high, TILE):
                position = start + tl.arange(0, TILE)
                inside = position < high
                block = tl.load(
                    tables + row.to(tl.int64) * table_stride + position // SIZE,
                    mask=inside,
                    other=0,
                ).to(tl.int64)
                slot = block * block_stride + (position % SIZE) * slot_stride + head * head_stride
                keys = tl.load(
                    layer + slot[None, :] + number_at[:, None],
                    mask=inside[None, :] & whole[:, None],
                    other=0.0,
                )
                values = tl.load(
                    layer + kv_stride + slot[:, None] + number_at[None, :],
                    mask=inside[:, None] & whole[None, :],
                    other=0.0,
                )
                if UPCAST:
                    keys = keys.to(tl.float32)
                    values = values.to(tl.float32)
                scores = tl.dot(queries, keys, input_precision="ieee") * scale
                if CAPPED:  # cap * tanh(scores / cap); scale leaves base 2 to this line
                    scores = cap * hyperbolic(scores / cap) * 1.4426950408889634
                seen = inside[None, :] & (position[None, :] <= place[:, None])
                if WINDOW > 0:
                    seen = seen & (position[None, :] > place[:, None] - WINDOW)
                scores = tl.where(seen, scores, float("-inf"))
                higher = tl.maximum(best, tl.max(scores, 1))
                # No score seen yet: subtract 0, so that -inf stays -inf and nothing is NaN.
                shift = tl.where(higher == float("-inf"), 0.0, higher)
                weights = tl.exp2(scores - shift[:, None])
                shrink = tl.exp2(best - shift)
                total = total * shrink + tl.sum(weights, 1)
                found = found * shrink[:, None]
                found += tl.dot(weights.to(values.dtype), values, input_precision="ieee")
                best = higher
            some = total > 0.0
            divisor = tl.where(some, total, 1.0)
            result = found / divisor[:, None]
            heads: tl.constexpr = KV_HEADS * SHARED
            if SPLITS == 1:
                place_out = (lines * heads + query_head)[:, None] * HEAD + number_at[None, :]
                tl.store(
                    out + place_out,
                    result.to(out.dtype.element_ty),
                    mask=valid[:, None] & whole[None, :],
                )
            else:
                part = (row.to(tl.int64) * heads + query_head) * SPLITS + split
                sum_here = tl.where(some, best + tl.log2(divisor), float("-inf"))
                tl.store(sums + part, sum_here, mask=valid)
                tl.store(
                    parts + part[:, None] * HEAD + number_at[None, :],
                    result,
                    mask=(valid & some)[:, None] & whole[None, :],
                )

    @triton.jit
    def merge_parts(
        parts,
        sums,
        starts,
        out,
        HEADS: tl.constexpr,
        HEAD: tl.constexpr,
        WIDTH: tl.constexpr,
        SPLITS: tl.constexpr,
    ):
        """One row and one head: combines the splits' results, weighted by their sums.

        Args:
            parts: results of the splits. [rows, H, SPLITS, HEAD]
            sums: their weights, base 2. [rows, H, SPLITS]
            starts: index of the first token of each row. [rows + 1]
            out: [T, H, HEAD], contiguous
            HEADS: query heads.
            HEAD: numbers of a head.
            WIDTH: the power of two from HEAD on.
            SPLITS: splits of a context.
        """
        row = tl.program_id(0)
        head = tl.program_id(1)
        first = tl.load(starts + row)
        if tl.load(starts + row + 1) - first == 1:
            split = tl.arange(0, SPLITS)
            number_at = tl.arange(0, WIDTH)
            whole = number_at < HEAD
            part = (row.to(tl.int64) * HEADS + head) * SPLITS + split
            each = tl.load(sums + part)
            best = tl.max(each, 0)
            weights = tl.exp2(each - tl.where(best == float("-inf"), 0.0, best))
            full = each != float("-inf")  # an empty split's result is never loaded
            found = tl.load(
                parts + part[:, None] * HEAD + number_at[None, :],
                mask=full[:, None] & whole[None, :],
                other=0.0,
            )
            total = tl.sum(weights, 0)
            result = tl.sum(found * weights[:, None], 0) / tl.where(total == 0.0, 1.0, total)
            at = (first.to(tl.int64) * HEADS + head) * HEAD + number_at
            tl.store(out + at, result.to(out.dtype.element_ty), mask=whole)


def paged_attention(
    query: Tensor,
    layer: Tensor,
    tables: Tensor,
    contexts: Tensor,
    starts: Tensor,
    scale: float,
    window: int | None = None,
    cap: float | None = None,
    *,
    single: bool = False,
    processors: int = 1,
    plan: LaunchPlan | None = None,
) -> Tensor:
    """Attention output of each token.  [T, H, D]

    Args:
        query: numbers of a head lie side by side.  [T, H, D]
        layer: likewise.  [num_blocks, 2, block_size, kv_heads, D]
        tables: [R, W] int32
        contexts: 0 gives zeros.  [R] int64
        starts: first token of each row, and T.  [R + 1] int64
        scale: factor applied to the scores.
        window: how many positions back a token sees, itself included; None for all.
        cap: scores become cap * tanh(score / cap); None leaves them.
        single: whether every row has at most one token; else both kinds of rows are handled.
        processors: multiprocessors of the device.
        plan: launch parameters of decodes, instead of the default.
    """
    tokens, heads, size = query.shape
    rows, entries = tables.shape
    block_size, kv_heads = layer.shape[2], layer.shape[3]
    shared = heads // kv_heads
    if query.stride(2) != 1 or layer.stride(4) != 1:
        raise ValueError("the numbers of a head must be contiguous")
    out = torch.empty((tokens, heads, size), dtype=query.dtype, device=query.device)
    width = power(max(16, size))
    wide = width * query.element_size()
    if plan is None:
        splits = splits_for(rows, kv_heads, entries * block_size, processors)
        plan = decode_plan(wide, rows * kv_heads * splits, processors, splits)
    parts = sums = out
    if plan.splits > 1:
        parts = torch.empty(
            (rows, heads, plan.splits, size), dtype=torch.float32, device=query.device
        )
        sums = torch.empty((rows, heads, plan.splits), dtype=torch.float32, device=query.device)
    # A cap needs scores in base e; without one the change of base is part of the scale.
    factor = scale if cap is not None else scale * LOG2E
    upcast = os.environ.get("TRITON_INTERPRET") == "1"  # its products of 16 bits are wrong

    def launch(chosen: LaunchPlan, tiles: int, per_tile: int, lines: int, decode: bool) -> None:
        attend_tiles[(kv_heads, tiles, chosen.splits)](
            query,
            layer,
            tables,
            contexts,
            starts,
            out,
            parts,
            sums,
            rows,
            factor,
            cap or 0.0,
            tables.stride(0),
            layer.stride(0),
            layer.stride(1),
            layer.stride(2),
            layer.stride(3),
            query.stride(0),
            query.stride(1),
            SHARED=shared,
            KV_HEADS=kv_heads,
            HEAD=size,
            WIDTH=width,
            SIZE=block_size,
            TOKENS=per_tile,
            LINES=lines,
            TILE=chosen.tile,
            SPLITS=chosen.splits,
            LEAST=LEAST,
            WINDOW=window or 0,
            CAPPED=cap is not None,
            DECODE=decode,
            UPCAST=upcast,
            SEARCH=0 if decode else rows.bit_length() + 1,
            num_warps=chosen.warps,
            num_stages=chosen.stages,
        )

    launch(plan, rows, 1, max(16, power(shared)), True)
    if plan.splits > 1:
        merge_parts[(rows, heads)](
            parts, sums, starts, out, HEADS=heads, HEAD=size, WIDTH=width, SPLITS=plan.splits
        )
    if not single:
        lines = max(64 if wide <= 512 else 32, power(shared))
        per_tile = lines // shared
        launch(prefill_plan(wide), tokens // per_tile + rows, per_tile, lines, False)
    return out
