"""What each action promises: the difference it makes (*delta*) and everything it leaves alone (*frame*).

Guarantees: a promise is a predicate over the state before and the state after, written apart from the effect, so an
effect that does nothing, too little or too much breaks one. It knows nothing about how the effect is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec.contracts import Part, same
from lineclear_spec.invariants import CPU, FINISHED, GPU, RUNNING, SWAPPED, WAITING, within
from lineclear_spec.logic import both, implies, negate

__all__ = ["DELTAS"]

REQUEST = ("phase", "queue", "width", "blocks", "copy", "moved", "born", "releases", "prompt", "limit", "parallel")
LAZY = ("offset", "known_tokens", "reach_tokens", "slot_tokens", "promised_samples", "last_step", "last_tokens", "previous_tokens")
SEQUENCE = ("alive", "steady", "drafts", "void", "length", "kv", *LAZY)
OBSERVED = ("known", "reach", "computed", "slots", "promised", "in_flight", "length", "drafts")
CLOCKS = ("batch_size", "issued", "done", "carried", "barrier", "steps", "settled", "step_tokens", "step_sequences")

DELTAS: dict[str, Callable[..., list[Part]]] = {}


def promise(promises: Callable[..., list[Part]]) -> Callable[..., list[Part]]:
    """Enter what the action of the same name promises, from (before, after, arguments, result)."""
    DELTAS[promises.__name__] = promises
    return promises


def now(label: str, *conditions: Callable[[], Any]) -> Part:
    """A part without variables."""
    return (label, (), lambda: both(*[condition() for condition in conditions]))


def clocks(old: Any, new: Any, *moving: str) -> Part:
    """Every clock and counter but these stands still."""
    return ("frame_clocks", (), lambda: both(*[getattr(new, c) == getattr(old, c) for c in CLOCKS if c not in moving]))


def free(old: Any, new: Any) -> Part:
    """No place is granted or given up."""
    return now("frame_pools", lambda: new.free(GPU) == old.free(GPU), lambda: new.free(CPU) == old.free(CPU))


def operations(old: Any, new: Any, *changed: Any) -> Part:
    """No operation but these is opened, closed or ordered anew."""
    return (
        "frame_operations",
        ("operation",),
        lambda o: implies(
            both(o <= old.issued, o >= 1, *[o != c for c in changed]),
            both(new.open(o) == old.open(o), new.wait(o) == old.wait(o)),
        ),
    )


def others(old: Any, new: Any, r: Any, mine: Callable[[Any], Any] | None = None) -> list[Part]:
    """Nothing of any other request changes; of this one, sequences that are not `mine` don't either."""

    def foreign(q: Any) -> Any:
        if mine is None:
            return both(old.alive(q), old.request(q) != r)
        return both(old.alive(q), negate(mine(q)))

    return [
        same("frame_requests", "request", old, new, REQUEST, lambda x: x != r),
        (
            "frame_members",
            ("request", "index"),
            lambda x, k: implies(both(x != r, within(0, k, old.width(x))), new.member(x, k) == old.member(x, k)),
        ),
        same("frame_sequences", "sequence", old, new, ("request", *SEQUENCE), foreign),
        (
            "frame_tables",
            ("sequence", "index"),
            lambda q, i: implies(both(foreign(q), within(0, i, old.length(q))), new.table(q, i) == old.table(q, i)),
        ),
        same(
            "frame_blocks",
            "block",
            old,
            new,
            ("ref", "tier", "place", "group"),
            lambda b: both(old.ref(b) >= 1, old.group(b) != r),
        ),
    ]


def request_same(old: Any, new: Any, r: Any, *changed: str) -> Part:
    """The request itself changes in nothing but these fields."""
    return now("frame_request", *[lambda f=f: getattr(new, f)(r) == getattr(old, f)(r) for f in REQUEST if f not in changed])


def sequence_same(old: Any, new: Any, q: Any, *changed: str) -> Part:
    """The sequence itself changes in nothing but these fields."""
    return now("frame_sequence", *[lambda f=f: getattr(new, f)(q) == getattr(old, f)(q) for f in SEQUENCE if f not in changed])


def everything_else(old: Any, new: Any) -> list[Part]:
    """No request, no table and no block changes."""
    return [
        same("frame_requests", "request", old, new, REQUEST, lambda x: old.phase(x) == old.phase(x)),  # noqa: PLR0124
        (
            "frame_tables",
            ("sequence", "index"),
            lambda q, i: implies(within(0, i, old.length(q)), new.table(q, i) == old.table(q, i)),
        ),
        same("frame_blocks", "block", old, new, ("ref", "tier", "place", "group"), lambda b: old.ref(b) >= 1),
    ]


# ---- arrival and end -------------------------------------------------------------------------------------------


@promise
def submit(old: Any, new: Any, r: Any, q: Any) -> list[Part]:
    """One sequence that knows the prompt and holds nothing."""
    return [
        now("waits", lambda: new.phase(r) == WAITING, lambda: new.width(r) == 1, lambda: new.member(r, 0) == q),
        now("fresh", lambda: negate(old.alive(q)), lambda: new.alive(q), lambda: new.request(q) == r),
        now("knows", lambda: new.known_tokens(q) == old.prompt(r), lambda: new.reach_tokens(q) == 0),
        now("holds", lambda: new.length(q) == 0, lambda: new.slot_tokens(q) == 0, lambda: new.promised_samples(q) == 0),
        request_same(old, new, r, "phase", "queue", "width"),
        *others(old, new, r, lambda x: x == q),
        clocks(old, new),
        free(old, new),
        operations(old, new),
    ]


@promise
def reject(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """The request is over; nothing else happened."""
    return [
        now("over", lambda: new.phase(r) == FINISHED, lambda: new.releases(r) == old.releases(r) + 1),
        request_same(old, new, r, "phase", "queue", "releases"),
        *others(old, new, r),
        clocks(old, new),
        free(old, new),
        operations(old, new),
    ]


def ended(old: Any, new: Any, r: Any) -> list[Part]:
    """The request is over and holds nothing."""
    return [
        now(
            "over",
            lambda: new.phase(r) == FINISHED,
            lambda: new.releases(r) == old.releases(r) + 1,
            lambda: new.width(r) == 0,
            lambda: new.blocks(r) == 0,
        ),
        (
            "nobody",
            ("sequence",),
            lambda q: implies(both(old.alive(q), old.request(q) == r), both(negate(new.alive(q)), new.length(q) == 0)),
        ),
        ("nothing", ("block",), lambda b: implies(both(old.ref(b) >= 1, old.group(b) == r), new.ref(b) == 0)),
        request_same(old, new, r, "phase", "queue", "width", "blocks", "releases"),
        *others(old, new, r),
        clocks(old, new),
        operations(old, new),
    ]


@promise
def finish(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Over, holding nothing."""
    return ended(old, new, r)


@promise
def abort(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Over, holding nothing."""
    return ended(old, new, r)


# ---- blocks for tokens -----------------------------------------------------------------------------------------


@promise
def admit(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """The leader has exactly the blocks for what it knows."""
    q = old.member(r, 0)
    blocks = old.need(old.known_tokens(q))
    return [
        now("runs", lambda: new.phase(r) == RUNNING),
        now("room", lambda: new.slot_tokens(q) == old.known_tokens(q), lambda: new.length(q) == blocks),
        now("taken", lambda: new.free(GPU) == old.free(GPU) - blocks, lambda: new.blocks(r) == old.blocks(r) + blocks),
        request_same(old, new, r, "phase", "queue", "blocks", "born"),
        sequence_same(old, new, q, "length", "slot_tokens"),
        *others(old, new, r, lambda x: x == q),
        clocks(old, new, "barrier"),
        operations(old, new),
    ]


@promise
def append_slots(old: Any, new: Any, q: Any, count: Any, _: Any) -> list[Part]:
    """Room for `count` more positions, and exactly the blocks for it."""
    r = old.request(q)
    return [
        now(
            "room",
            lambda: new.slot_tokens(q) == old.slot_tokens(q) + count,
            lambda: new.length(q) == old.need(old.slot_tokens(q) + count),
        ),
        now(
            "taken",
            lambda: new.free(GPU) == old.free(GPU) - (new.length(q) - old.length(q)),
            lambda: new.blocks(r) == old.blocks(r) + (new.length(q) - old.length(q)),
        ),
        ("kept", ("index",), lambda i: implies(within(0, i, old.length(q)), new.table(q, i) == old.table(q, i))),
        request_same(old, new, r, "blocks"),
        sequence_same(old, new, q, "length", "slot_tokens"),
        *others(old, new, r, lambda x: x == q),
        clocks(old, new, "barrier"),
        operations(old, new),
    ]


@promise
def copy_on_write(old: Any, new: Any, q: Any, _: Any) -> list[Part]:
    """One entry names a block of its own, with a copy that the next step waits for nobody to make."""
    r = old.request(q)
    i = old.block_of(old.reach_tokens(q))
    number = old.issued + 1
    return [
        now(
            "own",
            lambda: new.ref(new.table(q, i)) == 1,
            lambda: new.tier(new.table(q, i)) == GPU,
            lambda: new.ref(old.table(q, i)) == old.ref(old.table(q, i)) - 1,
        ),
        now("taken", lambda: new.free(GPU) == old.free(GPU) - 1, lambda: new.blocks(r) == old.blocks(r) + 1),
        now(
            "copied",
            lambda: new.issued == number,
            lambda: new.open(number),
            lambda: new.compute(number),
            lambda: negate(new.is_forward(number)),
            lambda: new.wait(number) == new.barrier,
            lambda: new.touch(GPU, number, old.place(old.table(q, i))),
            lambda: new.touch(GPU, number, new.place(new.table(q, i))),
        ),
        (
            "kept",
            ("index",),
            lambda j: implies(both(within(0, j, old.length(q)), j != i), new.table(q, j) == old.table(q, j)),
        ),
        request_same(old, new, r, "blocks"),
        sequence_same(old, new, q),
        *others(old, new, r, lambda x: x == q),
        clocks(old, new, "barrier", "issued"),
        operations(old, new),
    ]


# ---- steps -----------------------------------------------------------------------------------------------------


@promise
def schedule_tokens(old: Any, new: Any, q: Any, tokens: Any, drafts: Any, _: Any) -> list[Part]:
    """`tokens` more positions are in flight; what is computed and known stays."""
    r = old.request(q)
    sure = old.reach_tokens(q) + tokens - drafts
    exist = old.known_tokens(q) + old.promised_samples(q)
    return [
        now(
            "in_flight",
            lambda: new.reach(q) == old.reach(q) + tokens,
            lambda: new.in_flight(q) == old.in_flight(q) + tokens,
            lambda: new.last_step(q) == old.steps + 1,
            lambda: new.last_tokens(q) == tokens,
            lambda: new.drafts(q) == drafts,
        ),
        now("samples", lambda: new.promised(q) == old.promised(q) + old.either(sure == exist, 1, 0)),
        now(
            "counted",
            lambda: new.step_tokens == old.step_tokens + tokens,
            lambda: new.step_sequences == old.step_sequences + 1,
        ),
        sequence_same(
            old, new, q, "reach_tokens", "promised_samples", "last_step", "last_tokens", "previous_tokens", "drafts", "kv"
        ),
        request_same(old, new, r),
        *others(old, new, r, lambda x: x == q),
        clocks(old, new, "step_tokens", "step_sequences"),
        free(old, new),
        operations(old, new),
    ]


@promise
def issue_step(old: Any, new: Any, _: Any) -> list[Part]:
    """Every steady sequence has one more position in flight and exactly the blocks for it; all else stays."""
    return [
        now(
            "issued",
            lambda: new.steps == old.steps + 1,
            lambda: new.issued == old.issued + 1,
            lambda: new.carried == new.issued,
            lambda: new.forward_of(new.steps) == new.issued,
            lambda: new.open(new.issued),
            lambda: new.is_forward(new.issued),
            lambda: new.wait(new.issued) == new.barrier,
        ),
        now(
            "counted",
            lambda: new.tokens_of(new.steps) == old.step_tokens + old.batch_size,
            lambda: new.sequences_of(new.steps) == old.step_sequences + old.batch_size,
            lambda: new.step_tokens == 0,
            lambda: new.step_sequences == 0,
        ),
        (
            "steady",
            ("sequence",),
            lambda q: implies(
                old.steady(q),
                both(
                    new.steady(q),
                    new.reach(q) == old.reach(q) + 1,
                    new.length(q) == old.need(old.reach(q) + 1),
                    new.known(q) == old.known(q),
                    new.computed(q) == old.computed(q),
                ),
            ),
        ),
        same("frame_counters", "sequence", old, new, ("alive", "steady", "request", "drafts", "void", *LAZY), lambda q: old.alive(q)),
        same("frame_lengths", "sequence", old, new, ("length", "kv"), lambda q: both(old.alive(q), negate(old.steady(q)))),
        (
            "frame_tables",
            ("sequence", "index"),
            lambda q, i: implies(within(0, i, old.length(q)), new.table(q, i) == old.table(q, i)),
        ),
        same("frame_blocks", "block", old, new, ("ref", "tier", "place", "group"), lambda b: old.ref(b) >= 1),
        (
            "touches",
            ("block",),
            lambda b: implies(both(new.ref(b) >= 1, new.tier(b) == GPU), new.touch(GPU, new.issued, new.place(b))),
        ),
        same(
            "frame_requests", "request", old, new, tuple(f for f in REQUEST if f != "blocks"), lambda r: old.phase(r) == old.phase(r)  # noqa: PLR0124
        ),
        clocks(old, new, "barrier", "issued", "carried", "steps", "step_tokens", "step_sequences"),
        operations(old, new),
    ]


@promise
def settle_step(old: Any, new: Any, _: Any) -> list[Part]:
    """What the oldest step computed is valid, and each steady sequence knows one more token."""
    forward = old.forward_of(old.settled + 1)
    return [
        now("settled", lambda: new.settled == old.settled + 1, lambda: negate(new.open(forward))),
        (
            "steady",
            ("sequence",),
            lambda q: implies(
                old.steady(q),
                both(
                    new.known(q) == old.known(q) + 1,
                    new.computed(q) == old.computed(q) + 1,
                    new.reach(q) == old.reach(q),
                ),
            ),
        ),
        (
            "explicit",
            ("sequence",),
            lambda q: implies(
                both(old.alive(q), negate(old.steady(q))),
                both(
                    new.known(q) == old.known(q),
                    new.reach(q) == old.reach(q),
                    new.computed(q)
                    == old.computed(q)
                    + old.either(old.last_step(q) == new.settled, old.last_tokens(q), 0)
                    + old.either(old.last_step(q) == new.settled + 1, old.previous_tokens(q), 0),
                ),
            ),
        ),
        same("frame_sequences", "sequence", old, new, ("request", *SEQUENCE), lambda q: old.alive(q)),
        *everything_else(old, new),
        clocks(old, new, "settled"),
        free(old, new),
        operations(old, new, forward),
    ]


@promise
def sample(old: Any, new: Any, q: Any, step: Any, accepted: Any, rejected: Any, _: Any) -> list[Part]:
    """The tokens are known, and rejected drafts are computed no more."""
    r = old.request(q)
    return [
        now(
            "known",
            lambda: new.known(q) == old.known(q) + accepted,
            lambda: new.promised(q) == old.promised(q) - 1,
            lambda: new.reach(q) == old.reach(q) - rejected,
            lambda: new.drafts(q) == 0,
        ),
        now("gains", lambda: new.known(q) > old.known(q), lambda: new.reach(q) >= old.reach(q) - old.drafts(q)),
        now("owed", lambda: old.alive(q), lambda: step <= old.settled, lambda: step > old.void(q)),
        sequence_same(old, new, q, "known_tokens", "promised_samples", "reach_tokens", "drafts"),
        request_same(old, new, r),
        *others(old, new, r, lambda x: x == q),
        clocks(old, new),
        free(old, new),
        operations(old, new),
    ]


def unobserved(old: Any, new: Any, q: Any, size: int) -> list[Part]:
    """The sequence's counters are kept another way, and mean what they meant."""
    r = old.request(q)
    return [
        now("observed", *[lambda f=f: getattr(new, f)(q) == getattr(old, f)(q) for f in OBSERVED]),
        now("counted", lambda: new.batch_size == old.batch_size + size),
        now("frame_sequence", *[lambda f=f: getattr(new, f)(q) == getattr(old, f)(q) for f in ("alive", "void", "kv")]),
        request_same(old, new, r),
        *others(old, new, r, lambda x: x == q),
        clocks(old, new, "batch_size"),
        free(old, new),
        operations(old, new),
    ]


@promise
def join_batch(old: Any, new: Any, q: Any, _: Any) -> list[Part]:
    """Steady, with the same counters, also once the oldest step in flight is committed."""
    later = old.reach(q) - old.either(old.last_step(q) > old.settled + 1, old.last_tokens(q), 0)
    return [
        now("steady", lambda: new.steady(q)),
        now(
            "later",
            lambda: implies(old.steps > old.settled, later == new.reach(q) - (new.steps - (new.settled + 1))),
        ),
        *unobserved(old, new, q, 1),
    ]


@promise
def leave_batch(old: Any, new: Any, q: Any, _: Any) -> list[Part]:
    """Not steady, with the same counters."""
    return [now("explicit", lambda: negate(new.steady(q))), *unobserved(old, new, q, -1)]


# ---- branches --------------------------------------------------------------------------------------------------


def shares(old: Any, new: Any, parent: Any, child: Any, tokens: Any) -> list[Part]:
    """The child names the parent's blocks for `tokens` positions; no block is taken."""
    r = old.request(parent)
    return [
        now(
            "room",
            lambda: new.length(child) == old.need(tokens),
            lambda: new.reach_tokens(child) == tokens,
            lambda: new.slot_tokens(child) == tokens,
        ),
        (
            "shared",
            ("index",),
            lambda i: implies(within(0, i, old.need(tokens)), new.table(child, i) == old.table(parent, i)),
        ),
        free(old, new),
        now("taken", lambda: new.blocks(r) == old.blocks(r)),
        *others(old, new, r, lambda x: x == child),
        clocks(old, new),
        operations(old, new),
    ]


@promise
def fork(old: Any, new: Any, parent: Any, tokens: Any, child: Any) -> list[Part]:
    """A new branch that knows `tokens` more than the parent and shares what the parent computed."""
    r = old.request(parent)
    return [
        now(
            "child",
            lambda: negate(old.alive(child)),
            lambda: new.alive(child),
            lambda: new.request(child) == r,
            lambda: new.known_tokens(child) == old.known_tokens(parent) + tokens,
            lambda: new.promised_samples(child) == 0,
            lambda: new.member(r, old.width(r)) == child,
            lambda: new.width(r) == old.width(r) + 1,
        ),
        request_same(old, new, r, "width"),
        *shares(old, new, parent, child, old.reach_tokens(parent)),
    ]


@promise
def rejoin(old: Any, new: Any, q: Any, shared: Any, _: Any) -> list[Part]:
    """The branch has the leader's full prompt blocks."""
    r = old.request(q)
    return [
        request_same(old, new, r),
        sequence_same(old, new, q, "reach_tokens", "slot_tokens", "length", "kv"),
        *shares(old, new, old.member(r, 0), q, shared),
    ]


@promise
def prune(old: Any, new: Any, q: Any, _: Any) -> list[Part]:
    """The branch is gone, with what only it held; its siblings keep their order."""
    r = old.request(q)
    return [
        now("gone", lambda: negate(new.alive(q)), lambda: new.length(q) == 0, lambda: new.width(r) == old.width(r) - 1),
        (
            "siblings",
            ("index",),
            lambda k: implies(
                within(0, k, new.width(r)),
                new.member(r, k) == old.either(k < old.seat(q), old.member(r, k), old.member(r, k + 1)),
            ),
        ),
        request_same(old, new, r, "width", "blocks"),
        *others(old, new, r, lambda x: x == q),
        clocks(old, new),
        operations(old, new),
    ]


# ---- preemption ------------------------------------------------------------------------------------------------


def carried_over(old: Any, new: Any, r: Any, source: int, target: int, phase: int) -> list[Part]:
    """The same tables and counters in the other tier, one copy for each distinct block."""
    number = old.issued + 1
    return [
        now("phase", lambda: new.phase(r) == phase),
        now(
            "pools",
            lambda: new.free(source) == old.free(source) + old.blocks(r),
            lambda: new.free(target) == old.free(target) - old.blocks(r),
        ),
        (
            "copied",
            ("block",),
            lambda b: implies(
                both(old.ref(b) >= 1, old.group(b) == r),
                both(
                    new.tier(b) == target,
                    new.touch(source, number, old.place(b)),
                    new.touch(target, number, new.place(b)),
                ),
            ),
        ),
        ("shared", ("block",), lambda b: both(new.ref(b) == old.ref(b), new.group(b) == old.group(b))),
        now(
            "operation",
            lambda: new.issued == number,
            lambda: new.open(number),
            lambda: negate(new.compute(number)),
            lambda: negate(new.is_forward(number)),
            lambda: new.request_of(number) == r,
            lambda: new.copy(r) == number,
            lambda: new.moved(r) == number,
        ),
        request_same(old, new, r, "phase", "queue", "copy", "moved"),
        *others(old, new, r, lambda q: q != q),  # noqa: PLR0124
        clocks(old, new, "issued", "barrier"),
        operations(old, new),
    ]


@promise
def swap_out(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """On the CPU, after everything decided before."""
    return [
        now("waits", lambda: new.wait(new.issued) == old.issued, lambda: new.barrier == old.barrier),
        *carried_over(old, new, r, GPU, CPU, SWAPPED),
    ]


@promise
def swap_in(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """On the GPU, and the next step waits for it."""
    return [
        now("waited", lambda: new.barrier == new.issued, lambda: new.wait(new.issued) >= old.barrier),
        *carried_over(old, new, r, CPU, GPU, RUNNING),
    ]


def given_back(old: Any, new: Any, r: Any, *changed: str) -> list[Part]:
    """The request waits and holds nothing; what its sequences know stays."""

    def mine(q: Any) -> Any:
        return both(old.alive(q), old.request(q) == r)

    return [
        now("waits", lambda: new.phase(r) == WAITING, lambda: new.blocks(r) == 0, lambda: new.copy(r) == 0),
        (
            "reset",
            ("sequence",),
            lambda q: implies(
                mine(q), both(new.length(q) == 0, new.reach(q) == 0, new.slots(q) == 0, new.in_flight(q) == 0)
            ),
        ),
        same("kept", "sequence", old, new, ("alive", "known_tokens", "last_step", "steady", *changed), mine),
        ("nothing", ("block",), lambda b: implies(both(old.ref(b) >= 1, old.group(b) == r), new.ref(b) == 0)),
        (
            "members",
            ("index",),
            lambda k: implies(within(0, k, old.width(r)), new.member(r, k) == old.member(r, k)),
        ),
        request_same(old, new, r, "phase", "queue", "copy", "blocks"),
        *others(old, new, r),
        clocks(old, new),
    ]


@promise
def recompute(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Waiting, holding nothing, with known and promised tokens kept."""
    return [*given_back(old, new, r, "promised_samples", "void"), operations(old, new)]


@promise
def discard_swapped(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Waiting, holding nothing, with known and promised tokens kept."""
    return [*given_back(old, new, r, "promised_samples", "void"), operations(old, new)]


# ---- operations ------------------------------------------------------------------------------------------------


@promise
def settle_copy(old: Any, new: Any, number: Any, _: Any) -> list[Part]:
    """The copy is closed, and its request waits for it no longer."""
    return [
        now("closed", lambda: negate(new.open(number))),
        (
            "waited",
            ("request",),
            lambda r: new.copy(r) == old.either(both(old.copy(r) == number, old.copy(r) >= 1), 0, old.copy(r)),
        ),
        same(
            "frame_requests", "request", old, new, tuple(f for f in REQUEST if f != "copy"), lambda x: old.phase(x) == old.phase(x)  # noqa: PLR0124
        ),
        same("frame_sequences", "sequence", old, new, ("request", *SEQUENCE), lambda q: old.alive(q)),
        *everything_else(old, new)[1:],
        clocks(old, new),
        free(old, new),
        operations(old, new, number),
    ]


@promise
def fail_copy(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Waiting, holding nothing; what steps sampled on a failed copy is void."""
    return [
        *given_back(old, new, r),
        now("closed", lambda: negate(new.open(old.copy(r)))),
        (
            "void",
            ("sequence",),
            lambda q: implies(
                both(old.alive(q), old.request(q) == r),
                both(
                    new.promised(q) == old.either(old.phase(r) == RUNNING, 0, old.promised(q)),
                    new.void(q) == old.either(old.phase(r) == RUNNING, old.steps, old.void(q)),
                ),
            ),
        ),
        operations(old, new, old.copy(r)),
    ]


def quiet(old: Any, new: Any, clock: str) -> list[Part]:
    """Nothing but one clock moves."""
    return [
        same("frame_sequences", "sequence", old, new, ("request", *SEQUENCE), lambda q: old.alive(q)),
        *everything_else(old, new),
        clocks(old, new, clock),
        free(old, new),
        operations(old, new),
    ]


@promise
def carry(old: Any, new: Any, _: Any) -> list[Part]:
    """Every operation decided is in a plan."""
    return [
        now("carried", lambda: new.carried == old.issued, lambda: new.carried > old.carried),
        *quiet(old, new, "carried"),
    ]


@promise
def retire(old: Any, new: Any, _: Any) -> list[Part]:
    """Every operation up to the new mark is complete."""
    return [
        now("further", lambda: new.done > old.done, lambda: new.done <= old.issued),
        ("complete", ("operation",), lambda o: implies(both(old.done < o, o <= new.done), negate(old.open(o)))),
        *quiet(old, new, "done"),
    ]
