"""The kernel: what is written once and runs on plain data (`kernel/ledger.py`) and on formulas (`symbolic/ledger.py`).

Plain data are Python objects; formulas are terms of a solver that stand for any such objects. Guarantees: each
method here is one function; the plain ledger runs it as it stands. On formulas queries are compiled from it
(`language/conditional.py`), a block step that has a contract is proved and then replaced by it, and `worst_case` is any
function (`symbolic/ledger.py`). All else that differs is the operators (`kernel/operators.py`).
"""

from __future__ import annotations

from lineclear_spec.kernel import blocks, primitives, queries


class Kernel:
    """The queries, primitives and block steps of a ledger, for a class that supplies the operators they call."""

    __slots__ = ()

    num_dispatched_tokens = queries.num_dispatched_tokens
    in_flight = queries.in_flight
    num_computed_tokens = queries.num_computed_tokens
    num_tokens = queries.num_tokens
    scheduled_samples = queries.scheduled_samples
    pending_samples = queries.pending_samples
    sampling_step = queries.sampling_step
    num_allocated_slots = queries.num_allocated_slots
    first_scheduled = queries.first_scheduled
    runs = queries.runs
    on_gpu = queries.on_gpu
    writable = queries.writable
    unscheduled = queries.unscheduled
    leader = queries.leader
    worst_case = queries.worst_case
    divisible = queries.divisible
    due = queries.due
    ended = queries.ended
    ended_alone = queries.ended_alone
    one_ends_alone = queries.one_ends_alone
    wait_of = queries.wait_of
    is_copy = queries.is_copy
    forward_of = queries.forward_of
    all_complete = queries.all_complete
    complete_up_to = queries.complete_up_to

    move = primitives.move
    add_member = primitives.add_member
    remove_member = primitives.remove_member
    remove_members = primitives.remove_members
    void_samples = primitives.void_samples
    send_tables = primitives.send_tables
    join = primitives.join
    leave = primitives.leave
    move_each = primitives.move_each
    advance = primitives.advance
    decide = primitives.decide
    order = primitives.order
    close = primitives.close
    forget_copy = primitives.forget_copy

    take_blocks = blocks.take_blocks
    give_each_one = blocks.give_each_one
    share_table = blocks.share_table
    share_cached = blocks.share_cached
    seal_entry = blocks.seal_entry
    seal_entries = blocks.seal_entries
    free_resting = blocks.free_resting
    clear_table = blocks.clear_table
    clear_tables = blocks.clear_tables
    clear_each = blocks.clear_each
    move_blocks = blocks.move_blocks
    replace_entry = blocks.replace_entry
