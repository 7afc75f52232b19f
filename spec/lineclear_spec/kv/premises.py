# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The premises of the theorem of KV: what is assumed of a device, a model and a caller.

Guarantees: a proof of KV assumes nothing of them but these, each under its name; `lineclear prove kv` prints them. Most
are formulas of this module; `waits` and `model` are the device's action, one name for branches is in `Cache.inherit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import z3

from lineclear_spec.kv.theorems import Learned, clock_learns, learned, learns_position
from lineclear_spec.symbolic.kv_fields import SAMPLED_BY
from lineclear_spec.symbolic.sorts import Sequence
from lineclear_spec.symbolic.state import State

#: name -> what it says.
NAMES = {
    "waits": "a device starts an operation when every one that it waits for has run, and those of the compute "
    "stream in the order of their numbers",
    "done": "a device says that an operation is done only if it has run",
    "good": "a device says that a copy is good only if it has not failed",
    "model": "a model that reads right KV writes the KV of the tokens that it takes, in the slots of its plan",
    "reported": "tokens that are reported for a sequence and a step are those that its forward sampled",
    "names": "a name means the tokens of its block and all before them, and a full block that branches share gets one "
    "name in all of them",
    "twins": "a copy on write does not fail",
}


@dataclass(frozen=True, slots=True)
class KvPremise:
    """A formula that is assumed when an action happens, and the name under which it is printed."""

    name: str
    formula: Any


def premises(action: str, v: State, new: State, values: list[Any], result: Any) -> list[KvPremise]:
    """What is assumed besides when an action happens.

    Args:
        action: its name.
        v: the state before.
        new: the state after.
        values: the arguments.
        result: what the action returns.
    """
    if action == "commit_step":
        found = [KvPremise("done", v.ran(v.forward_of(v.committed + 1)))]
    elif action == "fail_copy":
        found = [KvPremise("done", v.ran(v.open_swap(values[0])))]
    elif action == "complete_copy":
        o = values[0]
        waited = v.open_swap(v.request_of(o)) == o
        found = [
            KvPremise("done", v.ran(o)),
            KvPremise("good", z3.Implies(waited, z3.Not(v.fails(o)))),
        ]
    elif action == "run":
        twin = z3.And(v.compute(values[0]), z3.Not(v.is_forward(values[0])))
        found = [KvPremise("twins", z3.Implies(twin, z3.Not(v.fails(values[0]))))]
    else:
        found = []
    return [
        *found,
        *reported(action, v, values, result),
        *names(action, v, new, values, result),
    ]


def reported(action: str, v: State, values: list[Any], result: Any) -> list[KvPremise]:
    """The tokens that a sequence learns are those that the forward of the step sampled for it.

    Args:
        action: see `premises`, as the others.
        v: the state before.
        values: the arguments.
        result: what the action returns.
    """
    q, i = z3.Const("q", Sequence), z3.Int("i")

    def of(x: Learned, given: Any) -> Any:
        sampled = SAMPLED_BY(x.by, i) == v.forward_of(x.step)
        return z3.Implies(z3.And(given, learns_position(x, i)), sampled)

    if action == "commit_step":
        formula = of(clock_learns(v, q), z3.And(v.alive(q), v.in_decode_batch(q)))
        return [KvPremise("reported", z3.ForAll([q, i], formula, patterns=[SAMPLED_BY(q, i)]))]
    x = learned(action, v, values, result)
    if x is None:
        return []
    formula = of(x, z3.BoolVal(True))
    return [KvPremise("reported", z3.ForAll([i], formula, patterns=[SAMPLED_BY(x.by, i)]))]


def names(action: str, v: State, new: State, values: list[Any], result: Any) -> list[KvPremise]:
    """Names of blocks whose tokens become known are honest.

    Args:
        action: its name.
        v: state before it.
        new: state after it.
        values: its arguments.
        result: what it returns.
    """
    q, i = z3.Const("q", Sequence), z3.Int("i")
    k = v.block_of(i)
    means = new.token_kv(q, i) == v.name_kv(new.block_name(q, k), i)
    full = z3.And(i >= 0, k < v.block_of(new.num_tokens(q)), new.block_name(q, k) >= 1)

    def since(start: Any) -> Any:
        return z3.Implies(z3.And(full, v.block_of(start) <= k), means)

    def of(sequence: Any, start: Any) -> list[KvPremise]:
        body = z3.substitute(since(start), (q, sequence))
        return [KvPremise("names", z3.ForAll([i], body, patterns=[k]))]

    if action == "sample":
        return of(values[0], v.num_tokens(values[0]))
    if action == "fork":
        return of(result, v.num_tokens(values[0]))
    if action == "submit":
        return of(result, z3.IntVal(0))
    if action == "commit_step":
        body = z3.Implies(v.alive(q), since(v.num_tokens(q)))
        pattern = z3.MultiPattern(v.alive(q), k)
        return [KvPremise("names", z3.ForAll([q, i], body, patterns=[pattern]))]
    return []
