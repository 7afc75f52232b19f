"""Functions that pick a branch behind a formula's back are refused, with file, line and construct.

Every snippet here was run on formulas once, and what was proved of it was about one branch.
"""

# pyright: basic

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from scripts import module_of

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel import blocks
from lineclear_spec.language import dialect
from lineclear_spec.language.dialect import Forbidden, check_action, check_policy, objection
from lineclear_spec.language.statements import guards_of
from lineclear_spec.liveness.orders import Unknowns
from lineclear_spec.liveness.theorems import CLAIMS
from lineclear_spec.mutation.mutants import body_of, generate
from lineclear_spec.mutation.variants import FAMILIES
from lineclear_spec.proof.obligations import build

HEAD = """
import functools
from lineclear_spec.kernel import blocks
from lineclear_spec.actions import recompute
from lineclear_spec.kernel.blocks import clear_table, clear_tables
from lineclear_spec.logic import and_, if_else, larger, not_
SEEN = []
COUNT = 0
class Foreign:
    def __eq__(self, other): return True
    def __radd__(self, other): return 0
    def __add__(self, other): return 0
ODD = Foreign()
def bump():
    global COUNT
    COUNT += 1
def plain(ledger, sequence):
    if type(sequence).__name__ == "Sequence":
        clear_table(ledger, sequence)
twice = functools.partial(plain)
"""
GUARDS = """
    ledger.require(sequence.alive, "the sequence is alive")
    ledger.require(not_(sequence.in_decode_batch), "the sequence is not in the decode batch")
    ledger.require(sequence.last_step <= ledger.steps, "the sequence is not in the step being built")
    ledger.require(sequence.request.width >= 2, "another branch lives on")
"""
END = """
    clear_table(ledger, sequence)
    ledger.remove_member(sequence)
"""
#: What is put between the guards and the effect of `prune` -> what is refused.
ACTION: dict[str, tuple[str, str]] = {
    "is": ("if sequence is sequence.request.members[0]:\n        return", "`if`"),
    "type": ("if type(sequence.drafts) is int:\n        return", "`if`"),
    "isinstance": ("ledger.branch(isinstance(sequence.drafts, int), lambda: ledger.send_whole(1))", "isinstance"),
    "hasattr": ("ledger.branch(hasattr(ledger, 'batch'), lambda: ledger.send_whole(sequence))", "hasattr"),
    "ternary": ("sequence.drafts = 1 if ledger.symbolic else 0", "`ifexp`"),
    "ternary in either": ("sequence.drafts = if_else(True, 0 if 1 else 1, 1)", "`ifexp`"),
    "while": ("while False:\n        pass", "`while`"),
    "try": ("try:\n        bool(sequence.drafts)\n    except TypeError:\n        return", "`try`"),
    "and": (
        "ledger.branch(sequence.alive and sequence.in_decode_batch, lambda: ledger.send_whole(sequence))",
        "`boolop`",
    ),
    "not": ("ledger.branch(not None, lambda: ledger.send_whole(sequence))", "`not`"),
    "in": ("ledger.branch(sequence in [], lambda: ledger.send_whole(sequence))", "`in`"),
    "chained": ("ledger.branch(0 <= sequence.drafts <= 2, lambda: ledger.send_whole(sequence))", "chained"),
    "invert": ("ledger.branch(~True, lambda: ledger.send_whole(sequence))", "`invert`"),
    "walrus": ("ledger.branch((x := sequence.alive), lambda: ledger.send_whole(sequence))", "`namedexpr`"),
    "comprehension": ("[ledger.send_whole(s) for s in SEEN]", "does nothing"),
    "loop over a list": ("for one in SEEN:\n        ledger.send_whole(one)", "`for`"),
    "assert": ("assert sequence is not None", "`assert`"),
    "match": ("match sequence:\n        case int():\n            return", "`match`"),
    "with": ("with open('x') as f:\n        pass", "`with`"),
    "import": ("import sys", "`import`"),
    "global": ("global COUNT", "`global`"),
    "delete": ("del sequence", "`delete`"),
    "raise": ("raise ValueError", "`raise`"),
    "nested function": ("def f(x=[]): pass", "`functiondef`"),
    "mutable global": ("ledger.step_tokens = larger(0, SEEN.pop())", "SEEN.pop"),
    "global that changes": ("ledger.step_tokens = ledger.step_tokens + COUNT", "which the module changes"),
    "foreign operator": ("sequence.drafts = sequence.drafts + ODD", "`ODD`, which is no number"),
    "call of a built-in": ("sequence.drafts = len(sequence.request.members)", "a call of `len`"),
    "min": ("sequence.drafts = min(sequence.drafts, 0)", "a call of `min`"),
    "helper that branches": ("plain(ledger, sequence)", "`if`"),
    "partial": ("twice(ledger, sequence)", "a call of `twice`"),
    "alias": ("f = clear_table\n    f(ledger, sequence)", "`clear_table`, which is no number"),
    "alias of a guard": ("f = ledger.require\n    f(False, 'no')", "reading `require`"),
    "another action": ("recompute(ledger, sequence.request)", "other function"),
    "lambda kept": ("f = lambda: 0", "a lambda"),
    "lambda with a default": ("ledger.branch(sequence.alive, lambda x=1: ledger.send_whole(sequence))", "a default"),
    "starred": ("ledger.require(*(True, 'x'))", "a starred argument"),
    "dunder": ("ledger.branch(sequence.__class__ == 1, lambda: ledger.send_whole(sequence))", "__class__"),
    "index by a truth value": ("sequence.drafts = (0, 1)[sequence.drafts == 0]", "the index"),
    "formula itself": ("sequence.drafts = sequence.drafts.z", "reading `z`"),
    "ledger's own facts": ("ledger.assume(False)", "ledger.assume"),
    "ledger's own state": ("ledger.state.put('drafts', (), 0)", "ledger.state.put"),
    "ledger's own condition": ("ledger.wrote = False", "a write to `wrote`"),
    "clock past its primitive": ("ledger.steps = ledger.steps + 1", "a write to `steps`"),
    "phase past its primitive": ("sequence.request.phase = 4", "a write to `phase`"),
    "ghost": ("sequence.drafts = sequence.sent_length", "reading `sent_length`"),
    "another ledger": ("ledger = sequence", "another value for `ledger`"),
    "setattr": ("setattr(sequence, 'drafts', 0)", "a call of `setattr`"),
    "f-string": ("ledger.require(True, f'{sequence}')", "`joinedstr`"),
    "an operator of the kernel": ("ledger.remove_all(sequence.request, 0)", "ledger.remove_all"),
    "an operator of a pool": ("ledger.gpu.take(1)", "ledger.gpu.take"),
    "an operator of a list": ("sequence.table.clear()", "sequence.table.clear"),
    "some entries of a table": ("sequence.drafts = sequence.table[0:1]", "`slice`"),
}  # fmt: skip


def load(folder: Path, text: str, name: str = "hostile") -> Any:
    """A module with this text."""
    path = folder / f"{name}.py"
    path.write_text(text)
    return module_of(path)


def prune(folder: Path, between: str) -> Any:
    lines = f"def prune(ledger, sequence):{GUARDS}    {between}{END}"
    return load(folder, HEAD + lines).prune


@pytest.mark.parametrize("name", ACTION)
def test_a_hostile_action_is_refused(name: str, tmp_path: Path) -> None:
    between, what = ACTION[name]
    with pytest.raises(Forbidden) as refusal:
        build("prune", prune(tmp_path, between))
    where = "actions/table.py:" if name == "another action" else f"{tmp_path}/hostile.py:"
    assert where in str(refusal.value)
    assert what in str(refusal.value)


THIRD = """
from lineclear_spec.logic import larger
LIMIT = 0
def same(ledger, sequence):
    sequence.drafts = larger(LIMIT, 0)
def leaks(ledger, sequence):
    sequence.drafts = 0 if isinstance(sequence.drafts, int) else 1
def other(ledger, sequence):
    sequence.drafts = 1
"""


@pytest.mark.parametrize(
    ("between", "more", "what"),
    [
        ("same(ledger, sequence)", "", ""),
        ("leaks(ledger, sequence)", "", "third.py:7: `ifexp`"),
        ("third.same(ledger, sequence)", "", "a call of `third.same`"),
        (
            "same(ledger, sequence)",
            "third.LIMIT = 9",
            "third.py:5: `LIMIT`, which another module changes",
        ),
        (
            "same(ledger, sequence)",
            "third.larger = max",
            "third.py:5: `larger`, which another module",
        ),
        ("same(ledger, sequence)", "del third.LIMIT", "third.py:5: `LIMIT`, which another module"),
    ],
)
def test_a_helper_in_a_third_module_is_checked_like_the_action(
    between: str, more: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "third", load(tmp_path, THIRD, "third"))
    names = "import third\nfrom third import leaks, same\n"
    changes = f"def changes():\n    {more or 'pass'}\n"
    lines = f"def prune(ledger, sequence):{GUARDS}    {between}{END}"
    body = load(tmp_path, names + HEAD + changes + lines).prune
    if not what:
        check_action(body)
        return
    with pytest.raises(Forbidden) as refusal:
        build("prune", body)
    assert what in str(refusal.value)


def test_a_helper_that_a_lemma_states_with_is_checked_again_where_it_runs(tmp_path: Path) -> None:
    """A statement may list and unpack, what runs may not: the first check is no answer to the second."""
    text = "def helper(x):\n    return [y for y in x]\ndef fact(x):\n    return helper(x)\n"
    module = load(tmp_path, text)
    walk = dialect.Walk(kernel=False)
    walk.function(module.fact, statement=True)
    with pytest.raises(Forbidden, match="listcomp"):
        walk.function(module.helper)


def test_the_action_is_allowed_without_what_is_hostile(tmp_path: Path) -> None:
    check_action(prune(tmp_path, "sequence.drafts = 0"))


def test_a_leak_behind_an_identity_is_refused_at_its_line(tmp_path: Path) -> None:
    """It kept the table of the leader, and was proved: a record is never the same as another."""
    body = prune(tmp_path, ACTION["is"][0])
    line = (tmp_path / "hostile.py").read_text().splitlines().index(
        "    if sequence is sequence.request.members[0]:"
    ) + 1  # fmt: skip
    with pytest.raises(Forbidden, match=rf"hostile\.py:{line}: `if` is not allowed in prune"):
        build("prune", body)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("def prune(ledger, sequence, seen=[]):\n    ledger.send_whole(sequence)\n", "a default"),
        ("def prune(ledger, *sequences):\n    ledger.send_whole(1)\n", "a starred parameter"),
        ("async def prune(ledger, sequence):\n    pass\n", "asynchronous"),
        ("def prune(ledger, sequence):\n    yield 1\n", "does nothing"),
        ("@functools.cache\ndef prune(ledger, sequence):\n    pass\n", "no plain function"),
        ("class P:\n    def __call__(self, *a): pass\nprune = P()\n", "no plain function"),
        (
            "def outer():\n    n = 0\n    def prune(ledger, sequence):\n        ledger.branch(n == 0,"
            " lambda: ledger.send_whole(sequence))\n    return prune\nprune = outer()\n",
            "reads variables of another function: n",
        ),
        (
            "def other(ledger, sequence):\n    if sequence: pass\n"
            "def prune(ledger, sequence):\n    pass\n"
            "prune.__code__ = other.__code__.replace(co_firstlineno=prune.__code__.co_firstlineno)\n",
            "is not what runs",
        ),
        ("exec('def prune(ledger, sequence): pass')\n", "has no source"),
    ],
)
def test_a_hostile_function_is_refused(text: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(Forbidden, match=what):
        check_action(load(tmp_path, HEAD + text).prune)


CLASS = """
import random
from lineclear_spec.logic import and_, if_else, given, or_else, smaller
class Weight(int):
    def __mul__(self, other): return 0 if type(other) is int else 1
class Mine:
    name = "mine"
    weight = Weight(3)
    def __init__(self):
        self.bias = 0
        self.shift = 1
        self.table = {}
    def share(self, request, budget, sharers):
        self.bias -= 1
        return 1
    @property
    def lots(self): return random.random()
    @staticmethod
    def kind(request): return request.priority if type(request.priority) is int else 0
    def may_displace(self, waiting, running): return False
"""
#: The value of a key -> what is refused.
KEYS = {
    "request.deadline or 0": "`boolop`",
    "0 if request.deadline is None else request.deadline": "`ifexp`",
    "request.number if type(request.n) is int else -request.number": "`ifexp`",
    "(0, 1)[request.priority == 0]": "the index",
    "{True: 0, False: 1}[request.priority == 0]": "the index",
    "max(request.priority, 0)": "a call of `max`",
    "sum(x for x in (1, 2))": "a call of `sum`",
    "random.random()": "a call of `random.random`",
    "request.__class__": "reading `__class__`",
    "request.priority.__class__": "reading",
    "request.priority.z": "reading",
    "request.tenant": "reading `tenant`",
    "request.number * self.weight": "`weight`, which is no number",
    "request.number + self.bias": "`bias`, which the policy changes",
    "self.lots": "random.random",
    "self.kind(request)": "`ifexp`",
    "self.table.get(request.number, 0)": "a call of `self.table.get`",
    "getattr(request, 'priority')": "a call of `getattr`",
    "(lambda: 0)()": "the call",
    "float('inf')": "a call of `float`",
    "int(request.number)": "a call of `int`",
    "request.number // 2": "FloorDiv",
    "(request.number, *())": "`starred`",
    "not request.priority": "`not`",
    "0 < request.priority < 2": "a chained comparison",
}


@pytest.mark.parametrize("key", KEYS)
def test_a_hostile_key_gets_no_theorem(key: str, tmp_path: Path) -> None:
    text = f"{CLASS}    def key(self, request):\n        return {key}\n"
    said = objection(load(tmp_path, text, "policy").Mine())
    assert f"{tmp_path}/policy.py:" in said
    assert KEYS[key] in said


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ("    def __getattr__(self, name): return 0\n", "__getattr__"),
        ("    @classmethod\n    def rank(cls, request): return 0\n", "no plain function"),
        ("    def rank(self, request, seen=[]): return 0\n", "a default"),
        ("    def may_displace(self, a, b): return a.priority > 0 and True\n", "`boolop`"),
    ],
)
def test_a_hostile_policy_gets_no_theorem(more: str, what: str, tmp_path: Path) -> None:
    text = f"{CLASS}    def key(self, request):\n        return 0\n{more}"
    assert what in objection(load(tmp_path, text, "policy").Mine())


def test_a_method_of_the_instance_is_not_that_of_the_class(tmp_path: Path) -> None:
    text = f"{CLASS}    def key(self, request):\n        return self.kind(request)\n"
    policy = load(tmp_path, text, "policy").Mine()
    policy.kind = lambda request: 0
    assert "a call of `self.kind`" in objection(policy)
    policy.key = lambda request: 0
    assert "key is not a method of its class" in objection(policy)


def test_a_key_of_formulas_is_allowed(tmp_path: Path) -> None:
    key = "if_else(given(request.deadline), 0, 1), or_else(request.deadline, 0) + self.shift"
    text = f"{CLASS}    def key(self, request):\n        return {key}\n"
    assert objection(load(tmp_path, text, "policy").Mine()) == ""


# ---- what is there passes ----------------------------------------------------------------------


def test_everything_that_is_proved_of_is_allowed() -> None:
    from lineclear.policies import load_claims

    load_claims()
    for row in ACTIONS.values():
        check_action(row.body)
        check_action(guards_of(row.name))
    for name in blocks.__all__:
        check_action(getattr(blocks, name))
    for mutant in generate(FAMILIES):
        check_action(body_of(mutant))
    for claims in CLAIMS.values():
        check_policy(claims.make(Unknowns()), claims)


@pytest.mark.parametrize("unit", ["prune", "clear_table", "decisions", "order_edf"])
def test_every_unit_is_checked_before_it_is_run(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lineclear.policies import load_claims

    load_claims()
    asked = []

    def note(self: Any, function: Any, statement: bool = False) -> None:
        asked.append(function)

    monkeypatch.setattr(dialect.Walk, "function", note)
    build(unit)
    assert asked


def test_it_needs_no_solver() -> None:
    """Guarantees are printed where no solver is installed."""
    assert "z3" not in vars(dialect)
    assert "z3" not in Path(sys.modules["lineclear_spec.logic"].__file__ or "").read_text()
