"""What formulas answer where Python would answer by identity, by a name, or by a rounded number.

Each case here was proved once although an execution shows that it is wrong.
"""

# pyright: basic

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import eq, ge, gt, le, ne
from pathlib import Path
from typing import Any

import pytest

z3 = pytest.importorskip("z3")

from lineclear.policies import accounts, load_claims
from lineclear.policies.probe import views
from lineclear.theorems.entering import EmptyStep
from lineclear_spec.actions import ACTIONS
from lineclear_spec.dialect import objection
from lineclear_spec.entering import STEP
from lineclear_spec.logic import either, given, negate, or_else
from lineclear_spec.obligations import build, every_key, record
from lineclear_spec.orders import Candidate, optional
from lineclear_spec.prove import prove_unit
from lineclear_spec.questions import ENTERING_FIELDS, refuse_questions
from lineclear_spec.smtlib import write
from lineclear_spec.source import Forbidden
from lineclear_spec.standings import expand
from lineclear_spec.state import Block, State
from lineclear_spec.symbolic import SymbolicLedger
from lineclear_spec.terms import Misuse, Term
from lineclear_spec.theorems import CLAIMS

# ---- lists and other parts of the ledger -------------------------------------------------------

PARTS: dict[str, Callable[[Any], Any]] = {
    "the ledger": lambda s: s,
    "limits": lambda s: s.limits,
    "a pool": lambda s: s.gpu,
    "both pools": lambda s: s.pools,
    "what is due": lambda s: s.due(),
    "the blocks of a request": lambda s: record(s, "request").held,
    "places that were taken": lambda s: s.gpu.take(1),
    "members": lambda s: record(s, "request").members,
    "a table": lambda s: record(s, "sequence").table,
}
ANSWERS: dict[str, Callable[[Any], Any]] = {
    "==": lambda x: x == x,
    "!=": lambda x: x != x,
    "<": lambda x: x < x,
    "a truth value": bool,
    "a hash": hash,
    "a length": len,
    "entries": list,
    "in": lambda x: 1 in x,
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_ledger_does_not_answer_by_identity(part: str, answer: str) -> None:
    found = PARTS[part](SymbolicLedger(State.arbitrary()))
    with pytest.raises(Misuse):
        ANSWERS[answer](found)


def finish_that_compares_lists(ledger: Any, request: Any) -> None:
    """On values the lists are equal and nothing is removed, on formulas they were not."""
    ledger.branch(request.members != request.members, lambda: ledger.remove_members(request))


def finish_that_compares_pools(ledger: Any, request: Any) -> None:
    """The same by a pool."""
    ledger.branch(ledger.gpu != ledger.gpu, lambda: ledger.remove_members(request))


def finish_that_compares_calls(ledger: Any, request: Any) -> None:
    """The same by what a question answers."""
    ledger.branch(ledger.due() != ledger.due(), lambda: ledger.remove_members(request))


def finish_that_compares_names(ledger: Any, request: Any) -> None:
    """The same by local names."""
    first = request.members
    ledger.branch(first != first, lambda: ledger.remove_members(request))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (finish_that_compares_lists, "a comparison of `request.members`"),
        (finish_that_compares_pools, "a comparison of `ledger.gpu`"),
        (finish_that_compares_calls, r"a comparison of `ledger.due\(\)`"),
        (finish_that_compares_names, "a Members has no truth value"),
    ],
)
def test_an_action_that_compares_lists_is_refused(body: Any, what: str) -> None:
    with pytest.raises(Misuse, match=what):
        build("finish", body)


def test_a_text_is_no_number() -> None:
    made = SymbolicLedger(State.arbitrary())
    with pytest.raises(Misuse, match="the text '1' as a number"):
        _ = made.steps == "1"


def test_a_field_of_another_record_is_not_written() -> None:
    made = SymbolicLedger(State.arbitrary())
    with pytest.raises(Misuse, match="has no field done"):
        record(made, "sequence").done = 1
    with pytest.raises(Misuse, match="has no field drafts"):
        made.drafts = 1


# ---- names of parameters -----------------------------------------------------------------------


def settle_copy_of_a_field(ledger: Any, carried: Any) -> None:
    """The guard `number <= ledger.carried` is missing; the argument was the field of that name."""
    ledger.require(ledger.is_open(carried), "the operation is decided and not complete")
    ledger.require(ledger.is_copy(carried), "the operation is a copy")
    ledger.forget_copy(carried)
    ledger.close(carried)


def append_slots_of_a_field(ledger: Any, sequence: Any, free_gpu: Any) -> None:
    """The guard compares with the argument; that was the number of free blocks."""
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(negate(sequence.steady), "the sequence is not steady")
    ledger.require(free_gpu >= 1, "there is something to append")
    ledger.require(
        sequence.slot_tokens + free_gpu < sequence.request.limit, "it stays below its limit"
    )
    blocks = ledger.need(sequence.slot_tokens + free_gpu) - sequence.length
    ledger.require(blocks <= free_gpu, "the GPU has a free block for every block needed")
    ledger.take_blocks(sequence, blocks)
    sequence.slot_tokens = sequence.slot_tokens + free_gpu


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("settle_copy", settle_copy_of_a_field),
        ("append_slots", append_slots_of_a_field),
    ],
)
def test_an_argument_is_unknown_whatever_it_is_called(
    name: str, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = body.__code__
    named = code.co_varnames[1 : code.co_argcount]
    monkeypatch.setitem(ACTIONS, name, replace(ACTIONS[name], body=body, parameters=named))
    assert {r.status for r in prove_unit(build(name))} > {"proved"}


def test_arguments_have_names_of_their_own_in_the_exported_text() -> None:
    text = write(build("append_slots")).text()
    assert "(declare-fun argument.sequence () Sequence)" in text
    assert "(declare-fun argument.count () Int)" in text


def test_an_argument_is_not_captured_by_a_bound_variable() -> None:
    """`complete(o)` said that no operation at all is open."""
    made = SymbolicLedger(State.arbitrary())
    number = record(made, "o")
    solver = z3.Solver()
    solver.add(made.complete(number).z, number.z == 3, made.is_open(z3.IntVal(5)).z)
    assert solver.check() != z3.unsat


# ---- what a request may lack -------------------------------------------------------------------

MISUSES: dict[str, Callable[[Any], Any]] = {
    "==": lambda x: x == 0,
    "!=": lambda x: x != 0,
    "<": lambda x: x < 0,
    ">=": lambda x: x >= 0,
    "+": lambda x: x + 1,
    "-": lambda x: 1 - x,
    "*": lambda x: 2 * x,
    "negative": lambda x: -x,
    "a truth value": bool,
    "a hash": hash,
    "formula ==": lambda x: Term(z3.Int("x")) == x,
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_what_may_be_left_out_is_no_number(misuse: str) -> None:
    value = optional("deadline", "r", z3.Real)
    with pytest.raises(Misuse):
        MISUSES[misuse](value)


@pytest.mark.parametrize("name", ["==", "!=", ">", "<=", ">="])
def test_a_place_in_an_order_is_compared_by_less_only(name: str) -> None:
    place = Candidate("r", ByDeadline()).order
    ask = {"==": eq, "!=": ne, ">": gt, "<=": le, ">=": ge}[name]
    with pytest.raises(Misuse, match="compared by < only"):
        ask(place, place)


class ByDeadline:
    """It is the order of arrival without a deadline, and the reverse with one of 0."""

    name = "by_deadline"

    def key(self, request: Any) -> Any:
        return either(given(request.deadline), 0, 0 - request.number)

    def may_displace(self, waiting: Any, running: Any) -> Any:
        return False


class ByDeadlineOfZero(ByDeadline):
    """On formulas every deadline was another than 0."""

    def key(self, request: Any) -> Any:
        return either(request.deadline != 0, 0, 0 - request.number)


class ByGuess(ByDeadline):
    """By a local name."""

    def key(self, request: Any) -> Any:
        guess = request.predicted_tokens
        return or_else(guess, 0)


def test_what_may_be_left_out_is_looked_into_by_given_and_or_else_only() -> None:
    assert objection(ByDeadline()) == ""
    assert "`request.deadline` outside given and or_else" in objection(ByDeadlineOfZero())
    assert "`request.predicted_tokens` outside given" in objection(ByGuess())


def test_the_requests_that_a_policy_is_asked_about_have_deadlines_of_zero_too() -> None:
    drawn = {view.deadline for view in views(80)}
    assert {None, 0.0, 7.0} < drawn
    assert {None, 0, 7} < {view.predicted_tokens for view in views(80)}


# ---- parameters that a policy changes ----------------------------------------------------------

POLICY = """
SIGN = 1
def bump(policy):
    policy.weight = -policy.weight
class Mine:
    name = "mine"
    def __init__(self):
        self.weight = 1
    def key(self, request):
        return {key} * request.number
    def may_displace(self, waiting, running):
        return False
    def share(self, request, budget, sharers):
        {share}
        return budget
"""


def policy_of(folder: Path, key: str, share: str, more: str = "") -> Any:
    path = folder / "changing.py"
    text = POLICY.format(key=key, share=share)
    path.write_text(
        text + more if more else text.replace("    policy.weight = -policy.weight", "    pass")
    )
    spec = importlib.util.spec_from_file_location("changing", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["changing"] = module
    spec.loader.exec_module(module)
    return module.Mine()


def test_a_parameter_that_nothing_changes_is_allowed(tmp_path: Path) -> None:
    assert objection(policy_of(tmp_path, "self.weight", "pass")) == ""
    assert objection(policy_of(tmp_path, "SIGN", "pass")) == ""


@pytest.mark.parametrize(
    ("key", "share", "what"),
    [
        ("self.weight", "bump(self)", "`weight`, which the policy changes"),
        ("self.weight", "Other.bump(self)", "`weight`, which the policy changes"),
        ("SIGN", "globals()['SIGN'] = -1", "`SIGN`, which the module changes"),
        ("self.weight", "globals()['bump'] = None", "`weight`, which the policy changes"),
    ],
)
def test_a_parameter_that_the_module_changes_is_refused(
    key: str, share: str, what: str, tmp_path: Path
) -> None:
    other = ""
    if share.startswith("Other"):
        other = "class Other:\n    @staticmethod\n    def bump(it): it.weight = -1\n"
    elif share == "bump(self)":
        other = "\n"
    assert what in objection(policy_of(tmp_path, key, share, other))


# ---- theorems of a policy whose running requests have a rank -----------------------------------


def test_theorems_about_those_that_run_rest_on_their_rank() -> None:
    load_claims()
    found = {t.name: t for t in CLAIMS["hybrid"].theorems}
    for name in ("hybrid.P4'", "hybrid.P6a", "hybrid.P10"):
        keys = expand(found[name], every_key())
        ranks = [key for key in keys if key.startswith("order_hybrid/progress/the rank is ")]
        assert len(ranks) >= 3
    assert "comes later among those that run" in found["hybrid.P4'"].sentence
    assert "comes later in the order" in CLAIMS["fcfs"].theorems[3].sentence


# ---- rounded numbers, moments and places that are written to -----------------------------------

HALF = 0.5


def carry_by_rounded_numbers(ledger: Any) -> None:
    """On values 0.1 + 0.2 is above 0.3, on formulas it is not."""
    ledger.require(ledger.issued * 0.1 > 0, "rounded")


def carry_by_a_rounded_constant(ledger: Any) -> None:
    """The same by a name."""
    ledger.require(ledger.issued * HALF > 0, "rounded")


def carry_that_writes_to_limits(ledger: Any) -> None:
    """What is written to is no record."""
    ledger.limits.carried = 1


def carry_that_writes_to_an_entry(ledger: Any) -> None:
    """What is written to is not named."""
    ledger.due()[ledger.issued].drafts = 1


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (carry_by_rounded_numbers, "the constant 0.1"),
        (carry_by_a_rounded_constant, "`HALF`, which is rounded"),
        (carry_that_writes_to_limits, "a write to `ledger.limits.carried`"),
        (carry_that_writes_to_an_entry, r"a write to `ledger.due\(\)"),
    ],
)
def test_the_kernel_neither_rounds_nor_writes_to_what_is_no_record(body: Any, what: str) -> None:
    with pytest.raises(Misuse, match=what):
        build("carry", body)


@pytest.mark.parametrize("part", ["limits", "a pool", "a table", "what is due"])
def test_a_part_of_the_ledger_has_no_counters(part: str) -> None:
    found = PARTS[part](SymbolicLedger(State.arbitrary()))
    with pytest.raises(AttributeError):
        found.drafts = 1


def test_the_blocks_of_a_request_are_those_of_the_moment_when_they_were_asked_for() -> None:
    made = SymbolicLedger(State.arbitrary())
    request = record(made, "request")
    held = made.listed(request.held)
    first = held.at(z3.IntVal(0))
    made.state.put("held", (request.z, z3.IntVal(0)), z3.Const("other", Block))
    assert held.at(z3.IntVal(0)).eq(first)
    assert not made.listed(request.held).at(z3.IntVal(0)).eq(first)


# ---- what runs when a request enters, and what a tenant is charged -----------------------------


class Honest:
    def have(self) -> Any:
        return self._left

    @property
    def _left(self) -> Any:
        return 0


class OfTypes(Honest):
    def have(self) -> Any:
        return 0 if isinstance(self, int) else 1


class OfIdentity(Honest):
    @property
    def _left(self) -> Any:
        return 0 if self is None else 1


class OfFailures(Honest):
    def have(self) -> Any:
        return helper_that_tries()


def helper_that_tries() -> Any:
    try:
        return 0
    except TypeError:
        return 1


class OfTerms(Honest):
    def want(self, entry: Any) -> Any:
        return entry.record.blocks.z


class OfArguments(Honest):
    def want(self, entry: Any) -> Any:
        return entry.tokens.bit_length()


@dataclass
class Asking:
    tokens: Any

    def __post_init__(self) -> None:
        self.tokens = 0 if isinstance(self.tokens, int) else self.tokens


class OfRecords(Honest):
    def want(self, entry: Any) -> Any:
        return Asking(entry.tokens)


class OfModules(Honest):
    def want(self, entry: Any) -> Any:
        return inspect.isclass(entry)


class OfFunctions(Honest):
    def want(self, entry: Any) -> Any:
        return sorted([entry.tokens], key=lambda one: 0)


class OfHelpers(Honest):
    def want(self, entry: Any) -> Any:
        return helper_that_reads(entry)


def helper_that_reads(entry: Any) -> Any:
    return entry.symbolic


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (OfTerms, "reads `z`"),
        (OfArguments, "calls `entry.tokens.bit_length`|reads `bit_length`"),
        (OfRecords, "calls `Asking`"),
        (OfModules, "calls `inspect.isclass`|reads `isclass`"),
        (OfFunctions, "calls `sorted`|a function"),
        (OfHelpers, "helper_that_reads.* reads `symbolic`"),
    ],
)
def test_what_runs_when_a_request_enters_reads_and_calls_what_is_listed(
    step: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refuse_questions(step, (step.have, step.want))
    with pytest.raises(Forbidden, match=what):
        refuse_questions(step, (step.have, step.want), fields=ENTERING_FIELDS)
    monkeypatch.setattr("lineclear_spec.obligations.STEP", [step])
    with pytest.raises(Forbidden, match=what):
        build("room")


def test_what_runs_when_a_request_enters_does_not_ask_what_a_value_is() -> None:
    assert [f.__name__ for f in refuse_questions(Honest, (Honest.have,))] == ["have", "_left"]
    for step in (OfTypes, OfIdentity, OfFailures):
        with pytest.raises(Forbidden, match="asks what a value is"):
            refuse_questions(step, (step.have,))
    step, *runs = STEP
    assert step is EmptyStep
    seen = {f.__name__ for f in refuse_questions(step, (step.have, step.want, *runs))}
    assert {"have", "want", "sized", "room", "asked_tokens", "_tokens_left"} <= seen


@pytest.mark.parametrize("unit", ["admission", "room"])
def test_the_units_about_entering_look_at_the_source_first(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineclear_spec.obligations.STEP", [OfTypes])
    monkeypatch.setattr(OfTypes, "want", Honest.have, raising=False)
    with pytest.raises(Forbidden, match="asks what a value is"):
        build(unit)


def test_what_a_tenant_is_charged_at_most_is_checked_as_it_runs() -> None:
    load_claims()
    for name in ("vtc", "drr"):
        assert accounts.most_charged in CLAIMS[name].runs
