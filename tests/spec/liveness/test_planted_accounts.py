"""Errors planted in the text of the functions that change accounts: each fails its own lemma.

The text that is changed is that of the function which the policy calls; the lemmas run the same one.
"""

# pyright: basic

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any, NamedTuple

import pytest

from lineclear.policies import (
    accounts,
    drr,
    feedback,
    load_claims,
    mlfq,
    turns,
    virtual_time,
    vtc,
)
from lineclear.policies.claims import method_lemmas
from lineclear_spec.crosscheck.second_solver import crosscheck_unit
from lineclear_spec.proof.obligations import build
from lineclear_spec.proof.prove import prove_unit

load_claims()


class Planted(NamedTuple):
    """An error.

    Attributes:
        policy: one that runs the function.
        module: whose function it is.
        function: its name; or that of the class whose method it is.
        was: a part of its text.
        becomes: what stands there instead.
        lemma: how the label of an obligation begins that is not proved then.
    """

    policy: str
    module: Any
    function: str
    was: str
    becomes: str
    lemma: str


V, A, T, F = virtual_time, accounts, turns, feedback
BEFORE = "lifted(virtual, accounts.accrued(account, step))"
AFTER = "lifted(virtual, accounts.accrued(accounts.admitted(account, tokens, step), step))"
ALONE = "if_else(alone, lifted(turn, after.charged), turn)"
REFILL = "spent + refilled(earned - spent, quantum)"
BEGUN = "and_(round_.begun, not_(head))"
PROMOTED = "and_(late, not_(new)), generated, look.base"

METHODS = "the policy's own methods store"
LOOKS = "the policy's own methods look"
VTC, DRR, MLFQ = "VirtualTokenCounter", "DeficitRoundRobin", "MultiLevelFeedbackQueue"

# fmt: off
PLANTED = {
    "no lift on return":
        Planted("vtc", V, "returned", "lifted(now.charged, virtual)", "now.charged",
                "coming back, by an arrival"),
    "a lift above the virtual time":
        Planted("vtc", V, "lifted", "larger(counter, virtual)", "larger(counter, virtual + virtual + 1)",
                "coming back lifts the counter to V, and no further"),
    "payment before virtual time":
        Planted("vtc", V, "admitted", BEFORE, AFTER, "admission keeps I(V)"),
    "the virtual time stays where it is":
        Planted("vtc", V, "admitted", BEFORE, "virtual", "admission keeps I(V)"),
    "the last that was served is not looked at":
        Planted("vtc", V, "admitted", ALONE, "turn", "V moves on to what the last"),
    "anybody goes next":
        Planted("vtc", V, "leads", "now <= least", "now >= 0", "the tenant that is chosen"),
    "a counter is forgotten":
        Planted("vtc", V, "forgotten", "accounts.accrued(account, step) <= virtual", "virtual >= 0",
                "a forgotten tenant comes back"),
    "who still generates is forgotten":
        Planted("vtc", V, "forgotten", "account.rate == 0", "account.rate >= 0",
                "a forgotten tenant comes back"),
    "half the bound of vtc":
        Planted("vtc", V, "gap", "2 * most", "most", "with counters that differ"),
    "prompts at the price of outputs":
        Planted("vtc", A, "admitted", "account.prompt * tokens", "account.output * tokens",
                "an admission charges the prompt, at the tenant's rate"),
    "outputs at the price of prompts":
        Planted("drr", A, "sampled", "account.output * tokens", "account.prompt * tokens",
                "sampled tokens are charged"),
    "weights ignored on settling":
        Planted("vtc", A, "accrued", "account.rate * (step", "2 * (step", "a step more costs"),
    "weights ignored for sequences in the decode batch":
        Planted("drr", A, "with_batch_changed", "account.output * change", "2 * change",
                "a sequence in the decode batch more or less"),
    "a new rate counts for the past":
        Planted("vtc", A, "with_batch_changed", "accrued(account, step)", "account.charged",
                "a sequence in the decode batch more or less"),
    "steps are charged twice":
        Planted("vtc", A, "settled", "        step,\n", "        account.since,\n",
                "an account is settled"),
    "a refund":
        Planted("vtc", A, "paid", "charged + price", "charged - price", "admission keeps"),
    "who waits is not marked":
        Planted("drr", A, "waits", "True", "now.waiting", "to wait costs nothing"),
    "who rests still waits":
        Planted("vtc", A, "rests", "False", "now.waiting", "to wait no more"),
    "begun kept when idle":
        Planted("drr", T, "departed", BEGUN, "round_.begun", "of two who wait the turns"),
    "begun lost when another leaves":
        Planted("drr", T, "departed", BEGUN, "False", "of two who wait the turns"),
    "begun kept when the head goes to the end":
        Planted("drr", T, "turned", "Round(False", "Round(round_.begun", "of two who wait the turns"),
    "the head keeps its place":
        Planted("drr", T, "turned", "round_.last + 1", "round_.last", "of two who wait the turns"),
    "who joins shares the last place":
        Planted("drr", T, "joined", "round_.last + 1", "round_.last", "of two who wait the turns"),
    "a turn begins whenever it is asked":
        Planted("drr", T, "visited", f"if_else(round_.begun, earned, {REFILL})", REFILL,
                "a turn that begins without credit"),
    "served without credit":
        Planted("drr", T, "has_credit", "credit > 0", "credit == credit", "being served with credit"),
    "credit is saved":
        Planted("drr", T, "refilled", "smaller(quantum, credit + quantum)", "credit + quantum",
                "a turn keeps the credit"),
    "a turn that earns nothing":
        Planted("drr", T, "refilled", "credit + quantum", "credit",
                "a turn that begins without credit"),
    "who comes back brings credit":
        Planted("drr", T, "earned_back", "smaller(0, credit + gone)", "credit + gone",
                "coming back brings no credit"),
    "who comes back owes nothing":
        Planted("drr", T, "earned_back", "smaller(0, credit + gone)", "0 * gone",
                "coming back brings no credit"),
    "a tenant in debt is forgotten":
        Planted("drr", T, "forgotten", "credit(account, earned, step) + gone >= 0", "gone >= 0",
                "a forgotten tenant comes back"),
    "a round too many at once":
        Planted("drr", T, "short_rounds", "-credit // quantum", "-credit // quantum + 1",
                "the rounds that are taken at once"),
    "rounds at once that earn one quantum":
        Planted("drr", T, "skipped", "quantum * rounds", "quantum",
                "rounds without credit may be taken at once"),
    "rounds at once that pay back one turn":
        Planted("drr", T, "passed", "part * waiting * rounds", "part * rounds", "who is away earns"),
    "who is away earns for the time before":
        Planted("drr", T, "absent", "given - left", "given", "who is away earns"),
    "who is away earns a quantum in each turn":
        Planted("drr", T, "portion", "quantum // waiting", "quantum", "a round earns who is away"),
    "half the bound of drr":
        Planted("drr", T, "gap", "2 * (quantum + charged)", "charged", "with turns that differ"),
    "a quantum comes back":
        Planted("mlfq", F, "used_up", "served > covered", "served < covered",
                "a quantum that is used up stays so"),
    "the top is left at once":
        Planted("mlfq", F, "used_up", "served > covered", "served >= 0", "within the first quantum"),
    "who gets on is promoted":
        Planted("mlfq", F, "looked", "and_(late, not_(new))", "late", "a look that sees a new token"),
    "who gets on is not counted anew":
        Planted("mlfq", F, "looked", "if_else(again, step,", "if_else(late, step,",
                "a look that sees a new token"),
    "a promotion forgets nothing that was served":
        Planted("mlfq", F, "looked", PROMOTED, PROMOTED.replace("generated", "look.base"),
                "a look that sees nothing new promotes"),
    "a promotion one step late":
        Planted("mlfq", F, "overdue", ">= promote_after", "> promote_after", "of two looks"),
    "a look that comes too late":
        Planted("mlfq", F, "next_look", "promote_after - (step - look.since)", "promote_after",
                "the next look is"),
    "a quantum and a token":
        Planted("mlfq", F, "next_look", "covered - count + 1", "covered - count + 2",
                "a level lasts until"),
    "what was served is counted twice":
        Planted("mlfq", F, "served", "generated - base", "generated + base", "who was promoted is on"),
    "the last tenant is never alone":
        Planted("vtc", vtc, VTC, "tokens, step, not self.turn", "tokens, step, False", METHODS),
    "the virtual time is not stored":
        Planted("vtc", vtc, VTC, "self.accounts[tenant], self.virtual = virtual_time.admitted",
                "self.accounts[tenant], _ = virtual_time.admitted", METHODS),
    "who comes back has the counter from before in the heap":
        Planted("vtc", vtc, VTC, "        self.accounts[tenant] = account\n", "", METHODS),
    "who comes back stands by the virtual time":
        Planted("vtc", vtc, VTC, "(account.charged, self.turns", "(self.virtual, self.turns", METHODS),
    "the head that leaves keeps its turn":
        Planted("drr", drr, DRR, "next(iter(self.round)) == tenant", "False", METHODS),
    "a tenant that leaves ends the turn":
        Planted("drr", drr, DRR, "next(iter(self.round)) == tenant", "True", METHODS),
    "who comes back was never away":
        Planted("drr", drr, DRR, "self.left.pop(tenant, self.turn.given))", "self.turn.given)", METHODS),
    "who comes back gets the first place":
        Planted("drr", drr, DRR, "self.round[tenant] = self.turn.last\n\n",
                "self.round[tenant] = self.turn.last - 1\n\n", METHODS),
    "who leaves is paid for all rounds":
        Planted("drr", drr, DRR, "self.left[tenant] = self.turn.given", "self.left[tenant] = 0", METHODS),
    "who waits is looked at as one that runs":
        Planted("mlfq", mlfq, MLFQ, "not_(given(request.waiting))", "given(request.waiting)", LOOKS),
    "a look counts from the prompt again":
        Planted("mlfq", mlfq, MLFQ, "since, self.base(request))", "since, -request.prompt_tokens)",
                LOOKS),
}
# fmt: on


def plant(error: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes the function, for the policy that calls it and for the lemmas."""
    text = inspect.getsource(getattr(error.module, error.function))
    assert error.was in text
    planted: dict[str, Any] = {}
    exec(text.replace(error.was, error.becomes), vars(error.module), planted)
    claims = import_module(f"lineclear.policies.claims.{error.policy}")
    for module in (error.module, claims):
        if hasattr(module, error.function):
            monkeypatch.setattr(module, error.function, planted[error.function])
    # What is planted has no file, which the check of sources would refuse before any lemma is asked.
    monkeypatch.setattr("lineclear_spec.language.dialect.check_policy", lambda *_: None)
    monkeypatch.setattr(method_lemmas, "refuse_questions", lambda *_: [])


def answers(error: Planted, second: bool) -> set[str]:
    """What the solver says of the lemmas that begin so, or both solvers."""
    unit = build(f"order_{error.policy}")
    unit.goals = [goal for goal in unit.goals if goal.label.startswith(error.lemma)]
    found = prove_unit(unit, budget=400_000)
    if second:
        found += crosscheck_unit(unit, budget=40_000)
    return {result.status for result in found if result.kind != "lemma"}


@pytest.mark.parametrize("second", [False, pytest.param(True, marks=pytest.mark.deep)])
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_error_fails_the_lemma_about_it(
    name: str, second: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = PLANTED[name]
    assert answers(error, second) == {"proved"}
    plant(error, monkeypatch)
    output = answers(error, second)
    assert output
    assert "proved" not in output
