"""How a request begins and ends.

Guarantees: the postconditions in `postconditions/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.actions.table import action
from lineclear_spec.logic import or_

if TYPE_CHECKING:
    from lineclear_spec.kernel.protocol import Ledger
    from lineclear_spec.kernel.record_protocols import Request, Sequence


@action("submit")
def submit(ledger: Ledger, request: Request) -> Sequence:
    """A request whose worst case fits alone into the empty pool starts to wait, with one sequence."""
    # GUARD
    limits = ledger.limits
    ledger.require(ledger.allowed("submit", request), "the request is new")
    ledger.require(request.prompt >= 1, "the prompt has a token")
    ledger.require(request.limit > request.prompt, "at least one token is to be generated")
    ledger.require(request.limit <= limits.max_model_len, "the request fits into max_model_len")
    ledger.require(request.parallel >= 1, "the request has a sequence")
    ledger.require(request.parallel <= limits.max_num_seqs, "its sequences fit into max_num_seqs")
    ledger.require(
        or_(
            limits.chunked,
            limits.cut_long,
            request.limit - 1 <= limits.max_num_batched_tokens,
        ),
        "without chunking it fits into max_num_batched_tokens",
    )
    ledger.require(
        ledger.worst_case(request) <= ledger.gpu.total, "its worst case fits into the GPU pool"
    )
    # EFFECT
    ledger.move(request, "submit")
    sequence = ledger.add_member(request)
    sequence.own_tokens = request.prompt
    return sequence


@action("reject")
def reject(ledger: Ledger, request: Request) -> None:
    """A new request is turned away and never holds anything."""
    # GUARD
    ledger.require(ledger.allowed("reject", request), "the request is new")
    # EFFECT
    ledger.move(request, "reject")


@action("finish")
def finish(ledger: Ledger, request: Request) -> None:
    """A live request ends and frees all it holds, once; no guard asks whether it is complete, its caller says so."""
    # GUARD
    ledger.require(ledger.allowed("finish", request), "the request is live")
    ledger.require(
        ledger.unscheduled(request),
        "no sequence of it is in the decode batch or in the step being built",
    )
    # EFFECT
    ledger.clear_tables(request)
    ledger.remove_members(request)
    ledger.move(request, "finish")


@action("finish")
def finish_each(ledger: Ledger) -> None:
    """Ends every request whose only sequence is in the decode batch and has all its tokens; each frees all it holds,
    once. Its private full blocks that `publish` would take, of the prompt too, are published.
    """
    # GUARD
    ledger.require(ledger.committed == ledger.steps, "no step is in flight")
    ledger.require(
        ledger.one_ends_alone(),
        "a sequence in the decode batch, its request's only one, has all its tokens",
    )
    # EFFECT
    sequences = ledger.ended_alone()
    requests = ledger.requests_of(sequences)
    ledger.unlist_each(sequences)
    ledger.clear_each(sequences)
    ledger.move_each(requests, "finish")


@action("abort")
def abort(ledger: Ledger, request: Request) -> None:
    """A request that is no longer wanted frees all it holds, once, in whatever phase it lives."""
    # GUARD
    ledger.require(ledger.allowed("abort", request), "the request is live")
    ledger.require(
        ledger.unscheduled(request),
        "no sequence of it is in the decode batch or in the step being built",
    )
    # EFFECT
    ledger.clear_tables(request)
    ledger.remove_members(request)
    ledger.move(request, "abort")
