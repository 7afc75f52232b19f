"""Attention and layer kernels under Triton's interpreter; run as a script in its own process.

With a file as argument, it takes the attention kernels from that file: broken ones, in tests.
"""
# pyright: basic

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from pool_case import BOUNDS, DECODE, Case
from scripts import module_of

from lineclear_gpu.fusion import NORMS
from lineclear_gpu.kernels import fused, plans
from lineclear_gpu.kernels import paged as kernels
from lineclear_gpu.kernels.plans import LaunchPlan

paged: Any = kernels
if len(sys.argv) > 1:
    paged = module_of(Path(sys.argv[1]), "broken", listed=True)

SPLIT, WHOLE = LaunchPlan(16, 4, 2, 4), LaunchPlan(16, 4, 2, 1)
SHORT = [(1, context) for context in (1, 7, 8, 9, 65, 70)]
FEW = [(3, 3), (1, 9), (7, 16), (1, 40), (16, 33)]
F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16
#: (rows, query heads, head size, type, block size, window, cap, plan)
CASES = [
    (SHORT, 6, 64, F32, 8, None, None, SPLIT),
    (SHORT, 6, 64, F32, 8, 5, None, SPLIT),
    (DECODE[:7], 2, 16, F32, 8, 1, None, None),
    (SHORT, 6, 128, BF16, 16, None, None, SPLIT),
    (SHORT, 8, 80, F16, 256, None, None, SPLIT),
    (SHORT, 2, 64, F32, 48, None, 0.7, SPLIT),
    (SHORT[3:], 2, 64, F32, 48, None, 1000.0, SPLIT),  # scores far below the cap keep their digits
    (FEW, 6, 96, F16, 16, None, None, WHOLE),
    (FEW, 6, 80, F32, 8, 7, None, SPLIT),
    (FEW, 2, 64, BF16, 64, None, 0.7, WHOLE),
    ([(40, 200)], 2, 16, F32, 16, 3, None, WHOLE),  # a tile in which a token sees no position
    (FEW[:3], 4, 256, F32, 8, None, None, WHOLE),
]


def attention() -> None:
    """Every case, then padding rows."""
    plans.LEAST = paged.LEAST = 16
    for rows, heads, size, dtype, block, window, cap, plan in CASES:
        case = Case(rows, heads=heads, kv_heads=2, head_dim=size, dtype=dtype, size=block)
        batch = case.batch
        arrays = [
            torch.from_numpy(a) for a in (batch.tables, batch.context_lens, batch.row_starts)
        ]
        found = paged.paged_attention(
            case.query, case.layer, *arrays, case.scale, window, cap, plan=plan
        ).double()
        wanted = case.reference(window, cap)
        error = float((found - wanted).norm() / wanted.norm())
        assert error < BOUNDS[dtype], (rows, heads, size, dtype, block, window, cap, plan, error)
    case = Case([(3, 3), (1, 9), (2, 20)], heads=2, kv_heads=1, head_dim=16)
    tables, contexts, starts = (
        torch.from_numpy(a)
        for a in (case.batch.tables, case.batch.context_lens, case.batch.row_starts)
    )
    # Empty rows at the end, more or fewer than there are tokens, and tokens beyond the last row:
    # nothing is computed for them, and everything for the others.
    more = torch.cat((case.query, torch.full((3, 2, 16), float("nan"))))
    for empty in (2, 12):
        found = paged.paged_attention(
            more,
            case.layer,
            torch.cat((tables, tables[:1].expand(empty, -1))),
            torch.cat((contexts, torch.zeros(empty, dtype=torch.int64))),
            torch.cat((starts, starts[-1:].expand(empty))),
            case.scale,
            plan=SPLIT,
        )
        wanted = case.reference()
        error = float((found[:-3].double() - wanted).norm() / wanted.norm())
        assert error < BOUNDS[F32], (empty, error)
    # Decodes without context, which pad a recorded step, give zeros: no split of theirs is full.
    for plan in (SPLIT, WHOLE):
        zeros = paged.paged_attention(
            torch.ones(2, 2, 16),
            case.layer,
            tables[:2],
            torch.zeros(2, dtype=torch.int64),
            torch.arange(3),
            1.0,
            single=True,
            plan=plan,
        )
        assert not zeros.any(), plan


def layers() -> None:
    """Norm, gate and rotation against their torch forms."""
    torch.manual_seed(0)
    for dtype, bound in BOUNDS.items():
        both = torch.randn(1, 3, 200).to(dtype)
        for kind in fused.GATES:
            near(fused.gated(both, kind, interpret=True), fused.gated(both, kind), bound)
        merged = torch.randn(1, 3, 2 * 5 * 24).to(dtype)
        heads = merged[..., 120:].view(1, 3, 5, 24)  # non-adjacent rows
        for given in (torch.randn(1, 3, 72).to(dtype), heads):
            weight = torch.randn(given.shape[-1]).to(dtype)
            for form in NORMS:
                wanted = fused.rms_norm(given, weight, 1e-5, **form)
                near(fused.rms_norm(given, weight, 1e-5, **form, interpret=True), wanted, bound)
        query, key = heads.transpose(1, 2), torch.randn(1, 3, 3, 24).to(dtype).transpose(1, 2)
        angles = torch.randn(1, 3, 12)
        cos, sin = (torch.cat((a, a), -1).to(dtype) for a in (angles.cos(), angles.sin()))
        turned = zip(
            fused.rotate(query, key, cos, sin, interpret=True),
            fused.rotate(query, key, cos, sin),
            strict=True,
        )
        for found, wanted in turned:
            near(found, wanted, bound)


def near(found: torch.Tensor, wanted: torch.Tensor, bound: float) -> None:
    """Equal up to rounding."""
    assert found.shape == wanted.shape
    error = float((found.double() - wanted.double()).norm() / wanted.double().norm())
    assert error < bound, error


attention()
if len(sys.argv) == 1:
    layers()
print("the kernels are right")
