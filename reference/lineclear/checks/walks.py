"""Walks at random through worlds of the scheduler, each step judged by the oracle.

Guarantees: the walks of a mode are the same in every run; the first are through worlds in which one
rule of a step decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lineclear.checks.stage import Case, Context, Finding
from lineclear.oracle.rules import NAME

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.explore.bounds import Bounds
    from lineclear.oracle import Oracle

__all__ = ["code_of", "code_of_error", "walks"]

#: Walks at random under pressure, and moves of each.
WALKS = {"fast": 26, "default": 78, "deep": 780}
MOVES = 150
#: Worlds of shorter requests are walked through three times as long.
SHORT = 16
#: Walks of a user's own configuration.
OF_ONE = 4
#: Walks that fail before no more are made.
MOST_WALKS = 2


def code_of(what: object) -> str:
    """The code of a violation: of the rules of a step, or of an invariant."""
    return "LC405" if f"{NAME}: " in str(what) else "LC401"


def code_of_error(what: str) -> str:
    """The code of whatever a scheduler, or what watches it, raises; it begins with the error's class."""
    kind = what.partition(":")[0]
    known = {"WrongContent": "LC403", "Hazard": "LC403", "Disagreement": "LC404"}
    if kind in ("Violation", "Undone"):
        return code_of(what)
    return known.get(kind, "LC402")


def walked(bounds: Bounds, seed: int) -> tuple[Finding | None, Oracle]:
    """One walk; what it finds, and what the oracle judged."""
    from lineclear.checks.behaviours import finding
    from lineclear.explore.walks import walk

    done = walk(bounds, seed, MOVES if bounds.config.max_model_len > SHORT else 3 * MOVES)
    if done.error is None:
        return None, done.world.oracle
    what = f"{type(done.error).__name__}: {done.error}".splitlines()[0]
    return finding(code_of_error(what), what, done.trace, bounds, ()), done.world.oracle


def walks(
    context: Context, configs: Sequence[Config]
) -> tuple[list[Finding], list[Case], Counter[str]]:
    """Walks of this mode, until two have failed; their cases, and what the oracle judged.

    Args:
        context: its mode says how many.
        configs: a user's own configurations, to be walked instead; none for the project's worlds.
    """
    from lineclear.explore.walks import pressed, worlds

    findings: list[Finding] = []
    cases: list[Case] = []
    counts: Counter[str] = Counter()
    own = [pressed(k, config) for k, config in enumerate([*configs] * OF_ONE)]
    for seed, bounds in enumerate(own or worlds(WALKS[context.mode])):
        found, oracle = walked(bounds, seed)
        counts["judged"] += oracle.judged
        counts.update({f"not judged: {name}": n for name, n in oracle.exempt.items()})
        title = found.title if found is not None else ""
        cases.append(Case("walks", bounds.name, "refuted" if found else "passed", title))
        if found is not None:
            findings.append(found)
            if len(findings) >= MOST_WALKS:
                break
    context.step("walks")
    return findings, cases, counts
