# pyright: basic
"""Edits of the table after which a request reads KV that is not its own: each shown by an execution.

Guarantees: nothing by itself; `tests/spec/modelcheck/test_kv.py` runs each and finds the wrong token, and
`tests/spec/kv/test_proofs.py` finds that the edited action is not proved.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from lineclear_spec.modelcheck.worlds import Bounds

SMALL = Bounds(
    "small", block_size=2, gpu_blocks=5, cpu_blocks=4, live=2, shapes=((1, 4, 1), (3, 6, 1), (2, 6, 2)),
    tokens=(1, 2, 3), drafts=(0, 1), accepted=(1, 2), max_num_seqs=3, max_num_batched_tokens=6, open=5,
)  # fmt: skip
NAMES = Bounds(
    "names", block_size=1, gpu_blocks=5, cpu_blocks=3, live=2, shapes=((2, 4, 1, 1), (3, 5, 2, 1)), tokens=(1, 2, 3),
    max_num_seqs=3, open=5,
)  # fmt: skip
ROOM: dict[str, Any] = {
    "cpu_blocks": 4,
    "max_model_len": 6,
    "max_num_batched_tokens": 6,
    "max_num_seqs": 3,
}
ONE = Bounds("one", block_size=1, gpu_blocks=6, **ROOM)
TWO = Bounds("two", block_size=2, gpu_blocks=6, **ROOM)
LONG = Bounds("long", block_size=1, gpu_blocks=12, **ROOM)


class Edit(NamedTuple):
    """One edit of an action, and what happens then: a trace, or the seed of a random walk.

    Attributes:
        what: in a few words.
        action: which is edited.
        old: the piece of its text that goes.
        new: what stands there instead.
        bounds: of the execution.
        trace: as `kv_walks.directed` reads it, for edits that no walk finds.
        seed: of the walk.
    """

    what: str
    action: str
    old: str
    new: str
    bounds: Bounds
    trace: str = ""
    seed: int = 0


EDITS = (
    Edit(
        'void recompute',
        'recompute',
        '    ledger.branch(request.open_swap >= 1, lambda: ledger.void_samples(request))\n',
        '',
        ONE,
        'submit 2 5 1, admit r1, schedule_tokens s1 2 0, issue_step, run 1, '
        'commit_step, sample s1 1 1 0, swap_out r1, dispatch_copies, run 2, complete_copy 2, '
        'swap_in r1, append_slots s1 1, schedule_tokens s1 1 0, issue_step, run 3 1, '
        'run 4, recompute r1, complete_copy 3, commit_step, sample s1 2 1 0',
    ),
    Edit(
        'void fail_copy',
        'fail_copy',
        '    ledger.branch(ledger.on_gpu(request), lambda: ledger.void_samples(request))\n',
        '',
        ONE,
        'submit 2 5 1, admit r1, schedule_tokens s1 2 0, issue_step, run 1, '
        'commit_step, sample s1 1 1 0, swap_out r1, dispatch_copies, run 2, complete_copy 2, '
        'swap_in r1, append_slots s1 1, schedule_tokens s1 1 0, issue_step, run 3 1, '
        'run 4, fail_copy r1, commit_step, sample s1 2 1 0',
    ),
    Edit(
        'sample of any step',
        'sample',
        'step == ledger.sampling_step(sequence), ',
        'step <= ledger.committed, ',
        ONE,
        'submit 2 5 1, admit r1, schedule_tokens s1 2 0, issue_step, run 1, '
        'commit_step, sample s1 1 1 0, swap_out r1, dispatch_copies, run 2, complete_copy 2, '
        'swap_in r1, append_slots s1 1, schedule_tokens s1 1 0, issue_step, run 3 1, '
        'run 4, fail_copy r1, commit_step, admit r1, schedule_tokens s1 3 0, '
        'issue_step, run 5, commit_step, sample s1 2 1 0',
    ),
    Edit(
        'publish in open copy',
        'publish',
        '    ledger.require(request.open_swap == 0, "it waits for no swap")\n',
        '',
        ONE,
        'submit 2 5 1 1, admit r1, schedule_tokens s1 2 0, issue_step, run 1, '
        'commit_step, sample s1 1 1 0, swap_out r1, dispatch_copies, run 2, complete_copy 2, '
        'swap_in r1, publish s1 0, dispatch_copies, run 3 1, submit 2 5 1 1, admit_cached r2 1, '
        'schedule_tokens s2 1 0, issue_step, run 4',
    ),
    Edit(
        'publish before computed',
        'publish',
        'index < ledger.block_of(ledger.num_computed_tokens(sequence))',
        'index < sequence.length',
        ONE,
        'submit 2 5 1 1, admit r1, publish s1 0, submit 2 5 1 1, admit_cached r2 1, '
        'schedule_tokens s2 1 0, issue_step, run 1',
    ),
    Edit(
        'one more found',
        'admit_cached',
        'leader.own_dispatched = shared',
        'leader.own_dispatched = shared + 1',
        ONE,
        'submit 3 5 1 1, admit r1, schedule_tokens s1 3 0, issue_step, run 1, '
        'commit_step, publish s1 0, submit 3 5 1 1, admit_cached r2 1, '
        'schedule_tokens s2 1 0, issue_step, run 2',
    ),
    Edit(
        'write into shared',
        'schedule_tokens',
        "ledger.writable(sequence), ",
        "ledger.steps >= 0, ",
        TWO,
        'submit 3 6 2, admit r1, schedule_tokens s1 3 0, issue_step, run 1, '
        'commit_step, fork s1 1, sample s1 1 1 0, append_slots s1 1, '
        'append_slots s2 2, schedule_tokens s1 1 0, schedule_tokens s2 1 0, '
        'issue_step, run 2, commit_step, sample s1 2 1 0, sample s2 2 1 0, '
        'append_slots s1 1, schedule_tokens s1 1 0, schedule_tokens s2 1 0, '
        'issue_step, run 3',
    ),
    Edit(
        'rejoin unsettled',
        'rejoin',
        'shared <= ledger.num_computed_tokens(leader)',
        'shared <= leader.request.prompt',
        ONE,
        'submit 2 5 2, admit r1, schedule_tokens s1 2 0, issue_step, run 1, '
        'commit_step, fork s1 1, sample s1 1 1 0, recompute r1, submit 3 5 1, '
        'admit r2, schedule_tokens s3 3 0, issue_step, run 2, commit_step, abort r2, '
        'admit r1, rejoin s2 2, append_slots s2 1, schedule_tokens s2 1 0, issue_step, '
        'run 3',
    ),
    Edit(
        'rejoin output',
        'rejoin',
        'shared <= sequence.request.prompt',
        'shared <= leader.own_tokens',
        LONG,
        'submit 2 6 2, admit r1, schedule_tokens s1 2 0, issue_step, run 1, '
        'commit_step, fork s1 1, sample s1 1 1 0, append_slots s1 1, append_slots s2 1, '
        'schedule_tokens s1 1 0, schedule_tokens s2 1 0, issue_step, run 2, commit_step, '
        'sample s1 2 1 0, sample s2 2 1 0, recompute r1, admit r1, schedule_tokens s1 4 0, '
        'issue_step, run 3, commit_step, sample s1 3 1 0, rejoin s2 3, append_slots s2 1, '
        'schedule_tokens s2 1 0, issue_step, run 4',
    ),
    Edit(
        'rejected kept',
        'sample',
        'sequence.own_dispatched - rejected',
        'sequence.own_dispatched',
        LONG,
        'submit 1 6 1 1, admit r1, schedule_tokens s1 1 0, issue_step, run 1, '
        'commit_step, sample s1 1 1 0, append_slots s1 3, schedule_tokens s1 3 2, '
        'issue_step, run 2, commit_step, sample s1 2 1 2, publish s1 0, publish s1 1, '
        'publish s1 2, submit 4 6 1 1, admit_cached r2 3, schedule_tokens s2 1 0, '
        'issue_step, run 3',
    ),
    Edit(
        'cow waits for nothing',
        'copy_on_write',
        'ledger.order(number, ledger.barrier)',
        'ledger.order(number, 0)',
        TWO,
        'submit 2 5 1, admit r1, schedule_tokens s1 2 0, issue_step, run 1, '
        'commit_step, sample s1 1 1 0, submit 3 6 2, admit r2, schedule_tokens s2 3 0, '
        'issue_step, run 2, commit_step, fork s2 1, sample s2 2 1 0, swap_out r1, '
        'append_slots s2 1, copy_on_write s2, dispatch_copies, run 4, run 3',
    ),
    Edit(
        'samples out of order',
        'sample',
        'step == ledger.sampling_step(sequence), ',
        'step <= ledger.committed, ',
        ONE,
        'submit 1 6 1, admit r1, append_slots s1 2, schedule_tokens s1 1 0, issue_step, run 1, '
        'schedule_tokens s1 1 0, issue_step, run 2, commit_step, commit_step, '
        'sample s1 2 1 0',
    ),
    Edit(
        'samples of three steps owed',
        'schedule_tokens',
        'if_else(in_last_step, sequence.last_samples, 0)',
        'sequence.own_tokens + 9',
        ONE,
        'submit 1 6 1, admit r1, append_slots s1 2, schedule_tokens s1 1 0, issue_step, run 1, '
        'schedule_tokens s1 1 0, issue_step, run 2, commit_step, commit_step, '
        'schedule_tokens s1 1 0, issue_step, run 3, commit_step, sample s1 2 1 0',
    ),
    Edit(
        'a branch of no sample',
        'fork',
        'ledger.pending_samples(parent) >= 1',
        'tokens >= 1',
        LONG,
        'submit 1 6 2, admit r1, schedule_tokens s1 1 0, issue_step, run 1, commit_step, '
        'sample s1 1 1 0, fork s1 1',
    ),
    Edit(
        'a branch of more than was sampled',
        'fork',
        'tokens <= parent.late_drafts + 1',
        'tokens >= 1',
        LONG,
        'submit 1 6 2, admit r1, schedule_tokens s1 1 0, issue_step, run 1, commit_step, fork s1 2',
    ),
)  # fmt: skip
#: Edits that a random walk finds by itself.
WALKED = (
    Edit(
        'the copy out waits for one less',
        'swap_out',
        'ledger.order(number, number - 1)',
        'ledger.order(number, number - 2)',
        NAMES,
        seed=66,
    ),
    Edit(
        'the copy in waits for no fence',
        'swap_in',
        'ledger.order(number, larger(ledger.barrier, request.last_swap))',
        'ledger.order(number, request.last_swap)',
        SMALL,
        seed=88,
    ),
    Edit(
        'no step waits for the copy in',
        'swap_in',
        '    ledger.barrier = number\n',
        '',
        SMALL,
        seed=3,
    ),
    Edit(
        'swapped in while the copy out is open',
        'swap_in',
        '    ledger.require(request.open_swap == 0, "its swap-out is complete")\n',
        '',
        SMALL,
        seed=4,
    ),
    Edit(
        'the step waits for one less',
        'issue_step',
        'ledger.order(number, ledger.barrier)',
        'ledger.order(number, ledger.barrier - 1)',
        SMALL,
        seed=5,
    ),
    Edit(
        'a failed copy keeps its tables',
        'fail_copy',
        '    ledger.clear_tables(request)\n',
        '',
        NAMES,
        seed=166,
    ),
)  # fmt: skip
