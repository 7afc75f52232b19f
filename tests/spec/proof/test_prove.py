"""The proofs hold, and notice what is wrong with them."""

# pyright: basic

from __future__ import annotations

from typing import Any

import pytest
import z3

from lineclear_spec import contracts
from lineclear_spec.kernel import blocks, primitives
from lineclear_spec.kernel.methods import Kernel
from lineclear_spec.mutation import mutants
from lineclear_spec.proof.answers import Result
from lineclear_spec.proof.lemmas import LEMMAS
from lineclear_spec.proof.obligations import STEPS, Goal, Unit, build, units
from lineclear_spec.proof.prove import prove, prove_unit
from lineclear_spec.symbolic.blocks import Blocks
from lineclear_spec.symbolic.bulk import Bulk
from lineclear_spec.symbolic.ends import Ends
from lineclear_spec.symbolic.ghosts import Ghosts
from lineclear_spec.symbolic.holdings import Holdings
from lineclear_spec.symbolic.pool import SymbolicPool
from lineclear_spec.symbolic.records import (
    Forwards,
    Operations,
    Records,
    SymbolicBatch,
    SymbolicCalendar,
)
from lineclear_spec.symbolic.terms import Misuse
from lineclear_spec.symbolic.vectors import Held, Members, Table


def unproved(name: str) -> list[str]:
    return [r.key for r in prove_unit(build(name), budget=400_000) if r.status != "proved"]


def test_everything_is_proved(all_proofs: list[Result]) -> None:
    results = all_proofs
    assert {r.unit for r in results} == set(units())
    assert [r.key for r in results if r.status != "proved"] == []
    assert {r.kind for r in results} >= {
        "initiation", "preserved", "frame", "contract", "defined", "refusal", "base", "step", "arithmetic",
    }  # fmt: skip


@pytest.mark.deep
def test_everything_is_proved_with_five_seeds() -> None:
    assert [r.key for r in prove(seeds=range(5)) if r.status != "proved"] == []


@pytest.mark.parametrize(
    "name", [*STEPS, *LEMMAS, "admit", "fork", "swap_out", "issue_step", "fail_copy"]
)
def test_hypotheses_do_not_contradict_each_other(name: str) -> None:
    unit = build(name)
    absurd = Goal("contract", "false", len(unit.assumptions), z3.BoolVal(False))
    alone = Unit(unit.name, unit.hypotheses, unit.assumptions, [absurd])
    assert prove_unit(alone)[0].status != "proved"


def test_a_wrong_goal_is_not_proved() -> None:
    unit = build("admit")
    assert unit.after is not None
    assert unit.before is not None
    wrong = Goal(
        "contract", "wrong", len(unit.assumptions), unit.after.free(0) == unit.before.free(0)
    )
    assert (
        prove_unit(Unit("admit", unit.hypotheses, unit.assumptions, [wrong]))[0].status != "proved"
    )


def test_a_loop_that_writes_what_its_contract_does_not_list_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = blocks.take_blocks

    def greedy(ledger: Any, sequence: Any, count: Any) -> None:
        real(ledger, sequence, count)
        sequence.void = 0

    monkeypatch.setattr(Kernel, "take_blocks", greedy)
    # The check of sources would refuse the closure first; here the contract has to refuse it.
    monkeypatch.setattr("lineclear_spec.language.dialect.check_action", lambda _: None)
    with pytest.raises(Misuse, match="void"):
        build("take_blocks")


def test_a_copy_in_the_wrong_direction_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Bulk.record_copies

    def backwards(self: Any, source: int, sources: Any, target: int, targets: Any) -> None:
        real(self, target, targets, source, sources)

    monkeypatch.setattr(Bulk, "record_copies", backwards)
    with pytest.raises(Misuse, match="source_gpu"):
        build("move_blocks_out")


def test_a_wait_for_the_future_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = primitives.order
    monkeypatch.setattr(Kernel, "order", lambda self, number, wait: real(self, number, number + 7))
    # The check of sources would refuse the closure first; here the precondition has to fail.
    monkeypatch.setattr("lineclear_spec.language.dialect.check_action", lambda _: None)
    assert any("it waits for the past" in key for key in unproved("swap_in"))


# What no statement of the table can break, because operators keep it: break the operators.


def forgetting(kind: Any, name: str, *fields: str) -> Any:
    """The operator, which leaves some of its fields as they were."""
    real = getattr(kind, name)

    def wrong(self: Any, *arguments: Any) -> Any:
        state = self.state if hasattr(self, "state") else self.ledger.state
        before = {field: state.fields[field] for field in fields}
        result = real(self, *arguments)
        state.fields |= before
        return result

    return wrong


#: Fields that an operator keeps, ghosts among them, and a unit whose proof needs each.
KEPT: list[tuple[Any, str, str, str]] = [
    (SymbolicPool, "take", "free_gpu", "take_blocks"),
    (SymbolicPool, "put", "free_gpu", "clear_table"),
    (SymbolicPool, "put", "order_gpu", "clear_tables"),
    (SymbolicPool, "put", "position_gpu", "clear_tables"),
    (SymbolicPool, "put", "last_use_gpu", "clear_table"),
    (SymbolicPool, "put", "last_use_cpu", "move_blocks_in"),
    *[
        (Blocks, "new_blocks", field, "take_blocks")
        for field in ("ref", "tier", "block_id", "group", "holder", "holder_index", "owner_gpu")
    ],
    *[(Blocks, "count_up", field, "share_table") for field in ("ref", "holder", "holder_index")],
    *[(Blocks, "count_down", field, "clear_table") for field in ("ref", "holder", "holder_index")],
    *[
        (Holdings, "remove_all", field, "clear_table")
        for field in ("held", "held_index", "blocks")
    ],
    *[
        (Holdings, "_hold_each", field, "give_each_one")
        for field in ("held", "held_index", "blocks")
    ],
    *[
        (Holdings, "_append_each", field, "give_each_one")
        for field in ("table", "index", "length")
    ],
    *[
        (Blocks, "relocate", field, "move_blocks_in")
        for field in ("tier", "block_id", "owner_gpu")
    ],
    *[
        (Bulk, "record_copies", field, "move_blocks_out")
        for field in ("touch_gpu", "touch_cpu", "source_cpu")
    ],
    *[(Table, "extend", field, "take_blocks") for field in ("table", "index", "length")],
    *[(Held, "update", field, "take_blocks") for field in ("held", "held_index", "blocks")],
    *[(Holdings, "empty", field, "clear_tables") for field in ("ref", "blocks")],
    *[(Ends, "_empty_each", field, "finish_each") for field in ("ref", "blocks")],
    *[(Ends, "_name_at_end", field, "finish_each") for field in ("name", "listed", "cached")],
    *[
        (Ends, "unlist_each", field, "finish_each")
        for field in (
            "decode_batch",
            "decode_batch_index",
            "decode_batch_size",
            "boundary",
            "ending",
        )
    ],
    (Ends, "enqueue_each", "queue", "finish_each"),
    (Table, "__setitem__", "table", "replace_entry"),
    (Table, "__setitem__", "index", "replace_entry"),
    (Table, "clear", "length", "clear_table"),
    *[
        (SymbolicCalendar, name, field, action)
        for name, action in (("mark", "join_batch"), ("unmark", "leave_batch"))
        for field in ("boundary", "ending")
    ],
    (SymbolicCalendar, "postpone", "boundary", "issue_step"),
    *[
        (SymbolicBatch, "add", field, "join_batch")
        for field in ("decode_batch", "decode_batch_index", "decode_batch_size")
    ],
    *[
        (SymbolicBatch, "remove", field, "leave_batch")
        for field in ("decode_batch", "decode_batch_index", "decode_batch_size")
    ],
    *[(Members, "append", field, "fork") for field in ("member", "member_index", "width")],
    *[(Members, "remove", field, "prune") for field in ("member", "member_index", "width")],
    (Members, "clear", "width", "finish"),
    (Operations, "pop", "open", "commit_step"),
    (Forwards, "__setitem__", "forward_of", "issue_step"),
    *[
        (Records, "new_operation", field, "swap_in")
        for field in ("open", "is_forward", "request_of", "compute", "outward")
    ],
    (Records, "new_sequence", "own_samples", "fork"),
    (Records, "new_sequence", "request", "fork"),
    (Records, "enqueue", "queue", "admit"),
    *[(Ghosts, "note_move", field, "admit") for field in ("born",)],
    (Ghosts, "note_move", "releases", "finish"),
    *[
        (Ghosts, "note_step", field, "issue_step")
        for field in ("touch_gpu", "tokens_of", "sequences_of", "step_of")
    ],
    (Bulk, "grew", "sent_block_id", "take_blocks"),
    (Bulk, "grew", "queued_length", "give_each_one"),
    (Bulk, "send_whole", "whole", "copy_on_write"),
    *[(Bulk, "send", field, "issue_step") for field in ("whole", "heard", "sent_length")],
]


@pytest.mark.parametrize(
    ("kind", "name", "field", "unit"), KEPT, ids=[f"{n}.{f}" for _, n, f, _ in KEPT]
)
def test_a_field_that_an_operator_forgets_is_noticed(
    kind: Any, name: str, field: str, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, name, forgetting(kind, name, field))
    made = build(unit)
    results = prove_unit(made, budget=200_000, stop_at_failure=True)
    assert results[-1].status != "proved"


@pytest.mark.parametrize(
    ("module", "name", "at"),
    [
        ("facts_of_put", "lemma_put", 0),
        ("facts_of_put", "lemma_put", 1),
        ("facts_of_latest", "lemma_latest", 1),
        ("least", "lemma_first_open", 2),
        ("selected", "lemma_select", 2),
        ("facts_of_remove_all", "lemma_remove_all", 2),
        ("facts_of_hold_each", "lemma_hold_each", 2),
    ],
)
def test_an_assumption_that_says_too_much_is_noticed_by_its_lemma(
    module: str, name: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the facts is replaced by a stronger one: that it holds of everything."""
    from lineclear_spec.proof import lemmas

    real = getattr(lemmas, module)

    def greedy(*arguments: Any) -> list[Any]:
        facts: list[Any] = real(*arguments)
        x = facts[at]
        facts[at] = (
            z3.ForAll(
                [z3.Const(x.var_name(k), x.var_sort(k)) for k in range(x.num_vars())],
                z3.substitute_vars(
                    x.body().arg(1) if z3.is_implies(x.body()) else x.body(),
                    *[
                        z3.Const(x.var_name(k), x.var_sort(k))
                        for k in reversed(range(x.num_vars()))
                    ],
                ),
            )
            if z3.is_quantifier(x) and z3.is_implies(x.body())
            else z3.BoolVal(False)
        )
        return facts

    monkeypatch.setattr(lemmas, module, greedy)
    results = prove_unit(build(name), budget=200_000)
    assert any(r.status != "proved" for r in results)


def test_mutants_cover_every_guard_and_effect() -> None:
    made = mutants.generate()
    assert len({m.name for m in made}) == len(made) >= 200
    assert {m.function for m in made} >= set(mutants.STEPS)


def test_all_effects_replaced_by_nothing_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    # it has no source
    monkeypatch.setattr("lineclear_spec.language.dialect.check_action", lambda _: None)
    for name in ("finish", "swap_out", "admit"):
        lone = [m for m in mutants.generate() if m.function == name and m.kind == "guard dropped"]
        unit = build(
            name, lambda ledger, *arguments, name=name: mutants_guards(ledger, name, *arguments)
        )
        assert any(r.status != "proved" for r in prove_unit(unit, budget=400_000)), lone


def mutants_guards(ledger: Any, name: str, *arguments: Any) -> None:
    """The action's guards, and no effect at all."""
    from lineclear_spec.language.statements import guards_of

    guards_of(name)(ledger, *arguments)


def test_every_contract_names_known_fields() -> None:
    assert set(contracts.CONTRACTS) >= {"take_blocks", "clear_tables", "move_blocks"}


@pytest.mark.parametrize(
    ("flags", "omit"),
    [
        (["--second-solver", "--no-mutants"], "--second-solver"),
        (["dispatch_copies"], "UNIT"),
        (["--invariant", "conservation"], "--invariant"),
    ],
)
def test_a_baseline_is_of_one_solver_and_every_unit(
    flags: list[str],
    omit: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from lineclear.cli import main
    from lineclear_spec.proof import baseline, prove

    monkeypatch.setattr(prove, "prove", lambda *_, **__: [])  # so that nothing could be written
    monkeypatch.setattr(baseline, "write_baseline", print)
    assert main(["prove", "--write-baseline", *flags]) == 2
    assert capsys.readouterr().err.endswith(f": omit {omit}\n")


@pytest.mark.parametrize("status", ["proved", "refuted", "unknown"])
def test_a_baseline_is_written_of_a_run_that_passed(
    status: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lineclear.cli import main
    from lineclear_spec.proof import baseline, prove

    answer = prove.Result("finish", "frees", "preserved", status, 0.0, 1)
    written: list[object] = []
    monkeypatch.setattr(prove, "prove", lambda *_, **__: [answer])
    monkeypatch.setattr(baseline, "write_baseline", written.append)
    code = main(["prove", "--no-mutants", "--write-baseline"])
    assert (code == 0) == (status == "proved") == bool(written)
    assert ("the baseline is as it was" in capsys.readouterr().out) == (status != "proved")
