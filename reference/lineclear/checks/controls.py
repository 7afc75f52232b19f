"""What the prover must do before its answers count: refuse false statements that are put to it on purpose.

Invariant: most controls are a broken function or a false statement that an execution would contradict. One that the
prover accepts is a finding, because then it could accept the same of the table. Some are allowed ones, which it must
not refuse, so that a refusal means something; and of some units no contradiction may be found in what they assume.
That search is weak (`contradiction.contradicts`): `tests/spec/proof/test_hypotheses.py` evaluates the hypotheses on
executed states, which is what shows that they do not contradict each other.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from lineclear.checks.stage import Context, Finding, Outcome, ReportCase

#: Statements with a construct that a formula and a number answer differently.
CONSTRUCTS = (
    "if request.open_swap == 0: ledger.move(request, 'finish')",
    "while request.open_swap > 0: pass",
    "ledger.require(request is None, 'a')",
    "ledger.require(request is not None, 'a')",
    "ledger.require(request.open_swap in (0, 1), 'a')",
    "ledger.require(not request.open_swap == 0, 'a')",
    "ledger.require(request.open_swap == 0 and request.width == 0, 'a')",
    "ledger.require(request.open_swap == 0 or request.width == 0, 'a')",
    "ledger.require(0 <= request.open_swap <= 5, 'a')",
    "ledger.require(type(request) == 1, 'a')",
    "ledger.require(isinstance(request, int), 'a')",
    "ledger.require(hasattr(request, 'z'), 'a')",
    "[ledger.move(r, 'finish') for r in (request,)]",
    "try: ledger.move(request, 'finish')\nexcept Exception: pass",
    "ledger.require(ledger.state.phase == 0, 'a')",
)
#: Conditions that a function with branches, run on formulas, may not ask.
QUESTIONS = (
    "free is self", "free is not self", "type(free) == int", "isinstance(free, int)", "hasattr(free, 'z')",
    "callable(free)", "id(free) == 0", "repr(free) == '0'", "free.__class__ == int",
)  # fmt: skip
LIVE = 'ledger.require(ledger.allowed("finish", request), "the request is live")\n'
#: Actions that are wrong although each line is allowed: the action whose postconditions they are to keep, its
#: parameters, the body, and why it is refused ("" if it is not refused but not proved).
WRONG = {
    "finish gives nothing up": (
        "finish",
        "ledger, request",
        LIVE + "ledger.remove_members(request)\nledger.move(request, 'finish')",
        "",
    ),
    "a guard in a branch": (
        "finish",
        "ledger, request",
        LIVE + "ledger.branch(request.parallel >= 100, lambda: ledger.require(request.open_swap < 0, 'a'))",
        "guard inside a branch",
    ),
    "a guard after a write": (
        "finish",
        "ledger, request",
        "ledger.move(request, 'finish')\n" + LIVE,
        "guard after a write",
    ),
    "a block step in a branch": (
        "finish",
        "ledger, request",
        LIVE + "ledger.branch(request.parallel >= 2, lambda: ledger.clear_tables(request))",
        "runs inside a branch",
    ),
    "a question before its guard": (
        "complete_copy",
        "ledger, number",
        "ledger.require(ledger.is_copy(number), 'a')\nledger.require(ledger.is_open(number), 'b')\n"
        "ledger.require(number <= ledger.dispatched, 'c')\nledger.forget_copy(number)\nledger.close(number)",
        "",
    ),
    "nothing is asked before a close": (
        "complete_copy",
        "ledger, number",
        "ledger.forget_copy(number)\nledger.close(number)",
        "",
    ),
}  # fmt: skip
#: Units in whose hypotheses no contradiction may be found: of an action, two block steps, decisions, an order, and
#: the theorem of KV.
CONSISTENT = (
    "swap_in",
    "take_blocks",
    "clear_table",
    "decisions",
    "order_fcfs",
    "kv_issue_step",
    "kv_run",
)


def written(
    name: str, parameters: str, body: str, others: Mapping[str, Any] = MappingProxyType({})
) -> Any:
    """A function made of source text that the prover can look at, in a module with these others.

    Args:
        name: its name.
        parameters: the text between its parentheses.
        body: its statements.
        others: what else its module has, by name.
    """
    from lineclear_spec.language.source import register

    text = f"def {name}({parameters}):\n{textwrap.indent(body, '    ')}\n"
    tree = ast.parse(text)
    scope: dict[str, Any] = {"__name__": __name__, **others}
    exec(compile(tree, f"<control {name}>", "exec"), scope)
    (node,) = tree.body
    assert isinstance(node, ast.FunctionDef)
    register(scope[name], node)
    return scope[name]


def accepts(
    make: Callable[[], Any], error: type[Exception], accepted: str = "it is accepted"
) -> str:
    """That something is accepted which must raise, or ""."""
    try:
        make()
    except error:
        return ""
    return accepted


def orders() -> Iterator[tuple[str, str]]:
    """Policies whose order, rank or displacement depends on what kind of object it is handed."""
    from lineclear_spec.language.dialect import check_policy
    from lineclear_spec.language.source import Forbidden

    for method, parameters in (
        ("key", "self, request"),
        ("rank", "self, request"),
        ("may_displace", "self, waiting, running"),
    ):
        asking = written(method, parameters, "return isinstance(self, int)")
        policy = type("Asking", (), {method: asking})()
        yield (
            f"a policy that asks in `{method}`",
            accepts(partial(check_policy, policy), Forbidden),
        )


def rests_on_nothing() -> None:
    """A theorem of which one obligation exists and another does not."""
    from lineclear_spec.liveness.standings import expand
    from lineclear_spec.liveness.theorems import Theorem

    expand(Theorem("control", "a control", (), ("unit/", "lost/")), ("unit/progress/key",))


def wrongly_accepted(make: Callable[[], Any], why: str) -> str:
    """What was accepted; "" if it was refused for that reason, or, without a reason, if something is
    not proved of it.
    """
    from lineclear_spec.logic import Misuse
    from lineclear_spec.proof.prove import prove_unit

    try:
        unit = make()
    except Misuse as error:
        return "" if why and why in str(error) else f"refused for another reason: {error}"
    if why:
        return f"not refused ({why})"
    results = prove_unit(unit, stop_at_failure=True)
    return "" if any(r.status != "proved" for r in results) else "every obligation is proved"


def false_statements() -> Iterator[tuple[str, str]]:
    """Each control by name, and what the prover accepted of it, "" if nothing."""
    from lineclear.policies import load_claims
    from lineclear_spec.language.forbidden_questions import refuse_questions
    from lineclear_spec.language.source import Forbidden
    from lineclear_spec.mutation.misuses import places_given_up
    from lineclear_spec.proof.contradiction import contradicts
    from lineclear_spec.proof.obligations import build

    load_claims()
    for construct in CONSTRUCTS:
        body = written("finish", "ledger, request", construct)
        try:
            build("finish", body)
        except Forbidden:
            yield construct, ""
        except Exception as error:
            yield construct, f"not refused by its source: {error}"
        else:
            yield construct, "it may stand in an action"
    for question in QUESTIONS:
        asking = written("have", "self, free", f"return {question}")
        ask = partial(refuse_questions, object, (asking,))
        yield question, accepts(ask, Forbidden, "it may be asked of a formula")
    plain = written("finish", "ledger, request", LIVE)
    yield (
        "one that is allowed, so that a refusal means something",
        wrongly_refused(lambda: build("finish", plain)),
    )
    helper = written("helper", "free", "return isinstance(free, int)")
    asking = written("have", "self, free", "return helper(free)", {"helper": helper})
    yield (
        "a helper that asks what a value is",
        accepts(lambda: refuse_questions(object, (asking,)), Forbidden),
    )
    yield from orders()
    yield "a theorem that rests on no obligation", accepts(rests_on_nothing, ValueError)
    yield from places_given_up()
    asking = written("have", "self, free", "return free == 0")
    yield (
        "a question that is allowed",
        wrongly_refused(lambda: refuse_questions(object, (asking,))),
    )
    for name, (action, parameters, text, why) in WRONG.items():
        body = written(action, parameters, text)
        yield name, wrongly_accepted(partial(build, action, body), why)
    for name in CONSISTENT:
        wrong = "it is proved" if contradicts(build(name)) else ""
        yield f"False from what {name} assumes", wrong
    yield "a block step that writes what its contract does not list", unlisted()
    for answers in ({"proved", "refuted"}, {"proved", "unknown"}, set[str]()):
        yield f"a theorem whose obligation is {sorted(answers) or 'not asked'}", stands(answers)


def wrongly_refused(make: Callable[[], Any]) -> str:
    """Why something that is allowed is refused, or ""."""
    from lineclear_spec.logic import Misuse

    try:
        make()
    except Misuse as error:
        return f"it is refused: {error}"
    return ""


def unlisted() -> str:
    """Whether a write outside the contract is accepted."""
    from unittest.mock import patch

    from lineclear_spec.kernel import blocks
    from lineclear_spec.kernel.methods import Kernel
    from lineclear_spec.proof.obligations import build

    def writes_more(ledger: Any, sequence: Any) -> None:
        blocks.clear_table(ledger, sequence)
        sequence.own_tokens = 0

    def nothing(_: object) -> None:
        """The source is not looked at: the write itself is to be refused."""

    with (
        patch.object(Kernel, "clear_table", writes_more),
        patch("lineclear_spec.language.dialect.check_action", nothing),
    ):
        return wrongly_accepted(lambda: build("clear_table"), "does not list")


def stands(answers: set[str]) -> str:
    """Whether a theorem counts as proved although its only obligation does not."""
    from lineclear_spec.liveness.standings import standing
    from lineclear_spec.liveness.theorems import Theorem

    theorem = Theorem("control", "a control", (), ("unit/progress/key",))
    given = {"unit/progress/key": answers} if answers else {}
    status = standing(theorem, given, ("unit/progress/key",)).status
    return "it is called proved" if status == "proved" else ""


def controls(context: Context) -> Outcome:
    """False statements, each to be refused."""
    found: dict[str, str] = {}
    for name, wrong in false_statements():
        found[name] = wrong
        context.step(name)
    findings = [
        Finding("LC104", f"the prover accepts a false statement: {name}: {wrong}")
        for name, wrong in found.items()
        if wrong
    ]
    return Outcome(
        "controls",
        "refuted" if findings else "passed",
        f"{len(found) - len(findings)} of {len(found)} controls passed",
        {"asked": len(found), "accepted": len(findings)},
        findings,
        [
            ReportCase("controls", name, "refuted" if wrong else "passed", wrong)
            for name, wrong in found.items()
        ],
    )
