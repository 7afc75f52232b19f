"""The named invariants: what is true between any two actions, each with one English sentence.

Guarantees: each clause is one predicate, evaluated symbolically by `prove.py` and concretely by `view.py`. It knows
nothing about how a state came to be.

*Step* invariants hold after every single block step; *boundary* invariants hold between actions. Ghost fields
(`index`, `rank`, `holder`, `owner`, `slot`, `seat`, `kv`, `touch`, ...) are inverse maps and histories that only
the proofs need; for a concrete ledger they are recomputed from the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lineclear_spec.ledger import CPU, GPU
from lineclear_spec.logic import any_of, both, implies, negate

__all__ = ["INVARIANTS", "Clause", "Invariant", "clauses"]

NEW, WAITING, RUNNING, SWAPPED, FINISHED = range(5)
TIERS = ((GPU, "gpu"), (CPU, "cpu"))

# `v` is a view of one state, symbolic or concrete; quantified variables come after it.
Predicate = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Clause:
    """One universally quantified part of an invariant."""

    invariant: str
    label: str
    domains: tuple[str, ...]
    predicate: Predicate

    @property
    def name(self) -> str:
        """How tools print it."""
        return f"{self.invariant}.{self.label}" if self.label else self.invariant


@dataclass(frozen=True, slots=True)
class Invariant:
    """A named invariant: its sentence, when it holds, and its clauses."""

    name: str
    sentence: str
    kind: str
    clauses: tuple[Clause, ...]


INVARIANTS: dict[str, Invariant] = {}


def declare(name: str, kind: str, sentence: str, *parts: tuple[str, tuple[str, ...], Predicate]) -> None:
    """Enter an invariant; each part is a label, the domains of its variables, and the predicate."""
    made = tuple(Clause(name, label, domains, predicate) for label, domains, predicate in parts)
    INVARIANTS[name] = Invariant(name, sentence, kind, made)


def clauses(kind: str | None = None) -> list[Clause]:
    """Every clause, or those of the invariants of one kind."""
    return [c for i in INVARIANTS.values() if kind in (None, i.kind) for c in i.clauses]


def within(low: Any, value: Any, high: Any) -> Any:
    """low <= value < high."""
    return both(low <= value, value < high)


def holds(v: Any, q: Any, b: Any) -> Any:
    """Whether an entry of the sequence's table names the block."""
    at = v.index(q, b)
    return both(within(0, at, v.length(q)), v.table(q, at) == b)


def is_free(v: Any, tier: int, p: Any) -> Any:
    """Whether the place lies in the free part of its pool."""
    return v.position(tier, p) < v.free(tier)


def per_tier(part: Callable[[int], tuple[tuple[str, ...], Predicate]], label: str = "") -> list[tuple[str, tuple[str, ...], Predicate]]:
    """The same part for both pools."""
    return [(f"{label}{'_' if label else ''}{name}", *part(tier)) for tier, name in TIERS]


def live(phase: Any) -> Any:
    """Whether a request in this phase is live."""
    return any_of(phase == WAITING, phase == RUNNING, phase == SWAPPED)


# ---- step invariants -------------------------------------------------------------------------------------------

declare(
    "free_list",
    "step",
    "each pool's list names every place exactly once, the free ones first",
    *per_tier(lambda t: ((), lambda v: both(v.free(t) >= 0, v.free(t) <= v.total(t))), "count"),
    *per_tier(
        lambda t: (
            ("index",),
            lambda v, j: implies(
                within(0, j, v.total(t)),
                both(within(0, v.order(t, j), v.total(t)), v.position(t, v.order(t, j)) == j),
            ),
        ),
        "list",
    ),
    *per_tier(
        lambda t: (
            ("place",),
            lambda v, p: implies(
                within(0, p, v.total(t)),
                both(within(0, v.position(t, p), v.total(t)), v.order(t, v.position(t, p)) == p),
            ),
        ),
        "place",
    ),
)

declare(
    "conservation",
    "step",
    "in each pool every place is free or backs exactly one block: free + fenced + held = total",
    *per_tier(
        lambda t: (
            ("place",),
            lambda v, p: implies(
                both(within(0, p, v.total(t)), negate(is_free(v, t, p))),
                both(v.ref(v.owner(t, p)) >= 1, v.tier(v.owner(t, p)) == t, v.place(v.owner(t, p)) == p),
            ),
        ),
        "no_leak",
    ),
    *per_tier(
        lambda t: (
            ("block",),
            lambda v, b: implies(
                both(v.ref(b) >= 1, v.tier(b) == t),
                both(within(0, v.place(b), v.total(t)), negate(is_free(v, t, v.place(b))), v.owner(t, v.place(b)) == b),
            ),
        ),
        "no_free_use",
    ),
    ("tier", ("block",), lambda v, b: implies(v.ref(b) >= 1, any_of(v.tier(b) == GPU, v.tier(b) == CPU))),
)

declare(
    "references",
    "step",
    "a block's ref is the number of table entries that name it, at most one in each table",
    (
        "entry",
        ("sequence", "index"),
        lambda v, q, i: implies(
            within(0, i, v.length(q)),
            both(
                v.ref(v.table(q, i)) >= 1,
                v.index(q, v.table(q, i)) == i,
                within(0, v.rank(q, v.table(q, i)), v.ref(v.table(q, i))),
                v.holder(v.table(q, i), v.rank(q, v.table(q, i))) == q,
            ),
        ),
    ),
    (
        "holder",
        ("block", "index"),
        lambda v, b, k: implies(
            within(0, k, v.ref(b)),
            both(holds(v, v.holder(b, k), b), v.rank(v.holder(b, k), b) == k),
        ),
    ),
    ("first", ("block",), lambda v, b: implies(v.ref(b) >= 1, holds(v, v.holder(b, 0), b))),
    ("count", ("block",), lambda v, b: v.ref(b) >= 0),
    ("length", ("sequence",), lambda v, q: v.length(q) >= 0),
)

declare(
    "group_local",
    "step",
    "a table names blocks of its own request only (prefix caching will widen this clause and no other)",
    (
        "",
        ("sequence", "index"),
        lambda v, q, i: implies(within(0, i, v.length(q)), v.group(v.table(q, i)) == v.request(q)),
    ),
)

declare(
    "holdings",
    "step",
    "a request counts each distinct block that its tables name once",
    (
        "listed",
        ("request", "index"),
        lambda v, r, k: implies(
            within(0, k, v.blocks(r)),
            both(v.ref(v.held(r, k)) >= 1, v.group(v.held(r, k)) == r, v.slot(v.held(r, k)) == k),
        ),
    ),
    (
        "named",
        ("block",),
        lambda v, b: implies(
            v.ref(b) >= 1,
            both(within(0, v.slot(b), v.blocks(v.group(b))), v.held(v.group(b), v.slot(b)) == b),
        ),
    ),
    (
        "first",
        ("request",),
        lambda v, r: implies(v.blocks(r) >= 1, both(v.ref(v.held(r, 0)) >= 1, v.group(v.held(r, 0)) == r)),
    ),
    ("count", ("request",), lambda v, r: v.blocks(r) >= 0),
)

# ---- boundary invariants ---------------------------------------------------------------------------------------

declare(
    "residency",
    "boundary",
    "RUNNING requests hold GPU blocks only, SWAPPED ones CPU blocks only, all others nothing",
    (
        "tier",
        ("block",),
        lambda v, b: implies(
            v.ref(b) >= 1,
            any_of(
                both(v.phase(v.group(b)) == RUNNING, v.tier(b) == GPU),
                both(v.phase(v.group(b)) == SWAPPED, v.tier(b) == CPU),
            ),
        ),
    ),
    ("alive", ("sequence",), lambda v, q: implies(v.length(q) >= 1, v.alive(q))),
)

declare(
    "capacity",
    "boundary",
    "a table has exactly one block for every block size of slots begun, and room for all that steps compute",
    ("exact", ("sequence",), lambda v, q: implies(v.alive(q), v.length(q) == v.need(v.slots(q)))),
    ("room", ("sequence",), lambda v, q: implies(v.alive(q), v.reach(q) <= v.slots(q))),
    (
        "flight",
        ("sequence",),
        lambda v, q: implies(
            both(v.alive(q), negate(v.steady(q))),
            both(v.last_tokens(q) >= 0, v.previous_tokens(q) >= 0, v.in_flight(q) <= v.reach_tokens(q)),
        ),
    ),
    (
        "nothing",
        ("sequence",),
        lambda v, q: implies(
            both(v.alive(q), v.phase(v.request(q)) == WAITING),
            both(v.slot_tokens(q) == 0, v.last_tokens(q) == 0, v.previous_tokens(q) == 0),
        ),
    ),
)

declare(
    "limit",
    "boundary",
    "a sequence knows at least its prompt and never more than its limit; its newest token needs no slot",
    (
        "known",
        ("sequence",),
        lambda v, q: implies(
            v.alive(q),
            both(
                v.prompt(v.request(q)) >= 1,
                v.known(q) >= v.prompt(v.request(q)),
                v.known(q) <= v.limit(v.request(q)),
            ),
        ),
    ),
    ("slots", ("sequence",), lambda v, q: implies(v.alive(q), v.slots(q) < v.limit(v.request(q)))),
)

declare(
    "tokens_exist",
    "boundary",
    "a step computes only tokens that are known, promised by an earlier step, or drafts",
    (
        "",
        ("sequence",),
        lambda v, q: implies(
            v.alive(q),
            both(v.promised(q) >= 0, v.drafts(q) >= 0, v.reach(q) <= v.known(q) + v.promised(q) + v.drafts(q)),
        ),
    ),
)

declare(
    "drafts",
    "boundary",
    "drafts follow the newest token, and nothing builds on them before they are verified",
    (
        "",
        ("sequence",),
        lambda v, q: implies(
            both(v.alive(q), v.drafts(q) >= 1), both(v.promised(q) == 1, v.reach(q) == v.known(q) + v.drafts(q))
        ),
    ),
)

declare(
    "fits",
    "boundary",
    "a live request's worst case fits alone into the empty pool and into every budget",
    (
        "",
        ("request",),
        lambda v, r: implies(
            live(v.phase(r)),
            both(
                v.worst_case(r) <= v.total(GPU),
                v.parallel(r) <= v.max_num_seqs,
                v.limit(r) <= v.max_model_len,
                any_of(v.chunked, v.limit(r) - 1 <= v.max_num_batched_tokens),
            ),
        ),
    ),
)

declare(
    "frontier",
    "boundary",
    "what counts as computed has KV in the present table, once the operations decided so far are done",
    ("", ("sequence",), lambda v, q: implies(v.alive(q), both(v.computed(q) >= 0, v.reach(q) <= v.kv(q)))),
)

declare(
    "exclusive_write",
    "boundary",
    "a block that a step in flight writes is named by one table entry only",
    (
        "",
        ("sequence", "index"),
        lambda v, q, i: implies(
            both(
                v.alive(q),
                any_of(v.steady(q), v.in_flight(q) >= 1),
                v.block_of(v.computed(q)) <= i,
                i < v.length(q),
            ),
            v.ref(v.table(q, i)) == 1,
        ),
    ),
)

declare(
    "steady",
    "boundary",
    "a steady sequence is alive, its request runs, and every step in flight computes one position of it",
    (
        "runs",
        ("sequence",),
        lambda v, q: implies(
            v.steady(q), both(v.alive(q), v.phase(v.request(q)) == RUNNING, v.offset(q) + v.settled >= 0, v.drafts(q) == 0)
        ),
    ),
    (
        "listed",
        ("index",),
        lambda v, k: implies(within(0, k, v.batch_size), both(v.steady(v.batch(k)), v.batch_seat(v.batch(k)) == k)),
    ),
    (
        "counted",
        ("sequence",),
        lambda v, q: implies(
            v.steady(q), both(within(0, v.batch_seat(q), v.batch_size), v.batch(v.batch_seat(q)) == q)
        ),
    ),
    ("size", (), lambda v: v.batch_size >= 0),
)

declare(
    "members",
    "boundary",
    "a live request has between one and its allowed number of sequences, each listed once; others have none",
    (
        "listed",
        ("request", "index"),
        lambda v, r, k: implies(
            within(0, k, v.width(r)),
            both(v.alive(v.member(r, k)), v.request(v.member(r, k)) == r, v.seat(v.member(r, k)) == k),
        ),
    ),
    (
        "alive",
        ("sequence",),
        lambda v, q: implies(
            v.alive(q),
            both(
                within(0, v.seat(q), v.width(v.request(q))),
                v.member(v.request(q), v.seat(q)) == q,
                live(v.phase(v.request(q))),
            ),
        ),
    ),
    (
        "width",
        ("request",),
        lambda v, r: both(
            implies(live(v.phase(r)), both(v.width(r) >= 1, v.width(r) <= v.parallel(r))),
            implies(negate(live(v.phase(r))), v.width(r) == 0),
        ),
    ),
)

declare(
    "queue",
    "boundary",
    "a live request is in exactly one queue, the one of its phase, and any other in none",
    ("", ("request",), lambda v, r: v.queue(r) == v.phase(r)),
)

declare(
    "once",
    "boundary",
    "a request ends once and releases what it holds once, whatever the order of events",
    (
        "",
        ("request",),
        lambda v, r: both(
            any_of(live(v.phase(r)), v.phase(r) == NEW, v.phase(r) == FINISHED),
            v.releases(r) == v.either(v.phase(r) == FINISHED, 1, 0),
        ),
    ),
)

declare(
    "budget",
    "boundary",
    "every step has at least one sequence, at most max_num_seqs of them and at most max_num_batched_tokens tokens",
    (
        "building",
        (),
        lambda v: both(
            v.step_tokens >= v.step_sequences,
            v.step_sequences >= 0,
            v.step_tokens <= v.max_num_batched_tokens,
            v.step_sequences <= v.max_num_seqs,
        ),
    ),
    (
        "issued",
        ("step",),
        lambda v, s: implies(
            both(s >= 1, s <= v.steps),
            both(
                v.sequences_of(s) >= 1,
                v.sequences_of(s) <= v.tokens_of(s),
                v.sequences_of(s) <= v.max_num_seqs,
                v.tokens_of(s) <= v.max_num_batched_tokens,
            ),
        ),
    ),
)

declare(
    "clocks",
    "boundary",
    "steps commit in order with at most `depth` in flight, and only operations that were decided are open",
    (
        "steps",
        (),
        lambda v: both(0 <= v.settled, v.settled <= v.steps, v.steps <= v.settled + v.depth),
    ),
    (
        "operations",
        (),
        lambda v: both(
            0 <= v.done, v.done <= v.issued, v.carried <= v.issued, 0 <= v.carried, 0 <= v.barrier, v.barrier <= v.issued
        ),
    ),
    ("open", ("operation",), lambda v, o: implies(v.open(o), both(v.done < o, o <= v.issued))),
    (
        "forward",
        ("step",),
        lambda v, s: implies(
            both(v.settled < s, s <= v.steps),
            both(
                v.open(v.forward_of(s)), v.is_forward(v.forward_of(s)), v.step_of(v.forward_of(s)) == s,
                v.forward_of(s) <= v.carried,
            ),
        ),
    ),
    ("kind", ("operation",), lambda v, o: implies(v.is_forward(o), v.compute(o))),
    (
        "scheduled",
        ("sequence",),
        lambda v, q: implies(
            any_of(v.alive(q), v.last_step(q) > v.steps),
            both(
                v.last_step(q) <= v.steps + 1,
                implies(
                    both(v.last_step(q) == v.steps + 1, negate(v.steady(q))),
                    both(v.runs(q), v.steps < v.settled + v.depth, v.last_tokens(q) >= 1),
                ),
            ),
        ),
    ),
)

declare(
    "pending",
    "boundary",
    "an operation that no plan has carried yet is still open, so none is lost",
    ("", ("operation",), lambda v, o: implies(both(v.carried < o, o <= v.issued), v.open(o))),
    (
        "copy",
        ("request",),
        lambda v, r: both(
            v.copy(r) >= 0,
            v.copy(r) <= v.moved(r),
            v.moved(r) <= v.issued,
            implies(
                v.copy(r) >= 1,
                both(v.open(v.copy(r)), negate(v.is_forward(v.copy(r))), v.request_of(v.copy(r)) == r),
            ),
        ),
    ),
)

declare(
    "attributed",
    "boundary",
    "an open copy that moved what a request holds is the one whose success it waits for",
    (
        "",
        ("operation",),
        lambda v, o: implies(
            both(
                v.open(o),
                negate(v.compute(o)),
                o > v.born(v.request_of(o)),
                any_of(v.phase(v.request_of(o)) == RUNNING, v.phase(v.request_of(o)) == SWAPPED),
            ),
            v.copy(v.request_of(o)) == o,
        ),
    ),
    ("born", ("request",), lambda v, r: v.born(r) <= v.issued),
)

declare(
    "ordered",
    "boundary",
    "two operations that touch one place are ordered: by the later one's wait, or both on the compute stream",
    *per_tier(
        lambda t: (
            ("operation", "operation", "place"),
            lambda v, o, n, p: implies(
                both(o < n, v.touch(t, o, p), v.touch(t, n, p), v.open(o)),
                any_of(o <= v.wait(n), both(v.compute(o), v.compute(n))),
            ),
        )
    ),
    *per_tier(lambda t: (("operation", "place"), lambda v, o, p: implies(v.touch(t, o, p), o <= v.issued)), "decided"),
)

declare(
    "fence",
    "boundary",
    "a free place remembers the last operation that may touch it, and a held one is guarded by its reader's wait",
    *per_tier(
        lambda t: (
            ("operation", "place"),
            lambda v, o, p: implies(
                both(within(0, p, v.total(t)), is_free(v, t, p), v.touch(t, o, p), v.open(o)), o <= v.until(t, p)
            ),
        ),
        "free",
    ),
    *per_tier(lambda t: (("place",), lambda v, p: v.until(t, p) <= v.issued), "until"),
    (
        "held_gpu",
        ("operation", "place"),
        lambda v, o, p: implies(
            both(within(0, p, v.total(GPU)), negate(is_free(v, GPU, p)), v.touch(GPU, o, p), v.open(o)),
            any_of(v.compute(o), o <= v.barrier),
        ),
    ),
    (
        "held_cpu",
        ("operation", "place"),
        lambda v, o, p: implies(
            both(within(0, p, v.total(CPU)), negate(is_free(v, CPU, p)), v.touch(CPU, o, p), v.open(o)),
            o <= v.moved(v.group(v.owner(CPU, p))),
        ),
    ),
)
