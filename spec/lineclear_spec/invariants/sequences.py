# pyright: basic
"""Boundary invariants of sequences: their tables, counters and writes."""

from __future__ import annotations

from typing import Any

from lineclear_spec.invariants.clause import (
    CPU,
    GPU,
    NEVER,
    RUNNING,
    SWAPPED,
    WAITING,
    declare,
    private,
    within,
)
from lineclear_spec.logic import and_, implies, not_, or_

declare(
    "residency",
    "boundary",
    "private blocks of a RUNNING request are on the GPU, of a SWAPPED one on the CPU, and no other request has any; "
    "only a sequence that is alive has entries",
    (
        "tier",
        lambda v, b: implies(
            private(v, b),
            or_(
                and_(v.phase(v.group(b)) == RUNNING, v.tier(b) == GPU),
                and_(v.phase(v.group(b)) == SWAPPED, v.tier(b) == CPU),
            ),
        ),
    ),
    ("alive", lambda v, q: implies(v.length(q) >= 1, v.alive(q))),
)


declare(
    "capacity",
    "boundary",
    "a table has exactly ceil(slots / block_size) blocks, and room for all that steps compute; what is in flight is "
    "part of what is dispatched; a sequence that waits has no slots",
    ("exact", lambda v, q: implies(v.alive(q), v.length(q) == v.need(v.num_allocated_slots(q)))),
    (
        "room",
        lambda v, q: implies(v.alive(q), v.num_dispatched_tokens(q) <= v.num_allocated_slots(q)),
    ),
    (
        "flight",
        lambda v, q: implies(
            and_(v.alive(q), not_(v.in_decode_batch(q))),
            and_(
                v.last_tokens(q) >= 0,
                v.previous_tokens(q) >= 0,
                v.in_flight(q) <= v.own_dispatched(q),
            ),
        ),
    ),
    (
        "nothing",
        lambda v, q: implies(
            and_(v.alive(q), v.phase(v.request(q)) == WAITING),
            and_(v.own_slots(q) == 0, v.last_tokens(q) == 0, v.previous_tokens(q) == 0),
        ),
    ),
)


declare(
    "limit",
    "boundary",
    "a sequence knows at least its prompt and never more than its limit, which leaves room for "
    "output; its newest token needs no slot",
    (
        "known",
        lambda v, q: implies(
            v.alive(q),
            and_(
                v.prompt(v.request(q)) >= 1,
                v.num_tokens(q) >= v.prompt(v.request(q)),
                v.num_tokens(q) <= v.limit(v.request(q)),
            ),
        ),
    ),
    ("slots", lambda v, q: implies(v.alive(q), v.num_allocated_slots(q) < v.limit(v.request(q)))),
    ("output", lambda v, q: implies(v.alive(q), v.prompt(v.request(q)) < v.limit(v.request(q)))),
)


declare(
    "tokens_exist",
    "boundary",
    "a step computes only tokens that are known, to be sampled by an earlier step, or drafts",
    (
        "",
        lambda v, q: implies(
            v.alive(q),
            and_(
                v.scheduled_samples(q) >= 0,
                v.drafts(q) >= 0,
                v.num_dispatched_tokens(q)
                <= v.num_tokens(q) + v.scheduled_samples(q) + v.drafts(q),
            ),
        ),
    ),
)


declare(
    "pending_samples",
    "boundary",
    "a sequence has as many samples to come as its steps still bring, each at most one; only its last two steps may "
    "owe it one, and only if they are later than the last void one",
    (
        "",
        lambda v, q: implies(
            and_(v.alive(q), not_(v.in_decode_batch(q))),
            and_(
                v.pending_samples(q) >= 0,
                v.late_drafts(q) >= 0,
                v.last_samples(q) >= 0,
                v.last_samples(q) <= 1,
                v.previous_samples(q) >= 0,
                v.previous_samples(q) <= 1,
            ),
        ),
    ),
    (
        "older",
        lambda v, q: implies(
            and_(v.alive(q), not_(v.in_decode_batch(q))),
            v.own_samples(q) <= v.last_samples(q) + v.previous_samples(q),
        ),
    ),
    (
        "void",
        lambda v, q: implies(
            v.alive(q),
            and_(
                v.void(q) >= 0, v.void(q) <= v.if_else(v.in_decode_batch(q), v.committed, v.steps)
            ),
        ),
    ),
    (
        "valid",
        lambda v, q: implies(
            and_(v.alive(q), not_(v.in_decode_batch(q)), v.own_samples(q) >= 1),
            v.void(q) < v.sampling_step(q),
        ),
    ),
)

declare(
    "drafts",
    "boundary",
    "drafts follow the newest token, and nothing builds on them before they are verified",
    (
        "",
        lambda v, q: implies(
            and_(v.alive(q), v.drafts(q) >= 1),
            and_(
                v.scheduled_samples(q) == 1,
                v.num_dispatched_tokens(q) == v.num_tokens(q) + v.drafts(q),
            ),
        ),
    ),
)


declare(
    "exclusive_write",
    "boundary",
    "one table entry alone refers to a block that a step in flight writes",
    (
        "",
        lambda v, q, i: implies(
            and_(
                v.alive(q),
                or_(v.in_decode_batch(q), v.in_flight(q) >= 1),
                v.block_of(v.num_computed_tokens(q)) <= i,
                i < v.length(q),
            ),
            v.ref(v.table(q, i)) == 1,
        ),
    ),
)


def sent_in_parts(v: Any, q: Any) -> Any:
    """Whether the sequence runs and the plan of the next step does not name its whole table."""
    return and_(v.runs(q), not_(v.whole(q)))


declare(
    "sent",
    "boundary",
    "for every running sequence the next plan has its whole table, or a reader of every plan has the table once "
    "what waits for the next plan is appended",
    (
        "length",
        lambda v, q: implies(
            sent_in_parts(v, q), and_(v.heard(q), v.queued_length(q) == v.length(q))
        ),
    ),
    (
        "entries",
        lambda v, q, i: implies(
            and_(sent_in_parts(v, q), within(0, i, v.length(q))),
            v.sent_block_id(q, i) == v.block_id(v.table(q, i)),
        ),
    ),
)


declare(
    "decode_batch",
    "boundary",
    "a sequence in the decode batch is alive, its request runs, every step in flight computes one position of "
    "it, and calendars list it under the step in which its table is full and the one of its end",
    (
        "runs",
        lambda v, q: implies(
            v.in_decode_batch(q),
            and_(
                v.alive(q),
                v.phase(v.request(q)) == RUNNING,
                v.offset(q) + v.committed >= 0,
                v.drafts(q) == 0,
                v.late_drafts(q) == 0,
            ),
        ),
    ),
    (
        "listed",
        lambda v, k: implies(
            within(0, k, v.decode_batch_size),
            and_(
                v.in_decode_batch(v.decode_batch(k)), v.decode_batch_index(v.decode_batch(k)) == k
            ),
        ),
    ),
    (
        "counted",
        lambda v, q: implies(
            v.in_decode_batch(q),
            and_(
                within(0, v.decode_batch_index(q), v.decode_batch_size),
                v.decode_batch(v.decode_batch_index(q)) == q,
            ),
        ),
    ),
    ("size", lambda v: v.decode_batch_size >= 0),
    (
        "boundary",
        lambda v, q: (
            v.boundary(q)
            == v.if_else(v.in_decode_batch(q), v.cap(v.length(q)) - v.offset(q), NEVER)
        ),
    ),
    (
        "ending",
        lambda v, q: (
            v.ending(q)
            == v.if_else(v.in_decode_batch(q), v.limit(v.request(q)) - 1 - v.offset(q), NEVER)
        ),
    ),
)


declare(
    "own_names",
    "boundary",
    "a sealed block in a table has the name of the tokens there, and all its positions are computed and their tokens "
    "known, so that it is never written",
    (
        "name",
        lambda v, q, i: implies(
            and_(within(0, i, v.length(q)), v.name(v.table(q, i)) != 0),
            v.name(v.table(q, i)) == v.block_name(q, i),
        ),
    ),
    (
        "computed",
        lambda v, q, i: implies(
            and_(within(0, i, v.length(q)), v.name(v.table(q, i)) != 0),
            i < v.block_of(v.num_computed_tokens(q)),
        ),
    ),
    (
        "known",
        lambda v, q, i: implies(
            and_(within(0, i, v.length(q)), v.name(v.table(q, i)) != 0),
            i < v.block_of(v.num_tokens(q)),
        ),
    ),
)


declare(
    "block_names",
    "boundary",
    "a name tells how many blocks come before its own, and the sequences of a request share the names of "
    "its prompt",
    (
        "depth",
        lambda v, q, i: implies(
            and_(i >= 0, v.block_name(q, i) >= 1), v.preceding(v.block_name(q, i)) == i
        ),
    ),
    (
        "prompt_names",
        lambda v, r, i: implies(
            and_(i >= 0, v.prompt_names(r, i) >= 1), v.preceding(v.prompt_names(r, i)) == i
        ),
    ),
    (
        "prompt",
        lambda v, q, i: implies(
            and_(v.alive(q), 0 <= i, i < v.block_of(v.prompt(v.request(q)))),
            v.block_name(q, i) == v.prompt_names(v.request(q), i),
        ),
    ),
)
