# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""An operator run on plain data and on formulas, and its two results compared.

Invariant: what the operator owes must be true of the plain state before; what it assumes, of what the plain
operator did; and every field that the formulas write must have the plain value, at every point.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import z3
from evaluated import Values, reading

from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import CPU, GPU, Block, Broken, Limits, Request, Sequence
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.symbolic.kv_fields import KV_FIELDS
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.state import DOMAINS, FIELDS, State, numbering
from lineclear_spec.symbolic.vectors import Vector

#: Inverse maps and histories: what formulas keep of them is judged by the proofs.
GHOSTS = frozenset(
    "index holder_index holder held_index member_index order_gpu order_cpu position_gpu position_cpu owner_gpu "
    "owner_cpu "
    "decode_batch decode_batch_index held".split()
) | frozenset(KV_FIELDS)
#: Any state at all.
ANY = State.arbitrary()
KINDS: dict[type, str] = {Request: "request", Sequence: "sequence", Block: "block", int: "index"}


@dataclass
class Both:
    """One plain state, and any state at all, with names for what an operator is given."""

    ledger: GhostLedger
    symbolic: SymbolicLedger = field(default_factory=lambda: SymbolicLedger(ANY.snapshot()))
    given: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before = Values(self.ledger)

    def record(self, x: Any) -> Any:
        """A record or a number as formulas name it."""
        name = f"given{len(self.given)}"
        self.given[name] = lambda: x
        return self.symbolic.wrap(DOMAINS[KINDS[type(x)]], z3.Const(name, DOMAINS[KINDS[type(x)]]))

    def vector(self, elements: list[Any], kind: str) -> Vector:
        """A list as formulas name it."""
        name, sort = f"given{len(self.given)}", DOMAINS[kind]
        at, index_of = (
            z3.Function(name, z3.IntSort(), sort),
            z3.Function(f"{name}_index", sort, z3.IntSort()),
        )
        size = z3.Int(f"{name}_size")
        self.given |= listed(name, elements) | {f"{name}_size": lambda: len(elements)}
        return Vector(self.symbolic, sort, size, lambda k: at(k), lambda x: index_of(x))


def listed(name: str, elements: list[Any]) -> dict[str, Callable[..., Any]]:
    """What the functions of a vector are for a list of distinct elements."""
    return {
        name: lambda k: elements[k] if 0 <= k < len(elements) else None,
        f"{name}_index": lambda x: elements.index(x) if x in elements else -1,
    }


def held_of(request: Request) -> list[Block]:
    """The blocks of a request."""
    return list(request.held)


@dataclass
class Kept:
    """What an operator is on formulas: the same for every state in which it is given as much, so made for the
    first one alone.
    """

    made: tuple[SymbolicLedger, dict[str, Any], Any] | None = None

    def of(
        self, symbolic: SymbolicLedger, formulas: Callable[[SymbolicLedger], Any]
    ) -> tuple[SymbolicLedger, dict[str, Any], Any]:
        """The ledger after it, the fields before it, and its value."""
        if self.made is None:
            start = dict(symbolic.state.fields)
            with numbering():  # the same names for the same operator, so that each is read once
                self.made = symbolic, start, formulas(symbolic)
        return self.made


def compare(
    both: Both,
    plain: Callable[[GhostLedger], Any],
    formulas: Callable[[SymbolicLedger], Any],
    made: Callable[[Any, Values], dict[str, Callable[..., Any]]] = lambda _result, _after: {},
    beside: frozenset[str] = GHOSTS,
    kept: Kept | None = None,
) -> None:
    """The operator in both readings.

    Args:
        both: the state before.
        plain: runs it on plain data.
        formulas: runs it on formulas.
        made: from the plain answer and the state after, what stands for the values that formulas
            leave open.
        beside: fields that are not compared.
        kept: the formulas of an earlier state, if they are the same.
    """
    before = both.before
    symbolic, start, value = (kept or Kept()).of(both.symbolic, formulas)
    owed = [reading(goal) for _, _, _, goal in symbolic.obligations]
    before.extra = both.given
    if not all(read(before, ()) for read in owed):
        try:
            plain(both.ledger)
        except (Broken, KeyError, IndexError, ValueError):
            return
        raise AssertionError("formulas owe what is false, and plain data goes on")
    blocks = before.blocks_seen
    result = plain(both.ledger)
    after = Values(both.ledger)
    before.extra = after.extra = both.given | made(result, after)
    for fact in symbolic.assumptions:
        assert reading(fact)(before, ()), fact
    if isinstance(value, Vector):
        assert reading(value.size)(before, ()) == len(result)
        for k, x in enumerate(result):
            assert reading(value.at(z3.IntVal(k)))(before, ()) == x
            before.extra["point"] = lambda x=x: x
            point = z3.Const("point", value.sort)
            assert reading(value.index_of(point))(before, ()) == k
    elif value is not None:
        assert reading(value.z)(before, ()) == result
    there = {*after.blocks_seen, *listed_blocks(result)}
    for name, new in symbolic.state.fields.items():
        if new is not start[name] and name not in beside:
            same_field(name, new, before, after, {*blocks, *there}, there)
    for request in before.requests:
        if symbolic.state.fields["held"] is not start["held"]:
            same_set(symbolic, before, after, request)


def listed_blocks(result: Any) -> list[Block]:
    """The blocks in an answer."""
    return [x for x in result if isinstance(x, Block)] if isinstance(result, list) else []


def same_field(
    name: str, new: Any, before: Values, after: Values, seen: set[Block], there: set[Block]
) -> None:
    """A field has the value of plain data at every point; `there` are the blocks that exist."""
    arguments, _ = FIELDS[name]
    if not arguments:
        assert reading(new)(before, ()) == getattr_of(after, name)(), name
        return
    points = [z3.Const(f"point{k}", sort) for k, sort in enumerate(arguments)]
    read, expected = reading(new(*points)), getattr_of(after, name)
    domains = [
        seen
        if sort.name() == "Block"
        else (after if sort.name() == "Sequence" else before).values[sort.name()]
        for sort in arguments
    ]
    for chosen in itertools.product(*domains):
        if name == "table" and not 0 <= chosen[1] < after.length(chosen[0]):
            continue
        if name == "member" and not 0 <= chosen[1] < after.width(chosen[0]):
            continue
        if name in ("tier", "block_id", "group", "ref") and chosen[0] in there:
            wanted = getattr(chosen[0], "request" if name == "group" else name)
        elif name in ("tier", "block_id", "group"):
            continue  # nothing holds the block
        else:
            wanted = expected(*chosen)
        if name.startswith(("last_use", "touch", "source")) and not 0 <= chosen[-1] < before.total(
            GPU if name.endswith("gpu") else CPU
        ):
            continue
        before.extra |= {f"point{k}": lambda x=x: x for k, x in enumerate(chosen)}
        assert read(before, ()) == wanted, (name, chosen)


def getattr_of(view: Values, name: str) -> Callable[..., Any]:
    """A field of a view by the name that formulas have for it."""
    base, _, tier = name.rpartition("_")
    if tier in ("gpu", "cpu"):
        return lambda *a: getattr(view, base)(GPU if tier == "gpu" else CPU, *a)
    found = getattr(view, name)
    return found if FIELDS[name][0] else lambda: found


def same_set(symbolic: SymbolicLedger, before: Values, after: Values, request: Request) -> None:
    """The blocks of a request are the same, each with its index; the order is open on formulas."""
    r, k = z3.Const("point_r", DOMAINS["request"]), z3.Int("point_k")
    before.extra |= {"point_r": lambda: request}
    count = reading(symbolic.state.fields["blocks"](r))(before, ())
    block = symbolic.state.fields["held"](r, k)
    read, index_of = reading(block), reading(symbolic.state.fields["held_index"](block))
    found: list[Block] = []
    for n in range(count):
        before.extra["point_k"] = lambda n=n: n
        found.append(read(before, ()))
        assert index_of(before, ()) == n
    assert len(set(found)) == len(found)
    assert set(found) == set(held_of(request))


# ---- states ------------------------------------------------------------------------------------

LIMITS = Limits(block_size=2, gpu_blocks=4, cpu_blocks=4, max_model_len=16)
Tables = tuple[tuple[int, ...], tuple[int, ...]]


def pools(total: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every list of free block ids of a pool of so many, with some fences."""
    for count in range(total + 1):
        for free in itertools.permutations(range(total), count):
            for fences in itertools.product((0, 2), repeat=total):
                yield free, fences


def with_pool(total: int, free: tuple[int, ...], fences: tuple[int, ...]) -> GhostLedger:
    """A ledger whose CPU pool is in the given state."""
    ledger = GhostLedger(Limits(block_size=2, gpu_blocks=1, cpu_blocks=total))
    pool = ledger.cpu
    pool.order[: len(free)] = free
    pool.free = len(free)
    pool.taken = [p not in free for p in range(total)]
    pool.last_use = list(fences)
    ledger.issued = 3
    return ledger


def with_tables(tables: Tables, tier: int = GPU) -> GhostLedger:
    """Two sequences of one request with these tables, by numbers of blocks, and another request with
    one block of its own.
    """
    ledger = GhostLedger(LIMITS)
    requests = [ledger.new_request(1, 9, 2), ledger.new_request(1, 9, 1)]
    for request in requests:
        request.phase = Phase.RUNNING if tier == GPU else Phase.SWAPPED
        ledger.queues[request.phase][request] = None  # type: ignore[index]
    first, second = ledger.add_member(requests[0]), ledger.add_member(requests[0])
    other = ledger.add_member(requests[1])
    pool = ledger.pools[tier]
    blocks: dict[int, Block] = {}
    for sequence, table in ((first, tables[0]), (second, tables[1])):
        for number in table:
            if number not in blocks:
                blocks[number] = Block(requests[0], tier, pool.take(1)[0])
                requests[0].held[blocks[number]] = None
            blocks[number].ref += 1
            sequence.table.append(blocks[number])
    own = Block(requests[1], tier, pool.take(1)[0], 1)
    requests[1].held[own] = None
    other.table.append(own)
    return ledger


#: Of a block of a table: without a name, found under its name, or no longer found.
NAMED_AS = ("private", "listed", "unlisted")


def with_names(tables: Any, kinds: tuple[str, ...], rests: bool) -> GhostLedger:
    """Two sequences of one request whose blocks are of these kinds, another request that names the first
    sealed block too, and perhaps a block that rests.
    """
    ledger = with_tables(tables)
    first, second, other = ledger.sequences
    first.block_names, second.block_names, other.block_names = (1, 2), (1, 3), (4, 5)
    request = first.request
    for block, kind in zip(list(request.held), kinds, strict=False):
        if kind == "private":
            continue
        table = first.table if block in first.table else second.table
        words = first.block_names if block in first.table else second.block_names
        block.name = words[table.index(block)]
        if block.name in [b.name for b in ledger.cached.values()]:
            block.name = 0  # the other table has it under the same name
            continue
        del request.held[block]
        ledger.sealed += 1
        if kind == "listed":
            ledger.cached[block.name] = block
        else:
            ledger.unlisted += 1
        if not any(b.name for b in other.table):
            other.table.append(block)
            block.ref += 1
    if rests:
        block = Block(request, GPU, ledger.gpu.take(1)[0])
        block.name = 4
        ledger.cached[4] = block
        ledger.resting.extend([block])
        ledger.sealed += 1
    return ledger


def tables(most: int) -> Iterator[Tables]:
    """Every two tables of at most so many blocks in all, up to the names of blocks."""
    rows = [row for n in range(most + 1) for row in itertools.permutations(range(most), n)]
    for first, second in itertools.product(rows, rows):
        numbers = list(dict.fromkeys((*first, *second)))
        if numbers == sorted(numbers) and len(numbers) == (max(numbers, default=-1) + 1):
            yield first, second


SMALL = list(tables(2))
LARGE = list(tables(3))


def lists(elements: list[Any]) -> Iterator[list[Any]]:
    """Every list of different elements."""
    for n in range(len(elements) + 1):
        for chosen in itertools.permutations(elements, n):
            yield list(chosen)
