"""The action table: every change to a request or a block, each once, as a guard and an effect.

Guarantees: an action whose guard is false changes nothing, and one whose guard is true keeps every invariant of
`invariants.py`. It knows nothing about policies: which action happens when is decided elsewhere. The same
functions run on the plain ledger (`ledger.py`) and, in `prove.py`, on formulas.

Each action is a docstring of one sentence, then `# GUARD`, then `# EFFECT`. All guards come before the first write.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lineclear_spec.blocks import (
    clear_table,
    clear_tables,
    give_each_one,
    move_blocks,
    replace_entry,
    share_table,
    take_blocks,
)
from lineclear_spec.ledger import COPY_BLOCK, CPU, FORWARD, GPU, SWAP_IN, SWAP_OUT
from lineclear_spec.logic import any_of, either, larger, negate

__all__ = ["ACTIONS", "Action"]


@dataclass(frozen=True, slots=True)
class Action:
    """One row of the table.

    Attributes:
        name: the function's name, as the journal and every tool print it.
        event: the lifecycle's event, or None if no phase changes.
        body: guard and effect, over any ledger.
        parameters: names of the arguments after the ledger.
    """

    name: str
    event: str | None
    body: Callable[..., Any]
    parameters: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What the action does, in one sentence."""
        return (self.body.__doc__ or "").strip()


ACTIONS: dict[str, Action] = {}


def action(event: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function into the table; every run of it that is not refused is told to the journal."""

    def enter(body: Callable[..., Any]) -> Callable[..., Any]:
        name = body.__name__
        code = body.__code__
        ACTIONS[name] = Action(name, event, body, code.co_varnames[1 : code.co_argcount])

        @functools.wraps(body)
        def run(ledger: Any, *arguments: Any) -> Any:
            result = body(ledger, *arguments)
            if ledger.journal is not None:
                ledger.journal(name, arguments)
            return result

        return run

    return enter


# ---- arrival and end -------------------------------------------------------------------------------------------


@action("submit")
def submit(ledger: Any, request: Any) -> Any:
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
        any_of(limits.chunked, request.limit - 1 <= limits.max_num_batched_tokens),
        "without chunking it fits into max_num_batched_tokens",
    )
    ledger.require(ledger.worst_case(request) <= ledger.gpu.total, "its worst case fits into the GPU pool")
    # EFFECT
    ledger.move(request, "submit")
    sequence = ledger.add_member(request)
    sequence.known_tokens = request.prompt
    return sequence


@action("reject")
def reject(ledger: Any, request: Any) -> None:
    """A new request is turned away and never holds anything."""
    # GUARD
    ledger.require(ledger.allowed("reject", request), "the request is new")
    # EFFECT
    ledger.move(request, "reject")


@action("finish")
def finish(ledger: Any, request: Any) -> None:
    """A request that is complete gives up all it holds, once."""
    # GUARD
    ledger.require(ledger.allowed("finish", request), "the request is live")
    ledger.require(ledger.idle(request), "none of it is in the step being built")
    # EFFECT
    clear_tables(ledger, request)
    ledger.remove_members(request)
    ledger.move(request, "finish")


@action("abort")
def abort(ledger: Any, request: Any) -> None:
    """A request that is no longer wanted gives up all it holds, once, in whatever phase it lives."""
    # GUARD
    ledger.require(ledger.allowed("abort", request), "the request is live")
    ledger.require(ledger.idle(request), "none of it is in the step being built")
    # EFFECT
    clear_tables(ledger, request)
    ledger.remove_members(request)
    ledger.move(request, "abort")


# ---- blocks for tokens -----------------------------------------------------------------------------------------


@action("admit")
def admit(ledger: Any, request: Any) -> None:
    """A waiting request starts to run, with room for every token that its leading sequence knows."""
    # GUARD
    ledger.require(ledger.allowed("admit", request), "the request waits")
    leader = ledger.leader(request)
    ledger.require(leader.known_tokens < request.limit, "its leader may learn another token")
    ledger.require(ledger.need(leader.known_tokens) <= ledger.gpu.free, "the GPU has a free block for every block needed")
    # EFFECT
    ledger.move(request, "admit")
    take_blocks(ledger, leader, ledger.need(leader.known_tokens))
    leader.slot_tokens = leader.known_tokens


@action()
def append_slots(ledger: Any, sequence: Any, count: Any) -> None:
    """A running sequence gets room for `count` more positions."""
    # GUARD
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(negate(sequence.steady), "the sequence is not steady")
    ledger.require(count >= 1, "there is something to append")
    ledger.require(sequence.slot_tokens + count < sequence.request.limit, "the sequence stays below its limit")
    blocks = ledger.need(sequence.slot_tokens + count) - sequence.length
    ledger.require(blocks <= ledger.gpu.free, "the GPU has a free block for every block needed")
    # EFFECT
    take_blocks(ledger, sequence, blocks)
    sequence.slot_tokens = sequence.slot_tokens + count


@action()
def copy_on_write(ledger: Any, sequence: Any) -> None:
    """A sequence about to write into a block that others name too gets a copy of its own."""
    # GUARD
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(negate(sequence.steady), "the sequence is not steady")
    index = ledger.block_of(sequence.reach_tokens)
    ledger.require(index < sequence.length, "the next position falls into a block that the table names")
    ledger.require(sequence.table[index].ref >= 2, "another table entry names that block too")
    ledger.require(ledger.gpu.free >= 1, "the GPU has a free block")
    # EFFECT
    number = ledger.decide(COPY_BLOCK, sequence.request)
    replace_entry(ledger, sequence, index)
    ledger.order(number, ledger.barrier)


# ---- steps -----------------------------------------------------------------------------------------------------


@action()
def schedule_tokens(ledger: Any, sequence: Any, tokens: Any, drafts: Any) -> None:
    """The step being built computes `tokens` more positions of a sequence, the last `drafts` of them guesses."""
    # GUARD
    limits = ledger.limits
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(negate(sequence.steady), "the sequence is not steady")
    ledger.require(ledger.steps < ledger.settled + limits.depth, "another step may be in flight")
    ledger.require(sequence.last_step <= ledger.steps, "the sequence is not in the step being built")
    ledger.require(drafts >= 0, "the number of drafts is not negative")
    ledger.require(tokens > drafts, "at least one token is no draft")
    ledger.require(any_of(drafts == 0, sequence.promised_samples == 0), "drafts follow a token that is known")
    ledger.require(sequence.reach_tokens + tokens <= sequence.slot_tokens, "the table has room for the tokens")
    sure = sequence.reach_tokens + tokens - drafts
    exist = sequence.known_tokens + sequence.promised_samples
    ledger.require(sure <= exist, "the tokens exist when the step runs")
    ledger.require(any_of(drafts == 0, sure == exist), "drafts come after the newest token")
    ledger.require(ledger.writable(sequence), "no other table entry names a block that the step writes")
    ledger.require(ledger.step_tokens + tokens <= limits.max_num_batched_tokens, "the tokens fit into max_num_batched_tokens")
    ledger.require(ledger.step_sequences < limits.max_num_seqs, "the sequence fits into max_num_seqs")
    # EFFECT
    sequence.previous_tokens = either(sequence.last_step == ledger.steps, sequence.last_tokens, 0)
    sequence.last_step = ledger.steps + 1
    sequence.last_tokens = tokens
    ledger.write_kv(sequence, tokens)
    sequence.reach_tokens = sequence.reach_tokens + tokens
    sequence.drafts = drafts
    sequence.promised_samples = sequence.promised_samples + either(sure == exist, 1, 0)
    ledger.step_tokens = ledger.step_tokens + tokens
    ledger.step_sequences = ledger.step_sequences + 1


@action()
def issue_step(ledger: Any) -> None:
    """The step being built is issued: each steady sequence computes one position, and each that is due gets a block."""
    # GUARD
    limits = ledger.limits
    due = ledger.due()
    ledger.require(ledger.steps < ledger.settled + limits.depth, "another step may be in flight")
    ledger.require(ledger.step_sequences + ledger.batch_size >= 1, "the step is not empty")
    ledger.require(
        ledger.step_tokens + ledger.batch_size <= limits.max_num_batched_tokens,
        "the tokens fit into max_num_batched_tokens",
    )
    ledger.require(ledger.step_sequences + ledger.batch_size <= limits.max_num_seqs, "the sequences fit into max_num_seqs")
    ledger.require(negate(ledger.ended()), "no steady sequence is at its limit")
    ledger.require(due.count <= ledger.gpu.free, "the GPU has a free block for every sequence that is due")
    # EFFECT
    give_each_one(ledger, due)
    number = ledger.decide(FORWARD, None)
    ledger.order(number, ledger.barrier)
    ledger.advance(number)
    ledger.step_tokens = 0
    ledger.step_sequences = 0
    ledger.carried = ledger.issued


@action()
def settle_step(ledger: Any) -> None:
    """The oldest step in flight is committed: what it computed is valid, and each steady sequence has one more token."""
    # GUARD
    ledger.require(ledger.settled < ledger.steps, "a step is in flight")
    # EFFECT
    ledger.close(ledger.forward_of(ledger.settled + 1))
    ledger.settled = ledger.settled + 1


@action()
def sample(ledger: Any, sequence: Any, step: Any, accepted: Any, rejected: Any) -> None:
    """A sequence learns the tokens that a committed step sampled for it; rejected drafts are computed no more."""
    # GUARD
    ledger.require(sequence.alive, "the sequence is alive")
    ledger.require(negate(sequence.steady), "the sequence is not steady")
    ledger.require(sequence.promised_samples >= 1, "a sample is outstanding")
    ledger.require(step <= ledger.settled, "the step is committed")
    ledger.require(step > sequence.void, "the step computed on valid KV")
    ledger.require(sequence.known_tokens + accepted <= sequence.request.limit, "the sequence stays within its limit")
    ledger.require(rejected >= 0, "the number of rejected drafts is not negative")
    ledger.require(rejected <= sequence.drafts, "only drafts are rejected")
    ledger.require(sequence.drafts < accepted + rejected, "a token is accepted besides, and every draft is accepted or rejected")
    ledger.require(any_of(rejected == 0, ledger.in_flight(sequence) == 0), "no later step builds on a rejected draft")
    # EFFECT
    sequence.known_tokens = sequence.known_tokens + accepted
    sequence.promised_samples = sequence.promised_samples - 1
    sequence.reach_tokens = sequence.reach_tokens - rejected
    sequence.drafts = 0


@action()
def join_batch(ledger: Any, sequence: Any) -> None:
    """A sequence that decodes one token in every step becomes steady: from now on a step costs nothing for it."""
    # GUARD
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(negate(sequence.steady), "the sequence is not steady")
    in_flight = ledger.steps - ledger.settled
    ledger.require(sequence.promised_samples == in_flight, "every step in flight samples for it")
    ledger.require(ledger.in_flight(sequence) == in_flight, "every step in flight computes one position of it")
    ledger.require(any_of(in_flight == 0, sequence.last_tokens == 1), "the last of them computes one position")
    ledger.require(any_of(in_flight == 0, sequence.last_step == ledger.steps), "the sequence is in the last step issued")
    ledger.require(sequence.known_tokens == ledger.computed(sequence) + 1, "only its newest token is not computed")
    ledger.require(sequence.slot_tokens == sequence.reach_tokens, "it has exactly the room that it uses")
    ledger.require(ledger.writable(sequence), "no other table entry names a block that it writes")
    # EFFECT
    ledger.join(sequence, sequence.reach_tokens - ledger.steps)


@action()
def leave_batch(ledger: Any, sequence: Any) -> None:
    """A steady sequence carries its own counters again."""
    # GUARD
    ledger.require(sequence.steady, "the sequence is steady")
    # EFFECT
    sequence.known_tokens = ledger.known(sequence)
    sequence.reach_tokens = ledger.reach(sequence)
    sequence.slot_tokens = ledger.slots(sequence)
    sequence.promised_samples = ledger.promised(sequence)
    sequence.last_step = ledger.steps
    sequence.last_tokens = 1
    sequence.previous_tokens = 1
    ledger.leave(sequence)


# ---- branches --------------------------------------------------------------------------------------------------


@action()
def fork(ledger: Any, parent: Any, tokens: Any) -> Any:
    """A child goes on from the parent with `tokens` of its own, sharing every block that holds computed KV."""
    # GUARD
    request = parent.request
    ledger.require(parent.alive, "the parent is alive")
    ledger.require(negate(parent.steady), "the parent is not steady")
    ledger.require(ledger.in_flight(parent) == 0, "no step in flight computes for the parent")
    ledger.require(request.width < request.parallel, "the request may have another sequence")
    ledger.require(tokens >= 1, "the child has a token of its own")
    ledger.require(parent.reach_tokens <= parent.known_tokens, "every position that the parent computed is known")
    ledger.require(parent.known_tokens + tokens <= request.limit, "the child stays within its limit")
    # EFFECT
    child = ledger.add_member(request)
    share_table(ledger, parent, child, ledger.need(parent.reach_tokens))
    child.reach_tokens = parent.reach_tokens
    child.slot_tokens = parent.reach_tokens
    child.known_tokens = parent.known_tokens + tokens
    return child


@action()
def rejoin(ledger: Any, sequence: Any, shared: Any) -> None:
    """After a recompute a branch takes part again in the full prompt blocks that its leader has computed."""
    # GUARD
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(negate(sequence.steady), "the sequence is not steady")
    ledger.require(sequence.slot_tokens == 0, "the sequence holds nothing")
    leader = ledger.leader(sequence.request)
    ledger.require(shared >= 1, "there is something to share")
    ledger.require(shared <= sequence.request.prompt, "only the prompt is shared")
    ledger.require(shared <= ledger.computed(leader), "the leader has computed what is shared")
    ledger.require(ledger.need(shared) == ledger.block_of(shared), "only full blocks are shared")
    # EFFECT
    share_table(ledger, leader, sequence, ledger.need(shared))
    sequence.reach_tokens = shared
    sequence.slot_tokens = shared


@action()
def prune(ledger: Any, sequence: Any) -> None:
    """One branch of several ends and gives up what only it holds."""
    # GUARD
    ledger.require(sequence.alive, "the sequence is alive")
    ledger.require(negate(sequence.steady), "the sequence is not steady")
    ledger.require(sequence.last_step <= ledger.steps, "the sequence is not in the step being built")
    ledger.require(sequence.request.width >= 2, "another branch lives on")
    # EFFECT
    clear_table(ledger, sequence)
    ledger.remove_member(sequence)


# ---- preemption ------------------------------------------------------------------------------------------------


@action("swap_out")
def swap_out(ledger: Any, request: Any) -> None:
    """A running request moves to the CPU: one copy for each distinct block, tables and counters as they were."""
    # GUARD
    ledger.require(ledger.allowed("swap_out", request), "the request runs")
    ledger.require(ledger.idle(request), "none of it is in the step being built")
    ledger.require(request.copy == 0, "no copy of it is open")
    ledger.require(request.blocks <= ledger.cpu.free, "the CPU has a free block for every distinct block")
    # EFFECT
    number = ledger.decide(SWAP_OUT, request)
    move_blocks(ledger, request, CPU)
    ledger.order(number, number - 1)
    request.copy = number
    request.moved = number
    ledger.move(request, "swap_out")


@action("swap_in")
def swap_in(ledger: Any, request: Any) -> None:
    """A swapped request moves back to the GPU and runs; the next step waits for its copies."""
    # GUARD
    ledger.require(ledger.allowed("swap_in", request), "the request is swapped out")
    ledger.require(request.copy == 0, "its copy to the CPU is complete")
    ledger.require(request.blocks <= ledger.gpu.free, "the GPU has a free block for every distinct block")
    # EFFECT
    number = ledger.decide(SWAP_IN, request)
    move_blocks(ledger, request, GPU)
    ledger.order(number, larger(ledger.barrier, request.moved))
    ledger.barrier = number
    request.copy = number
    request.moved = number
    ledger.move(request, "swap_in")


@action("recompute")
def recompute(ledger: Any, request: Any) -> None:
    """A running request gives up its blocks and waits; what its sequences know and were promised stays."""
    # GUARD
    ledger.require(ledger.allowed("recompute", request), "the request runs")
    ledger.require(ledger.idle(request), "none of it is in the step being built")
    # EFFECT
    clear_tables(ledger, request)
    request.copy = 0
    ledger.move(request, "recompute")


@action("discard_swapped")
def discard_swapped(ledger: Any, request: Any) -> None:
    """A swapped request gives up its CPU copy and waits; what its sequences know and were promised stays."""
    # GUARD
    ledger.require(ledger.allowed("discard_swapped", request), "the request is swapped out")
    # EFFECT
    clear_tables(ledger, request)
    request.copy = 0
    ledger.move(request, "discard_swapped")


# ---- operations ------------------------------------------------------------------------------------------------


@action()
def settle_copy(ledger: Any, number: Any) -> None:
    """A copy that a plan carried is complete."""
    # GUARD
    ledger.require(ledger.is_open(number), "the operation is decided and not complete")
    ledger.require(ledger.is_copy(number), "the operation is a copy")
    ledger.require(number <= ledger.carried, "a plan has carried it")
    # EFFECT
    ledger.forget_copy(number)
    ledger.close(number)


@action("fail_copy")
def fail_copy(ledger: Any, request: Any) -> None:
    """A request whose copy failed gives up its blocks and waits; samples computed on the failed copy are void."""
    # GUARD
    ledger.require(ledger.allowed("fail_copy", request), "the request runs or is swapped out")
    ledger.require(ledger.idle(request), "none of it is in the step being built")
    ledger.require(request.copy >= 1, "a copy of it is open")
    ledger.require(request.copy <= ledger.carried, "a plan has carried the copy")
    # EFFECT
    ledger.branch(ledger.on_gpu(request), lambda: ledger.void_samples(request))
    clear_tables(ledger, request)
    ledger.close(request.copy)
    request.copy = 0
    ledger.move(request, "fail_copy")


@action()
def carry(ledger: Any) -> None:
    """A plan without a step carries the operations that were decided."""
    # GUARD
    ledger.require(ledger.carried < ledger.issued, "an operation is not in a plan yet")
    # EFFECT
    ledger.carried = ledger.issued


@action()
def retire(ledger: Any) -> None:
    """Fences of operations that are complete, with every one before them, are lifted."""
    # GUARD
    number = ledger.retired()
    ledger.require(number > ledger.done, "another operation is complete")
    # EFFECT
    ledger.done = number
