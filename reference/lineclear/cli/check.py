"""`lineclear check`: everything that continuous integration should ask, on one screen.

Guarantees: exit code 0 only if every part ran and passed. It knows nothing about how a part works.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import PASSED, REFUTED
from lineclear.cli.output import add_format, write_json, write_text
from lineclear.cli.progress import Progress
from lineclear.cli.prove import mutant_counts, prove_json, status_of

if TYPE_CHECKING:
    from lineclear_spec.explore import Exploration
    from lineclear_spec.judge import Verdict
    from lineclear_spec.prove import Result

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "check",
        help="what CI runs: prove everything, search, refute every mutant; one screen",
        description="Prove every obligation, visit every state of small worlds, refute every "
        "mutant, and say what is not proved.",
        epilog="examples:\n  lineclear check\n  lineclear check --format json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs every part."""
    from lineclear.policies import load_claims
    from lineclear_spec import prove
    from lineclear_spec.explore import BOUNDS, search
    from lineclear_spec.judge import judge_all
    from lineclear_spec.mutants import generate
    from lineclear_spec.obligations import units
    from lineclear_spec.parallel import in_parallel

    load_claims()
    started = time.monotonic()
    with Progress("proving", len(units())) as progress:
        results = prove.prove(progress=progress.step)
    proved = time.monotonic()
    worlds: list[Exploration] = []
    with Progress("searching", len(BOUNDS)) as progress:
        for world in in_parallel(search, BOUNDS):
            worlds.append(world)
            progress.step()
    searched = time.monotonic()
    mutants = generate()
    with Progress("mutants", len(mutants)) as progress:
        verdicts = judge_all(mutants, progress=progress.step)
    judged = time.monotonic()
    seconds = (proved - started, searched - proved, judged - searched)
    code = status_of(results, verdicts)
    missing = never_happened(worlds)
    if any(world.violations for world in worlds) or missing:
        code = REFUTED
    if arguments.format == "json":
        whole = prove_json(results, verdicts)
        whole["explorations"] = [world.as_dict() for world in worlds]
        whole["never_happened"] = missing
        whole["invariants_no_mutant_breaks"] = unneeded(verdicts)
        write_json(whole)
    else:
        write_text("\n".join(screen(results, worlds, verdicts, seconds, passed=code == PASSED)))
    return code


def never_happened(worlds: Sequence[Exploration]) -> list[str]:
    """Actions that no world shows."""
    from lineclear_spec.actions import ACTIONS

    return [name for name in ACTIONS if not any(name in world.witnesses for world in worlds)]


def unneeded(verdicts: Sequence[Verdict]) -> list[str]:
    """Invariants that no mutant is seen to break."""
    from lineclear_spec.invariants import INVARIANTS

    broken = {name for v in verdicts if v.evidence for name in v.evidence.broken}
    return [name for name in INVARIANTS if name not in broken]


def screen(
    results: Sequence[Result],
    worlds: Sequence[Exploration],
    verdicts: Sequence[Verdict],
    seconds: tuple[float, float, float],
    *,
    passed: bool,
) -> list[str]:
    """The one screen."""
    from lineclear_spec.actions import ACTIONS
    from lineclear_spec.invariants import INVARIANTS

    asked = [r for r in results if r.kind != "frame"]
    good = sum(r.status == "proved" for r in asked)
    counts = mutant_counts(verdicts)
    reachable = sum(v.evidence is not None and not v.evidence.tweaks for v in verdicts)
    whole = sum(world.complete for world in worlds)
    happened = len(ACTIONS) - len(never_happened(worlds))
    lines = [
        f"lineclear check     {len(ACTIONS)} actions, {len(INVARIANTS)} invariants",
        "",
        f"  proved      {good} of {len(asked)} obligations, for any number of requests, "
        f"sequences,",
        f"              blocks and tokens and any block size{seconds[0]:>28.1f} s",
        f"  searched    {sum(w.states for w in worlds)} states of {len(worlds)} small worlds "
        f"({whole} exhausted), every invariant in each{seconds[1]:>7.1f} s",
        f"  mutants     {counts['refuted']} of {counts['generated']} refuted by proof and by "
        f"execution, {counts['equivalent']} equivalent, {counts['survived']} "
        f"survived{seconds[2]:>6.1f} s",
        f"              {reachable} by a trace from the start state, the rest one step from "
        f"a good state",
        f"  happens     {happened} of {len(ACTIONS)} actions, each with a shortest trace",
    ]
    lines += [
        f"  NOT PROVED  {key}" for key in sorted({r.key for r in results if r.status != "proved"})
    ]
    for world in worlds:
        for trace, breach in world.violations[:3]:
            lines.append(
                f"  BROKEN      {breach.rule} after {len(trace)} actions in {world.bounds.name}"
            )
    lines += [f"  SURVIVED    {v.mutant}: {v.text}" for v in verdicts if v.status == "survived"]
    quiet = unneeded(verdicts)
    if quiet:
        lines.append(
            f"  no mutant breaks {', '.join(quiet)}: kept by the primitives, see docs/trust.md"
        )
    lines += [
        "",
        "  not proved here: progress, the policies' order, the two interpretations of the "
        "primitives",
        "  (tested), the devices; docs/trust.md says what stands for each",
        "",
        "  passed" if passed else "  FAILED",
    ]
    return lines
