# pyright: basic, reportOperatorIssue=false
"""The second solver proves what holds, proves nothing that does not, and reads only the text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import z3

from lineclear_spec.crosscheck.second_solver import (
    BUDGET,
    ask,
    crosscheck,
    crosscheck_unit,
    disagreements,
    export,
    version,
)
from lineclear_spec.crosscheck.smtlib import FACTORS, read, renamed, rewritten, write
from lineclear_spec.mutation.mutants import Mutant, generate, installed
from lineclear_spec.proof.obligations import Goal, Unit, build, units
from lineclear_spec.proof.prove import prove, prove_unit

FEW = ["start", "arithmetic", "swap_out", "dispatch_copies"]
SMALL = 100_000


def mutant(name: str) -> Mutant:
    """One mutant by name."""
    return next(m for m in generate() if m.name == name)


def answers(text: str, budget: int = SMALL) -> list[str]:
    """cvc5's answers to a script."""
    return [answer for answer, _, _ in ask(text, budget=budget)]


def asked(name: str) -> list[Goal]:
    """The goals of a unit that a solver is asked."""
    return [goal for goal in build(name).goals if goal.formula is not None]


def test_both_solvers_prove_the_same() -> None:
    first, second = prove(FEW, workers=1), crosscheck(FEW, workers=1)
    assert disagreements(first, second) == []
    assert {r.status for r in second} == {"proved"}
    assert {r.solver for r in first} == {"z3"}
    assert {r.solver for r in second} == {"cvc5"}
    assert all(r.rlimit > 0 for r in second if r.kind not in ("frame", "initiation", "refusal"))
    assert version().startswith("cvc5 1.")


@pytest.mark.deep
def test_both_solvers_prove_everything_well_within_the_budget() -> None:
    first, second = prove(), crosscheck()
    assert disagreements(first, second) == []
    assert {r.status for r in second} == {"proved"}
    assert max(r.rlimit for r in second) < BUDGET / 10


def test_different_runs_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different obligations"):
        disagreements(
            prove(["dispatch_copies"], workers=1), crosscheck(["lift_fences"], workers=1)
        )


@pytest.mark.parametrize("name", ["dispatch_copies", "swap_out", "take_blocks"])
def test_false_is_not_proved(name: str) -> None:
    """The hypotheses and all assumptions together do not contradict each other for cvc5."""
    unit = build(name)
    unit.goals = [Goal("contract", "false", len(unit.assumptions), z3.BoolVal(False))]
    (result,) = crosscheck_unit(unit, budget=SMALL)
    assert result.status in ("refuted", "unknown")


@pytest.mark.deep
@pytest.mark.parametrize("name", units())
def test_false_is_not_proved_of_any_unit(name: str) -> None:
    unit = build(name)
    unit.goals = [Goal("contract", "false", len(unit.assumptions), z3.BoolVal(False))]
    answer = crosscheck_unit(unit, budget=SMALL)[-1]
    assert answer.label == "false"
    assert answer.status in ("refuted", "unknown")


def test_a_wrong_fact_of_arithmetic_is_refuted() -> None:
    unit = build("arithmetic")
    numbers: Any = z3.Ints("a b f g m")
    a, b, f, g, m = numbers
    unit.goals = [
        Goal("arithmetic", "true", 0, z3.Implies(z3.And(a <= b, m <= m), f <= g)),
        Goal("arithmetic", "wrong", 0, z3.Implies(a <= b, f + 1 <= g)),
    ]
    found = {r.label: r.status for r in crosscheck_unit(unit)}
    assert found["true"] == "proved"
    assert found["wrong"] == "refuted"


def test_the_lemma_is_proved_and_each_instance_is_valid() -> None:
    script = write(build("arithmetic"))
    assert len(script.assumptions) == len(FACTORS)
    unit = read(script)
    assert unit.goals[0].kind == "lemma"
    assert unit.goals[0].depth == 0
    instances = [Goal("lemma", str(f), 0, f) for f in unit.assumptions]
    alone = Unit("arithmetic", [], [], [unit.goals[0], *instances])
    assert {r.status for r in prove_unit(alone)} == {"proved"}


def test_too_small_a_budget_is_unknown_not_proved() -> None:
    found = crosscheck(["swap_out"], workers=1, budget=10)
    assert "unknown" in {r.status for r in found}
    assert "refuted" not in {r.status for r in found}


def test_a_script_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        ask("(set-logic UFLIA)(assert (= 1 missing))(check-sat)")


def test_all_three_answers_are_told_apart() -> None:
    ask_three = """(set-logic UFLIA)(declare-fun f (Int) Int)
    (push 1)(assert (> (f 0) 0))(check-sat)(pop 1)
    (push 1)(assert (> (f 0) (f 0)))(check-sat)(pop 1)
    (push 1)(assert (forall ((x Int)) (> (f x) (f (+ x 1)))))
    (assert (forall ((x Int)) (> (f x) 0)))(check-sat)(pop 1)(exit)"""
    assert answers(ask_three, 2_000) == ["sat", "unsat", "unknown"]


@pytest.mark.parametrize("name", ["swap_out.guard.1", "allocate_gpu.effect.1"])
def test_an_exported_mutant_is_not_unsat_throughout(name: str, tmp_path: Path) -> None:
    broken = mutant(name)
    with installed(broken) as body:
        text = write(build(broken.units[0], body)).text()
    (whole,) = export(tmp_path, [broken.units[0]])
    assert {*answers(whole.read_text(), BUDGET)} == {"unsat"}
    assert {*answers(text, 5_000)} - {"unsat"}


def test_what_is_exported_is_complete(tmp_path: Path) -> None:
    paths = export(tmp_path / "new", FEW)
    assert [path.name for path in paths] == [f"{name}.smt2" for name in FEW]
    assert "Expected answer: unsat" in (tmp_path / "new" / "README").read_text()
    for name, path in zip(FEW, paths, strict=True):
        text = path.read_text()
        comments = re.findall(r"^; (.*)$", text, re.MULTILINE)
        expected = [f"{goal.kind}/{goal.label}" for goal in asked(name)]
        assert [c for c in comments if not c.startswith("lemma/")] == expected
        assert text.count("(check-sat)") == len(comments)
        assert not re.search(r"\((?:and|or) (?:[^\s()]+|\([^()]*\))\)", text)


@pytest.mark.deep
def test_every_unit_has_a_file_if_none_is_named(tmp_path: Path) -> None:
    assert [path.stem for path in export(tmp_path)] == units()


def test_the_text_is_the_same_in_every_process(tmp_path: Path) -> None:
    here = export(tmp_path / "here", ["swap_out", "take_blocks"])
    program = (
        "import sys; from lineclear_spec.crosscheck.smtlib import export; "
        "export(sys.argv[1], ['take_blocks', 'swap_out'])"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(tmp_path / "there")]
    subprocess.run(command, check=True, env=environment)
    for path in here:
        assert path.read_text() == (tmp_path / "there" / path.name).read_text()


READ_BACK = ["take_blocks", "swap_out", "finish_each", "lemma_first_open", "kv_issue_step"]
OTHERS = [name for name in units() if name not in (*READ_BACK, "arithmetic")]


@pytest.mark.parametrize(
    "name", [*READ_BACK, *[pytest.param(name, marks=pytest.mark.deep) for name in OTHERS]]
)
def test_z3_reads_back_what_was_written(name: str) -> None:
    """Each formula that is read is the formula that was written, up to its symbols' names."""
    unit = build(name)
    again = read(write(unit))
    goals = [goal for goal in unit.by_depth() if goal.formula is not None]
    given = [*unit.hypotheses, *unit.assumptions, *[goal.formula for goal in goals]]
    before: list[Any] = [z3.BoolVal(f) if isinstance(f, bool) else f for f in given]
    after = [*again.hypotheses, *again.assumptions, *[goal.formula for goal in again.goals]]
    assert [g.depth for g in goals] == [g.depth for g in again.goals]
    assert len(before) == len(after)
    names: dict[str, str] = {}
    seen: Seen = {}
    assert all(same(x, y, names, seen) for x, y in zip(before, after, strict=True))
    # z3 calls the list of a quantifier's patterns `pattern`, whatever its length
    symbols = [written for symbol, written in names.items() if symbol[:8] != "pattern/"]
    assert len(set(symbols)) == len(symbols)
    assert not all(same(before[0], y, {}, {}) for y in after[1:])


def bare(x: Any) -> Any:
    """A formula in the form in which it is written: no conjunction or disjunction of one, no `and true`, and
    `a => (b => c)` as z3 prints it, `a and b => c`.
    """
    if z3.is_quantifier(x) or z3.is_var(x):
        return x
    if (z3.is_and(x) or z3.is_or(x)) and x.num_args() == 1:
        return bare(x.arg(0))
    if z3.is_and(x) and x.num_args() == 2 and z3.is_true(x.arg(1)):
        return bare(x.arg(0))
    if z3.is_implies(x) and z3.is_implies(x.arg(1)):
        return bare(z3.Implies(z3.And(x.arg(0), x.arg(1).arg(0)), x.arg(1).arg(1)))
    return x


#: By the ids of two formulas, what was found; it holds the formulas, so that no other one gets their ids.
Seen = dict[tuple[int, int], tuple[bool, Any, Any]]


def same(x: Any, y: Any, names: dict[str, str], seen: Seen) -> bool:
    """Whether two formulas differ in names alone, and in nothing that `names` says otherwise."""
    key, given = (x.get_id(), y.get_id()), (x, y)
    if key in seen:
        return seen[key][0]
    if isinstance(x, z3.BoolRef):
        x, y = bare(x), bare(y)
    pairs: list[tuple[Any, Any]] = []
    if z3.is_int_value(x) and x.as_long() < 0:  # written as a minus and a number
        equal = z3.is_app(y) and y.decl().kind() == z3.Z3_OP_UMINUS and y.sexpr() == x.sexpr()
    elif z3.is_quantifier(x):
        equal = z3.is_quantifier(y) and x.is_forall() == y.is_forall()
        equal = equal and x.num_vars() == y.num_vars() and x.num_patterns() == y.num_patterns()
        if equal:
            pairs = [(x.pattern(k), y.pattern(k)) for k in range(x.num_patterns())]
            pairs.append((x.body(), y.body()))
            sorts = range(x.num_vars())
            equal = all(x.var_sort(k).name() == y.var_sort(k).name() for k in sorts)
    elif z3.is_var(x):
        equal = z3.is_var(y) and z3.get_var_index(x) == z3.get_var_index(y)
    else:
        equal = z3.is_app(y) and x.decl().kind() == y.decl().kind()
        equal = equal and x.num_args() == y.num_args()
        if equal and x.decl().kind() == z3.Z3_OP_UNINTERPRETED:
            written = names.setdefault(f"{x.decl().name()}/{x.num_args()}", y.decl().name())
            equal = written == y.decl().name() and x.sort().name() == y.sort().name()
        elif equal and x.num_args() == 0:
            equal = bool(x.sexpr() == y.sexpr())
        pairs = list(zip(x.children(), y.children(), strict=True)) if equal else []
    equal = equal and all(same(a, b, names, seen) for a, b in pairs)
    seen[key] = (equal, *given)
    return equal


@pytest.mark.parametrize(
    ("printed", "written"),
    [
        ("(let (($x1 (p i)))\n (and $x1 $x1))", "(and (p i) (p i))"),
        # The inner let gives the name to another formula, inside its body alone.
        ("(let (($x1 p)) (and (let (($x1 (not q))) (or $x1 r)) $x1))", "(and (or (not q) r) p)"),
        ("(let ((?x1 (+ a 1))) (let ((?x2 (* ?x1 b))) (= ?x2 ?x1)))", "(= (* (+ a 1) b) (+ a 1))"),
        ("(let (($x1 (p a)))\n $x1)", "(p a)"),
        ("(and (distinct a b) true)", "(distinct a b)"),
        ("(or (distinct a b) true)", "(or (distinct a b) true)"),
        ("(and (or p) (and q r true))", "(and p (and q r true))"),
    ],
)
def test_what_z3_shares_is_written_where_it_is_used(printed: str, written: str) -> None:
    assert rewritten(printed, lambda token, _: token) == written


def test_a_name_that_would_be_bound_is_refused() -> None:
    n: Any = z3.Int("n")
    f: Any = z3.Function("f", z3.IntSort(), z3.IntSort())
    unit = Unit("u", [z3.ForAll([n], f(n) > 0), n > 0], [], [Goal("step", "x", 0, f(n) > 0)])
    with pytest.raises(ValueError, match="n is a symbol and a bound variable"):
        write(unit)


def test_a_name_like_that_of_a_shared_formula_is_refused() -> None:
    p: Any = z3.Bool("$x1")
    with pytest.raises(ValueError, match=r"\$x1 begins as z3's names of shared formulas do"):
        write(Unit("u", [p], [], [Goal("step", "x", 0, p)]))


def test_a_constant_and_a_function_of_one_name_are_told_apart() -> None:
    index: Any = z3.Int("index")
    function: Any = z3.Function("index", z3.IntSort(), z3.IntSort())
    goal = Goal("step", "x", 0, function(index) != index + 1)
    unit = Unit("u", [function(index) == index], [], [goal])
    script = write(unit)
    assert list(script.functions) == ["index", "the_index"]
    assert answers(script.text()) == ["unsat"]
    assert [r.status for r in prove_unit(read(script))] == ["proved"]
    other = replace(unit, goals=[replace(goal, formula=function(index) == index + 1)])
    assert answers(write(other).text()) == ["sat"]


def test_other_names_say_the_same() -> None:
    script = write(build("dispatch_copies"))
    names = {name: f"other_{name}" for name in (*script.sorts, *script.functions)}
    other = renamed(script, names)
    assert all(name.startswith("other_") for name in (*other.sorts, *other.functions))
    assert renamed(other, {new: old for old, new in names.items()}) == script
