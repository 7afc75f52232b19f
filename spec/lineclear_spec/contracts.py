"""What each loop over blocks promises: the loop invariant, written apart from the loop.

Guarantees: `promises(before, now, k, ...)` is proved to hold after k iterations for every k, so `promises(before,
after, count, ...)` may be assumed wherever the loop is called with its requirements met. It knows nothing about
how the loop does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lineclear_spec.invariants import CPU, GPU, INVARIANTS, holds, is_free, within
from lineclear_spec.logic import any_of, both, implies, negate

__all__ = ["CONTRACTS", "Contract"]

Part = tuple[str, tuple[str, ...], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of one loop.

    Attributes:
        modifies: fields that the loop may write, from its arguments.
        requirements: what must hold before, from (before, count, arguments).
        promises: what holds after k iterations, from (before, now, k, arguments).
    """

    name: str
    modifies: Callable[..., tuple[str, ...]]
    requirements: Callable[..., list[Part]]
    promises: Callable[..., list[Part]]


CONTRACTS: dict[str, Contract] = {}


def contract(name: str, modifies: Callable[..., tuple[str, ...]], requirements: Callable[..., list[Part]], promises: Callable[..., list[Part]]) -> None:
    """Enter a contract."""
    CONTRACTS[name] = Contract(name, modifies, requirements, promises)


def invariant(v: Any, *names: str) -> list[Part]:
    """An invariant of the state before, as a requirement."""
    return [
        (clause.name, clause.domains, lambda *x, c=clause: c.predicate(v, *x))
        for name in names
        for clause in INVARIANTS[name].clauses
    ]


def same(label: str, domain: str, old: Any, new: Any, fields: tuple[str, ...], where: Callable[[Any], Any]) -> Part:
    """Fields of the records for which `where` holds are as they were."""
    return (
        label,
        (domain,),
        lambda x: implies(where(x), both(*[getattr(new, f)(x) == getattr(old, f)(x) for f in fields])),
    )


def in_pool(v: Any, tier: int, p: Any) -> Any:
    """Whether the place exists."""
    return within(0, p, v.total(tier))


# ---- taking blocks ---------------------------------------------------------------------------------------------

POOL = ("free", "order", "position")
TAKING = (
    "free_gpu", "order_gpu", "position_gpu", "owner_gpu", "barrier", "ref", "tier", "place", "group", "slot", "holder",
    "table", "length", "index", "rank", "held", "blocks",
)  # fmt: skip


def clock_sane(v: Any) -> list[Part]:
    """Requirement: fences and barrier name operations that were decided."""
    return [
        ("barrier", (), lambda: v.barrier <= v.issued),
        ("until_gpu", ("place",), lambda p: v.until(GPU, p) <= v.issued),
    ]


def granted(old: Any, new: Any) -> list[Part]:
    """What granting GPU places does to the pool: nobody loses one, and fences are waited for."""
    return [
        (
            "grants",
            ("place",),
            lambda p: implies(
                both(in_pool(old, GPU, p), negate(is_free(new, GPU, p))),
                any_of(negate(is_free(old, GPU, p)), old.until(GPU, p) <= new.barrier),
            ),
        ),
        (
            "keeps",
            ("place",),
            lambda p: implies(
                both(in_pool(old, GPU, p), negate(is_free(old, GPU, p))),
                both(negate(is_free(new, GPU, p)), new.owner(GPU, p) == old.owner(GPU, p)),
            ),
        ),
        ("barrier", (), lambda: both(old.barrier <= new.barrier, new.barrier <= old.issued)),
    ]


def blocks_kept(old: Any, new: Any) -> Part:
    """Blocks that were named before are named as often, and where they were."""
    return same("blocks", "block", old, new, ("ref", "tier", "place", "group"), lambda b: old.ref(b) >= 1)


def entries_kept(old: Any, new: Any) -> Part:
    """Every entry there was before names what it named."""
    return (
        "entries",
        ("sequence", "index"),
        lambda q, i: implies(within(0, i, old.length(q)), new.table(q, i) == old.table(q, i)),
    )


contract(
    "take_blocks",
    lambda q, n: TAKING,
    lambda v, count, q, n: [
        ("count", (), lambda: both(0 <= count, count <= v.free(GPU))),
        *clock_sane(v),
    ],
    lambda old, new, k, q, n: [
        ("free", (), lambda: new.free(GPU) == old.free(GPU) - k),
        ("length", (), lambda: new.length(q) == old.length(q) + k),
        same("lengths", "sequence", old, new, ("length",), lambda x: x != q),
        entries_kept(old, new),
        blocks_kept(old, new),
        (
            "new_entries",
            ("index",),
            lambda i: implies(within(old.length(q), i, old.length(q) + k), new.ref(new.table(q, i)) == 1),
        ),
        (
            "new_blocks",
            ("block",),
            lambda b: implies(
                both(new.ref(b) >= 1, old.ref(b) < 1), both(new.tier(b) == GPU, new.group(b) == old.request(q))
            ),
        ),
        ("counted", (), lambda: new.blocks(old.request(q)) == old.blocks(old.request(q)) + k),
        same("others", "request", old, new, ("blocks",), lambda r: r != old.request(q)),
        *granted(old, new),
    ],
)

contract(
    "give_each_one",
    lambda due: TAKING,
    lambda v, count, due: [
        ("count", (), lambda: both(0 <= count, count <= v.free(GPU))),
        *clock_sane(v),
    ],
    lambda old, new, k, due: [
        ("free", (), lambda: new.free(GPU) == old.free(GPU) - k),
        (
            "length",
            ("sequence",),
            lambda q: new.length(q) == old.length(q) + old.either(both(due.is_due(q), due.seat(q) < k), 1, 0),
        ),
        entries_kept(old, new),
        blocks_kept(old, new),
        (
            "new_entries",
            ("sequence", "index"),
            lambda q, i: implies(within(old.length(q), i, new.length(q)), new.ref(new.table(q, i)) == 1),
        ),
        (
            "new_blocks",
            ("block",),
            lambda b: implies(
                both(new.ref(b) >= 1, old.ref(b) < 1),
                both(
                    new.tier(b) == GPU,
                    due.is_due(new.holder(b, 0)),
                    new.group(b) == old.request(new.holder(b, 0)),
                ),
            ),
        ),
        *granted(old, new),
    ],
)

contract(
    "replace_entry",
    lambda q, i: (*TAKING, "touch_gpu"),
    lambda v, count, q, i: [
        ("entry", (), lambda: within(0, i, v.length(q))),
        ("shared", (), lambda: v.ref(v.table(q, i)) >= 2),
        ("gpu", (), lambda: v.tier(v.table(q, i)) == GPU),
        ("free", (), lambda: v.free(GPU) >= 1),
        *clock_sane(v),
    ],
    lambda old, new, k, q, i: [
        ("free", (), lambda: new.free(GPU) == old.free(GPU) - k),
        same("lengths", "sequence", old, new, ("length",), lambda x: x == x),  # noqa: PLR0124
        (
            "entries",
            ("sequence", "index"),
            lambda x, j: implies(
                both(within(0, j, old.length(x)), any_of(x != q, j != i)), new.table(x, j) == old.table(x, j)
            ),
        ),
        ("same", (), lambda: implies(k == 0, new.table(q, i) == old.table(q, i))),
        ("fresh", (), lambda: implies(k == 1, both(new.ref(new.table(q, i)) == 1, old.ref(new.table(q, i)) < 1))),
        (
            "blocks",
            ("block",),
            lambda b: implies(
                old.ref(b) >= 1,
                both(
                    new.tier(b) == old.tier(b),
                    new.place(b) == old.place(b),
                    new.group(b) == old.group(b),
                    new.ref(b) == old.ref(b) - old.either(both(k == 1, b == old.table(q, i)), 1, 0),
                ),
            ),
        ),
        (
            "new_blocks",
            ("block",),
            lambda b: implies(
                both(new.ref(b) >= 1, old.ref(b) < 1), both(new.tier(b) == GPU, new.group(b) == old.request(q))
            ),
        ),
        ("counted", (), lambda: new.blocks(old.request(q)) == old.blocks(old.request(q)) + k),
        same("others", "request", old, new, ("blocks",), lambda r: r != old.request(q)),
        *granted(old, new),
        (
            "touch",
            ("operation", "place"),
            lambda o, p: implies(
                both(new.touch(GPU, o, p), negate(old.touch(GPU, o, p))),
                both(
                    o == old.issued,
                    in_pool(old, GPU, p),
                    negate(is_free(new, GPU, p)),
                    any_of(negate(is_free(old, GPU, p)), old.until(GPU, p) <= new.barrier),
                ),
            ),
        ),
        ("touched", ("operation", "place"), lambda o, p: implies(old.touch(GPU, o, p), new.touch(GPU, o, p))),
        (
            "copied",
            (),
            lambda: implies(
                k == 1,
                both(
                    new.touch(GPU, old.issued, old.place(old.table(q, i))),
                    new.touch(GPU, old.issued, new.place(new.table(q, i))),
                ),
            ),
        ),
    ],
)

# ---- sharing ---------------------------------------------------------------------------------------------------

contract(
    "share_table",
    lambda parent, child, n: ("ref", "holder", "table", "length", "index", "rank"),
    lambda v, count, parent, child, n: [
        ("count", (), lambda: both(0 <= count, count <= v.length(parent))),
        ("empty", (), lambda: v.length(child) == 0),
        ("two", (), lambda: parent != child),
        ("group", (), lambda: v.request(parent) == v.request(child)),
    ],
    lambda old, new, k, parent, child, n: [
        ("length", (), lambda: new.length(child) == k),
        same("lengths", "sequence", old, new, ("length",), lambda x: x != child),
        (
            "others",
            ("sequence", "index"),
            lambda q, i: implies(q != child, new.table(q, i) == old.table(q, i)),
        ),
        ("shared", ("index",), lambda i: implies(within(0, i, k), new.table(child, i) == old.table(parent, i))),
        (
            "exclusive",
            ("sequence", "index"),
            lambda q, i: implies(
                both(q != parent, within(0, i, old.length(q)), old.ref(old.table(q, i)) == 1),
                new.ref(old.table(q, i)) == 1,
            ),
        ),
        (
            "ref",
            ("block",),
            lambda b: new.ref(b)
            == old.ref(b) + old.either(both(holds(old, parent, b), old.index(parent, b) < k), 1, 0),
        ),
    ],
)

# ---- giving up -------------------------------------------------------------------------------------------------

CLEARING = (
    "free_gpu", "order_gpu", "position_gpu", "until_gpu", "free_cpu", "order_cpu", "position_cpu", "until_cpu",
    "ref", "holder", "rank", "slot", "held", "blocks", "length", 
)  # fmt: skip


def given_up(old: Any, new: Any, tier: int, name: str) -> list[Part]:
    """What giving places up does to a pool: nobody gains one, and each is fenced."""
    return [
        (
            f"only_frees_{name}",
            ("place",),
            lambda p: implies(both(in_pool(old, tier, p), is_free(old, tier, p)), is_free(new, tier, p)),
        ),
        (
            f"fences_{name}",
            ("place",),
            lambda p: implies(
                both(in_pool(old, tier, p), is_free(new, tier, p)),
                any_of(
                    new.until(tier, p) == old.issued,
                    both(is_free(old, tier, p), new.until(tier, p) == old.until(tier, p)),
                ),
            ),
        ),
        (f"until_{name}", ("place",), lambda p: any_of(new.until(tier, p) == old.until(tier, p), new.until(tier, p) == old.issued)),
    ]


contract(
    "clear_table",
    lambda q: CLEARING,
    lambda v, count, q: [],
    lambda old, new, k, q: [
        ("length", (), lambda: new.length(q) == old.length(q) - k),
        same("lengths", "sequence", old, new, ("length",), lambda x: x != q),
        (
            "ref",
            ("block",),
            lambda b: new.ref(b)
            == old.ref(b) - old.either(both(holds(old, q, b), old.index(q, b) >= old.length(q) - k), 1, 0),
        ),
        same("others", "request", old, new, ("blocks",), lambda r: r != old.request(q)),
        *given_up(old, new, GPU, "gpu"),
        *given_up(old, new, CPU, "cpu"),
    ],
)

RESET = ("reach_tokens", "slot_tokens", "last_tokens", "previous_tokens", "drafts", "kv")


def cleared(v: Any, r: Any, k: Any) -> Callable[[Any], Any]:
    """Whether a sequence is one of the first k of the request."""
    return lambda q: both(v.alive(q), v.request(q) == r, v.seat(q) < k)


contract(
    "clear_tables",
    lambda r: (*CLEARING, *RESET),
    lambda v, count, r: [("width", (), lambda: count == v.width(r)), *invariant(v, "members")],
    lambda old, new, k, r: [
        (
            "cleared",
            ("sequence",),
            lambda q: implies(
                cleared(old, r, k)(q), both(new.length(q) == 0, *[getattr(new, f)(q) == 0 for f in RESET])
            ),
        ),
        same("others", "sequence", old, new, ("length", *RESET), lambda q: negate(cleared(old, r, k)(q))),
        same("blocks", "block", old, new, ("ref",), lambda b: old.group(b) != r),
        ("fewer", ("block",), lambda b: new.ref(b) <= old.ref(b)),
        same("requests", "request", old, new, ("blocks",), lambda x: x != r),
        *given_up(old, new, GPU, "gpu"),
        *given_up(old, new, CPU, "cpu"),
    ],
)

# ---- moving ----------------------------------------------------------------------------------------------------


def tiers(target: int) -> tuple[int, int, str, str]:
    """Source and target tier, and their names."""
    return (CPU, GPU, "cpu", "gpu") if target == GPU else (GPU, CPU, "gpu", "cpu")


def moving(r: Any, tier: int) -> tuple[str, ...]:
    """Fields that a move to the tier may write."""
    _, _, source, target = tiers(tier)
    return (
        *[f"{f}_{source}" for f in (*POOL, "until", "touch")],
        *[f"{f}_{target}" for f in (*POOL, "owner", "touch")],
        "tier",
        "place",
        *(("barrier",) if tier == GPU else ()),
    )


def moved(old: Any, new: Any, k: Any, r: Any, tier: int) -> list[Part]:
    """The first k distinct blocks of the request live in the target tier; tables and refs are not touched."""
    source, target, source_name, target_name = tiers(tier)

    def mine(b: Any) -> Any:
        return both(old.ref(b) >= 1, old.group(b) == r, old.slot(b) < k)

    parts: list[Part] = [
        ("free", (), lambda: both(new.free(target) == old.free(target) - k, new.free(source) == old.free(source) + k)),
        ("there", ("block",), lambda b: implies(mine(b), new.tier(b) == target)),
        same("others", "block", old, new, ("tier", "place"), lambda b: both(old.ref(b) >= 1, negate(mine(b)))),
        (
            "grants",
            ("place",),
            lambda p: implies(
                both(in_pool(old, target, p), negate(is_free(new, target, p))),
                any_of(
                    both(negate(is_free(old, target, p)), new.owner(target, p) == old.owner(target, p)),
                    both(
                        is_free(old, target, p),
                        old.group(new.owner(target, p)) == r,
                        *([old.until(GPU, p) <= new.barrier] if target == GPU else []),
                    ),
                ),
            ),
        ),
        (
            "keeps",
            ("place",),
            lambda p: implies(
                both(in_pool(old, target, p), negate(is_free(old, target, p))), negate(is_free(new, target, p))
            ),
        ),
        *given_up(old, new, source, source_name),
        (
            "touch_source",
            ("operation", "place"),
            lambda o, p: implies(
                both(new.touch(source, o, p), negate(old.touch(source, o, p))),
                both(
                    o == old.issued,
                    in_pool(old, source, p),
                    negate(is_free(old, source, p)),
                    is_free(new, source, p),
                    old.group(old.owner(source, p)) == r,
                ),
            ),
        ),
        (
            "touch_target",
            ("operation", "place"),
            lambda o, p: implies(
                both(new.touch(target, o, p), negate(old.touch(target, o, p))),
                both(
                    o == old.issued,
                    in_pool(old, target, p),
                    is_free(old, target, p),
                    negate(is_free(new, target, p)),
                    *([old.until(GPU, p) <= new.barrier] if target == GPU else []),
                ),
            ),
        ),
    ]
    for tier_moved, name in ((source, source_name), (target, target_name)):
        parts.append(
            (
                f"touched_{name}",
                ("operation", "place"),
                lambda o, p, t=tier_moved: implies(old.touch(t, o, p), new.touch(t, o, p)),
            )
        )
    parts.append(
        (
            "copied",
            ("block",),
            lambda b: implies(
                mine(b),
                both(new.touch(source, old.issued, old.place(b)), new.touch(target, old.issued, new.place(b))),
            ),
        )
    )
    if target == GPU:
        parts.append(("barrier", (), lambda: both(old.barrier <= new.barrier, new.barrier <= old.issued)))
    return parts


contract(
    "move_blocks",
    moving,
    lambda v, count, r, tier: [
        ("count", (), lambda: count == v.blocks(r)),
        ("free", (), lambda: count <= v.free(tier)),
        (
            "source",
            ("block",),
            lambda b: implies(both(v.ref(b) >= 1, v.group(b) == r), v.tier(b) == tiers(tier)[0]),
        ),
        *clock_sane(v),
        ("until_source", ("place",), lambda p: v.until(CPU, p) <= v.issued),
    ],
    moved,
)
