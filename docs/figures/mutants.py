"""What became of every mutant: its verdict, the obligation that fails, the rule that it breaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from figures.page import table
from lineclear_spec.invariants import INVARIANTS


def evidence_of(verdict: Any) -> tuple[str, str]:
    """The rule that a mutant breaks, and where that was seen."""
    e = verdict.evidence
    if e is None:
        return "", verdict.status
    if e.tweaks:
        return f"`{e.rule}`", "one step from a good state"
    return f"`{e.rule}`", f"trace of {len(e.trace)}"


def mutants(verdicts: Sequence[Any]) -> str:
    """One table for each action and block step."""
    groups: dict[str, list[Any]] = {}
    for v in verdicts:
        groups.setdefault(v.mutant.split(".")[0], []).append(v)
    lines: list[str] = []
    for name, group in groups.items():
        lines += [f"## {name}", ""]
        rows = [
            (
                v.mutant.split(".", 1)[1].replace(".", " "),
                v.text if v.kind.startswith("guard") else f"`{v.text}`",
                v.status,
                f"`{v.obligation}`" if v.obligation else "none",
                *evidence_of(v),
            )
            for v in group
        ]
        head = ("gone", "text", "verdict", "obligation that fails", "rule broken", "seen")
        lines += [table(head, rows), ""]
    return "\n".join(lines).rstrip()


def families(verdicts: Sequence[Any]) -> str:
    """Every family of mutants, and what became of it; those that survived by name."""
    from lineclear_spec.mutation.mutants import JUDGED
    from lineclear_spec.mutation.variants import FAMILIES

    rows: list[tuple[str, ...]] = []
    for family in FAMILIES:
        mine = [v.status for v in verdicts if v.kind == family]
        counts = [str(mine.count(status)) for status in ("refuted", "equivalent", "survived")]
        when = "`lineclear check`" if family in JUDGED else "`lineclear check --deep`"
        rows.append((family, str(len(mine)), *counts, when))
    left = [v.mutant for v in verdicts if v.status == "survived"]
    named = "\n\nSurvived: " + ", ".join(f"`{name}`" for name in left) + "." if left else ""
    head = ("family", "mutants", "refuted", "equivalent", "survived", "judged by")
    return table(head, rows) + named


def score(verdicts: Sequence[Any]) -> str:
    """How many mutants, and what became of them."""
    counts = Counter(v.status for v in verdicts)
    guards = sum(v.kind.startswith("guard") for v in verdicts)
    seen = sum(v.evidence is not None and not v.evidence.tweaks for v in verdicts)
    steps = sum(v.evidence is not None and bool(v.evidence.tweaks) for v in verdicts)
    broken = {name for v in verdicts if v.evidence for name in v.evidence.broken}
    quiet = [f"`{name}`" for name in INVARIANTS if name not in broken]
    return (
        f"{len(verdicts)} mutants: {guards} guards dropped, {len(verdicts) - guards} effects "
        f"dropped. {counts['refuted']} are refuted, {counts['equivalent']} equivalent, "
        f"{counts['survived']} survived. {seen} break a rule at the end of a trace from the start "
        f"state, {steps} one step from a good state that may be unreachable. Invariants that none "
        f"of them is seen to break: {', '.join(quiet) or 'none'}."
    )
