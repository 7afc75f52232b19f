# pyright: basic
"""Boundary invariants of requests: what is admitted, who belongs to them, how they end."""

from __future__ import annotations

from lineclear_spec.invariants.clause import FINISHED, GPU, NEW, declare, live, within
from lineclear_spec.logic import and_, implies, not_, or_

declare(
    "fits",
    "boundary",
    # On formulas `worst_case` is any function of prompt, limit and parallel (`State.worst_case`).
    "a live request's worst case fits alone into the empty pool and into every budget",
    (
        "",
        lambda v, r: implies(
            live(v.phase(r)),
            and_(
                v.worst_case(r) <= v.total(GPU),
                v.parallel(r) <= v.max_num_seqs,
                v.limit(r) <= v.max_model_len,
                or_(v.chunked, v.cut_long, v.limit(r) - 1 <= v.max_num_batched_tokens),
            ),
        ),
    ),
)


declare(
    "members",
    "boundary",
    "a live request has between one and its allowed number of sequences, each listed once; "
    "others have none",
    (
        "listed",
        lambda v, r, k: implies(
            within(0, k, v.width(r)),
            and_(
                v.alive(v.member(r, k)),
                v.request(v.member(r, k)) == r,
                v.member_index(v.member(r, k)) == k,
            ),
        ),
    ),
    (
        "alive",
        lambda v, q: implies(
            v.alive(q),
            and_(
                within(0, v.member_index(q), v.width(v.request(q))),
                v.member(v.request(q), v.member_index(q)) == q,
                live(v.phase(v.request(q))),
            ),
        ),
    ),
    (
        "width",
        lambda v, r: and_(
            implies(live(v.phase(r)), and_(v.width(r) >= 1, v.width(r) <= v.parallel(r))),
            implies(not_(live(v.phase(r))), v.width(r) == 0),
        ),
    ),
)


declare(
    "queue",
    "boundary",
    "a live request is in exactly one queue, the one of its phase, and any other in none (true by "
    "construction on formulas, where `move` writes one value to phase and queue; tested by the searches of "
    "the ledger's three queues)",
    ("", lambda v, r: v.queue(r) == v.phase(r)),
)


declare(
    "once",
    "boundary",
    "a request is FINISHED exactly if it has ended once, whatever the order of events",
    (
        "",
        lambda v, r: and_(
            or_(live(v.phase(r)), v.phase(r) == NEW, v.phase(r) == FINISHED),
            v.releases(r) == v.if_else(v.phase(r) == FINISHED, 1, 0),
        ),
    ),
)
