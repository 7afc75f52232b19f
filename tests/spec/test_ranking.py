"""Every lemma of progress holds, and is seen to fail when the function that it is about is broken."""

# pyright: basic

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest

z3 = pytest.importorskip("z3")

from edits import written

from lineclear.policies import load_claims
from lineclear.scheduling import sequence_demand, step
from lineclear.theorems import entering
from lineclear_spec import logic, orders, progress
from lineclear_spec.actions import ACTIONS
from lineclear_spec.crosscheck import crosscheck_unit
from lineclear_spec.ghosts import guards_of
from lineclear_spec.ledger import Ledger
from lineclear_spec.obligations import (
    ENTERING,
    PROGRESS,
    Goal,
    Unit,
    build,
    every_key,
    keys_of,
    units,
)
from lineclear_spec.prove import prove_unit
from lineclear_spec.records import Limits
from lineclear_spec.standings import Standing, expand, standing
from lineclear_spec.terms import Misuse
from lineclear_spec.theorems import CLAIMS, ORDER, TABLE, Claims, Fact, Theorem, claim

LEMMAS = ("ranking", "progress")


def lemmas(unit: Unit) -> Unit:
    unit.goals = [goal for goal in unit.goals if goal.kind in LEMMAS]
    return unit


def failing(unit: Unit) -> set[str]:
    """Lemmas that are not proved."""
    found = prove_unit(lemmas(unit), budget=400_000)
    assert found
    return {r.invariant for r in found if r.status != "proved"}


def test_every_action_has_the_lemmas_of_ranking() -> None:
    for name in ACTIONS:
        labels = [goal.label for goal in lemmas(build(name)).goals]
        assert len(labels) == len(set(labels)) >= 4, name


#: A method or a function of the scheduler, one statement of it, and what it is changed to.
PLANTED: dict[str, tuple[Callable[..., Any], str, str]] = {
    "one block short when no request runs": (
        step.Step.have,
        "self.ledger.gpu.free",
        "self.ledger.gpu.free - (not live.running)",
    ),
    "a seat short": (step.Step.have, "live.seats,", "live.seats + 1,"),
    "the watermark is kept when no request runs": (
        step.Step.have,
        "kept_free(self.config.watermark_blocks, len(live.running))",
        "self.config.watermark_blocks",
    ),
    "a waiting request wants a block more": (
        step.Step.want,
        "return Need(blocks,",
        "return Need(blocks + 1,",
    ),
    "a swapped request wants a block more": (
        step.Step.want,
        "record.blocks + growth",
        "record.blocks + growth + 1",
    ),
    "a request that waits wants two tokens": (
        step.Step.want,
        "asked_tokens(1 if chunked",
        "asked_tokens(2 if chunked",
    ),
    "a sequence wants a block more": (sequence_demand.sized, "+ copy\n", "+ copy + 1\n"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_runs_when_a_request_enters_is_what_is_proved(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_claims()
    function, text, other = PLANTED[name]
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(text) == 1
    names = dict(vars(inspect.getmodule(function)))
    annotated = "from __future__ import annotations\n" + source.replace(text, other)
    written(f"<{name}>", annotated, names)
    owner = step.Step if function.__qualname__.startswith("Step.") else entering
    assert not any(failing(build(unit)) for unit in ENTERING)
    monkeypatch.setattr(owner, function.__name__, names[function.__name__])
    assert any(failing(build(unit)) for unit in ENTERING)


@pytest.mark.parametrize("name", [*PROGRESS, *ENTERING])
def test_the_decisions_are_proved_by_both_solvers(name: str) -> None:
    assert [r for r in prove_unit(build(name)) if r.status != "proved"] == []
    assert [r for r in crosscheck_unit(build(name)) if r.status != "proved"] == []


@pytest.mark.parametrize("name", [*PROGRESS, *ENTERING])
def test_the_hypotheses_of_decisions_do_not_contradict_each_other(name: str) -> None:
    unit = build(name)
    unit.goals = [Goal("progress", "false", 0, z3.BoolVal(False))]
    assert [r.status for r in prove_unit(unit)] != ["proved"]
    assert [r.status for r in crosscheck_unit(unit, budget=20_000)] != ["proved"]


#: A decision, how it is broken, and a lemma that is not proved any more.
BROKEN: dict[str, tuple[str, str, str]] = {
    "a victim among all": ("behind", "b, o: negate(o < o)", "no request precedes the first"),
    "a victim ahead": ("behind", "b, o: o < b", "no request precedes the first in the order"),
    "growth beside no request": ("grows", "p, w, f: w < f - p", "runs alone can grow"),
    "growth that grows dearer": ("grows", "p, w, f: p + w + f <= 9", "every victim lowers"),
    "any-fit skipping": ("may_be_passed", "by, most: by >= 0", "with no bypass no request"),
    "one bypass more": ("may_be_passed", "by, most: by <= most", "passed at most `bypass`"),
    "no pause when blocked": (
        "admits_others",
        "p, pause, d, b: both(negate(both(p, pause)), negate(d))",
        "lacks tokens admits no other",
    ),
    "no request is ever let in": (
        "admits_others",
        "p, pause, d, b: both(negate(p), negate(d), negate(b), pause, negate(pause))",
        "lets the head in",
    ),
    "a request is displaced before it has kept a token": (
        "may_be_displaced",
        "displacing, kept: any_of(displacing, negate(displacing))",
        "that entered by displacing is not displaced",
    ),
    "none is displaced that entered by displacing": (
        "may_be_displaced",
        "displacing, kept: negate(displacing)",
        "any other request may be displaced",
    ),
    "a head that asks for no token": (
        "asked_tokens",
        "tokens, budget: smaller(tokens, budget) - 1",
        "no request displaces without the first that runs",
    ),
    "a first prompt that leaves tokens": (
        "chunk",
        "t, left, c: either(t <= left, t, larger(0, left - 1))",
        "no request displaces without the first that runs",
    ),
    "a watermark that is never waived": ("kept_free", "w, r: w", "no block is kept free"),
    "a whole group's tokens at once": (
        "asked_tokens",
        "tokens, budget: tokens",
        "never asked for more tokens than a step has",
    ),
    "a chunk of nothing": ("chunk", "t, left, c: either(t <= left, t, 0)", "and so a token"),
    "a chunk too large": ("chunk", "t, left, c: t", "never more than there is"),
    "a whole prompt is put off": (
        "chunk",
        "t, left, c: either(t < left, t, either(c, larger(0, left - 1), 0))",
        "is computed whole",
    ),
    "slots beyond the limit": (
        "wanted_slots",
        "slots, reach, tokens: slots + tokens",
        "runs alone can grow",
    ),
    "tokens beyond the last": (
        "wanted_tokens",
        "exist, last, reach, drafts: exist - reach + drafts",
        "runs alone can grow",
    ),
    "a block too many": (
        "wanted_blocks",
        "need, length, shared: need - length + 1",
        "one sequence that runs alone can grow",
    ),
    "no sharing": ("beside", "need, full: need", "a further branch asks"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_decision_is_refuted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, text, lemma = BROKEN[name]
    arguments, answer = text.split(":")
    names = dict(vars(logic))
    written(f"<{name}>", f"def {function}({arguments}):\n    return {answer.strip()}\n", names)
    broken = names[function]
    for module in (progress, step, sequence_demand):  # where the scheduler has it from
        if hasattr(module, function):
            monkeypatch.setattr(module, function, broken)
    load_claims()
    lost = {label for unit in (*PROGRESS, *ENTERING) for label in failing(build(unit))}
    assert any(lemma in label for label in lost), lost


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function around an action is none of the table's: the proof alone is asked about it."""
    monkeypatch.setattr("lineclear_spec.dialect.check_action", lambda _: None)  # pyright: ignore


def losing_effect(name: str, write: Callable[..., None]) -> Unit:
    """The unit of an action that also does something else."""
    body = ACTIONS[name].body

    def broken(ledger: Any, *arguments: Any) -> Any:
        result = body(ledger, *arguments)
        write(ledger, *arguments)
        return result

    return build(name, broken)


def resets(ledger: Any, record: Any, *_: Any) -> None:
    """What others have computed is lost, as if recompute were meant for all."""
    ledger.state.fields["reach_tokens"] = lambda q: z3.IntVal(0)


def forgets(ledger: Any, record: Any, *_: Any) -> None:
    ledger.state.fields["known_tokens"] = lambda q: z3.IntVal(1)


def promises_nothing(ledger: Any, sequence: Any, *_: Any) -> None:
    sequence.promised_samples = 0


def parks_all(ledger: Any, *_: Any) -> None:
    ledger.state.fields["phase"] = lambda r: z3.IntVal(1)


def computes_nothing(ledger: Any, sequence: Any, tokens: Any, drafts: Any) -> None:
    sequence.reach_tokens = sequence.reach_tokens - tokens


def counts_nothing(ledger: Any, *_: Any) -> None:
    ledger.step_tokens = 0


def stays(ledger: Any, *_: Any) -> None:
    ledger.steps = ledger.steps - 1


def learns_nothing(ledger: Any, sequence: Any, step: Any, accepted: Any, rejected: Any) -> None:
    sequence.known_tokens = sequence.known_tokens - accepted


EFFECTS: list[tuple[str, Callable[..., None], str]] = [
    ("swap_out", resets, "is raised by no action on another"),
    ("recompute", resets, "is raised by no action on another"),
    ("recompute", forgets, "no token that is known is forgotten"),
    ("schedule_tokens", promises_nothing, "a token is left to compute"),
    ("admit", parks_all, "no other request changes its phase"),
    ("admit", parks_all, "it runs"),
    ("schedule_tokens", computes_nothing, "it lowers what is left"),
    ("schedule_tokens", counts_nothing, "is not empty"),
    ("issue_step", stays, "lowers what is left to every steady"),
    ("sample", learns_nothing, "it brings a token"),
]


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(("name", "write", "lemma"), EFFECTS)
def test_a_broken_effect_is_refuted(name: str, write: Callable[..., None], lemma: str) -> None:
    lost = failing(losing_effect(name, write))
    assert any(lemma in label for label in lost), lost


@pytest.mark.parametrize("name", ["recompute", "swap_out"])
def test_a_victim_that_keeps_its_places_is_refuted(name: str) -> None:
    assert "every place that it held is free at once" in failing(build(name, guards_of(name)))


@pytest.mark.usefixtures("planted")
def test_a_branch_born_with_more_left_than_its_parent_is_refuted() -> None:
    def broken(ledger: Any, parent: Any, tokens: Any) -> Any:
        child = ACTIONS["fork"].body(ledger, parent, tokens)
        child.reach_tokens = parent.reach_tokens - 1
        return child

    assert "a branch has no more left than its parent" in failing(build("fork", broken))


def test_bounds_of_groups_are_those_of_the_ledger() -> None:
    """What the lemmas assume of the worst case: one branch, and one more than another."""
    for size in (1, 3, 4):
        ledger = Ledger(Limits(block_size=size, gpu_blocks=999))
        for prompt in range(1, 12):
            for most in range(1, 9):
                limit = prompt + most
                worst = [
                    ledger.worst_case(ledger.new_request(prompt, limit, n)) for n in (1, 2, 3)
                ]
                assert worst[0] == ledger.need(limit - 1)
                more = ledger.need(limit - 1) - ledger.block_of(prompt)
                assert worst[1] - worst[0] == worst[2] - worst[1] == more


# ---- policies ----------------------------------------------------------------------------------


class Keyed:
    """A policy of one key."""

    name = "keyed"

    def __init__(self, key: Callable[[Any], Any], displaces: Callable[[Any, Any], Any]) -> None:
        self.key = key
        self.may_displace = displaces


def never(waiting: Any, running: Any) -> bool:
    return False


def of_policy(
    key: Callable[[Any], Any], displaces: Callable[[Any, Any], Any] = never, *facts: Fact
) -> set[str]:
    claims = Claims("keyed", lambda _: Keyed(key, displaces), (), facts)
    hypotheses, goals = orders.order(claims)
    unit = Unit(
        "order_keyed", hypotheses, [], [Goal("progress", label, 0, goal) for label, goal in goals]
    )
    assert {r.invariant for r in crosscheck_unit(unit) if r.status != "proved"} == failing(unit)
    return failing(unit)


def test_keys_of_numbers_of_any_kind_make_an_order() -> None:
    assert of_policy(lambda r: 0) == set()
    assert of_policy(lambda r: (-r.priority, r.arrival_time)) == set()
    assert of_policy(lambda r: r.arrival_time - 2.5 * r.priority) == set()


def test_an_order_without_the_number_of_the_arrival_is_not_total(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = orders.LexicalOrder.__init__
    monkeypatch.setattr(
        orders.LexicalOrder, "__init__", lambda self, parts: real(self, parts[:-1])
    )
    lost = of_policy(lambda r: -r.priority)
    assert lost == {"the order is total on requests that arrived apart"}


def test_displacing_against_the_order_is_refuted() -> None:
    lost = of_policy(lambda r: 0, lambda w, r: r.priority < w.priority)
    assert lost == {"a displaced request comes later in the order"}


def test_a_key_that_changes_or_names_its_request_is_no_order() -> None:
    for reads in ("request_id", "generated", "waiting", "tenant"):
        with pytest.raises(AttributeError):
            of_policy(attrgetter(reads))
    with pytest.raises(Misuse):
        of_policy(lambda r: 1 if r.priority > 3 else 0)


def test_a_false_fact_is_refuted() -> None:
    fact = Fact("the first arrival is first", lambda a, b, _: a.order < b.order)
    assert of_policy(lambda r: 0, never, fact) == {fact.label}


def test_the_order_on_formulas_is_that_of_tuples() -> None:
    values = [(a, b, c) for a in (0, 1) for b in (0, 2) for c in (1, 2)]
    for left in values:
        for right in values:
            terms = (
                orders.LexicalOrder(tuple(z3.IntVal(x) for x in side)) for side in (left, right)
            )
            first, second = terms
            answer = z3.simplify((first < second).z)
            assert z3.is_true(answer) == (left < right)


# ---- theorems ----------------------------------------------------------------------------------

THEOREM = Theorem("x.P0", "it holds", ("F1",), ("a/progress/", "b/progress/one"))


KEYS: tuple[str, ...] = ("a/progress/one", "a/progress/two", "b/progress/one", "b/progress/other")


def stands(theorem: Theorem, answers: dict[str, str], keys: tuple[str, ...] = KEYS) -> Standing:
    return standing(theorem, {k: {s} for k, s in answers.items()}, expand(theorem, keys))


def test_a_theorem_is_proved_only_if_all_that_it_rests_on_was_asked_and_proved() -> None:
    proved: dict[str, str] = dict.fromkeys(KEYS[:3], "proved")
    assert stands(THEOREM, proved).status == "proved"
    assert stands(THEOREM, proved).rests_on == KEYS[:3]
    assert stands(THEOREM, proved).premises == {"F1": "guard"}
    for key in KEYS[:3]:
        fewer = {k: s for k, s in proved.items() if k != key}
        assert stands(THEOREM, fewer).status == "not asked"
        assert stands(THEOREM, fewer).not_asked == (key,)
        for status in ("unknown", "refuted"):
            assert stands(THEOREM, {**proved, key: status}).status == status
            assert stands(THEOREM, {**proved, key: status}).missing == (key,)
    assert stands(THEOREM, {**proved, "b/progress/other": "refuted"}).status == "proved"


def test_one_solver_or_seed_that_says_no_is_enough() -> None:
    keys = expand(THEOREM, KEYS)
    answers = {key: {"proved"} for key in keys}
    assert standing(THEOREM, {**answers, keys[0]: {"proved", "unknown"}}, keys).status == "unknown"


def test_a_key_that_no_unit_makes_is_refused() -> None:
    for rests_on in (("c/progress/one",), ("a/progress/", "b/progress/two"), ()):
        with pytest.raises(ValueError, match=r"x\.P0 rests on"):
            expand(Theorem("x.P0", "it holds", (), rests_on), KEYS)


def falls(keys: list[str], of_each: int) -> int:
    """Takes away one key after the other of each theorem and sees it fall; how many theorems."""
    answers = {key: {"proved"} for key in keys}
    theorems = [theorem for claims in CLAIMS.values() for theorem in claims.theorems]
    for number, theorem in enumerate(theorems):
        mine = expand(theorem, keys)
        assert standing(theorem, answers, mine).status == "proved"
        own = [k for k in mine if k.startswith((ORDER, "decisions/", "empty_pool/", "admission/"))]
        table = [key for key in mine if key not in own]
        some = table if number == 0 else table[number :: len(table) // of_each + 1]
        for key in (*own, *some):
            found = standing(theorem, {k: s for k, s in answers.items() if k != key}, mine)
            assert (found.status, found.not_asked) == ("not asked", (key,)), theorem.name
    return len(theorems)


def test_each_key_of_each_theorem_counts() -> None:
    load_claims()
    keys = [
        k
        for name in units()
        if name in ("carry", *PROGRESS, *ENTERING) or name.startswith(ORDER)
        for k in keys_of(name)
    ]
    assert falls(list(dict.fromkeys(keys)), 5) > 60


@pytest.mark.deep
def test_each_key_of_each_theorem_counts_with_the_whole_table() -> None:
    load_claims()
    keys = every_key()
    assert len(keys) == len(set(keys)) > 2700
    assert falls(keys, 5) > 60


def test_the_table_is_every_unit_but_the_orders() -> None:
    theorem = Theorem("x.P0", "it holds", (), (TABLE,))
    keys = ("carry/defined/a", "admission/progress/a", "order_x/progress/a")
    assert expand(theorem, keys) == keys[:2]
    with pytest.raises(ValueError, match="no unit makes"):  # no scheduler has said what runs
        expand(theorem, keys[::2])


def test_an_unknown_premise_is_refused() -> None:
    theorem = Theorem("x.P0", "it holds", ("F99",), ("a/",))
    with pytest.raises(ValueError, match="F99"):
        claim(Claims("x", lambda _: None, (theorem,)))
    assert "x" not in CLAIMS
