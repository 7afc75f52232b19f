"""The proofs hold, and notice what is wrong with them."""

# pyright: basic

from __future__ import annotations

from typing import Any

import pytest

z3 = pytest.importorskip("z3")

from lineclear_spec import blocks, contracts, mutants
from lineclear_spec.obligations import Goal, Unit, build, units
from lineclear_spec.primitives import Primitives, SymbolicPool
from lineclear_spec.prove import prove, prove_unit
from lineclear_spec.terms import Misuse


def unproved(name: str) -> list[str]:
    return [r.key for r in prove_unit(build(name), budget=400_000) if r.status != "proved"]


def test_everything_is_proved() -> None:
    results = prove()
    assert {r.action for r in results} == set(units())
    assert [r.key for r in results if r.status != "proved"] == []
    assert {r.kind for r in results} >= {
        "initiation", "preserved", "frame", "contract", "defined", "refusal", "base", "step", "arithmetic",
    }  # fmt: skip


@pytest.mark.deep
def test_everything_is_proved_with_five_seeds() -> None:
    assert [r.key for r in prove(seeds=range(5)) if r.status != "proved"] == []


@pytest.mark.parametrize(
    "name", ["take_blocks", "admit", "fork", "swap_out", "issue_step", "fail_copy"]
)
def test_hypotheses_do_not_contradict_each_other(name: str) -> None:
    unit = build(name)
    absurd = Goal("contract", "false", len(unit.assumptions), z3.BoolVal(False))
    alone = Unit(unit.name, unit.hypotheses, unit.assumptions, [absurd])
    assert prove_unit(alone)[0].status == "unknown"


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
    real = blocks.take_block

    def greedy(ledger: Any, sequence: Any) -> None:
        real(ledger, sequence)
        sequence.void = 0

    monkeypatch.setattr(blocks, "take_block", greedy)
    # The check of sources would refuse the closure first; here the contract has to refuse it.
    monkeypatch.setattr("lineclear_spec.dialect.check_action", lambda _: None)
    with pytest.raises(Misuse, match="void"):
        build("take_blocks")


def test_a_copy_in_the_wrong_direction_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Primitives.note_copy

    def backwards(self: Any, source_tier: int, source: Any, target_tier: int, target: Any) -> None:
        real(self, target_tier, target, source_tier, source)

    monkeypatch.setattr(Primitives, "note_copy", backwards)
    with pytest.raises(Misuse, match="source_gpu"):
        build("move_blocks_out")


def test_a_wait_for_the_future_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Primitives.order
    monkeypatch.setattr(
        Primitives, "order", lambda self, number, wait: real(self, number, number + 7)
    )
    assert any("it waits for the past" in key for key in unproved("swap_in"))


# The four invariants that no statement of the table can break, because primitives keep them: break the primitives.


def test_free_list_needs_the_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SymbolicPool, "_swap", lambda self, place, target: None)
    assert any("free_list" in key or "conservation" in key for key in unproved("take_blocks"))
    assert any("free_list" in key or "conservation" in key for key in unproved("clear_table"))


def test_references_needs_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Primitives._name

    def forgetful(self: Any, q: Any, b: Any, at: Any) -> None:
        ref = self.state.fields["ref"]
        real(self, q, b, at)
        self.state.fields["ref"] = ref

    monkeypatch.setattr(Primitives, "_name", forgetful)
    assert any("references" in key for key in unproved("share_table"))


def test_group_local_needs_the_right_request(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Primitives.new_block

    def foreign(self: Any, request: Any, place: Any) -> Any:
        group = self.state.fields["group"]
        block = real(self, request, place)
        self.state.fields["group"] = group
        return block

    monkeypatch.setattr(Primitives, "new_block", foreign)
    assert any("group_local" in key or "holdings" in key for key in unproved("take_blocks"))


def test_queue_needs_the_move(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Primitives.move

    def stays(self: Any, request: Any, event: str) -> None:
        queue = self.state.fields["queue"]
        real(self, request, event)
        self.state.fields["queue"] = queue

    monkeypatch.setattr(Primitives, "move", stays)
    assert any("preserved/queue" in key for key in unproved("admit"))


def test_mutants_cover_every_guard_and_effect() -> None:
    made = mutants.generate()
    assert len({m.name for m in made}) == len(made) >= 200
    assert {m.function for m in made} >= set(mutants.STEPS)


def test_all_effects_replaced_by_nothing_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineclear_spec.dialect.check_action", lambda _: None)  # it has no source
    for name in ("finish", "swap_out", "admit"):
        lone = [m for m in mutants.generate() if m.function == name and m.kind == "guard dropped"]
        unit = build(
            name, lambda ledger, *arguments, name=name: mutants_guards(ledger, name, *arguments)
        )
        assert any(r.status != "proved" for r in prove_unit(unit, budget=400_000)), lone


def mutants_guards(ledger: Any, name: str, *arguments: Any) -> None:
    """The action's guards, and no effect at all."""
    from lineclear_spec.ghosts import guards_of

    guards_of(name)(ledger, *arguments)


def test_every_contract_names_known_fields() -> None:
    assert set(contracts.CONTRACTS) >= {"take_blocks", "clear_tables", "move_blocks"}


def test_a_baseline_is_of_one_solver(capsys: pytest.CaptureFixture[str]) -> None:
    from lineclear.cli import main

    assert main(["prove", "carry", "--write-baseline", "--second-solver"]) == 2
    assert "omit --second-solver" in capsys.readouterr().err
