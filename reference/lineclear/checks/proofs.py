"""The stages that run solvers: the proofs, the second solver, the stability run.

Guarantees: `unknown` never passes; a finding names the obligation and the source line of its action.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lineclear.checks.stage import Context, Finding, Outcome, ReportCase, place_of

if TYPE_CHECKING:
    from lineclear_spec.proof.prove import Result

CODE = {"refuted": "LC101", "unknown": "LC201"}
#: Units for the second solver with `--fast`: one of each kind.
FEW = ("arithmetic", "start", "clear_table", "finish", "commit_step")


def answers(name: str, results: Sequence[Result], solver: str) -> Outcome:
    """The outcome for the answers to obligations."""
    counts = Counter(r.status for r in results if r.kind != "frame")
    asked = sum(counts.values())
    frames = len(results) - asked
    findings = [
        Finding(
            CODE[r.status],
            f"{r.key} is {'refuted' if r.status == 'refuted' else 'not proved'} by {r.solver}",
            (sentence(r),),
            *place_of(r.unit),
            content={"obligation": r.key, "status": r.status, "solver": r.solver, "seed": r.seed},
        )
        for r in results
        if r.status != "proved"
    ]
    status = "refuted" if counts["refuted"] else "unknown" if findings or not asked else "passed"
    summary = (
        f"{counts['proved']:,} of {asked:,} obligations by {solver}, {frames:,} more hold because "
        "the action writes nothing they read"
    )
    recalled = sum(r.recalled and r.kind != "frame" for r in results)
    if recalled:
        summary += f"; {recalled:,} were asked in an earlier run, of the same formulas"
    return Outcome(
        name,
        status,
        summary,
        {"asked": asked, "frames": frames, "recalled": recalled, **counts},
        findings,
        [
            ReportCase(
                f"{name}.{r.unit}",
                f"{r.kind} {r.label}",
                "passed" if r.status == "proved" else r.status,
            )
            for r in results
        ],
    )


def sentence(result: Result) -> str:
    """The obligation in words."""
    from lineclear_spec.invariants import INVARIANTS, KV

    rule, named = result.label.split(".")[0], INVARIANTS | KV
    if result.kind == "preserved" and rule in named:
        return f"{result.unit} may violate: {named[rule].sentence}"
    return f"{result.unit}: {result.kind}: {result.label}"


def proofs(context: Context) -> Outcome:
    """Every obligation, with Z3; in the deep run under five seeds, against the baseline."""
    from lineclear.policies import load_claims
    from lineclear_spec.proof import prove

    load_claims()
    seeds = range(5) if context.mode == "deep" else (0,)
    results = prove.prove(seeds=seeds, progress=context.step, answers=context.answers)
    context.memo["proofs"] = [r for r in results if r.seed == 0]
    outcome = answers("proofs", results, prove.solver_version())
    lost = prove.vanished(results, prove.read_baseline())
    for key in lost:
        title = f"{key} is not asked: baseline.json lists it and no unit makes it"
        outcome.findings.append(Finding("LC202", title, (), *place_of(key.split("/")[0])))
        outcome.cases.append(ReportCase("proofs", key, "unknown", "not asked"))
    if lost and outcome.status == "passed":
        outcome.status = "unknown"
    if context.mode == "deep":
        outcome.summary += ", seeds 0 to 4"
    else:
        outcome.left_out = "seeds 1 to 4"
    return outcome


def second_solver(context: Context) -> Outcome:
    """Every obligation again, with cvc5, from SMT-LIB text."""
    from lineclear.policies import load_claims
    from lineclear_spec.crosscheck import second_solver

    load_claims()
    names = FEW if context.mode == "fast" else None
    results = second_solver.crosscheck(names, progress=context.step, answers=context.answers)
    outcome = answers("second solver", results, second_solver.version())
    first: list[Result] | None = context.memo.get("proofs")
    if first is not None and names is None:
        for a, b in second_solver.disagreements(first, results):
            outcome.status = "refuted"
            title = f"{a.key}: {a.solver} says {a.status}, {b.solver} says {b.status}"
            outcome.findings.append(Finding("LC102", title, (), *place_of(a.unit)))
    if names is not None:
        outcome.left_out = f"all units but {', '.join(FEW)}"
    return outcome


def stability(context: Context) -> Outcome:
    """The same proofs under other seeds, other orders of assertions and other names."""
    from lineclear.policies import load_claims
    from lineclear_spec.crosscheck import stability as variants
    from lineclear_spec.proof.prove import read_baseline

    trials = variants.stability(progress=context.step, prepare=load_claims)
    return judged(trials, variants.failures(trials, read_baseline()))


def judged(trials: Sequence[object], failures: Sequence[object]) -> Outcome:
    """The outcome for trials and their failures."""
    from lineclear_spec.crosscheck.stability import SEEDS, VARIANTS, Failure, Trial

    found = [f for f in failures if isinstance(f, Failure)]
    bad = Counter((f.variant, f.solver) for f in found)
    asked = Counter(
        (t.variant, t.result.solver)
        for t in trials
        if isinstance(t, Trial) and t.result.kind != "frame"
    )
    findings = [
        Finding(
            "LC103",
            f"{f.obligation}: {f.reason} ({f.solver}, {f.variant} {f.seed})",
            (),
            *place_of(f.obligation.split("/")[0]),
            content=f.as_dict(),
        )
        for f in found
    ]
    return Outcome(
        "stability",
        "refuted" if findings else "passed" if asked else "unknown",
        f"{sum(asked.values()):,} answers under seeds {SEEDS[0]} to {SEEDS[-1]} and other "
        f"{' and '.join(VARIANTS[1:])}, {len(findings)} flips or resources above ten times",
        {"answers": sum(asked.values()), "failures": len(findings)},
        findings,
        [
            ReportCase(
                "stability",
                f"{variant} by {solver}",
                "refuted" if bad[variant, solver] else "passed",
                f"{bad[variant, solver]} of {count}" if bad[variant, solver] else "",
            )
            for (variant, solver), count in asked.items()
        ],
    )
