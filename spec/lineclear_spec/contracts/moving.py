# pyright: basic
"""Contract of the block step that moves the blocks of a request between tiers."""

from __future__ import annotations

from typing import Any

from lineclear_spec.contracts.clearing import freed
from lineclear_spec.contracts.contract import (
    Part,
    contract,
    in_pool,
    part,
    private_of,
    same,
    sources,
    touched,
)
from lineclear_spec.contracts.taking import POOL, barrier_rises, clock_sane
from lineclear_spec.invariants import CPU, GPU, copies, is_free, present
from lineclear_spec.logic import and_, implies, not_, or_


def tiers(target: int) -> tuple[int, int, str, str]:
    """Source and target tier, and their names."""
    return {GPU: (CPU, GPU, "cpu", "gpu"), CPU: (GPU, CPU, "gpu", "cpu")}[target]


def moving(r: Any, tier: int) -> tuple[str, ...]:
    """Fields that a move to the tier may write."""
    _, _, source, target = tiers(tier)
    return (
        *[f"{f}_{source}" for f in (*POOL, "last_use", "touch")],
        *[f"{f}_{target}" for f in (*POOL, "owner", "touch", "source")],
        "tier",
        "block_id",
        *(("barrier",) if tier == GPU else ()),
    )


def moved(old: Any, new: Any, count: Any, r: Any, tier: int) -> list[Part]:
    """Every private block of the request lies in the target tier; tables and refs are as they were.

    Args:
        old: the state before.
        new: the state after.
        count: private blocks of the request.
        r: the request.
        tier: the target.
    """
    source, target, source_name, target_name = tiers(tier)
    mine = private_of(old, r)
    return [
        part(
            "free",
            lambda: and_(
                new.free(target) == old.free(target) - count,
                new.free(source) == old.free(source) + count,
            ),
        ),
        part("there", lambda b: implies(mine(b), new.tier(b) == target)),
        same(
            "others",
            "block",
            old,
            new,
            ("tier", "block_id"),
            lambda b: and_(present(old, b), not_(mine(b))),
        ),
        part(
            "allocates",
            lambda p: implies(
                and_(in_pool(old, target, p), not_(is_free(new, target, p))),
                or_(
                    and_(
                        not_(is_free(old, target, p)),
                        new.owner(target, p) == old.owner(target, p),
                    ),
                    and_(
                        is_free(old, target, p),
                        old.group(new.owner(target, p)) == r,
                        *([old.last_use(GPU, p) <= new.barrier] if target == GPU else []),
                    ),
                ),
            ),
        ),
        part(
            "keeps",
            lambda p: implies(
                and_(in_pool(old, target, p), not_(is_free(old, target, p))),
                not_(is_free(new, target, p)),
            ),
        ),
        *freed(old, new, source, source_name),
        part(
            "touch_source",
            lambda o, p: implies(
                and_(new.touch(source, o, p), not_(old.touch(source, o, p))),
                and_(
                    o == old.issued,
                    in_pool(old, source, p),
                    not_(is_free(old, source, p)),
                    is_free(new, source, p),
                    old.group(old.owner(source, p)) == r,
                ),
            ),
        ),
        part(
            "touch_target",
            lambda o, p: implies(
                and_(new.touch(target, o, p), not_(old.touch(target, o, p))),
                and_(
                    o == old.issued,
                    in_pool(old, target, p),
                    is_free(old, target, p),
                    not_(is_free(new, target, p)),
                    *([old.last_use(GPU, p) <= new.barrier] if target == GPU else []),
                ),
            ),
        ),
        touched(f"touched_{source_name}", old, new, source),
        touched(f"touched_{target_name}", old, new, target),
        part(
            "copied",
            lambda b: implies(
                mine(b),
                and_(
                    new.source(target, old.issued, new.block_id(b)) == old.block_id(b),
                    new.touch(source, old.issued, old.block_id(b)),
                    new.touch(target, old.issued, new.block_id(b)),
                ),
            ),
        ),
        sources(old, new, target),
        *(barrier_rises(old, new) if target == GPU else []),
    ]


contract(
    "move_blocks",
    count=lambda v, r, tier: v.blocks(r),
    modifies=moving,
    requirements=lambda v, count, r, tier: [
        part("open", lambda: v.open(v.issued)),
        part("kind", lambda: copies(v, *tiers(tier)[:2])),
        part("free", lambda: count <= v.free(tier)),
        part("source", lambda b: implies(private_of(v, r)(b), v.tier(b) == tiers(tier)[0])),
        *clock_sane(v),
        part("last_use_source", lambda p: v.last_use(CPU, p) <= v.issued),
    ],
    ensures=moved,
)
