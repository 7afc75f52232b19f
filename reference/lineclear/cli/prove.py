"""`lineclear prove`: proves every obligation, of the action table and of what rests on it.

Guarantees: exit code 0 only if everything requested is proved and no mutant survives; unknown is 3, refuted is 1.
With --theorems 0 also means that every theorem is proved: one with an obligation that was not asked makes it 3.
"""

from __future__ import annotations

import argparse
import difflib
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import INCONCLUSIVE, PASSED, REFUTED, UsageError
from lineclear.cli.files import need_folder
from lineclear.cli.numbers import whole
from lineclear.cli.output import add_backend, add_format, count, write_json, write_text
from lineclear.cli.progress import Progress
from lineclear.cli.prove_kv import NAME as KV
from lineclear.cli.prove_kv import kv_json, kv_lines

if TYPE_CHECKING:
    from lineclear_spec.liveness.standings import Standing
    from lineclear_spec.mutation.judge import Verdict
    from lineclear_spec.proof.prove import Result

EPILOG = """\
examples:
  lineclear prove                              everything, then every mutant
  lineclear prove kv                           the theorem of KV, its premises, and all that it rests on
  lineclear prove swap_out swap_in             two actions
  lineclear prove --invariant conservation     one invariant, every action
  lineclear prove --seeds 5 --no-mutants       five solver seeds
  lineclear prove --no-mutants --second-solver Z3, then cvc5
  lineclear prove --theorems                   theorems of the policies, and their premises
  lineclear prove --export obligations/        SMT-LIB text for any other solver
  lineclear prove --operators                  what has two readings, and the test that compares them
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "prove",
        help="prove the action table for any number of requests and blocks",
        description="Prove the action table for any number of requests, sequences, blocks and "
        "tokens and any block size, and refute every mutant of it.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "actions",
        nargs="*",
        default=[],
        metavar="UNIT",
        help="an action, or another unit that is printed (default: every unit); kv: the theorem of KV",
    )
    parser.add_argument(
        "--invariant",
        action="append",
        default=[],
        metavar="NAME",
        help="only what is asked about this invariant; repeatable",
    )
    parser.add_argument(
        "--seeds",
        type=whole(1, 1000),
        default=1,
        metavar="N",
        help="solver seeds 0 to N - 1 (default: 1)",
    )
    parser.add_argument("--no-mutants", action="store_true", help="skip the mutants")
    parser.add_argument(
        "--export",
        metavar="DIR",
        help="only write every obligation as SMT-LIB text",
    )
    parser.add_argument(
        "--second-solver", action="store_true", help="prove every obligation again with cvc5"
    )
    parser.add_argument(
        "--theorems",
        action="store_true",
        help="prove, without mutants, and print each theorem of a policy with its premises",
    )
    parser.add_argument(
        "--operators",
        action="store_true",
        help="only print the operators that block steps are written in, with their two readings",
    )
    parser.add_argument(
        "--write-baseline",
        action="store_true",
        help="record the solver resources used (for contributors)",
    )
    add_format(parser)
    add_backend(parser)


def run(arguments: argparse.Namespace) -> int:
    """Proves what was requested."""
    if arguments.operators:
        why = "--operators prints operators and proves nothing"
        arguments.parser.refuse_idle(why, "operators", "format")
        return print_operators(arguments)
    from lineclear.policies import load_claims
    from lineclear_spec.liveness.standings import belongs, standings
    from lineclear_spec.liveness.theorems import TABLE
    from lineclear_spec.mutation.judge import judge_all
    from lineclear_spec.mutation.mutants import generate
    from lineclear_spec.proof import baseline, prove
    from lineclear_spec.proof.obligations import units, units_of_kv
    from lineclear_spec.proof.prove import every_key

    load_claims()
    only_kv = arguments.actions == [KV]
    if KV in arguments.actions and not only_kv:
        raise UsageError(f"{KV} is no unit, but all that its theorem rests on: ask it alone")
    names = units_of_kv() if only_kv else chosen(arguments.actions, units(), "unit")
    from lineclear_spec.invariants import INVARIANTS

    wanted = chosen(arguments.invariant, list(INVARIANTS), "invariant")
    if arguments.write_baseline:
        why = "--write-baseline records what one solver takes for every unit"
        used = ("write_baseline", "seeds", "no_mutants", "theorems", "format", "backend")
        arguments.parser.refuse_idle(why, *used)
    if arguments.export:
        why = "--export writes every obligation of the units and proves nothing"
        arguments.parser.refuse_idle(why, "export", "actions")
        from lineclear_spec.crosscheck.smtlib import export

        need_folder(arguments.export)
        files = export(Path(arguments.export), names or None)
        write_text(
            f"{count(len(files), 'file')} in {arguments.export}; every check-sat answers unsat"
        )
        return PASSED
    started = time.monotonic()
    solvers, second = [prove.solver_version()], None
    if arguments.second_solver:
        from lineclear_spec.crosscheck import second_solver

        second = second_solver.crosscheck_unit
        solvers.append(second_solver.version())
    with Progress("proving", len(names or units())) as progress:
        seeds = range(arguments.seeds)
        results = prove.prove(names, seeds, progress=progress.step, second=second)
    proof_seconds = time.monotonic() - started
    if wanted:
        results = [r for r in results if r.label.split(".")[0] in wanted]
        if not results:
            raise UsageError(
                f"no obligation of {', '.join(names)} concerns {', '.join(wanted)}; omit the "
                "actions, or see lineclear explain ACTION"
            )
    verdicts: list[Verdict] = []
    if not (arguments.no_mutants or arguments.theorems or names or wanted):
        mutants = generate()
        with Progress("mutants", len(mutants)) as progress:
            verdicts = judge_all(mutants, progress=progress.step)
    code = status_of(results, verdicts)
    if arguments.write_baseline and code == PASSED:
        baseline.write_baseline(range(arguments.seeds))
    theorems: list[Standing] = []
    keys: list[str] = []
    if arguments.theorems:
        keys = every_key()
        theorems = standings(((r.key, r.status) for r in results), keys)
    if arguments.format == "json":
        content = prove_json(results, verdicts, solvers)
        if only_kv:
            content["kv"] = kv_json()
        if arguments.theorems:
            content["theorems"] = [theorem.as_dict() for theorem in theorems]
            content["table"] = [key for key in keys if belongs(key, TABLE)]
        write_json(content)
    else:
        lines = kv_lines(results) if only_kv else proof_lines(results, verdicts)
        if theorems:
            lines = theorem_lines(theorems)
        if arguments.write_baseline and code != PASSED:
            lines.append("  the baseline is as it was: this run did not pass")
        lines.append(f"  {proof_seconds:.1f} s to prove, by {' and '.join(solvers)}")
        write_text("\n".join(lines))
    if code == PASSED and any(theorem.status != "proved" for theorem in theorems):
        return INCONCLUSIVE  # theorems with obligations that were not asked
    return code


def chosen(asked: Sequence[str], known: Sequence[str], what: str) -> list[str]:
    """The requested names; raises for an unknown one."""
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
            raise UsageError(f"unknown {what} {name}{hint}")
    return list(asked)


def status_of(results: Sequence[Result], verdicts: Sequence[Verdict]) -> int:
    """The exit code for the answers."""
    if any(r.status == "refuted" for r in results) or any(
        v.status == "survived" for v in verdicts
    ):
        return REFUTED
    if not any(r.kind != "frame" for r in results):
        return INCONCLUSIVE  # no solver was asked
    return PASSED if all(r.status == "proved" for r in results) else INCONCLUSIVE


def mutant_counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """Number of mutants, by verdict."""
    counts = Counter(v.status for v in verdicts)
    return {
        "generated": len(verdicts),
        "refuted": counts["refuted"],
        "equivalent": counts["equivalent"],
        "survived": counts["survived"],
    }


def prove_json(
    results: Sequence[Result], verdicts: Sequence[Verdict], solvers: Sequence[str] = ()
) -> dict[str, Any]:
    """The JSON output."""
    from lineclear import __version__
    from lineclear_spec.proof.prove import solver_version

    return {
        "tool": "lineclear",
        "version": __version__,
        "solvers": list(solvers) or [solver_version()],
        "obligations": [r.as_dict() for r in results],
        "mutants": mutant_counts(verdicts),
        "survivors": [v.as_dict() for v in verdicts if v.status == "survived"],
        "unproved": sorted({r.key for r in results if r.status != "proved"}),
    }


def print_operators(arguments: argparse.Namespace) -> int:
    """Prints the table of operators; no solver is asked."""
    from lineclear_spec.report.operators import as_dicts, as_lines

    if arguments.format == "json":
        write_json({"operators": as_dicts()})
    else:
        head = "lineclear prove     the operators of the kernel, each with its two readings"
        write_text("\n".join([head, "", *as_lines()]))
    return PASSED


def theorem_lines(theorems: Sequence[Standing]) -> list[str]:
    """One line for each theorem, then its premises and how they are discharged."""
    from lineclear_spec.liveness.premises import PREMISES
    from lineclear_spec.liveness.standings import FEW

    width = max(len(t.theorem) for t in theorems)
    lines = ["lineclear prove     theorems of the policies, for any number of requests", ""]
    for t in theorems:
        status = t.status if t.holds or t.status != "proved" else "fails, proved"
        premises = " ".join(t.premises) or "none"
        lines += [
            f"  {t.theorem:<{width}}  {status:<13}  {t.sentence}",
            f"  {'':<{width}}  {'':<13}  {t.obligations} obligations; premises: {premises}",
            *[f"  {'':<{width}}  not proved: {key}" for key in t.missing],
            *[f"  {'':<{width}}  not asked: {key}" for key in t.not_asked[:FEW]],
            *[
                f"  {'':<{width}}  and {len(t.not_asked) - FEW} more that were not asked"
                for _ in t.not_asked[FEW : FEW + 1]
            ],
        ]
    lines += ["", "premises"]
    lines += [f"  {p.name}  {p.seen_to:<9}  {p.sentence}" for p in PREMISES.values()]
    return [*lines, "", "docs/trust.md has the induction that joins the lemmas.", ""]


def proof_lines(results: Sequence[Result], verdicts: Sequence[Verdict]) -> list[str]:
    """One line for each unit, by kind of obligation (`goals.Goal`), then what is not proved."""
    kinds = ("preserved", "frame", "contract", "defined", "refusal", "base", "step", "ranking")
    other = "other"  # cut, theorem and refines of KV, initiation, calendars
    names = list(dict.fromkeys(r.unit for r in results))
    width = max((len(name) for name in names), default=0)
    lines = [
        "lineclear prove     any number of requests, sequences, blocks and tokens, any block size",
        "",
        "  " + " " * width + "".join(f"{title:>11}" for title in (*kinds, other)),
    ]
    for name in names:
        mine = [r for r in results if r.unit == name]
        counts = Counter(r.kind if r.kind in kinds else other for r in mine)
        open_ = sum(r.status != "proved" for r in mine)
        if counts.keys() == {other}:
            lines.append(f"  {name:<{width}}{len(mine) - open_:>11} of {len(mine)} facts")
            continue
        cells = "".join(f"{counts[kind] or '.':>11}" for kind in (*kinds, other))
        lines.append(f"  {name:<{width}}{cells}" + (f"   {open_} NOT PROVED" if open_ else ""))
    unproved = sorted({f"{r.key}: {r.status}" for r in results if r.status != "proved"})
    asked = [r for r in results if r.kind != "frame"]
    lines += [
        "",
        f"  {sum(r.status == 'proved' for r in asked)} of {len(asked)} obligations proved; "
        f"{len(results) - len(asked)} hold because the action writes nothing they read",
    ]
    lines += [f"  not proved: {line}" for line in unproved]
    if not asked:
        from lineclear_spec.proof.obligations import STEPS

        lines.append(
            "  no obligation: these actions change what the invariant reads in block steps only, "
            f"which are separate units: lineclear prove {' '.join(STEPS)}"
        )
    if verdicts:
        fates = mutant_counts(verdicts)
        lines.append(
            f"  {fates['generated']} mutants: {fates['refuted']} refuted, "
            f"{fates['equivalent']} equivalent, {fates['survived']} survived"
        )
        lines += [
            f"  survived: {v.mutant}: {v.kind}: {v.text}"
            for v in verdicts
            if v.status == "survived"
        ]
    return lines
