"""The stages that execute the table: the search of small worlds, its witnesses, the mutants.

Guarantees: a finding carries an executed trace.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lineclear.checks.counterexample import from_table
from lineclear.checks.stage import Context, Finding, Outcome, ReportCase, place_of, shown

if TYPE_CHECKING:
    from lineclear_spec.modelcheck.explore import Exploration
    from lineclear_spec.modelcheck.worlds import Bounds
    from lineclear_spec.mutation.judge import Verdict

#: `--fast` searches worlds of at most this many states.
FEW_STATES = 500
#: Kinds of mutants that lack a statement.
DROPPED = ("guard dropped", "effect dropped")
#: `--fast` tries one of this many mutants, always the same ones.
ONE_OF = 12
#: States of each world in which `--fast` tries mutants first; those that survive it tries in whole worlds.
FIRST_STATES = 100
#: Factor on each world's bound in the deep run.
FURTHER = 4
#: Findings per world: one per rule, each with a shortest trace.
MOST = 3
#: A request is live, and only outside events are possible.
STILL = "the table allows nothing but an arrival or an abort"


def bounds_of(mode: str) -> Sequence[Bounds]:
    """The worlds that a mode searches."""
    from lineclear_spec.modelcheck.worlds import BOUNDS

    if mode == "fast":
        return [bounds for bounds in BOUNDS if bounds.max_states <= FEW_STATES]
    if mode == "deep":
        return [replace(bounds, max_states=FURTHER * bounds.max_states) for bounds in BOUNDS]
    return BOUNDS


def searched(context: Context) -> list[Exploration]:
    """The worlds of this mode, searched once per run."""
    from lineclear_spec.modelcheck.explore import search
    from lineclear_spec.parallel import in_parallel

    if "worlds" not in context.memo:
        found: list[Exploration] = []
        for world in in_parallel(search, bounds_of(context.mode)):
            found.append(world)
            context.step(world.bounds.name)
        context.memo["worlds"] = found
    worlds: list[Exploration] = context.memo["worlds"]
    return worlds


def exploration(context: Context) -> Outcome:
    """Visits every state of small worlds and checks every invariant in each."""
    outcome = explored(searched(context))
    if context.mode == "fast":
        outcome.left_out = f"worlds of more than {FEW_STATES} states"
    elif context.mode == "default":
        outcome.left_out = "states beyond each world's bound"
    return outcome


def explored(worlds: Sequence[Exploration]) -> Outcome:
    """The outcome of searches."""
    findings: list[Finding] = []
    for world in worlds:
        shortest: dict[str, tuple[Any, Any]] = {}  # one of each rule
        for trace, breach in sorted(world.violations, key=lambda row: len(row[0])):
            shortest.setdefault(breach.rule, (trace, breach))
        for trace, breach in list(shortest.values())[:MOST]:
            findings.append(broken(world.bounds, trace, breach))
        findings += [still(world.bounds, trace) for trace in world.stuck[:1]]
    whole = sum(world.complete for world in worlds)
    states = sum(world.states for world in worlds)
    return Outcome(
        "exploration",
        "refuted" if findings else "passed" if states else "unknown",
        f"{states:,} states of {len(worlds)} small worlds ({whole} exhausted), every invariant in "
        "each",
        {
            "states": states,
            "transitions": sum(world.transitions for world in worlds),
            "exhausted": whole,
            "worlds": [
                {"world": w.bounds.name, "states": w.states, "complete": w.complete}
                for w in worlds
            ],
        },
        findings,
        [
            ReportCase(
                "exploration",
                world.bounds.name,
                "refuted" if world.violations or world.stuck else "passed",
                world.violations[0][1].rule if world.violations else STILL * bool(world.stuck),
            )
            for world in worlds
        ],
    )


def broken(bounds: Bounds, trace: Sequence[Any], breach: Any) -> Finding:
    """A finding from a trace that ends where a rule is false."""
    from lineclear_spec.report.picture import call

    action = trace[-1][0] if trace else "start"
    crashed = breach.rule == "definedness"
    verb = "fails in" if crashed else "broken by"
    saved = from_table(bounds.limits(), trace, breach.rule, ", ".join(breach.values))
    return Finding(
        "LC402" if crashed else "LC401",
        f"{breach.rule} {verb} {call(trace[-1]) if trace else 'the start'}",
        (
            f"{'the error' if crashed else 'violated'}: {breach.sentence}",
            f"replayable from the start state, {len(trace)} actions, in the world "
            f"`{bounds.name}`, block size {bounds.block_size}",
            *saved.picture(),
            f"found: {', '.join(breach.values)}",
        ),
        *place_of(action),
        content=saved.as_dict(),
    )


def still(bounds: Bounds, trace: Sequence[Any]) -> Finding:
    """A finding from a trace after which the table allows no progress."""
    from lineclear_spec.report.picture import call

    return Finding(
        "LC501",
        f"{STILL} after {call(trace[-1]) if trace else 'the start'}",
        (
            f"actions from the start state of the world `{bounds.name}`, block size "
            f"{bounds.block_size}:",
            *[f"  {call(step)}" for step in trace],
        ),
        *place_of(trace[-1][0] if trace else "start"),
    )


def witnesses(context: Context) -> Outcome:
    """Every action happens, every situation is reached, every recorded step is still allowed."""
    outcome = reached(searched(context), everything=context.mode != "fast")
    return replayed(outcome)


def replayed(outcome: Outcome) -> Outcome:
    """Checks the steps recorded as allowed."""
    from lineclear_spec.modelcheck.enabled import read, refused
    from lineclear_spec.report.picture import call

    records = read()
    stronger = refused(records)
    for (bounds, trace, step), guard in stronger:
        outcome.findings.append(
            Finding(
                "LC603",
                f"{step[0]} now refuses a recorded step: {guard}",
                (
                    f"recorded in the world `{bounds.name}`: {call(step)}",
                    f"after {'; '.join(map(call, trace)) or 'the start'}",
                    "if intended, run: python docs/make_enabled.py",
                ),
                *place_of(step[0]),
            )
        )
        outcome.status = "refuted"
    outcome.summary += f"; {len(records)} recorded steps allowed"
    outcome.cases.append(
        ReportCase("witnesses", "recorded steps", "refuted" if stronger else "passed")
    )
    return outcome


def reached(worlds: Sequence[Exploration], *, everything: bool) -> Outcome:
    """The outcome for the situations that the searches reached."""
    from lineclear_spec.actions import ACTIONS
    from lineclear_spec.modelcheck.situations import IN_STATES, IN_TRANSITIONS

    wanted = {
        **dict.fromkeys(ACTIONS, "LC601"),
        **dict.fromkeys((*IN_STATES, *IN_TRANSITIONS), "LC602"),
    }
    seen = {name for world in worlds for name in world.witnesses}
    missing = {name: code for name, code in wanted.items() if name not in seen}
    findings: list[Finding] = []
    if everything:
        for name, code in missing.items():
            title = f"no search shows {name}" if code == "LC601" else f"never reached: {name}"
            findings.append(Finding(code, title, (), *place_of(name)))
    summary = f"{len(wanted) - len(missing)} of {len(wanted)} actions and situations, a shortest trace each"
    return Outcome(
        "witnesses",
        "refuted" if findings else "passed" if seen else "unknown",
        summary,
        {"wanted": len(wanted), "missing": sorted(missing)},
        findings,
        [
            ReportCase("witnesses", name, "refuted" if name in missing else "passed")
            for name in wanted
            if everything or name not in missing
        ],
        "" if everything else "situations that only larger worlds show",
    )


def mutants(context: Context) -> Outcome:
    """Broken tables, each to be refuted by the proof and by an execution."""
    from lineclear_spec.mutation.judge import judge_all
    from lineclear_spec.mutation.mutants import JUDGED, generate
    from lineclear_spec.mutation.variants import FAMILIES

    every = generate(FAMILIES if context.mode == "deep" else JUDGED)
    chosen = [m for m in every if context.mode != "fast" or few(m.name)]
    states = FIRST_STATES if context.mode == "fast" else None
    outcome = mutant_outcome(judge_all(chosen, progress=context.step, states=states))
    if len(chosen) < len(every):
        outcome.left_out = f"{len(every) - len(chosen)} of {len(every)} mutants"
    return outcome


def few(name: str) -> bool:
    """Whether `--fast` tries it."""
    return zlib.crc32(name.encode()) % ONE_OF == 0


def tally(verdicts: Sequence[Verdict]) -> str:
    """How many are refuted, by proof and by execution, and what the rest are."""
    counts = Counter(v.status for v in verdicts)
    rest = [f"{counts[s]} {s}" for s in ("equivalent", "survived") if counts[s]]
    found = f"{counts['refuted']} of {len(verdicts)} refuted"
    return f"{found} ({', '.join(rest)})" if rest else found


def mutant_outcome(verdicts: Sequence[Verdict]) -> Outcome:
    """The outcome of verdicts."""
    from lineclear_spec.mutation.mutants import generate
    from lineclear_spec.mutation.variants import FAMILIES

    lines = {m.name: (m.module.__file__ or "", m.line) for m in generate(FAMILIES)}
    families: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        families[f"{verdict.mutant.split('.')[0]}: {verdict.kind}"].append(verdict)
    survived = [v for v in verdicts if v.status == "survived"]
    counts = {
        s: sum(v.status == s for v in verdicts) for s in ("refuted", "equivalent", "survived")
    }
    dropped = [v for v in verdicts if v.kind in DROPPED]  # what `prove` and the README count
    changed = [v for v in verdicts if v.kind not in DROPPED]
    reachable = sum(v.evidence is not None and not v.evidence.tweaks for v in verdicts)
    findings: list[Finding] = []
    for v in survived:
        path, line = lines.get(v.mutant, ("", 0))
        proof = (
            f"the proof notices: {v.obligation}" if v.obligation else "the proof does not notice"
        )
        seen = (
            f"an execution breaks {v.evidence.rule}"
            if v.evidence
            else "no execution breaks a rule"
        )
        title = f"{v.mutant} survived: {v.kind}: {v.text}"
        findings.append(Finding("LC301", title, (proof, seen), shown(path) if path else "", line))
    return Outcome(
        "mutants",
        "refuted" if survived else "passed" if verdicts else "unknown",
        f"{tally(dropped)} that lack a guard or an effect, {tally(changed)} that change one; "
        f"{reachable} by a trace from the start",
        {"generated": len(verdicts), "dropped": len(dropped), **counts, "reachable": reachable},
        findings,
        [
            ReportCase(
                "mutants",
                family,
                "refuted" if any(v.status == "survived" for v in rows) else "passed",
                ", ".join(v.mutant for v in rows if v.status == "survived"),
            )
            for family, rows in families.items()
        ],
    )
