# pyright: basic
"""A proof that depends on a seed, an order or a name is noticed; the variants say the same."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache

import pytest

from lineclear.policies import load_claims
from lineclear_spec.crosscheck import stability as module
from lineclear_spec.crosscheck.smtlib import Script, read, write
from lineclear_spec.crosscheck.stability import VARIANTS, Trial, failures, stability, variant
from lineclear_spec.mutation.mutants import generate, installed
from lineclear_spec.proof.obligations import build, units
from lineclear_spec.proof.prove import BASELINE, Result, prove, prove_unit, read_baseline

FEW = ["arithmetic", "dispatch_copies", "reject"]


@cache
def script(name: str = "swap_out") -> Script:
    """The text of one unit."""
    return write(build(name))


def trial(**changes: object) -> Trial:
    """A trial of one obligation that is proved cheaply."""
    result = Result("swap_out", "conservation", "preserved", "proved", 0.0, 1_000)
    return Trial("order", replace(result, **changes))  # type: ignore[arg-type]


def seeded(rlimit: int) -> Trial:
    """The same, in the order of the baseline."""
    return replace(trial(rlimit=rlimit), variant="seed")


def test_a_few_units_are_stable() -> None:
    baseline = {r.key: r.rlimit for r in prove(FEW, workers=1)}
    trials = stability(FEW, seeds=(0, 1), workers=1)
    asked = sum(len(write(build(name)).queries) for name in FEW)
    assert len(trials) == asked * 2 * len(VARIANTS) * len(module.SOLVERS)
    assert failures(trials, baseline) == []


def test_a_unit_is_asked_in_a_process_that_has_nothing_of_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a worker had built before made an obligation that takes 18,000 units take 345,000, once in three runs."""
    monkeypatch.setattr(module, "write", lambda _: pytest.fail("this process has another one"))
    trials = stability(["start"], (0,), ("names",), ("z3",), prepare=load_claims)
    assert failures(trials, read_baseline()) == []
    assert {t.result.unit for t in trials} == {"start"}


@pytest.mark.deep
def test_everything_is_stable() -> None:
    assert BASELINE.exists()
    assert failures(stability(prepare=load_claims), read_baseline()) == []


def test_who_comes_first_in_another_order_may_pay_for_reading_the_unit() -> None:
    baseline = {trial().result.key: 1_000, "swap_out/preserved/ordered.gpu": 40_000}
    assert failures([trial(rlimit=85_000)], baseline) == []
    assert len(failures([trial(rlimit=95_000)], baseline)) == 1
    assert len(failures([seeded(85_000)], baseline)) == 1


def test_a_flip_is_a_failure() -> None:
    baseline = {trial().result.key: 1_000}
    assert failures([trial()], baseline) == []
    (failure,) = failures([trial(status="unknown", seed=3, solver="cvc5")], baseline)
    assert failure.as_dict() == {
        "obligation": "swap_out/preserved/conservation",
        "variant": "order",
        "seed": 3,
        "solver": "cvc5",
        "reason": "unknown",
    }


def test_more_than_ten_times_the_baseline_is_a_failure() -> None:
    baseline = {trial().result.key: 20_000}
    assert failures([seeded(200_000)], baseline) == []
    (failure,) = failures([seeded(200_001)], baseline)
    assert failure.reason == "took 200001 resource units, baseline 20000"
    (failure,) = failures([seeded(200_001)], {})
    assert failure.reason == "took 200001 resource units, which has no baseline"


def test_a_broken_table_is_noticed_in_every_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = next(m for m in generate() if m.name == "swap_out.guard.1")
    with installed(broken) as body:
        text = write(build("swap_out", body))
    monkeypatch.setattr(module, "write", lambda _: text)
    monkeypatch.setattr(module, "prove_unit", lambda unit, seed: prove_unit(unit, seed, 50_000))
    trials = stability(["swap_out"], seeds=(0,), solvers=("z3",), workers=1)
    noticed = {f.variant for f in failures(trials, {}) if f.reason in ("unknown", "refuted")}
    assert noticed == set(VARIANTS)


@pytest.mark.parametrize("kind", VARIANTS)
def test_variants_are_the_same_every_time(kind: str) -> None:
    assert variant(script(), kind, 1) == variant(script(), kind, 1)
    if kind != "seed":
        found = {variant(script(), kind, seed).text() for seed in (1, 2)}
        assert len(found) == 2


def test_another_order_keeps_every_formula_and_its_depth() -> None:
    before, after = script("take_blocks"), variant(script("take_blocks"), "order", 1)
    assert before.hypotheses != after.hypotheses
    assert before.assumptions != after.assumptions
    assert sorted(before.hypotheses) == sorted(after.hypotheses)
    assert sorted(before.functions.items()) == sorted(after.functions.items())
    assert [q.depth for q in before.queries] == [q.depth for q in after.queries]
    assert sorted(map(repr, before.queries)) == sorted(map(repr, after.queries))
    for depth in {q.depth for q in before.queries}:
        assert sorted(before.assumptions[:depth]) == sorted(after.assumptions[:depth])


def test_names_are_dealt_to_other_symbols() -> None:
    before, after = script(), variant(script(), "names", 1)
    assert not set(before.functions) & set(after.functions)
    assert len(before.functions) == len(after.functions)
    assert all(name.startswith("symbol_") for name in (*after.sorts, *after.functions))
    assert len(read(after).goals) == len(before.queries)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="no variant is called colour; known: seed, order"):
        variant(script("dispatch_copies"), "colour", 0)


def stated(name: str) -> list[str]:
    """The formulas of a unit as the solver is given them."""
    unit = build(name)
    formulas = [*unit.hypotheses, *unit.assumptions, *(g.formula for g in unit.goals)]
    return [formula.sexpr() for formula in formulas if formula is not None]


def test_a_unit_is_the_same_whatever_was_built_before() -> None:
    """Names that went on counting made one obligation unknown, but only where its unit came first."""
    before = stated("clear_table")
    for name in ("take_blocks", "copy_on_write", "swap_out"):
        build(name)
    assert stated("clear_table") == before


def test_an_answer_costs_the_same_whatever_was_built_before() -> None:
    """Terms of other units in the solver's context made an obligation that takes 1,700 units take 68,000."""

    def costs() -> list[int]:
        return [r.rlimit for r in prove_unit(build("clear_table"))]

    before = costs()
    for name in ("take_blocks", "copy_on_write", "swap_out"):
        build(name)
    assert costs() == before


def alone(name: str) -> list[str]:
    """What is not proved of a unit, under five seeds, in a process that built nothing before."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        unit = build(name)
        found = [
            r.key for seed in range(5) for r in prove_unit(unit, seed) if r.status != "proved"
        ]
        os.write(writing, " ".join(found).encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return answer.split()


@pytest.mark.deep
def test_every_unit_is_proved_alone_under_five_seeds() -> None:
    load_claims()
    assert {name: lost for name in units() if (lost := alone(name))} == {}
