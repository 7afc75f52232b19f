# pyright: basic
"""Postconditions of the actions of `actions/steps.py`."""

from __future__ import annotations

from typing import Any

from lineclear_spec.contracts import Part, alike, part, same
from lineclear_spec.invariants import GPU
from lineclear_spec.logic import and_, implies, not_, or_
from lineclear_spec.postconditions.frames import (
    OBSERVED,
    OWN_COUNTERS,
    all_records_same,
    blocks_same,
    clocks,
    ensures,
    free,
    now,
    operations,
    others,
    request_same,
    requests_same,
    rest_same,
    sequence_same,
    tables_same,
    waits,
)

#: Fields of a sequence that change when it is scheduled, and when it is sampled.
SCHEDULED = (
    "own_dispatched own_samples last_step last_tokens previous_tokens last_samples previous_samples drafts"
).split()
SAMPLED = "own_tokens own_samples own_dispatched drafts late_drafts".split()


@ensures
def schedule_tokens(old: Any, new: Any, q: Any, tokens: Any, drafts: Any, _: Any) -> list[Part]:
    """`tokens` more positions are in flight; what is computed and known stays."""
    r = old.request(q)
    sure = old.own_dispatched(q) + tokens - drafts
    exist = old.own_tokens(q) + old.own_samples(q)
    return [
        now(
            "in_flight",
            lambda: new.num_dispatched_tokens(q) == old.num_dispatched_tokens(q) + tokens,
            lambda: new.in_flight(q) == old.in_flight(q) + tokens,
            lambda: new.last_step(q) == old.steps + 1,
            lambda: new.last_tokens(q) == tokens,
            lambda: new.drafts(q) == drafts,
        ),
        now("pending_samples", lambda: new.pending_samples(q) == old.pending_samples(q)),
        now(
            "whole",
            lambda: or_(
                old.chunked,
                and_(old.cut_long, old.own_tokens(q) > old.max_num_batched_tokens),
                sure >= old.own_tokens(q),
            ),
            lambda: or_(old.late_drafts(q) == 0, sure <= old.own_tokens(q)),
        ),
        now(
            "samples",
            lambda: (
                new.scheduled_samples(q)
                == old.scheduled_samples(q) + old.if_else(sure == exist, 1, 0)
            ),
        ),
        now(
            "counted",
            lambda: new.step_tokens == old.step_tokens + tokens,
            lambda: new.step_sequences == old.step_sequences + 1,
        ),
        sequence_same(old, new, q, *SCHEDULED),
        request_same(old, new, r),
        *others(old, new, r, lambda x: x == q),
        clocks(old, new, "step_tokens", "step_sequences"),
        free(old, new),
        operations(old, new),
    ]


@ensures
def issue_step(old: Any, new: Any, _: Any) -> list[Part]:
    """Every sequence in the decode batch has one more position in flight and exactly the blocks for it; all
    else stays.
    """
    return [
        now(
            "issued",
            lambda: new.steps == old.steps + 1,
            lambda: new.issued == old.issued + 1,
            lambda: new.dispatched == new.issued,
            lambda: new.forward_of(new.steps) == new.issued,
            lambda: new.open(new.issued),
            lambda: new.is_forward(new.issued),
            lambda: new.wait(new.issued) == new.barrier,
        ),
        now(
            "counted",
            lambda: new.tokens_of(new.steps) == old.step_tokens + old.decode_batch_size,
            lambda: new.sequences_of(new.steps) == old.step_sequences + old.decode_batch_size,
            lambda: new.step_tokens == 0,
            lambda: new.step_sequences == 0,
        ),
        part(
            "decode_batch",
            lambda q: implies(
                old.in_decode_batch(q),
                and_(
                    new.in_decode_batch(q),
                    new.num_dispatched_tokens(q) == old.num_dispatched_tokens(q) + 1,
                    new.length(q) == old.need(old.num_dispatched_tokens(q) + 1),
                    new.num_tokens(q) == old.num_tokens(q),
                    new.num_computed_tokens(q) == old.num_computed_tokens(q),
                ),
            ),
        ),
        same(
            "frame_counters",
            "sequence",
            old,
            new,
            ("alive", "in_decode_batch", "request", "drafts", "void", *OWN_COUNTERS),
            lambda q: old.alive(q),
        ),
        same(
            "frame_lengths",
            "sequence",
            old,
            new,
            ("length",),
            lambda q: and_(old.alive(q), not_(old.in_decode_batch(q))),
        ),
        tables_same(old, new),
        blocks_same(old, new),
        part(
            "touches",
            lambda b: implies(
                and_(new.ref(b) >= 1, new.tier(b) == GPU),
                new.touch(GPU, new.issued, new.block_id(b)),
            ),
        ),
        requests_same(old, new, "blocks"),
        part(
            "sent",
            lambda q: and_(
                not_(new.whole(q)),
                implies(new.runs(q), and_(new.heard(q), new.sent_length(q) == new.length(q))),
            ),
        ),
        *waits(old, new, lambda: new.barrier, old.barrier),
        clocks(
            old, new, "barrier", "issued", "dispatched", "steps", "step_tokens", "step_sequences"
        ),
        operations(old, new),
    ]


@ensures
def commit_step(old: Any, new: Any, _: Any) -> list[Part]:
    """What the oldest step computed is valid, and each sequence in the decode batch knows one more token."""
    forward = old.forward_of(old.committed + 1)
    return [
        now(
            "committed",
            lambda: new.committed == old.committed + 1,
            lambda: not_(new.open(forward)),
        ),
        part(
            "decode_batch",
            lambda q: implies(
                old.in_decode_batch(q),
                and_(
                    new.num_tokens(q) == old.num_tokens(q) + 1,
                    new.num_computed_tokens(q) == old.num_computed_tokens(q) + 1,
                    new.num_dispatched_tokens(q) == old.num_dispatched_tokens(q),
                ),
            ),
        ),
        part(
            "explicit",
            lambda q: implies(
                and_(old.alive(q), not_(old.in_decode_batch(q))),
                and_(
                    new.num_tokens(q) == old.num_tokens(q),
                    new.num_dispatched_tokens(q) == old.num_dispatched_tokens(q),
                    new.num_computed_tokens(q)
                    == old.num_computed_tokens(q)
                    + old.if_else(old.last_step(q) == new.committed, old.last_tokens(q), 0)
                    + old.if_else(
                        old.last_step(q) == new.committed + 1, old.previous_tokens(q), 0
                    ),
                ),
            ),
        ),
        *all_records_same(old, new),
        clocks(old, new, "committed"),
        free(old, new),
        operations(old, new, forward),
    ]


@ensures
def sample(
    old: Any, new: Any, q: Any, step: Any, accepted: Any, rejected: Any, _: Any
) -> list[Part]:
    """The tokens are known, and rejected drafts are computed no more."""
    r = old.request(q)
    return [
        now(
            "known",
            lambda: new.num_tokens(q) == old.num_tokens(q) + accepted,
            lambda: new.scheduled_samples(q) == old.scheduled_samples(q) - 1,
            lambda: new.num_dispatched_tokens(q) == old.num_dispatched_tokens(q) - rejected,
            lambda: new.drafts(q) == 0,
            lambda: new.late_drafts(q) == 0,
        ),
        now(
            "gains",
            lambda: new.num_tokens(q) > old.num_tokens(q),
            lambda: new.num_dispatched_tokens(q) >= old.num_dispatched_tokens(q) - old.drafts(q),
        ),
        now(
            "bounded",
            lambda: new.pending_samples(q) >= 0,
            lambda: or_(
                accepted <= old.drafts(q) + 1,
                accepted <= old.late_drafts(q) + 1,
            ),
        ),
        now(
            "pending_samples",
            lambda: old.alive(q),
            lambda: step <= old.committed,
            lambda: step > old.void(q),
        ),
        now(
            "oldest",
            lambda: or_(
                and_(
                    step == old.last_step(q),
                    old.last_samples(q) == 1,
                    old.scheduled_samples(q) == 1,
                ),
                and_(
                    step == old.last_step(q) - 1,
                    old.previous_samples(q) == 1,
                    old.scheduled_samples(q) == 1 + old.last_samples(q),
                ),
            ),
        ),
        sequence_same(old, new, q, *SAMPLED),
        request_same(old, new, r),
        *others(old, new, r, lambda x: x == q),
        *rest_same(old, new),
    ]


def unobserved(old: Any, new: Any, q: Any, size: int) -> list[Part]:
    """The sequence's counters are kept another way, and mean what they meant.

    Args:
        old: the state before.
        new: the state after.
        q: the sequence.
        size: by how much the batch grows: 1 or -1.
    """
    r = old.request(q)
    return [
        part("observed", lambda: alike(old, new, q, OBSERVED)),
        now("counted", lambda: new.decode_batch_size == old.decode_batch_size + size),
        part("frame_sequence", lambda: alike(old, new, q, ("alive", "void"))),
        request_same(old, new, r),
        *others(old, new, r, lambda x: x == q),
        clocks(old, new, "decode_batch_size"),
        free(old, new),
        operations(old, new),
    ]


@ensures
def join_batch(old: Any, new: Any, q: Any, _: Any) -> list[Part]:
    """In the decode batch, with the same counters, also once the oldest step in flight is committed."""
    later = old.num_dispatched_tokens(q) - old.if_else(
        old.last_step(q) > old.committed + 1, old.last_tokens(q), 0
    )
    return [
        now("decode_batch", lambda: new.in_decode_batch(q)),
        now(
            "later",
            lambda: implies(
                old.steps > old.committed,
                later == new.num_dispatched_tokens(q) - (new.steps - (new.committed + 1)),
            ),
        ),
        *unobserved(old, new, q, 1),
    ]


@ensures
def leave_batch(old: Any, new: Any, q: Any, _: Any) -> list[Part]:
    """Not in the decode batch, with the same counters."""
    return [now("explicit", lambda: not_(new.in_decode_batch(q))), *unobserved(old, new, q, -1)]
