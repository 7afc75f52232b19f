# pyright: basic, reportOptionalMemberAccess=false, reportArgumentType=false, reportCallIssue=false
"""Fused parts of a layer, several launches each in torch: norm, rotation, gate.

Guarantees: each rounds where the library's operations round, apart from the order of a sum, so
results agree to the last bit or nearly. Without a GPU, torch computes the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # torch is used instead
    triton = None

#: Activations of a gate, by their names in transformers' settings.
GATES = {"silu": 0, "gelu_pytorch_tanh": 1}
#: Numbers that one program of the gate computes; heads that one program rotates.
CHUNK, HEADS = 1024, 8

if triton is not None:

    @triton.jit
    def norm_rows(
        source,
        weight,
        out,
        eps,
        outer_stride,
        inner_stride,
        INNER: tl.constexpr,
        SIZE: tl.constexpr,
        WIDTH: tl.constexpr,
        ROUNDED: tl.constexpr,
        SHIFT: tl.constexpr,
    ):
        """One row: source at (row // INNER, row % INNER), out contiguous.

        Args:
            source: [outer, INNER, SIZE]
            weight: [SIZE]
            out: [outer * INNER, SIZE], contiguous
            eps: keeps the root from 0.
            outer_stride: stride of `source`, in numbers.
            inner_stride: stride of `source`, in numbers.
            INNER: rows for each index of the outer axis.
            SIZE: numbers of a row.
            WIDTH: the power of two from SIZE on.
            ROUNDED: whether the scaled row is rounded to the type of `out` before it is weighted.
            SHIFT: whether the factor is 1 + weight.
        """
        row = tl.program_id(0).to(tl.int64)
        at = tl.arange(0, WIDTH)
        inside = at < SIZE
        begin = source + (row // INNER) * outer_stride + (row % INNER) * inner_stride
        given = tl.load(begin + at, mask=inside, other=0.0).to(tl.float32)
        factor = 1.0 / tl.sqrt(tl.sum(given * given, 0) / SIZE + eps)
        scaled = given * factor
        if ROUNDED:
            scaled = scaled.to(out.dtype.element_ty).to(tl.float32)
        weights = tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
        if SHIFT:
            weights = 1.0 + weights
        tl.store(out + row * SIZE + at, (scaled * weights).to(out.dtype.element_ty), mask=inside)

    @triton.jit
    def gate_rows(both, out, size, KIND: tl.constexpr, CHUNK: tl.constexpr):
        """A chunk of one row: activation(both[:size]) * both[size:].

        Args:
            both: gate and other half of each row. [rows, 2 * size]
            out: [rows, size]
            size: numbers of a row of `out`.
            KIND: a value of `GATES`.
            CHUNK: numbers of one program.
        """
        row = tl.program_id(0).to(tl.int64)
        at = tl.program_id(1) * CHUNK + tl.arange(0, CHUNK)
        inside = at < size
        gate = tl.load(both + row * 2 * size + at, mask=inside, other=0.0).to(tl.float32)
        up = tl.load(both + row * 2 * size + size + at, mask=inside, other=0.0).to(tl.float32)
        if KIND == 0:
            active = gate * tl.sigmoid(gate)
        else:
            inner = 0.7978845608028654 * (gate + 0.044715 * gate * gate * gate)
            active = gate * tl.sigmoid(2.0 * inner)  # (1 + tanh(x)) / 2 = sigmoid(2 x)
        active = active.to(out.dtype.element_ty).to(tl.float32)
        tl.store(out + row * size + at, (active * up).to(out.dtype.element_ty), mask=inside)

    @triton.jit
    def rotate_heads(
        query,
        key,
        cos,
        sin,
        query_out,
        key_out,
        query_stride,
        query_head,
        key_stride,
        key_head,
        angle_stride,
        QUERIES: tl.constexpr,
        KEYS: tl.constexpr,
        HALF: tl.constexpr,
        WIDTH: tl.constexpr,
        HEADS: tl.constexpr,
    ):
        """Some heads of one token; results are contiguous. [T, QUERIES or KEYS, 2 * HALF]

        Args:
            query: [T, QUERIES, 2 * HALF]
            key: [T, KEYS, 2 * HALF]
            cos: [T, 2 * HALF]
            sin: [T, 2 * HALF]
            query_out: like `query`, contiguous
            key_out: like `key`, contiguous
            query_stride, query_head, key_stride, key_head, angle_stride: strides, in numbers.
            QUERIES: query heads.
            KEYS: KV heads.
            HALF: half of the numbers of a head.
            WIDTH: the power of two from HALF on.
            HEADS: heads of one program.
        """
        token = tl.program_id(0).to(tl.int64)
        head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
        at = tl.arange(0, WIDTH)
        narrow = at < HALF
        ours = (head < QUERIES)[:, None] & narrow[None, :]
        theirs = ((head >= QUERIES) & (head < QUERIES + KEYS))[:, None] & narrow[None, :]
        other = head - QUERIES
        from_query = query + token * query_stride + head[:, None] * query_head + at[None, :]
        from_key = key + token * key_stride + other[:, None] * key_head + at[None, :]
        low = tl.load(from_query, mask=ours, other=0.0).to(tl.float32)
        low += tl.load(from_key, mask=theirs, other=0.0).to(tl.float32)
        high = tl.load(from_query + HALF, mask=ours, other=0.0).to(tl.float32)
        high += tl.load(from_key + HALF, mask=theirs, other=0.0).to(tl.float32)
        angle = token * angle_stride + at
        cos_low = tl.load(cos + angle, mask=narrow, other=0.0).to(tl.float32)[None, :]
        cos_high = tl.load(cos + angle + HALF, mask=narrow, other=0.0).to(tl.float32)[None, :]
        sin_low = tl.load(sin + angle, mask=narrow, other=0.0).to(tl.float32)[None, :]
        sin_high = tl.load(sin + angle + HALF, mask=narrow, other=0.0).to(tl.float32)[None, :]
        kind = query_out.dtype.element_ty
        one = (low * cos_low).to(kind).to(tl.float32) - (high * sin_low).to(kind).to(tl.float32)
        two = (high * cos_high).to(kind).to(tl.float32) + (low * sin_high).to(kind).to(tl.float32)
        to_query = query_out + ((token * QUERIES + head) * 2 * HALF)[:, None] + at[None, :]
        to_key = key_out + ((token * KEYS + other) * 2 * HALF)[:, None] + at[None, :]
        tl.store(to_query, one.to(kind), mask=ours)
        tl.store(to_query + HALF, two.to(kind), mask=ours)
        tl.store(to_key, one.to(kind), mask=theirs)
        tl.store(to_key + HALF, two.to(kind), mask=theirs)


def by_triton(tensor: Tensor, triton_too: bool) -> bool:
    """Whether to use the kernels."""
    return triton is not None and (tensor.is_cuda or triton_too)


def rms_norm(
    given: Tensor,
    weight: Tensor,
    eps: float,
    *,
    rounded: bool = True,
    shift: bool = False,
    interpret: bool = False,
) -> Tensor:
    """weight * given / sqrt(mean of squares + eps), over the last dimension.  As `given`

    Args:
        given: [1, T, D] or [1, T, H, D], numbers of a row side by side.
        weight: [D]
        eps: keeps the root from 0.
        rounded: whether the quotient is rounded to the type of `given` before the weights multiply
            it, as in llama; else both are float32, as in olmo2 and gemma.
        shift: whether the factor is 1 + weight, as in gemma.
        interpret: whether to run the kernel without a GPU, in Triton's interpreter.
    """
    size = given.shape[-1]
    if not by_triton(given, interpret):
        wide = given.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
        if rounded:
            wide = wide.to(given.dtype)
            return ((1.0 + weight) if shift else weight) * wide
        factor = 1.0 + weight.float() if shift else weight.float()
        return (wide * factor).to(given.dtype)
    inner = given.shape[2] if given.dim() == 4 else 1
    inner_stride = given.stride(2) if given.dim() == 4 else 0
    out = torch.empty(given.shape, dtype=given.dtype, device=given.device)
    width = triton.next_power_of_2(size)
    norm_rows[(given.shape[1] * inner,)](
        given, weight, out, eps, given.stride(1), inner_stride,
        INNER=inner, SIZE=size, WIDTH=width, ROUNDED=rounded, SHIFT=shift, num_warps=max(1, min(8, width // 512)),
    )  # fmt: skip
    return out


def gated(both: Tensor, kind: str, *, interpret: bool = False) -> Tensor:
    """activation(first half) * second half, over the last dimension.  [..., N]

    Args:
        both: contiguous.  [..., 2 * N]
        kind: one of GATES.
        interpret: whether to run the kernel without a GPU.
    """
    size = both.shape[-1] // 2
    if not by_triton(both, interpret):
        gate, up = both[..., :size], both[..., size:]
        active = (
            functional.silu(gate) if kind == "silu" else functional.gelu(gate, approximate="tanh")
        )
        found: Tensor = active * up
        return found
    out = torch.empty((*both.shape[:-1], size), dtype=both.dtype, device=both.device)
    rows = both.numel() // both.shape[-1]
    gate_rows[(rows, triton.cdiv(size, CHUNK))](both, out, size, KIND=GATES[kind], CHUNK=CHUNK)
    return out


def rotate(
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, *, interpret: bool = False
) -> tuple[Tensor, Tensor]:
    """Rotates each head by the angles of its token: x * cos + rotate_half(x) * sin.

    Args:
        query: numbers of a head side by side.  [1, H, T, D]
        key: likewise.  [1, kv_heads, T, D]
        cos: [1, T, D]
        sin: [1, T, D]
        interpret: whether to run the kernel without a GPU.

    Returns:
        Queries and keys, shaped as given.
    """
    if not by_triton(query, interpret):
        cosine, sine = cos.unsqueeze(1), sin.unsqueeze(1)
        turned: list[Tensor] = []
        for each in (query, key):
            low, high = each.chunk(2, dim=-1)
            turned.append(each * cosine + torch.cat((-high, low), dim=-1) * sine)
        return turned[0], turned[1]
    heads, tokens, size = query.shape[1:]
    kv_heads = key.shape[1]
    first = torch.empty((1, tokens, heads, size), dtype=query.dtype, device=query.device)
    second = torch.empty((1, tokens, kv_heads, size), dtype=key.dtype, device=key.device)
    rotate_heads[(tokens, triton.cdiv(heads + kv_heads, HEADS))](
        query, key, cos, sin, first, second,
        query.stride(2), query.stride(1), key.stride(2), key.stride(1), cos.stride(1),
        QUERIES=heads, KEYS=kv_heads, HALF=size // 2,
        WIDTH=triton.next_power_of_2(size // 2), HEADS=HEADS, num_warps=2,
    )  # fmt: skip
    return first.transpose(1, 2), second.transpose(1, 2)
