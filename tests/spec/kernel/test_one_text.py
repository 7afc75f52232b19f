"""A fault in the one text of the kernel turns proofs red; a question has one text in all its readings."""

# pyright: basic

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
import z3
from scripts import module_of

from lineclear_spec.kernel import blocks, primitives, queries
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.methods import Kernel
from lineclear_spec.language.conditional import on_formulas
from lineclear_spec.language.source import Forbidden
from lineclear_spec.mutation.mutants import put_step
from lineclear_spec.proof.obligations import build
from lineclear_spec.proof.prove import prove_unit
from lineclear_spec.symbolic.ledger import SymbolicLedger, query
from lineclear_spec.symbolic.state import Request, State
from lineclear_spec.symbolic.terms import Misuse
from lineclear_spec.symbolic.view import Derived, asked

#: A function of `kernel/blocks.py`, what is replaced in it by what, and a unit whose proof notices.
STEPS: dict[str, tuple[str, str, str, str]] = {
    "one block id too few is taken": (
        "take_blocks", "allocate_gpu(ledger, num_blocks)", "allocate_gpu(ledger, num_blocks - 1)", "take_blocks"),
    "a fence is forgotten": (
        "clear_tables", "request), ledger.issued)", "request), 0)", "clear_tables"),
    "a fence is one too early": (
        "clear_table", "gone), ledger.issued)", "gone), ledger.issued - 1)", "clear_table"),
    "a barrier is not raised": (
        "allocate_gpu", "ledger.gpu.latest(block_ids, ledger.barrier)", "ledger.barrier", "move_blocks_in"),
    "a holder is not counted": ("share_table", "ledger.count_up(child, shared)", "pass", "share_table"),
    "a holder is not counted off": (
        "replace_entry", "ledger.count_down(sequence, old)", "pass", "replace_entry"),
    "a block that others name is freed": (
        "clear_table", "block.ref == 0", "block.ref <= 1", "clear_table"),
    "one entry too few is shared": (
        "share_table", "parent.table[:num_blocks]", "parent.table[: num_blocks - 1]", "share_table"),
    "block ids are not given back": (
        "move_blocks", "ledger.pools[source].put(sources, ledger.issued)", "pass", "move_blocks_out"),
    "blocks stay where they are": (
        "move_blocks", "ledger.relocate(blocks, tier, targets)", "pass", "move_blocks_out"),
    "what was appended is not sent": (
        "take_blocks", "ledger.grew(ledger.always(sequence), block_ids)", "pass", "take_blocks"),
}  # fmt: skip

#: A question, what is replaced in it by what, and an action whose proof notices.
QUESTIONS: dict[str, tuple[str, str, str]] = {
    "num_dispatched_tokens": ("sequence.offset + ledger.steps", "sequence.offset + ledger.committed", "join_batch"),
    "in_flight": ("last > committed + 1", "last > committed", "schedule_tokens"),
    "num_computed_tokens": ("- ledger.in_flight(sequence)", "", "join_batch"),
    "num_tokens": ("ledger.committed + 1", "ledger.committed", "join_batch"),
    "scheduled_samples": ("ledger.steps - ledger.committed", "ledger.steps", "join_batch"),
    "pending_samples": ("last > committed + 1", "last > committed", "schedule_tokens"),
    "sampling_step": ("> sequence.last_samples", ">= sequence.last_samples", "sample"),
    "num_allocated_slots": ("sequence.offset + ledger.steps", "sequence.offset + ledger.committed", "join_batch"),
    "runs": ("if sequence.alive else False", "if sequence.alive else True", "append_slots"),
    "on_gpu": ("== RUNNING", "!= RUNNING", "clear_tables"),
    "writable": ("block_of(first)", "block_of(first + 1)", "schedule_tokens"),
    "divisible": (
        "> limits.max_num_batched_tokens", ">= limits.max_num_batched_tokens", "schedule_tokens"),
    "unscheduled": ("False if sequence.in_decode_batch", "True if sequence.in_decode_batch", "finish"),
    "due": ("ledger.steps)", "ledger.committed)", "issue_step"),
    "ended": (">= 1", ">= 2", "issue_step"),
    "ended_alone": ("width == 1", "width >= 1", "finish_each"),
    "one_ends_alone": ("!= 1", "== 1", "finish_each"),
    "wait_of": (".wait", ".wait - 1", "commit_step"),
    "is_copy": ("not_(ledger.operations[number].is_forward)",
                "ledger.operations[number].is_forward", "complete_copy"),
    "forward_of": ("[step]", "[step + 1]", "commit_step"),
    "all_complete": ("> number", ">= number", "commit_step"),
    "complete_up_to": ("- 1", "", "lift_fences"),
    "first_scheduled": ("- sequence.last_tokens", "", "kv_issue_step"),
}  # fmt: skip

#: A function of `kernel/primitives.py`, what is replaced in it by what, the primitive that runs it, and an action
#: whose proof notices.
PRIMITIVES: dict[str, tuple[str, str, str, str, str]] = {
    "a phase stays": ("move", "request.phase = target_of(event)", "pass", "move", "admit"),
    "a queue stays": ("move", "ledger.enqueue(request, target_of(event))", "pass", "move", "admit"),
    "phases stay": (
        "change_phase", "request.phase = target_of(event)", "pass", "move_each", "finish_each"),
    "queues stay": (
        "move_each", "ledger.enqueue_each(requests, target_of(event))", "pass", "move_each", "finish_each"),
    "members of those that end stay": (
        "change_phase", "request.members.clear()", "pass", "move_each", "finish_each"),
    "a new sequence is not alive": (
        "add_member", "sequence.alive = True", "pass", "add_member", "fork"),
    "a new sequence is not listed": (
        "add_member", "request.members.append(sequence)", "pass", "add_member", "fork"),
    "a branch that left is listed": (
        "remove_member", "sequence.request.members.remove(sequence)", "pass", "remove_member", "prune"),
    "a branch that left is alive": ("end", "sequence.alive = False", "pass", "remove_member", "prune"),
    "members stay": ("remove_members", "request.members.clear()", "pass", "remove_members", "finish"),
    "members stay alive": ("end", "sequence.alive = False", "pass", "remove_members", "finish"),
    "samples are not void": (
        "forget_samples", "sequence.void = ledger.steps", "pass", "void_samples", "fail_copy"),
    "samples are still scheduled": (
        "forget_samples", "sequence.own_samples = 0", "pass", "void_samples", "fail_copy"),
    "a table is not sent": (
        "send_tables", "lambda sequence: ledger.send_whole(sequence)", "lambda sequence: None", "send_tables",
        "admit"),
    "an offset is not kept": ("join", "sequence.offset = offset", "pass", "join", "join_batch"),
    "it does not join": ("join", "ledger.decode_batch.add(sequence)", "pass", "join", "join_batch"),
    "it joins a block late": (
        "join", "ledger.cap(sequence.length) - offset", "ledger.cap(sequence.length + 1) - offset",
        "join", "join_batch"),
    "its end is a step late": ("join", "limit - 1 - offset", "limit - offset", "join", "join_batch"),
    "it is listed after it left": (
        "leave", "ledger.endings.unmark(sequence.request.limit - 1 - offset, sequence)", "pass",
        "leave", "leave_batch"),
    "it stays in the decode batch": (
        "leave", "sequence.in_decode_batch = False", "pass", "leave", "leave_batch",
    ),
    "it does not leave": ("leave", "ledger.decode_batch.remove(sequence)", "pass", "leave", "leave_batch"),
    "it is due again at once": (
        "advance", "ledger.boundaries.postpone(ledger.steps, ledger.limits.block_size)", "pass",
        "advance", "issue_step"),
    "no clock moves": (
        "advance", "ledger.steps = ledger.steps + 1", "pass", "advance", "issue_step"),
    "a step has no forward": (
        "advance", "ledger.step_operations[ledger.steps] = number", "pass", "advance", "issue_step"),
    "a forward is not noted": ("advance", "ledger.note_step(number)", "pass", "advance", "issue_step"),
    "a number is used again": (
        "decide", "ledger.issued = ledger.issued + 1", "pass", "decide", "swap_in"),
    "an operation is not open": (
        "decide", "ledger.new_operation(kind, request)", "pass", "decide", "swap_in"),
    "an operation waits for nothing": ("order", "operation.wait = wait", "pass", "order", "swap_in"),
    "an operation stays open": (
        "close", "ledger.operations.pop(number)", "ledger.operations[number]", "close", "commit_step"),
    "a copy is waited for for ever": (
        "forget_copy", "request.open_swap = if_else(request.open_swap == number, 0, request.open_swap)", "pass",
        "forget_copy", "complete_copy"),
}  # fmt: skip


def changed(
    module: ModuleType, name: str, old: str, new: str, folder: Path, wanted: str = ""
) -> Any:
    """A function of a copy of the module, one piece of whose text is replaced."""
    text = Path(module.__file__ or "").read_text()
    begin = text.index(f"def {name}(")
    end = text.find("\n\n\n", begin) % (len(text) + 1)
    body = text[begin:end]
    assert old in body
    path = folder / f"{name}.py"
    path.write_text(text[:begin] + body.replace(old, new, 1) + text[end:])
    return getattr(module_of(path, module.__name__), wanted or name)


def red(unit: str) -> bool:
    return prove_unit(build(unit), budget=300_000, stop_at_failure=True)[-1].status != "proved"


@pytest.mark.parametrize("fault", STEPS)
def test_a_fault_in_a_block_step_is_red(fault: str, tmp_path: Path) -> None:
    name, old, new, unit = STEPS[fault]
    right = getattr(blocks, name)
    put_step(name, changed(blocks, name, old, new, tmp_path))
    try:
        assert red(unit)
    finally:
        put_step(name, right)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_fault_in_a_question_is_red(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In guards, in invariants and in postconditions alike, since they ask the same text."""
    old, new, unit = QUESTIONS[name]
    made = changed(queries, name, old, new, tmp_path)
    monkeypatch.setattr(SymbolicLedger, name, on_formulas(made))
    monkeypatch.setattr(Kernel, name, made)
    if name in vars(Derived):
        monkeypatch.setattr(Derived, name, asked(made))
    assert red(unit)


@pytest.mark.parametrize("fault", PRIMITIVES)
def test_a_fault_in_a_primitive_is_red(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, old, new, installed, unit = PRIMITIVES[fault]
    folder = tmp_path / "changed"
    folder.mkdir()
    monkeypatch.setattr(Kernel, installed, changed(primitives, name, old, new, folder, installed))
    with suppress(Misuse):  # to refuse it is to notice it
        assert red(unit)


def test_every_primitive_has_one_text_and_a_fault() -> None:
    once = {name for name in primitives.__all__ if name in vars(Kernel)}
    assert once == {row[3] for row in PRIMITIVES.values()}
    for name in once:
        assert vars(Kernel)[name] is getattr(primitives, name)
        assert getattr(Ledger, name) is getattr(SymbolicLedger, name) is vars(Kernel)[name]


def test_the_worst_case_is_a_function_of_what_formulas_hand_it() -> None:
    """On formulas it is any function of three fields: the text reads no other."""
    made = SymbolicLedger(State.arbitrary())
    request = made.wrap(Request, z3.Const("r", Request))
    made.state.reads.clear()
    on_formulas(queries.worst_case)(made, request)
    assert made.state.reads == {"prompt", "limit", "parallel"}


def test_every_question_has_one_text() -> None:
    assert set(QUESTIONS) | {"leader", "worst_case"} == set(queries.__all__)
    for name in queries.__all__:
        text = getattr(queries, name)
        assert vars(Kernel)[name] is text
        assert getattr(Ledger, name) is text
        assert name == "worst_case" or vars(SymbolicLedger)[name] is query(text)
    for name in blocks.__all__:
        if name in vars(Kernel):
            assert vars(Kernel)[name] is getattr(blocks, name)
            assert getattr(Ledger, name) is getattr(blocks, name)


def test_a_conditional_expression_chooses_on_formulas() -> None:
    text = on_formulas(queries.num_tokens)

    class Asked:
        committed = 4
        in_decode_batch, offset, own_tokens = True, 3, 7

        @staticmethod
        def if_else(condition: Any, then: Any, otherwise: Any) -> Any:
            return condition, then, otherwise

    assert text(Asked, Asked) == (True, 8, 7)
    asked: Any = Asked
    assert queries.num_tokens(asked, asked) == 8


def test_a_function_whose_source_is_not_what_runs_is_not_compiled() -> None:
    def other(ledger: Any, sequence: Any) -> Any:
        return sequence.offset

    fake = FunctionType(queries.num_tokens.__code__.replace(co_consts=(None, 2)), queries.__dict__)
    with pytest.raises(Forbidden):
        on_formulas(fake)
