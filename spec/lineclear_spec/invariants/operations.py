# pyright: basic
"""Boundary invariants of steps and operations: budgets, clocks, order and fences."""

from __future__ import annotations

from lineclear_spec.invariants.clause import (
    CPU,
    GPU,
    RUNNING,
    SWAPPED,
    declare,
    each_tier,
    is_free,
    rests,
    within,
)
from lineclear_spec.logic import and_, implies, not_, or_

declare(
    "budget",
    "boundary",
    "every issued step has at least one sequence; it and the step being built have at most max_num_seqs of "
    "them and at most max_num_batched_tokens tokens",
    (
        "building",
        lambda v: and_(
            v.step_tokens >= v.step_sequences,
            v.step_sequences >= 0,
            v.step_tokens <= v.max_num_batched_tokens,
            v.step_sequences <= v.max_num_seqs,
        ),
    ),
    (
        "issued",
        lambda v, s: implies(
            and_(s >= 1, s <= v.steps),
            and_(
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
    "at most `max_steps_in_flight` steps are in flight, each with an open forward on the compute stream; only "
    "operations that were decided are open; no sequence is in a step after the one being built, and only a sequence "
    "that runs is in that one",
    (
        "steps",
        lambda v: and_(
            0 <= v.committed,
            v.committed <= v.steps,
            v.steps <= v.committed + v.max_steps_in_flight,
        ),
    ),
    (
        "operations",
        lambda v: and_(
            0 <= v.done,
            v.done <= v.issued,
            v.dispatched <= v.issued,
            0 <= v.dispatched,
            0 <= v.barrier,
            v.barrier <= v.issued,
        ),
    ),
    ("open", lambda v, o: implies(v.open(o), and_(v.done < o, o <= v.issued))),
    (
        "forward",
        lambda v, s: implies(
            and_(v.committed < s, s <= v.steps),
            and_(
                v.open(v.forward_of(s)),
                v.is_forward(v.forward_of(s)),
                v.step_of(v.forward_of(s)) == s,
                v.forward_of(s) <= v.dispatched,
            ),
        ),
    ),
    ("kind", lambda v, o: implies(v.is_forward(o), v.compute(o))),
    (
        "scheduled",
        lambda v, q: implies(
            or_(v.alive(q), v.last_step(q) > v.steps),
            and_(
                v.last_step(q) <= v.steps + 1,
                implies(
                    and_(v.last_step(q) == v.steps + 1, not_(v.in_decode_batch(q))),
                    and_(
                        v.runs(q),
                        v.steps < v.committed + v.max_steps_in_flight,
                        v.last_tokens(q) >= 1,
                    ),
                ),
            ),
        ),
    ),
)


declare(
    "pending",
    "boundary",
    "an operation that no plan has dispatched yet is still open, so none is lost; the copy that a request waits "
    "for is open, and its own",
    ("", lambda v, o: implies(and_(v.dispatched < o, o <= v.issued), v.open(o))),
    (
        "copy",
        lambda v, r: and_(
            v.open_swap(r) >= 0,
            v.open_swap(r) <= v.last_swap(r),
            v.last_swap(r) <= v.issued,
            implies(
                v.open_swap(r) >= 1,
                and_(
                    v.open(v.open_swap(r)),
                    not_(v.is_forward(v.open_swap(r))),
                    v.request_of(v.open_swap(r)) == r,
                ),
            ),
        ),
    ),
)


declare(
    "attributed",
    "boundary",
    "of a request that runs or is swapped out, the only open swap decided since its last admission is the one "
    "whose success it waits for",
    (
        "",
        lambda v, o: implies(
            and_(
                v.open(o),
                not_(v.compute(o)),
                o > v.born(v.request_of(o)),
                or_(v.phase(v.request_of(o)) == RUNNING, v.phase(v.request_of(o)) == SWAPPED),
            ),
            v.open_swap(v.request_of(o)) == o,
        ),
    ),
    ("born", lambda v, r: v.born(r) <= v.issued),
)


declare(
    "ordered",
    "boundary",
    "two operations that touch one block id are ordered: by the later one's wait, or both on the compute stream; "
    "an operation waits for earlier ones only, and what a complete forward waited for is complete",
    *each_tier(
        "",
        lambda t: (
            lambda v, o, n, p: implies(
                and_(o < n, v.touch(t, o, p), v.touch(t, n, p), v.open(o)),
                or_(o <= v.wait(n), and_(v.compute(o), v.compute(n))),
            )
        ),
    ),
    *each_tier(
        "decided",
        lambda t: lambda v, o, p: implies(v.touch(t, o, p), o <= v.issued),
    ),
    (
        "finished",
        lambda v, o, n: implies(
            and_(1 <= n, n <= v.issued, v.is_forward(n), not_(v.open(n)), 1 <= o, o <= v.wait(n)),
            not_(v.open(o)),
        ),
    ),
    (
        "past",
        lambda v, o: implies(and_(1 <= o, o <= v.issued), and_(0 <= v.wait(o), v.wait(o) < o)),
    ),
)


declare(
    "fence",
    "boundary",
    "an open operation that touches a free or resting block id is numbered up to its fence; one that touches a GPU "
    "block id in use is on the compute stream or numbered up to the barrier, one that touches a CPU block id in use is "
    "numbered up to the last swap of its request",
    *each_tier(
        "free",
        lambda t: (
            lambda v, o, p: implies(
                and_(within(0, p, v.total(t)), is_free(v, t, p), v.touch(t, o, p), v.open(o)),
                o <= v.last_use(t, p),
            )
        ),
    ),
    *each_tier("last_use", lambda t: lambda v, p: v.last_use(t, p) <= v.issued),
    (
        "resting",
        lambda v, o, b: implies(
            and_(rests(v, b), v.touch(GPU, o, v.block_id(b)), v.open(o)),
            o <= v.last_use(GPU, v.block_id(b)),
        ),
    ),
    # Why a forward is safe: it waits for all up to the barrier, and for the compute stream by its order, so no
    # other open operation touches what it reads or writes.
    (
        "held_gpu",
        lambda v, o, p: implies(
            and_(
                within(0, p, v.total(GPU)),
                not_(is_free(v, GPU, p)),
                v.touch(GPU, o, p),
                v.open(o),
            ),
            or_(v.compute(o), o <= v.barrier),
        ),
    ),
    # A swap-in waits for the last swap of its request, `last_swap`, and so for all that still touch its sources.
    (
        "held_cpu",
        lambda v, o, p: implies(
            and_(
                within(0, p, v.total(CPU)),
                not_(is_free(v, CPU, p)),
                v.touch(CPU, o, p),
                v.open(o),
            ),
            o <= v.last_swap(v.group(v.owner(CPU, p))),
        ),
    ),
)
