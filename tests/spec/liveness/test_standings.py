"""A theorem stands only if all that it rests on was asked and is proved."""

# pyright: basic

from __future__ import annotations

import pytest

from lineclear.policies import load_claims
from lineclear_spec.liveness.progress_units import ENTERING, PROGRESS
from lineclear_spec.liveness.standings import Standing, expand, standing
from lineclear_spec.liveness.theorems import CLAIMS, ORDER, TABLE, Claims, Theorem, claim
from lineclear_spec.proof.obligations import units
from lineclear_spec.proof.prove import every_key, keys_of

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
        if name in ("dispatch_copies", *PROGRESS, *ENTERING) or name.startswith(ORDER)
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
    keys = ("dispatch_copies/defined/a", "admission/progress/a", "order_x/progress/a")
    assert expand(theorem, keys) == keys[:2]
    with pytest.raises(ValueError, match="no unit makes"):  # no scheduler has said what runs
        expand(theorem, keys[::2])


def test_an_unknown_premise_is_refused() -> None:
    theorem = Theorem("x.P0", "it holds", ("F99",), ("a/",))
    with pytest.raises(ValueError, match="F99"):
        claim(Claims("x", lambda _: None, (theorem,)))
    assert "x" not in CLAIMS


def test_theorems_about_those_that_run_rest_on_their_rank() -> None:
    load_claims()
    found = {t.name: t for t in CLAIMS["hybrid"].theorems}
    for name in ("hybrid.P4'", "hybrid.P6a", "hybrid.P10"):
        keys = expand(found[name], every_key())
        ranks = [key for key in keys if key.startswith("order_hybrid/progress/the rank is ")]
        assert len(ranks) >= 3
    assert "comes later among those that run" in found["hybrid.P4'"].sentence
    assert "comes later in the order" in CLAIMS["fcfs"].theorems[3].sentence
