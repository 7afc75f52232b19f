"""The lists that need no solver and no search: primitives, operators, invariants, premises."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from figures.page import between, table
from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import INVARIANTS
from lineclear_spec.kernel import blocks
from lineclear_spec.kernel.methods import Kernel
from lineclear_spec.kernel.operators import OPERATORS
from lineclear_spec.liveness.premises import PREMISES


def sentence(function: Any) -> str:
    """A primitive's docstring up to the first full stop, without the word that marks it."""
    text = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
    return re.sub(r"^Primitive(, ghost)?: ", "", text).split(". ")[0].rstrip(".")


def callers(name: str) -> list[str]:
    """Actions whose searches and mutants run the primitive, by themselves or by a block step."""
    direct = {f for f in (*ACTIONS, *functions(blocks)) if calls(f, name)}
    while True:
        more = {
            f for f in (*ACTIONS, *functions(blocks)) for g in direct if calls(f, g, method=False)
        }
        if more <= direct:
            return [action for action in ACTIONS if action in direct]
        direct |= more


def functions(module: Any) -> list[str]:
    """Functions that a module defines."""
    return [
        n
        for n, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ == module.__name__
    ]


@cache
def calls(caller: str, callee: str, *, method: bool = True) -> bool:
    """Whether the source of an action or a block step calls it."""
    function = ACTIONS[caller].body if caller in ACTIONS else getattr(blocks, caller)
    before = r"ledger\.(?:gpu\.|cpu\.|pools\[\w+\]\.)?" if method else r"(?<![\w.])"
    return (
        re.search(rf"{before}{callee}\(", inspect.getsource(function).split(":", 1)[1]) is not None
    )


def primitives() -> str:
    """Every primitive, which is written once, and the actions that run it."""
    from lineclear_spec.kernel import primitives as once

    rows: list[Sequence[object]] = []
    for name, function in vars(once).items():
        if inspect.isfunction(function) and name in vars(Kernel):
            users = ", ".join(f"`{action}`" for action in callers(name))
            rows.append((f"`{name}`", sentence(function), users or "none"))
    return table(("primitive", "what it does", "run by"), rows)


def questions() -> str:
    """Every operator of the kernel: what is implemented twice."""
    rows = [
        (
            row.name,
            ", ".join(f"`{word}`" for word in row.methods),
            ", ".join(row.lemmas),
            row.assumed,
        )
        for row in OPERATORS
    ]
    return table(("operator", "methods", "lemma", "assumed"), rows)


def invariants() -> str:
    """Each invariant with its sentence."""
    rows = [(f"`{i.name}`", i.kind, len(i.clauses), i.sentence) for i in INVARIANTS.values()]
    return table(("invariant", "kind", "clauses", "sentence"), rows)


def theorems_as_asked(page: str) -> str:
    """What each theorem says and presumes today, beside what the page has of the solvers' answers."""
    from lineclear.policies import load_claims
    from lineclear_spec.liveness.theorems import CLAIMS

    load_claims()
    head, _, *lines = between(page, "theorems").splitlines()
    answers = {line.split(" | ")[0]: line.split(" | ")[2:4] for line in lines}
    rows: list[tuple[str, ...]] = []
    for theorem in (theorem for claims in CLAIMS.values() for theorem in claims.theorems):
        name = f"`{theorem.name}`"
        answer = answers.get(f"| {name}", ["not asked", "0"])
        rows.append((name, theorem.sentence, *answer, " ".join(theorem.premises) or "none"))
    return table(head.strip("| ").split(" | "), rows)


def premises() -> str:
    """What theorems of policies presume."""
    rows = [(p.name, p.sentence, p.seen_to, p.where) for p in PREMISES.values()]
    return table(("", "premise", "", "where"), rows)


def open_premises() -> str:
    """What theorems presume and no guard enforces."""
    rows = [
        (p.name, p.sentence, p.seen_to, ", ".join(rests_on(p.name)))
        for p in PREMISES.values()
        if p.seen_to != "guard"
    ]
    return table(("", "premise", "", "without it these theorems say nothing"), rows)


def rests_on(premise: str) -> list[str]:
    """Properties whose theorems presume it, with the policies where not all do."""
    from lineclear.policies import load_claims
    from lineclear_spec.liveness.theorems import CLAIMS

    load_claims()
    users: dict[str, list[str]] = {}
    for claims in CLAIMS.values():
        for theorem in claims.theorems:
            if premise in theorem.premises:
                policy, _, name = theorem.name.partition(".")
                users.setdefault(name, []).append(policy)
    return [
        name if len(policies) == len(CLAIMS) else f"{name} of {' and '.join(policies)}"
        for name, policies in users.items()
    ]
