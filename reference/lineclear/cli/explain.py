"""`lineclear explain`: explains an action, an invariant, a phase or a finding's code.

Guarantees: the text of an action is generated from the function that runs. Exit code 3 if a
counterexample was to be saved and none was found.
"""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import Any

from lineclear.cli.exits import INCONCLUSIVE, PASSED, UsageError
from lineclear.cli.files import need_new, need_page, put_page, replace
from lineclear.cli.output import add_format, write_json, write_text

EPILOG = """\
examples:
  lineclear explain                list every name
  lineclear explain swap_out       an action: its guards and effects
  lineclear explain conservation   an invariant
  lineclear explain SWAPPED        a phase
  lineclear explain swap_out.guard.4   the counterexample to a mutant
  lineclear explain swap_out.guard.4 --save race.itf.json   and save it, for replay
  lineclear explain LC401          a finding of lineclear check
  lineclear explain --page -o docs/findings.md   every code, as a page
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "explain",
        help="explain an action, an invariant, a phase or a code",
        description="Explain an action, an invariant, a phase or a code, from its source.",
        epilog=EPILOG,
    )
    parser.add_argument("name", nargs="?", help="default: list every name")
    parser.add_argument("--page", action="store_true", help="print the page of all finding codes")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="with --page: write to FILE"
    )
    parser.add_argument(
        "--save",
        metavar="FILE",
        type=Path,
        help="with a mutant: save its counterexample, for lineclear replay FILE [--emit-test]",
    )
    parser.add_argument(
        "--check", action="store_true", help="with -o: write nothing; exit 1 if FILE is stale"
    )
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Explains one name, or lists them all."""
    name: str | None = arguments.name
    if arguments.page:
        why = "--page is the page of every code, as Markdown"
        arguments.parser.refuse_idle(why, "page", "output", "check")
        from lineclear.checks.codes import markdown

        need_page(arguments.output, PAGE, check=arguments.check)
        return put_page(arguments.output, markdown(), PAGE, check=arguments.check)
    if arguments.output is not None or arguments.check:
        raise UsageError("-o and --check need --page")
    if arguments.save is not None:
        if name is None or not is_mutant(name):
            raise UsageError("--save needs the name of a mutant, such as swap_out.guard.4")
        need_new(arguments.save)
    content, text = list_names() if name is None else explain(name, arguments.save)
    if arguments.format == "json":
        write_json(content)
    else:
        write_text(text)
    saved = arguments.save is None or "file" in content
    return PASSED if saved else INCONCLUSIVE


#: Writes the page of codes.
PAGE = "lineclear explain --page"


def explain_code(name: str) -> tuple[dict[str, Any], str]:
    """What a finding's code means, why it matters and what to do."""
    from textwrap import fill

    from lineclear.checks.codes import CODES, GROUPS

    if name not in CODES:
        near = difflib.get_close_matches(name, CODES, 1)
        hint = f"did you mean {near[0]}?" if near else "lineclear explain --page lists them"
        raise UsageError(f"unknown code {name}: {hint}")
    row = CODES[name]
    parts = {"meaning": row.meaning, "why it matters": row.matters, "what to do": row.todo}
    lines = [f"{name}: {row.title}", f"group LC{name[2]}xx: {GROUPS[name[2]]}"]
    for title, text in parts.items():
        lines += ["", title, fill(text, 88, initial_indent="  ", subsequent_indent="  ")]
    content = {"name": name, "kind": "code", "sentence": row.title}
    content |= {"meaning": row.meaning, "matters": row.matters, "todo": row.todo}
    return content, "\n".join(lines)


def list_names() -> tuple[dict[str, Any], str]:
    """Every name with its sentence."""
    from lineclear_spec.actions import ACTIONS
    from lineclear_spec.invariants import INVARIANTS
    from lineclear_spec.kernel.lifecycle import Phase

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
    "NEW": "created; not submitted yet",
    "WAITING": "accepted; holds no block, not in a step",
    "RUNNING": "holds GPU blocks; may be in a step",
    "SWAPPED": "preempted; its KV is in CPU blocks",
    "FINISHED": "finished, aborted or rejected; holds no block, for good",
}


def is_mutant(name: str) -> bool:
    """Whether the name looks like a mutant's."""
    return ".guard." in name or ".effect." in name


def explain(name: str, save: Path | None = None) -> tuple[dict[str, Any], str]:
    """One name, as an object and as text."""
    from lineclear_spec.actions import ACTIONS
    from lineclear_spec.invariants import INVARIANTS, KV
    from lineclear_spec.kernel.lifecycle import Phase

    if name in ACTIONS:
        return explain_action(name)
    if name in INVARIANTS | KV:
        invariant = (INVARIANTS | KV)[name]
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
    if name.upper().startswith("LC") and name[2:].isdigit():
        return explain_code(name.upper())
    if is_mutant(name):
        return explain_mutant(name, save)
    known = [*ACTIONS, *INVARIANTS, *Phase.__members__]
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else "lineclear explain lists every name"
    raise UsageError(f"unknown name {name!r}: no action, invariant or phase: {hint}")


def explain_mutant(name: str, save: Path | None) -> tuple[dict[str, Any], str]:
    """The counterexample to a mutant, executed again; saved to a file on request."""
    from lineclear.checks.counterexample import from_mutant
    from lineclear.checks.itf import dumps
    from lineclear_spec.mutation.mutants import generate
    from lineclear_spec.mutation.trial import Worlds, try_mutant
    from lineclear_spec.mutation.variants import FAMILIES
    from lineclear_spec.report.picture import explain as picture

    mutants = {mutant.name: mutant for mutant in generate(FAMILIES)}
    if name not in mutants:
        near = difflib.get_close_matches(name, mutants, 1)
        hint = f"did you mean {near[0]}?" if near else "lineclear prove --format json lists them"
        raise UsageError(f"unknown mutant {name}: {hint}")
    mutant = mutants[name]
    evidence = try_mutant(mutant, Worlds())
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
        found = "no execution violates a rule"
        if save is not None:
            found += f": {save} was not written"
        return content, f"{name}: {mutant.kind}: {mutant.text}\n{found}"
    drawn = picture(mutant, evidence)
    if save is None:
        return content, drawn
    replace(save, dumps(from_mutant(name, evidence)))
    content["file"] = str(save)
    return content, f"{drawn}\n\nsaved: lineclear replay {save}"


def explain_action(name: str) -> tuple[dict[str, Any], str]:
    """Sentence, phases, guards and effects of an action."""
    from lineclear_spec.actions import ACTIONS
    from lineclear_spec.report.describe import describe

    row = describe(ACTIONS[name])
    lines = [f"{name}({', '.join(row.parameters)}): an action", row.sentence, ""]
    if row.target is not None:
        lines += [f"phase: {', '.join(p.name for p in row.sources)} to {row.target.name}", ""]
    lines += ["guards, all evaluated before any write:"]
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
    """The events that enter a phase and leave it."""
    from lineclear_spec.kernel.lifecycle import EVENTS, Phase

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
