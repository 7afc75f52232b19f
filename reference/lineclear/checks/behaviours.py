"""The stage that searches every behaviour of the real scheduler at small scope.

Guarantees: it reports every bound that was reached; a finding carries a shortest trace with its journal.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lineclear.checks.counterexample import from_scheduler
from lineclear.checks.own import made
from lineclear.checks.stage import Context, Finding, Outcome, ReportCase
from lineclear.oracle.rules import NAME
from lineclear.policies import BUILT_IN
from lineclear.policies.probe import CLOCKS, reads

if TYPE_CHECKING:
    from lineclear.explore.bounds import SearchBounds

RAISED = {
    "InvariantViolation": "LC401", "Undone": "LC401", "WrongContent": "LC403", "Hazard": "LC403",
    "Disagreement": "LC404",
}  # fmt: skip
KINDS = {"stuck": "LC501", "livelocks": "LC502", "starvation": "LC503"}
#: States for the user's configuration: some policies keep figures that grow without bound.
MOST_STATES = 20_000
#: The same where one policy is checked, in each of two worlds.
OF_POLICY = {"fast": 1_000, "default": 6_000, "deep": 100_000}
MOST = 2
FEW = 2
Row = tuple[str, int, int, bool, list[Finding], list[str]]


def chosen(context: Context) -> Sequence[SearchBounds]:
    """The worlds of this mode."""
    from lineclear.explore.bounds import KNOWN_POLICIES, SearchBounds
    from lineclear.explore.small import CALM, LONG, SHORT, SMALL, URGENT
    from lineclear.explore.worlds import ci_worlds, deep_worlds, hard_worlds

    if context.config is not None:
        sizes = {name: value for name, value in SMALL.items() if name.startswith(("num_", "max_"))}
        small = replace(context.config, **sizes, block_size=1, num_lookahead_slots=0)
        if context.policy:
            if context.policy not in KNOWN_POLICIES:
                path = BUILT_IN.get(context.policy, context.policy)
                small = replace(small, scheduling_policy=path)
            most = OF_POLICY[context.mode]
            shapes = (LONG, URGENT)
            return [
                SearchBounds("two requests, anything may happen", small, shapes, max_states=most),
                SearchBounds(
                    "three requests, nothing goes wrong",
                    replace(small, num_gpu_blocks=4, max_num_seqs=3),
                    shapes,
                    max_states=most,
                    **CALM,
                ),
            ]
        return [SearchBounds("your configuration", small, (LONG, SHORT), max_states=MOST_STATES)]
    if context.mode == "fast":
        return [*ci_worlds()[:FEW], *hard_worlds()]
    return [*ci_worlds(), *(deep_worlds() if context.mode == "deep" else [])]


def look(bounds: SearchBounds) -> Row:
    """One search: name, states, transitions, whether it was exhausted, findings, witnesses."""
    from lineclear.explore.report import explore, moves_text

    report = explore(bounds)
    graph = report.graph
    found = [
        finding(code_in(what), what, trace, bounds, ()) for trace, what in graph.violations[:MOST]
    ]
    for kind, code in KINDS.items():
        rows = [row for row in getattr(report, kind) if not row.expected]
        for row in rows[:MOST]:
            lines = (f"for ever: {moves_text(row.cycle)}",) if row.cycle else ()
            found.append(finding(code, row.what, row.trace, bounds, lines, row.cycle))
    seen = sorted(graph.witnesses)
    return bounds.name, graph.states, graph.transitions, graph.complete, found, seen


def code_in(what: str, other: str = "LC401") -> str:
    """The code of what was found, whose first word is the class of an error if it was raised.

    It is `other` if the class is no known one.
    """
    if f"{NAME}: " in what:
        return "LC405"
    return RAISED.get(what.partition(":")[0], other)


def rule_of(what: str) -> str:
    """The error and the rule that it names, without the figures: what must not come again."""
    return ": ".join(what.split(": ")[: 3 if f"{NAME}: " in what else 2])


def finding(
    code: str,
    what: str,
    trace: Sequence[Any],
    bounds: SearchBounds,
    lines: tuple[str, ...],
    cycle: Sequence[Any] = (),
) -> Finding:
    """A finding with its moves, and with the journal that they lead to if they can be done again.

    Args:
        code: its code.
        what: what is broken, on one line.
        trace: moves from the start.
        bounds: the world.
        lines: details, after the moves.
        cycle: moves that repeat forever after `trace`.
    """
    from lineclear.checks.again import by_moves
    from lineclear.explore.report import moves_text, record

    again = by_moves(code, "" if code in KINDS.values() else rule_of(what), bounds, trace, cycle)
    trace = (*trace, *tuple(cycle) * 3)
    moves = [moves_text([move]) for move in trace]
    journal = io.StringIO()
    try:
        record(bounds, tuple(trace), journal)
    except Exception as error:  # the last move is the one that fails: the journal ends before it
        lines = (*lines, f"the last move ends with {type(error).__name__}: {error}")
    saved = from_scheduler(code, what, moves, journal.getvalue().splitlines(), again)
    shown = ("moves of the environment, from the start:", *[f"  {move}" for move in moves])
    return Finding(code, f"{what} ({bounds.name})", (*shown, *lines), content=saved.as_dict())


def behaviours(context: Context) -> Outcome:
    """Every behaviour, every invariant, and progress on the graph."""
    from lineclear_spec.parallel import in_parallel

    rows: list[Row] = []
    for row in in_parallel(look, chosen(context)):
        rows.append(row)
        context.step(row[0])
    findings = [found for row in rows for found in row[4]]
    whole = sum(row[3] for row in rows)
    states = sum(row[1] for row in rows)
    missing: list[str] = []
    if context.config is None and context.mode != "fast":
        from lineclear.explore.worlds import required

        seen = {sentence for row in rows for sentence in row[5]}
        missing = [sentence for sentence in required() if sentence not in seen]
        findings += [Finding("LC602", f"no search of the scheduler shows: {m}") for m in missing]
    own = context.config is not None
    status = "refuted" if findings else "passed" if states and (own or whole == len(rows)) else ""
    left = f"worlds beyond {len(rows)}" if context.mode == "fast" and not own else ""
    if own and whole < len(rows):
        left = f"states beyond {OF_POLICY[context.mode] if context.policy else MOST_STATES:,}"
    if context.policy and reads(made(context)) & CLOCKS:
        left = "; ".join(filter(None, [left, "starvation: see there, the policy looks at clocks"]))
    return Outcome(
        "behaviours",
        status or "unknown",
        f"{states:,} states of the scheduler in {len(rows)} small worlds ({whole} exhausted), "
        "every choice of the environment",
        {"states": states, "transitions": sum(row[2] for row in rows), "exhausted": whole},
        findings,
        [
            ReportCase(
                "behaviours",
                row[0],
                "refuted" if row[4] else "passed" if row[3] or own else "unknown",
                row[4][0].title if row[4] else "" if row[3] else "not exhausted",
            )
            for row in rows
        ],
        left or ("" if context.mode == "deep" or own else "larger worlds"),
    )
