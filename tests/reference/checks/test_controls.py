"""The prover's own controls: all are refused, and an edit of the prover lets one through."""

# pyright: basic

from __future__ import annotations

import pytest
from edits import Edit, edited

z3 = pytest.importorskip("z3")

from lineclear.checks.controls import controls, false_statements
from lineclear.checks.stage import Context
from lineclear_spec.proof.contradiction import contradicts
from lineclear_spec.proof.obligations import build
from lineclear_spec.symbolic.state import State, quantify

#: What is changed in the prover, and a word of the control that is accepted then.
EDITS: dict[str, tuple[Edit, str]] = {
    "`is not` may be asked": (
        ("lineclear_spec.language.forbidden_questions", "asks", "ast.Is | ast.IsNot", "ast.Is"),
        "free is not self",
    ),
    "a name may be asked": (
        ("lineclear_spec.language.forbidden_questions", "asks", " or name in ASKING", ""),
        "isinstance(free, int)",
    ),
    "a block step may write what it does not list": (
        (
            "lineclear_spec.symbolic.ledger",
            "SymbolicLedger._refuse_unlisted",
            "if written - listed:",
            "if written - listed - written:",
        ),
        "what its contract does not list",
    ),
    "one answer `proved` is enough": (
        (
            "lineclear_spec.liveness.standings",
            "standing",
            'answers.get(key, {"proved"}) - {"proved"}',
            '"proved" not in answers.get(key, {"proved"})',
        ),
        "a theorem whose obligation is",
    ),
    "a precondition is proved from itself": (
        (
            "lineclear_spec.symbolic.ledger",
            "SymbolicLedger.demand",
            "self.obligations.append(",
            "self.assumptions.append(whole); self.obligations.append(",
        ),
        "a question before its guard",
    ),
    "the rank of a policy is not looked at": (
        (
            "lineclear_spec.language.dialect",
            "check_policy",
            '("key", "rank", "may_displace")',
            '("key", "may_displace")',
        ),
        "a policy that asks in `rank`",
    ),
    "a helper is not looked at": (
        (
            "lineclear_spec.language.forbidden_questions",
            "reached",
            "return function.__globals__.get(node.id)",
            "return None",
        ),
        "a helper that asks",
    ),
    "a theorem may rest on an obligation that is gone": (
        ("lineclear_spec.liveness.standings", "expand", "not mine or (", "("),
        "rests on no obligation",
    ),
    "a free block may be freed": (
        (
            "lineclear_spec.symbolic.pool",
            "SymbolicPool._demand_in_use",
            "z3.And(within(0, p, s.total(tier)), z3.Not(is_free(s, tier, p)))",
            "within(0, p, s.total(tier))",
        ),
        "a free block is freed",
    ),
    "a block may be freed twice": (
        (
            "lineclear_spec.symbolic.vectors",
            "Vector.demand_distinct",
            "self.distinct()",
            "self.every(self.has)",
        ),
        "a block id is freed twice",
    ),
    "a guard in a branch is assumed": (
        (
            "lineclear_spec.symbolic.ledger",
            "SymbolicLedger.require",
            "if self.condition is not None:",
            "if False:",
        ),
        "a guard in a branch",
    ),
}


def test_every_false_statement_is_refused() -> None:
    outcome = controls(Context())
    assert (outcome.status, outcome.findings) == ("passed", [])
    assert outcome.figures["asked"] >= 40


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_the_prover_lets_one_through(name: str) -> None:
    edit, control = EDITS[name]
    with edited(edit):  # the statements up to the one that is let through
        assert any(wrong and control in title for title, wrong in false_statements())


def test_a_statement_that_is_let_through_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [("one", ""), ("another", "every obligation is proved")]
    monkeypatch.setattr("lineclear.checks.controls.false_statements", lambda: iter(answers))
    outcome = controls(Context())
    assert outcome.status == "refuted"
    assert [finding.title for finding in outcome.findings] == [
        "the prover accepts a false statement: another: every obligation is proved"
    ]


@pytest.mark.parametrize("name", ["swap_in", "take_blocks", "clear_table", "kv_swap_in"])
def test_assumptions_that_contradict_each_other_are_seen(name: str) -> None:
    """Two quantified ones, which no question without terms brings together."""
    unit = build(name)
    assert not contradicts(unit)
    state = State.arbitrary()
    unit.hypotheses += [
        quantify(("block",), lambda b: state.ref(b) < -5),
        quantify(("block",), lambda b: state.ref(b) > 5),
    ]
    assert contradicts(unit)
