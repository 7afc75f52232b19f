"""Deliberately broken tables, made from the table's own source, that the proofs must refuse.

Guarantees: a mutant differs from the table in one statement (or the order of two), is named after
it, and counts as *refuted* only when a concrete execution breaks a named rule; *equivalent* only
when the solver proves that it makes no difference.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel import blocks
from lineclear_spec.kernel.methods import Kernel
from lineclear_spec.language.statements import (
    function_of,
    is_effect,
    is_guard,
    made,
    parsed,
    statements,
)
from lineclear_spec.logic import larger
from lineclear_spec.mutation.variants import (
    EXCHANGED,
    SWAPPED,
    choices,
    effect_variants,
    guard_variants,
    tier_variants,
)

#: The families that drop a statement.
DROPS = ("guard dropped", "effect dropped")
#: The families that `lineclear check` judges; `--deep` judges all.
JUDGED = (
    *DROPS,
    "guard strengthened",
    "effect changed",
    "tier exchanged",
    "guards exchanged",
    "wait changed",
)
#: block steps and their parts -> the steps whose proofs depend on them
STEPS: dict[str, tuple[str, ...]] = {
    "allocate_gpu": ("take_blocks", "give_each_one", "move_blocks_in", "replace_entry"),
    "take_blocks": ("take_blocks",),
    "give_each_one": ("give_each_one",),
    "give_each": ("give_each_one",),
    "share_table": ("share_table",),
    "share_cached": ("share_cached",),
    "seal_entry": ("publish",),
    "seal_entries": ("publish_run",),
    "free_resting": ("evict",),
    "let_go": ("clear_table", "clear_tables", "finish_each"),
    "clear_table": ("clear_table",),
    "clear_tables": ("clear_tables",),
    "forget_computed": ("clear_tables",),
    "clear_each": ("finish_each",),
    "end_in_batch": ("finish_each",),
    "move_blocks": ("move_blocks_in", "move_blocks_out"),
    "replace_entry": ("replace_entry",),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken table.

    Attributes:
        name: `swap_out.guard.4`, `finish.effect.1`, `swap_in.name.1`: function, kind and position, counted from 1.
        function: the action or block step that is broken.
        kind: the family, `guard dropped` or another of `mutation.variants.FAMILIES`.
        text: the statement that is gone or changed, or the guard's sentence.
        line: its line in the source file.
        units: whose proofs must notice.
        index: of the statement in the function's body.
        variant: how the statement is changed; "" if it is gone.
        source: what stands there instead; "" if nothing does.
    """

    name: str
    function: str
    kind: str
    text: str
    line: int
    units: tuple[str, ...]
    index: int
    variant: str = ""
    source: str = ""

    @property
    def guard(self) -> bool:
        """Whether a guard was touched."""
        return self.kind.startswith("guard")

    @property
    def position(self) -> int:
        """Which guard, effect or binding of its function it is, counted from 0."""
        return int(self.name.split(".")[2]) - 1

    @property
    def reordered(self) -> bool:
        """Whether two guards change places, so that the same conditions are asked."""
        return self.kind == "guards exchanged"

    @property
    def module(self) -> ModuleType:
        """Where the function lives."""
        return sys.modules[function_of(self.function).__module__]


def generate(families: Collection[str] = DROPS) -> list[Mutant]:
    """The mutants of these families, over actions and block steps; by default what is dropped."""
    found: list[Mutant] = []
    for name in (*ACTIONS, *STEPS):
        body = parsed(name).body
        counts = {"guard": 0, "effect": 0, "name": 0}
        for index, kind, text, line in [*statements(name), *bindings(body)]:
            counts[kind] += 1
            units = STEPS.get(name, (name,))
            label = f"{name}.{kind}.{counts[kind]}"
            if f"{kind} dropped" in families:
                found.append(Mutant(label, name, f"{kind} dropped", text, line, units, index))
            for family, changed in variants_of(name, body, index, kind).items():
                if family in families:
                    found += [
                        Mutant(
                            f"{label}.{variant.replace(' ', '_')}",
                            name,
                            family,
                            text,
                            line,
                            units,
                            index,
                            variant,
                            ast.unparse(statement),
                        )
                        for variant, statement in changed.items()
                    ]
    return found


def bindings(body: list[ast.stmt]) -> list[tuple[int, str, str, int]]:
    """Like `statements`, those that bind a name that later ones need: they can be changed, but not dropped.

    Not those that choose a tier by `if_else`: with all its tiers exchanged a choice may be the same one.
    """
    return [
        (index, "name", ast.unparse(node), node.lineno)
        for index, node in enumerate(body)
        if isinstance(node, ast.Assign) and not is_effect(node) and not choices(node.value)
    ]


def variants_of(
    name: str, body: list[ast.stmt], index: int, kind: str
) -> dict[str, dict[str, ast.stmt]]:
    """By family, what may stand in the place of one statement. Only actions swap effects: what a
    block step leaves behind is hidden by the contract of its loop, so nothing could be compared.

    Args:
        name: of the action or block step.
        body: its statements.
        index: of the statement.
        kind: guard or effect, or name for one that binds a name.
    """
    if kind == "name":
        return {"tier exchanged": tier_variants(body[index])}
    if kind == "guard":
        found = guard_variants(body[index], first=not any(map(is_guard, body[:index])))
        if index + 1 < len(body) and is_guard(body[index + 1]):
            found["guards exchanged"] = {EXCHANGED: body[index + 1]}
        return found
    found = effect_variants(body[index])
    if name in ACTIONS and index + 1 < len(body) and is_effect(body[index + 1]):
        found["effects swapped"] = {SWAPPED: body[index + 1]}
    return found


@cache
def body_of(mutant: Mutant) -> Callable[..., Any]:
    """The broken function."""
    node = parsed(mutant.function)
    body, index = node.body, mutant.index
    if mutant.variant in (SWAPPED, EXCHANGED):
        body[index], body[index + 1] = body[index + 1], body[index]
    else:
        instead: ast.stmt = ast.Pass()
        if mutant.variant:
            kind = mutant.name.split(".")[1]
            instead = variants_of(mutant.function, body, index, kind)[mutant.kind][mutant.variant]
        body[index] = ast.copy_location(instead, body[index])
    # A changed wait takes the larger of two numbers, which not every module imports.
    known = mutant.module.__dict__
    if "larger" not in known:
        known = {**known, "larger": larger}
    return made(node, function_of(mutant.function), known)


@contextmanager
def installed(mutant: Mutant) -> Generator[Callable[..., Any] | None]:
    """Within the block, the broken block step stands in for the real one; the broken action is returned."""
    body = body_of(mutant)
    if mutant.function in ACTIONS:
        yield body
        return
    original = getattr(blocks, mutant.function)
    put_step(mutant.function, body)
    try:
        yield None
    finally:
        put_step(mutant.function, original)


def put_step(name: str, body: Callable[..., Any]) -> None:
    """Let a function stand for a block step: in its module and, if it is one, as the ledger's method."""
    setattr(blocks, name, body)
    if name in vars(Kernel):
        setattr(Kernel, name, body)
