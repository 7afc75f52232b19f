"""Generated mutants of other families: made from the source, refuted, equivalent, or reported as survivors."""

from __future__ import annotations

from collections import Counter

import pytest

from lineclear_spec.modelcheck.worlds import BOUNDS
from lineclear_spec.mutation.judge import judge_all, same_after
from lineclear_spec.mutation.mutants import DROPS, JUDGED, Mutant, generate
from lineclear_spec.mutation.trial import Evidence
from lineclear_spec.mutation.variants import FAMILIES


def named(*names: str) -> list[Mutant]:
    found = {mutant.name: mutant for mutant in generate(FAMILIES)}
    return [found[name] for name in names]


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    made = generate(FAMILIES)
    assert len({mutant.name for mutant in made}) == len(made)
    counts = Counter(mutant.kind for mutant in made)
    assert set(counts) == set(FAMILIES)
    assert sum(counts[kind] for kind in JUDGED) >= 350
    assert len(made) >= 450
    assert [m.name for m in generate()] == [m.name for m in made if m.kind in DROPS]


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("swap_in.guard.3.weakened.1", "request.blocks <= ledger.gpu.free + 1"),
        ("swap_in.guard.3.strengthened.1", "request.blocks <= ledger.gpu.free - 1"),
        ("commit_step.effect.2.plus_one", "ledger.committed = ledger.committed + 1 + 1"),
        ("swap_out.effect.1.other_tier", "ledger.move_blocks(request, GPU)"),
        ("swap_in.name.1.other_tier", "number = ledger.decide(SWAP_OUT, request)"),
    ],
)
def test_a_variant_says_what_stands_there_instead(name: str, instead: str) -> None:
    assert instead in named(name)[0].source


def test_each_family_is_refuted_by_a_rule_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """In two worlds that show it; `lineclear check` judges every mutant in all of them."""
    shown = [bounds for bounds in BOUNDS if bounds.name in ("preemption", "full pool")]
    monkeypatch.setattr("lineclear_spec.mutation.trial.BOUNDS", shown)
    verdicts = {
        verdict.mutant: verdict
        for verdict in judge_all(
            named(
                "swap_in.guard.3.weakened.1",
                "swap_in.guard.3.strengthened.1",
                "commit_step.effect.2.plus_one",
                "swap_out.effect.1.other_tier",
                "swap_in.name.1.other_tier",
                "swap_out.effect.3.swapped_with_the_next",
                "commit_step.effect.1.swapped_with_the_next",
                "complete_copy.guard.1.exchanged_with_the_next",
                "complete_copy.guard.2.exchanged_with_the_next",
            ),
            workers=1,
        )
    }
    status = {name: verdict.status for name, verdict in verdicts.items()}
    assert status == {
        "swap_in.guard.3.weakened.1": "refuted",
        "swap_in.guard.3.strengthened.1": "refuted",
        "commit_step.effect.2.plus_one": "refuted",
        "swap_out.effect.1.other_tier": "refuted",
        "swap_in.name.1.other_tier": "refuted",
        "swap_out.effect.3.swapped_with_the_next": "equivalent",
        "commit_step.effect.1.swapped_with_the_next": "refuted",
        "complete_copy.guard.1.exchanged_with_the_next": "refuted",
        "complete_copy.guard.2.exchanged_with_the_next": "equivalent",
    }
    evidence = verdicts["swap_in.guard.3.strengthened.1"].evidence
    assert evidence is not None
    assert evidence.rule == "enabledness"


def test_two_effects_are_equal_in_either_order_though_a_loop_reads_what_the_other_writes() -> None:
    names = ("recompute.effect.1", "fail_copy.effect.1", "recompute.effect.2")
    assert all(same_after(m) for m in named(*[f"{n}.swapped_with_the_next" for n in names]))
    assert not same_after(named("recompute.effect.1")[0])


def test_a_mutant_that_only_the_proof_notices_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineclear_spec.mutation.judge.try_all", lambda *_: {})  # pyright: ignore
    (verdict,) = judge_all(named("commit_step.effect.2.plus_one"), workers=1)
    assert (verdict.status, verdict.evidence) == ("survived", None)
    assert verdict.obligation is not None


def test_a_mutant_that_survives_the_first_states_is_tried_in_whole_worlds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[list[str], int | None]] = []

    def try_all(chosen: list[Mutant], _: int | None, states: int | None) -> dict[str, Evidence]:
        asked.append(([mutant.name for mutant in chosen], states))
        seen = Evidence("once", "request r1", "a world", (("submit", (1, 2, 1)),))
        return {mutant.name: seen for mutant in chosen if states is None or "2" in mutant.name}

    monkeypatch.setattr("lineclear_spec.mutation.judge.try_all", try_all)
    deep, near = "commit_step.effect.1", "commit_step.effect.2.plus_one"
    verdicts = judge_all(named(deep, near), workers=1, states=100)
    assert {(v.mutant, v.status) for v in verdicts} == {(deep, "refuted"), (near, "refuted")}
    assert asked == [([deep, near], 100), ([deep], None)]
