"""Every lemma of sharing holds, and is seen to fail when the function that it is about is broken."""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import z3
from edits import written

from lineclear.policies import accounts, load_claims, mlfq, tenants, virtual_time
from lineclear.policies.accounts import any_account
from lineclear.policies.claims import turn_lemmas
from lineclear_spec.crosscheck.second_solver import crosscheck_unit
from lineclear_spec.liveness.orders import Unknowns
from lineclear_spec.liveness.theorems import CLAIMS
from lineclear_spec.logic import and_, implies
from lineclear_spec.proof.obligations import Goal, Unit, build
from lineclear_spec.proof.prove import prove_unit
from lineclear_spec.symbolic.terms import raw

load_claims()
POLICIES = ("vtc", "drr", "mlfq")


def lost(policy: str) -> set[str]:
    """Lemmas that are not proved; both solvers must say the same."""
    unit = build(f"order_{policy}")
    found = {r.label for r in prove_unit(unit, budget=400_000) if r.status != "proved"}
    assert found == {r.label for r in crosscheck_unit(unit, budget=40_000) if r.status != "proved"}
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


def without_the_prompt(self: Any, prompt: Any, output: Any, sequences: Any) -> Any:
    return self.dearest.output * (sequences * output)


def of_a_sum(self: Any, prompt: Any, output: Any, sequences: Any) -> Any:
    return self.dearest.prompt * prompt + self.dearest.output * (sequences + output)


@pytest.mark.parametrize(
    ("most_charged", "label"),
    [
        (without_the_prompt, "a prompt and all that a tenant has started cost U at most"),
        (of_a_sum, "U is that of one sequence with the tokens of all"),
    ],
)
def test_a_bound_that_is_too_small_is_not_proved(
    most_charged: Any, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants.TenantPolicy, "most_charged", most_charged)
    unit = build("order_vtc")
    unit.goals = [goal for goal in unit.goals if goal.label == label]
    answers = {r.status for r in (*prove_unit(unit), *crosscheck_unit(unit, budget=40_000))}
    assert answers
    assert "proved" not in answers


def test_a_promoted_request_that_goes_before_its_elders_is_refuted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The number of the arrival is what keeps later ones behind: without it none is first."""
    names = dict(vars(mlfq))
    written("<a key without arrival>", "def key(self, r):\n    return -r.generated\n", names)
    monkeypatch.setattr(mlfq.MultiLevelFeedbackQueue, "key", names["key"])
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
    most, virtual, open_, others, tokens, more, step = map(
        unknowns.whole, ("most", "virtual", "open", "others", "tokens", "more", "step")
    )
    mine, other = (any_account(unknowns, name) for name in ("mine", "other"))
    counter, theirs = accounts.accrued(mine, step), accounts.accrued(other, step)
    after, turn = virtual_time.admitted(mine, virtual, tokens, step, False)
    before = and_(
        virtual_time.stands(most, virtual, mine, open_, step),
        virtual_time.stands(most, virtual, other, others, step),
        mine.waiting,
        other.waiting,
        counter <= theirs if least else counter >= 0,
        mine.prompt * tokens + open_ + more <= most if room else tokens >= 0,
    )
    return implies(
        before,
        and_(
            virtual_time.stands(most, turn, after, open_ + more, step),
            virtual_time.stands(most, turn, other, others, step),
        ),
    )


def test_the_premises_of_an_admission_are_needed() -> None:
    assert not refuted(lambda u: admission(u, room=True))
    assert refuted(lambda u: admission(u, room=False))
    assert refuted(lambda u: admission(u, room=True, least=False))


def test_a_refund_while_waiting_breaks_the_invariant() -> None:
    def refund(unknowns: Unknowns) -> Any:
        most, virtual, open_, back, step = map(
            unknowns.whole, ("most", "virtual", "open", "back", "step")
        )
        mine = any_account(unknowns, "mine")
        return implies(
            and_(virtual_time.stands(most, virtual, mine, open_, step), mine.waiting),
            virtual_time.stands(most, virtual, accounts.charge(mine, -back, step), open_, step),
        )

    assert refuted(refund)


def test_serving_a_tenant_in_debt_breaks_the_deficit() -> None:
    def served(unknowns: Unknowns) -> Any:
        most, open_, tokens, step = map(unknowns.whole, ("most", "open", "tokens", "step"))
        quantum, earned = unknowns.whole("quantum", 1), unknowns.whole("earned", None)
        mine = any_account(unknowns, "mine")
        after = accounts.admitted(mine, tokens, step)
        return implies(
            and_(
                turn_lemmas.stands(most, quantum, mine, earned, open_, step),
                mine.prompt * tokens + open_ <= most,
            ),
            turn_lemmas.stands(most, quantum, after, earned, open_, step),
        )

    assert refuted(served)


def test_policies_of_tenants_claim_what_they_should() -> None:
    names = {policy: {t.name for t in CLAIMS[policy].theorems} for policy in POLICIES}
    assert {"vtc.P6b", "vtc.P7", "vtc.P12", "vtc.P7 without A4"} <= names["vtc"]
    assert {"drr.P6b", "drr.P7", "drr.P13"} <= names["drr"]
    assert {"mlfq.P6b", "mlfq.P7", "mlfq.P10"} <= names["mlfq"]
    assert not any(t.holds for t in CLAIMS["mlfq"].theorems if t.name == "mlfq.P10")
