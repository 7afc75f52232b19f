"""Every lemma of sharing holds, and is seen to fail when the function that it is about is broken."""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

z3 = pytest.importorskip("z3")

from lineclear.policies import drr, load_claims, mlfq, tenants, vtc
from lineclear_spec.crosscheck import crosscheck_unit
from lineclear_spec.logic import both, either, implies, negate, smaller
from lineclear_spec.obligations import Goal, Unit, build
from lineclear_spec.orders import Unknowns
from lineclear_spec.prove import prove_unit
from lineclear_spec.terms import raw
from lineclear_spec.theorems import CLAIMS

load_claims()
POLICIES = ("vtc", "drr", "mlfq")


def lost(policy: str) -> set[str]:
    """Lemmas that are not proved; both solvers must say the same."""
    unit = build(f"order_{policy}")
    found = {r.invariant for r in prove_unit(unit, budget=400_000) if r.status != "proved"}
    assert found == {
        r.invariant for r in crosscheck_unit(unit, budget=40_000) if r.status != "proved"
    }
    return found


@pytest.mark.parametrize("policy", POLICIES)
def test_every_lemma_is_proved_by_both_solvers(policy: str) -> None:
    assert lost(policy) == set()
    assert len(build(f"order_{policy}").goals) >= 10


@pytest.mark.parametrize("policy", POLICIES)
def test_hypotheses_do_not_contradict_each_other(policy: str) -> None:
    unit = build(f"order_{policy}")
    unit.goals = [Goal("progress", "false", 0, z3.BoolVal(False))]
    assert [r.status for r in prove_unit(unit)] == ["refuted"]


#: How a function is broken, and a lemma that is not proved any more.
BROKEN: dict[str, tuple[Any, str, Callable[..., Any], str]] = {
    "vtc: no lift": (
        vtc,
        "lifted",
        lambda counter, virtual: counter,
        "coming back, by an arrival",
    ),
    "vtc: a lift above the virtual time": (
        vtc,
        "lifted",
        lambda c, v: either(c >= v, c, v + v + 1),
        "coming back, by an arrival",
    ),
    "vtc: anybody goes next": (vtc, "leads", lambda now, least: now >= 0, "least counter"),
    "vtc: a refund": (vtc, "paid", lambda charged, price: charged - price, "admission keeps I(V)"),
    "vtc: free tokens that stay open": (
        vtc,
        "paid",
        lambda charged, price: charged + 2 * price,
        "a generated token keeps I(V)",
    ),
    "vtc: half the bound": (vtc, "gap", lambda most: most, "differs by 2 U at most"),
    "drr: served without credit": (
        drr,
        "has_credit",
        lambda credit: credit == credit,
        "being served with credit",
    ),
    "drr: credit is saved": (drr, "refilled", lambda c, q: c + q, "a turn keeps the credit"),
    "drr: a turn that earns nothing": (
        drr,
        "refilled",
        lambda c, q: smaller(q, c),
        "earns one quantum",
    ),
    "drr: who comes back brings credit": (
        drr,
        "earned_back",
        lambda c, gone: c + gone,
        "coming back keeps",
    ),
    "drr: half the bound": (drr, "gap", lambda q, u: q + u, "differs by Q + 2 (Q + U)"),
    "mlfq: a quantum comes back": (
        mlfq,
        "used_up",
        lambda served, covered: served < covered,
        "a quantum that is used up stays so",
    ),
    "mlfq: the top is left at once": (
        mlfq,
        "used_up",
        lambda served, covered: served + 1 > 0 * covered,
        "within the first quantum none",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_function_is_refuted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, function, broken, lemma = BROKEN[name]
    monkeypatch.setattr(module, function, broken)
    assert any(lemma in label for label in lost(name.partition(":")[0]))


def test_a_prompt_left_out_of_the_bound_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    def outputs(self: Any, prompt: Any, output: Any, sequences: Any) -> Any:
        return self.output_price * sequences * output

    monkeypatch.setattr(tenants.TenantPolicy, "most_charged", outputs)
    assert lost("vtc") == {"a prompt and all that a tenant has started cost U at most"}


def test_a_promoted_request_that_goes_before_its_elders_is_refuted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The number of the arrival is what keeps later ones behind: without it none is first."""
    monkeypatch.setattr(mlfq.MultiLevelFeedbackQueue, "key", lambda self, r: -r.generated)
    assert "before a request on the top only earlier arrivals go, which are on the top" in lost(
        "mlfq"
    )


# ---- premises: each is needed ------------------------------------------------------------------


def refuted(make: Callable[[Unknowns], Any]) -> bool:
    """Whether both solvers say that there are numbers for which it is false."""
    unknowns = Unknowns()
    condition = raw(make(unknowns))
    unit = Unit("order_control", unknowns.facts, [], [Goal("progress", "control", 0, condition)])
    answers = {r.status for r in (*prove_unit(unit), *crosscheck_unit(unit))}
    assert len(answers) == 1, answers
    return answers == {"refuted"}


def admission(unknowns: Unknowns, *, room: bool, least: bool = True) -> Any:
    """Admission keeps I(V), with or without two of its premises."""
    names = ("most", "virtual", "counter", "open", "other", "others", "price", "more")
    most, virtual, counter, open_, other, others, price, more = map(unknowns.real, names)
    before = both(
        vtc.stands(most, virtual, counter, open_, True),
        vtc.stands(most, virtual, other, others, True),
        counter <= other if least else counter >= 0,
        price + open_ + more <= most if room else price >= 0,
    )
    turn = vtc.lifted(virtual, counter)
    return implies(
        before,
        both(
            vtc.stands(most, turn, counter + price, open_ + more, True),
            vtc.stands(most, turn, other, others, True),
        ),
    )


def test_the_premises_of_an_admission_are_needed() -> None:
    assert not refuted(lambda u: admission(u, room=True))
    assert refuted(lambda u: admission(u, room=False))
    assert refuted(lambda u: admission(u, room=True, least=False))


def test_a_refund_while_waiting_breaks_the_invariant() -> None:
    def refund(unknowns: Unknowns) -> Any:
        most, virtual, counter, open_, back = map(
            unknowns.real, ("most", "virtual", "counter", "open", "back")
        )
        return implies(
            vtc.stands(most, virtual, counter, open_, True),
            vtc.stands(most, virtual, counter - back, open_, True),
        )

    assert refuted(refund)


def test_serving_a_tenant_in_debt_breaks_the_deficit() -> None:
    def served(unknowns: Unknowns) -> Any:
        most, quantum, open_, price = map(unknowns.real, ("most", "quantum", "open", "price"))
        credit = unknowns.real("credit", None)
        return implies(
            both(drr.stands(most, quantum, credit, open_), price + open_ <= most),
            drr.stands(most, quantum, credit - price, open_),
        )

    assert refuted(served)


def test_the_turn_of_two_who_wait_is_skipped_if_a_leaver_takes_it_along() -> None:
    """The bug that the lemma of turns found: who moves up is sent to the end without its turn."""

    def skipped(unknowns: Unknowns) -> Any:
        ahead, turns = unknowns.truth("ahead"), unknowns.whole("turns", None)
        return implies(drr.pair(ahead, False, turns), drr.pair(negate(ahead), False, turns))

    assert refuted(skipped)


def test_policies_of_tenants_claim_what_they_should() -> None:
    names = {policy: {t.name for t in CLAIMS[policy].theorems} for policy in POLICIES}
    assert {"vtc.P6b", "vtc.P7", "vtc.P12", "vtc.P7 without A4"} <= names["vtc"]
    assert {"drr.P6b", "drr.P7", "drr.P13"} <= names["drr"]
    assert {"mlfq.P6b", "mlfq.P7", "mlfq.P10"} <= names["mlfq"]
    assert not any(t.holds for t in CLAIMS["mlfq"].theorems if t.name == "mlfq.P10")
