"""The dialect of functions that run on formulas: the operations, fields and Python constructs that it has.

Guarantees: what is not listed here is refused by `language/dialect.py`.
"""

from __future__ import annotations

import ast
import inspect
from enum import IntEnum
from typing import Any

from lineclear_spec import logic
from lineclear_spec.kernel.lifecycle import target_of
from lineclear_spec.kernel.operators import words

#: Functions that mean the same on values and on formulas; they are trusted, not followed.
TRUSTED = frozenset(
    id(value)
    for value in (target_of, *(getattr(logic, name) for name in logic.__all__))
    if inspect.isfunction(value)
)
#: Methods of the ledger that an action may call: queries, primitives, block steps, some operators.
OPERATIONS = frozenset(
    "num_dispatched_tokens in_flight num_computed_tokens num_tokens scheduled_samples pending_samples "
    "sampling_step num_allocated_slots runs on_gpu writable divisible unscheduled "
    "leader worst_case due ended ended_alone one_ends_alone wait_of is_copy forward_of all_complete complete_up_to "
    "move move_each add_member remove_member remove_members void_samples join leave advance decide order close "
    "forget_copy send_tables take_blocks give_each_one share_table share_cached seal_entry seal_entries "
    "free_resting clear_table clear_tables clear_each move_blocks replace_entry".split()
) | (
    words("ledger")
    & set(
        "require demand branch need block_of allowed is_open name_of is_listed "
        "all_listed listing inherit forget_name unnamed note_swap note_twin "
        "note_fork note_sample send_whole send requests_of unlist_each".split()
    )
)
#: What the kernel itself is written in besides: operators of the ledger, of a pool, of a list.
BULK = words("ledger")
#: Those of them that are numbers.
NUMBERS = frozenset("need block_of cap first_open name_of".split())
POOL_OPERATIONS = words("pool")
LIST_OPERATIONS = {
    name: words(name)
    for name in (
        "table", "members", "decode_batch", "boundaries", "endings", "operations", "step_operations",
    )
}  # fmt: skip
#: Modules of the kernel.
KERNEL = frozenset(f"lineclear_spec.kernel.{name}" for name in ("blocks", "primitives", "queries"))
#: Fields that both ledgers have, and that mean the same.
READABLE = frozenset(
    "limits gpu cpu steps committed issued done dispatched barrier step_tokens step_sequences decode_batch_size "
    "free total chunked cut_long max_steps_in_flight max_num_batched_tokens max_num_seqs max_model_len "
    "phase offset prompt limit parallel width blocks open_swap last_swap members held pools request alive "
    "in_decode_batch table length "
    "own_tokens own_dispatched own_slots own_samples last_step last_tokens previous_tokens drafts "
    "void last_samples previous_samples late_drafts ref tier block_id name readers count".split()
)
#: What the kernel may read besides.
OWN_READABLE = frozenset(
    "block_size decode_batch boundaries endings operations step_operations wait is_forward".split()
)
#: Counters that are plain numbers on both ledgers. The others change through primitives alone.
WRITABLE = frozenset(
    "done dispatched barrier committed step_tokens step_sequences open_swap last_swap own_tokens own_dispatched "
    "own_slots own_samples last_step last_tokens previous_tokens drafts last_samples "
    "previous_samples late_drafts readers".split()
)
#: What the kernel may write besides.
OWN_WRITABLE = frozenset("phase offset in_decode_batch alive void issued steps wait".split())
#: What a policy may read of a request.
OF_REQUEST = frozenset(
    "prompt_tokens max_tokens n priority predicted_tokens arrival_time deadline number arrival generated "
    "order rank blocks seats tokens worst longs".split()
)
EXPRESSIONS = (
    ast.Name, ast.Constant, ast.Attribute, ast.Call, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Subscript,
    ast.Lambda, ast.IfExp,
)  # fmt: skip
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitOr)
COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
PLAIN = (int, float, str, type(None))


def plain(value: Any) -> bool:
    """Whether a value has no operators of its own: a subclass could ask what it is compared with."""
    ours = isinstance(value, IntEnum) and type(value).__module__.startswith("lineclear_spec.")
    return type(value) in (*PLAIN, bool) or ours
