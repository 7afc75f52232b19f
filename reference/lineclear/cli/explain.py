"""`lineclear explain`: says what an action, an invariant or a phase means, from its source.

Guarantees: what it prints of an action is the function that runs. It knows nothing about proofs.
"""

from __future__ import annotations

import argparse
import difflib
from typing import Any

from lineclear.cli.exits import PASSED, UsageError
from lineclear.cli.output import add_format, write_json, write_text

__all__ = ["add_parser", "run"]

EPILOG = """\
examples:
  lineclear explain                what can be explained
  lineclear explain swap_out       an action: its guards and effects
  lineclear explain conservation   an invariant
  lineclear explain SWAPPED        a phase
  lineclear explain swap_out.guard.4   the counterexample to a mutant
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "explain",
        help="say what an action, an invariant or a phase means",
        description="Say what an action, an invariant or a phase means, from its source.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", help="without it: list every name")
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Explains one name, or lists them all."""
    name: str | None = arguments.name
    content, text = list_names() if name is None else explain(name)
    if arguments.format == "json":
        write_json(content)
    else:
        write_text(text)
    return PASSED


def list_names() -> tuple[dict[str, Any], str]:
    """Every name with its sentence."""
    from lineclear_spec.actions import ACTIONS
    from lineclear_spec.invariants import INVARIANTS
    from lineclear_spec.lifecycle import Phase

    groups = {
        "actions": {name: action.sentence for name, action in ACTIONS.items()},
        "invariants": {name: invariant.sentence for name, invariant in INVARIANTS.items()},
        "phases": {phase.name: PHASES[phase.name] for phase in Phase},
    }
    width = max(len(name) for group in groups.values() for name in group)
    lines: list[str] = []
    for title, group in groups.items():
        lines += [title, *(f"  {name:{width}}  {text}" for name, text in group.items()), ""]
    return groups, "\n".join(lines)


PHASES = {
    "NEW": "known to nobody but its caller",
    "WAITING": "accepted; it holds no block and is not being computed",
    "RUNNING": "it holds blocks of the GPU pool and may be in a step",
    "SWAPPED": "preempted; its KV lies in blocks of the CPU pool",
    "FINISHED": "it ended, was aborted or was rejected; it holds nothing and stays so",
}


def explain(name: str) -> tuple[dict[str, Any], str]:
    """One name, as an object and as text."""
    from lineclear_spec.actions import ACTIONS
    from lineclear_spec.invariants import INVARIANTS
    from lineclear_spec.lifecycle import Phase

    if name in ACTIONS:
        return explain_action(name)
    if name in INVARIANTS:
        invariant = INVARIANTS[name]
        parts = [clause.name for clause in invariant.clauses]
        when = "between any two actions"
        if invariant.kind == "step":
            when += ", and after every single block step of an action"
        lines = (f"{name}: an invariant", invariant.sentence, "", f"it holds {when}")
        text = "\n".join((*lines, "", "parts:", *(f"  {part}" for part in parts)))
        content = {"sentence": invariant.sentence, "when": invariant.kind, "parts": parts}
        return {"name": name, "kind": "invariant", **content}, text
    if name.upper() in Phase.__members__:
        return explain_phase(name.upper())
    if ".guard." in name or ".effect." in name:
        return explain_mutant(name)
    known = [*ACTIONS, *INVARIANTS, *Phase.__members__]
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else "lineclear explain lists every name"
    raise UsageError(f"{name!r} is no action, invariant or phase: {hint}")


def explain_mutant(name: str) -> tuple[dict[str, Any], str]:
    """The counterexample to a mutant, executed anew."""
    from lineclear_spec.mutants import generate
    from lineclear_spec.picture import explain as picture
    from lineclear_spec.trial import explorations, try_mutant

    mutants = {mutant.name: mutant for mutant in generate()}
    if name not in mutants:
        near = difflib.get_close_matches(name, mutants, 1)
        hint = f"did you mean {near[0]}?" if near else "lineclear prove --format json lists them"
        raise UsageError(f"no mutant is called {name}: {hint}")
    mutant = mutants[name]
    evidence = try_mutant(mutant, explorations())
    content: dict[str, Any] = {
        "name": name,
        "kind": "mutant",
        "sentence": f"{mutant.kind}: {mutant.text}",
        "rule": None if evidence is None else evidence.rule,
        "world": None if evidence is None else evidence.bounds,
        "trace": [] if evidence is None else [[a, *arguments] for a, arguments in evidence.trace],
        "tweaks": [] if evidence is None else [list(tweak) for tweak in evidence.tweaks],
    }
    if evidence is None:
        return content, f"{name}: {mutant.kind}: {mutant.text}\nno execution breaks a rule"
    return content, picture(mutant, evidence)


def explain_action(name: str) -> tuple[dict[str, Any], str]:
    """Sentence, phases, guards and effects of an action."""
    from lineclear_spec.actions import ACTIONS
    from lineclear_spec.describe import describe

    row = describe(ACTIONS[name])
    lines = [f"{name}({', '.join(row.parameters)}): an action", row.sentence, ""]
    if row.target is not None:
        lines += [f"phase: {', '.join(p.name for p in row.sources)} to {row.target.name}", ""]
    lines += ["guards, all of them before anything is written:"]
    lines += [f"  {text}\n      {formula}" for formula, text in row.guards]
    lines += ["", "effect:", *(f"  {line}" for line in row.effects), "", f"{row.file}:{row.line}"]
    content: dict[str, Any] = {
        "name": name,
        "kind": "action",
        "sentence": row.sentence,
        "parameters": list(row.parameters),
        "event": row.event or None,
        "from": [phase.name for phase in row.sources],
        "to": row.target.name if row.target is not None else None,
        "guards": [{"formula": formula, "sentence": text} for formula, text in row.guards],
        "effects": list(row.effects),
        "source": f"{row.file}:{row.line}",
    }
    return content, "\n".join(lines)


def explain_phase(name: str) -> tuple[dict[str, Any], str]:
    """The events that lead into a phase and out of it."""
    from lineclear_spec.lifecycle import EVENTS, Phase

    phase = Phase[name]
    leaving = {
        event: target.name for event, (sources, target) in EVENTS.items() if phase in sources
    }
    entering = {
        event: [source.name for source in sorted(sources)]
        for event, (sources, target) in EVENTS.items()
        if target is phase
    }
    lines = [f"{name}: a phase", PHASES[name], ""]
    lines += [f"  {event:16} from {', '.join(sources)}" for event, sources in entering.items()]
    lines += [f"  {event:16} to {target}" for event, target in leaving.items()]
    content = {"name": name, "kind": "phase", "sentence": PHASES[name]}
    return {**content, "entering": entering, "leaving": leaving}, "\n".join(lines)
