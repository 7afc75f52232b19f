# pyright: basic
"""Edits of the table after which an action is no move of the abstract machine: each shown by an execution.

Guarantees: nothing by itself; `tests/spec/kv/test_refinement.py` runs each and asks for its proof.
"""

from __future__ import annotations

from kv_edits import LONG, Edit

COMPUTED = "submit 1 6 2, admit r1, schedule_tokens s1 1 0, issue_step, run 1, commit_step, "
LEARNED = COMPUTED + "sample s1 1 1 0"

UNREFINED = (
    Edit(
        "a sample brings one token too many",
        "sample",
        "sequence.own_tokens + accepted\n",
        "sequence.own_tokens + accepted + 1\n",
        LONG,
        LEARNED,
    ),
    Edit(
        "a sample is owed again",
        "sample",
        "    sequence.own_samples = sequence.own_samples - 1\n",
        "",
        LONG,
        LEARNED,
    ),
    Edit(
        "a dead sequence learns",
        "sample",
        '    ledger.require(sequence.alive, "the sequence is alive")\n',
        "",
        LONG,
        COMPUTED + "finish r1, sample s1 1 1 0",
    ),
    Edit(
        "a token is forgotten",
        "leave_batch",
        "sequence.own_tokens = ledger.num_tokens(sequence)",
        "sequence.own_tokens = ledger.num_tokens(sequence) - 1",
        LONG,
        LEARNED + ", join_batch s1, leave_batch s1",
    ),
    Edit(
        "a branch begins with less than its parent",
        "fork",
        "child.own_tokens = parent.own_tokens + tokens",
        "child.own_tokens = tokens",
        LONG,
        COMPUTED + "fork s1 1",
    ),
    Edit(
        "a pruned branch lives on",
        "prune",
        "    ledger.remove_member(sequence)\n",
        "",
        LONG,
        COMPUTED + "fork s1 1, prune s2",
    ),
    Edit(
        "a request that is aborted goes on",
        "abort",
        '    ledger.move(request, "abort")\n',
        "",
        LONG,
        LEARNED + ", abort r1",
    ),
    Edit(
        "sequences outlive their request",
        "finish",
        "    ledger.remove_members(request)\n",
        "",
        LONG,
        LEARNED + ", finish r1",
    ),
    Edit(
        "a prompt has a token more",
        "submit",
        "sequence.own_tokens = request.prompt\n",
        "sequence.own_tokens = request.prompt + 1\n",
        LONG,
        "submit 1 6 2",
    ),
)
